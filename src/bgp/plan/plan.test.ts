// Plans from resources: who peers with whom and how, what is announced, and what a change means for running sessions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { address, prefix } from '../../lib/ip/mod.ts';
import { explainPolicy, subjectOf, type RouteSource } from '../policy/mod.ts';
import {
  computePlan,
  diffPlans,
  parseAs,
  parseDurationSeconds,
  type BgpPlan,
  type PlanInput,
} from './mod.ts';

type NodeOptions = {
  readonly v6?: string;
  readonly labels?: Record<string, string>;
  readonly cluster?: string;
  readonly as?: number;
};
const node = (
  name: string,
  v4: string,
  { v6, labels, cluster, as }: NodeOptions = {},
): PlanInput['nodes'][number] => ({
  metadata: { name, ...(labels ? { labels } : {}) },
  spec: {
    bgp: {
      ipv4Address: v4,
      ...(v6 === undefined ? {} : { ipv6Address: v6 }),
      ...(cluster === undefined ? {} : { routeReflectorClusterID: cluster }),
      ...(as === undefined ? {} : { asNumber: as }),
    },
  },
});

const base: PlanInput = {
  nodeName: 'worker1',
  nodes: [
    node('master1', '10.0.0.11/24', { v6: 'fd00::11/64' }),
    node('worker1', '10.0.0.21/24', { v6: 'fd00::21/64' }),
    node('worker2', '10.0.0.22/24'),
  ],
  ipPools: [{ metadata: { name: 'default' }, spec: { cidr: '10.244.0.0/16' } }],
  blockAffinities: [
    { node: 'worker1', cidr: '10.244.1.0/26', state: 'confirmed' },
    { node: 'worker1', cidr: '10.244.2.5/32', state: 'confirmed' },
    { node: 'worker1', cidr: '10.244.3.0/26', state: 'pending' },
    { node: 'worker2', cidr: '10.244.9.0/26', state: 'confirmed' },
  ],
};

function exported(
  plan: BgpPlan,
  text: string,
  source: RouteSource,
  more: { interfaceName?: string; metric?: number; gateway?: string } = {},
): string {
  const program = plan.policies[plan.peers.find((p) => p.family === 4)?.exportPolicy ?? ''];
  assert.ok(program);
  const localPref = source === 'bgp' ? 100 : 2147483647 - (more.metric ?? 1024);
  const attributes = { localPref, asPath: [], communities: [], largeCommunities: [] };
  return explainPolicy(
    program,
    subjectOf({
      prefix: prefix(text),
      source,
      interfaceName: more.interfaceName,
      nextHop: more.gateway === undefined ? undefined : address(more.gateway),
      attributes,
    }),
  ).verdict;
}

test('the mesh: one session per other node and family, named and passive as Calico has it (BG-010, NM-006)', () => {
  const plan = computePlan(base);
  assert.deepEqual(
    plan.peers.map((p) => [p.name, p.as, p.passive, p.sourceAddress, p.peerType]),
    [
      ['Mesh_10_0_0_11', 64512, false, '10.0.0.21', 'ibgp'],
      ['Mesh_10_0_0_22', 64512, true, '10.0.0.21', 'ibgp'],
      ['Mesh_fd00__11', 64512, false, 'fd00::21', 'ibgp'],
    ],
  );
  assert.deepEqual(plan.local.listen, { port: 179, addresses: [] });
  assert.equal(plan.local.routerId, '10.0.0.21');
});

test('BG-003: the router id is the IPv4 address, a given one, or made of the name where there is no IPv4', () => {
  const only6 = {
    ...base,
    nodes: [{ metadata: { name: 'worker1' }, spec: { bgp: { ipv6Address: 'fd00::21/64' } } }],
  };
  assert.equal(computePlan(base).local.routerId, '10.0.0.21');
  assert.equal(computePlan({ ...base, routerIdSetting: '7.7.7.7' }).local.routerId, '7.7.7.7');
  assert.equal(computePlan(only6).local.routerId, undefined);
  const hashed = computePlan({ ...only6, routerIdSetting: 'hash' }).local.routerId;
  assert.match(hashed ?? '', /^\d+\.\d+\.\d+\.\d+$/);
  assert.equal(computePlan({ ...base, routerIdSetting: 'hash' }).local.routerId, hashed);
});

