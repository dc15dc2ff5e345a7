// The programs in the kernel, shared by all endpoints with equal plans: laid out when the first user comes, anew under the
// same names when what they say changes, and taken away with the last.
//
//   in-<plan>      compiled:    goto program-<plan>
//                  linear:      its lines, and further chains in-<plan>-1, …
//                  both, where rules ask for the endpoint's own address, which a compiled program knows beforehand:
//                               ip daddr vmap @own-in-<plan>      10.0.0.1 : goto program-<plan>-<address>
//                               the linear lines, for packets to any other address
import { createHash } from 'node:crypto';
import type { Address, Family } from '../../../../lib/ip/mod.ts';
import type { PolicyProgram, SetId, Stage } from '../../../../policy/mod.ts';
import type { NftRow, NftRuleText } from '../../nftables.ts';
import { asksOwnAddress, type CompiledPrograms, linearReason } from '../compiled/mod.ts';
import { policiesOf, programOf, type PolicyMirror, type ProgramPlan } from '../inputs/mod.ts';
import type { GroupProgram, PolicySettings } from '../types.ts';
import { linearChains, Uses } from './linear.ts';
import { addressType, nftFamily, OwnedRows, type RowSink } from './rows.ts';
import { type ChainPlace, placeOf, type RuleChainBook } from './rule-chains.ts';
import type { ListSetBook, MemberSetBook } from './sets.ts';

type Group = {
  readonly key: string;
  readonly plan: ProgramPlan;
  readonly family: Family;
  readonly base: string;
  /** Whether it may be compiled: hosts' programs are linear always. */
  readonly isOfWorkloads: boolean;
  /** Addresses of the endpoints that have just one of the family, with how many have it. */
  readonly own: Map<Address, number>;
  users: number;
  uses: Uses;
  /** Keys of its compiled programs. */
  compiled: readonly string[];
};

export type ProgramParts = {
  readonly rows: RowSink;
  readonly mirror: PolicyMirror;
  readonly chains: Readonly<Record<ChainPlace, RuleChainBook>>;
  readonly members: MemberSetBook;
  readonly lists: ListSetBook;
  readonly compiled: CompiledPrograms;
};

/** Whom a program is for. `own`: the addresses of a workload in the family; undefined for hosts. */
export type ProgramUser = {
  readonly plan: ProgramPlan;
  readonly family: Family;
  readonly own?: readonly Address[];
};

export class ProgramBook {
  readonly #parts: ProgramParts;
  readonly #owned: OwnedRows;
  readonly #groups = new Map<string, Group>();
  /** Groups by what they read: `policy …`, `profile …`, `set …`. */
  readonly #readers = new Map<string, Set<Group>>();
  /** Groups to be laid out with the next flush. */
  readonly #stale = new Set<Group>();
  #settings: PolicySettings;

