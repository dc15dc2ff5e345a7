// The objects of one kind as the lines that clients are sent, in the order of their last change.
//
//   start ─► set a ─► set c ─► gone b ─► set d ◄─ newest         a change takes the old line of its object out and appends
//              ▲                  ▲
//        a new client      a client that has taken all before
//
// A client is a place in the list: what follows it is what it has not been sent. A place that was taken out still leads on,
// because its successors were there when it went, and each of them leads on in the same way. So a client costs nothing but its
// place, a snapshot is the list from its start, and what was superseded before it was sent is not sent at all (SR-028).
import type { StoredObject } from './types.ts';
import { lineOf } from './lines.ts';
import type { ObjectName } from '../datastore/mod.ts';
import type { KindName } from '../model/mod.ts';

export type Entry = {
  /** Rises with each change. */
  readonly order: number;
  readonly key: string;
  /** Empty once taken out. */
  line: Buffer;
  readonly isDeletion: boolean;
  next: Entry | undefined;
  previous: Entry | undefined;
};

export class KindCache {
  readonly kind: KindName;
  /** Before everything. */
  readonly start: Entry = entry(0, '', false);
  #newest = this.start;
  readonly #byName = new Map<string, Entry>();
  /** Oldest first; kept until every client has been told. */
  readonly #deletions = new Set<Entry>();
  /** Changes that took the place of one that waited in the list. */
  superseded = 0;

  constructor(kind: KindName) {
    this.kind = kind;
  }

  /** Objects that are there. */
  get size(): number {
    return this.#byName.size - this.#deletions.size;
  }

  get newest(): number {
    return this.#newest.order;
  }

  set(object: StoredObject): void {
    this.#append(keyOf(object.metadata), false, lineOf({ set: this.kind, object }));
  }

  /** Tells of its last state, which is that of its line. */
  remove(name: ObjectName): void {
    const key = keyOf(name);
    const last = this.#byName.get(key);
    if (last === undefined || last.isDeletion) return;
    this.#append(key, true, Buffer.concat([goneStart, last.line.subarray(setStart.length)]));
  }

  /** The first entry after a place that is still to be sent. */
  after(place: Entry): Entry | undefined {
    let found = place.next;
    while (found !== undefined && found.line.length === 0) found = found.next;
    return found;
  }

  /** Forgets the deletions that everyone has been told: all up to an order. */
  forget(order: number): void {
    for (const one of this.#deletions) {
      if (one.order > order) return;
      // The newest stays: what comes next is linked to it.
      if (one === this.#newest) return;
      this.#deletions.delete(one);
      this.#byName.delete(one.key);
      this.#takeOut(one);
    }
  }

  #append(key: string, isDeletion: boolean, line: Buffer): void {
    const made: Entry = {
      ...entry(this.#newest.order + 1, key, isDeletion),
      line,
      previous: this.#newest,
    };
    this.#newest.next = made;
    this.#newest = made;
    const old = this.#byName.get(key);
    this.#byName.set(key, made);
    if (isDeletion) this.#deletions.add(made);
    if (old === undefined) return;
    this.superseded++;
    this.#deletions.delete(old);
    this.#takeOut(old);
  }

  #takeOut(one: Entry): void {
    if (one.previous !== undefined) one.previous.next = one.next;
    if (one.next !== undefined) one.next.previous = one.previous;
    one.previous = undefined;
    one.line = nothing;
  }
}

const nothing = Buffer.alloc(0);
const setStart = Buffer.from('{"set":');
const goneStart = Buffer.from('{"gone":');
const keyOf = ({ name, namespace = '' }: ObjectName): string => `${namespace}/${name}`;
const entry = (order: number, key: string, isDeletion: boolean): Entry => ({
  order,
  key,
  line: nothing,
  isDeletion,
  next: undefined,
  previous: undefined,
});
