import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { containsPrefix, type Prefix } from '../../../lib/ip/mod.ts';
import type { WorkloadEndpoint } from '../../../model/mod.ts';
import type { SetId, WorldResource } from '../../../policy/mod.ts';
import type { RouteSource } from '../network/types.ts';
import { PolicyGraph, type PolicyInputKind, type PolicyUpdate } from './graph.ts';
import { slowState } from './slow-model.ts';
import { policyKey, type PolicyChange, type PolicyState } from './types.ts';

// ── a receiver that believes only what it is told, in the order in which it is told ────────────────────────────────────
class Receiver {
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
  readonly vteps = new Map<string, PolicyState['vteps'] extends ReadonlyMap<string, infer V> ? V : never>();
  #phase = 0;

  apply(changes: readonly PolicyChange[]): void {
    this.#phase = 0;
    for (const change of changes) {
      const phase = phases.indexOf(change.type === 'set-members' ? 'set' : change.type);
      assert.ok(phase >= this.#phase, `${change.type} comes too late`);
      this.#phase = phase;
      this.#one(change);
      this.#nothingPointsIntoTheVoid();
    }
  }

  #one(change: PolicyChange): void {
    switch (change.type) {
      case 'set':
        assert.ok(!this.sets.has(change.set.id));
        this.sets.set(change.set.id, { set: change.set as never, members: new Set(change.members) });
        return;
      case 'set-members': {
        const members = this.sets.get(change.id)?.members;
        assert.ok(members !== undefined && change.added.length + change.removed.length > 0);
        for (const member of change.removed) assert.ok(members.delete(member), `${member} was no member`);
        for (const member of change.added) {
          assert.ok(!members.has(member), `${member} was one already`);
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
        return assert.ok(this.endpoints.delete(change.key));
      case 'profile-removed':
        return assert.ok(this.profiles.delete(change.name));
      case 'policy-removed':
        return assert.ok(this.policies.delete(policyKey(change.id)));
      case 'set-removed':
        return assert.ok(this.sets.delete(change.id));
      case 'route-removed':
        return assert.ok(this.routes.delete(change.dst));
      case 'vtep-removed':
        return assert.ok(this.vteps.delete(change.node));
      case 'vtep':
        return void this.vteps.set(change.vtep.node, change.vtep);
      case 'route':
        return void this.routes.set(change.route.dst, change.route);
    }
  }

  #nothingPointsIntoTheVoid(): void {
    for (const { sets } of [...this.policies.values(), ...this.profiles.values()])
      for (const { id } of sets) assert.ok(this.sets.has(id), `${id} is used and not there`);
    for (const endpoint of this.endpoints.values()) {
      for (const name of endpoint.profiles) assert.ok(this.profiles.has(name), name);
      for (const tier of [
        ...endpoint.normal,
        ...endpoint.forward,
        ...endpoint.untracked,
        ...endpoint.preDnat,
      ])
        for (const id of [...tier.ingress, ...tier.egress]) assert.ok(this.policies.has(policyKey(id)));
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
  'vtep',
  'route',
];

/** For comparing: plain, sorted, without what order a Set happens to have. */
function plain(state: PolicyState): unknown {
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
    }),
  );
}

// ── a small world, so that names and addresses collide ────────────────────────────────────────────────────────────────
const v3 = 'projectcalico.org/v3';
type Object_ = WorldResource & { readonly metadata: { readonly labels?: Record<string, string> } };
const from = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
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
): fc.Arbitrary<Object_> =>
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
const anything: readonly fc.Arbitrary<readonly [PolicyInputKind, Object_]>[] = [
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
const kinds = fc.oneof(
  { weight: 4, arbitrary: fc.oneof(...anything) },
  { weight: 4, arbitrary: workload.map((one) => ['WorkloadEndpoint', one] as const) },
  { weight: 2, arbitrary: globalPolicy.map((one) => ['GlobalNetworkPolicy', one] as const) },
  { weight: 1, arbitrary: namespace.map((one) => ['Namespace', one] as const) },
);
type Step =
  | { readonly type: 'set'; readonly kind: PolicyInputKind; readonly object: Object_ }
  | { readonly type: 'delete' | 'repeat' | 'stale'; readonly pick: number }
  | { readonly type: 'source'; readonly source: RouteSource }
  | { readonly type: 'flush' };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 60,
    arbitrary: kinds.map(([kind, one]): Step => ({ type: 'set', kind, object: one })),
  },
  {
    weight: 15,
    arbitrary: fc
      .tuple(from<'delete' | 'repeat' | 'stale'>('delete', 'repeat', 'stale'), fc.nat(1000))
      .map(([type, pick]): Step => ({ type, pick })),
  },
  { weight: 15, arbitrary: fc.constant<Step>({ type: 'flush' }) },
  {
    weight: 1,
    arbitrary: from<RouteSource>('CalicoIPAM', 'WorkloadIPs').map(
      (source): Step => ({ type: 'source', source }),
    ),
  },
);

