// The programs in the kernel, shared by all endpoints with equal plans: laid out when the first user comes, anew under the
// same names when what they say changes, and taken away with the last. Where all users of a plan go on to another one, as
// when a policy comes or goes, the program of the new plan takes over the names of the old one: it is the old program,
// changed, and whatever leads to it stays.
//
//   in-<id>        compiled:    goto program-<id>                  `id` is a hash of the first plan it was made for
//                  linear:      its lines, and further chains in-<id>-1, …
//                  both, where rules ask for the endpoint's own address, which a compiled program knows beforehand:
//                               ip daddr vmap @own-in-<id>        10.0.0.1 : goto program-<id>-<address>
//                               the linear lines, for packets to any other address
import { createHash } from 'node:crypto';
import type { Address, Family } from '../../../../lib/ip/mod.ts';
import type { PolicyProgram, SetId, Stage } from '../../../../policy/mod.ts';
import type { NftRow, NftRuleText } from '../../nftables.ts';
import { asksOwnAddress, type CompiledPrograms, linearReason, noteEdits } from '../compiled/mod.ts';
import { editedProgram, policiesOf, programOf, type PolicyMirror, type ProgramPlan } from '../inputs/mod.ts';
import type { GroupProgram, PolicySettings } from '../types.ts';
import { linearChains, Uses } from './linear.ts';
import { addressType, nftFamily, OwnedRows, type RowSink } from './rows.ts';
import { type ChainPlace, placeOf, type RuleChainBook } from './rule-chains.ts';
import type { ListSetBook, MemberSetBook } from './sets.ts';

type Group = {
  readonly key: string;
  readonly plan: ProgramPlan;
  readonly family: Family;
  /** What it is called by in the kernel; undefined: not yet. */
  id: string | undefined;
  /** Whose users came to this one before it had a name. */
  readonly formers: Set<Group>;
  /** Whether it may be compiled: hosts' programs are linear always. */
  readonly isOfWorkloads: boolean;
  /** Addresses of the endpoints that have just one of the family, with how many have it. */
  readonly own: Map<Address, number>;
  users: number;
  uses: Uses;
  /** Keys of its compiled programs. */
  compiled: readonly string[];
  /** What the plan said last, until a profile of it changes, and policies of it that changed since. */
  program: PolicyProgram | undefined;
  readonly edited: Set<string>;
};

