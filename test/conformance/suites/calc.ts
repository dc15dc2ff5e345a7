// Suites `calc-graph` and `calc-graph-sequences`: from what a datastore holds to what a node must enforce. A case gives its
// state twice: as v3 resources, and as keys and values of upstream's own model, which has what v3 resources cannot say
// (blocks, node addresses, tunnel addresses, endpoint slices). Both together become the updates of one graph.
import {
  type EndpointPolicy,
  type NetworkRoute,
  type NodeFacts,
  nodeFacts,
  PolicyGraph,
  type PolicyUpdate,
  type TierOrder,
  type Vtep,
} from '../../../src/felix/calc/mod.ts';
import type * as model from '../../../src/model/mod.ts';
import type { PolicyId, SetDefinition } from '../../../src/policy/mod.ts';
import type { JsonObject } from '../types.ts';

type KeyValue = {
  readonly key: { readonly type: string } & Readonly<Record<string, string>>;
  readonly value: unknown;
};
type State = {
  readonly localHostname: string;
  readonly kvs: readonly KeyValue[];
  readonly v3: readonly Resource[];
};
type Resource = { readonly kind: string; readonly metadata: model.ObjectMeta; readonly spec?: JsonObject };
type Name = { readonly name: string; readonly namespace?: string };

export const answer = (input: State): unknown => new Player(input.localHostname).play(input);

/** One running instance is moved through the states. */
export function answerSequence({ states }: { readonly states: readonly State[] }): unknown {
  const player = new Player(states[0]?.localHostname ?? '');
  return { states: states.map((state) => player.play(state)) };
}

class Player {
  readonly #graph: PolicyGraph;
  /** Objects of the state before, by kind and name. */
  #objects = new Map<string, Resource>();
  /** Tunnel addresses that stand in the configuration of hosts: upstream makes overlay ends of them, but no routes. */
  #overlayOnly = new Set<string>();

  constructor(nodeName: string) {
    this.#graph = new PolicyGraph({ nodeName, describeNode: (node) => this.#describe(node) });
  }

