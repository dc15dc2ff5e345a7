// Makes a world from resources of all kinds, in any order: Calico's own, and Kubernetes' through their conversions.
import {
  isWorkloadPod,
  namespaceToProfile,
  podToWorkloadEndpoint,
  protocolNumber,
  serviceAccountToProfile,
  type EndpointSlice,
  type KindName,
  type KubernetesNetworkPolicy,
  type ResourceOf,
  type WorkloadEndpoint,
} from '../../model/mod.ts';
import { compilePolicy, type CompiledPolicy, type PolicyResource } from '../compile/policy.ts';
import { allowProfile, compileProfile } from '../compile/profile.ts';
import { compileTier, standardTiers } from '../compile/tier.ts';
import { policyText } from '../trace.ts';
import type { Address } from '../../lib/ip/mod.ts';
import type { PortMember, SetDefinition, SetId } from '../types.ts';
import { addressesOf, hostEndpointOf, networkSetOf, workloadOf, type Profiles } from './endpoints.ts';
import { LazySets } from './members.ts';
import { settingsOf } from './settings.ts';
import type { Endpoint, ServiceEndpoints, World, WorldNode } from './types.ts';

/** A resource of any kind; kinds that mean nothing for policy are passed over. */
export type WorldResource = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
};

/** The kind under its name in this project: two of Kubernetes' are called as two of Calico's. */
function kindOf({ apiVersion, kind }: WorldResource): string {
  const isKubernetes = apiVersion === 'v1' || apiVersion.startsWith('networking.k8s.io/');
  return isKubernetes && (kind === 'Node' || kind === 'NetworkPolicy') ? `Kubernetes${kind}` : kind;
}

const policyKinds = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'KubernetesNetworkPolicy',
  'ClusterNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
  'StagedKubernetesNetworkPolicy',
] as const satisfies readonly KindName[];

export function buildWorld(resources: Iterable<WorldResource>): World {
  const byKind = Map.groupBy(resources, kindOf);
  const all: All = (kind) => (byKind.get(kind) ?? []) as unknown as never;
  const problems: World['problems'][number][] = [];
  const closed = new Map<Address, string>();
  const profiles = profilesOf(all);
  const policies = policyKinds
    .flatMap((kind): readonly PolicyResource[] =>
      kind === 'KubernetesNetworkPolicy' ? all(kind).map(withTypes) : all(kind),
    )
    .flatMap((resource) => compilePolicy(resource) ?? []);
  const nodes = nodesOf(all);
  const workloads = workloadsOf(all, profiles, problems, closed);
  const peers = {
    workloads,
    hostEndpoints: all('HostEndpoint').map((one) => hostEndpointOf(one, profiles)),
    networkSets: [...all('NetworkSet'), ...all('GlobalNetworkSet')].map((set) => networkSetOf(set, profiles)),
    services: servicesOf(all),
  };
  const tiers = new Map([...standardTiers, ...all('Tier').map(compileTier)].map((t) => [t.name, t]));
  for (const policy of policies) problems.push(...problemsOf(policy, (name) => tiers.has(name)));
  for (const { name, problems: list } of profiles.values())
    problems.push(...list.map((problem) => ({ subject: `pro:${name}`, problem })));
  const configurations = all('FelixConfiguration');
  return {
    ...peers,
    nodes,
    tiers: [...tiers.values()],
    policies,
    profiles,
    sets: new LazySets(definitionsOf(policies, profiles), peers),
    settings: (node) => settingsOf(configurations, node, nodes.get(node)),
    closed,
    problems,
  };
}

/** A policy from a file, as the API server completes it: where it names no types, rules for egress mean both directions. */
function withTypes(policy: KubernetesNetworkPolicy): KubernetesNetworkPolicy {
  const { spec } = policy;
  if (spec.policyTypes?.length || !spec.egress?.length) return policy;
  return { ...policy, spec: { ...spec, policyTypes: ['Ingress', 'Egress'] } };
}

type All = <K extends KindName>(kind: K) => readonly ResourceOf<K>[];

function profilesOf(all: All): Profiles {
  const compiled = [
    ...all('Profile'),
    ...all('Namespace').map(namespaceToProfile),
    ...all('ServiceAccount').map(serviceAccountToProfile),
  ].map(compileProfile);
  return new Map([allowProfile, ...compiled].map((profile) => [profile.name, profile]));
}

function* problemsOf(policy: CompiledPolicy, isTier: (name: string) => boolean) {
  const subject = policyText(policy.id);
  for (const problem of policy.problems) yield { subject, problem };
  if (!isTier(policy.tier)) yield { subject, problem: `tier ${policy.tier || '""'} does not exist` };
}

