// One compiled program in the kernel: its chain of lookups, their maps, and for each class of addresses that it speaks of
// the elements that say what becomes of packets. Nothing is kept per element: what stands for a class is told by its plane.
//
//   program-<key>   <peer> map @hosts . meta l4proto . th dport vmap @p-<key>-port      and so on for the other lookups,
//                   <peer> map @nets … the same maps                                    where there is anything in them
//                   meta l4proto . th dport vmap @p-<key>-any-port                      addresses of no class
//                   goto rule-…
import type { GroupProgram } from '../types.ts';
import type { Atom, AtomSet, AtomSource } from './atoms.ts';
import type { DecisionChains } from './decisions.ts';
import { differencesOf, elementsOf, lookups, type Lookup, type PlaneElement } from './elements.ts';
import { DecisionCache, decidePlane, isStillPlane, type DecisionPlane } from './plane.ts';
import { ProgramMaps, type MapElement, type MapName } from './maps.ts';
import { ProgramParts, type PartChanges } from './parts.ts';
import { classText, nftFamily, type RowCollector } from './rows.ts';

/** What becomes of the packets of a class, as elements; classes with equal answers to the program's questions share it. */
type Plane = {
  /** Of the class that the program asks about. */
  readonly atoms: readonly Atom[];
  readonly decided: DecisionPlane;
  /** What it is told over; undefined: it says everything itself. */
  readonly over: DecisionPlane | undefined;
  readonly elements: readonly PlaneElement[];
  /** By lookup and fields: the verdict. */
  readonly verdicts: ReadonlyMap<string, string>;
  readonly key: string;
  references: number;
};

type PlaneChange = {
  /** Planes of classes with an atom of these; undefined: all. */
  readonly sources: ReadonlySet<AtomSource> | undefined;
  /** The same tiers and profiles, ending alike, stand around the rules: a plane may be the same in spite of all. */
  readonly mayBeStill: boolean;
  /** Looked at, or made, since. */
  readonly checked: Set<Plane>;
};

type Known = { readonly plane: Plane; hosts: boolean; intervals: boolean };

export const programChain = (key: string): string => `program-${key}`;

export class Program {
  group: GroupProgram;
  readonly parts = new ProgramParts();
  readonly #rows: RowCollector;
  readonly #chains: DecisionChains;
  readonly #maps: ProgramMaps;
  readonly #planes = new Map<string, Plane>();
  readonly #known = new Map<AtomSet, Known>();
  /** Elements in the maps of classes, and of addresses without. */
  readonly #counts: Record<Lookup, number> = { port: 0, range: 0, icmp: 0, proto: 0, class: 0 };
  readonly #icmpProtocols = new Map<number, number>();
  readonly #cache = new DecisionCache();
  /** While the parts are others than the planes were made of: the planes that may be others, too. */
  #change: PlaneChange | undefined;
  #any: Plane | undefined;
  /** Classes say only what differs from addresses of no class: possible while no lookup of networks lies between. */
  #isOverAny = true;
  #hostClasses = 0;
  #netClasses = 0;
  #chainText: string | undefined;

  constructor(group: GroupProgram, rows: RowCollector, chains: DecisionChains) {
    this.group = group;
    this.#rows = rows;
    this.#chains = chains;
    this.#maps = new ProgramMaps(group.key, group.family, rows);
  }

  get planeCount(): number {
    return this.#planes.size;
  }

