// Networks, one in another, as the disjoint intervals that the kernel's map holds. The class of an address is that of the
// innermost network around it: its own atoms and those of all networks around it.
//
//   10.0.0.0/8        a a a a a . . . a a a a     ─►  10.0.0.0-10.0.255.255   10.1.0.0/16   10.2.0.0-10.255.255.255
//     10.1.0.0/16             b b b                          a                    a b              a
import {
  addressBits,
  addressFromBigInt,
  addressToBigInt,
  prefixAddress,
  prefixLength,
  type Family,
  type Prefix,
} from '../../../../lib/ip/mod.ts';
import type { Atom, AtomSet, AtomSets } from './atoms.ts';

type Network = {
  readonly first: bigint;
  readonly last: bigint;
  /** Atoms of this network, and of it with all around it. */
  explicit: AtomSet;
  effective: AtomSet;
  /** Those directly within, in order. */
  children: Network[];
};

export type Interval = { readonly first: bigint; readonly last: bigint; readonly atoms: AtomSet };
export type Range = { readonly first: bigint; readonly last: bigint };

export class Networks {
  readonly #family: Family;
  readonly #sets: AtomSets;
  readonly #root: Network;
  /** Outermost ranges in which something changed since the last `settle`. */
  readonly #dirty: Range[] = [];
  #intervals: Interval[] = [];
  #size = 0;

  constructor(family: Family, sets: AtomSets) {
    this.#family = family;
    this.#sets = sets;
    this.#root = {
      first: 0n,
      last: (1n << BigInt(addressBits(family))) - 1n,
      explicit: sets.empty,
      effective: sets.empty,
      children: [],
    };
  }

  get size(): number {
    return this.#size;
  }

  add(net: Prefix, atom: Atom): void {
    this.#change(net, (explicit) => this.#sets.with(explicit, atom));
  }

  remove(net: Prefix, atom: Atom): void {
    this.#change(net, (explicit) => this.#sets.without(explicit, atom));
  }

  /** Atoms of the networks around an address. */
  around(address: bigint): AtomSet {
    let network = this.#root;
    for (;;) {
      const child = network.children[lowest(network.children, address)];
      if (child === undefined || child.first > address) return network.effective;
      network = child;
    }
  }

  /** Brings the intervals up to date: what is no longer there, what is new, and where addresses may have other atoms. */
  settle(): {
    readonly removed: readonly Interval[];
    readonly added: readonly Interval[];
    readonly ranges: readonly Range[];
  } {
    const ranges = outermost(this.#dirty.splice(0));
    for (const range of ranges) this.#spread(range);
    if (ranges.length === 0) return { removed: [], added: [], ranges };
    if (ranges.length > manyRanges) return { ...this.#rebuild(), ranges };
    const removed: Interval[] = [];
    const added: Interval[] = [];
    for (let i = 0; i < ranges.length; ) i = this.#replace(ranges, i, removed, added);
    return { removed, added, ranges };
  }

  #change(net: Prefix, next: (explicit: AtomSet) => AtomSet): void {
    const range = this.#rangeOf(net);
    const parent = this.#parentOf(range);
    const at = lowest(parent.children, range.first);
    const child = parent.children[at];
    const network =
      child !== undefined && child.first === range.first && child.last === range.last
        ? child
        : this.#insert(parent, at, range);
    const before = network.explicit;
    network.explicit = this.#sets.retain(next(before));
    this.#sets.release(before);
    this.#dirty.push(range);
    if (network.explicit === this.#sets.empty) this.#delete(parent, at, network);
  }

  #rangeOf(net: Prefix): Range {
    const first = addressToBigInt(prefixAddress(net));
    const size = 1n << BigInt(addressBits(this.#family) - prefixLength(net));
    return { first, last: first + size - 1n };
  }

  /** The innermost network that holds the range and is not it. */
  #parentOf(range: Range): Network {
    let network = this.#root;
    for (;;) {
      const child = network.children[lowest(network.children, range.first)];
      if (child === undefined || child.first > range.first || child.last < range.last) return network;
      if (child.first === range.first && child.last === range.last) return network;
      network = child;
    }
  }

  #insert(parent: Network, at: number, range: Range): Network {
    let end = at;
    while (end < parent.children.length && (parent.children[end] as Network).last <= range.last) end++;
    const network: Network = {
      ...range,
      explicit: this.#sets.retain(this.#sets.empty),
      effective: this.#sets.retain(parent.effective),
      children: parent.children.slice(at, end),
    };
    parent.children.splice(at, end - at, network);
    this.#size++;
    return network;
  }

  #delete(parent: Network, at: number, network: Network): void {
    parent.children.splice(at, 1, ...network.children);
    this.#sets.release(network.explicit);
    this.#sets.release(network.effective);
    this.#size--;
  }

  /** Gives all networks in the range the atoms of those around them. */
  #spread(range: Range): void {
    const visit = (parent: Network): void => {
      const { children } = parent;
      for (let i = lowest(children, range.first); i < children.length; i++) {
        const child = children[i] as Network;
        if (child.first > range.last) return;
        if (range.first <= child.first && child.last <= range.last) {
          const before = child.effective;
          child.effective = this.#sets.retain(this.#sets.union(parent.effective, child.explicit));
          this.#sets.release(before);
        }
        visit(child);
      }
    };
    visit(this.#root);
  }

  /** Makes the intervals in the range and in those that follow it closely anew, and gives the number of the range behind:
   *  what lies between two changes is written once. */
  #replace(ranges: readonly Range[], number: number, removed: Interval[], added: Interval[]): number {
    const { first, last } = ranges[number] as Range;
    // The interval before and the one behind may have ended at the range, or may now reach into it.
    const from = lowest(this.#intervals, first > 0n ? first - 1n : 0n);
    const before = this.#intervals[from];
    const low = before === undefined || before.first > first ? first : before.first;
    let high = last;
    let next = number + 1;
    let to = from;
    for (;;) {
      const interval = this.#intervals[to];
      const range = ranges[next];
      if (interval !== undefined && interval.first <= high + 1n) {
        if (interval.last > high) high = interval.last;
        to++;
      } else if (range !== undefined && range.first <= high + 1n) {
        if (range.last > high) high = range.last;
        next++;
      } else break;
    }
    const fresh: Interval[] = [];
    this.#walk(this.#root, low, high, fresh);
    difference(this.#intervals.slice(from, to), fresh, removed, added);
    this.#intervals.splice(from, to - from, ...fresh);
    return next;
  }

  #rebuild(): { removed: Interval[]; added: Interval[] } {
    const fresh: Interval[] = [];
    this.#walk(this.#root, this.#root.first, this.#root.last, fresh);
    const removed: Interval[] = [];
    const added: Interval[] = [];
    difference(this.#intervals, fresh, removed, added);
    this.#intervals = fresh;
    return { removed, added };
  }

  /** The intervals of a network between two addresses, in order. */
  #walk(network: Network, low: bigint, high: bigint, into: Interval[]): void {
    const atoms = network.effective;
    const emit = (first: bigint, last: bigint): void => {
      if (first <= last && atoms !== this.#sets.empty) into.push({ first, last, atoms });
    };
    const { children } = network;
    let at = network.first > low ? network.first : low;
    const end = network.last < high ? network.last : high;
    for (let i = lowest(children, at); i < children.length; i++) {
      const child = children[i] as Network;
      if (child.first > end) break;
      emit(at, child.first - 1n);
      this.#walk(child, low, high, into);
      at = child.last + 1n;
    }
    emit(at, end);
  }
}

