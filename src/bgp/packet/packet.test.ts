import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { address, prefix, prefixOf, addressFromBigInt, type Family } from '../../lib/ip/mod.ts';
import {
  announcedParts,
  asTrans,
  attributeBytes,
  decodeAttributes,
  decodeNlri,
  decodeNotification,
  decodeOpen,
  decodeRouteRefresh,
  describeMessage,
  describeNotification,
  encodeAttributes,
  encodeEndOfRib,
  encodeKeepalive,
  encodeNlri,
  encodeNotification,
  encodeOpen,
  encodeRouteRefresh,
  encodeUpdates,
  forEachAnnounced,
  forEachWithdrawn,
  frameLength,
  headerProblem,
  mergeAs4Path,
  notification,
  openAsn,
  parseUpdate,
  prefixFromWords,
  type Attributes,
  type DecodeContext,
  type Nlri,
  type OpenMessage,
  type UpdateView,
} from './mod.ts';

const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(/\s/g, '').match(/../g) ?? [], (x) => Number.parseInt(x, 16));
const toHex = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
const marker = 'ff'.repeat(16);
const message = (type: number, body: string): Uint8Array => {
  const bytes = hex(body);
  const length = 19 + bytes.length;
  return hex(
    `${marker}${length.toString(16).padStart(4, '0')}${type.toString(16).padStart(2, '0')}${toHex(bytes)}`,
  );
};

const ibgp: DecodeContext = {
  as4: true,
  ebgp: false,
  ipv4: true,
  ipv6: true,
  addPath4: false,
  addPath6: false,
};
const ebgp: DecodeContext = { ...ibgp, ebgp: true };
const twoOctet: DecodeContext = { ...ibgp, as4: false };

const length16 = (bytes: string): string =>
  (bytes.replaceAll(/\s/g, '').length / 2).toString(16).padStart(4, '0');
const update = (withdrawn: string, attributes: string, nlri: string): Uint8Array =>
  message(2, `${length16(withdrawn)}${withdrawn}${length16(attributes)}${attributes}${nlri}`);
const parse = (bytes: Uint8Array, context = ibgp): UpdateView => parseUpdate(bytes, 0, bytes.length, context);

type Reading = { announced: string[]; withdrawn: string[]; attributes: Attributes | undefined };
function read(view: UpdateView): Reading {
  const reading: Reading = { announced: [], withdrawn: [], attributes: undefined };
  const text = (f: Family, a: number, b: number, c: number, d: number, length: number, id: number): string =>
    `${prefixFromWords(f, a, b, c, d, length)}${id === 0 ? '' : ` id ${id}`}`;
  forEachWithdrawn(view, (...n) => void reading.withdrawn.push(text(...n)));
  for (const part of announcedParts(view)) {
    reading.attributes = decodeAttributes(attributeBytes(view, part));
    forEachAnnounced(view, part, (...n) => void reading.announced.push(text(...n)));
  }
  return reading;
}

const base = '40010100 40020602010000fde8 4003040a000001';
const nlri24 = '18 0a3c01';