  play(state: State): unknown {
    const { objects, overlayOnly, routeSource } = read(state);
    this.#overlayOnly = overlayOnly;
    this.#graph.setRouteSource(routeSource === 'WorkloadIPs' ? 'WorkloadIPs' : 'CalicoIPAM');
    for (const [id, { kind, metadata }] of this.#objects)
      if (!objects.has(id))
        this.#graph.update({ type: 'delete', kind, name: nameOf(metadata) } as PolicyUpdate);
    for (const [id, object] of objects)
      if (JSON.stringify(this.#objects.get(id)) !== JSON.stringify(object))
        this.#graph.update({ type: 'set', kind: object.kind, object } as unknown as PolicyUpdate);
    this.#objects = objects;
    this.#graph.flush();
    return view(this.#graph, objects);
  }

  #describe(node: model.Node): NodeFacts {
    const facts = nodeFacts(node);
    const isRoute = ({ type, address }: NodeFacts['tunnels'][number]): boolean =>
      type !== 'vxlan' || !this.#overlayOnly.has(`${node.metadata.name} ${address.includes(':') ? 6 : 4}`);
    return { ...facts, tunnels: facts.tunnels.filter(isRoute) };
  }
}

const nameOf = ({ name, namespace }: model.ObjectMeta): Name => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
});

/** Fields of Node that hosts' configuration stands for. */
const hostFields: Readonly<Record<string, string>> = {
  IPv4VXLANTunnelAddr: 'ipv4VXLANTunnelAddr',
  IPv6VXLANTunnelAddr: 'ipv6VXLANTunnelAddr',
  VXLANTunnelMACAddr: 'vxlanTunnelMACAddr',
  VXLANTunnelMACAddrV6: 'vxlanTunnelMACAddrV6',
};

function read({ kvs, v3 }: State) {
  const objects = new Map<string, Resource>();
  const overlayOnly = new Set<string>();
  let routeSource: unknown;
  const put = (object: Resource): void => {
    const { name, namespace } = object.metadata;
    objects.set(`${object.kind} ${namespace ?? ''}/${name}`, object);
  };
  const putNode = (name: string, spec: JsonObject): void => {
    const before = objects.get(`Node /${name}`)?.spec ?? {};
    put({ kind: 'Node', metadata: { name }, spec: { ...before, ...spec } });
  };
  for (const object of v3) put(object);
  for (const { key, value } of kvs) {
    if (key.type === 'GlobalConfigKey' && key['name'] === 'RouteSource') routeSource = value;
    if (key.type === 'BlockKey') {
      const spec = value as JsonObject;
      const name = (key['cIDR'] ?? '').replaceAll(/[.:/]/g, '-');
      put({ kind: 'IPAMBlock', metadata: { name }, spec: { ...spec, attributes: spec['attributes'] ?? [] } });
    }
    if (key.type === 'ResourceKey' && key['kind'] === 'Node')
      putNode(key['name'] ?? '', (value as { spec?: JsonObject }).spec ?? {});
    if (key.type === 'ResourceKey' && key['kind'] === 'KubernetesEndpointSlice')
      put({ ...(value as Resource), kind: 'EndpointSlice' });
    const field = key.type === 'HostConfigKey' ? hostFields[key['name'] ?? ''] : undefined;
    if (field !== undefined) {
      const host = key['hostname'] ?? '';
      putNode(host, { [field]: value as string });
      if (field.endsWith('Addr') && field.startsWith('ipv')) overlayOnly.add(`${host} ${field[3] ?? ''}`);
    }
  }
  return { objects, overlayOnly, routeSource };
}

function view(graph: PolicyGraph, objects: ReadonlyMap<string, Resource>): unknown {
  const state = graph.state();
  const endpoints = [...state.endpoints.values()];
  const orders = (pick: (endpoint: EndpointPolicy) => readonly TierOrder[], isAlways: boolean) =>
    Object.fromEntries(
      endpoints
        .filter((endpoint) => isAlways || pick(endpoint).length > 0)
        .map((endpoint) => [endpointName(endpoint, objects), pick(endpoint).map(tierOrder)]),
    );
  return {
    ipSets: [...state.sets.values()].map(({ set, members }) => ({ ...setName(set), members: [...members] })),
    endpointPolicyOrder: orders((endpoint) => endpoint.normal, true),
    untrackedEndpointPolicyOrder: orders((endpoint) => endpoint.untracked, false),
    preDNATEndpointPolicyOrder: orders((endpoint) => endpoint.preDnat, false),
    activePolicies: [...state.policies.values()].map(({ id }) => id),
    activeProfiles: [...state.profiles.keys()],
    routes: [...state.routes.values()].map(routeView),
    vteps: [...state.vteps.values()].map(vtepView),
  };
}

function endpointName(
  { type, name, namespace }: EndpointPolicy,
  objects: ReadonlyMap<string, Resource>,
): string {
  if (type === 'host') return name;
  const spec = objects.get(`WorkloadEndpoint ${namespace ?? ''}/${name}`)?.spec ?? {};
  return ['orchestrator', 'workload', 'endpoint'].map((field) => spec[field] as string).join('/');
}

const tierOrder = ({ tier, ingress, egress }: TierOrder) => ({
  tier,
  ingress: names(ingress),
  egress: names(egress),
});
const names = (ids: readonly PolicyId[]) => ids.map((id) => ({ ...id }));

const protocols: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };
function setName(set: SetDefinition): object {
  if (set.kind === 'service') return {};
  const { text } = set.selector;
  if (set.kind === 'selector') return { selector: text };
  return { selector: text, protocol: protocols[set.protocol ?? 0] ?? '', portName: set.port };
}

const upper = (word: string): string => word.replaceAll('-', '_').toUpperCase();

const routeView = (route: NetworkRoute) => ({
  types: route.types.map(upper),
  ipPoolType: upper(route.poolType),
  dst: route.dst,
  dstNodeName: route.node,
  dstNodeIp: route.nodeAddress,
  natOutgoing: route.natOutgoing,
  sameSubnet: route.sameSubnet,
  localWorkload: route.localWorkload,
  borrowed: route.borrowed,
  tunnelType: Object.fromEntries(route.tunnels.map((type) => [type, true])),
});

const vtepView = ({ node, v4, v6 }: Vtep) => ({
  Node: node,
  ...(v4 === undefined ? {} : { Mac: v4.mac, Ipv4Addr: v4.address, ParentDeviceIp: v4.parentAddress }),
  ...(v6 === undefined ? {} : { MacV6: v6.mac, Ipv6Addr: v6.address, ParentDeviceIpv6: v6.parentAddress }),
});
