// The parts of the table on their own, each beside something slow and obvious.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { address, addressFromBigInt, addressToBytes, prefixOf, type Prefix } from '../../lib/ip/mod.ts';
import {
  announcedParts,
  attributeBytes,
  decodeAttributes,
  encodeAttributes,
  forEachAnnounced,
  forEachWithdrawn,
  parseUpdate,
  type Attributes,
} from '../packet/mod.ts';
import { Batch } from './batch.ts';
import { ByteSets } from './byte-sets.ts';
import { prependPath, withNextHop } from './changes.ts';
import { rewriteAttributes } from './outgoing.ts';
import { Packer } from './packer.ts';
import { PrefixTable } from './prefix-table.ts';

test('interned bytes: equal contents, equal numbers, through growth and sweeps', () => {
  const content = fc.uint8Array({ maxLength: 6, max: 3 });
  const step = fc.oneof(
    content.map((bytes) => ({ op: 'add' as const, bytes })),
    content.map((bytes) => ({ op: 'drop' as const, bytes })),
    fc.constant({ op: 'sweep' as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const sets = new ByteSets();
      const users = new Map<string, { id: number; count: number }>();
      for (const s of steps) {
        if (s.op === 'sweep') {
          sets.sweep(() => undefined);
          continue;
        }
        const key = s.bytes.join();
        const known = users.get(key);
        if (s.op === 'add') {
          const id = Math.abs(sets.intern(s.bytes));
          sets.acquire(id);
          if (known) assert.equal(id, known.id);
          users.set(key, { id, count: (known?.count ?? 0) + 1 });
        } else if (known) {
          sets.release(known.id);
          if (--known.count === 0) users.delete(key);
        }
      }
      assert.equal(new Set([...users.values()].map((u) => u.id)).size, users.size);
      for (const [key, { id }] of users) assert.equal(sets.bytes(id).join(), key);
      sets.sweep(() => undefined);
      assert.deepEqual([sets.size, sets.dead], [users.size, 0]);
    }),
    { numRuns: 200 },
  );
});

test('prefix tables find what a map finds, after removals too', () => {
  for (const family of [4, 6] as const) {
    const prefix = fc
      .tuple(fc.integer({ min: 0, max: 40 }), fc.constantFrom(0, 8, 24, 26, 32))
      .map(([n, length]): Prefix => {
        const bits = family === 4 ? 32 : 128;
        return prefixOf(
          addressFromBigInt(BigInt(n) << BigInt(bits - 6), family),
          family === 4 ? length : length * 4,
        );
      });
    const steps = fc.array(fc.tuple(fc.boolean(), prefix), { maxLength: 400 });
    fc.assert(
      fc.property(steps, (list) => {
        const table = new PrefixTable(family);
        const model = new Map<Prefix, number>();
        for (const [add, p] of list) {
          if (add) model.set(p, table.addPrefix(p));
          else if (model.has(p)) {
            table.remove(model.get(p) ?? -1);
            model.delete(p);
          }
          assert.equal(table.findPrefix(p), model.get(p) ?? -1);
        }
        for (const [p, dest] of model) {
          assert.equal(table.findPrefix(p), dest);
          assert.equal(table.text(dest), p);
        }
        assert.equal(table.size, model.size);
      }),
      { numRuns: 100 },
    );
  }
});

