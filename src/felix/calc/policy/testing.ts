// For tests of the policy graph: a receiver that believes only what it is told, and random resources of a small world.
import fc from 'fast-check';
import type { Prefix } from '../../../lib/ip/mod.ts';
import type { SetId, WorldResource } from '../../../policy/mod.ts';
import type { PolicyInputKind } from './graph.ts';
import { policyKey, type PolicyChange, type PolicyState } from './types.ts';

// ── a receiver that believes only what it is told, in the order in which it is told ────────────────────────────────────
function check(isTrue: boolean, otherwise = 'the change does not fit'): asserts isTrue {
  if (!isTrue) throw new Error(otherwise);
}

export class Receiver {
  readonly sets = new Map<SetId, { set: never; members: Set<string> }>();
  readonly policies = new Map<
    string,
    PolicyState['policies'] extends ReadonlyMap<string, infer P> ? P : never
  >();
  readonly profiles = new Map<
    string,
    PolicyState['profiles'] extends ReadonlyMap<string, infer P> ? P : never
  >();
  readonly endpoints = new Map<
    string,
    PolicyState['endpoints'] extends ReadonlyMap<string, infer E> ? E : never
  >();
  readonly routes = new Map<Prefix, PolicyState['routes'] extends ReadonlyMap<Prefix, infer R> ? R : never>();
  readonly wireguard = new Map<
    string,
    PolicyState['wireguard'] extends ReadonlyMap<string, infer V> ? V : never
  >();
  readonly vteps = new Map<string, PolicyState['vteps'] extends ReadonlyMap<string, infer V> ? V : never>();
  #phase = 0;

  apply(changes: readonly PolicyChange[]): void {
    this.#phase = 0;
    for (const change of changes) {
      const phase = phases.indexOf(change.type === 'set-members' ? 'set' : change.type);
      check(phase >= this.#phase, `${change.type} comes too late`);
      this.#phase = phase;
      this.#one(change);
      this.#nothingPointsIntoTheVoid();
    }
  }

  #one(change: PolicyChange): void {
    switch (change.type) {
      case 'set':
        check(!this.sets.has(change.set.id));
        this.sets.set(change.set.id, { set: change.set as never, members: new Set(change.members) });
        return;
      case 'set-members': {
        const members = this.sets.get(change.id)?.members;
        check(members !== undefined && change.added.length + change.removed.length > 0);
        for (const member of change.removed) check(members.delete(member), `${member} was no member`);
        for (const member of change.added) {
          check(!members.has(member), `${member} was one already`);
          members.add(member);
        }
        return;
      }
      case 'policy':
        return void this.policies.set(policyKey(change.policy.id), change.policy);
      case 'profile':
        return void this.profiles.set(change.profile.name, change.profile);
      case 'endpoint':
        return void this.endpoints.set(change.endpoint.key, change.endpoint);
      case 'endpoint-removed':
        return check(this.endpoints.delete(change.key));
      case 'profile-removed':
        return check(this.profiles.delete(change.name));
      case 'policy-removed':
        return check(this.policies.delete(policyKey(change.id)));
      case 'set-removed':
        return check(this.sets.delete(change.id));
      case 'route-removed':
        return check(this.routes.delete(change.dst));
      case 'vtep-removed':
        return check(this.vteps.delete(change.node));
      case 'wireguard-removed':
        return check(this.wireguard.delete(change.node));
      case 'wireguard':
        return void this.wireguard.set(change.end.node, change.end);
      case 'vtep':
        return void this.vteps.set(change.vtep.node, change.vtep);
      case 'route':
        return void this.routes.set(change.route.dst, change.route);
    }
  }

