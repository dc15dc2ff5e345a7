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

/** Where packets of an endpoint go, and whether it may be told before other programs change. */
type Entry = { readonly chain: string; readonly isEarly: boolean };

const directions: readonly Direction[] = ['ingress', 'egress'];

export class Workloads {
  readonly #programs: ProgramBook;
  readonly #rows: OwnedRows;
  readonly #endpoints = new Map<string, EndpointPolicy>();
  /** Endpoints by interface, the last told last. */
  readonly #claims = new Map<string, Map<string, EndpointPolicy>>();
  /** What the holder of an interface uses. */
  readonly #held = new Map<string, readonly ProgramUser[]>();
  /** Interfaces to be looked at with the next flush. */
  readonly #stale = new Set<string>();
  /** How many endpoints have limits of a kind, and each DSCP. */
  readonly #limited = { rates: 0, dscp: new Map<number | string, number>() };
  #settings: PolicySettings;

  constructor(sink: RowSink, programs: ProgramBook, settings: PolicySettings) {
    this.#programs = programs;
    this.#rows = new OwnedRows(sink);
    this.#settings = settings;
  }

  set(key: string, endpoint: EndpointPolicy | undefined): void {
    const known = this.#endpoints.get(key);
    const before = known?.interfaceName;
    const after = endpoint?.interfaceName;
    this.#countLimits(known, -1);
    this.#countLimits(endpoint, 1);
    if (endpoint === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
    if (before !== undefined && before !== after) {
      const claims = this.#claims.get(before);
      claims?.delete(key);
      if (claims?.size === 0) this.#claims.delete(before);
      this.#stale.add(before);
    }
    if (endpoint === undefined || after === undefined) return;
    const claims = this.#claims.get(after) ?? new Map<string, EndpointPolicy>();
    this.#claims.set(after, claims.set(key, endpoint));
    this.#stale.add(after);
  }

  configure(settings: PolicySettings): void {
    this.#settings = settings;
    for (const name of this.#claims.keys()) this.#stale.add(name);
    this.flush();
  }

  /** Which limits some endpoint of the node has. */
  get limits(): LimitKinds {
    return { rates: this.#limited.rates > 0, dscp: this.#limited.dscp.size > 0 };
  }

  #countLimits(endpoint: EndpointPolicy | undefined, by: 1 | -1): void {
    if (endpoint?.limits === undefined) return;
    if (limitKinds(endpoint.limits).rates) this.#limited.rates += by;
    const { dscp } = endpoint.limits;
    if (dscp === undefined) return;
    const count = (this.#limited.dscp.get(dscp) ?? 0) + by;
    if (count === 0) this.#limited.dscp.delete(dscp);
    else this.#limited.dscp.set(dscp, count);
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

  /** Brings programs and rows up to what was set. First all say what they use: only then it is known which program is
   *  another one by now, and which goes on under its name. */
  flush(): void {
    if (this.#stale.size === 0) return;
    const released: ProgramUser[] = [];
    for (const name of this.#stale) {
      const before = this.#held.get(name) ?? [];
      const users = this.#usersOf(this.#holder(name));
      for (const user of users)
        this.#programs.use(
          user,
          before.find(({ family, plan }) => family === user.family && plan.direction === user.plan.direction),
        );
      released.push(...before);
      if (users.length === 0) this.#held.delete(name);
      else this.#held.set(name, users);
    }
    for (const user of released) this.#programs.release(user);
    for (const name of this.#stale) this.#rows.replace(name, this.#rowsOf(name));
    this.#stale.clear();
    const values = [...this.#limited.dscp.keys()];
    this.#rows.replace(
      ' dscp',
      this.#settings.families.flatMap((family) => values.map((value) => dscpChain(value, family))),
    );
  }

  #usersOf(endpoint: EndpointPolicy | undefined): readonly ProgramUser[] {
    if (endpoint === undefined) return [];
    const plans = directions.map((direction) => planOf(endpoint, 'normal', direction));
    return this.#settings.families.flatMap((family) => {
      const own = ownAddresses(endpoint, family);
      return plans.map((plan) => ({ plan, family, own }));
    });
  }

  #rowsOf(name: string): readonly NftRow[] {
    const endpoint = this.#holder(name);
    if (endpoint === undefined) return [];
    const users = this.#held.get(name) ?? [];
    return this.#settings.families.flatMap((family) => {
      const entry = (direction: Direction): Entry => {
        const user = users.find((one) => one.family === family && one.plan.direction === direction);
        if (user === undefined) return { chain: '', isEarly: false };
        const chain = this.#programs.chainOf(user);
        return { chain, isEarly: !this.#programs.isChanging(user) };
      };
      return this.#endpointRows(endpoint, name, family, {
        ingress: entry('ingress'),
        egress: entry('egress'),
      });
    });
  }

  #endpointRows(
    endpoint: EndpointPolicy,
    name: string,
    family: Family,
    programs: Readonly<Record<Direction, Entry>>,
  ): readonly NftRow[] {
    const table = nftFamily(family);
    const foreign = this.#settings.allowsForeignSources ? (endpoint.foreignSources ?? []) : [];
    const element = (set: string, key: string | readonly string[]): NftRow => ({
      kind: 'element',
      family: table,
      set,
      element: { key },
    });
    const entry = (set: string, data: string, isEarly: boolean): NftRow => ({
      kind: 'element',
      family: table,
      set,
      element: { key: name, data },
      // To a program that stays what it is one goes before others change; to one that changes, with the change.
      ...(isEarly ? { rank: 0 } : {}),
    });
    const own = ownAddresses(endpoint, family);
    const { ingress, egress } = programs;
    const limited = limitRows(endpoint, name, family, own, { ingress: ingress.chain, egress: egress.chain });
    return [
      ...limited.rows,
      entry('to-workload', `goto ${limited.entries.ingress}`, ingress.isEarly),
      entry('from-workload', `goto ${limited.entries.egress}`, egress.isEarly),
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
