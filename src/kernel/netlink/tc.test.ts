// Messages of traffic control beside those of `tc` (iproute2 6) and the answers of Linux 6.18.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bucketHandle, type TokenBucket } from '../types.ts';
import { messages, MessageWriter, type MessageHeader } from './message.ts';
import { decodeQdisc, encodeBucket, encodeRootDelete, sameBucket } from './qdiscs.ts';
import { decodeRedirect, encodeRedirect } from './redirects.ts';

/** Spaces and line breaks only for the eye. */
const packed = (text: string): string => text.replace(/\s/g, '');

function written(write: (w: MessageWriter) => void): string {
  const w = new MessageWriter(16);
  write(w);
  return Buffer.from(w.bytes).toString('hex');
}

function answered<T>(type: number, body: string, decode: (view: DataView, message: MessageHeader) => T): T {
  const bytes = new MessageWriter()
    .message(type, 2, 7)
    .raw(Buffer.from(packed(body), 'hex'))
    .end()
    .bytes.slice();
  const view = new DataView(bytes.buffer);
  const [message] = [...messages(view, bytes.length)];
  assert.ok(message);
  return decode(view, message);
}

const slow: TokenBucket = { rateBytesPerSecond: 5_000_000, burstBytes: 102_400, queueBytes: 225_000 };
const fast: TokenBucket = {
  rateBytesPerSecond: 5_000_000_000,
  burstBytes: 104_857_600,
  queueBytes: 314_572_800,
  peak: { rateBytesPerSecond: 10_000_000_000, burstBytes: 1514 },
};

test('a token bucket is what tc sends, without what the kernel takes from elsewhere', () => {
  // tc qdisc replace dev #2 root handle 1: tbf rate 40mbit burst 100kb limit 225000, less the table of times with the cell
  // sizes that describe it, and the burst in ticks that the one in bytes replaces.
  assert.equal(
    written((w) => encodeBucket(w, 2, bucketHandle, slow)),
    packed(`00000000 02000000 00000100 ffffffff 00000000
            0800 0100 74626600
            3400 0280
              2800 0100  00 01 0000 0000 0000 404b4c00  000000000000000000000000  e86e0300 00000000 00000000
              0800 0600 00900100`),
  );
  // tc qdisc replace dev #3 root handle 1: tbf rate 40gbit burst 100mb limit 300mb peakrate 80gbit mtu 1514
  assert.equal(
    written((w) => encodeBucket(w, 3, bucketHandle, fast)),
    packed(`00000000 03000000 00000100 ffffffff 00000000
            0800 0100 74626600
            5400 0280
              2800 0100  00 01 0000 0000 0000 ffffffff  00 01 0000 0000 0000 ffffffff  0000c012 00000000 00000000
              0800 0600 00004006
              0c00 0400 00f2052a01000000
              0c00 0500 00e40b5402000000
              0800 0700 ea050000`),
  );
  assert.equal(
    written((w) => encodeRootDelete(w, 2, bucketHandle)),
    packed('00000000 02000000 00000100 ffffffff 00000000'),
  );
});

test('what the kernel answers is the bucket that was asked for, rounded to its ticks', () => {
  const found = answered(
    36,
    `00000000 02000000 00000100 ffffffff 03000000
     0800 0100 74626600
     2c00 0200 2800 0100 0001000000000000404b4c00 000000000000000000000000 e86e0300 00e20400 00000000
     0500 0c00 00000000`,
    decodeQdisc,
  );
  assert.deepEqual(found, { linkIndex: 2, kind: 'tbf', handle: bucketHandle, isRoot: true, bucket: slow });
  const wide = answered(
    36,
    `00000000 03000000 00000100 ffffffff 02000000
     0800 0100 74626600
     4400 0200
       2800 0100 0001000000000000ffffffff 0001000000000000ffffffff 0000c012 ffff0400 02000000
       0c00 0400 00f2052a01000000
       0c00 0500 00e40b5402000000`,
    decodeQdisc,
  )?.bucket;
  // 2 ticks at 10 GB/s are 1280 bytes.
  assert.deepEqual(wide?.peak, { rateBytesPerSecond: 10_000_000_000, burstBytes: 1280 });
  assert.ok(wide && sameBucket(fast, wide));
  for (const other of [
    { ...fast, rateBytesPerSecond: 5_000_000_001 },
    { ...fast, burstBytes: 105_000_000 },
    { ...fast, queueBytes: 1 },
    slow,
  ])
    assert.equal(sameBucket(other, wide), false);
  const clsact = answered(
    36,
    '00000000 02000000 0000ffff f1ffffff 01000000 0b000100 636c7361637400 00',
    decodeQdisc,
  );
  assert.deepEqual(clsact, { linkIndex: 2, kind: 'clsact', handle: 0xffff0000, isRoot: false });
});

