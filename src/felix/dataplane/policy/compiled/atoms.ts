// Atoms: the questions that compiled programs ask about an address. Is it in this set, is it in one of these networks, is
// this port of it in that set of ports? Addresses with the same answers are of one class. Sets of atoms are interned: equal
// ones are one object, so an address costs a pointer, and changing one atom of it is a step along a remembered edge.
import { hash } from 'node:crypto';
import type { SetId } from '../../../../policy/mod.ts';
import type { Program } from './program.ts';

/** Where atoms come from: members of a set as addresses, members of a set as ports, or a list of networks in rules. */
export class AtomSource {
  readonly name: string;
  readonly set: SetId | undefined;
  /** Who asks. A source without users has no atoms. */
  readonly users = new Set<Program>();
  /** By port where the source is of ports, else one under `''`. */
  readonly atoms = new Map<string, Atom>();

  constructor(name: string, set?: SetId) {
    this.name = name;
    this.set = set;
  }
}

export type Atom = {
  readonly id: number;
  readonly source: AtomSource;
  /** Of sources of ports: whose port this is. */
  readonly port?: { readonly protocol: number; readonly number: number };
  readonly hash: number;
  /** Sets of atoms that are the class of some address and hold this atom. */
  readonly classes: Set<AtomSet>;
  /** How many addresses have this port. */
  addresses: number;
};

/** A number from the atom's name alone, so that a class has the same number after a restart. */
export const atomHash = (name: string): number => hash('sha256', name, 'buffer').readUInt32BE(0);

export class AtomSet {
  /** Ascending. */
  readonly atoms: readonly Atom[];
  readonly hash: number;
  references = 0;
  readonly plus = new Map<Atom, AtomSet>();
  readonly minus = new Map<Atom, AtomSet>();

  // ── as a class ──
  /** Rows of single addresses, and of intervals, whose class this is. */
  hosts = 0;
  intervals = 0;
  /** Given while there are such rows. */
  number: number | undefined;

  constructor(atoms: readonly Atom[], hash: number) {
    this.atoms = atoms;
    this.hash = hash;
  }
}

export class AtomSets {
  readonly empty = new AtomSet([], 0);
  readonly #byHash = new Map<number, AtomSet[]>();

  constructor() {
    this.empty.references = 1;
  }

  get size(): number {
    let size = 0;
    for (const bucket of this.#byHash.values()) size += bucket.length;
    return size;
  }

  with(set: AtomSet, atom: Atom): AtomSet {
    const known = set.plus.get(atom);
    if (known !== undefined) return known;
    const at = position(set.atoms, atom);
    if (set.atoms[at] === atom) return set;
    const result = this.#intern(set.atoms.toSpliced(at, 0, atom), (set.hash ^ atom.hash) >>> 0);
    return link(set, atom, result, result);
  }

  without(set: AtomSet, atom: Atom): AtomSet {
    const known = set.minus.get(atom);
    if (known !== undefined) return known;
    const at = position(set.atoms, atom);
    if (set.atoms[at] !== atom) return set;
    const result = this.#intern(set.atoms.toSpliced(at, 1), (set.hash ^ atom.hash) >>> 0);
    return link(result, atom, set, result);
  }

  union(a: AtomSet, b: AtomSet): AtomSet {
    if (b.atoms.length === 0 || a === b) return a;
    if (a.atoms.length === 0) return b;
    const atoms: Atom[] = [];
    let hash = 0;
    let i = 0;
    let j = 0;
    while (i < a.atoms.length || j < b.atoms.length) {
      const x = a.atoms[i];
      const y = b.atoms[j];
      const next = y === undefined || (x !== undefined && x.id <= y.id) ? (x as Atom) : y;
      if (x === next) i++;
      if (y === next) j++;
      atoms.push(next);
      hash = (hash ^ next.hash) >>> 0;
    }
    return this.#intern(atoms, hash);
  }

  retain(set: AtomSet): AtomSet {
    set.references++;
    return set;
  }

  /** Forgets a set of atoms that nobody holds. */
  release(set: AtomSet): void {
    if (--set.references === 0) this.#forget(set);
  }

  /** Interned sets that were made on the way and kept by nobody go, too. */
  sweep(set: AtomSet): void {
    if (set.references === 0) this.#forget(set);
  }

  #forget(set: AtomSet): void {
    const bucket = this.#byHash.get(set.hash) ?? [];
    const at = bucket.indexOf(set);
    if (at >= 0) bucket.splice(at, 1);
    if (bucket.length === 0) this.#byHash.delete(set.hash);
    for (const [atom, smaller] of set.minus) smaller.plus.delete(atom);
    for (const [atom, larger] of set.plus) larger.minus.delete(atom);
    set.minus.clear();
    set.plus.clear();
  }

  #intern(atoms: readonly Atom[], hash: number): AtomSet {
    if (atoms.length === 0) return this.empty;
    const bucket = this.#byHash.get(hash);
    const known = bucket?.find((set) => same(set.atoms, atoms));
    if (known !== undefined) return known;
    const made = new AtomSet(atoms, hash);
    if (bucket === undefined) this.#byHash.set(hash, [made]);
    else bucket.push(made);
    return made;
  }
}

function link(smaller: AtomSet, atom: Atom, larger: AtomSet, result: AtomSet): AtomSet {
  smaller.plus.set(atom, larger);
  larger.minus.set(atom, smaller);
  return result;
}

function same(a: readonly Atom[], b: readonly Atom[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Where the atom stands, or would. */
function position(atoms: readonly Atom[], atom: Atom): number {
  let low = 0;
  let high = atoms.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((atoms[middle] as Atom).id < atom.id) low = middle + 1;
    else high = middle;
  }
  return low;
}
