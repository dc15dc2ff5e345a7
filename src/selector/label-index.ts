// Which items which selectors select, kept up to date at the cost of what changes. An item has labels of its own and
// inherits those of its parents (a pod those of its namespace and service account); its own win, then those of the
// parent that is named first.
//
//   a new selector  looks only at items that have a label it demands: the demand that the fewest items meet
//   a changed item  looks only at selectors that it matched, and at those filed under a label that it has
//
// A selector is filed under one of the labels it demands, in the emptiest drawer of those open to it: so a demand that
// everybody makes (`orchestrator == 'k8s'`) does not collect all selectors. Selectors that demand no label are looked at for
// every item. Labels of parents are indexed once for the parent, not for each of its items.
import { matchesLookup } from './evaluate.ts';
import { labelRestrictions } from './restrictions.ts';
import type { Labels, Selector } from './types.ts';

export type MatchListener<SelectorId, ItemId> = (
  selector: SelectorId,
  item: ItemId,
  isMatch: boolean,
) => void;

type Item<S, I> = {
  readonly id: I;
  labels: Labels;
  parents: readonly Parent<S, I>[];
  /** The selectors that select it; absent instead of empty, for most items are selected by none. */
  matched: Set<Filed<S, I>> | undefined;
};
type Parent<S, I> = { readonly id: string; labels: Labels | undefined; readonly items: Set<Item<S, I>> };
type Filed<S, I> = {
  readonly id: S;
  readonly selector: Selector;
  readonly items: Set<Item<S, I>>;
  /** The demand that it is filed under; none when it demands no label. */
  readonly demand: Demand | undefined;
  readonly drawers: readonly Set<Filed<S, I>>[];
};
/** Selectors filed under a label: those that demand one of some values, and those that only want it there. */
type Cabinet<S, I> = { readonly present: Set<Filed<S, I>>; readonly values: Map<string, Set<Filed<S, I>>> };

const noLabels: Labels = Object.freeze({});

export type LabelIndexWork = {
  readonly items: number;
  readonly selectors: number;
  readonly unfiled: number;
  /** How often a selector was held against an item. */
  readonly evaluations: number;
  /** Of the evaluations. */
  readonly matches: number;
};

export class LabelIndex<SelectorId, ItemId> {
  readonly #listener: MatchListener<SelectorId, ItemId>;
  readonly #items = new Map<ItemId, Item<SelectorId, ItemId>>();
  readonly #parents = new Map<string, Parent<SelectorId, ItemId>>();
  readonly #selectors = new Map<SelectorId, Filed<SelectorId, ItemId>>();
  readonly #itemsByLabel = new ByLabel<Item<SelectorId, ItemId>>();
  readonly #parentsByLabel = new ByLabel<Parent<SelectorId, ItemId>>();
  readonly #cabinets = new Map<string, Cabinet<SelectorId, ItemId>>();
  readonly #unfiled = new Set<Filed<SelectorId, ItemId>>();
  #evaluations = 0;
  #matches = 0;

  /** The listener is told of each match that starts or ends, while the change that causes it is made. */
  constructor(listener: MatchListener<SelectorId, ItemId>) {
    this.#listener = listener;
  }

  /** How much it holds; all of it is gone when everything was deleted. */
  get size(): {
    readonly items: number;
    readonly parents: number;
    readonly selectors: number;
    readonly cabinets: number;
  } {
    return {
      items: this.#items.size,
      parents: this.#parents.size,
      selectors: this.#selectors.size,
      cabinets:
        this.#cabinets.size + this.#unfiled.size + this.#itemsByLabel.size + this.#parentsByLabel.size,
    };
  }

  /** What the work came to, for metrics. `unfiled`: selectors that demand no label, and are held against everything. */
  get work(): LabelIndexWork {
    return {
      items: this.#items.size,
      selectors: this.#selectors.size,
      unfiled: this.#unfiled.size,
      evaluations: this.#evaluations,
      matches: this.#matches,
    };
  }

  /** Adds an item, or changes its labels or parents. A parent may come later, or never. */
  setItem(id: ItemId, labels: Labels | undefined, parents: readonly string[] = []): void {
    const own = labels ?? noLabels;
    const known = this.#items.get(id);
    if (known !== undefined && sameLabels(known.labels, own) && sameParents(known.parents, parents)) return;
    const item = known ?? { id, labels: noLabels, parents: [], matched: undefined };
    if (known === undefined) this.#items.set(id, item);
    this.#itemsByLabel.replace(item, item.labels, own);
    item.labels = own;
    this.#adopt(item, parents);
    this.#rescan(item);
  }

  deleteItem(id: ItemId): void {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.#items.delete(id);
    this.#itemsByLabel.replace(item, item.labels, noLabels);
    this.#adopt(item, []);
    for (const filed of item.matched ?? []) {
      filed.items.delete(item);
      this.#listener(filed.id, id, false);
    }
  }