/** The objects as the graph was last told, and all versions that it was ever told. */
class History {
  readonly graph = new PolicyGraph({ nodeName: 'here' });
  readonly receiver = new Receiver();
  readonly objects = new Map<string, { kind: PolicyInputKind; object: Object_ }>();
  readonly versions: { kind: PolicyInputKind; object: Object_ }[] = [];
  source: RouteSource = 'CalicoIPAM';

  run(one: Step): void {
    switch (one.type) {
      case 'set':
        return this.#tell(one);
      case 'flush':
        return this.compare();
      case 'source':
        this.source = one.source;
        return this.graph.setRouteSource(one.source);
      case 'delete': {
        const picked = [...this.objects][one.pick % Math.max(1, this.objects.size)];
        if (picked === undefined) return;
        const [key, { kind, object: gone }] = picked;
        this.objects.delete(key);
        return this.graph.update({ type: 'delete', kind, name: gone.metadata });
      }
      default: {
        const list = one.type === 'repeat' ? [...this.objects.values()] : this.versions;
        const picked = list[one.pick % Math.max(1, list.length)];
        if (picked !== undefined) this.#tell(picked);
      }
    }
  }

  #tell(one: { kind: PolicyInputKind; object: Object_ }): void {
    const { name, namespace } = one.object.metadata;
    this.objects.set(`${one.kind} ${namespace ?? ''}/${name}`, one);
    this.versions.push(one);
    this.graph.update({ type: 'set', ...one } as unknown as PolicyUpdate);
  }

  compare(): void {
    this.receiver.apply(this.graph.flush());
    assert.deepEqual(this.graph.flush(), [], 'a flush without news tells nothing');
    const resources = [...this.objects.values()].map((one) => one.object);
    const wanted = plain(slowState(resources, 'here', this.source));
    assert.deepEqual(plain(this.graph.state()), wanted);
    assert.deepEqual(plain(this.receiver), wanted);
  }

  /** Everything goes, in the order it came or the other way. */
  end(isReversed: boolean): void {
    const all = [...this.objects.values()];
    for (const { kind, object: gone } of isReversed ? all.toReversed() : all)
      this.graph.update({ type: 'delete', kind, name: gone.metadata });
    this.objects.clear();
    this.compare();
    const left = Object.entries(this.graph.stats).filter(([, count]) => count !== 0);
    assert.deepEqual(left, []);
    assert.equal(this.graph.waiting, 0);
  }
}

test('equals the slow model after any history, tells differences in a safe order, and leaves nothing behind (FX-003…FX-005)', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 60, maxLength: 160 }), fc.boolean(), (steps, isReversed) => {
      const history = new History();
      for (const one of steps) history.run(one);
      history.compare();
      history.end(isReversed);
    }),
    { numRuns: Number(process.env['MARGAY_HISTORIES'] ?? 40) },
  );
});

test('the order of arrival makes no difference', () => {
  const arrival = fc
    .uniqueArray(kinds, {
      maxLength: 40,
      selector: ([kind, { metadata }]) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
    })
    .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })));
  fc.assert(
    fc.property(arrival, ([one, other]) => {
      const states = [one, other].map((list) => {
        const graph = new PolicyGraph({ nodeName: 'here' });
        for (const [kind, it] of list) {
          graph.update({ type: 'set', kind, object: it } as unknown as PolicyUpdate);
          if (list === other) graph.flush();
        }
        graph.flush();
        return plain(graph.state());
      });
      assert.deepEqual(states[0], states[1]);
    }),
    { numRuns: 40 },
  );
});

// ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────
const set = (kind: PolicyInputKind, one: object): PolicyUpdate =>
  ({ type: 'set', kind, object: one }) as unknown as PolicyUpdate;
