// Resources → plan.
import {
  comparePrefixes,
  hostPrefix,
  isSingleAddress,
  parseInterfaceAddress,
  parseNetwork,
  prefixFamily,
  type Address,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { hashProgram, type PolicyProgram } from '../policy/mod.ts';
import { hasRules } from './filters.ts';
import {
  exportProgram,
  importProgram,
  kernelProgram,
  readAdvertisements,
  readServiceRanges,
  unique,
  type PolicyFacts,
} from './policies.ts';
import { servicePrefixes } from './services.ts';
import { clusterIdOf, SessionFinder, type Session } from './sessions.ts';
import { hashedRouterId, nodeAddress, parseRouterId, readSettings, type Settings } from './settings.ts';
import type {
  BgpFilterInput,
  BgpPlan,
  IpPoolInput,
  NodeInput,
  PlanInput,
  PlanLocal,
  PlanOrigin,
  PlanPeer,
  PlanPool,
} from './types.ts';

/** The plan of one node. A node that is not among `nodes` has no sessions. Canonical: equal input gives equal JSON. */
export function computePlan(input: PlanInput): BgpPlan {
  const settings = readSettings(input);
  const self = input.nodes.find((n) => n.metadata.name === input.nodeName) ?? {
    metadata: { name: input.nodeName },
  };
  const local = readLocal(input, settings, self);
  const sessions = new SessionFinder(input, settings, self).find();
  const pools = (input.ipPools ?? []).flatMap(readPool).sort((a, b) => comparePrefixes(a.prefix, b.prefix));
  const ownBlocks = readBlocks(input);
  const staticRoutes = readStaticRoutes(sessions);
  const facts = {
    4: readFacts(input, settings, local, pools, ownBlocks, 4),
    6: readFacts(input, settings, local, pools, ownBlocks, 6),
  };
  const policies = new PolicyStore();
  const hostRoutes = staticRoutes.map((r) => r.prefix);
  const peers = sessions.map((s) =>
    withPolicies(s, input.bgpFilters ?? [], facts[s.family], hostRoutes, policies),
  );
  const kernelPolicy = {
    4: policies.add('kernel', 4, kernelProgram(facts[4])),
    6: policies.add('kernel', 6, kernelProgram(facts[6])),
  };
  return {
    local,
    peers,
    origins: readOrigins(ownBlocks, [...facts[4].services, ...facts[6].services]),
    ownBlocks,
    staticRoutes,
    pools,
    policies: policies.sorted(),
    kernelPolicy,
    excludedInterfaces: unique([
      ...(settings.forNode(input.nodeName, 'ignoredInterfaces') ?? []),
      'cali*',
      'kube-ipvs*',
    ]),
    normalPriority: settings.normalPriority,
    logSeverity: settings.forNode(input.nodeName, 'logSeverityScreen') ?? 'Info',
  };
}

function readLocal(input: PlanInput, settings: Settings, self: NodeInput): PlanLocal {
  const v4 = parseInterfaceAddress(withLength(self.spec?.bgp?.ipv4Address, 32));
  const v6 = parseInterfaceAddress(withLength(self.spec?.bgp?.ipv6Address, 128));
  const addresses = { ...(v4.ok ? { 4: v4.value } : {}), ...(v6.ok ? { 6: v6.value } : {}) };
  const routerId = readRouterId(input, self);
  const clusterId = clusterIdOf(self);
  const bound: Address[] = [];
  if (settings.forNode(input.nodeName, 'bindMode') === 'NodeIP') {
    if (v4.ok) bound.push(v4.value.address);
    if (v6.ok) bound.push(v6.value.address);
  }
  return {
    nodeName: input.nodeName,
    as: settings.asOf(self),
    ...(routerId === undefined ? {} : { routerId }),
    listen: { port: settings.portOf(input.nodeName), addresses: bound },
    addresses,
    ...(clusterId === undefined ? {} : { clusterId }),
  };
}

const withLength = (text: string | undefined, length: number): string =>
  text === undefined || text.includes('/') ? (text ?? '') : `${text}/${length}`;

function readRouterId(input: PlanInput, self: NodeInput): Address | undefined {
  if (input.routerIdSetting === 'hash') return hashedRouterId(input.nodeName);
  return parseRouterId(input.routerIdSetting) ?? nodeAddress(self, 4);
}

function readPool({ spec }: IpPoolInput): PlanPool[] {
  const parsed = parseNetwork(spec?.cidr ?? '');
  if (!parsed.ok || spec === undefined) return [];
  const set = (mode: string | undefined): boolean => mode !== undefined && mode !== '' && mode !== 'Never';
  const encapsulation = set(spec.vxlanMode) ? 'vxlan' : set(spec.ipipMode) ? 'ipip' : 'none';
  const mode = encapsulation === 'vxlan' ? spec.vxlanMode : spec.ipipMode;
  return [
    {
      prefix: parsed.value,
      encapsulation,
      crossSubnet: encapsulation !== 'none' && mode === 'CrossSubnet',
      exported: spec.disableBGPExport !== true,
      disabled: spec.disabled === true,
    },
  ];
}

function readBlocks({ blockAffinities = [], nodeName }: PlanInput): Prefix[] {
  const own = blockAffinities.filter((b) => b.node === nodeName && (!b.state || b.state === 'confirmed'));
  return unique(
    own.flatMap(({ cidr }) => {
      const parsed = parseNetwork(cidr);
      return parsed.ok ? [parsed.value] : [];
    }),
  ).sort(comparePrefixes);
}

/** One per peer that stands behind a gateway; of sessions with several ports of it the first one says which. */
function readStaticRoutes(sessions: readonly Session[]): BgpPlan['staticRoutes'] {
  const gateways = new Map<Prefix, Address>();
  for (const { address, reachableBy } of sessions) {
    const host = hostPrefix(address);
    if (reachableBy !== undefined && !gateways.has(host)) gateways.set(host, reachableBy);
  }
  return [...gateways]
    .map(([prefix, gateway]) => ({ prefix, gateway }))
    .sort((a, b) => comparePrefixes(a.prefix, b.prefix));
}

function readFacts(
  input: PlanInput,
  settings: Settings,
  local: PlanLocal,
  pools: readonly PlanPool[],
  ownBlocks: readonly Prefix[],
  family: Family,
): PolicyFacts {
  const of = (p: Prefix): boolean => prefixFamily(p) === family;
  const serviceRanges = readServiceRanges(input, settings, family);
  const aggregation = settings.cluster.serviceLoadBalancerAggregation !== 'Disabled';
  return {
    family,
    pools: pools.filter((p) => of(p.prefix)),
    ownBlocks: ownBlocks.filter(of),
    services: servicePrefixes(input, serviceRanges, family, { loadBalancerAggregation: aggregation }).sort(
      comparePrefixes,
    ),
    serviceRanges,
    advertisements: readAdvertisements(settings, input.nodeName, family),
    normalPriority: settings.normalPriority[family],
    programClusterRoutes: settings.cluster.programClusterRoutes ?? 'EnabledNoEncapOnly',
    local,
    wireguardHops: wireguardHops(input, family),
  };
}

/** Nodes that both ends encrypt towards: routes to them are not written by BGP. */
function wireguardHops({ nodes, nodeName }: PlanInput, family: Family): Prefix[] {
  const key = (n: NodeInput): string | undefined =>
    family === 4 ? n.status?.wireguardPublicKey : n.status?.wireguardPublicKeyV6;
  const self = nodes.find((n) => n.metadata.name === nodeName);
  if (self === undefined || !key(self)) return [];
  return nodes
    .flatMap((n) => {
      const address = nodeAddress(n, family);
      return n !== self && key(n) && address !== undefined ? [hostPrefix(address)] : [];
    })
    .sort(comparePrefixes);
}

function readOrigins(blocks: readonly Prefix[], services: readonly Prefix[]): PlanOrigin[] {
  const own = new Set(blocks);
  const origins: PlanOrigin[] = [
    ...blocks.map((prefix) => ({ prefix, kind: 'block' as const, blackhole: !isSingleAddress(prefix) })),
    ...services
      .filter((p) => !own.has(p))
      .map((prefix) => ({ prefix, kind: 'service' as const, blackhole: true })),
  ];
  return origins.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
}

function withPolicies(
  session: Session,
  all: readonly BgpFilterInput[],
  facts: PolicyFacts,
  hostRoutes: readonly Prefix[],
  policies: PolicyStore,
): PlanPeer {
  const { filters: names, reachableBy: _, ...peer } = session;
  const { family, peerType } = session;
  const filters = names.flatMap((name) => all.find((f) => f.metadata.name === name) ?? []);
  const using = (direction: 'import' | 'export'): string[] =>
    filters.filter((f) => hasRules(f, direction, family)).map((f) => f.metadata.name);
  const reserved = hostRoutes.filter((p) => prefixFamily(p) === family);
  return {
    ...peer,
    importFilters: using('import'),
    exportFilters: using('export'),
    importPolicy: policies.shared(`import ${family} ${peerType} ${names.join()}`, 'import', family, () =>
      importProgram(facts, filters, peerType),
    ),
    exportPolicy: policies.shared(`export ${family} ${peerType} ${names.join()}`, 'export', family, () =>
      exportProgram(facts, filters, peerType, reserved),
    ),
  };
}

/** Programs by a key that is made of their content. */
class PolicyStore {
  readonly #programs = new Map<string, PolicyProgram>();
  readonly #shared = new Map<string, string>();

  /** For what depends on `by` alone: a thousand mesh sessions make one program, once. */
  shared(by: string, direction: string, family: Family, make: () => PolicyProgram): string {
    let key = this.#shared.get(by);
    if (key === undefined) this.#shared.set(by, (key = this.add(direction, family, make())));
    return key;
  }

  add(direction: string, family: Family, program: PolicyProgram): string {
    const key = `${direction}.v${family}.${hashProgram(program)}`;
    if (!this.#programs.has(key)) this.#programs.set(key, { ...program, name: key });
    return key;
  }

  sorted(): Record<string, PolicyProgram> {
    return Object.fromEntries([...this.#programs].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