  constructor(parts: ProgramParts, settings: PolicySettings) {
    this.#parts = parts;
    this.#owned = new OwnedRows(parts.rows);
    this.#settings = settings;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** How many programs are compiled, and how many are linear as a whole. */
  get counts(): { readonly compiled: number; readonly linear: number } {
    let compiled = 0;
    for (const group of this.#groups.values()) if (group.compiled.length > 0) compiled++;
    return { compiled, linear: this.#groups.size - compiled };
  }

  /** The chain to `goto`. */
  use({ plan, family, own }: ProgramUser): string {
    const key = groupKey(plan, family, own !== undefined);
    const group = this.#groups.get(key) ?? this.#make(key, plan, family, own !== undefined);
    group.users++;
    const only = own?.length === 1 ? own[0] : undefined;
    if (only !== undefined) {
      const holders = group.own.get(only) ?? 0;
      group.own.set(only, holders + 1);
      // Only where rules ask for it; that is found out there.
      if (holders === 0) this.#stale.add(group);
    }
    return group.base;
  }

  release({ plan, family, own }: ProgramUser): void {
    const group = this.#groups.get(groupKey(plan, family, own !== undefined));
    if (group === undefined) return;
    group.users--;
    const only = own?.length === 1 ? own[0] : undefined;
    if (only !== undefined) {
      const holders = (group.own.get(only) ?? 0) - 1;
      if (holders > 0) group.own.set(only, holders);
      else {
        group.own.delete(only);
        this.#stale.add(group);
      }
    }
    if (group.users === 0) this.#stale.add(group);
  }

  #make(key: string, plan: ProgramPlan, family: Family, isOfWorkloads: boolean): Group {
    const word = `${isOfWorkloads ? '' : 'host-'}${stageWords[plan.stage]}`;
    const base = `${word}${plan.direction === 'ingress' ? 'in' : 'out'}-${plan.key}`;
    const group: Group = {
      key,
      plan,
      family,
      base,
      isOfWorkloads,
      own: new Map(),
      users: 0,
      uses: new Uses(),
      compiled: [],
    };
    this.#groups.set(key, group);
    for (const policy of policiesOf(plan)) this.#read(`policy ${policy}`, group);
    for (const profile of plan.profiles) this.#read(`profile ${profile}`, group);
    this.#stale.add(group);
    return group;
  }

  /** Lays out what is new or changed, and takes away what nobody uses any more. */
  flush(): void {
    for (const group of this.#stale) {
      if (group.users > 0) this.#layOut(group);
      else this.#remove(group);
    }
    this.#stale.clear();
    const { put, drop } = this.#parts.compiled.flush();
    const { rows } = this.#parts;
    for (const key of drop) rows.drop(key);
    for (const row of put) rows.put(row.kind === 'chain' ? { closed: ['drop'], ...row } : row);
  }

  #remove(group: Group): void {
    const { plan, key, family } = group;
    this.#groups.delete(key);
    for (const policy of policiesOf(plan)) this.#forget(`policy ${policy}`, group);
    for (const profile of plan.profiles) this.#forget(`profile ${profile}`, group);
    for (const set of group.uses.sets) this.#forget(`set ${set}`, group);
    this.#owned.replace(key, []);
    for (const compiled of group.compiled) this.#parts.compiled.delete(family, compiled);
    group.uses.release();
  }

  /** Lays out anew what reads something that changed. */
  refresh(changed: {
    readonly policies: Iterable<string>;
    readonly profiles: Iterable<string>;
    readonly sets: Iterable<SetId>;
  }): void {
    const groups = new Set<Group>();
    const note = (key: string): void => {
      for (const group of this.#readers.get(key) ?? []) groups.add(group);
    };
    for (const policy of changed.policies) note(`policy ${policy}`);
    for (const profile of changed.profiles) note(`profile ${profile}`);
    for (const set of changed.sets) note(`set ${set}`);
    for (const group of groups) this.#stale.add(group);
  }

  configure(settings: PolicySettings): void {
    this.#settings = settings;
    for (const group of this.#groups.values()) this.#stale.add(group);
  }

  /** Keys of the rows by which a program is entered. */
  rowsOf({ plan, family, own }: ProgramUser): readonly string[] {
    return this.#owned.keysOf(groupKey(plan, family, own !== undefined));
  }

  #layOut(group: Group): void {
    const { family, plan } = group;
    const { mirror } = this.#parts;
    const program = programOf(plan, mirror);
    const uses = new Uses();
    const compiled = group.isOfWorkloads ? this.#compile(group, program) : [];
    const isWhole = compiled.length === 1 && compiled[0]?.own === undefined;
    const entry = isWhole
      ? []
      : compiled.map(
          ({ chain, own = '' }): NftRow => ({
            kind: 'element',
            family: nftFamily(family),
            set: `own-${group.base}`,
            element: { key: own, data: `goto ${chain}` },
          }),
        );
    const rows = isWhole
      ? [this.#chain(group, group.base, [`goto ${compiled[0]?.chain ?? ''}`])]
      : this.#linear(group, program, uses, entry.length > 0);
    const map: NftRow = {
      kind: 'set',
      family: nftFamily(family),
      set: { name: `own-${group.base}`, key: [addressType(family)], data: ['verdict'] },
    };
    this.#owned.replace(group.key, [...rows, ...(entry.length > 0 ? [map, ...entry] : [])]);
    const kept = new Set(compiled.map(({ key }) => key));
    for (const key of group.compiled) if (!kept.has(key)) this.#parts.compiled.delete(family, key);
    group.compiled = [...kept];
    for (const set of group.uses.sets) this.#forget(`set ${set}`, group);
    for (const set of uses.sets) this.#read(`set ${set}`, group);
    // What both use was never away.
    group.uses.release();
    group.uses = uses;
  }

  /** Compiled programs of the group: one for all, or one for each own address where rules ask for it. */
  #compile(
    { plan, family, own }: Group,
    program: PolicyProgram,
  ): readonly { readonly key: string; readonly chain: string; readonly own?: Address }[] {
    const { compiled } = this.#parts;
    const of = { family, direction: plan.direction, program };
    if (!asksOwnAddress(of)) {
      const group: GroupProgram = { ...of, key: plan.key, own: [] };
      const outcome = compiled.set(group);
      return outcome.compiled ? [{ key: group.key, chain: outcome.chain }] : [];
    }
    return [...own.keys()].flatMap((address) => {
      const group: GroupProgram = { ...of, key: `${plan.key}-${digest(address)}`, own: [address] };
      if (linearReason(group) !== undefined) return [];
      const outcome = compiled.set(group);
      return outcome.compiled ? [{ key: group.key, chain: outcome.chain, own: address }] : [];
    });
  }

  #linear(group: Group, program: PolicyProgram, uses: Uses, byOwn: boolean): readonly NftRow[] {
    const { family, plan, base } = group;
    const { chains, lists, members } = this.#parts;
    const laidOut = linearChains({
      base,
      family,
      direction: plan.direction,
      program,
      settings: this.#settings,
      names: uses.names(members, lists, family),
      chainOf: uses.chainOf(chains[placeOf(plan.stage)], family),
    });
    const own = `${nftFamily(family)} ${plan.direction === 'ingress' ? 'daddr' : 'saddr'}`;
    return laidOut.map(({ name, rules }, i) =>
      this.#chain(group, name, i === 0 && byOwn ? [`${own} vmap @own-${base}`, ...rules] : rules),
    );
  }

  #chain({ family }: Group, name: string, rules: readonly (string | NftRuleText)[]): NftRow {
    return { kind: 'chain', family: nftFamily(family), chain: { name }, rules, closed: ['drop'] };
  }

  #read(key: string, group: Group): void {
    const readers = this.#readers.get(key) ?? new Set();
    this.#readers.set(key, readers.add(group));
  }

  #forget(key: string, group: Group): void {
    const readers = this.#readers.get(key);
    readers?.delete(group);
    if (readers?.size === 0) this.#readers.delete(key);
  }
}

const groupKey = (plan: ProgramPlan, family: Family, isOfWorkloads: boolean): string =>
  `${family} ${isOfWorkloads ? 'workload' : 'host'} ${plan.key}`;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

const stageWords: Readonly<Record<Stage, string>> = {
  normal: '',
  forward: 'forward-',
  untracked: 'untracked-',
  preDnat: 'pre-dnat-',
};
