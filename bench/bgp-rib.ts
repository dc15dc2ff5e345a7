// Routing table without network: messages in, messages out. `load`: one peer announces, another receives, as a reflector
// would do it. `reflect`: every client announces and every other one must hear of it. Every session runs the import and
// export policies of a Calico node with twenty blocks. One process per case, so that memory
// is that of the case alone. CPU seconds are the number to look at; the anchors are of docs/bgp-rib.md.
//   npm run bench -- bgp-rib [--quick]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { address, type Address } from '../src/lib/ip/mod.ts';
import {
  announcedParts,
  attributeBytes,
  encodeAttributes,
  parseUpdate,
  UpdateBuilder,
  type Attributes,
} from '../src/bgp/packet/mod.ts';
import { computePlan } from '../src/bgp/plan/mod.ts';
import { createRib, type PeerId, type Rib } from '../src/bgp/rib/mod.ts';

type Profile = 'dense' | 'sparse' | 'single';
type Case =
  | { readonly kind: 'load'; readonly profile: Profile; readonly prefixes: number }
  | { readonly kind: 'reflect'; readonly profile: Profile; readonly clients: number; readonly each: number };

const cases: Case[] = [
  ...[10_000, 100_000, 500_000].flatMap((prefixes) =>
    (['dense', 'sparse'] as const).map((profile): Case => ({ kind: 'load', profile, prefixes })),
  ),
  { kind: 'load', profile: 'single', prefixes: 100_000 },
  { kind: 'reflect', profile: 'dense', clients: 50, each: 200 },
  { kind: 'reflect', profile: 'dense', clients: 200, each: 50 },
  { kind: 'reflect', profile: 'dense', clients: 200, each: 500 },
  { kind: 'reflect', profile: 'sparse', clients: 200, each: 500 },
  { kind: 'reflect', profile: 'dense', clients: 1000, each: 100 },
];

/** CPU seconds of others in the same place (BIRD 2.0.12, FRR 8.4.4), network included. */
const anchors: Readonly<Record<string, { readonly bird: number; readonly frr: number }>> = {
  'load dense 10000': { bird: 0.01, frr: 0.03 },
  'load dense 100000': { bird: 0.05, frr: 0.59 },
  'load dense 500000': { bird: 0.48, frr: 3.15 },
  'load sparse 10000': { bird: 0.01, frr: 0.06 },
  'load sparse 100000': { bird: 0.21, frr: 0.86 },
  'load sparse 500000': { bird: 1.13, frr: 5.19 },
  'load single 100000': { bird: 0.53, frr: 1.38 },
  'reflect dense 50x200': { bird: 0.27, frr: 0.04 },
  'reflect dense 200x50': { bird: 0.76, frr: 0.07 },
  'reflect dense 200x500': { bird: 9.93, frr: 0.6 },
  'reflect sparse 200x500': { bird: 24, frr: 3.57 },
  'reflect dense 1000x100': { bird: 72.5, frr: 1.66 },
};

const nameOf = (c: Case): string =>
  c.kind === 'load' ? `load ${c.profile} ${c.prefixes}` : `reflect ${c.profile} ${c.clients}x${c.each}`;

// ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────────
/** UPDATEs announcing `count` prefixes /24 from number `first` on. */
function messages(
  profile: Profile,
  first: number,
  count: number,
  nextHop: Address,
  as: number,
): Uint8Array[] {
  const builder = new UpdateBuilder(4096);
  const perSet = { dense: Number.POSITIVE_INFINITY, sparse: 5, single: 1 }[profile];
  const result: Uint8Array[] = [];
  for (let i = 0; i < count; ) {
    const set = Math.floor(i / perSet);
    const bytes = encodeAttributes(attributesOf(profile, set, nextHop, as), {
      as4: true,
      nextHop: 'attribute',
    });
    const end = Math.min(count, i + perSet);
    while (i < end) {
      builder.beginAnnounce(4, bytes, false);
      while (i < end && builder.add((0x10000000 + ((first + i) << 8)) | 0, 0, 0, 0, 24, 0)) i++;
      result.push(builder.finish());
    }
  }
  return result;
}

function attributesOf(profile: Profile, set: number, nextHop: Address, as: number): Attributes {
  if (profile === 'dense') return { origin: 0, asPath: [], localPref: 100, nextHop };
  return {
    origin: 0,
    asPath: [{ type: 'sequence', asns: [as, 65000 + (set % 400), 3_000_000 + set] }],
    localPref: 100,
    med: set % 1000,
    communities: [(65000 << 16) | (set & 0xffff)],
    nextHop,
  };
}

