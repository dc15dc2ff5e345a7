// What the histories of rib.test.ts are made of: a few peers of every kind, a few prefixes, attributes that collide often,
// and the steps that may happen to them.
import fc from 'fast-check';
import { address, prefix, type Address, type Family } from '../../lib/ip/mod.ts';
import type { Attributes } from '../packet/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import type { RibPeerConfig } from './mod.ts';

export const routerId = address('10.0.0.1');
export const prefixes = [
  '10.1.0.0/26',
  '10.1.0.64/26',
  '10.2.0.0/16',
  '10.2.0.5/32',
  '0.0.0.0/0',
  'fd00:1::/64',
  'fd00:2::/122',
].map((t) => prefix(t));
export const hops: Record<Family, Address[]> = {
  4: ['10.0.0.2', '10.0.0.3', '10.0.0.4'].map((t) => address(t)),
  6: ['fd00::2', 'fd00::3'].map((t) => address(t)),
};

const policies: (PolicyProgram | undefined)[] = [
  undefined,
  {
    name: 'no-16',
    rules: [
      {
        name: 'drop',
        when: [{ match: 'prefix', any: [{ prefix: prefix('10.2.0.0/16'), min: 16, max: 16 }] }],
        actions: [{ do: 'reject' }],
      },
      {
        name: 'tag',
        when: [{ match: 'prefix', any: [{ prefix: prefix('10.1.0.0/16'), min: 0, max: 32 }] }],
        actions: [{ do: 'addCommunity', value: '1:2' }],
      },
    ],
    otherwise: 'accept',
  },
  {
    name: 'raise',
    rules: [
      {
        name: 'raise',
        when: [{ match: 'community', value: '1:2' }],
        actions: [
          { do: 'setPriority', value: 512 },
          { do: 'setPreference', value: 200 },
        ],
      },
      { name: 'via', when: [{ match: 'interface', any: ['eth1'] }], actions: [{ do: 'reject' }] },
    ],
    otherwise: 'accept',
  },
];

type Kind = Partial<RibPeerConfig> & { readonly addPath?: boolean };
export const kinds: Kind[] = [
  { source: 'static' },
  { source: 'kernel' },
  { type: 'ibgp' },
  { type: 'ibgp' },
  { type: 'ibgp', rrClient: true },
  { type: 'ibgp', rrClient: true, nextHopMode: 'self' },
  { type: 'ebgp' },
  { type: 'ebgp', fourOctetAs: false, allowLocalAs: 1 },
  { type: 'ibgp', rrClient: true, addPath: true },
  { type: 'ebgp', nextHopMode: 'keep', addPath: true },
];

export function configOf(
  index: number,
  importPolicy: number,
  exportPolicy: number,
  client?: boolean,
): RibPeerConfig {
  const { addPath = false, ...kind } = kinds[index] ?? {};
  if (kind.source !== undefined) return { name: `local${index}`, source: kind.source };
  const families = ([4, 6] as const).map((family) => ({
    family,
    localAddress: family === 4 ? routerId : address('fd00::1'),
    addPathReceive: addPath,
    addPathSend: addPath,
    ...(policies[importPolicy] ? { importPolicy: policies[importPolicy] } : {}),
    ...(policies[exportPolicy] ? { exportPolicy: policies[exportPolicy] } : {}),
  }));
  return {
    name: `peer${index}`,
    source: 'bgp',
    localAs: 64512,
    peerAs: kind.type === 'ebgp' ? 65000 + index : 64512,
    address: address(`10.0.1.${index}`),
    routerId: address(`10.0.2.${20 - index}`),
    ...kind,
    ...(kind.type === 'ibgp' && client !== undefined ? { rrClient: client } : {}),
    families,
  };
}

// ── histories ────────────────────────────────────────────────────────────────────────────────────────────────────────
const peerIndex = fc.integer({ min: 0, max: kinds.length - 1 });
const attributesChoice = fc.record({
  localPref: fc.constantFrom(undefined, 100, 200),
  path: fc.constantFrom<number[]>([], [65006], [65006, 65007], [65007, 64512], [70000]),
  med: fc.constantFrom(undefined, 0, 5),
  origin: fc.constantFrom(0, 1, 2 as const),
  hop: fc.nat(2),
  community: fc.constantFrom(undefined, 0xffffff01, 0xffffff02, (1 << 16) | 2),
  reflected: fc.constantFrom(undefined, undefined, 0x0a000001, 0x0a000309),
});
const prefixIndexes = fc.uniqueArray(fc.nat(prefixes.length - 1), { minLength: 1, maxLength: 4 });
export const op = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      op: fc.constant('update' as const),
      peer: peerIndex,
      at: prefixIndexes,
      attributes: attributesChoice,
      pathId: fc.nat(1),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('withdraw' as const),
      peer: peerIndex,
      at: prefixIndexes,
      pathId: fc.nat(1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('up' as const),
      peer: peerIndex,
      importPolicy: fc.nat(2),
      exportPolicy: fc.nat(2),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('down' as const), peer: peerIndex, stale: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('replace' as const), peer: peerIndex }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('sweep' as const), peer: peerIndex }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('change' as const),
      peer: peerIndex,
      importPolicy: fc.nat(2),
      exportPolicy: fc.nat(2),
      client: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('hop' as const),
      family: fc.constantFrom(4, 6 as const),
      hop: fc.nat(2),
      reachable: fc.boolean(),
      metric: fc.nat(1),
      eth1: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('pause' as const), peer: peerIndex }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('resume' as const), peer: peerIndex }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('refresh' as const), peer: peerIndex }) },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('flush' as const),
      slices: fc.constantFrom(1, 2, 100),
      full: fc.boolean(),
    }),
  },
);
export type Op = typeof op extends fc.Arbitrary<infer T> ? T : never;

export function attributesFor(
  choice: (Op & { op: 'update' })['attributes'],
  family: Family,
  config: RibPeerConfig,
): Attributes {
  const list = hops[family];
  const external = config.type === 'ebgp';
  return {
    origin: choice.origin,
    asPath: choice.path.length === 0 ? [] : [{ type: 'sequence', asns: choice.path }],
    nextHop: list[choice.hop % list.length] ?? routerId,
    ...(choice.med === undefined ? {} : { med: choice.med }),
    ...(choice.localPref === undefined || external ? {} : { localPref: choice.localPref }),
    ...(choice.community === undefined ? {} : { communities: [choice.community] }),
    ...(choice.reflected === undefined || external
      ? {}
      : { originatorId: choice.reflected, clusterList: [choice.reflected] }),
  };
}