  /** Gives a parent its labels; undefined: it is gone, and its items inherit nothing from it. */
  setParent(id: string, labels: Labels | undefined): void {
    const known = this.#parents.get(id);
    if (known === undefined && labels === undefined) return;
    if (known !== undefined && sameLabels(known.labels ?? noLabels, labels ?? noLabels)) {
      known.labels = labels;
      this.#forgetIfUnused(known);
      return;
    }
    const parent = known ?? this.#parent(id);
    this.#parentsByLabel.replace(parent, parent.labels ?? noLabels, labels ?? noLabels);
    parent.labels = labels;
    for (const item of parent.items) this.#rescan(item);
    this.#forgetIfUnused(parent);
  }

  /** Adds a selector under an identifier that is not in use; equal identifiers must mean equal selectors. */
  setSelector(id: SelectorId, selector: Selector): void {
    if (this.#selectors.has(id)) return;
    const restrictions = labelRestrictions(selector);
    const demands: Demand[] = [];
    for (const [label, { mustBePresent, mustHaveOneOfValues }] of restrictions)
      if (mustHaveOneOfValues !== undefined) demands.push({ label, values: mustHaveOneOfValues });
      else if (mustBePresent) demands.push({ label });
    const demand = this.#emptiest(demands);
    const filed: Filed<SelectorId, ItemId> = {
      id,
      selector,
      items: new Set(),
      demand,
      // A demand that nothing can meet opens no drawer.
      drawers: demand === undefined ? [this.#unfiled] : this.#drawersFor(demand),
    };
    this.#selectors.set(id, filed);
    for (const drawer of filed.drawers) drawer.add(filed);
    for (const item of this.#candidates(demands)) this.#judge(filed, item);
  }

  /** Removes a selector. The listener is not told of the matches that end with it. */
  deleteSelector(id: SelectorId): void {
    const filed = this.#selectors.get(id);
    if (filed === undefined) return;
    this.#selectors.delete(id);
    for (const drawer of filed.drawers) drawer.delete(filed);
    if (filed.demand !== undefined) this.#discardEmptyDrawers(filed.demand);
    for (const item of filed.items) {
      item.matched?.delete(filed);
      if (item.matched?.size === 0) item.matched = undefined;
    }
  }

  *itemsOf(id: SelectorId): Generator<ItemId> {
    for (const item of this.#selectors.get(id)?.items ?? []) yield item.id;
  }

  *selectorsOf(id: ItemId): Generator<SelectorId> {
    for (const filed of this.#items.get(id)?.matched ?? []) yield filed.id;
  }

  hasMatches(id: SelectorId): boolean {
    return (this.#selectors.get(id)?.items.size ?? 0) > 0;
  }

  #judge(filed: Filed<SelectorId, ItemId>, item: Item<SelectorId, ItemId>): void {
    this.#evaluations++;
    const isMatch = matchesLookup(filed.selector, (label) => valueOf(item, label));
    if (isMatch) this.#matches++;
    if (isMatch === filed.items.has(item)) return;
    if (isMatch) {
      filed.items.add(item);
      (item.matched ??= new Set()).add(filed);
    } else {
      filed.items.delete(item);
      item.matched?.delete(filed);
      if (item.matched?.size === 0) item.matched = undefined;
    }
    this.#listener(filed.id, item.id, isMatch);
  }

  #rescan(item: Item<SelectorId, ItemId>): void {
    const plausible = new Set(item.matched);
    for (const filed of this.#unfiled) plausible.add(filed);
    if (this.#cabinets.size > 0) {
      this.#collect(item.labels, plausible);
      for (const { labels } of item.parents) if (labels !== undefined) this.#collect(labels, plausible);
    }
    for (const filed of plausible) this.#judge(filed, item);
  }

  #collect(labels: Labels, plausible: Set<Filed<SelectorId, ItemId>>): void {
    for (const label of Object.keys(labels)) {
      const cabinet = this.#cabinets.get(label);
      if (cabinet === undefined) continue;
      for (const filed of cabinet.present) plausible.add(filed);
      for (const filed of cabinet.values.get(labels[label] ?? '') ?? []) plausible.add(filed);
    }
  }

  /** The demand whose drawers hold the fewest selectors. */
  #emptiest(demands: readonly Demand[]): Demand | undefined {
    let best: Demand | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const demand of demands) {
      const cabinet = this.#cabinets.get(demand.label);
      // A drawer for a mere presence is opened for every value of the label, so at equal fill a value is better.
      const filled =
        demand.values === undefined
          ? (cabinet?.present.size ?? 0) + 0.5
          : demand.values.reduce((sum, value) => sum + (cabinet?.values.get(value)?.size ?? 0), 0);
      if (filled < fewest) [best, fewest] = [demand, filled];
    }
    return best;
  }

  #drawersFor({ label, values }: Demand): readonly Set<Filed<SelectorId, ItemId>>[] {
    if (values?.length === 0) return [];
    const cabinet = this.#cabinets.get(label) ?? { present: new Set(), values: new Map() };
    this.#cabinets.set(label, cabinet);
    if (values === undefined) return [cabinet.present];
    return values.map((value) => {
      const drawer = cabinet.values.get(value) ?? new Set();
      cabinet.values.set(value, drawer);
      return drawer;
    });
  }

  #discardEmptyDrawers({ label, values }: Demand): void {
    const cabinet = this.#cabinets.get(label);
    if (cabinet === undefined) return;
    for (const value of values ?? []) if (cabinet.values.get(value)?.size === 0) cabinet.values.delete(value);
    if (cabinet.values.size === 0 && cabinet.present.size === 0) this.#cabinets.delete(label);
  }