describe('header and small messages', () => {
  test('keepalive, notification and route refresh, both ways', () => {
    assert.equal(toHex(encodeKeepalive()), `${marker}001304`);
    const sent = notification(6, 2, hex('05 68656c6c6f'));
    const bytes = encodeNotification(sent);
    assert.equal(toHex(bytes), `${marker}001b030602056 8656c6c6f`.replaceAll(' ', ''));
    assert.deepEqual(decodeNotification(bytes, 0, bytes.length), sent);
    assert.equal(describeNotification(sent), 'Cease: administrative shutdown (6/2), "hello"');
    const refresh = { afi: 2, safi: 1, subtype: 'begin' } as const;
    assert.equal(toHex(encodeRouteRefresh(refresh)), `${marker}00170500020101`);
    assert.deepEqual(decodeRouteRefresh(encodeRouteRefresh(refresh), 0), refresh);
  });

  for (const [name, bytes, limit, code, sub] of [
    ['marker', `00${'ff'.repeat(15)}001304`, 4096, 1, 1],
    ['too short', `${marker}001204`, 4096, 1, 2],
    ['too long', `${marker}100102`, 4096, 1, 2],
    ['keepalive with a body', `${marker}001404`, 4096, 1, 2],
    ['short UPDATE', `${marker}001602`, 4096, 1, 2],
    ['unknown type', `${marker}001309`, 4096, 1, 3],
    ['route refresh of a wrong length', `${marker}001805`, 4096, 7, 1],
    ['OPEN keeps the small limit', `${marker}100101`, 65535, 1, 2],
  ] as const)
    test(`refused: ${name}`, () => {
      const message = hex(bytes);
      const length = frameLength(message, 0, message.length, limit);
      assert.ok(length < 0);
      const problem = headerProblem(message, 0, length);
      assert.deepEqual([problem.code, problem.subcode], [code, sub]);
    });

  test('an extended UPDATE is a frame only when agreed on', () => {
    const bytes = hex(`${marker}200002`);
    assert.equal(frameLength(bytes, 0, bytes.length, 65535), 0x2000);
    assert.equal(frameLength(bytes.subarray(0, 18), 0, 18, 65535), 0);
  });
});

describe('OPEN', () => {
  const open: OpenMessage = {
    version: 4,
    asn: asTrans,
    holdTimeS: 90,
    routerId: 0x0a000001,
    capabilities: [
      { type: 'multiprotocol', afi: 1, safi: 1 },
      { type: 'multiprotocol', afi: 2, safi: 1 },
      { type: 'route-refresh' },
      { type: 'enhanced-route-refresh' },
      { type: 'extended-message' },
      { type: 'four-octet-as', asn: 4200000001 },
      {
        type: 'graceful-restart',
        restarting: true,
        notification: false,
        restartTimeS: 120,
        families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
      },
      { type: 'add-path', families: [{ afi: 1, safi: 1, mode: 'both' }] },
      { type: 'unknown', code: 73, value: hex('02686900') },
    ],
  };

  test('bytes', () => {
    const bytes = encodeOpen({ ...open, capabilities: open.capabilities.slice(0, 1) });
    assert.equal(toHex(bytes), `${marker}002501045ba0005a0a00000108020601040001 0001`.replaceAll(' ', ''));
  });

  test('every capability, both ways', () => {
    const bytes = encodeOpen(open);
    const decoded = decodeOpen(bytes, 0, bytes.length);
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value, open);
    assert.equal(openAsn(decoded.value), 4200000001);
  });

  test('more capabilities than the short form holds (RFC 9072)', () => {
    const many = Array.from({ length: 30 }, (_, i) => ({
      type: 'unknown' as const,
      code: 200,
      value: Uint8Array.from({ length: 10 }, () => i),
    }));
    const bytes = encodeOpen({ ...open, capabilities: many });
    const decoded = decodeOpen(bytes, 0, bytes.length);
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value.capabilities, many);
  });

  for (const [name, body, sub] of [
    ['version 3', '03fde9005a0a00000100', 1],
    ['unknown parameter', '04fde9005a0a00000103090100', 4],
    ['parameters longer than the message', '04fde9005a0a00000132', 0],
    ['capability over the end', '04fde9005a0a0000010402024104', 0],
  ] as const)
    test(`refused: ${name}`, () => {
      const bytes = message(1, body);
      const decoded = decodeOpen(bytes, 0, bytes.length);
      assert.ok(!decoded.ok);
      assert.deepEqual([decoded.error.code, decoded.error.subcode], [2, sub]);
    });

  test('a known capability of a wrong length is kept as bytes', () => {
    const bytes = message(1, '04fde9005a0a00000105020341 01aa');
    const decoded = decodeOpen(bytes, 0, bytes.length);
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value.capabilities, [{ type: 'unknown', code: 65, value: hex('aa') }]);
  });
});

