// Calico's own rules as policy programs: what a node accepts from a peer, what it announces, and what it writes into the
// kernel (BG-030 to BG-038, BG-050 to BG-062).
import {
  containsPrefix,
  prefixFamily,
  prefixLength,
  prefixOf,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import type { PeerType, PolicyMatch, PolicyProgram, PolicyRule, PrefixPattern } from '../policy/mod.ts';
import { filterRules } from './filters.ts';
import type { BgpFilterInput, PlanInput, PlanLocal, PlanPool } from './types.ts';
import { prefixesOf, type Settings } from './settings.ts';

/** What the built-in rules of one node and family are made of. */
export type PolicyFacts = {
  readonly family: Family;
  readonly pools: readonly PlanPool[];
  readonly ownBlocks: readonly Prefix[];
  /** Advertised service ranges and addresses this node originates. */
  readonly services: readonly Prefix[];
  readonly serviceRanges: ServiceRanges;
  readonly advertisements: readonly { readonly prefix: Prefix; readonly communities: readonly string[] }[];
  readonly normalPriority: number;
  /** `Enabled`, `EnabledIPIPOnly`, `EnabledNoEncapOnly`, `Disabled`. */
  readonly programClusterRoutes: string;
  readonly local: PlanLocal;
  /** WireGuard peers: routes to them are Felix's. */
  readonly wireguardHops: readonly Prefix[];
};
export type ServiceRanges = {
  readonly cluster: readonly Prefix[];
  readonly external: readonly Prefix[];
  readonly loadBalancer: readonly Prefix[];
};

const exactly = (prefix: Prefix): PrefixPattern => ({
  prefix,
  min: prefixLength(prefix),
  max: prefixLength(prefix),
});
const longest = (prefix: Prefix): number => (prefixFamily(prefix) === 4 ? 32 : 128);
const within = (prefix: Prefix): PrefixPattern => ({
  prefix,
  min: prefixLength(prefix),
  max: longest(prefix),
});
const inside = (prefix: Prefix): PrefixPattern => ({
  prefix,
  min: prefixLength(prefix) + 1,
  max: longest(prefix),
});
const matching = (any: readonly PrefixPattern[]): PolicyMatch => ({ match: 'prefix', any });
const via = (...any: string[]): PolicyMatch => ({ match: 'interface', any });

const accept = [{ do: 'accept' }] as const;
const reject = [{ do: 'reject' }] as const;

/** A rule over a list of prefixes; nothing when the list is empty. */
const rule = (
  name: string,
  patterns: readonly PrefixPattern[],
  actions: PolicyRule['actions'],
  ...more: PolicyMatch[]
): PolicyRule[] => (patterns.length === 0 ? [] : [{ name, when: [matching(patterns), ...more], actions }]);

export function importProgram(
  facts: PolicyFacts,
  filters: readonly BgpFilterInput[],
  peerType: PeerType,
): PolicyProgram {
  return {
    name: 'import',
    rules: [
      {
        name: 'elevated priority overrides',
        when: [{ match: 'priority', is: 'below', value: facts.normalPriority }],
        actions: [{ do: 'setPreference', value: 200 }],
      },
      ...filterRules(filters, 'import', facts.family, peerType),
    ],
    otherwise: 'accept',
  };
}

export function exportProgram(
  facts: PolicyFacts,
  filters: readonly BgpFilterInput[],
  peerType: PeerType,
  staticRoutes: readonly Prefix[],
): PolicyProgram {
  const { family, pools, ownBlocks, services, serviceRanges, local } = facts;
  const ipipByBgp = programs(facts.programClusterRoutes, 'ipip');
  const tunnels = ['*.cali', '*.calico', ...(ipipByBgp ? [] : ['tunl0'])];
  const learnedRanges =
    local.clusterId === undefined ? [] : [...serviceRanges.loadBalancer, ...serviceRanges.external];
  const exported = pools.filter((p) => p.exported && !p.disabled);
  return {
    name: 'export',
    rules: [
      ...filterRules(filters, 'export', family, peerType),
      ...rule('host routes to peers', staticRoutes.map(exactly), reject, {
        match: 'source',
        any: ['static'],
      }),
      ...rule(
        'disabled pools',
        pools.filter((p) => !p.exported || p.disabled).map((p) => within(p.prefix)),
        reject,
      ),
      ...(peerType === 'ibgp'
        ? [
            { name: 'tunnel routes', when: [via(...tunnels)], actions: reject },
            ...agentRoutes(facts, exported),
          ]
        : []),
      { name: 'eBPF device routes', when: [via('bpf*.cali')], actions: reject },
      ...communityRules(facts),
      ...rule('own blocks', ownBlocks.map(exactly), accept),
      ...rule('elevated routes of own blocks', ownBlocks.map(inside), accept, {
        match: 'priority',
        is: 'below',
        value: facts.normalPriority,
      }),
      ...rule('more specific than own blocks', ownBlocks.map(inside), reject),
      // Also what is more specific: the single address that a Local service has on another node, on its way to a router.
      ...rule('services', services.map(within), accept),
      ...rule('service ranges of other nodes', learnedRanges.map(within), accept),
      ...rule(
        'pools',
        exported.map((p) => within(p.prefix)),
        accept,
      ),
    ],
    otherwise: 'reject',
  };
}

/** Where the agent writes routes to other nodes' blocks (always with VXLAN), they stand in the kernel beside those to own
 *  pods. What leads off this node is the other node's to announce, also where it needs no tunnel. */
function agentRoutes(
  { family, programClusterRoutes }: PolicyFacts,
  pools: readonly PlanPool[],
): PolicyRule[] {
  const agents = pools.filter(
    ({ encapsulation }) => encapsulation === 'vxlan' || !programs(programClusterRoutes, encapsulation),
  );
  return rule(
    "the agent's routes to other nodes",
    agents.map((p) => within(p.prefix)),
    reject,
    { match: 'source', any: ['kernel'] },
    { match: 'nextHop', any: [(family === 4 ? '0.0.0.0/0' : '::/0') as Prefix] },
  );
}

/** Every entry that contains the prefix adds its communities. */
function communityRules({ advertisements }: PolicyFacts): PolicyRule[] {
  return advertisements.map(({ prefix, communities }) => ({
    name: `communities of ${prefix}`,
    when: [matching([within(prefix)])],
    actions: [...new Set(communities)].map((value) => ({ do: 'addCommunity' as const, value })),
  }));
}

export function kernelProgram(facts: PolicyFacts): PolicyProgram {
  const { family, local, serviceRanges, services, pools, programClusterRoutes, wireguardHops } = facts;
  // A node without an IPv4 address takes no part in IPv4 pools: nothing is said about their routes.
  const knowsSubnet = family === 6 || local.addresses[4] !== undefined;
  const advertised = [...serviceRanges.cluster, ...serviceRanges.external, ...serviceRanges.loadBalancer];
  return {
    name: 'kernel',
    rules: [
      ...(wireguardHops.length === 0
        ? []
        : [
            {
              name: 'WireGuard peers',
              when: [{ match: 'nextHop' as const, any: wireguardHops }],
              actions: reject,
            },
          ]),
      ...rule('services', unique([...advertised, ...services]).map(within), reject),
      ...(knowsSubnet ? pools.flatMap((pool) => poolRules(pool, facts, programClusterRoutes)) : []),
    ],
    otherwise: 'accept',
  };
}

function poolRules(
  pool: PlanPool,
  { local, family }: PolicyFacts,
  programClusterRoutes: string,
): PolicyRule[] {
  const patterns = [within(pool.prefix)];
  const name = `pool ${pool.prefix}`;
  if (pool.encapsulation === 'vxlan') return rule(`${name}: VXLAN is Felix's`, patterns, reject);
  if (!programs(programClusterRoutes, pool.encapsulation))
    return rule(`${name}: is Felix's`, patterns, reject);
  if (pool.encapsulation === 'none') return rule(name, patterns, accept);
  const tunnel = [{ do: 'setTunnel', device: 'tunl0' }, { do: 'accept' }] as const;
  const own = local.addresses[family];
  if (!pool.crossSubnet || own === undefined) return rule(`${name}: IPIP`, patterns, tunnel);
  const subnet = [prefixOf(own.address, own.length)];
  return [
    ...rule(`${name}: same subnet`, patterns, [{ do: 'setTunnel', device: '' }, { do: 'accept' }], {
      match: 'nextHop',
      any: subnet,
    }),
    ...rule(`${name}: other subnet`, patterns, tunnel),
  ];
}

/** Does the BGP side write routes of pools with this encapsulation? Unknown values mean the default. */
export function programs(setting: string, encapsulation: 'none' | 'ipip'): boolean {
  switch (setting) {
    case 'Enabled':
      return true;
    case 'Disabled':
      return false;
    case 'EnabledIPIPOnly':
      return encapsulation === 'ipip';
    default:
      return encapsulation === 'none';
  }
}

/** prefixAdvertisements with named communities resolved. */
export function readAdvertisements(
  settings: Settings,
  node: string,
  family: Family,
): { readonly prefix: Prefix; readonly communities: readonly string[] }[] {
  const named = new Map(
    (settings.forNode(node, 'communities') ?? []).map((c) => [c.name ?? '', c.value ?? ''] as const),
  );
  return (settings.forNode(node, 'prefixAdvertisements') ?? []).flatMap(({ cidr, communities = [] }) =>
    prefixesOf([{ cidr }], family).map((prefix) => ({
      prefix,
      communities: communities.map((c) => named.get(c) ?? c),
    })),
  );
}

export function readServiceRanges(input: PlanInput, { cluster }: Settings, family: Family): ServiceRanges {
  const fromEnvironment = input.advertiseClusterIPs?.map((cidr) => ({ cidr }));
  return {
    cluster: prefixesOf(fromEnvironment ?? cluster.serviceClusterIPs, family),
    external: prefixesOf(cluster.serviceExternalIPs, family),
    loadBalancer: prefixesOf(cluster.serviceLoadBalancerIPs, family),
  };
}

export const unique = <T>(list: readonly T[]): T[] => [...new Set(list)];
export const isInside = (ranges: readonly Prefix[], p: Prefix): boolean =>
  ranges.some((r) => containsPrefix(r, p));
