// The list of lines: whatever changes and whoever reads when, a reader that goes on ends with what there is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Entry, KindCache } from './cache.ts';
import type { StoredObject } from './types.ts';

type Line = { readonly set?: string; readonly gone?: string; readonly object: StoredObject };
const object = (name: string, resourceVersion: number): StoredObject => ({
  metadata: { name, resourceVersion: String(resourceVersion) },
});

/** Takes some lines, and keeps what it was told. */
class Reader {
  readonly #cache: KindCache;
  place: Entry;
  readonly known = new Map<string, number>();
  taken = 0;

  constructor(cache: KindCache) {
    this.#cache = cache;
    this.place = cache.start;
  }

  take(most = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < most; i++) {
      const next = this.#cache.after(this.place);
      if (next === undefined) return;
      this.place = next;
      this.taken++;
      const line = JSON.parse(next.line.toString('utf8')) as Line;
      const { name, resourceVersion } = line.object.metadata;
      const version = Number(resourceVersion);
      assert.ok(version >= (this.known.get(name) ?? 0), 'never an older state after a newer one');
      if (line.set === undefined) this.known.delete(name);
      else this.known.set(name, version);
    }
  }
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('set' as const), name: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('remove' as const), name: fc.nat(5) }) },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('read' as const), reader: fc.nat(2), most: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('forget' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('join' as const), reader: fc.nat(2) }) },
);

test('SR-028: readers at any pace end with what there is, whatever changed, went and came back between', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const cache = new KindCache('Node');
      const model = new Map<string, number>();
      const readers = [new Reader(cache), new Reader(cache), new Reader(cache)];
      let version = 0;
      for (const one of steps) {
        if (one.op === 'set') {
          cache.set(object(`n${one.name}`, ++version));
          model.set(`n${one.name}`, version);
        } else if (one.op === 'remove') {
          cache.remove({ name: `n${one.name}` });
          model.delete(`n${one.name}`);
        } else if (one.op === 'read') readers[one.reader]?.take(one.most);
        else if (one.op === 'join') readers[one.reader] = new Reader(cache);
        else cache.forget(Math.min(...readers.map((reader) => reader.place.order)));
        assert.equal(cache.size, model.size);
      }
      for (const reader of [...readers, new Reader(cache)]) {
        reader.take();
        assert.deepEqual(new Map(reader.known), model);
      }
    }),
    { numRuns: 300 },
  );
});

test('SR-028: what was superseded before it was taken is not sent, and deletions do not pile up', () => {
  const cache = new KindCache('Node');
  const late = new Reader(cache);
  for (let i = 1; i <= 1000; i++) cache.set(object('busy', i));
  late.take();
  assert.equal(late.taken, 1);
  assert.equal(cache.superseded, 999);
  for (let i = 0; i < 1000; i++) {
    cache.set(object(`short${i}`, 2000 + i));
    cache.remove({ name: `short${i}` });
    cache.forget(cache.newest);
  }
  const fresh = new Reader(cache);
  fresh.take();
  // The busy one, and the last deletion, to which the next change is linked.
  assert.equal(fresh.taken, 2);
  assert.equal(cache.size, 1);
});
