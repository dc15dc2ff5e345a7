// UPDATEs as they come: what they announce and withdraw, messages in words, paths of two-octet speakers, damaged bytes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { address } from '../../lib/ip/mod.ts';
import {
  asTrans,
  attributeBytes,
  describeMessage,
  encodeEndOfRib,
  encodeKeepalive,
  frameLength,
  mergeAs4Path,
  type DecodeContext,
} from './mod.ts';
import {
  toHex,
  marker,
  message,
  ibgp,
  ebgp,
  twoOctet,
  update,
  parse,
  read,
  base,
  nlri24,
} from './testing.ts';

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
    ['the last multicast next hop', base.replace('0a000001', 'efffffff'), 'withdraw'],
    ['a next hop of 240.0.0.0/4', base.replace('0a000001', 'f0000001'), 'ok'],
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
