// Random clusters for the comparison of engines: resources of which a plan is made, what the peers announce, and what other
// programs have put into the kernel. From a seed, so that a difference can be looked at again.
import { address as toAddress, type Address } from '../../../../src/lib/ip/mod.ts';
import type { Attributes } from '../../../../src/bgp/packet/mod.ts';
import type { BgpFilterInput, BgpPeerInput, PlanInput } from '../../../../src/bgp/plan/mod.ts';

export type PeerRole = {
  readonly name: string;
  readonly address: Address;
  readonly as: number;
  readonly routerId: number;
  readonly addPath: boolean;
};
export type Announced = { readonly prefix: string; readonly attributes: Attributes };
export type KernelRouteSpec = {
  readonly prefix: string;
  readonly device?: string;
  readonly gateway?: string;
  readonly metric: number;
};
export type Scenario = {
  readonly input: PlanInput;
  /** By name of the peer. */
  readonly announced: Readonly<Record<string, readonly Announced[]>>;
  readonly kernel: readonly KernelRouteSpec[];
};

export const node = { as: 64512, v4: toAddress('10.9.0.1'), v6: toAddress('fd09::1') };
export const gateway = '10.9.0.254';
/** In the node's network namespace; eth0 leads to the peers. */
export const devices = ['eth0', 'cali1', 'cali2', 'tunl0', 'vxlan.calico', 'other0'] as const;

const id = (last: number): number => (10 << 24) | (9 << 16) | last;
export const peers: readonly PeerRole[] = [
  { name: 'n2', address: toAddress('10.9.0.12'), as: 64512, routerId: id(12), addPath: false },
  { name: 'n3', address: toAddress('10.9.0.13'), as: 64512, routerId: id(13), addPath: true },
  // Of another subnet, behind a router.
  { name: 'n4', address: toAddress('10.9.1.14'), as: 64512, routerId: id(14), addPath: false },
  { name: 'e1', address: toAddress('10.9.0.21'), as: 65001, routerId: id(21), addPath: false },
  { name: 'e2', address: toAddress('10.9.0.22'), as: 65002, routerId: id(22), addPath: true },
  { name: 's2', address: toAddress('fd09::12'), as: 64512, routerId: id(12), addPath: false },
  { name: 's6', address: toAddress('fd09::21'), as: 65001, routerId: id(21), addPath: true },
];

/** xorshift, 32 bits. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (seed * 2654435761) >>> 0 || 1;
    for (let i = 0; i < 5; i++) this.below(2);
  }
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % limit;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  some<T>(list: readonly T[], percent: number): T[] {
    return list.filter(() => this.chance(percent));
  }
}

const blocks = [
  '10.244.1.0/26',
  '10.244.1.64/26',
  '10.244.2.7/32',
  '10.245.0.0/28',
  '10.246.0.0/26',
  'fd24::1:0/122',
  'fd24::7/128',
];
const prefixes4 = [
  '10.244.1.0/26',
  '10.244.1.5/32',
  '10.244.3.0/26',
  '10.244.3.64/26',
  '10.244.4.9/32',
  '10.245.1.0/28',
  '10.246.0.0/26',
  '10.96.0.0/16',
  '10.96.5.5/32',
  '203.0.113.7/32',
  '172.20.0.0/16',
  '192.0.2.0/24',
];
const prefixes6 = [
  'fd24::1:0/122',
  'fd24::1:5/128',
  'fd24::2:0/122',
  'fd24::3:9/128',
  'fd96::/112',
  'fdaa::/64',
];
const communityTexts = ['64512:1', '65000:7', '1:2:3', '4200000000:9:8'];

/** `era` decides what needs new sessions, `seed` everything else. */
export function randomScenario(era: number, seed: number): Scenario {
  const slow = new Random(era + 7);
  const random = new Random(seed + 1000);
  const isReflector = slow.chance(40);
  const localAs = slow.chance(20) ? 64999 : undefined;
  const normal = slow.chance(20) ? 2000 : undefined;
  const filters = Array.from({ length: random.below(4) }, (_, i) => randomFilter(random, `f${i}`));
  const names = filters.map((f) => f.metadata.name);
  const input: PlanInput = {
    nodeName: 'n1',
    nodes: [
      bgpNode('n1', '10.9.0.1/24', 'fd09::1/64', isReflector ? '1.2.3.4' : undefined),
      bgpNode('n2', '10.9.0.12/24', 'fd09::12/64'),
      bgpNode('n3', '10.9.0.13/24'),
      bgpNode('n4', '10.9.1.14/24'),
    ],
    bgpConfigurations: [randomConfiguration(random, normal)],
    bgpPeers: randomPeers(random, slow, names, localAs),
    bgpFilters: filters,
    ipPools: randomPools(random),
    blockAffinities: random.some(blocks, 45).map((cidr) => ({ node: 'n1', cidr, state: 'confirmed' })),
    services: randomServices(random),
    endpointSlices: [],
  };
  const announced = Object.fromEntries(peers.map((p) => [p.name, randomRoutes(random, p, isReflector)]));
  return { input, announced, kernel: randomKernel(random) };
}

