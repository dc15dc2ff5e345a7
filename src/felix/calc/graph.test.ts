import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type {
  BGPConfiguration,
  BGPPeer,
  BlockAffinity,
  FelixConfiguration,
  IPPool,
  Node,
  Service,
  WorkloadEndpoint,
} from '../../model/mod.ts';
import { hostPrefix } from '../../lib/ip/mod.ts';
import { endpointAnswered, plainPools, serviceAnswered } from './answered.ts';
import { nodeFacts } from './network/node-facts.ts';
import { resolveConfig } from './configuration.ts';
import { encapsulationOf, resolveMtus } from './encapsulation.ts';
import { CalculationGraph } from './graph.ts';
import { endpointPeerings, peeringOf } from './local-peers.ts';
import * as rules from './rows.ts';
import { type CalcUpdate, type DesiredState, type HostInterface, rowKeys, type TableName } from './types.ts';

const options = { nodeName: 'worker1', blackholeProtocol: 12 };

const pool = (name: string, cidr: string, natOutgoing: boolean, ipipMode = 'Never'): IPPool =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name },
    spec: { cidr, natOutgoing, ipipMode },
  }) as IPPool;
const affinity = (name: string, node: string, cidr: string, state: string, deleted = false): BlockAffinity =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'BlockAffinity',
    metadata: { name },
    spec: { node, cidr, state, deleted },
  }) as BlockAffinity;
const endpoint = (
  name: string,
  node: string,
  ipNetworks: string[],
  containerID = 'c1',
  created = '1',
): WorkloadEndpoint =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: { name, namespace: 'default', creationTimestamp: created },
    spec: { node, ipNetworks, interfaceName: `cali${name}`, containerID },
  }) as WorkloadEndpoint;
const node = (name: string, ipv4Address: string, labels: Record<string, string> = {}): Node =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'Node',
    metadata: { name, labels },
    spec: { bgp: { ipv4Address } },
  }) as Node;
const felix = (name: string, spec: Record<string, unknown>): FelixConfiguration =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name },
    spec,
  }) as FelixConfiguration;
const set = (object: { kind: string }): CalcUpdate =>
  ({ type: 'set', kind: object.kind, object }) as CalcUpdate;

test('FX-075, FX-076: routes, interfaces, blackholes and pool sets of a node', () => {
  const graph = new CalculationGraph(options);
  for (const object of [
    pool('p4', '10.244.0.0/16', true),
    pool('p6', 'fd00:10::/64', false),
    affinity('a1', 'worker1', '10.244.1.0/26', 'confirmed'),
    affinity('a2', 'worker1', '10.244.1.64/26', 'pending'),
    affinity('a3', 'worker2', '10.244.2.0/26', 'confirmed'),
    affinity('a4', 'worker1', '10.244.9.9/32', 'confirmed'),
    endpoint('web', 'worker1', ['10.244.1.5/32', 'fd00:10::5/128']),
    endpoint('other', 'worker2', ['10.244.2.5/32']),
  ]) {
    graph.update(set(object));
  }
  const delta = graph.flush();
  assert.deepEqual(
    delta.tables.routes.set.map((r) => [r.dst, r.target, r.priority, r.protocol]),
    [
      ['10.244.1.0/26', { type: 'blackhole' }, 0, 12],
      ['10.244.1.5/32', { type: 'endpoint', interfaceName: 'caliweb' }, 1024, 3],
      ['fd00:10::5/128', { type: 'endpoint', interfaceName: 'caliweb' }, 1024, 3],
    ],
  );
  assert.deepEqual(delta.tables.interfaces.set, [{ interfaceName: 'caliweb', ipv6: true }]);
  assert.deepEqual(
    delta.tables.members.set.map((m) => `${m.set} ${m.prefix}`),
    ['all-pools 10.244.0.0/16', 'all-pools fd00:10::/64', 'masq-pools 10.244.0.0/16'],
  );
  assert.deepEqual(
    delta.tables.nat.set.map((n) => n.enabled),
    [true, false],
  );
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'web', namespace: 'default' } });
  graph.update(set(pool('p4', '10.244.0.0/16', false)));
  const next = graph.flush();
  assert.deepEqual(next.tables.routes, { set: [], deleted: ['10.244.1.5/32', 'fd00:10::5/128'] });
  assert.deepEqual(next.tables.members, { set: [], deleted: ['masq-pools 10.244.0.0/16'] });
  assert.deepEqual(
    next.tables.nat.set.map((n) => n.enabled),
    [false],
  );
});