test('a redirect is what tc sends, and what the kernel answers', () => {
  // tc filter add dev #2 ingress prio 1 protocol all u32 match u32 0 0 action mirred egress redirect dev #3
  const sent = packed(`00000000 02000000 00000000 f2ffffff 00030100
            0800 0100 75333200
            6000 0280
              3800 0780
                3400 0180
                  0b00 0100 6d697272656400 00
                  2400 0280
                    2000 0200 00000000 00000000 04000000 00000000 00000000 01000000 03000000
              2400 0500 01 00 01 00 0000 0000 0000 0000 00000000  00000000 00000000 00000000 00000000`);
  const tcFlags = sent
    .replace('38000780', '38000700')
    .replace('34000180', '34000100')
    .replace('60000280', '60000200');
  const redirect = { linkIndex: 2, priority: 1, targetIndex: 3 };
  assert.equal(
    written((w) => encodeRedirect(w, redirect, 0)),
    sent,
  );
  assert.deepEqual(answered(44, tcFlags, decodeRedirect), { ...redirect, handle: 0 });
  const found = answered(
    44,
    `00000000 02000000 00080080 f2ffffff 00030100
     0800 0100 75333200  0800 0b00 00000000
     e000 0200
       2400 0500 0100010000000000000000000000000000000000000000000000000000000000
       0800 0200 00000080  0800 0b00 08000000
       a800 0700 a400 0100
         0b00 0100 6d697272656400 00
         4400 0400 1400 0100 00000000000000000000000000000000 1400 0700 00000000000000000000000000000000
                   1800 0300 0000000000000000000000000000000000000000
         0800 0a00 00000000
         4800 0200
           2000 0200 01000000 00000000 04000000 01000000 01000000 01000000 03000000
           2400 0100 0200000000000000 0200000000000000 0000000000000000 0000000000000000`,
    decodeRedirect,
  );
  assert.deepEqual(found, { ...redirect, handle: 0x80000800 });
  // u32's own hash table is no redirect.
  const table =
    '00000000 02000000 00000080 f2ffffff 00030100 0800 0100 75333200 0c00 0200 0800 0400 01000000';
  assert.equal(answered(44, table, decodeRedirect), undefined);
});

test('a bucket read back from the kernel is the same for every rate and burst', () => {
  const rates = fc.integer({ min: 125, max: 125_000_000_000_000 });
  fc.assert(
    fc.property(rates, fc.integer({ min: 1514, max: 0xffffffff }), (rateBytesPerSecond, burstBytes) => {
      const bucket = { rateBytesPerSecond, burstBytes, queueBytes: 1 };
      // What psched_l2t_ns and PSCHED_NS2TICKS make of it.
      let shift = 0;
      let factor = 1_000_000_000n;
      let mult = factor / BigInt(rateBytesPerSecond);
      while ((mult & 0x80000000n) === 0n && (factor & (1n << 63n)) === 0n) {
        factor <<= 1n;
        shift++;
        mult = factor / BigInt(rateBytesPerSecond);
      }
      const ticks = ((BigInt(burstBytes) * mult) >> BigInt(shift)) >> 6n;
      if (ticks > 0xffffffffn) return;
      const read = Math.round((Number(ticks) * 64 * rateBytesPerSecond) / 1e9);
      assert.ok(sameBucket(bucket, { ...bucket, burstBytes: read }), `${read}`);
    }),
    { numRuns: 500 },
  );
});
