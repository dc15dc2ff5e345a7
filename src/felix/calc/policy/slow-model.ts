// What a node must enforce, worked out from all resources at once and without any index: obvious, slow, and what
// PolicyGraph must equal after every history. Tests are its only users.
import { containsPrefix, hostPrefix, prefixLength, type Prefix } from '../../../lib/ip/mod.ts';
import type { IPAMBlock, IPPool, Node, WorkloadEndpoint } from '../../../model/mod.ts';
import {
  buildWorld,
  compareTiers,
  endpointsOf,
  memberText,
  membersOf,
  missingProfile,
  programOf,
  type Direction,
  type Endpoint,
  type SetDefinition,
  type Stage,
  type World,
  type WorldResource,
} from '../../../policy/mod.ts';
import { outermost } from '../rows.ts';
import { blockOwners, nodeFacts, poolFacts } from '../network/node-facts.ts';
import { routeOf, type PrefixClaims } from '../network/routes.ts';
import type { NodeFacts, RouteSource } from '../network/types.ts';
import { networks } from './facts.ts';
import { policyKey, type EndpointPolicy, type PolicyState, type TierOrder } from './types.ts';

export function slowState(
  resources: readonly WorldResource[],
  nodeName: string,
  routeSource: RouteSource,
): PolicyState {
  const world = buildWorld(resources);
  const local = [...world.workloads, ...world.hostEndpoints].filter(({ node }) => node === nodeName);
  const policies = world.policies.filter(
    (policy) =>
      policy.staged === undefined &&
      (isHinted(resources, policy.id) || endpointsOf(world, policy).some((one) => local.includes(one))),
  );
  const profiles = [...new Set(local.flatMap((endpoint) => endpoint.profiles))].map(
    (name) => world.profiles.get(name) ?? missingProfile(name),
  );
  const sets = [...policies, ...profiles].flatMap((user) => user.sets);
  const byKind = (kind: string): readonly unknown[] => resources.filter((one) => one.kind === kind);
  const nodes = new Map((byKind('Node') as Node[]).map((node) => [node.metadata.name, nodeFacts(node)]));
  return {
    sets: new Map(sets.map((set) => [set.id, { set, members: new Set(shownMembers(set, world)) }])),
    policies: new Map(policies.map((policy) => [policyKey(policy.id), policy])),
    profiles: new Map(profiles.map((profile) => [profile.name, profile])),
    endpoints: new Map(
      local.map((endpoint) => endpointPolicyOf(world, endpoint)).map((policy) => [policy.key, policy]),
    ),
    routes: slowRoutes(
      nodeName,
      nodes,
      byKind('IPPool') as IPPool[],
      routeSource === 'CalicoIPAM' ? (byKind('IPAMBlock') as IPAMBlock[]) : [],
      (byKind('WorkloadEndpoint') as WorkloadEndpoint[]).filter(
        ({ spec }) => spec.node === nodeName || routeSource === 'WorkloadIPs',
      ),
    ),
    vteps: new Map(
      [...nodes].flatMap(([name, { vtep }]) => (vtep === undefined ? [] : [[name, vtep] as const])),
    ),
    wireguard: new Map(
      [...nodes].flatMap(([name, { wireguard: end }]) => (end === undefined ? [] : [[name, end] as const])),
    ),
  };
}

function isHinted(
  resources: readonly WorldResource[],
  { name, namespace }: WorldResource['metadata'],
): boolean {
  return resources.some(
    (one) =>
      one.kind.endsWith('NetworkPolicy') &&
      one.metadata.name === name &&
      one.metadata.namespace === namespace &&
      JSON.stringify(one).includes('AssumeNeededOnEveryNode'),
  );
}

function shownMembers(set: SetDefinition, world: World): readonly string[] {
  const members = membersOf(set, world);
  const nets = outermost(members.filter((member) => typeof member === 'string'));
  return [...nets, ...members.filter((member) => typeof member !== 'string').map(memberText)];
}