const bgpNode = (name: string, ipv4Address: string, ipv6Address?: string, cluster?: string) => ({
  metadata: { name, labels: { name } },
  spec: {
    bgp: {
      ipv4Address,
      ...(ipv6Address === undefined ? {} : { ipv6Address }),
      ...(cluster === undefined ? {} : { routeReflectorClusterID: cluster }),
    },
  },
});

function randomConfiguration(random: Random, normal: number | undefined) {
  return {
    metadata: { name: 'default' },
    spec: {
      programClusterRoutes: random.of([
        undefined,
        'Enabled',
        'Disabled',
        'EnabledIPIPOnly',
        'EnabledNoEncapOnly',
      ]),
      ...(normal === undefined ? {} : { ipv4NormalRoutePriority: normal, ipv6NormalRoutePriority: normal }),
      communities: [{ name: 'named', value: '64512:77' }],
      prefixAdvertisements: random
        .some(['10.244.0.0/16', '10.244.1.0/26', '10.96.0.0/16', 'fd24::/48'], 30)
        .map((cidr) => ({ cidr, communities: random.some(['named', ...communityTexts], 40) })),
      ...(random.chance(40) ? { serviceClusterIPs: [{ cidr: '10.96.0.0/16' }, { cidr: 'fd96::/112' }] } : {}),
      ...(random.chance(30) ? { serviceExternalIPs: [{ cidr: '203.0.113.0/24' }] } : {}),
      ...(random.chance(30) ? { serviceLoadBalancerIPs: [{ cidr: '192.0.2.0/24' }] } : {}),
    },
  };
}

function randomPeers(
  random: Random,
  slow: Random,
  names: readonly string[],
  localAs: number | undefined,
): BgpPeerInput[] {
  const common = () => ({
    filters: random.some(names, 60),
    // Another mode means another session at BIRD.
    nextHopMode: slow.of([undefined, undefined, 'Auto', 'Self', 'Keep']),
  });
  const allowed = slow.below(3);
  const list: BgpPeerInput[] = [
    { metadata: { name: 'e1' }, spec: { peerIP: '10.9.0.21', asNumber: 65001, ...common() } },
    {
      metadata: { name: 'e2' },
      spec: {
        peerIP: '10.9.0.22',
        asNumber: 65002,
        numAllowedLocalASNumbers: allowed,
        ...(localAs === undefined ? {} : { localASNumber: localAs }),
        ...common(),
      },
    },
    { metadata: { name: 's6' }, spec: { peerIP: 'fd09::21', asNumber: 65001, ...common() } },
    // Takes the place of the mesh session where there is one.
    {
      metadata: { name: 'nodes' },
      spec: { node: 'n1', peerSelector: "name in {'n2', 'n3', 'n4'}", ...common() },
    },
  ];
  return list;
}

