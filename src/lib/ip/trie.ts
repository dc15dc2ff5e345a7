// Longest-prefix-match table: a path-uncompressed binary trie per family. Depth is at most 32 or 128 and lookups touch
// no strings; good for tables of node size (thousands of prefixes). The BGP RIB has its own typed-array storage.
import { addressToBytes } from './address.ts';
import { prefixAddress, prefixFamily, prefixLength } from './prefix.ts';
import type { Address, Family, Prefix } from './types.ts';

type Node<V> = { zero?: Node<V>; one?: Node<V>; entry?: readonly [Prefix, V] };

const bitAt = (bytes: Uint8Array, index: number): boolean =>
  (((bytes[index >> 3] ?? 0) >> (7 - (index & 7))) & 1) === 1;

export class PrefixTrie<V> {
  readonly #roots: Record<Family, Node<V>> = { 4: {}, 6: {} };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  set(p: Prefix, value: V): void {
    const bytes = addressToBytes(prefixAddress(p));
    let node = this.#roots[prefixFamily(p)];
    for (let i = 0; i < prefixLength(p); i++) {
      if (bitAt(bytes, i)) node = node.one ??= {};
      else node = node.zero ??= {};
    }
    if (node.entry === undefined) this.#size++;
    node.entry = [p, value];
  }

  get(p: Prefix): V | undefined {
    return this.#path(p).at(-1)?.entry?.[1];
  }

  /** Removes the exact prefix and prunes the nodes that only led to it. */
  delete(p: Prefix): boolean {
    const path = this.#path(p);
    const last = path.at(-1);
    if (last?.entry === undefined) return false;
    delete last.entry;
    this.#size--;
    for (let i = path.length - 1; i > 0; i--) {
      const node = path[i];
      const parent = path[i - 1];
      if (node === undefined || parent === undefined || node.entry || node.zero || node.one) break;
      if (parent.zero === node) delete parent.zero;
      else delete parent.one;
    }
    return true;
  }

  /** The entry with the longest prefix that contains the address. */
  lookup(a: Address): readonly [Prefix, V] | undefined {
    const bytes = addressToBytes(a);
    let node: Node<V> | undefined = this.#roots[bytes.length === 4 ? 4 : 6];
    let best: readonly [Prefix, V] | undefined;
    for (let i = 0; node !== undefined; i++) {
      best = node.entry ?? best;
      if (i === bytes.length * 8) break;
      node = bitAt(bytes, i) ? node.one : node.zero;
    }
    return best;
  }

  /** Entries that contain the prefix (itself included), shortest first. */
  covering(p: Prefix): (readonly [Prefix, V])[] {
    const bytes = addressToBytes(prefixAddress(p));
    const found: (readonly [Prefix, V])[] = [];
    let node: Node<V> | undefined = this.#roots[prefixFamily(p)];
    for (let i = 0; node !== undefined; i++) {
      if (node.entry) found.push(node.entry);
      if (i === prefixLength(p)) break;
      node = bitAt(bytes, i) ? node.one : node.zero;
    }
    return found;
  }

  /** Entries inside the prefix (itself included), in address order. */
  *within(p: Prefix): Generator<readonly [Prefix, V]> {
    const start = this.#path(p);
    const top = start.length === prefixLength(p) + 1 ? start.at(-1) : undefined;
    if (top) yield* walk(top);
  }

  *entries(): Generator<readonly [Prefix, V]> {
    yield* walk(this.#roots[4]);
    yield* walk(this.#roots[6]);
  }

  /** Nodes from the root towards the prefix; shorter than length + 1 when the path ends early. */
  #path(p: Prefix): Node<V>[] {
    const bytes = addressToBytes(prefixAddress(p));
    let node: Node<V> | undefined = this.#roots[prefixFamily(p)];
    const path: Node<V>[] = [];
    for (let i = 0; node !== undefined; i++) {
      path.push(node);
      if (i === prefixLength(p)) return path;
      node = bitAt(bytes, i) ? node.one : node.zero;
    }
    return path.concat({});
  }
}

function* walk<V>(node: Node<V>): Generator<readonly [Prefix, V]> {
  if (node.entry) yield node.entry;
  if (node.zero) yield* walk(node.zero);
  if (node.one) yield* walk(node.one);
}