function endpointPolicyOf(world: World, endpoint: Endpoint): EndpointPolicy {
  const { kind, name, namespace, interfaceName, profiles } = endpoint;
  const at = (stage: Stage) =>
    stage === 'normal' || kind === 'host' ? tierOrders(world, endpoint, stage) : [];
  return {
    key: kind === 'host' ? `host ${name}` : `workload ${namespace ?? ''}/${name}`,
    type: kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(interfaceName === '' ? {} : { interfaceName }),
    addresses: [...new Set(endpoint.addresses)].map(hostPrefix),
    profiles,
    ...(endpoint.foreignSources.length === 0 ? {} : { foreignSources: endpoint.foreignSources }),
    ...(endpoint.limits === undefined ? {} : { limits: endpoint.limits }),
    normal: at('normal'),
    forward: at('forward'),
    untracked: at('untracked'),
    preDnat: at('preDnat'),
  };
}

function tierOrders(world: World, endpoint: Endpoint, stage: Stage): readonly TierOrder[] {
  const ids = (tier: string, direction: Direction) =>
    programOf(world, endpoint, stage, direction)
      .tiers.filter(({ name }) => name === tier)
      .flatMap(({ policies }) => policies.map(({ id }) => id));
  const names = (['ingress', 'egress'] as const).flatMap((direction) =>
    programOf(world, endpoint, stage, direction).tiers.map(({ name }) => name),
  );
  return [...new Set(names)]
    .map((name) => {
      const tier = world.tiers.find((one) => one.name === name);
      const lost = { name, order: Number.NEGATIVE_INFINITY, defaultAction: 'deny' as const };
      return { exists: tier !== undefined, ...(tier ?? lost) };
    })
    .toSorted(compareTiers)
    .map(({ name, exists, defaultAction }) => ({
      tier: name,
      exists,
      defaultAction,
      ingress: ids(name, 'ingress'),
      egress: stage === 'preDnat' ? [] : ids(name, 'egress'),
    }))
    .filter(({ ingress, egress }) => ingress.length + egress.length > 0);
}

type Claims = { readonly [K in keyof PrefixClaims]: Map<string, never> };

const none = (): Map<string, never> => new Map<string, never>();

function slowRoutes(
  nodeName: string,
  nodes: ReadonlyMap<string, NodeFacts>,
  pools: readonly IPPool[],
  blocks: readonly IPAMBlock[],
  workloads: readonly WorkloadEndpoint[],
): PolicyState['routes'] {
  const claims = new Map<Prefix, Claims>();
  const claim = (kind: keyof PrefixClaims, at: Prefix, source: string, value: unknown): void => {
    const here: Claims = claims.get(at) ?? {
      pools: none(),
      owners: none(),
      hosts: none(),
      workloads: none(),
      tunnels: none(),
    };
    claims.set(at, here);
    here[kind].set(source, value as never);
  };
  for (const pool of pools) {
    const facts = poolFacts(pool);
    if (facts !== undefined) claim('pools', facts.cidr, `pool ${pool.metadata.name}`, facts);
  }
  for (const block of blocks)
    for (const { prefix, node } of blockOwners(block)) claim('owners', prefix, block.metadata.name, node);
  for (const { metadata, spec } of workloads)
    for (const prefix of networks(spec.ipNetworks))
      if (spec.node) claim('workloads', prefix, `${metadata.namespace ?? ''}/${metadata.name}`, spec.node);
  for (const [node, { addresses, tunnels }] of nodes) {
    for (const address of addresses) claim('hosts', hostPrefix(address), node, node);
    for (const { type, address } of tunnels)
      claim('tunnels', hostPrefix(address), `${node} ${type}`, { node, type });
  }
  return new Map(
    [...claims.keys()].map((dst) => {
      const path = [...claims]
        .filter(([prefix]) => containsPrefix(prefix, dst))
        .toSorted(([a], [b]) => prefixLength(a) - prefixLength(b))
        .map(([, here]) => here);
      return [dst, routeOf(dst, path, nodeName, nodes)];
    }),
  );
}