// ── rewriting ────────────────────────────────────────────────────────────────────────────────────────────────────────
const word = fc.integer({ min: 1, max: 0xffffffff });
const optional = <T>(a: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(a, { nil: undefined });
const segment = fc.record({
  type: fc.constantFrom('sequence', 'set' as const),
  asns: fc.oneof(
    fc.array(word, { minLength: 1, maxLength: 4 }),
    fc.array(word, { minLength: 254, maxLength: 255 }),
  ),
});
const attributes = (six: boolean): fc.Arbitrary<Attributes> =>
  fc
    .record({
      origin: fc.constantFrom(0, 1, 2 as const),
      asPath: fc.array(segment, { maxLength: 2 }),
      nextHop: optional(fc.constant(address(six ? 'fd00::7' : '10.0.0.7'))),
      med: optional(word),
      localPref: optional(word),
      atomicAggregate: optional(fc.constant(true as const)),
      aggregator: optional(word.map((asn) => ({ asn, address: address('10.9.9.9') }))),
      communities: optional(fc.array(word, { minLength: 1, maxLength: 80 })),
      originatorId: optional(word),
      clusterList: optional(fc.array(word, { minLength: 1, maxLength: 70 })),
      extendedCommunities: optional(fc.constant(['0002fde800000064'])),
      largeCommunities: optional(fc.constant([[1, 2, 3] as const])),
      unknown: optional(
        fc.constantFrom(
          [{ flags: 0xc0, code: 99, value: Uint8Array.of(1, 2, 3) }],
          [{ flags: 0x80, code: 200, value: new Uint8Array(300) }],
        ),
      ),
    })
    .map(
      (a) =>
        Object.fromEntries(Object.entries(a).filter(([, v]) => v !== undefined)) as unknown as Attributes,
    );

test('rewriting bytes gives what decoding, changing and encoding gives', () => {
  const role = fc.record({
    six: fc.boolean(),
    ibgp: fc.boolean(),
    reflects: fc.boolean(),
    local: fc.boolean(),
  });
  fc.assert(
    fc.property(
      role.chain((r) => fc.tuple(fc.constant(r), attributes(r.six))),
      ([r, a]) => {
        const form = r.six ? 'mp-reach' : 'attribute';
        const received = encodeAttributes(a, { as4: true, nextHop: a.nextHop === undefined ? 'omit' : form });
        const hop = address(r.six ? 'fd00::1' : '10.0.0.1');
        const reflection = { originatorId: 0x0a000002, clusterId: 0xff000001 };
        const bytes = rewriteAttributes(received, {
          family: r.six ? 6 : 4,
          ibgp: r.ibgp,
          localAs: 64512,
          nextHop: addressToBytes(hop),
          localPref: a.localPref ?? 100,
          reflection: r.reflects && r.ibgp ? reflection : undefined,
          keepMed: r.local,
        });
        const next = withNextHop(decodeAttributes(received), hop, undefined);
        if (next.unknown) next.unknown = next.unknown.filter((u) => (u.flags & 0x40) !== 0);
        if (!r.ibgp) {
          next.asPath = prependPath(next.asPath, [64512]);
          delete next.localPref;
          delete next.originatorId;
          delete next.clusterList;
          if (!r.local) delete next.med;
        } else {
          next.localPref ??= 100;
          if (r.reflects) {
            next.originatorId ??= reflection.originatorId;
            next.clusterList = [reflection.clusterId, ...(next.clusterList ?? [])];
          }
        }
        assert.deepEqual(bytes?.slice(), encodeAttributes(next, { as4: true, nextHop: form }));
      },
    ),
    { numRuns: 500 },
  );
});

test('attributes out of order are left to the slow way', () => {
  const to = { family: 4, ibgp: true, localAs: 1, nextHop: new Uint8Array(4), localPref: 100 } as const;
  const bytes = Uint8Array.of(0x40, 2, 0, 0x40, 1, 1, 0);
  assert.equal(rewriteAttributes(bytes, { ...to, reflection: undefined, keepMed: false }), undefined);
});

// ── packing ──────────────────────────────────────────────────────────────────────────────────────────────────────────
test('every receiver gets everything but its own, each message within the limit', () => {
  const entry = fc.tuple(fc.nat(3), fc.integer({ min: -1, max: 5 }));
  const input = fc.record({
    entries: fc.array(entry, { minLength: 1, maxLength: 400 }),
    six: fc.boolean(),
    addPath: fc.boolean(),
    messageLimit: fc.constantFrom(160, 4096),
  });
  fc.assert(
    fc.property(input, ({ entries, six, addPath, messageLimit }) => {
      const family = six ? 6 : 4;
      const outgoing = new ByteSets();
      const sets = [0, 1, 2].map((med) => {
        const hop = address(six ? 'fd00::1' : '10.0.0.1');
        const a: Attributes = { origin: 0, asPath: [], nextHop: hop, med };
        return Math.abs(
          outgoing.intern(encodeAttributes(a, { as4: true, nextHop: six ? 'mp-reach' : 'attribute' })),
        );
      });
      const prefixes = new PrefixTable(family);
      const batch = new Batch();
      for (const [i, [set, source]] of entries.entries()) {
        const dest = prefixes.addPrefix(
          prefixOf(addressFromBigInt(BigInt(i) << (six ? 64n : 8n), family), six ? 64 : 24),
        );
        batch.add(dest, addPath ? i + 1 : 0, set === 0 ? 0 : (sets[set - 1] ?? 0), source);
      }
      const want = entries.map(([set, source], i) => ({ i, set, source }));
      batch.sort();
      const packer = new Packer(outgoing);
      const packed = packer.pack(batch, prefixes, { addPath, messageLimit }, new Set([0, 1, 2, 3, 4, 5]));
      for (let peer = 0; peer < 7; peer++) {
        const got: string[] = [];
        for (const chunk of packed.for(peer)) got.push(...readBack(chunk, addPath, messageLimit, prefixes));
        const expected = want
          .filter((w) => w.source !== peer)
          .map((w) => `${w.i} ${w.set === 0 ? 'withdrawn' : w.set - 1} ${addPath ? w.i + 1 : 0}`);
        assert.deepEqual(got.sort(), expected.sort());
      }
    }),
    { numRuns: 150 },
  );
});

/** `destination MED path-id` of every route in a chunk of messages. */
function readBack(chunk: Uint8Array, addPath: boolean, limit: number, prefixes: PrefixTable): string[] {
  const routes: string[] = [];
  for (let at = 0; at < chunk.length; ) {
    const length = (chunk[at + 16]! << 8) | chunk[at + 17]!;
    assert.ok(length <= limit);
    routes.push(...readMessage(chunk.slice(at, at + length), addPath, prefixes));
    at += length;
  }
  return routes;
}

function readMessage(bytes: Uint8Array, addPath: boolean, prefixes: PrefixTable): string[] {
  const view = parseUpdate(bytes, 0, bytes.length, {
    as4: true,
    ebgp: true,
    ipv4: true,
    ipv6: true,
    addPath4: addPath,
    addPath6: addPath,
  });
  assert.equal(view.verdict, 'ok');
  const routes: string[] = [];
  const note =
    (label: string | number) =>
    (_f: number, w0: number, w1: number, w2: number, w3: number, l: number, id: number) =>
      void routes.push(`${prefixes.find(w0, w1, w2, w3, l)} ${label} ${id}`);
  forEachWithdrawn(view, note('withdrawn'));
  for (const part of announcedParts(view)) {
    forEachAnnounced(view, part, note(decodeAttributes(attributeBytes(view, part).slice()).med ?? -1));
  }
  return routes;
}