  /** Items that meet the demand that the fewest items meet. */
  #candidates(demands: readonly Demand[]): Iterable<Item<SelectorId, ItemId>> {
    if (demands.length === 0) return this.#items.values();
    let best: Demand | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const demand of demands) {
      const count =
        this.#itemsByLabel.count(demand) + this.#parentsByLabel.count(demand, ({ items }) => items.size);
      if (count < fewest) [best, fewest] = [demand, count];
    }
    const found = new Set<Item<SelectorId, ItemId>>();
    if (best === undefined) return found;
    for (const item of this.#itemsByLabel.things(best)) found.add(item);
    for (const parent of this.#parentsByLabel.things(best)) for (const item of parent.items) found.add(item);
    return found;
  }

  #adopt(item: Item<SelectorId, ItemId>, parents: readonly string[]): void {
    if (sameParents(item.parents, parents)) return;
    const before = item.parents;
    item.parents = parents.map((id) => this.#parent(id));
    for (const parent of before) parent.items.delete(item);
    for (const parent of item.parents) parent.items.add(item);
    for (const parent of before) this.#forgetIfUnused(parent);
  }

  #parent(id: string): Parent<SelectorId, ItemId> {
    const known = this.#parents.get(id);
    if (known !== undefined) return known;
    const parent: Parent<SelectorId, ItemId> = { id, labels: undefined, items: new Set() };
    this.#parents.set(id, parent);
    return parent;
  }

  #forgetIfUnused(parent: Parent<SelectorId, ItemId>): void {
    if (parent.labels === undefined && parent.items.size === 0) this.#parents.delete(parent.id);
  }
}

type Demand = { readonly label: string; readonly values?: readonly string[] };

/** Things by their labels. Many values belong to one thing alone, which then stands there without a set around it. */
class ByLabel<T extends object> {
  readonly #labels = new Map<string, Map<string, T | Set<T>>>();

  get size(): number {
    return this.#labels.size;
  }

  replace(thing: T, before: Labels, after: Labels): void {
    for (const label of Object.keys(before))
      if (!Object.hasOwn(after, label) || after[label] !== before[label])
        this.#remove(thing, label, before[label] ?? '');
    for (const label of Object.keys(after))
      if (!Object.hasOwn(before, label) || after[label] !== before[label])
        this.#add(thing, label, after[label] ?? '');
  }

  /** How many things meet the demand; or how much they weigh, if they are to be weighed. */
  count({ label, values }: Demand, weigh?: (thing: T) => number): number {
    const known = this.#labels.get(label);
    if (known === undefined) return 0;
    let sum = 0;
    for (const value of values ?? known.keys()) {
      const things = known.get(value);
      if (things === undefined) continue;
      if (!(things instanceof Set)) sum += weigh?.(things) ?? 1;
      else if (weigh === undefined) sum += things.size;
      else for (const thing of things) sum += weigh(thing);
    }
    return sum;
  }

  /** The things that meet the demand. */
  *things({ label, values }: Demand): Generator<T> {
    const known = this.#labels.get(label);
    if (known === undefined) return;
    for (const value of values ?? known.keys()) {
      const things = known.get(value);
      if (things instanceof Set) yield* things;
      else if (things !== undefined) yield things;
    }
  }

  #add(thing: T, label: string, value: string): void {
    const values = this.#labels.get(label) ?? new Map<string, T | Set<T>>();
    this.#labels.set(label, values);
    const things = values.get(value);
    if (things === undefined) values.set(value, thing);
    else if (things instanceof Set) things.add(thing);
    else values.set(value, new Set([things, thing]));
  }

  #remove(thing: T, label: string, value: string): void {
    const values = this.#labels.get(label);
    const things = values?.get(value);
    if (things instanceof Set) things.delete(thing);
    if (things === thing || (things instanceof Set && things.size === 0)) values?.delete(value);
    if (values?.size === 0) this.#labels.delete(label);
  }
}

function valueOf(item: Item<never, never> | Item<unknown, unknown>, label: string): string | undefined {
  if (Object.hasOwn(item.labels, label)) return item.labels[label];
  for (const { labels } of item.parents)
    if (labels !== undefined && Object.hasOwn(labels, label)) return labels[label];
  return undefined;
}

function sameLabels(a: Labels, b: Labels): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && a[k] === b[k]);
}

const sameParents = (a: readonly { readonly id: string }[], b: readonly string[]): boolean =>
  a.length === b.length && a.every(({ id }, i) => id === b[i]);