  #nothingPointsIntoTheVoid(): void {
    for (const { sets } of [...this.policies.values(), ...this.profiles.values()])
      for (const { id } of sets) check(this.sets.has(id), `${id} is used and not there`);
    for (const endpoint of this.endpoints.values()) {
      for (const name of endpoint.profiles) check(this.profiles.has(name), name);
      for (const tier of [
        ...endpoint.normal,
        ...endpoint.forward,
        ...endpoint.untracked,
        ...endpoint.preDnat,
      ])
        for (const id of [...tier.ingress, ...tier.egress]) check(this.policies.has(policyKey(id)));
    }
  }
}
const phases: readonly PolicyChange['type'][] = [
  'set',
  'policy',
  'profile',
  'endpoint',
  'endpoint-removed',
  'profile-removed',
  'policy-removed',
  'set-removed',
  'route-removed',
  'vtep-removed',
  'wireguard-removed',
  'vtep',
  'wireguard',
  'route',
];

/** For comparing: plain, sorted, without what order a Set happens to have. */
export function plain(state: PolicyState): unknown {
  const sorted = (map: ReadonlyMap<string, unknown>) =>
    Object.fromEntries([...map].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.parse(
    JSON.stringify({
      sets: sorted(new Map([...state.sets].map(([id, { members }]) => [id, [...members].toSorted()]))),
      policies: sorted(state.policies),
      profiles: sorted(state.profiles),
      endpoints: sorted(state.endpoints),
      routes: sorted(state.routes),
      vteps: sorted(state.vteps),
      wireguard: sorted(state.wireguard),
    }),
  );
}

// ── a small world, so that names and addresses collide ────────────────────────────────────────────────────────────────
export const v3 = 'projectcalico.org/v3';
export type AnyObject = WorldResource & { readonly metadata: { readonly labels?: Record<string, string> } };
export const from = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const labels = fc.dictionary(from('app', 'tier', 'env'), from('a', 'a', 'b', 'c'), { maxKeys: 3 });
const namespaces = from('red', 'blue');
const nodeNames = from('here', 'here', 'there', 'far');
const addresses = from(
  '10.0.0.1/32',
  '10.0.0.2/32',
  '10.0.1.1/32',
  '10.1.0.9/32',
  'fd00::1/128',
  'fd00::2/128',
);
const networks = from(
  '10.0.0.0/24',
  '10.0.0.0/8',
  '10.0.0.1/32',
  '10.0.0.2/31',
  'fd00::/64',
  '0.0.0.0/0',
  '192.0.2.0/24',
);
const profileNames = from(
  'kns.red',
  'kns.blue',
  'ksa.red.web',
  'own',
  'missing',
  'projectcalico-default-allow',
);
const selectors = from(
  'all()',
  'all()',
  'has(app)',
  "app in {'a', 'c'}",
  'all()',
  "app == 'a'",
  "app != 'a'",
  "app in {'a', 'b'}",
  'has(tier)',
  '!has(env)',
  "app == 'b' || tier == 'b'",
  "tier == 'a' && env not in {'b'}",
  "pcns.app == 'a'",
  "env == 'a' && env == 'b'",
  "pcns.app == 'a' || pcsa.tier == 'a'",
  'this does not (parse',
);
const ports = fc.array(
  fc.record({ name: from('http', 'dns'), protocol: from('TCP', 'UDP'), port: from(80, 53, 8080) }),
  { maxLength: 2 },
);
const side = fc.record(
  {
    selector: selectors,
    notSelector: selectors,
    namespaceSelector: from('all()', 'global()', "app == 'a'"),
    nets: from(['10.0.0.0/8'], ['192.0.2.1/32']),
    ports: from(['http'], ['dns', 80], ['1:9']),
    notPorts: from(['http'], [53]),
    serviceAccounts: from({ names: ['web'] }, { selector: "app == 'a'" }),
  },
  { requiredKeys: [] },
);
const service = from(
  { services: { name: 'db', namespace: 'red' } },
  { services: { name: 'web', namespace: 'blue' } },
);
const rule = (direction: 'ingress' | 'egress') =>
  fc.record(
    {
      action: from('Allow', 'Deny', 'Pass', 'Log'),
      protocol: from('TCP', 'UDP', 'ICMP'),
      source: direction === 'ingress' ? fc.oneof(side, side, service) : side,
      destination: direction === 'egress' ? fc.oneof(side, side, service) : side,
    },
    { requiredKeys: ['action'] },
  );
const rules = (direction: 'ingress' | 'egress') => maybe(fc.array(rule(direction), { maxLength: 2 }));
const policySpec = fc.record(
  {
    tier: from('default', 'security', 'lost'),
    order: from(1, 2, 2.5),
    selector: selectors,
    types: from(['Ingress'], ['Egress'], ['Ingress', 'Egress']),
    ingress: rules('ingress'),
    egress: rules('egress'),
    performanceHints: from([], [], ['AssumeNeededOnEveryNode']),
  },
  { requiredKeys: [] },
);
const object = (
  apiVersion: string,
  kind: string,
  names: fc.Arbitrary<string>,
  body: fc.Arbitrary<object>,
  inNamespace = false,
): fc.Arbitrary<AnyObject> =>
  fc
    .tuple(names, inNamespace ? namespaces : fc.constant(undefined), labels, body)
    .map(([name, namespace, own, rest]) => ({
      apiVersion,
      kind,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }), labels: own },
      ...rest,
    }));
