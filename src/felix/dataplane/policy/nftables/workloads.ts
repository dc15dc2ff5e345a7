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
import { dscpChain, type LimitKinds, limitKinds, limitRows } from './limits.ts';
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

  /** Which limits some endpoint of the node has. */
  get limits(): LimitKinds {
    const all = [...this.#endpoints.values()].map(({ limits }) => limitKinds(limits));
    return { rates: all.some(({ rates }) => rates), dscp: all.some(({ dscp }) => dscp) };
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
    this.#refreshDscp();
    for (const user of before) this.#programs.release(user);
    if (endpoint === undefined) this.#held.delete(name);
    else this.#held.set(name, users);
  }

  /** One chain for each value, whoever has it. */
  #refreshDscp(): void {
    const values = new Set<number | string>();
    for (const { limits } of this.#endpoints.values())
      if (limits?.dscp !== undefined) values.add(limits.dscp);
    this.#rows.replace(
      ' dscp',
      this.#settings.families.flatMap((family) => [...values].map((value) => dscpChain(value, family))),
    );
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
    const own = ownAddresses(endpoint, family);
    const limited = limitRows(endpoint, name, family, own, programs);
    return [
      ...limited.rows,
      element('to-workload', name, `goto ${limited.entries.ingress}`),
      element('from-workload', name, `goto ${limited.entries.egress}`),
      ...own.map((one) => element('workload-sources', [name, one])),
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