test('BG-040: networks of pods’ and named interfaces are no candidates; others go out only inside of a pool', () => {
  const plan = computePlan({
    ...base,
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { ignoredInterfaces: ['eth1', 'storage*'] } }],
  });
  assert.deepEqual(plan.excludedInterfaces, ['eth1', 'storage*', 'cali*', 'kube-ipvs*']);
  assert.equal(exported(plan, '10.0.0.0/24', 'direct', { interfaceName: 'eth0' }), 'reject');
  assert.equal(exported(plan, '10.244.77.0/24', 'direct', { interfaceName: 'dummy7' }), 'accept');
});

test('blocks: confirmed ones are originated, single addresses get no blackhole (BG-030, BG-032)', () => {
  assert.deepEqual(computePlan(base).origins, [
    { prefix: '10.244.1.0/26', kind: 'block', blackhole: true },
    { prefix: '10.244.2.5/32', kind: 'block', blackhole: false },
  ]);
});

test('export: blocks are aggregated, borrowed and elevated addresses go out as they are (BG-030, BG-031, BG-033, BG-062)', () => {
  const plan = computePlan(base);
  assert.equal(exported(plan, '10.244.1.0/26', 'static'), 'accept');
  assert.equal(exported(plan, '10.244.1.7/32', 'kernel', { interfaceName: 'cali1' }), 'reject');
  assert.equal(exported(plan, '10.244.1.7/32', 'kernel', { interfaceName: 'cali1', metric: 512 }), 'accept');
  assert.equal(exported(plan, '10.244.9.7/32', 'kernel', { interfaceName: 'cali1' }), 'accept');
  assert.equal(exported(plan, '10.244.9.7/32', 'kernel', { interfaceName: 'vxlan.calico' }), 'reject');
  assert.equal(exported(plan, '0.0.0.0/0', 'kernel', { interfaceName: 'eth0' }), 'reject');
});

test("export within the AS: the agent's routes to other nodes are not this node's to announce", () => {
  const through = { interfaceName: 'eth0', gateway: '10.0.0.22' };
  const other = '10.244.9.0/26';
  const withPool = (spec: object, settings: object = {}): BgpPlan =>
    computePlan({
      ...base,
      ipPools: [{ metadata: { name: 'default' }, spec: { cidr: '10.244.0.0/16', ...spec } }],
      bgpConfigurations: [{ metadata: { name: 'default' }, spec: settings }],
    });
  // BGP writes the routes of this pool: what another program puts there is announced.
  assert.equal(exported(withPool({}), other, 'kernel', through), 'accept');
  // VXLAN across subnets, as within one; IPIP and no encapsulation where the agent has them.
  for (const plan of [
    withPool({ vxlanMode: 'CrossSubnet' }),
    withPool({ ipipMode: 'CrossSubnet' }),
    withPool({}, { programClusterRoutes: 'Disabled' }),
  ]) {
    assert.equal(exported(plan, other, 'kernel', through), 'reject');
    // A pod's address, borrowed, leads nowhere else; a reflector goes on with what it learned.
    assert.equal(exported(plan, '10.244.9.7/32', 'kernel', { interfaceName: 'cali1' }), 'accept');
    assert.equal(exported(plan, other, 'bgp', through), 'accept');
  }
});

test('no mesh with a cluster id on either side; clients of the reflector are its peers (BG-012, BG-020)', () => {
  const reflector = node('master1', '10.0.0.11/24', { labels: { rr: '' }, cluster: '244.0.0.1' });
  const nodes = [reflector, ...base.nodes.slice(1)];
  const bgpPeers = [{ metadata: { name: 'rr' }, spec: { peerSelector: 'has(rr)' } }];
  const client = computePlan({ ...base, nodes, bgpPeers });
  assert.deepEqual(
    client.peers.map((p) => [p.name, p.rrClient]),
    [
      ['Global_10_0_0_11', undefined],
      ['Mesh_10_0_0_22', undefined],
    ],
  );
  const server = computePlan({ ...base, nodes, bgpPeers, nodeName: 'master1' });
  assert.deepEqual(
    server.peers.map((p) => [p.name, p.rrClient?.clusterId]),
    [
      ['Node_10_0_0_21', '244.0.0.1'],
      ['Node_10_0_0_22', '244.0.0.1'],
    ],
  );
});

