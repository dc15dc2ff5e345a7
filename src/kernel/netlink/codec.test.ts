// Bytes beside values, in both directions. The hexadecimal texts are what iproute2 sends and what the kernel answers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { address, addressFromBytes, prefix, prefixOf, type Prefix } from '../../lib/ip/mod.ts';
import type { FdbEntry, LinkAddress, Neighbour, PolicyRule, Route } from '../types.ts';
import { decodeAddress, encodeAddress } from './addresses.ts';
import * as c from './constants.ts';
import { decodeLink, encodeGroupDelete, encodeLinkChange, encodeLinkCreate } from './links.ts';
import { attributes, macToBytes, messages, MessageWriter, stringAt, type MessageHeader } from './message.ts';
import { decodeFdbEntry, decodeNeighbour, encodeFdbEntry, encodeNeighbour } from './neighbours.ts';
import { decodeRoute, encodeRoute, encodeRouteDelete } from './routes.ts';
import { decodeRule, encodeRule } from './rules.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Spaces and line breaks only for the eye. */
const packed = (text: string): string => text.replace(/\s/g, '');

function body(write: (w: MessageWriter) => void): string {
  const w = new MessageWriter(16);
  write(w);
  return hex(w.bytes);
}

/** The message of that type around the body, as the kernel would send it. */
function received<T>(
  type: number,
  write: (w: MessageWriter) => void,
  decode: (view: DataView, message: MessageHeader) => T,
): T {
  const w = new MessageWriter(16).message(type, 0, 7);
  write(w);
  const bytes = w.end().bytes.slice();
  const view = new DataView(bytes.buffer);
  const [message] = [...messages(view, bytes.length)];
  assert.ok(message);
  assert.equal(message.sequence, 7);
  return decode(view, message);
}

