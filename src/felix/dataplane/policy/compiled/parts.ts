// The parts of one program, prepared, in order: the rules of each policy in its tier, and of each profile. When the program
// reads otherwise only what differs is prepared anew; the rest stays the same objects, and with them decisions that were made.
import {
  policyText,
  type PolicyId,
  type PolicyProgram,
  type Rule,
  type SetId,
} from '../../../../policy/mod.ts';
import type { Decider, GroupProgram } from '../types.ts';
import type { AtomSource } from './atoms.ts';
import { ownAnswers, preparePart, type Knowledge } from './prepare.ts';
import { setsNamed, type Part, type PartOwner, type PreparedProgram, type Section } from './prepared.ts';

export type PartChanges = {
  /** What is new, and what went; a part that reads otherwise is both. */
  readonly added: readonly Part[];
  readonly removed: readonly Part[];
  /** Tiers and profiles are others, or end otherwise. */
  readonly hasOtherSections: boolean;
  /** The order of what stayed is another one. */
  readonly isReordered: boolean;
  /** Sources that no part asks any more. */
  readonly unused: readonly AtomSource[];
  /** Sets that parts began and ceased to name. */
  readonly named: readonly SetId[];
  readonly unnamed: readonly SetId[];
};

type Wanted = {
  readonly owner: PartOwner;
  readonly rules: readonly Rule[];
  readonly section: number;
};
/** The part, and how it reads now. */
type PartEdit = { readonly part: Part; readonly rules: readonly Rule[] };
type Picked = Pick<PartChanges, 'added' | 'removed' | 'isReordered'>;

export class ProgramParts implements PreparedProgram {
  #parts: readonly Part[] = [];
  #sections: readonly Section[] = [];
  #sectionsText = '';
  #otherwise: Decider | undefined;
  readonly #always = new Set<Part>();
  readonly #bySource = new Map<AtomSource, Set<Part>>();
  readonly #asked = new Map<AtomSource, Set<Part>>();
  readonly #bySet = new Map<SetId, Set<Part>>();
  readonly #byName = new Map<string, Part>();
  /** Ends of tiers and of the program; equal ones stay one object, so that equal decisions do. */
  readonly #ends = new Map<string, Decider>();
  /** What these ask for has other answers. */
  readonly #outdated = new Set<Part>();

  get sections(): readonly Section[] {
    return this.#sections;
  }
  get otherwise(): Decider {
    if (this.#otherwise === undefined) throw new Error('the program was never prepared');
    return this.#otherwise;
  }
  get always(): ReadonlySet<Part> {
    return this.#always;
  }
  get bySource(): ReadonlyMap<AtomSource, ReadonlySet<Part>> {
    return this.#bySource;
  }

  /** Sources that its rules ask. */
  get sources(): Iterable<AtomSource> {
    return this.#asked.keys();
  }
  asks(source: AtomSource): boolean {
    return this.#asked.has(source);
  }
  /** Sets that its rules name. */
  get sets(): Iterable<SetId> {
    return this.#bySet.keys();
  }

  /** All parts, or those that name the set, are prepared anew with the next update. */
  outdate(set?: SetId): void {
    const parts = set === undefined ? this.#parts : (this.#bySet.get(set) ?? []);
    for (const part of parts) this.#outdated.add(part);
  }

  /** Members of a set changed: parts to which that says something else about the endpoint itself are prepared anew with the
   *  next update. Gives whether there are any. */
  recheck(set: SetId, group: GroupProgram, knowledge: Pick<Knowledge, 'ownIsIn' | 'ownPorts'>): boolean {
    let found = false;
    for (const part of this.#bySet.get(set) ?? [])
      if (part.ownAnswers !== ownAnswers(group, knowledge, part.rules)) {
        this.#outdated.add(part);
        found = true;
      }
    return found;
  }

  update(group: GroupProgram, knowledge: Knowledge): PartChanges {
    const sections = this.#readSections(group);
    const sectionsText = JSON.stringify([
      group.direction,
      sections.map(({ name, end }) => [name, end?.action]),
      group.program.otherwise,
    ]);
    const hasOtherSections = sectionsText !== this.#sectionsText;
    this.#sections = sections;
    this.#sectionsText = sectionsText;
    const edits = this.#editsOf(group.program);
    const { added, removed, isReordered } =
      edits === undefined
        ? this.#pick(wantedParts(group.program), group, knowledge)
        : this.#edit(edits, group, knowledge);
    this.#outdated.clear();
    return { added, removed, hasOtherSections, isReordered, ...this.#file(added, removed) };
  }

  #readSections({ program, direction }: GroupProgram): readonly Section[] {
    const sections: Section[] = [];
    for (const { name: tier, policies, endAction } of program.tiers) {
      if (policies.length === 0) continue;
      const end = this.#end(`${direction} tier ${tier}`, {
        by: 'end-of-tier',
        tier,
        direction,
        action: 'deny',
      });
      sections.push({ name: `tier ${tier}`, end: endAction === 'deny' ? end : undefined });
    }
    for (const { name: profile } of program.profiles)
      sections.push({ name: `profile ${profile}`, end: undefined });
    const action = program.otherwise === 'allow' ? 'allow' : 'deny';
    this.#otherwise = this.#end(`${direction} ${action}`, { by: 'end', direction, action });
    return sections;
  }