test('an endpoint announced by CNI counts until the watch agrees, one withdrawn is gone until the watch follows', () => {
  const graph = new CalculationGraph(options);
  const routes = (): string[] => [...(graph.flush(), graph.state().tables.routes.keys())];
  const wep = endpoint('web', 'worker1', ['10.244.1.5/32']);
  graph.announce(wep);
  assert.deepEqual(routes(), ['10.244.1.5/32']);
  // The watch still has an earlier state: the pod without, then with another sandbox.
  graph.update(set(endpoint('web', 'worker1', [])));
  graph.update(set(endpoint('web', 'worker1', ['10.244.1.4/32'], 'c0')));
  assert.deepEqual(routes(), ['10.244.1.5/32']);
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'web', namespace: 'default' } });
  assert.deepEqual(routes(), ['10.244.1.5/32'], 'a late deletion of an older incarnation does no harm');
  graph.update(set(wep));
  assert.deepEqual(routes(), ['10.244.1.5/32']);
  graph.withdraw(endpoint('web', 'worker1', ['10.244.1.4/32'], 'c0'));
  assert.deepEqual(routes(), ['10.244.1.5/32'], 'withdrawing an older incarnation does no harm');
  graph.withdraw(wep);
  assert.deepEqual(routes(), []);
  graph.update(set(wep));
  assert.deepEqual(routes(), [], 'the watch is behind');
  graph.update(set(endpoint('web', 'worker1', ['10.244.1.5/32'], 'c2')));
  assert.deepEqual(routes(), ['10.244.1.5/32']);
});

test('of two endpoints with one address the later has the route, and the earlier gets it back', () => {
  const graph = new CalculationGraph(options);
  graph.update(set(endpoint('old', 'worker1', ['10.244.1.5/32'], 'c1', '2026-01-01T00:00:00Z')));
  graph.update(set(endpoint('new', 'worker1', ['10.244.1.5/32'], 'c2', '2026-01-02T00:00:00Z')));
  const target = () => (graph.flush(), graph.state().tables.routes.get('10.244.1.5/32')?.target);
  assert.deepEqual(target(), { type: 'endpoint', interfaceName: 'calinew' });
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'new', namespace: 'default' } });
  assert.deepEqual(target(), { type: 'endpoint', interfaceName: 'caliold' });
});

test('RS-180, FX-166: configuration: node beats selector beats global; environment beats all', () => {
  const graph = new CalculationGraph({ ...options, environment: { HealthPort: '7' } });
  graph.update(
    set(
      felix('default', {
        healthPort: 1,
        routeRefreshInterval: '10s',
        ipv4NormalRoutePriority: 100,
        ipipMTU: 1400,
      }),
    ),
  );
  graph.update(
    set(
      felix('rack1', {
        nodeSelector: "rack == '1'",
        routeRefreshInterval: '20s',
        ipv4NormalRoutePriority: 200,
      }),
    ),
  );
  graph.update(set(felix('node.worker1', { ipv4NormalRoutePriority: 300 })));
  graph.update(set(felix('node.worker2', { ipv4NormalRoutePriority: 400 })));
  graph.flush();
  assert.equal(graph.config.number('RouteRefreshInterval'), 10_000, 'labels are not known yet');
  graph.update(set(node('worker1', '10.0.0.1/24', { rack: '1' })));
  graph.flush();
  assert.equal(graph.config.number('RouteRefreshInterval'), 20_000);
  assert.equal(graph.config.number('IPv4NormalRoutePriority'), 300);
  assert.equal(graph.config.number('HealthPort'), 7);
  assert.equal(graph.config.source('HealthPort'), 'environment');
});

test('FX-093: the MTU is the smallest of the host, less the encapsulation in use', () => {
  const graph = new CalculationGraph(options);
  assert.equal(graph.flush().mtus?.pod, 1500);
  graph.setHostInterfaces([
    { name: 'eth0', mtu: 9000, up: true },
    { name: 'eth1', mtu: 1400, up: false },
    { name: 'cali1', mtu: 1200, up: true },
  ]);
  assert.equal(graph.flush().mtus?.pod, 9000);
  graph.update(set(pool('p', '10.0.0.0/16', true, 'Always')));
  assert.equal(graph.flush().mtus?.pod, 8980);
  assert.equal(graph.flush().mtus, undefined);
});

// ── the slow model ──

type World = {
  objects: Map<string, { kind: string }>;
  overlay: Map<string, { present: boolean; endpoint: WorkloadEndpoint }>;
  interfaces: readonly HostInterface[];
};
const objectsOf = <T>(world: World, kind: string): T[] =>
  [...world.objects.values()].filter((o) => o.kind === kind) as unknown as T[];