type Read = 'policy' | 'profile' | 'set';

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
  /** Groups by what they read. */
  readonly #readers = {
    policy: new Map<string, Set<Group>>(),
    profile: new Map<string, Set<Group>>(),
    set: new Map<string, Set<Group>>(),
  };
  /** Names in use, by family. */
  readonly #ids = new Set<string>();
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

  /** Counts one user more. `former`: the program that it used until now, and is about to release. */
  use({ plan, family, own }: ProgramUser, former?: ProgramUser): void {
    const isOfWorkloads = own !== undefined;
    const key = groupKey(plan, family, isOfWorkloads);
    const group = this.#groups.get(key) ?? this.#make(key, plan, family, isOfWorkloads);
    group.users++;
    const only = own?.length === 1 ? own[0] : undefined;
    if (only !== undefined) {
      const holders = group.own.get(only) ?? 0;
      group.own.set(only, holders + 1);
      // Only where rules ask for it; that is found out there.
      if (holders === 0) this.#stale.add(group);
    }
    if (group.id !== undefined || former === undefined) return;
    const before = this.#groups.get(groupKey(former.plan, former.family, former.own !== undefined));
    if (before !== undefined && before !== group) group.formers.add(before);
  }

  /** The chain to `goto`, of a program in use. When it is asked for first, whoever uses the program now should have said so,
   *  and have released what it used before. */
  chainOf({ plan, family, own }: ProgramUser): string {
    const group = this.#groups.get(groupKey(plan, family, own !== undefined));
    if (group === undefined) throw new Error(`nobody uses the program ${plan.key}`);
    if (group.id === undefined) this.#name(group);
    return baseOf(group);
  }

  /** Whether the program is in the kernel and about to become another one. */
  isChanging({ plan, family, own }: ProgramUser): boolean {
    const group = this.#groups.get(groupKey(plan, family, own !== undefined));
    return group !== undefined && this.#stale.has(group) && this.#owned.keysOf(ownerOf(group)).length > 0;
  }

  /** The names by which the programs of plans go. */
  *names(): Generator<readonly [id: string, plan: string]> {
    for (const { id, plan } of this.#groups.values()) if (id !== undefined) yield [id, plan.key];
  }

  #name(group: Group): void {
    const isFree = (former: Group): boolean =>
      former.users === 0 && former.id !== undefined && this.#groups.get(former.key) === former;
    const former = [...group.formers].find(isFree);
    group.formers.clear();
    if (former === undefined) {
      let id = group.plan.key;
      for (let n = 2; this.#ids.has(`${group.family} ${id}`); n++) id = `${group.plan.key}x${n}`;
      group.id = id;
      this.#ids.add(`${group.family} ${id}`);
      return;
    }
    this.#forgetGroup(former);
    group.id = former.id;
    group.uses = former.uses;
    group.compiled = former.compiled;
    for (const set of group.uses.sets) this.#read('set', set, group);
    this.#stale.delete(former);
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
    const group: Group = {
      key,
      plan,
      family,
      id: undefined,
      formers: new Set(),
      isOfWorkloads,
      own: new Map(),
      users: 0,
      uses: new Uses(),
      compiled: [],
      program: undefined,
      edited: new Set(),
    };
    this.#groups.set(key, group);
    for (const policy of policiesOf(plan)) this.#read('policy', policy, group);
    for (const profile of plan.profiles) this.#read('profile', profile, group);
    this.#stale.add(group);
    return group;
  }

  /** Lays out what is new or changed, and takes away what nobody uses any more. */
  flush(): void {
    for (const group of this.#stale) {
      if (group.users === 0) this.#remove(group);
      else {
        if (group.id === undefined) this.#name(group);
        this.#layOut(group);
      }
    }
    this.#stale.clear();
    const { put, drop } = this.#parts.compiled.flush();
    const { rows } = this.#parts;
    for (const key of drop) rows.drop(key);
    for (const [key, row] of put) rows.put(row, key);
  }

  #remove(group: Group): void {
    this.#forgetGroup(group);
    if (group.id === undefined) return;
    this.#ids.delete(`${group.family} ${group.id}`);
    this.#owned.replace(ownerOf(group), []);
    for (const compiled of group.compiled) this.#parts.compiled.delete(group.family, compiled);
    group.uses.release();
  }

  #forgetGroup(group: Group): void {
    const { plan, key } = group;
    this.#groups.delete(key);
    for (const policy of policiesOf(plan)) this.#forget('policy', policy, group);
    for (const profile of plan.profiles) this.#forget('profile', profile, group);
    for (const set of group.uses.sets) this.#forget('set', set, group);
  }

  /** Lays out anew what reads something that changed. */
  refresh(changed: {
    readonly policies: Iterable<string>;
    readonly profiles: Iterable<string>;
    readonly sets: Iterable<SetId>;
  }): void {
    const note = (what: Read, key: string, act?: (group: Group) => void): void => {
      for (const group of this.#readers[what].get(key) ?? []) {
        act?.(group);
        this.#stale.add(group);
      }
    };
    for (const policy of changed.policies) note('policy', policy, ({ edited }) => edited.add(policy));
    for (const profile of changed.profiles) note('profile', profile, (group) => (group.program = undefined));
    for (const set of changed.sets) note('set', set);
  }

  configure(settings: PolicySettings): void {
    this.#settings = settings;
    for (const group of this.#groups.values()) this.#stale.add(group);
  }

  /** Keys of the rows by which a program is entered. */
  rowsOf({ plan, family, own }: ProgramUser): readonly string[] {
    const group = this.#groups.get(groupKey(plan, family, own !== undefined));
    return group === undefined ? [] : this.#owned.keysOf(ownerOf(group));
  }

  #layOut(group: Group): void {
    const { family } = group;
    const base = baseOf(group);
    const program = this.#programOf(group);
    const uses = new Uses();
    const compiled = group.isOfWorkloads ? this.#compile(group, program) : [];
    const isWhole = compiled.length === 1 && compiled[0]?.own === undefined;
    const entry = isWhole
      ? []
      : compiled.map(
          ({ chain, own = '' }): NftRow => ({
            kind: 'element',
            family: nftFamily(family),
            set: `own-${base}`,
            element: { key: own, data: `goto ${chain}` },
          }),
        );
    const rows = isWhole
      ? [this.#chain(group, base, [`goto ${compiled[0]?.chain ?? ''}`])]
      : this.#linear(group, program, uses, entry.length > 0);
    const map: NftRow = {
      kind: 'set',
      family: nftFamily(family),
      set: { name: `own-${base}`, key: [addressType(family)], data: ['verdict'] },
    };
    this.#owned.replace(ownerOf(group), [...rows, ...(entry.length > 0 ? [map, ...entry] : [])]);
    const kept = new Set(compiled.map(({ key }) => key));
    for (const key of group.compiled) if (!kept.has(key)) this.#parts.compiled.delete(family, key);
    group.compiled = [...kept];
    for (const set of group.uses.sets) this.#forget('set', set, group);
    for (const set of uses.sets) this.#read('set', set, group);
    // What both use was never away.
    group.uses.release();
    group.uses = uses;
  }

  #programOf(group: Group): PolicyProgram {
    const { plan, edited, program: before } = group;
    const { mirror } = this.#parts;
    let program = before ?? programOf(plan, mirror);
    if (before !== undefined && edited.size > 0) {
      const now = editedProgram(before, plan, edited, mirror);
      noteEdits(before, now.program, now.edits);
      program = now.program;
    }
    edited.clear();
    group.program = program;
    return program;
  }

  /** Compiled programs of the group: one for all, or one for each own address where rules ask for it. */
  #compile(
    { plan, family, own, id = plan.key }: Group,
    program: PolicyProgram,
  ): readonly { readonly key: string; readonly chain: string; readonly own?: Address }[] {
    const { compiled } = this.#parts;
    const of = { family, direction: plan.direction, program };
    if (!asksOwnAddress(of)) {
      const group: GroupProgram = { ...of, key: id, own: [] };
      const outcome = compiled.set(group);
      return outcome.compiled ? [{ key: group.key, chain: outcome.chain }] : [];
    }
    return [...own.keys()].flatMap((address) => {
      const group: GroupProgram = { ...of, key: `${id}-${digest(address)}`, own: [address] };
      if (linearReason(group) !== undefined) return [];
      const outcome = compiled.set(group);
      return outcome.compiled ? [{ key: group.key, chain: outcome.chain, own: address }] : [];
    });
  }

  #linear(group: Group, program: PolicyProgram, uses: Uses, byOwn: boolean): readonly NftRow[] {
    const { family, plan } = group;
    const base = baseOf(group);
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

  #read(what: Read, key: string, group: Group): void {
    const readers = this.#readers[what].get(key);
    if (readers === undefined) this.#readers[what].set(key, new Set([group]));
    else readers.add(group);
  }

  #forget(what: Read, key: string, group: Group): void {
    const readers = this.#readers[what].get(key);
    readers?.delete(group);
    if (readers?.size === 0) this.#readers[what].delete(key);
  }
}

const groupKey = (plan: ProgramPlan, family: Family, isOfWorkloads: boolean): string =>
  `${family} ${isOfWorkloads ? 'workload' : 'host'} ${plan.key}`;

/** Its chain. */
const baseOf = ({ plan, isOfWorkloads, id = plan.key }: Group): string =>
  `${isOfWorkloads ? '' : 'host-'}${stageWords[plan.stage]}${plan.direction === 'ingress' ? 'in' : 'out'}-${id}`;

const ownerOf = (group: Group): string => `${group.family} ${baseOf(group)}`;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

const stageWords: Readonly<Record<Stage, string>> = {
  normal: '',
  forward: 'forward-',
  untracked: 'untracked-',
  preDnat: 'pre-dnat-',
};