  #end(key: string, end: Decider): Decider {
    const known = this.#ends.get(key);
    if (known === undefined) this.#ends.set(key, end);
    return known ?? end;
  }

  /** What of the parts reads otherwise, where the program has the policies and profiles that it had, in their order; else
   *  undefined. Nothing is made for what stays: the one step of an edit that looks at all policies. */
  #editsOf({ tiers, profiles }: PolicyProgram): readonly PartEdit[] | undefined {
    const edits: PartEdit[] = [];
    let at = 0;
    let section = 0;
    for (const { name, policies } of tiers) {
      if (policies.length === 0) continue;
      for (const { id, rules } of policies) {
        const part = this.#parts[at++];
        if (part === undefined || part.section !== section || !isOfPolicy(part.owner, name, id))
          return undefined;
        if (!this.#isUpToDate(part, rules)) edits.push({ part, rules });
      }
      section++;
    }
    for (const { name, rules } of profiles) {
      const part = this.#parts[at++];
      if (part === undefined || part.section !== section || !isOfProfile(part.owner, name)) return undefined;
      if (!this.#isUpToDate(part, rules)) edits.push({ part, rules });
      section++;
    }
    return at === this.#parts.length ? edits : undefined;
  }

  #isUpToDate(part: Part, rules: readonly Rule[]): boolean {
    return part.rules === rules && !(this.#outdated.size > 0 && this.#outdated.has(part));
  }

  #edit(edits: readonly PartEdit[], group: GroupProgram, knowledge: Knowledge): Picked {
    const parts = [...this.#parts];
    const added = edits.map(({ part: { owner, section, place }, rules }) => {
      const part = preparePart(group, knowledge, owner, rules);
      part.section = section;
      part.place = place;
      parts[place] = part;
      return part;
    });
    this.#parts = parts;
    return { added, removed: edits.map(({ part }) => part), isReordered: false };
  }

  /** The parts that are wanted: those that are there where they read the same, others anew. */
  #pick(wanted: readonly Wanted[], group: GroupProgram, knowledge: Knowledge): Picked {
    const before = this.#parts;
    const parts: Part[] = [];
    const added: Part[] = [];
    const taken = new Set<Part>();
    let at = 0;
    let isReordered = false;
    for (const { owner, rules, section } of wanted) {
      let known = before[at];
      if (known === undefined || !isSame(known.owner, owner)) {
        known = this.#byName.get(nameOf(owner));
        if (known !== undefined && known.place < at) isReordered = true;
      }
      if (known !== undefined && taken.has(known)) known = undefined;
      if (known !== undefined) {
        taken.add(known);
        at = Math.max(at, known.place + 1);
      }
      const isKept = known !== undefined && this.#isUpToDate(known, rules);
      const part = known !== undefined && isKept ? known : preparePart(group, knowledge, owner, rules);
      if (!isKept) added.push(part);
      part.section = section;
      parts.push(part);
    }
    const kept = new Set(parts);
    for (const [place, part] of parts.entries()) part.place = place;
    this.#parts = parts;
    return { added, removed: before.filter((part) => !kept.has(part)), isReordered };
  }

  #file(added: readonly Part[], removed: readonly Part[]) {
    const named: SetId[] = [];
    const unnamed: SetId[] = [];
    const unused: AtomSource[] = [];
    for (const part of removed) this.#byName.delete(nameOf(part.owner));
    for (const part of added) {
      this.#byName.set(nameOf(part.owner), part);
      if (part.isAlways) this.#always.add(part);
      for (const source of part.needed) file(this.#bySource, source, part);
      for (const source of part.asked) file(this.#asked, source, part);
      for (const set of setsOf(part)) if (file(this.#bySet, set, part)) named.push(set);
    }
    for (const part of removed) {
      this.#always.delete(part);
      for (const source of part.needed) unfile(this.#bySource, source, part);
      for (const source of part.asked) if (unfile(this.#asked, source, part)) unused.push(source);
      for (const set of setsOf(part)) if (unfile(this.#bySet, set, part)) unnamed.push(set);
    }
    return { named, unnamed, unused };
  }
}

function wantedParts({ tiers, profiles }: PolicyProgram): readonly Wanted[] {
  const wanted: Wanted[] = [];
  let section = 0;
  for (const { name: tier, policies } of tiers) {
    if (policies.length === 0) continue;
    for (const { id, rules } of policies) wanted.push({ owner: { tier, policy: id }, rules, section });
    section++;
  }
  for (const { name: profile, rules } of profiles)
    wanted.push({ owner: { tier: undefined, profile }, rules, section: section++ });
  return wanted;
}

function* setsOf({ rules }: Part): Generator<SetId> {
  yield* setsNamed(rules, 'source');
  yield* setsNamed(rules, 'destination');
}

/** Whether the part is the first under the key. */
function file<K>(index: Map<K, Set<Part>>, key: K, part: Part): boolean {
  const parts = index.get(key);
  if (parts === undefined) index.set(key, new Set([part]));
  else parts.add(part);
  return parts === undefined;
}

/** Whether the part was the last under the key. */
function unfile<K>(index: Map<K, Set<Part>>, key: K, part: Part): boolean {
  const parts = index.get(key);
  if (parts?.delete(part) !== true || parts.size > 0) return false;
  return index.delete(key);
}

const nameOf = (owner: PartOwner): string =>
  owner.tier === undefined ? `profile ${owner.profile}` : `tier ${owner.tier} ${policyText(owner.policy)}`;

/** The same without a look at names; those that differ here may still be equal. */
const isSame = (a: PartOwner, b: PartOwner): boolean =>
  b.tier === undefined ? isOfProfile(a, b.profile) : isOfPolicy(a, b.tier, b.policy);
const isOfPolicy = (owner: PartOwner, tier: string, policy: PolicyId): boolean =>
  owner.tier !== undefined && owner.tier === tier && owner.policy === policy;
const isOfProfile = (owner: PartOwner, profile: string): boolean =>
  owner.tier === undefined && owner.profile === profile;
