// Workloads in the kernel: two elements that lead packets of an interface to its programs, and the addresses it may send
// from. Of several endpoints that name one interface the last told has it.
import {
  isSingleAddress,
  prefixAddress,
  prefixFamily,
  type Address,
  type Family,
} from '../../../../lib/ip/mod.ts';
import type { Direction } from '../../../../policy/mod.ts';
import type { EndpointPolicy } from '../../../calc/mod.ts';
import type { NftRow } from '../../nftables.ts';
import { planOf } from '../inputs/mod.ts';
import type { PolicySettings } from '../types.ts';
import type { ProgramBook, ProgramUser } from './programs.ts';
import { elementText, nftFamily, OwnedRows, type RowSink } from './rows.ts';
import { outermost } from './sets.ts';

const directions: readonly Direction[] = ['ingress', 'egress'];

export class Workloads {
  readonly #programs: ProgramBook;
  readonly #rows: OwnedRows;
  readonly #endpoints = new Map<string, EndpointPolicy>();
  /** Endpoints by interface, the last told last. */
  readonly #claims = new Map<string, Map<string, EndpointPolicy>>();
  /** What the holder of an interface uses. */
  readonly #held = new Map<string, readonly ProgramUser[]>();
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
    const programs = (this.#held.get(name) ?? []).flatMap((user) => this.#programs.rowsOf(user));
    return [...this.#rows.keysOf(name), ...programs];
  }

  #holder(name: string): EndpointPolicy | undefined {
    return [...(this.#claims.get(name)?.values() ?? [])].at(-1);
  }

  #refresh(name: string): void {
    const endpoint = this.#holder(name);
    const before = this.#held.get(name) ?? [];
    const users: ProgramUser[] = [];
    const rows =
      endpoint === undefined
        ? []
        : this.#settings.families.flatMap((family) => {
            const own = ownAddresses(endpoint, family);
            const [ingress = '', egress = ''] = directions.map((direction) => {
              const user = { plan: planOf(endpoint, 'normal', direction), family, own };
              users.push(user);
              return this.#programs.use(user);
            });
            return this.#endpointRows(endpoint, name, family, { ingress, egress });
          });
    this.#rows.replace(name, rows);
    for (const user of before) this.#programs.release(user);
    if (endpoint === undefined) this.#held.delete(name);
    else this.#held.set(name, users);
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
      ...ownAddresses(endpoint, family).map((one) => element('workload-sources', [name, one])),
      ...outermost(foreign.filter((one) => prefixFamily(one) === family)).map((one) =>
        element('foreign-sources', [name, elementText(one)]),
      ),
    ];
  }
}

const ownAddresses = ({ addresses }: EndpointPolicy, family: Family): readonly Address[] =>
  addresses
    .filter((one) => isSingleAddress(one) && prefixFamily(one) === family)
    .map((one) => prefixAddress(one));