/** Everything from scratch, by the rules of rows.ts; who wins a key is found by sorting. */
function model(world: World): DesiredState {
  const own = objectsOf<Node>(world, 'Node').find((n) => n.metadata.name === options.nodeName);
  const config = resolveConfig(
    rules.configInputs(
      objectsOf(world, 'FelixConfiguration'),
      own === undefined ? undefined : own.metadata.labels,
      options,
    ),
  );
  const endpoints = new Map<string, { endpoint: WorkloadEndpoint; overlaid: boolean }>();
  for (const wep of objectsOf<WorkloadEndpoint>(world, 'WorkloadEndpoint')) {
    if (wep.spec.node === options.nodeName)
      endpoints.set(`default/${wep.metadata.name}`, { endpoint: wep, overlaid: false });
  }
  for (const [key, { present, endpoint }] of world.overlay) {
    if (present) endpoints.set(key, { endpoint, overlaid: true });
    else endpoints.delete(key);
  }
  const pools = objectsOf<IPPool>(world, 'IPPool');
  const poolMembers = rules.poolMembers(config, pools);
  const winners = <Row>(keyOf: (row: Row) => string, all: { row: Row; rank: string }[]): Map<string, Row> =>
    new Map(all.toSorted((a, b) => (a.rank < b.rank ? -1 : 1)).map((c) => [keyOf(c.row), c.row]));
  const wireCidrs = plainPools(pools);
  const cluster = {
    nodeName: options.nodeName,
    nodes: new Map(objectsOf<Node>(world, 'Node').map((n) => [n.metadata.name, nodeFacts(n)])),
  };
  const answered = winners(rowKeys.answered, [
    ...[...endpoints].flatMap(([key, e]) => endpointAnswered(config, wireCidrs, key, e.endpoint)),
    ...objectsOf<Service>(world, 'Service').flatMap((s) => serviceAnswered(config, wireCidrs, cluster, s)),
  ]);
  const peering = peeringOf(
    config,
    objectsOf<BGPConfiguration>(world, 'BGPConfiguration')[0],
    objectsOf<BGPPeer>(world, 'BGPPeer'),
    { name: options.nodeName, node: own },
  );
  return {
    tables: {
      answered,
      peerings: winners(
        rowKeys.peerings,
        [...endpoints].flatMap(([key, e]) => endpointPeerings(peering, key, e.endpoint)),
      ),
      routes: winners(rowKeys.routes, [
        ...[...endpoints].flatMap(([key, e]) => rules.endpointRoutes(config, key, e.endpoint, e.overlaid)),
        ...objectsOf<BlockAffinity>(world, 'BlockAffinity').flatMap((a) =>
          rules.blockRoutes(config, options, a.metadata.name, a),
        ),
      ]),
      interfaces: winners(
        rowKeys.interfaces,
        [...endpoints].flatMap(([key, e]) => rules.endpointInterface(config, key, e.endpoint, e.overlaid)),
      ),
      members: winners(
        rowKeys.members,
        [...poolMembers, ...objectsOf<Node>(world, 'Node').flatMap((n) => rules.hostMembers(config, n))].map(
          (row) => ({
            row,
            rank: '',
          }),
        ),
      ),
      nat: winners(
        rowKeys.nat,
        rules.natRows(config, poolMembers).map((row) => ({ row, rank: '' })),
      ),
      floating: winners(
        rowKeys.floating,
        [...endpoints].flatMap(([key, e]) => rules.endpointFloating(config, key, e.endpoint, e.overlaid)),
      ),
      serviceLoops: winners(
        rowKeys.serviceLoops,
        rules
          .serviceLoops(
            config,
            objectsOf<BGPConfiguration>(world, 'BGPConfiguration')[0],
            [...answered.values()].filter((r) => r.ofService).map((r) => hostPrefix(r.address)),
          )
          .map((row) => ({ row, rank: '' })),
      ),
    },
    node: rules.nodeRow(config, options),
    mtus: resolveMtus(
      config,
      encapsulationOf(
        config,
        pools.map((p) => p.spec),
      ),
      world.interfaces,
    ),
  };
}

