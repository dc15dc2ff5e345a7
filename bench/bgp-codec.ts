// The codec alone: messages and prefixes per second, read (parsed, attributes in canonical form, prefixes visited) and
// written, on one thread.
//   npm run bench -- bgp-codec
import {
  announcedParts,
  attributeBytes,
  encodeAttributes,
  forEachAnnounced,
  parseUpdate,
  UpdateBuilder,
} from '../src/bgp/packet/mod.ts';
import { address } from '../src/lib/ip/mod.ts';

const shapes = [
  { name: 'dense', prefixes: 800 },
  { name: 'sparse', prefixes: 5 },
  { name: 'single', prefixes: 1 },
] as const;
const runMs = 1500;
const context = { as4: true, ebgp: false, ipv4: true, ipv6: false, addPath4: false, addPath6: false };

const attributesOf = (n: number): Uint8Array =>
  encodeAttributes(
    {
      origin: 0,
      asPath: [{ type: 'sequence', asns: [65001, 65000 + (n % 400), 3_000_000 + n] }],
      localPref: 100,
      med: n % 1000,
      communities: [((65000 << 16) | (n & 0xffff)) >>> 0],
      nextHop: address('10.0.0.2'),
    },
    { as4: true, nextHop: 'attribute' },
  );

/** Calls per second, after a warm-up. */
function rate(work: (i: number) => void): number {
  let calls = 0;
  for (const limitMs of [300, runMs]) {
    calls = 0;
    const end = performance.now() + limitMs;
    while (performance.now() < end) for (let i = 0; i < 64; i++) work(calls++);
  }
  return (calls * 1000) / runMs;
}

for (const { name, prefixes } of shapes) {
  const sets = Array.from({ length: 256 }, (_, i) => attributesOf(i));
  const builder = new UpdateBuilder(4096);
  const write = (i: number): Uint8Array => {
    builder.beginAnnounce(4, sets[i & 255] ?? new Uint8Array(), false);
    for (let p = 0; p < prefixes; p++)
      builder.add((0x10000000 + ((i * prefixes + p) << 8)) | 0, 0, 0, 0, 24, 0);
    return builder.finish();
  };
  const messages = Array.from({ length: 256 }, (_, i) => write(i));
  let seen = 0;
  const read = (i: number): void => {
    const bytes = messages[i & 255] ?? new Uint8Array();
    const view = parseUpdate(bytes, 0, bytes.length, context);
    for (const part of announcedParts(view)) {
      seen += attributeBytes(view, part).length & 1;
      forEachAnnounced(view, part, () => seen++);
    }
  };
  const readRate = rate(read);
  const writeRate = rate(write);
  const line = {
    bench: 'bgp-codec',
    shape: name,
    prefixesPerMessage: prefixes,
    readMessagesPerS: Math.round(readRate),
    readPrefixesPerS: Math.round(readRate * prefixes),
    writeMessagesPerS: Math.round(writeRate),
    writePrefixesPerS: Math.round(writeRate * prefixes),
  };
  if (seen > 0) process.stdout.write(`${JSON.stringify(line)}\n`);
}
