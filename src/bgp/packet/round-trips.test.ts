// What is written is read again: attributes and prefixes at random, and what does not fit one message.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { address, prefix, prefixOf, addressFromBigInt, type Family } from '../../lib/ip/mod.ts';
import {
  decodeAttributes,
  decodeNlri,
  encodeAttributes,
  encodeNlri,
  encodeUpdates,
  frameLength,
  type Attributes,
  type Nlri,
} from './mod.ts';
import { ibgp } from './testing.ts';
import { hex, toHex, parse, read, base, type Reading } from './testing.ts';

const u32 = fc.nat(0xffffffff);
const asn = fc.integer({ min: 1, max: 0xffffffff });
const v4 = u32.map((n) => addressFromBigInt(BigInt(n), 4));
const unicast4 = fc.integer({ min: 1, max: 0xdfffffff }).map((n) => addressFromBigInt(BigInt(n), 4));
const unicast6 = fc.bigInt({ min: 1n, max: 0xfe00n << 112n }).map((n) => addressFromBigInt(n, 6));
const list = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(of, { minLength: 1, maxLength: 5 });
const segment = fc.record(
  {
    type: fc.constantFrom('sequence' as const, 'set' as const),
    asns: fc.array(asn, { minLength: 1, maxLength: 6 }),
  },
  { noNullPrototype: true },
);
const optional = {
  med: u32,
  localPref: u32,
  atomicAggregate: fc.constant(true as const),
  aggregator: fc.record({ asn, address: v4 }, { noNullPrototype: true }),
  communities: list(u32),
  originatorId: u32,
  clusterList: list(u32),
  extendedCommunities: list(
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((n) => n.toString(16).padStart(16, '0')),
  ),
  largeCommunities: list(fc.tuple(u32, u32, u32)),
  unknown: fc.tuple(
    fc.record(
      { flags: fc.constant(0xe0), code: fc.constantFrom(99, 200), value: fc.uint8Array({ maxLength: 300 }) },
      { noNullPrototype: true },
    ),
  ),
};
const attributesOf = (family: Family): fc.Arbitrary<Attributes> =>
  fc.record(
    {
      origin: fc.constantFrom(0 as const, 1 as const, 2 as const),
      asPath: fc.array(segment, { maxLength: 3 }),
      nextHop: family === 4 ? unicast4 : unicast6,
      ...optional,
    },
    { requiredKeys: ['origin', 'asPath', 'nextHop'], noNullPrototype: true },
  ) as fc.Arbitrary<Attributes>;
const prefixesOf = (family: Family): fc.Arbitrary<Nlri[]> => {
  const bits = family === 4 ? 32 : 128;
  const one = fc
    .tuple(fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }), fc.nat(bits), u32)
    .map(([n, length, pathId]) => ({ prefix: prefixOf(addressFromBigInt(n, family), length), pathId }));
  return fc.array(one, { maxLength: 40 });
};
/** Extended length is a matter of writing, not of meaning. */
const plain = (a: Attributes): Attributes =>
  a.unknown === undefined ? a : { ...a, unknown: a.unknown.map((u) => ({ ...u, flags: u.flags & ~0x10 })) };

describe('round trips', () => {
  for (const family of [4, 6] as const) {
    const nextHop = family === 4 ? 'attribute' : 'mp-reach';
    test(`attributes of IPv${family} → canonical bytes → attributes`, () => {
      fc.assert(
        fc.property(attributesOf(family), (attributes) => {
          const bytes = encodeAttributes(attributes, { as4: true, nextHop });
          assert.deepEqual(plain(decodeAttributes(bytes)), attributes);
          const again = encodeAttributes(decodeAttributes(bytes), { as4: true, nextHop });
          assert.equal(toHex(again), toHex(bytes));
        }),
        { numRuns: 300 },
      );
    });

    test(`routes of IPv${family} → UPDATEs → routes, four- and two-octet, with and without path ids`, () => {
      fc.assert(
        fc.property(
          attributesOf(family),
          prefixesOf(family),
          prefixesOf(family),
          fc.boolean(),
          fc.boolean(),
          (attributes, announced, withdrawn, as4, addPath) => {
            const bytes = encodeAttributes(attributes, { as4, nextHop });
            const messages = encodeUpdates(
              { family, attributes: bytes, announced, withdrawn },
              { addPath, limit: 4096 },
            );
            const context = { ...ibgp, as4, addPath4: addPath, addPath6: addPath };
            const all: Reading = { announced: [], withdrawn: [], attributes: undefined };
            for (const m of messages) {
              assert.equal(frameLength(m, 0, m.length, 4096), m.length);
              const view = parse(m, context);
              assert.equal(view.verdict, 'ok');
              const reading = read(view);
              all.announced.push(...reading.announced);
              all.withdrawn.push(...reading.withdrawn);
              if (reading.attributes !== undefined) assert.deepEqual(plain(reading.attributes), attributes);
            }
            const text = (l: readonly Nlri[]): string[] =>
              l.map((n) => `${n.prefix}${addPath && n.pathId !== 0 ? ` id ${n.pathId}` : ''}`);
            assert.deepEqual(all.announced, text(announced));
            assert.deepEqual(all.withdrawn, text(withdrawn));
          },
        ),
        { numRuns: 200 },
      );
    });
  }

  test('many prefixes fill several messages up to the limit', () => {
    const announced = Array.from({ length: 5000 }, (_, i) => ({
      prefix: prefix(`10.${i >> 8}.${i & 255}.0/24`),
      pathId: 0,
    }));
    const attributes = encodeAttributes(decodeAttributes(hex(base)), { as4: true, nextHop: 'attribute' });
    const messages = encodeUpdates({ family: 4, attributes, announced }, { addPath: false, limit: 4096 });
    assert.equal(messages.length, 5);
    assert.ok(messages.slice(0, -1).every((m) => m.length > 4090 && m.length <= 4096));
    assert.equal(
      encodeUpdates({ family: 4, attributes, announced }, { addPath: false, limit: 65535 }).length,
      1,
    );
  });

  test('attributes that fill a message alone send nothing', () => {
    const communities = Array.from({ length: 1100 }, (_, i) => i);
    const attributes = encodeAttributes(
      { origin: 0, asPath: [], nextHop: address('10.0.0.1'), communities },
      { as4: true, nextHop: 'attribute' },
    );
    const announced = [{ prefix: prefix('10.0.0.0/24'), pathId: 0 }];
    assert.deepEqual(
      encodeUpdates({ family: 4, attributes, announced }, { addPath: false, limit: 4096 }),
      [],
    );
  });

  test('AS paths longer than 255 are split into segments', () => {
    const asns = Array.from({ length: 600 }, (_, i) => i + 1);
    const attributes: Attributes = {
      origin: 0,
      asPath: [{ type: 'sequence', asns }],
      nextHop: address('10.0.0.1'),
    };
    const decoded = decodeAttributes(encodeAttributes(attributes, { as4: true, nextHop: 'attribute' }));
    assert.deepEqual(
      decoded.asPath.map((s) => s.asns.length),
      [255, 255, 90],
    );
  });

  test('NLRI bytes', () => {
    const list: Nlri[] = [
      { prefix: prefix('0.0.0.0/0'), pathId: 1 },
      { prefix: prefix('10.128.0.0/9'), pathId: 2 },
    ];
    assert.equal(toHex(encodeNlri(list, true)), '000000010000000002090a80');
    assert.deepEqual(decodeNlri(encodeNlri(list, true), 0, 12, 4, true), list);
  });
});