const definitionsOf = (
  policies: readonly CompiledPolicy[],
  profiles: Profiles,
): ReadonlyMap<SetId, SetDefinition> =>
  new Map([...policies, ...profiles.values()].flatMap(({ sets }) => sets).map((set) => [set.id, set]));

/** Pods as endpoints, and endpoints that are given as such. */
function workloadsOf(
  all: All,
  profiles: Profiles,
  problems: World['problems'][number][],
  closed: Map<Address, string>,
): readonly Endpoint[] {
  const views = all('Pod').flatMap((pod): readonly WorkloadEndpoint[] => {
    if (!isWorkloadPod(pod)) return [];
    const view = podToWorkloadEndpoint(pod);
    if (view.ok) return [view.value];
    const subject = `Pod ${pod.metadata.namespace ?? ''}/${pod.metadata.name}`;
    problems.push({ subject, problem: view.error.message });
    const own = [pod.status?.podIP, ...(pod.status?.podIPs ?? []).map(({ ip }) => ip)];
    for (const address of addressesOf(own.filter((text) => text !== undefined)))
      closed.set(address, view.error.message);
    return [];
  });
  return [...views, ...all('WorkloadEndpoint')].map((one) => workloadOf(one, profiles));
}

/** Calico's node and Kubernetes' together, where both are given. */
function nodesOf(all: All): ReadonlyMap<string, WorldNode> {
  const nodes = new Map<string, WorldNode>();
  const add = (name: string, more: Omit<WorldNode, 'name'>): void => {
    const known = nodes.get(name);
    nodes.set(name, {
      name,
      labels: { ...known?.labels, ...more.labels },
      addresses: [...new Set([...(known?.addresses ?? []), ...more.addresses])],
      interfaces: [...(known?.interfaces ?? []), ...more.interfaces],
    });
  };
  for (const { metadata, status } of all('KubernetesNode'))
    add(metadata.name, {
      labels: metadata.labels ?? {},
      addresses: addressesOf((status?.addresses ?? []).map(({ address }) => address)),
      interfaces: [],
    });
  for (const { metadata, spec } of all('Node')) {
    const texts = [
      spec.bgp?.ipv4Address,
      spec.bgp?.ipv6Address,
      spec.bgp?.ipv4IPIPTunnelAddr,
      spec.ipv4VXLANTunnelAddr,
      spec.ipv6VXLANTunnelAddr,
      spec.wireguard?.interfaceIPv4Address,
      spec.wireguard?.interfaceIPv6Address,
      ...(spec.addresses ?? []).map(({ address }) => address),
    ];
    add(metadata.name, {
      labels: metadata.labels ?? {},
      addresses: texts.flatMap((text) => addressesOfInterface(text)),
      interfaces: (spec.interfaces ?? []).map(({ name = '', addresses = [] }) => ({
        name,
        addresses: addresses.flatMap(addressesOfInterface),
      })),
    });
  }
  return nodes;
}

/** Addresses of nodes may carry the length of their network, which is not part of them. */
const addressesOfInterface = (text: string | undefined): readonly Address[] =>
  text ? addressesOf([text.split('/', 1)[0] ?? '']) : [];

const serviceNameLabel = 'kubernetes.io/service-name';

/** Endpoints of slices under their service; ready or not, for a connection may still end at one that is leaving. */
function servicesOf(all: All): ReadonlyMap<string, ServiceEndpoints> {
  const slices = Map.groupBy(
    all('EndpointSlice'),
    ({ metadata }) => `${metadata.namespace ?? ''}/${metadata.labels?.[serviceNameLabel] ?? ''}`,
  );
  const names = all('Service').map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`);
  return new Map(
    [...names, ...slices.keys()].map((name) => [name, serviceEndpointsOf(slices.get(name) ?? [])]),
  );
}

function serviceEndpointsOf(slices: readonly EndpointSlice[]): ServiceEndpoints {
  const ends = slices.flatMap(({ endpoints, ports }) => {
    const addresses = (endpoints ?? []).flatMap((endpoint) => addressesOf(endpoint.addresses));
    return addresses.map((address) => ({ address, ports: ports ?? [] }));
  });
  return {
    addresses: ends.map(({ address }) => address),
    ports: ends.flatMap(({ address, ports }) =>
      ports.flatMap(({ protocol = 'TCP', port }): readonly PortMember[] => {
        const number = protocolNumber(protocol);
        return port === undefined || number === undefined ? [] : [{ address, protocol: number, port }];
      }),
    ),
  };
}
