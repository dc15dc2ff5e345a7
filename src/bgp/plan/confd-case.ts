// Answers the conformance suite `confd-bgp`: the sessions, static routes and filter verdicts of a plan in the shape that the
// suite compares. Also a compact way to ask a plan what it would do with a route.
import { parseAddress, parsePrefix, type Address, type Family, type Prefix } from '../../lib/ip/mod.ts';
import {
  defaultLocalPref,
  explainPolicy,
  formatCommunity,
  localPrefOf,
  parseCommunity,
  subjectOf,
  type PolicyAttributes,
  type PolicyTrace,
  type RouteSource,
} from '../policy/mod.ts';
import { computePlan } from './compute.ts';
import { defaultPort } from './settings.ts';
import type { BgpPlan, PlanInput, PlanPeer } from './types.ts';

type Probe = {
  readonly prefix: string;
  readonly origin: string;
  readonly interface?: string;
  readonly metric?: number;
  readonly localPref?: number;
  readonly nextHop?: string;
  readonly communities?: readonly string[];
  readonly largeCommunities?: readonly string[];
  readonly asPath?: readonly number[];
};
type Probes = {
  readonly exports: readonly Probe[];
  readonly imports: readonly Probe[];
  readonly kernelProgramming: readonly Probe[];
};
type AnyResource = {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
  };
  readonly data?: Record<string, string>;
  readonly stringData?: Record<string, string>;
};
export type ConfdInput = {
  readonly node: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly resources: readonly unknown[];
  readonly blockAffinities?: PlanInput['blockAffinities'];
  readonly endpointStatus?: Readonly<
    Record<
      string,
      { readonly ipv4Nets?: string[]; readonly ipv6Nets?: string[]; readonly bgpPeerName?: string }
    >
  >;
  readonly probes?: { readonly ipv4?: Probes; readonly ipv6?: Probes };
};

/** Input of a case → its answer. */
export function confdCase(input: ConfdInput): Record<'ipv4' | 'ipv6', unknown> {
  const resources = input.resources as AnyResource[];
  const plan = computePlan(planInput(input, resources));
  const secrets = new Map(
    resources
      .filter((r) => r.kind === 'Secret')
      .map((r) => [r.metadata.name, { ...r.data, ...r.stringData }]),
  );
  const family = (f: Family): unknown =>
    answer(plan, f, f === 4 ? input.probes?.ipv4 : input.probes?.ipv6, secrets);
  return { ipv4: family(4), ipv6: family(6) };
}

function planInput(input: ConfdInput, resources: readonly AnyResource[]): PlanInput {
  const all = <T>(kind: string): T[] => resources.filter((r) => r.kind === kind) as unknown as T[];
  const services = input.env?.['CALICO_ADVERTISE_CLUSTER_IPS'];
  return {
    nodeName: input.node,
    nodes: all('Node'),
    bgpConfigurations: all('BGPConfiguration'),
    bgpPeers: all<NonNullable<PlanInput['bgpPeers']>[number]>('BGPPeer').map((p) => byStatus(p, input)),
    bgpFilters: all('BGPFilter'),
    ipPools: all('IPPool'),
    services: all('Service'),
    endpointSlices: all('EndpointSlice'),
    blockAffinities: input.blockAffinities ?? [],
    secrets: resources
      .filter((r) => r.kind === 'Secret')
      .map((r) => ({ name: r.metadata.name, keys: Object.keys({ ...r.data, ...r.stringData }) })),
    localEndpoints: Object.entries(input.endpointStatus ?? {}).map(([name, status]) => ({
      name,
      labels: { 'bgp-peer': status.bgpPeerName ?? '' },
      addresses: [...(status.ipv4Nets ?? []), ...(status.ipv6Nets ?? [])],
    })),
    routerIdSetting: input.env?.['CALICO_ROUTER_ID'],
    ...(services === undefined ? {} : { advertiseClusterIPs: services.split(',') }),
  };
}

/** The suite names the BGPPeer of a local workload instead of giving its labels. */
function byStatus(
  peer: NonNullable<PlanInput['bgpPeers']>[number],
  input: ConfdInput,
): NonNullable<PlanInput['bgpPeers']>[number] {
  if (!peer.spec?.localWorkloadSelector || input.endpointStatus === undefined) return peer;
  return { ...peer, spec: { ...peer.spec, localWorkloadSelector: `bgp-peer == '${peer.metadata.name}'` } };
}