  /** Brings classes up to what the parts say by now. `touched` are those that parts that changed ask about, of which the
   *  program gets its own atoms, none where it has nothing to say any more; `all` are all that the program speaks of. */
  renew(
    { added, removed, hasOtherSections, isReordered }: PartChanges,
    touched: ReadonlyMap<AtomSet, readonly Atom[]>,
    all: () => ReadonlyMap<AtomSet, readonly Atom[]>,
  ): void {
    const changed = [...added, ...removed];
    const isOfAll =
      this.#any === undefined || hasOtherSections || isReordered || changed.some(({ isAlways }) => isAlways);
    const change: PlaneChange = {
      sources: isOfAll ? undefined : new Set(changed.flatMap(({ asked }) => [...asked])),
      mayBeStill: this.#any !== undefined && !hasOtherSections,
      checked: new Set(),
    };
    this.#change = change;
    if (isOfAll) {
      const classes = all();
      this.#isOverAny = [...classes.keys()].every((set) => set.intervals === 0);
      this.#setAny(change);
      for (const set of new Map(this.#known).keys()) if (!classes.has(set)) this.forget(set);
      for (const [set, atoms] of classes) this.#set(set, atoms);
    } else
      for (const [set, atoms] of touched)
        if (atoms.length > 0) this.#set(set, atoms);
        else this.forget(set);
    this.#change = undefined;
  }

  /** A class that the program speaks of came. */
  learn(set: AtomSet, atoms: readonly Atom[]): void {
    if (!this.#known.has(set)) this.#set(set, atoms);
  }

  #set(set: AtomSet, atoms: readonly Atom[]): void {
    const known = this.#known.get(set);
    const plane = this.#planeFor(atoms);
    this.#replace(set, known, plane);
    if (known !== undefined) this.#releasePlane(known.plane);
  }

  forget(set: AtomSet): void {
    const known = this.#known.get(set);
    if (known === undefined) return;
    this.#replace(set, known, undefined);
    this.#releasePlane(known.plane);
  }

  /** The class came to hosts or networks, or went from them. */
  move(set: AtomSet): void {
    const known = this.#known.get(set);
    if (known !== undefined) this.#count(known, set.hosts > 0, set.intervals > 0);
  }

  knows(set: AtomSet): boolean {
    return this.#known.has(set);
  }

  /** Chain and maps as they now must be. */
  settle(): void {
    if (this.#isOverAny !== (this.#netClasses === 0)) this.#recode();
    const wanted = new Set<MapName>();
    for (const lookup of lookups) {
      if (this.#counts[lookup] > 0) wanted.add(lookup);
      if (this.#anyHas(lookup)) wanted.add(`any-${lookup}`);
    }
    const isOther = this.#rules().join('\n') !== this.#chainText;
    this.#maps.settle(wanted, isOther, (map) => this.#elementsOf(map));
    const rules = this.#rules();
    const text = rules.join('\n');
    if (text === this.#chainText) return;
    this.#chainText = text;
    const name = programChain(this.group.key);
    const family = nftFamily(this.group.family);
    this.#rows.put(`${family} chain ${name}`, {
      kind: 'chain',
      family,
      chain: { name },
      rules,
      closed: ['drop'],
    });
  }

  remove(): void {
    for (const [set, known] of this.#known) this.#replace(set, known, undefined);
    for (const plane of this.#planes.values()) this.#unuse(plane);
    this.#planes.clear();
    this.#clearAny();
    this.#maps.remove();
    this.#rows.drop(`${nftFamily(this.group.family)} chain ${programChain(this.group.key)}`);
  }

  // ── planes ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** The plane, with one reference more. */
  #planeFor(atoms: readonly Atom[]): Plane {
    const key = atoms.map(({ id }) => id).join(',');
    const known = this.#planes.get(key);
    const plane = known !== undefined && this.#isUpToDate(known) ? known : this.#planeAnew(atoms, key, known);
    plane.references++;
    return plane;
  }

  #isUpToDate(plane: Plane): boolean {
    const change = this.#change;
    if (change === undefined || change.checked.has(plane)) return true;
    const { sources } = change;
    return sources !== undefined && !plane.atoms.some(({ source }) => sources.has(source));
  }

  #planeAnew(atoms: readonly Atom[], key: string, known: Plane | undefined): Plane {
    const isStill = known !== undefined && this.#isStill(known);
    const plane =
      isStill && this.#isCodedAlike(known)
        ? known
        : this.#makePlane(atoms, key, isStill ? known.decided : this.#decide(atoms));
    this.#planes.set(key, plane);
    this.#change?.checked.add(plane);
    return plane;
  }

  #isStill({ decided, atoms }: Plane): boolean {
    return this.#change?.mayBeStill === true && isStillPlane(decided, this.parts, atoms);
  }

  #decide(atoms: readonly Atom[]): DecisionPlane {
    return decidePlane(this.parts, atoms, this.#cache);
  }

  #isCodedAlike({ over }: Plane): boolean {
    return over === (this.#isOverAny ? this.#any?.decided : undefined);
  }

  #makePlane(atoms: readonly Atom[], key: string, decided: DecisionPlane, isAny = false): Plane {
    const over = this.#isOverAny && !isAny ? this.#any?.decided : undefined;
    const elements = (over && differencesOf(decided, over)) ?? elementsOf(decided);
    const verdicts = new Map<string, string>();
    for (const { text, decision } of elements) verdicts.set(text, `goto ${this.#chains.use(decision)}`);
    return { atoms, decided, over, elements, verdicts, key, references: 0 };
  }

  /** Writes all classes in the other way. */
  #recode(): void {
    this.#isOverAny = this.#netClasses === 0;
    const former = new Map(this.#planes);
    for (const [key, { atoms, decided, references }] of former)
      this.#planes.set(key, { ...this.#makePlane(atoms, key, decided), references });
    for (const [set, known] of new Map(this.#known))
      this.#replace(set, known, this.#planes.get(known.plane.key));
    for (const plane of former.values()) this.#unuse(plane);
  }

  #releasePlane(plane: Plane): void {
    if (--plane.references > 0) return;
    // One that was made anew stands under its key by now.
    if (this.#planes.get(plane.key) === plane) this.#planes.delete(plane.key);
    this.#unuse(plane);
  }

  #unuse(plane: Plane): void {
    for (const { decision } of plane.elements) this.#chains.release(decision);
  }

  // ── elements of classes ────────────────────────────────────────────────────────────────────────────────────────────
  #replace(set: AtomSet, before: Known | undefined, plane: Plane | undefined): void {
    const old = before?.plane;
    if (before !== undefined && old === plane) return this.#count(before, set.hosts > 0, set.intervals > 0);
    if (before !== undefined) {
      this.#count(before, false, false);
      this.#known.delete(set);
      this.#countElements(before.plane, -1);
    }
    if (plane !== undefined) {
      const known: Known = { plane, hosts: false, intervals: false };
      this.#known.set(set, known);
      this.#count(known, set.hosts > 0, set.intervals > 0);
      this.#countElements(plane, 1);
    }
    const mark = classText(set.number as number);
    for (const element of old?.elements ?? [])
      if (plane?.verdicts.has(element.text) !== true)
        this.#maps.drop(element.lookup, [mark, ...element.fields]);
    for (const element of plane?.elements ?? []) {
      const verdict = plane?.verdicts.get(element.text) ?? '';
      if (old?.verdicts.get(element.text) !== verdict)
        this.#maps.put(element.lookup, [mark, ...element.fields], verdict);
    }
  }

  #count(known: Known, hosts: boolean, intervals: boolean): void {
    this.#hostClasses += Number(hosts) - Number(known.hosts);
    this.#netClasses += Number(intervals) - Number(known.intervals);
    known.hosts = hosts;
    known.intervals = intervals;
  }