const cidrs = ['10.0.0.0/16', '10.0.1.0/24', '10.0.1.0/26', '10.1.0.0/16', 'fd00::/64'];
const some = <T>(...values: T[]) => fc.constantFrom(...values);
const wepArbitrary = fc
  .tuple(
    some('a', 'b', 'c'),
    some('worker1', 'worker1', 'worker2'),
    fc.subarray(['10.0.1.1/32', '10.0.1.2/32', 'fd00::1/128']),
    some('c1', 'c2'),
    some('1', '2'),
    fc.subarray(['10.0.9.1', '10.0.9.2', '10.0.1.2', 'fd00::9']),
    some({ role: 'router' }, {}),
  )
  .map(([name, of, networks, container, created, floating, labels]) => {
    const bare = endpoint(name, of, networks, container, created);
    const wep = { ...bare, metadata: { ...bare.metadata, labels } };
    const internalIP = (external: string): string => (external.includes(':') ? 'fd00::1' : '10.0.1.1');
    const ipNATs = floating.map((externalIP) => ({ internalIP: internalIP(externalIP), externalIP }));
    return { ...wep, spec: { ...wep.spec, ipNATs } };
  });
const objectArbitrary: fc.Arbitrary<{ kind: string; metadata: { name: string } }> = fc.oneof(
  fc
    .tuple(some('p1', 'p2', 'p3'), some(...cidrs), fc.boolean(), some('Never', 'Always'))
    .map((args) => pool(...args)),
  fc
    .tuple(
      some('a1', 'a2'),
      some('worker1', 'worker2'),
      some('10.0.1.0/26', '10.0.1.1/32', 'fd00::/122'),
      some('confirmed', 'pending', ''),
      fc.boolean(),
    )
    .map((args) => affinity(...args)),
  wepArbitrary,
  fc
    .tuple(
      some('s1', 's2'),
      some('LoadBalancer', 'ClusterIP'),
      fc.subarray(['10.0.1.9', '10.1.0.9', 'fd00::9']),
    )
    .map(([name, type, ips]) => ({
      apiVersion: 'v1' as const,
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { type },
      status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
    })),
  fc
    .tuple(
      fc.subarray(['10.96.0.0/12', '10.97.0.0/16', 'fd00:96::/112']),
      some({}, { localWorkloadPeeringIPV4: '169.254.9.1', localWorkloadPeeringIPV6: 'fd00:9::1' }),
    )
    .map(([list, peering]) => ({
      apiVersion: 'projectcalico.org/v3' as const,
      kind: 'BGPConfiguration',
      metadata: { name: 'default' },
      spec: { serviceClusterIPs: list.map((cidr) => ({ cidr })), ...peering },
    })),
  fc
    .tuple(
      some('b1', 'b2'),
      some('', "role == 'router'", 'all()'),
      some({}, { node: 'worker1' }, { node: 'worker2' }, { nodeSelector: 'has(rack)' }),
    )
    .map(([name, localWorkloadSelector, where]) => ({
      apiVersion: 'projectcalico.org/v3' as const,
      kind: 'BGPPeer',
      metadata: { name },
      spec: { asNumber: '65001', localWorkloadSelector, ...where },
    })),
  fc
    .tuple(some('worker1', 'worker2'), some('192.0.2.1/24', '192.0.2.2/24'), some({ rack: '1' }, {}))
    .map((args) => node(...args)),
  fc
    .tuple(
      some('default', 'node.worker1', 'node.worker2', 'rack1'),
      some<Record<string, unknown>>(
        { ipv6Support: false },
        { natOutgoingExclusions: 'IPPoolsAndHostIPs' },
        { ipv4NormalRoutePriority: 7 },
        { nodeSelector: 'has(rack)', natPortRange: '1000:2000', ipv6Support: true },
        { healthPort: 5 },
        { localSubnetL2Reachability: 'PodsAndLoadBalancers' },
        { localSubnetL2Reachability: 'PodsAndLoadBalancers', ipv6Support: false },
        { floatingIPs: 'Enabled' },
        { floatingIPs: 'Enabled', serviceLoopPrevention: 'Reject' },
        { serviceLoopPrevention: 'Disabled' },
      ),
    )
    .map((args) => felix(...args)),
);

const plain = (state: DesiredState) => ({
  ...state,
  tables: Object.fromEntries(
    (Object.keys(rowKeys) as TableName[]).map((t) => [
      t,
      Object.fromEntries(state.tables[t] as Map<string, unknown>),
    ]),
  ),
});

