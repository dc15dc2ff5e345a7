// Workloads in the kernel: two elements that lead packets of an interface to its programs, and the addresses it may send
// from. Of several endpoints that name one interface the last told has it.
import {
  familyOf,
  isSingleAddress,
  prefixAddress,
  prefixFamily,
  type Family,
} from '../../../../lib/ip/mod.ts';
import type { Direction } from '../../../../policy/mod.ts';
import type { EndpointPolicy } from '../../../calc/mod.ts';
import type { NftRow } from '../../nftables.ts';
import { planOf, type ProgramPlan } from '../inputs/mod.ts';
import type { PolicySettings } from '../types.ts';
import type { ProgramBook } from './programs.ts';
import { elementText, nftFamily, OwnedRows, type RowSink } from './rows.ts';
import { outermost } from './sets.ts';

const directions: readonly Direction[] = ['ingress', 'egress'];

type Held = { readonly plans: readonly ProgramPlan[]; readonly families: readonly Family[] };

export class Workloads {
  readonly #programs: ProgramBook;
  readonly #rows: OwnedRows;
  readonly #endpoints = new Map<string, EndpointPolicy>();
  /** Endpoints by interface, the last told last. */
  readonly #claims = new Map<string, Map<string, EndpointPolicy>>();
  /** What the holder of an interface uses. */
  readonly #held = new Map<string, Held>();
  #settings: PolicySettings;

  constructor(sink: RowSink, programs: ProgramBook, settings: PolicySettings) {
    this.#programs = programs;
    this.#rows = new OwnedRows(sink);
    this.#settings = settings;
  }

  set(key: string, endpoint: EndpointPolicy | undefined): void {
    const before = this.#endpoints.get(key)?.interfaceName;
    const after = endpoint?.interfaceName;
    if (endpoint === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
    if (before !== undefined && before !== after) {
      const claims = this.#claims.get(before);
      claims?.delete(key);
      if (claims?.size === 0) this.#claims.delete(before);
      this.#refresh(before);
    }
    if (endpoint === undefined || after === undefined) return;
    const claims = this.#claims.get(after) ?? new Map<string, EndpointPolicy>();
    this.#claims.set(after, claims.set(key, endpoint));
    this.#refresh(after);
  }

  configure(settings: PolicySettings): void {
    this.#settings = settings;
    for (const name of this.#claims.keys()) this.#refresh(name);
  }

  /** Rows without which the endpoint's policy is not in force; empty for one whose interface another has. */
  keysOf(key: string): readonly string[] {
    const name = this.#endpoints.get(key)?.interfaceName;
    if (name === undefined || this.#holder(name)?.key !== key) return [];
    const held = this.#held.get(name);
    const programs = (held?.families ?? []).flatMap((family) =>
      (held?.plans ?? []).flatMap((plan) => this.#programs.rowsOf(plan, family)),
    );
    return [...this.#rows.keysOf(name), ...programs];
  }

  #holder(name: string): EndpointPolicy | undefined {
    return [...(this.#claims.get(name)?.values() ?? [])].at(-1);
  }

  #refresh(name: string): void {
    const endpoint = this.#holder(name);
    const before = this.#held.get(name);
    const { families } = this.#settings;
    const plans = endpoint === undefined ? [] : directions.map((one) => planOf(endpoint, 'normal', one));
    const rows = families.flatMap((family) => {
      const [ingress, egress] = plans.map((plan) => this.#programs.use(plan, family));
      if (endpoint === undefined || ingress === undefined || egress === undefined) return [];
      return this.#endpointRows(endpoint, name, family, { ingress, egress });
    });
    this.#rows.replace(name, rows);
    for (const family of before?.families ?? [])
      for (const plan of before?.plans ?? []) this.#programs.release(plan, family);
    if (endpoint === undefined) this.#held.delete(name);
    else this.#held.set(name, { plans, families });
  }

  #endpointRows(
    endpoint: EndpointPolicy,
    name: string,
    family: Family,
    programs: Readonly<Record<Direction, string>>,
  ): readonly NftRow[] {
    const table = nftFamily(family);
    const foreign = this.#settings.allowsForeignSources ? (endpoint.foreignSources ?? []) : [];
    const element = (set: string, key: string | readonly string[], data?: string): NftRow => ({
      kind: 'element',
      family: table,
      set,
      element: { key, ...(data === undefined ? {} : { data }) },
    });
    return [
      element('to-workload', name, `goto ${programs.ingress}`),
      element('from-workload', name, `goto ${programs.egress}`),
      ...endpoint.addresses
        .filter((one) => isSingleAddress(one) && familyOf(prefixAddress(one)) === family)
        .map((one) => element('workload-sources', [name, prefixAddress(one)])),
      ...outermost(foreign.filter((one) => prefixFamily(one) === family)).map((one) =>
        element('foreign-sources', [name, elementText(one)]),
      ),
    ];
  }
}