test('AS numbers: of the node, of its configuration, of the cluster, 64512 (BG-025)', () => {
  const bgpConfigurations = [
    { metadata: { name: 'default' }, spec: { asNumber: 65000 } },
    { metadata: { name: 'node.worker2' }, spec: { asNumber: '1.10' } },
  ];
  const nodes = [node('master1', '10.0.0.11/24', { as: 65011 }), ...base.nodes.slice(1)];
  const plan = computePlan({ ...base, nodes, bgpConfigurations });
  assert.equal(plan.local.as, 65000);
  assert.deepEqual(
    plan.peers.map((p) => [p.address, p.as, p.peerType]),
    [
      ['10.0.0.11', 65011, 'ebgp'],
      ['10.0.0.22', 65546, 'ebgp'],
    ],
  );
  assert.equal(parseAs('64512'), 64512);
  assert.equal(parseAs('x'), undefined);
  assert.deepEqual(['90s', '1m30s', '1h', '', '5'].map(parseDurationSeconds), [
    90,
    90,
    3600,
    undefined,
    undefined,
  ]);
});

test('a peer given by address: port, password, mode; the same peer twice is one session (BG-011, BG-015, BG-017, BG-018)', () => {
  const spec = {
    peerIP: '192.168.1.1:1790',
    asNumber: 63400,
    password: { secretKeyRef: { name: 'bgp', key: 'tor' } },
    nextHopMode: 'Self',
    ttlSecurity: 1,
    numAllowedLocalASNumbers: 1,
    localASNumber: 65100,
    sourceAddress: 'None',
    maxRestartTime: '30s',
  };
  const bgpPeers = [
    { metadata: { name: 'all' }, spec: { ...spec, nextHopMode: 'Keep' } },
    { metadata: { name: 'mine' }, spec: { ...spec, node: 'worker1' } },
  ];
  const secrets = [{ name: 'bgp', keys: ['tor'], revision: '7' }];
  const off = [{ metadata: { name: 'default' }, spec: { nodeToNodeMeshEnabled: false } }];
  const [peer, ...others] = computePlan({ ...base, bgpConfigurations: off, bgpPeers, secrets }).peers;
  assert.equal(others.length, 0);
  const { importPolicy: _i, exportPolicy: _e, ...rest } = peer ?? assert.fail();
  assert.deepEqual(rest, {
    name: 'Global_192_168_1_1_port_1790',
    type: 'globalPeer',
    address: '192.168.1.1',
    port: 1790,
    as: 63400,
    localAs: 65100,
    peerType: 'ebgp',
    family: 4,
    passive: false,
    nextHopMode: 'keep',
    ttlSecurityHops: 1,
    gracefulRestartTimeSeconds: 30,
    gracefulRestartTimeSet: true,
    allowLocalAs: 1,
    password: { secretName: 'bgp', secretKey: 'tor', revision: '7' },
    importFilters: [],
    exportFilters: [],
    addPath: true,
  });
});

test('equal resources in any order give the same plan', () => {
  const lists = ['nodes', 'blockAffinities'] as const;
  const wanted = JSON.stringify(computePlan(base));
  fc.assert(
    fc.property(fc.shuffledSubarray(base.nodes.slice(), { minLength: 3 }), fc.boolean(), (nodes, flip) => {
      const affinities = [...(base.blockAffinities ?? [])];
      if (flip) affinities.reverse();
      assert.ok(lists.every((l) => l in base));
      assert.equal(JSON.stringify(computePlan({ ...base, nodes, blockAffinities: affinities })), wanted);
    }),
  );
});