describe('UPDATE', () => {
  test('announces and withdraws IPv4', () => {
    const reading = read(parse(update('10 0a0a 00', base, `${nlri24} 20 0a3c0207`)));
    assert.deepEqual(reading.withdrawn, ['10.10.0.0/16', '0.0.0.0/0']);
    assert.deepEqual(reading.announced, ['10.60.1.0/24', '10.60.2.7/32']);
    assert.deepEqual(reading.attributes, {
      origin: 0,
      asPath: [{ type: 'sequence', asns: [65000] }],
      nextHop: address('10.0.0.1'),
    });
  });

  test('host bits of a prefix are cleared', () => {
    assert.deepEqual(read(parse(update('', base, '11 0a0aff'))).announced, ['10.10.128.0/17']);
  });

  test('IPv6 in MP_REACH and MP_UNREACH, with a link-local next hop', () => {
    const nextHop = 'fd000000000000000000000000000001 fe800000000000000000000000000001';
    const reach = `900e0025 000201 20 ${nextHop} 00`;
    const withPrefix = reach.replace('0025', '002a') + '20 fd000010';
    const view = parse(update('', `${withPrefix} 800f08 000201 20 fd000020 40010100 400200`, ''));
    const reading = read(view);
    assert.deepEqual(reading.announced, ['fd00:10::/32']);
    assert.deepEqual(reading.withdrawn, ['fd00:20::/32']);
    assert.deepEqual(reading.attributes, {
      origin: 0,
      asPath: [],
      nextHop: address('fd00::1'),
      linkLocalNextHop: address('fe80::1'),
    });
    // The prefix-less MP_REACH comes first, whatever order the message had.
    assert.equal(toHex(attributeBytes(view, 'mp')), (reach + '40010100400200').replaceAll(/\s/g, ''));
  });

  test('path identifiers', () => {
    const view = parse(update('00000007 10 0a0a', base, `00000009 ${nlri24}`), { ...ibgp, addPath4: true });
    assert.deepEqual(read(view).withdrawn, ['10.10.0.0/16 id 7']);
    assert.deepEqual(read(view).announced, ['10.60.1.0/24 id 9']);
  });

  test('End-of-RIB of both families, both ways', () => {
    assert.equal(toHex(encodeEndOfRib(4)), `${marker}00170200000000`);
    assert.equal(toHex(encodeEndOfRib(6)), `${marker}001e0200000007900f0003000201`);
    assert.equal(parse(encodeEndOfRib(4)).endOfRib, 4);
    assert.equal(parse(encodeEndOfRib(6)).endOfRib, 6);
    assert.equal(parse(encodeEndOfRib(6), { ...ibgp, ipv6: false }).endOfRib, 0);
  });

  test('families that are not routed stay bytes and never end the session', () => {
    const view = parse(update('', '800e0c 001946 04 0a000001 00 deadbe 800f04 000180 aa', ''));
    assert.equal(view.verdict, 'ok');
    assert.deepEqual(
      view.opaque?.map((o) => [o.attribute, o.afi, o.safi, toHex(o.value)]),
      [
        [14, 25, 70, '040a00000100deadbe'],
        [15, 1, 128, 'aa'],
      ],
    );
  });

  test('without rewriting, the attribute bytes are those of the message', () => {
    const bytes = update('', base, nlri24);
    assert.equal(attributeBytes(parse(bytes), 'body').buffer, bytes.buffer);
  });

  const cases: readonly (readonly [
    string,
    string,
    'ok' | 'withdraw' | 'reset',
    (string | undefined)?,
    DecodeContext?,
  ])[] = [
    ['unknown origin', base.replace('40010100', '40010103'), 'withdraw'],
    ['no origin', base.replace('40010100', ''), 'withdraw'],
    ['no next hop', base.replace('4003040a000001', ''), 'withdraw'],
    ['no AS path', base.replace('40020602010000fde8', ''), 'withdraw'],
    ['next hop 0.0.0.0', base.replace('0a000001', '00000000'), 'withdraw'],
    ['multicast next hop', base.replace('0a000001', 'e0000001'), 'withdraw'],
    ['empty AS path segment', base.replace('40020602010000fde8', '4002020200'), 'withdraw'],
    ['unknown AS path segment', base.replace('0602010000fde8', '0605010000fde8'), 'withdraw'],
    ['AS 0', base.replace('0000fde8', '00000000'), 'withdraw'],
    ['confederation segment from outside', base.replace('0602', '0603'), 'withdraw', undefined, ebgp],
    ['MED of three octets', `${base} 800403000001`, 'withdraw'],
    ['communities of three octets', `${base} c00803000001`, 'withdraw'],
    ['communities with wrong flags', `${base} 40080400010001`, 'withdraw'],
    ['large communities of eleven octets', `${base} c0200b${'00'.repeat(11)}`, 'withdraw'],
    ['attribute longer than the block', `${base} c00828000102`, 'withdraw'],
    ['LOCAL_PREF of five octets from eBGP', `${base} 4005050000000100`, 'ok', undefined, ebgp],
    ['CLUSTER_LIST from eBGP', `${base} 800a0409090909`, 'ok', undefined, ebgp],
    ['AGGREGATOR of seven octets', `${base} c00707${'00'.repeat(7)}`, 'ok'],
    ['second ORIGIN', `${base} 40010102`, 'ok'],
    ['unknown optional attribute', `${base} 80630101`, 'ok'],
    ['unknown well-known attribute', `${base} 40630101`, 'reset', '3/2'],
    ['MP_UNREACH cut off', `${base} 800f0100`, 'reset', '3/9'],
    ['second MP_UNREACH', '800f03000201 800f03000201', 'reset', '3/1'],
    ['MP_REACH with a next hop of five octets', `${base} 800e0a000201 05 0000000000 00`, 'reset', '3/9'],
  ];
  for (const [name, attributes, verdict, code, context] of cases)
    test(`${name}: ${verdict}`, () => {
      const view = parse(update('', attributes, nlri24), context);
      assert.equal(view.verdict, verdict);
      if (code !== undefined) assert.equal(`${view.notification?.code}/${view.notification?.subcode}`, code);
      const reading = read(view);
      assert.deepEqual(reading.announced, verdict === 'ok' ? ['10.60.1.0/24'] : []);
      assert.deepEqual(reading.withdrawn, verdict === 'withdraw' ? ['10.60.1.0/24'] : []);
    });

  test('what was discarded is not in the attributes', () => {
    const discarded = read(parse(update('', `${base} c00707${'00'.repeat(7)} 80630101 40010102`, nlri24)));
    assert.deepEqual(discarded.attributes, read(parse(update('', base, nlri24))).attributes);
    const inside = read(
      parse(update('', `${base} 40050400000064 800904010203 04 800a0401020304`, nlri24), ebgp),
    );
    assert.deepEqual(inside.attributes, discarded.attributes);
  });

  for (const [name, bytes, code] of [
    ['prefix of 33 bits', update('', base, '21 0a000000 00'), '3/10'],
    ['withdrawn prefix cut off', update('18 0a', '', ''), '3/10'],
    ['withdrawn length over the end', message(2, '03840000'), '3/1'],
    ['attribute length over the end', message(2, '00000384'), '3/1'],
  ] as const)
    test(`${name}: reset ${code}`, () => {
      const { verdict, notification: n } = parse(bytes);
      assert.equal(`${verdict} ${n?.code}/${n?.subcode}`, `reset ${code}`);
    });

  test('random bytes never throw', () => {
    const body = fc.uint8Array({ maxLength: 120 });
    fc.assert(
      fc.property(body, fc.boolean(), (random, as4) => {
        const view = parse(message(2, toHex(random)), { ...ebgp, as4, addPath4: random.length % 2 === 0 });
        read(view);
        assert.ok(view.verdict !== 'reset' || view.notification !== undefined);
      }),
      { numRuns: 2000 },
    );
  });

  test('a flipped byte of a good message never throws', () => {
    const good = update('10 0a0a', `${base} c00804fde80007 900e0011 000201 04 0a000001 00 18 fd0000`, nlri24);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const bad = good.slice();
        bad[at] = value;
        if (frameLength(bad, 0, bad.length, 4096) === bad.length && bad[18] === 2) read(parse(bad));
      }),
      { numRuns: 2000 },
    );
  });
});