function randomPools(random: Random) {
  const mode = () =>
    random.of([
      {},
      { ipipMode: 'Always' },
      { ipipMode: 'CrossSubnet' },
      { vxlanMode: 'Always' },
      { vxlanMode: 'CrossSubnet' },
    ]);
  return [
    { metadata: { name: 'a' }, spec: { cidr: '10.244.0.0/16', ...mode() } },
    ...(random.chance(50) ? [{ metadata: { name: 'b' }, spec: { cidr: '10.245.0.0/20', ...mode() } }] : []),
    ...(random.chance(50)
      ? [
          {
            metadata: { name: 'c' },
            spec: {
              cidr: '10.246.0.0/24',
              disableBGPExport: random.chance(50),
              disabled: random.chance(30),
            },
          },
        ]
      : []),
    ...(random.chance(70)
      ? [
          {
            metadata: { name: 'd' },
            spec: { cidr: 'fd24::/48', ...(random.chance(20) ? { vxlanMode: 'Always' } : {}) },
          },
        ]
      : []),
  ];
}

function randomServices(random: Random) {
  return random.some([1, 2, 3], 40).map((n) => ({
    metadata: { name: `svc${n}`, namespace: 'default' },
    spec: {
      type: 'LoadBalancer',
      clusterIP: `10.96.5.${n}`,
      clusterIPs: [`10.96.5.${n}`],
      externalIPs: random.chance(50) ? [`203.0.113.${n}`] : [],
      externalTrafficPolicy: 'Cluster',
    },
    status: { loadBalancer: { ingress: random.chance(50) ? [{ ip: `192.0.2.${n}` }] : [] } },
  }));
}

function randomFilter(random: Random, name: string): BgpFilterInput {
  const rules = (v6: boolean, direction: 'import' | 'export') =>
    Array.from({ length: random.below(4) }, () => randomRule(random, v6, direction));
  return {
    metadata: { name },
    spec: {
      exportV4: rules(false, 'export'),
      importV4: rules(false, 'import'),
      exportV6: rules(true, 'export'),
      importV6: rules(true, 'import'),
    },
  };
}

function randomRule(random: Random, v6: boolean, direction: 'import' | 'export') {
  const cidr = v6
    ? random.of(['fd24::/48', 'fd24::1:0/122', '::/0'])
    : random.of(['10.244.0.0/16', ...prefixes4]);
  const longest = v6 ? 128 : 32;
  const hasLength = random.chance(25);
  return {
    action: random.chance(50) ? 'Accept' : 'Reject',
    ...(random.chance(70)
      ? {
          cidr,
          matchOperator: random.of(['Equal', 'NotEqual', 'In', 'NotIn']),
          ...(hasLength
            ? {
                prefixLength: {
                  min: random.below(longest),
                  max: random.chance(50) ? longest : 26 + random.below(6),
                },
              }
            : {}),
        }
      : {}),
    ...(direction === 'export' && random.chance(25) ? { source: 'RemotePeers' } : {}),
    ...(direction === 'export' && random.chance(20)
      ? { interface: random.of(['cali*', 'eth0', '*', 'cali?']) }
      : {}),
    ...(random.chance(15) ? { peerType: random.of(['eBGP', 'iBGP']) } : {}),
    ...(random.chance(20) ? { communities: { values: [random.of(communityTexts)] } } : {}),
    ...(random.chance(15)
      ? { asPathPrefix: random.of([[65001], [65001, 65010], [64512], [4200000001]]) }
      : {}),
    ...(random.chance(20) ? { priority: random.of([512, 1024, 2147483547, 100]) } : {}),
    ...(random.chance(50)
      ? {
          operations: random.some(
            [
              { addCommunity: { value: random.of(communityTexts) } },
              { setPriority: { value: random.of([512, 1024, 3000, 100]) } },
              { prependASPath: { prefix: random.of([[64600], [64601, 64602], [4200000005]]) } },
            ],
            50,
          ),
        }
      : {}),
  };
}

// ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
function randomRoutes(random: Random, peer: PeerRole, isReflector: boolean): Announced[] {
  const v6 = peer.address.includes(':');
  return random.some(v6 ? prefixes6 : prefixes4, 30).map((prefix) => ({
    prefix,
    attributes: randomAttributes(random, peer, v6, isReflector),
  }));
}

function randomAttributes(random: Random, peer: PeerRole, v6: boolean, isReflector: boolean): Attributes {
  const ebgp = peer.as !== node.as;
  const tail = random.of([[], [], [65010], [65010, 65011], [4200000001], [64512], [64999]]);
  const path = ebgp ? [peer.as, ...tail] : random.chance(60) ? [] : [65001, ...tail];
  const communities = random.some([0xfc000001, 0xfde80007, 0xffffff01, 0xffffff02, 0xffffff03], 12);
  // Always one that can be reached: BIRD passes on what it cannot reach itself, the native engine does not (RFC 4271 9.1.2).
  const nextHop = random.chance(75)
    ? peer.address
    : toAddress(
        v6 ? random.of(['fd09::12', 'fd09::21']) : random.of(['10.9.0.12', '10.9.0.13', '10.9.1.14']),
      );
  const hasAggregator = random.chance(8);
  return {
    origin: random.of([0, 0, 0, 1, 2] as const),
    asPath: [
      ...(path.length === 0 ? [] : [{ type: 'sequence' as const, asns: path }]),
      ...(random.chance(8) ? [{ type: 'set' as const, asns: [65020, 65021] }] : []),
    ],
    nextHop,
    ...(random.chance(30) ? { med: random.of([0, 5, 10, 4294967295]) } : {}),
    ...(ebgp
      ? {}
      : {
          localPref: random.of([
            100, 100, 100, 50, 0, 2147482623, 2147482623, 2147483135, 2147483647, 4294967295,
          ]),
        }),
    ...(random.chance(8) ? { atomicAggregate: true as const } : {}),
    ...(hasAggregator ? { aggregator: { asn: 65010, address: toAddress('10.1.1.1') } } : {}),
    ...(communities.length === 0 ? {} : { communities }),
    ...(!ebgp && isReflector && random.chance(15)
      ? {
          originatorId: random.of([id(50), id(1), id(51)]),
          clusterList: random.of([[0x05060708], [0x05060708, 0x01020305]]),
        }
      : {}),
    ...(random.chance(15)
      ? {
          largeCommunities: [
            random.of([
              [1, 2, 3],
              [4200000000, 9, 8],
            ] as const),
          ],
        }
      : {}),
  };
}

function randomKernel(random: Random): KernelRouteSpec[] {
  const specs: KernelRouteSpec[] = [
    { prefix: '10.244.1.5/32', device: 'cali1', metric: random.of([1100, 600]) },
    { prefix: '10.244.1.70/32', device: 'cali2', metric: 1100 },
    { prefix: '10.244.9.9/32', device: 'cali1', metric: 1100 },
    { prefix: '10.244.2.7/32', device: 'cali2', metric: 1100 },
    { prefix: '10.244.3.0/26', gateway: '10.9.0.12', device: 'eth0', metric: random.of([1100, 5000]) },
    { prefix: '10.245.1.0/28', device: 'tunl0', metric: 1100 },
    { prefix: '10.246.0.5/32', device: 'cali2', metric: 1100 },
    { prefix: '172.20.0.0/16', gateway, device: 'eth0', metric: 150 },
    { prefix: 'fd24::1:5/128', device: 'cali1', metric: random.of([1100, 600]) },
    { prefix: 'fd24::9:9/128', device: 'cali2', metric: 1100 },
  ];
  return random.some(specs, 40);
}