  #countElements(plane: Plane, by: 1 | -1): void {
    for (const { lookup, protocol } of plane.elements) {
      this.#counts[lookup] += by;
      if (protocol === undefined) continue;
      const count = (this.#icmpProtocols.get(protocol) ?? 0) + by;
      if (count === 0) this.#icmpProtocols.delete(protocol);
      else this.#icmpProtocols.set(protocol, count);
    }
  }

  // ── addresses of no class ──────────────────────────────────────────────────────────────────────────────────────────
  #setAny({ mayBeStill }: PlaneChange): void {
    const before = this.#any;
    if (before !== undefined && mayBeStill && isStillPlane(before.decided, this.parts, [])) return;
    const after = this.#makePlane([], '', this.#decide([]), true);
    this.#any = after;
    for (const element of before?.elements ?? [])
      if (element.lookup !== 'class' && !after.verdicts.has(element.text))
        this.#maps.drop(`any-${element.lookup}`, element.fields);
    for (const element of after.elements) {
      const verdict = after.verdicts.get(element.text) ?? '';
      if (element.lookup !== 'class' && before?.verdicts.get(element.text) !== verdict)
        this.#maps.put(`any-${element.lookup}`, element.fields, verdict);
    }
    if (before !== undefined) this.#unuse(before);
  }

  #clearAny(): void {
    const before = this.#any;
    if (before === undefined) return;
    for (const { lookup, fields } of before.elements)
      if (lookup !== 'class') this.#maps.drop(`any-${lookup}`, fields);
    this.#unuse(before);
    this.#any = undefined;
  }

  #anyHas(lookup: Lookup): boolean {
    return lookup !== 'class' && (this.#any?.elements ?? []).some((element) => element.lookup === lookup);
  }

  // ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  #rules(): string[] {
    const { family, direction } = this.group;
    const peer = `${nftFamily(family)} ${direction === 'ingress' ? 'saddr' : 'daddr'}`;
    const rules: string[] = [];
    if (this.#hostClasses > 0) rules.push(...this.#lookupRules(`${peer} map @hosts`, ''));
    if (this.#netClasses > 0) rules.push(...this.#lookupRules(`${peer} map @nets`, ''));
    rules.push(...this.#lookupRules('', 'any-'));
    rules.push(this.#any?.verdicts.get('class ') ?? 'drop');
    return rules;
  }

  #lookupRules(peer: string, prefix: '' | 'any-'): string[] {
    const has = (lookup: Lookup): boolean =>
      prefix === '' ? this.#counts[lookup] > 0 : this.#anyHas(lookup);
    const rule = (lookup: Lookup, ...fields: readonly string[]): string =>
      `${[...(peer === '' ? [] : [peer]), ...fields].join(' . ')} vmap @${this.#maps.nameOf(`${prefix}${lookup}`)}`;
    const rules: string[] = [];
    for (const lookup of ['port', 'range'] as const)
      if (has(lookup)) rules.push(rule(lookup, 'meta l4proto', 'th dport'));
    if (has('icmp'))
      for (const protocol of this.#icmpNumbers(prefix))
        rules.push(`meta l4proto ${protocol} ${rule('icmp', 'meta l4proto', 'th sport')}`);
    if (has('proto')) rules.push(rule('proto', 'meta l4proto'));
    if (has('class')) rules.push(rule('class'));
    return rules;
  }

  /** Type and code lie where others have the source's port. */
  #icmpNumbers(prefix: '' | 'any-'): readonly number[] {
    if (prefix === '') return [...this.#icmpProtocols.keys()].sort((a, b) => a - b);
    const found = new Set<number>();
    for (const { protocol } of this.#any?.elements ?? []) if (protocol !== undefined) found.add(protocol);
    return [...found].sort((a, b) => a - b);
  }

  /** All elements of a map as they now must be. */
  *#elementsOf(map: MapName): Generator<MapElement> {
    const all = this.#any;
    for (const { lookup, text, fields } of all?.elements ?? [])
      if (map === `any-${lookup}` && lookup !== 'class')
        yield { fields, verdict: all?.verdicts.get(text) ?? '' };
    for (const [set, { plane }] of this.#known)
      for (const { lookup, text, fields } of plane.elements)
        if (map === lookup)
          yield {
            fields: [classText(set.number as number), ...fields],
            verdict: plane.verdicts.get(text) ?? '',
          };
  }
}
