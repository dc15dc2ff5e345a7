// Damaged messages: bytes of good ones are flipped, cut and doubled and given to the codec, to the state machine's OPEN and to
// whole speakers. Nothing may throw, and nothing may stay behind. FUZZ_MESSAGES says how many (100,000; a million by night).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { address, type Address, type Prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import {
  announcedParts,
  attributeBytes,
  decodeAttributes,
  decodeNotification,
  decodeOpen,
  decodeRouteRefresh,
  describeMessage,
  encodeAttributes,
  encodeKeepalive,
  encodeOpen,
  encodeUpdates,
  forEachAnnounced,
  forEachWithdrawn,
  frameLength,
  messageTypeAt,
  parseUpdate,
  type Attributes,
} from '../packet/mod.ts';
import { configFromFile } from './config-plan.ts';
import { FakeNetwork } from './fake.ts';
import { Speaker } from './speaker.ts';
import type { Wire } from './transport.ts';

const messages = Number(process.env['FUZZ_MESSAGES'] ?? 100_000);

/** xorshift, 32 bits. */
let state = 0x2545f491;
function below(limit: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

const attributes: Attributes = {
  origin: 0,
  asPath: [
    { type: 'sequence', asns: [65001, 4200000000] },
    { type: 'set', asns: [65020, 65021] },
  ],
  nextHop: address('10.0.0.2'),
  med: 5,
  localPref: 100,
  atomicAggregate: true,
  aggregator: { asn: 65001, address: address('10.1.1.1') },
  communities: [0xfde80007, 0xffffff01],
  originatorId: 0x0a000005,
  clusterList: [1, 2],
  extendedCommunities: ['0002fde800000001'],
  largeCommunities: [[1, 2, 3]],
};
const nlri = (texts: readonly string[]) => texts.map((p) => ({ prefix: p as Prefix, pathId: 1 }));
const open = encodeOpen({
  version: 4,
  asn: 65001,
  holdTimeS: 90,
  routerId: 0x0a000002,
  capabilities: [
    { type: 'multiprotocol', afi: 1, safi: 1 },
    { type: 'multiprotocol', afi: 2, safi: 1 },
    { type: 'route-refresh' },
    { type: 'enhanced-route-refresh' },
    { type: 'four-octet-as', asn: 65001 },
    {
      type: 'graceful-restart',
      restarting: false,
      notification: true,
      restartTimeS: 120,
      families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
    },
  ],
});
const seeds: readonly Uint8Array[] = [
  open,
  encodeKeepalive(),
  ...encodeUpdates(
    {
      family: 4,
      attributes: encodeAttributes(attributes, { as4: true, nextHop: 'attribute' }),
      announced: nlri(['10.1.0.0/16', '10.2.3.0/24', '192.0.2.1/32']),
      withdrawn: nlri(['10.9.0.0/16']),
    },
    { addPath: false, limit: 4096 },
  ),
  ...encodeUpdates(
    {
      family: 6,
      attributes: encodeAttributes(
        { ...attributes, nextHop: address('fd00::2') },
        { as4: true, nextHop: 'mp-reach' },
      ),
      announced: nlri(['fd01::/64', 'fd02::1/128']),
      withdrawn: nlri(['fd09::/48']),
    },
    { addPath: false, limit: 4096 },
  ),
];

/** One to eight bytes differ; sometimes the end is missing, or stands there twice. Marker and length stay good most of the
 *  time, so that the inner parts are reached. */
function damaged(): Uint8Array {
  const seed = seeds[below(seeds.length)] ?? open;
  let bytes = Uint8Array.from(seed);
  const keepHeader = below(10) !== 0;
  for (let flips = 1 + below(8); flips > 0; flips--) {
    const at = keepHeader && bytes.length > 19 ? 19 + below(bytes.length - 19) : below(bytes.length);
    bytes[at] = below(256);
  }
  const shape = below(20);
  if (shape === 0 && bytes.length > 20) bytes = bytes.slice(0, 19 + below(bytes.length - 19));
  if (shape === 1) bytes = Uint8Array.from([...bytes, ...bytes.subarray(19 + below(bytes.length - 18))]);
  if (shape <= 1) {
    bytes[16] = bytes.length >> 8;
    bytes[17] = bytes.length & 255;
  }
  return bytes;
}

test(`${messages} damaged messages: the codec reads them all without an exception`, {
  timeout: 3_600_000,
}, () => {
  let read = 0;
  for (let i = 0; i < messages; i++) {
    const bytes = damaged();
    const length = frameLength(bytes, 0, bytes.length, 4096);
    if (length <= 0 || length > bytes.length) continue;
    const type = messageTypeAt(bytes, 0);
    if (type === 1) decodeOpen(bytes, 0, length);
    else if (type === 3) decodeNotification(bytes, 0, length);
    else if (type === 5) decodeRouteRefresh(bytes, 0);
    else if (type === 2) {
      const context = {
        as4: below(4) !== 0,
        ebgp: below(2) === 0,
        ipv4: true,
        ipv6: below(4) !== 0,
        addPath4: below(4) === 0,
        addPath6: below(4) === 0,
      };
      const view = parseUpdate(bytes, 0, length, context);
      forEachWithdrawn(view, () => read++);
      for (const part of announcedParts(view)) {
        decodeAttributes(attributeBytes(view, part));
        forEachAnnounced(view, part, () => read++);
      }
      if (i % 64 === 0) describeMessage(bytes, 0, length, context);
    }
  }
  assert.ok(read > messages / 10, `${read} prefixes were read`);
});

test(`${messages / 20} damaged messages to a speaker: it lives, and a good session follows`, {
  timeout: 3_600_000,
}, async () => {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  const us = address('10.0.0.1');
  const config = expect(
    configFromFile(
      JSON.stringify({
        local: { as: 64512, routerId: '10.0.0.1', listen: { addresses: ['10.0.0.1'] } },
        peers: [{ neighbourRange: '10.0.0.0/24', as: 65001, families: [4, 6] }],
      }),
    ),
    'plan',
  );
  const speaker = new Speaker(config, {
    transport: network.transport(us),
    clock,
    logger: silentLogger,
    random: () => 0.5,
  });
  expect(await speaker.start(), 'speaker');
  const dial = (n: number): Wire | undefined => {
    let wire: Wire | undefined;
    const from = address(`10.0.0.${n}`);
    network.transport(from as Address).dial(
      { remote: us, port: 179 },
      (w) => {
        wire = w;
        w.open({ data: () => undefined, closed: () => undefined, drained: () => undefined });
      },
      () => undefined,
    );
    clock.advance(2);
    return wire;
  };
  for (let i = 0; i < messages / 20; i++) {
    const wire = dial(2 + (i % 250));
    // Half of them come after a good beginning.
    if (i % 2 === 0) wire?.write([open, encodeKeepalive()]);
    wire?.write([damaged()]);
    clock.advance(2);
    wire?.write([damaged()]);
    clock.advance(2);
    wire?.close();
    clock.advance(3);
    if (i % 250 === 249) clock.advance(40_000);
  }
  clock.advance(600_000);
  assert.equal(speaker.status().rib.paths, 0);
  assert.equal(speaker.peers().length, 0);
  const wire = dial(2);
  wire?.write([open, encodeKeepalive()]);
  clock.advance(20);
  assert.equal(speaker.peers()[0]?.state, 'Established');
  await speaker.stop('end');
});