test('messages in words', () => {
  const words = (bytes: Uint8Array, context = ibgp) => describeMessage(bytes, 0, bytes.length, context);
  assert.deepEqual(words(encodeKeepalive()), { kind: 'keepalive' });
  assert.deepEqual(words(encodeEndOfRib(6)), { kind: 'eor', family: 'ipv6 unicast' });
  assert.deepEqual(words(update('', '800f03 001946', '')), { kind: 'eor', family: 'l2vpn evpn' });
  assert.deepEqual(words(update('08 0a', `${base} c00804fde80007 80040400000009`, nlri24)), {
    kind: 'update',
    announce: [{ family: 'ipv4 unicast', prefix: '10.60.1.0/24', nextHop: '10.0.0.1' }],
    withdraw: [{ family: 'ipv4 unicast', prefix: '10.0.0.0/8' }],
    attributes: {
      origin: 'igp',
      asPath: [{ type: 'as-sequence', asns: [65000] }],
      med: 9,
      communities: ['65000:7'],
    },
  });
  assert.equal(words(update('', '800f0100', '')).kind, 'error');
});

describe('two-octet AS numbers (RFC 6793)', () => {
  test('AS4_PATH and AS4_AGGREGATOR are merged', () => {
    const path = '40020802030fa0 5ba0 5ba0';
    const view = parse(
      update(
        '',
        `40010100 ${path} 4003040a000001 c007065ba00a000009 c0110a0202fa56ea01fa56ea02 c01208fa56ea010a000009`,
        nlri24,
      ),
      twoOctet,
    );
    const { attributes } = read(view);
    assert.deepEqual(attributes?.asPath, [{ type: 'sequence', asns: [4000, 4200000001, 4200000002] }]);
    assert.deepEqual(attributes?.aggregator, { asn: 4200000001, address: '10.0.0.9' });
  });

  test('AS4_PATH is ignored when an old router has aggregated since, or when it is longer than the path', () => {
    const aggregated = parse(
      update(
        '',
        '40010100 40020402015ba0 4003040a000001 c007060fa00a000009 c011060201fa56ea01 c01208fa56ea010a000009',
        nlri24,
      ),
      twoOctet,
    );
    assert.deepEqual(read(aggregated).attributes?.asPath, [{ type: 'sequence', asns: [asTrans] }]);
    const path = [{ type: 'sequence', asns: [1] }] as const;
    assert.deepEqual(mergeAs4Path(path, [{ type: 'sequence', asns: [2, 3] }]), path);
    assert.deepEqual(
      mergeAs4Path(
        [
          { type: 'sequence', asns: [1, 2] },
          { type: 'set', asns: [3, 4] },
        ],
        [{ type: 'set', asns: [70000] }],
      ),
      [
        { type: 'sequence', asns: [1, 2] },
        { type: 'set', asns: [70000] },
      ],
    );
  });

  test('both attributes mean nothing between four-octet speakers', () => {
    const { attributes } = read(parse(update('', `${base} c011060201fa56ea01`, nlri24)));
    assert.deepEqual(attributes?.asPath, [{ type: 'sequence', asns: [65000] }]);
  });
});

// ── round trips ──────────────────────────────────────────────────────────────────────────────────────────────────────
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