test('property: the output is a function of the current state, and deltas add up to it', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: objectArbitrary.map((object) => ({ do: 'set' as const, object })) },
    { weight: 3, arbitrary: fc.nat().map((n) => ({ do: 'delete' as const, n })) },
    { weight: 1, arbitrary: fc.nat().map((n) => ({ do: 'duplicate' as const, n })) },
    {
      weight: 2,
      arbitrary: wepArbitrary.map((wep) => ({
        do: 'announce' as const,
        wep: { ...wep, spec: { ...wep.spec, node: 'worker1' } },
      })),
    },
    { weight: 2, arbitrary: fc.nat().map((n) => ({ do: 'withdraw' as const, n })) },
    { weight: 1, arbitrary: some(1400, 9000).map((mtu) => ({ do: 'interfaces' as const, mtu })) },
    { weight: 3, arbitrary: fc.constant({ do: 'flush' as const }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const graph = new CalculationGraph(options);
      const world: World = { objects: new Map(), overlay: new Map(), interfaces: [] };
      const sum = {
        routes: {},
        interfaces: {},
        members: {},
        nat: {},
        floating: {},
        serviceLoops: {},
        answered: {},
        peerings: {},
      } as Record<TableName, Record<string, unknown>>;
      const flush = (): void => {
        const delta = graph.flush();
        for (const table of Object.keys(rowKeys) as TableName[]) {
          for (const key of delta.tables[table].deleted) delete sum[table][key];
          for (const row of delta.tables[table].set) sum[table][rowKeys[table](row as never)] = row;
        }
        assert.deepEqual(plain(graph.state()), plain(model(world)));
        assert.deepEqual(sum, plain(graph.state()).tables);
      };
      const apply = (object: { kind: string; metadata: { name: string } }): void => {
        world.objects.set(`${object.kind} ${object.metadata.name}`, object);
        graph.update(set(object));
        if (object.kind === 'WorkloadEndpoint')
          settleOverlay(world, object as WorkloadEndpoint, object.metadata.name);
      };
      for (const s of steps) {
        const known = [...world.objects];
        if (s.do === 'set') apply(s.object);
        else if (s.do === 'duplicate' && known.length > 0) apply(known[s.n % known.length]?.[1] as never);
        else if (s.do === 'delete' && known.length > 0) {
          const [key, object] = known[s.n % known.length] as [
            string,
            { kind: string; metadata: { name: string } },
          ];
          world.objects.delete(key);
          graph.update({
            type: 'delete',
            kind: object.kind,
            name: { name: object.metadata.name, namespace: 'default' },
          } as CalcUpdate);
          if (object.kind === 'WorkloadEndpoint') settleOverlay(world, undefined, object.metadata.name);
        } else if (s.do === 'announce') {
          graph.announce(s.wep);
          const watched = watchedIn(world, s.wep.metadata.name);
          if (watched !== undefined && instance(watched) === instance(s.wep))
            world.overlay.delete(`default/${s.wep.metadata.name}`);
          else world.overlay.set(`default/${s.wep.metadata.name}`, { present: true, endpoint: s.wep });
        } else if (s.do === 'withdraw') {
          const local = [...world.overlay.values()].filter((o) => o.present).map((o) => o.endpoint);
          const candidates = [...local, ...objectsOf<WorkloadEndpoint>(world, 'WorkloadEndpoint')];
          const wep = candidates[s.n % Math.max(1, candidates.length)];
          if (wep !== undefined) {
            graph.withdraw(wep);
            withdrawInModel(world, wep);
          }
        } else if (s.do === 'interfaces') {
          world.interfaces = [{ name: 'eth0', mtu: s.mtu, up: true }];
          graph.setHostInterfaces(world.interfaces);
        } else if (s.do === 'flush') flush();
      }
      flush();
    }),
    { numRuns: 400 },
  );
});

const instance = (wep: WorkloadEndpoint): string =>
  `${wep.spec.containerID} ${(wep.spec.ipNetworks ?? []).toSorted((a, b) => (a < b ? -1 : 1)).join()}`;
const watchedIn = (world: World, name: string): WorkloadEndpoint | undefined => {
  const wep = world.objects.get(`WorkloadEndpoint ${name}`) as unknown as WorkloadEndpoint | undefined;
  return wep?.spec.node === options.nodeName ? wep : undefined;
};
function settleOverlay(world: World, _wep: WorkloadEndpoint | undefined, name: string): void {
  const overlay = world.overlay.get(`default/${name}`);
  if (overlay === undefined) return;
  const watched = watchedIn(world, name);
  const same = watched !== undefined && instance(watched) === instance(overlay.endpoint);
  if (same === overlay.present) world.overlay.delete(`default/${name}`);
}
function withdrawInModel(world: World, wep: WorkloadEndpoint): void {
  const key = `default/${wep.metadata.name}`;
  const overlay = world.overlay.get(key);
  const watched = watchedIn(world, wep.metadata.name);
  const effective = overlay === undefined ? watched : overlay.present ? overlay.endpoint : undefined;
  if (effective === undefined || instance(effective) !== instance(wep)) return;
  if (watched !== undefined && instance(watched) === instance(wep))
    world.overlay.set(key, { present: false, endpoint: wep });
  else world.overlay.delete(key);
}