const spec = (arbitrary: fc.Arbitrary<object>) => arbitrary.map((value) => ({ spec: value }));
const workload = object(
  v3,
  'WorkloadEndpoint',
  from('w1', 'w2', 'w3'),
  spec(
    fc.record({
      node: nodeNames,
      orchestrator: fc.constant('k8s'),
      interfaceName: from('cali1', 'cali2'),
      ipNetworks: fc.array(addresses, { minLength: 1, maxLength: 3 }),
      profiles: fc.uniqueArray(profileNames, { maxLength: 3 }),
      ports,
    }),
  ),
  true,
);
const globalPolicy = object(
  v3,
  'GlobalNetworkPolicy',
  from('p1', 'p2', 'p3'),
  spec(
    fc
      .tuple(policySpec, from({}, {}, { doNotTrack: true }, { preDNAT: true }, { applyOnForward: true }))
      .map(([policy, place]) => ({ ...policy, ...place })),
  ),
);
const namespace = object('v1', 'Namespace', namespaces, fc.constant({}));
const anything: readonly fc.Arbitrary<readonly [PolicyInputKind, AnyObject]>[] = [
  workload.map((one) => ['WorkloadEndpoint', one] as const),
  object(
    v3,
    'HostEndpoint',
    from('h1', 'h2'),
    spec(
      fc.record({
        node: nodeNames,
        interfaceName: from('*', 'eth0'),
        expectedIPs: from(['192.0.2.7'], ['10.0.0.1', 'fd00::1']),
        profiles: fc.uniqueArray(profileNames, { maxLength: 2 }),
        ports,
      }),
    ),
  ).map((one) => ['HostEndpoint', one] as const),
  object(
    v3,
    'NetworkSet',
    from('n1', 'n2'),
    spec(fc.record({ nets: fc.array(networks, { maxLength: 4 }) })),
    true,
  ).map((one) => ['NetworkSet', one] as const),
  object(
    v3,
    'GlobalNetworkSet',
    from('n1', 'n2'),
    spec(fc.record({ nets: fc.array(networks, { maxLength: 4 }) })),
  ).map((one) => ['GlobalNetworkSet', one] as const),
  namespace.map((one) => ['Namespace', one] as const),
  object('v1', 'ServiceAccount', from('web'), fc.constant({}), true).map(
    (one) => ['ServiceAccount', one] as const,
  ),
  object(
    v3,
    'Profile',
    from('own', 'kns.red'),
    spec(
      fc.record(
        { labelsToApply: labels, ingress: rules('ingress'), egress: rules('egress') },
        { requiredKeys: [] },
      ),
    ),
  ).map((one) => ['Profile', one] as const),
  object(
    v3,
    'Tier',
    from('security', 'default'),
    spec(fc.record({ order: from(1, 2_000_000), defaultAction: from('Pass', 'Deny') }, { requiredKeys: [] })),
  ).map((one) => ['Tier', one] as const),
  object(v3, 'NetworkPolicy', from('p1', 'p2'), spec(policySpec), true).map(
    (one) => ['NetworkPolicy', one] as const,
  ),
  globalPolicy.map((one) => ['GlobalNetworkPolicy', one] as const),
  object(
    'networking.k8s.io/v1',
    'NetworkPolicy',
    from('k1'),
    spec(
      fc.record({
        podSelector: from({}, { matchLabels: { app: 'a' } }),
        ingress: from([], [{ from: [{ podSelector: {} }], ports: [{ port: 'http' }] }]),
      }),
    ),
    true,
  ).map((one) => ['KubernetesNetworkPolicy', one] as const),
  fc
    .tuple(
      object(
        'discovery.k8s.io/v1',
        'EndpointSlice',
        from('s1', 's2'),
        fc.record({
          addressType: fc.constant('IPv4'),
          endpoints: fc.array(fc.record({ addresses: from(['10.0.0.1'], ['10.0.0.2', '10.0.1.1']) }), {
            maxLength: 2,
          }),
          ports: from([], [{ port: 80, protocol: 'TCP' }], [{ port: 53 }]),
        }),
        true,
      ),
      from('db', 'web'),
    )
    .map(
      ([slice, name]) =>
        [
          'EndpointSlice',
          { ...slice, metadata: { ...slice.metadata, labels: { 'kubernetes.io/service-name': name } } },
        ] as const,
    ),
  object(
    v3,
    'IPPool',
    from('i1', 'i2'),
    spec(
      fc.record({
        cidr: from('10.0.0.0/8', '10.0.0.0/24', 'fd00::/64'),
        ipipMode: from('Never', 'Never', 'CrossSubnet'),
        vxlanMode: from('Never', 'Always', 'CrossSubnet'),
        natOutgoing: fc.boolean(),
      }),
    ),
  ).map((one) => ['IPPool', one] as const),
  object(
    v3,
    'IPAMBlock',
    from('10-0-0-0-30', '10-0-1-0-30'),
    spec(
      fc.record({
        cidr: from('10.0.0.0/30', '10.0.1.0/30'),
        affinity: from('host:here', 'host:there'),
        allocations: from([null, null, null, null], [null, 0, 1, null]),
        unallocated: fc.constant([]),
        attributes: fc.constant([{ secondary: { node: 'here' } }, { secondary: { node: 'far' } }]),
      }),
    ),
  ).map((one) => ['IPAMBlock', one] as const),
  object(
    v3,
    'Node',
    nodeNames,
    spec(
      fc.record(
        {
          bgp: from(
            { ipv4Address: '192.0.2.1/24' },
            { ipv4Address: '198.51.100.2/24', ipv6Address: 'fd99::2/64' },
          ),
          ipv4VXLANTunnelAddr: from('10.0.0.1', '10.0.1.0'),
          addresses: from([{ address: '203.0.113.9' }], [{ address: 'name.example' }]),
        },
        { requiredKeys: [] },
      ),
    ),
  ).map((one) => ['Node', one] as const),
];
/** Mostly what policy is made of: endpoints, policies, and the namespaces between them. */
export const kinds = fc.oneof(
  { weight: 4, arbitrary: fc.oneof(...anything) },
  { weight: 4, arbitrary: workload.map((one) => ['WorkloadEndpoint', one] as const) },
  { weight: 2, arbitrary: globalPolicy.map((one) => ['GlobalNetworkPolicy', one] as const) },
  { weight: 1, arbitrary: namespace.map((one) => ['Namespace', one] as const) },
);