/** With more ranges than this, all intervals are made anew. */
const manyRanges = 64;

/** The first of the sorted, disjoint ranges that does not end before the address. */
function lowest(ranges: readonly Range[], address: bigint): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle] as Range).last < address) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Networks are within or beside each other, so ranges are, too. */
function outermost(ranges: readonly Range[]): Range[] {
  const sorted = ranges.toSorted((a, b) =>
    a.first < b.first ? -1 : a.first > b.first ? 1 : a.last > b.last ? -1 : a.last < b.last ? 1 : 0,
  );
  const kept: Range[] = [];
  for (const range of sorted) {
    const last = kept.at(-1);
    if (last === undefined || range.first > last.last) kept.push(range);
  }
  return kept;
}

/** Both lists are sorted and disjoint. */
function difference(
  before: readonly Interval[],
  after: readonly Interval[],
  removed: Interval[],
  added: Interval[],
): void {
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    const old = before[i];
    const fresh = after[j];
    if (old === undefined || (fresh !== undefined && fresh.first < old.first)) {
      added.push(fresh as Interval);
      j++;
    } else if (fresh === undefined || old.first < fresh.first) {
      removed.push(old);
      i++;
    } else {
      if (old.last !== fresh.last || old.atoms !== fresh.atoms) {
        removed.push(old);
        added.push(fresh);
      }
      i++;
      j++;
    }
  }
}

/** As the kernel's elements are read back: one address, a prefix, or both ends. */
export function intervalText({ first, last }: Range, family: Family): string {
  const from = addressFromBigInt(first, family);
  if (first === last) return from;
  const size = last - first + 1n;
  const isPrefix = (size & (size - 1n)) === 0n && first % size === 0n;
  if (isPrefix) return `${from}/${addressBits(family) - (size.toString(2).length - 1)}`;
  return `${from}-${addressFromBigInt(last, family)}`;
}