const node = (
  name: string,
  ipv4Address: string,
): { metadata: { name: string }; spec: { bgp: { ipv4Address: string } } } => ({
  metadata: { name },
  spec: { bgp: { ipv4Address } },
});
const plan = computePlan({
  nodeName: 'a',
  nodes: [node('a', '10.255.0.1/24'), node('b', '10.255.0.2/24')],
  ipPools: ['16.0.0.0/4', '192.168.0.0/16'].map((cidr, i) => ({
    metadata: { name: `pool${i}` },
    spec: { cidr },
  })),
  blockAffinities: Array.from({ length: 20 }, (_, i) => ({ node: 'a', cidr: `192.168.${i}.0/26` })),
});
const policies = {
  importPolicy: plan.policies[plan.peers[0]?.importPolicy ?? '']!,
  exportPolicy: plan.policies[plan.peers[0]?.exportPolicy ?? '']!,
};

const clientAddress = (i: number): Address => address(`10.0.${i >> 8}.${i & 255}`);

function newClient(rib: Rib, i: number): PeerId {
  const config = {
    name: `client${i}`,
    source: 'bgp' as const,
    type: 'ibgp' as const,
    localAs: 64512,
    peerAs: 64512,
    rrClient: true,
    address: clientAddress(i),
    routerId: clientAddress(i),
    families: [{ family: 4 as const, localAddress: address('10.255.0.1'), ...policies }],
  };
  const id = rib.addPeer(config);
  rib.peerUp(id, config);
  return id;
}

const context = { as4: true, ebgp: false, ipv4: true, ipv6: false, addPath4: false, addPath6: false };

function receive(rib: Rib, peer: PeerId, bytes: Uint8Array): void {
  const view = parseUpdate(bytes, 0, bytes.length, context);
  for (const part of announcedParts(view)) {
    rib.update(peer, {
      family: 4,
      attributes: attributeBytes(view, part),
      nlri: bytes.subarray(view.nlriStart, view.nlriEnd),
    });
  }
}

// ── one case ─────────────────────────────────────────────────────────────────────────────────────────────────────────
function run(c: Case): void {
  const rib = createRib({ routerId: address('10.255.0.1'), now: () => performance.now() });
  const clients = c.kind === 'load' ? 2 : c.clients;
  const ids = Array.from({ length: clients }, (_, i) => newClient(rib, i + 1));
  const input = ids.map((_, i) => {
    const as = 65001;
    if (c.kind === 'load') return i === 0 ? messages(c.profile, 0, c.prefixes, clientAddress(1), as) : [];
    return messages(c.profile, i * c.each, c.each, clientAddress(i + 1), as);
  });
  rib.flush(1000, () => true);
  globalThis.gc?.();
  const baseRss = process.memoryUsage.rss();
  let bytesOut = 0;
  let longest = 0;
  const flush = (): boolean => {
    const started = performance.now();
    const { done } = rib.flush(20, (_, chunks) => {
      for (const chunk of chunks) bytesOut += chunk.length;
      return true;
    });
    longest = Math.max(longest, performance.now() - started);
    forwarding();
    return done;
  };
  /** What a reflector without kernel routes does not need: counted apart. */
  let forwardingMs = 0;
  const forwarding = (): void => {
    const started = process.cpuUsage();
    while (rib.takeBestChanges(4096).length > 0) continue;
    const spent = process.cpuUsage(started);
    forwardingMs += (spent.user + spent.system) / 1000;
  };
  const cpu = process.cpuUsage();
  const wall = performance.now();
  // Messages of all peers come interleaved, a flush every 2,000 of them as its timer would have it.
  let sinceFlush = 0;
  for (let round = 0; input.some((list) => round < list.length); round++) {
    for (const [i, list] of input.entries()) {
      const bytes = list[round];
      if (bytes === undefined) continue;
      receive(rib, ids[i]!, bytes);
      if (++sinceFlush >= 2000) {
        sinceFlush = 0;
        flush();
      }
    }
  }
  while (!flush()) continue;
  const wallS = (performance.now() - wall) / 1000;
  const used = process.cpuUsage(cpu);
  const first = ids[0]!;
  const anchor = anchors[nameOf(c)];
  const line = {
    bench: 'bgp-rib',
    case: nameOf(c),
    cpuS: round3((used.user + used.system) / 1e6 - forwardingMs / 1000),
    forwardingCpuS: round3(forwardingMs / 1000),
    wallS: round3(wallS),
    rssMB: Math.round(process.memoryUsage.rss() / 1e6),
    tableMB: Math.round((process.memoryUsage.rss() - baseRss) / 1e6),
    longestFlushMs: Math.round(longest),
    sentMB: Math.round(bytesOut / 1e6),
    announcedToFirst: rib.peerCounts(first).announced,
    paths: rib.counts().paths,
    ...(anchor === undefined ? {} : { birdCpuS: anchor.bird, frrCpuS: anchor.frr }),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const round3 = (n: number): number => Math.round(n * 1000) / 1000;

const [flag, text] = process.argv.slice(2);
if (flag === '--case' && text !== undefined) run(JSON.parse(text) as Case);
else {
  const selected =
    flag === '--quick'
      ? cases.filter((c) => (c.kind === 'reflect' ? c.clients <= 200 : c.prefixes <= 100_000))
      : cases;
  for (const c of selected) {
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--case', JSON.stringify(c)], {
      stdio: 'inherit',
    });
    if (child.status !== 0) process.exitCode = 1;
  }
}