const pod = (
  name: string,
  node: string,
  ipNetworks: string[],
  own: Record<string, string> = {},
  containerID = 'c1',
) =>
  ({
    apiVersion: v3,
    kind: 'WorkloadEndpoint',
    metadata: { name, namespace: 'red', labels: own },
    spec: { node, orchestrator: 'k8s', interfaceName: `cali${name}`, ipNetworks, profiles: [], containerID },
  }) as unknown as WorkloadEndpoint;
const policy = (name: string, selector: string, peers: string) => ({
  apiVersion: v3,
  kind: 'GlobalNetworkPolicy',
  metadata: { name },
  spec: { selector, ingress: [{ action: 'Allow', source: { selector: peers } }] },
});

test('an address of two endpoints stays in the set until the second goes (FX-005)', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  graph.update(set('WorkloadEndpoint', pod('me', 'here', [])));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  graph.update(set('WorkloadEndpoint', pod('old', 'there', ['10.0.0.5/32'], { app: 'a' })));
  graph.update(set('WorkloadEndpoint', pod('new', 'far', ['10.0.0.5/32'], { app: 'a' })));
  const first = graph.flush().find((change) => change.type === 'set');
  assert.deepEqual(first?.members, ['10.0.0.5/32']);
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'old', namespace: 'red' } });
  assert.deepEqual(graph.flush(), []);
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'new', namespace: 'red' } });
  assert.deepEqual(
    graph.flush().map((change) => change.type === 'set-members' && change.removed),
    [['10.0.0.5/32']],
  );
});

test('what changes and changes back between two flushes is not told, and one entry per object waits', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  graph.update(set('WorkloadEndpoint', pod('me', 'here', ['10.0.0.1/32'], { app: 'a' })));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  graph.flush();
  for (let i = 0; i < 1000; i++) {
    graph.update(
      set('WorkloadEndpoint', pod('me', 'here', [`10.0.${i % 250}.9/32`], { app: i % 2 ? 'a' : 'b' })),
    );
    graph.update({ type: 'delete', kind: 'GlobalNetworkPolicy', name: { name: 'p' } });
  }
  assert.equal(graph.waiting, 2);
  graph.update(set('WorkloadEndpoint', pod('me', 'here', ['10.0.0.1/32'], { app: 'a' })));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  assert.deepEqual(graph.flush(), []);
});

test('an endpoint that CNI announced has its policy before the watch tells of it, and loses it on withdrawal', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  graph.update(set('GlobalNetworkPolicy', policy('p', "app == 'a'", 'all()')));
  assert.deepEqual(graph.flush(), []);
  const mine = pod('me', 'here', ['10.0.0.1/32'], { app: 'a' });
  graph.announce(mine);
  assert.deepEqual(
    graph.flush().map(({ type }) => type),
    ['set', 'policy', 'endpoint', 'route'],
  );
  graph.update(set('WorkloadEndpoint', mine));
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'me', namespace: 'red' } });
  assert.deepEqual(
    graph.flush().map(({ type }) => type),
    ['endpoint-removed', 'policy-removed', 'set-removed', 'route-removed'],
    'the watch agreed in between, so its deletion counts',
  );
});

test('a network hides the members inside of it, and they show again when it goes', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  const nets = (list: string[]) =>
    set('GlobalNetworkSet', {
      apiVersion: v3,
      kind: 'GlobalNetworkSet',
      metadata: { name: 'n', labels: { app: 'a' } },
      spec: { nets: list },
    });
  graph.update(set('WorkloadEndpoint', pod('me', 'here', ['10.0.0.1/32'], { app: 'a' })));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  graph.update(nets(['10.0.0.0/8', '10.0.0.0/24']));
  const members = () => [...graph.state().sets.values()].flatMap((one) => [...one.members]).toSorted();
  graph.flush();
  assert.deepEqual(members(), ['10.0.0.0/8']);
  graph.update(nets(['10.0.0.0/24', '10.9.0.0/16']));
  const [change] = graph.flush();
  assert.deepEqual(change?.type === 'set-members' && [change.added.toSorted(), change.removed], [
    ['10.0.0.0/24', '10.9.0.0/16'],
    ['10.0.0.0/8'],
  ]);
  graph.update(nets([]));
  graph.flush();
  assert.deepEqual(members(), ['10.0.0.1/32']);
  assert.ok(containsPrefix('10.0.0.0/24' as Prefix, '10.0.0.1/32' as Prefix));
});
