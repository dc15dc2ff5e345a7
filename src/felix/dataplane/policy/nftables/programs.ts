// The programs in the kernel, shared by all endpoints with equal plans: laid out when the first user comes, anew under the
// same names when what they say changes, and taken away with the last.
import type { Family } from '../../../../lib/ip/mod.ts';
import type { SetId, Stage } from '../../../../policy/mod.ts';
import { policiesOf, programOf, type PolicyMirror, type ProgramPlan } from '../inputs/mod.ts';
import type { PolicySettings } from '../types.ts';
import { linearChains, Uses } from './linear.ts';
import { nftFamily, OwnedRows, type RowSink } from './rows.ts';
import { type ChainPlace, placeOf, type RuleChainBook } from './rule-chains.ts';
import type { ListSetBook, MemberSetBook } from './sets.ts';

type Group = {
  readonly key: string;
  readonly plan: ProgramPlan;
  readonly family: Family;
  readonly base: string;
  users: number;
  uses: Uses;
};

export type ProgramParts = {
  readonly rows: RowSink;
  readonly mirror: PolicyMirror;
  readonly chains: Readonly<Record<ChainPlace, RuleChainBook>>;
  readonly members: MemberSetBook;
  readonly lists: ListSetBook;
};

export class ProgramBook {
  readonly #parts: ProgramParts;
  readonly #owned: OwnedRows;
  readonly #groups = new Map<string, Group>();
  /** Groups by what they read: `policy …`, `profile …`, `set …`. */
  readonly #readers = new Map<string, Set<Group>>();
  #settings: PolicySettings;

  constructor(parts: ProgramParts, settings: PolicySettings) {
    this.#parts = parts;
    this.#owned = new OwnedRows(parts.rows);
    this.#settings = settings;
  }

  get size(): number {
    return this.#groups.size;
  }

  /** The chain to `goto`. */
  use(plan: ProgramPlan, family: Family): string {
    const key = `${family} ${plan.key}`;
    const known = this.#groups.get(key);
    if (known !== undefined) {
      known.users++;
      return known.base;
    }
    const base = `${stageWords[plan.stage]}${plan.direction === 'ingress' ? 'in' : 'out'}-${plan.key}`;
    const group: Group = { key, plan, family, base, users: 1, uses: new Uses() };
    this.#groups.set(key, group);
    for (const policy of policiesOf(plan)) this.#read(`policy ${policy}`, group);
    for (const profile of plan.profiles) this.#read(`profile ${profile}`, group);
    this.#layOut(group);
    return base;
  }

  release(plan: ProgramPlan, family: Family): void {
    const group = this.#groups.get(`${family} ${plan.key}`);
    if (group === undefined) return;
    group.users--;
    if (group.users > 0) return;
    this.#groups.delete(group.key);
    for (const policy of policiesOf(plan)) this.#forget(`policy ${policy}`, group);
    for (const profile of plan.profiles) this.#forget(`profile ${profile}`, group);
    for (const set of group.uses.sets) this.#forget(`set ${set}`, group);
    this.#owned.replace(group.key, []);
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
    for (const group of groups) this.#layOut(group);
  }

  configure(settings: PolicySettings): void {
    this.#settings = settings;
    for (const group of this.#groups.values()) this.#layOut(group);
  }

  /** Keys of the rows that a program consists of. */
  rowsOf(plan: ProgramPlan, family: Family): readonly string[] {
    return this.#owned.keysOf(`${family} ${plan.key}`);
  }

  #layOut(group: Group): void {
    const { family, plan, base } = group;
    const { chains, lists, members, mirror } = this.#parts;
    const uses = new Uses();
    const laidOut = linearChains({
      base,
      family,
      direction: plan.direction,
      program: programOf(plan, mirror),
      settings: this.#settings,
      names: uses.names(members, lists, family),
      chainOf: uses.chainOf(chains[placeOf(plan.stage)], family),
    });
    this.#owned.replace(
      group.key,
      laidOut.map(({ name, rules }) => ({
        kind: 'chain',
        family: nftFamily(family),
        chain: { name },
        rules,
        closed: ['drop'],
      })),
    );
    for (const set of group.uses.sets) this.#forget(`set ${set}`, group);
    for (const set of uses.sets) this.#read(`set ${set}`, group);
    // What both use was never away.
    group.uses.release();
    group.uses = uses;
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

const stageWords: Readonly<Record<Stage, string>> = {
  normal: '',
  forward: 'forward-',
  untracked: 'untracked-',
  preDnat: 'pre-dnat-',
};