test('differences: what bounces, what only filters again (BG-002, BG-024)', () => {
  const before = computePlan(base);
  assert.equal(diffPlans(before, computePlan(base)).same, true);
  const block = computePlan({
    ...base,
    blockAffinities: [
      ...(base.blockAffinities ?? []),
      { node: 'worker1', cidr: '10.244.4.0/26', state: 'confirmed' },
    ],
  });
  const change = diffPlans(before, block);
  assert.deepEqual(change.originate, ['10.244.4.0/26']);
  assert.deepEqual(change.bounce, []);
  assert.deepEqual(
    change.refilter.map((r) => [r.peer, r.fields]),
    [
      ['Mesh_10_0_0_11', ['exportPolicy']],
      ['Mesh_10_0_0_22', ['exportPolicy']],
    ],
  );
  const as = computePlan({
    ...base,
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { asNumber: 65001 } }],
  });
  assert.deepEqual(diffPlans(before, as).local, ['as']);
  assert.equal(diffPlans(before, as).bounce.length, 3);
  const fewer = computePlan({ ...base, nodes: base.nodes.slice(1) });
  assert.deepEqual(diffPlans(before, fewer).remove, ['Mesh_10_0_0_11', 'Mesh_fd00__11']);
});

test('services: ranges from everybody, Local ones only from nodes with a ready endpoint (BG-050, BG-052)', () => {
  const service = (name: string, spec: object): NonNullable<PlanInput['services']>[number] => ({
    metadata: { name, namespace: 'default' },
    spec,
  });
  const input: PlanInput = {
    ...base,
    bgpConfigurations: [
      {
        metadata: { name: 'default' },
        spec: {
          serviceClusterIPs: [{ cidr: '10.96.0.0/12' }],
          serviceExternalIPs: [{ cidr: '203.0.113.7/32' }],
        },
      },
    ],
    services: [
      service('a', { clusterIP: '10.96.0.10', externalTrafficPolicy: 'Local', externalIPs: ['203.0.113.7'] }),
      service('b', { clusterIP: '10.96.0.11', externalTrafficPolicy: 'Local' }),
      service('c', { clusterIP: 'None' }),
    ],
    endpointSlices: [
      {
        metadata: { name: 'a-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'a' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.244.1.2'], nodeName: 'worker1' }],
      },
      {
        metadata: { name: 'b-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'b' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['10.244.1.3'], nodeName: 'worker1', conditions: { ready: false } }],
      },
    ],
  };
  const services = (i: PlanInput): string[] =>
    computePlan(i)
      .origins.filter((o) => o.kind === 'service')
      .map((o) => o.prefix);
  assert.deepEqual(services(input), ['10.96.0.0/12', '10.96.0.10/32', '203.0.113.7/32']);
  const label = { 'node.kubernetes.io/exclude-from-external-load-balancers': '' };
  const nodes = base.nodes.map((n) =>
    n.metadata.name === 'worker1' ? { ...n, metadata: { ...n.metadata, labels: label } } : n,
  );
  assert.deepEqual(services({ ...input, nodes }), []);
});

test('what is more specific than an advertised range is passed on too (BG-033, BG-050)', () => {
  const plan = computePlan({
    ...base,
    bgpConfigurations: [
      { metadata: { name: 'default' }, spec: { serviceClusterIPs: [{ cidr: '10.96.0.0/12' }] } },
    ],
  });
  assert.equal(exported(plan, '10.96.0.0/12', 'static'), 'accept');
  assert.equal(exported(plan, '10.100.7.7/32', 'bgp'), 'accept');
  assert.equal(exported(plan, '10.128.0.0/32', 'bgp'), 'reject');
});

test('BG-037: a node without an IPv4 address says nothing about routes of IPv4 pools', () => {
  const kernelVerdict = (ipv4Address?: string): string => {
    const plan = computePlan({
      nodeName: 'six',
      nodes: [
        {
          metadata: { name: 'six' },
          spec: { bgp: { ipv6Address: 'fd00::6/64', ...(ipv4Address === undefined ? {} : { ipv4Address }) } },
        },
      ],
      ipPools: [{ metadata: { name: 'p' }, spec: { cidr: '10.244.0.0/16', vxlanMode: 'Always' } }],
    });
    const program = plan.policies[plan.kernelPolicy[4]];
    assert.ok(program);
    return explainPolicy(program, subjectOf({ prefix: prefix('10.244.1.0/26'), source: 'bgp' })).verdict;
  };
  assert.equal(kernelVerdict('10.0.0.6/24'), 'reject');
  assert.equal(kernelVerdict(), 'accept');
});