describe('framing', () => {
  test('a message with a nested attribute', () => {
    const w = new MessageWriter(4).message(16, 5, 0x01020304);
    const nest = w.nest(18);
    w.attributeString(1, 'veth');
    w.endNest(nest).end();
    assert.equal(
      hex(w.bytes),
      packed(`20000000 1000 0500 04030201 00000000
              1000 1280  0900 0100 76657468 00 000000`),
    );
  });

  test('truncated and broken input ends the walk', () => {
    const w = new MessageWriter().message(16, 0, 1).attributeU32(1, 5).end();
    const bytes = w.bytes.slice();
    for (let length = 0; length < bytes.length; length++) {
      const view = new DataView(bytes.buffer, 0, length);
      assert.deepEqual([...messages(view, length)], []);
    }
    const zero = new DataView(new ArrayBuffer(64));
    assert.deepEqual([...messages(zero, 64)], []);
    attributes(zero, 0, 64, () => assert.fail('an attribute of length zero'));
  });

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 0, maxLength: 200 }),
        fc.constantFrom(16, 20, 24, 28, 32),
        (bytes, type) => {
          const w = new MessageWriter().message(type, 0, 1).raw(new Uint8Array(16)).raw(bytes).end();
          const copy = w.bytes.slice();
          const view = new DataView(copy.buffer);
          for (const message of messages(view, copy.length)) {
            try {
              for (const decode of [decodeLink, decodeAddress, decodeRoute, decodeNeighbour, decodeRule])
                decode(view, message);
            } catch (error) {
              // A short attribute may end outside of the buffer; nothing else is thrown.
              assert.ok(error instanceof RangeError);
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('text ends at its zero', () => {
    const view = new DataView(Uint8Array.from([0x61, 0x62, 0, 0x63]).buffer);
    assert.equal(stringAt(view, 0, 4), 'ab');
  });

  test('MAC addresses', () => {
    assert.deepEqual(macToBytes('EE:0a:00:ff:01:02'), Uint8Array.of(0xee, 10, 0, 255, 1, 2));
    for (const bad of ['', 'ee:ee:ee:ee:ee', 'ee-ee-ee-ee-ee-ee', 'g0:00:00:00:00:00'])
      assert.equal(macToBytes(bad), undefined);
  });
});

describe('links', () => {
  test('a veth with its other end in another namespace', () => {
    const spec = {
      kind: 'veth',
      name: 'cali1',
      mac: 'ee:ee:ee:ee:ee:ee',
      mtu: 1450,
      up: true,
      peer: { name: 'eth0' },
    } as const;
    assert.equal(
      body((w) => encodeLinkCreate(w, spec, 9)),
      packed(`00 00 0000 00000000 01000000 01000000
              0a00 0300 63616c6931 00 0000
              0a00 0100 eeeeeeeeeeee 0000
              0800 0400 aa050000
              4400 1280  0900 0100 76657468 00 000000
                3400 0280
                  3000 0180 00 00 0000 00000000 00000000 00000000
                    0900 0300 65746830 00 000000
                    0800 0400 aa050000
                    0800 1c00 09000000`),
    );
  });

  test('a VXLAN device', () => {
    const vxlan = { vni: 4096, port: 4789, learning: false, local: address('10.0.0.1'), parentIndex: 2 };
    assert.equal(
      body((w) => encodeLinkCreate(w, { kind: 'vxlan', name: 'vx', vxlan })),
      packed(`00 00 0000 00000000 00000000 00000000
              0700 0300 7678 00 00
              3c00 1280  0a00 0100 7678 6c616e 00 0000
                2c00 0280  0800 0100 00100000  0800 0400 0a000001  0800 0300 02000000
                           0500 0700 00 000000  0600 0f00 12b5 0000`),
    );
  });

  test('changes', () => {
    assert.equal(
      body((w) => encodeLinkChange(w, 5, { up: false, masterIndex: null })),
      packed(`00 00 0000 05000000 00000000 01000000  0800 0a00 00000000`),
    );
    assert.equal(
      body((w) => encodeGroupDelete(w, 0x1234)),
      packed(`00 00 0000 00000000 00000000 00000000  0800 1b00 34120000`),
    );
  });

  test('a veth as the kernel tells it', () => {
    const link = received(
      c.RTM_NEWLINK,
      (w) => {
        w.u8(0).u8(0).u16(1).u32(5).u32(0x11043).u32(0);
        w.attributeString(3, 'cali1').attributeU32(4, 1450).attributeU32(27, 7).attributeU32(5, 2);
        w.attribute(1, Uint8Array.from([0xee, 0xee, 0xee, 0xee, 0xee, 0xee])).attributeU32(10, 3);
        const info = w.nest(18);
        w.attributeString(1, 'veth');
        w.endNest(info);
      },
      decodeLink,
    );
    assert.deepEqual(link, {
      index: 5,
      name: 'cali1',
      kind: 'veth',
      mac: 'ee:ee:ee:ee:ee:ee',
      mtu: 1450,
      up: true,
      running: true,
      masterIndex: 3,
      peerIndex: 2,
      group: 7,
    });
  });
});

describe('routes', () => {
  const base = { type: 'unicast', table: 254, protocol: 80, scope: 'global', priority: 0 } as const;

  test('of an endpoint', () => {
    const route: Route = {
      ...base,
      dst: prefix('10.1.0.5/32'),
      scope: 'link',
      protocol: 3,
      priority: 1024,
      nextHops: [{ linkIndex: 7 }],
    };
    assert.equal(
      body((w) => encodeRoute(w, route)),
      packed(`02 20 00 00 fe 03 fd 01 00000000
              0800 0100 0a010005  0800 0f00 fe000000  0800 0600 00040000  0800 0400 07000000`),
    );
  });

  test('with two next hops, by weight, on the link', () => {
    const route: Route = {
      ...base,
      dst: prefix('10.2.0.0/26'),
      table: 1000,
      nextHops: [
        { gateway: address('10.0.0.9'), linkIndex: 2, weight: 3 },
        { gateway: address('10.0.0.8'), linkIndex: 3, onlink: true },
      ],
    };
    assert.equal(
      body((w) => encodeRoute(w, route)),
      packed(`02 1a 00 00 00 50 00 01 00000000
              0800 0100 0a020000  0800 0f00 e8030000
              2400 0900  1000 00 02 02000000 0800 0500 0a000009  1000 04 00 03000000 0800 0500 0a000008`),
    );
  });

  test('IPv4 by an IPv6 gateway', () => {
    const route: Route = {
      ...base,
      dst: prefix('10.3.0.0/26'),
      nextHops: [{ gateway: address('fe80::1'), linkIndex: 2 }],
    };
    assert.equal(
      body((w) => encodeRoute(w, route)),
      packed(`02 1a 00 00 fe 50 00 01 00000000
              0800 0100 0a030000  0800 0f00 fe000000
              1600 1200 0a00 fe800000000000000000000000000001 0000
              0800 0400 02000000`),
    );
    assert.deepEqual(
      received(c.RTM_NEWROUTE, (w) => encodeRoute(w, route), decodeRoute),
      route,
    );
  });

  test('deleting with wildcards', () => {
    const change = {
      op: 'delete',
      key: { dst: prefix('fd00::/64'), table: 254, priority: 1024 },
      protocol: 12,
    } as const;
    assert.equal(
      body((w) => encodeRouteDelete(w, change)),
      packed(`0a 40 00 00 fe 0c ff 00 00000000
              1400 0100 fd000000000000000000000000000000  0800 0f00 fe000000  0800 0600 00040000`),
    );
  });

  test('cached ones are none', () => {
    const cached = received(
      c.RTM_NEWROUTE,
      (w) => w.u8(10).u8(128).u8(0).u8(0).u8(254).u8(2).u8(0).u8(1).u32(0x200),
      decodeRoute,
    );
    assert.equal(cached, undefined);
  });

  const anyPrefix = (family: 4 | 6): fc.Arbitrary<Prefix> =>
    fc
      .tuple(
        fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }),
        fc.nat(family === 4 ? 32 : 128),
      )
      .map(([bytes, length]) => prefixOf(addressFromBytes(bytes), length));
  const anyRoute: fc.Arbitrary<Route> = fc.constantFrom(4 as const, 6 as const).chain((family) => {
    const gateway = fc
      .uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 })
      .map(addressFromBytes);
    const hop = fc.record(
      { gateway, linkIndex: fc.integer({ min: 1, max: 0x7fffffff }), onlink: fc.constant(true) },
      { noNullPrototype: true, requiredKeys: ['linkIndex', 'gateway'] },
    );
    const weighted = fc.record(
      { gateway, linkIndex: fc.integer({ min: 1, max: 9999 }), weight: fc.integer({ min: 2, max: 256 }) },
      { noNullPrototype: true, requiredKeys: ['linkIndex', 'gateway'] },
    );
    return fc.record(
      {
        dst: anyPrefix(family),
        type: fc.constantFrom('unicast', 'local', 'broadcast'),
        table: fc.integer({ min: 1, max: 0xffffffff }),
        protocol: fc.nat(255),
        scope: fc.constantFrom('global', 'link', 'host', 'nowhere'),
        priority: fc.nat(0xffffffff),
        source: gateway,
        nextHops: fc.oneof(
          fc.tuple(hop),
          fc.array(weighted, { minLength: 2, maxLength: 5 }),
          fc.constant([]),
        ),
      },
      {
        noNullPrototype: true,
        requiredKeys: ['dst', 'type', 'table', 'protocol', 'scope', 'priority', 'nextHops'],
      },
    ) as fc.Arbitrary<Route>;
  });

  test('come back as they went', () => {
    fc.assert(
      fc.property(anyRoute, (route) => {
        assert.deepEqual(
          received(c.RTM_NEWROUTE, (w) => encodeRoute(w, route), decodeRoute),
          route,
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe('addresses, neighbours, forwarding entries, rules', () => {
  test('an address', () => {
    const v6: LinkAddress = {
      address: address('fd00::1'),
      length: 64,
      linkIndex: 3,
      scope: 'global',
      noDad: true,
    };
    assert.equal(
      body((w) => encodeAddress(w, v6)),
      packed(`0a 40 02 00 03000000
              1400 0200 fd000000000000000000000000000001 1400 0100 fd000000000000000000000000000001
              0800 0800 02000000`),
    );
    assert.deepEqual(
      received(c.RTM_NEWADDR, (w) => encodeAddress(w, v6), decodeAddress),
      v6,
    );
  });

  test('a neighbour and a proxy entry', () => {
    const entry: Neighbour = {
      address: address('10.0.0.7'),
      linkIndex: 2,
      mac: '02:00:00:00:00:07',
      state: 'permanent',
    };
    assert.equal(
      body((w) => encodeNeighbour(w, entry)),
      packed(`02 00 0000 02000000 8000 00 00  0800 0100 0a000007  0a00 0200 020000000007 0000`),
    );
    assert.deepEqual(
      received(c.RTM_NEWNEIGH, (w) => encodeNeighbour(w, entry), decodeNeighbour),
      entry,
    );
    const proxy: Neighbour = {
      address: address('169.254.1.1'),
      linkIndex: 2,
      state: 'permanent',
      proxy: true,
    };
    assert.equal(
      body((w) => encodeNeighbour(w, proxy)),
      packed(`02 00 0000 02000000 8000 08 00  0800 0100 a9fe0101`),
    );
    assert.deepEqual(
      received(c.RTM_NEWNEIGH, (w) => encodeNeighbour(w, proxy), decodeNeighbour),
      proxy,
    );
    const ours: Neighbour = { ...proxy, protocol: 80 };
    assert.equal(
      body((w) => encodeNeighbour(w, ours)),
      packed(`02 00 0000 02000000 8000 08 00  0800 0100 a9fe0101  0500 0c00 50 000000`),
    );
    assert.deepEqual(
      received(c.RTM_NEWNEIGH, (w) => encodeNeighbour(w, ours), decodeNeighbour),
      ours,
    );
  });

  test('a VTEP', () => {
    const entry: FdbEntry = {
      mac: '66:00:00:00:00:02',
      linkIndex: 5,
      remote: address('10.0.0.2'),
      permanent: true,
    };
    assert.equal(
      body((w) => encodeFdbEntry(w, entry)),
      packed(`07 00 0000 05000000 8000 02 00  0a00 0200 660000000002 0000  0800 0100 0a000002`),
    );
    assert.deepEqual(
      received(c.RTM_NEWNEIGH, (w) => encodeFdbEntry(w, entry), decodeFdbEntry),
      entry,
    );
  });

  test('a rule', () => {
    const rule: PolicyRule = {
      family: 4,
      priority: 99,
      table: 1000,
      source: prefix('10.0.0.0/8'),
      mark: 0x100000,
      markMask: 0xff0000,
      invert: true,
      inLink: 'cali1',
    };
    assert.equal(
      body((w) => encodeRule(w, rule)),
      packed(`02 00 08 00 00 00 00 01 02000000
              0800 0600 63000000  0800 0f00 e8030000  0800 0200 0a000000
              0800 0a00 00001000  0800 1000 0000ff00  0a00 0300 63616c6931 00 0000`),
    );
    assert.deepEqual(
      received(c.RTM_NEWRULE, (w) => encodeRule(w, rule), decodeRule),
      rule,
    );
  });
});