function answer(
  plan: BgpPlan,
  family: Family,
  probes: Probes | undefined,
  secrets: ReadonlyMap<string, Readonly<Record<string, string>>>,
): unknown {
  const of = (p: Prefix): boolean => p.includes(':') === (family === 6);
  const kernel = plan.policies[plan.kernelPolicy[family]];
  return {
    routerID: plan.local.routerId,
    listen: { port: plan.local.listen.port, address: plan.local.listen.addresses[0] },
    directExcludedInterfaces: plan.excludedInterfaces,
    staticRoutes: [
      ...plan.origins
        .filter((o) => of(o.prefix) && o.blackhole)
        .map((o) => ({ cidr: o.prefix, target: 'blackhole' })),
      ...plan.staticRoutes.filter((r) => of(r.prefix)).map((r) => ({ cidr: r.prefix, target: r.gateway })),
    ],
    sessions: plan.peers.filter((p) => p.family === family).map((p) => session(plan, p, probes, secrets)),
    kernelProgramming: (probes?.kernelProgramming ?? []).map((probe) => {
      if (kernel === undefined) return null;
      const trace = run(kernel, probe, undefined);
      return {
        action: trace.verdict,
        ...(trace.changes.tunnel === undefined ? {} : { tunnelDevice: trace.changes.tunnel }),
      };
    }),
  };
}

function session(
  plan: BgpPlan,
  peer: PlanPeer,
  probes: Probes | undefined,
  secrets: ReadonlyMap<string, Readonly<Record<string, string>>>,
): unknown {
  const outcomes = (list: readonly Probe[] | undefined, key: string): unknown[] =>
    (list ?? []).map((probe) => {
      const program = plan.policies[key];
      return program === undefined ? null : verdict(run(program, probe, peer), probe);
    });
  return {
    name: peer.name,
    type: peer.type,
    ip: peer.address,
    ...(peer.port === defaultPort ? {} : { port: peer.port }),
    as: peer.as,
    localAS: peer.localAs,
    sourceAddress: peer.sourceAddress,
    password: peer.password && secrets.get(peer.password.secretName)?.[peer.password.secretKey],
    rrClient: peer.rrClient !== undefined,
    rrClusterID: peer.rrClient?.clusterId,
    nextHop: peer.nextHopMode === 'auto' ? undefined : peer.nextHopMode,
    ttlSecurity: peer.ttlSecurityHops !== undefined,
    multihop: peer.ttlSecurityHops ?? true,
    gracefulRestartTime: peer.gracefulRestartTimeSet ? peer.gracefulRestartTimeSeconds : undefined,
    allowLocalAS: peer.allowLocalAs,
    passive: peer.passive,
    importBGPFilters: peer.importFilters,
    exportBGPFilters: peer.exportFilters,
    exports: outcomes(probes?.exports, peer.exportPolicy),
    imports: outcomes(probes?.imports, peer.importPolicy),
  };
}

function run(
  program: Parameters<typeof explainPolicy>[0],
  probe: Probe,
  peer: PlanPeer | undefined,
): PolicyTrace {
  const prefix = parsePrefix(probe.prefix);
  const hop = parseAddress(probe.nextHop ?? '');
  return explainPolicy(
    program,
    subjectOf({
      prefix: prefix.ok ? prefix.value : (probe.prefix as Prefix),
      source: probe.origin as RouteSource,
      interfaceName: probe.interface,
      nextHop: hop.ok ? (hop.value satisfies Address) : undefined,
      peerType: peer?.peerType,
      attributes: attributesOf(probe),
    }),
  );
}

function attributesOf(probe: Probe): PolicyAttributes {
  const isBgp = probe.origin === 'bgp';
  return {
    localPref: isBgp ? (probe.localPref ?? defaultLocalPref) : localPrefOf(probe.metric ?? 1024),
    asPath: probe.asPath ?? [],
    communities: (probe.communities ?? []).flatMap((text) => {
      const c = parseCommunity(text);
      return c?.kind === 'standard' ? [c.value] : [];
    }),
    largeCommunities: probe.largeCommunities ?? [],
  };
}

/** The suite names attributes only where the filter changed them. */
function verdict({ verdict: action, changes }: PolicyTrace, probe: Probe): unknown {
  if (action === 'reject') return { action };
  const added = changes.communities.map(formatCommunity);
  const standard = [...new Set([...(probe.communities ?? []), ...added])];
  const large = [...new Set([...(probe.largeCommunities ?? []), ...changes.largeCommunities])];
  const path = [...changes.prepend, ...(probe.asPath ?? [])];
  return {
    action,
    ...(added.length > 0 ? { communities: standard } : {}),
    ...(changes.largeCommunities.length > 0 ? { largeCommunities: large } : {}),
    ...(changes.prepend.length > 0 ? { asPath: path } : {}),
    ...(changes.localPref === undefined ? {} : { localPref: changes.localPref }),
  };
}
