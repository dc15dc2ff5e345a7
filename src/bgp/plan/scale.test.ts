// Plans of large clusters: how many sessions each design has, and that a plan costs as much as there is in it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computePlan, type BgpPlan, type NodeInput, type PlanInput } from './mod.ts';

const addressOf = (n: number): string => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
const nodesOf = (count: number, reflectors: readonly number[] = []): NodeInput[] =>
  Array.from({ length: count }, (_, i) => ({
    metadata: { name: `n${i}`, labels: reflectors.includes(i) ? { role: 'reflector' } : {} },
    spec: {
      bgp: {
        ipv4Address: `${addressOf(256 + i)}/8`,
        ...(reflectors.includes(i) ? { routeReflectorClusterID: '244.0.0.1' } : {}),
      },
    },
  }));
const toReflectors: PlanInput['bgpPeers'] = [
  {
    metadata: { name: 'reflectors' },
    spec: { nodeSelector: 'all()', peerSelector: "role == 'reflector'" },
  },
];
const noMesh = [{ metadata: { name: 'default' }, spec: { nodeToNodeMeshEnabled: false } }];
const planOf = (nodeName: string, more: Partial<PlanInput> & Pick<PlanInput, 'nodes'>): BgpPlan =>
  computePlan({ nodeName, ...more });

test('NM-001, NM-004: a mesh of 100 nodes is 4,950 sessions, each with one end that dials and one that waits', () => {
  const nodes = nodesOf(100);
  const dialled = new Set<string>();
  const awaited = new Set<string>();
  for (const [i, { metadata }] of nodes.entries()) {
    const { peers } = planOf(metadata.name, { nodes });
    assert.equal(peers.length, 99);
    for (const { address, passive } of peers) {
      const ends = [addressOf(256 + i), address];
      (passive ? awaited : dialled).add((passive ? ends : ends.toReversed()).join(' '));
    }
  }
  assert.equal(dialled.size, 4950);
  assert.deepEqual(dialled, awaited);
});

test('NM-002: of 5,000 nodes behind reflectors each has a session per reflector, and the reflectors one per node', () => {
  const nodes = nodesOf(5000, [0, 1, 2]);
  const more = { nodes, bgpPeers: toReflectors, bgpConfigurations: noMesh };
  const client = planOf('n4711', more);
  assert.deepEqual(
    client.peers.map((p) => [p.address, p.rrClient]),
    [0, 1, 2].map((i) => [addressOf(256 + i), undefined]),
  );
  // It peers with the other reflectors too, which are of its own cluster and no clients.
  const reflector = planOf('n0', more);
  assert.equal(reflector.peers.length, 4999);
  assert.equal(reflector.peers.filter((p) => p.rrClient !== undefined).length, 4997);
});

test('a peer of all nodes is looked for among them once, not once for each of them', () => {
  let looks = 0;
  const nodes = nodesOf(1000).map((n) => ({
    metadata: n.metadata,
    get spec() {
      looks++;
      return n.spec;
    },
  }));
  const peers = Array.from({ length: 4 }, (_, i) => ({
    metadata: { name: `tor${i}` },
    spec: { peerIP: `10.255.0.${i + 1}`, asNumber: 65001 },
  }));
  const plan = planOf('n0', { nodes, bgpPeers: peers, bgpConfigurations: noMesh });
  assert.equal(plan.peers.length, 4);
  assert.ok(looks < 50 * nodes.length, `${looks} looks`);
});

test('endpoints are looked at once, not once for each service', () => {
  let looks = 0;
  const count = 1000;
  const services = Array.from({ length: count }, (_, i) => ({
    metadata: { name: `s${i}`, namespace: 'default' },
    spec: { clusterIP: addressOf(i), type: 'NodePort', externalTrafficPolicy: 'Local' },
  }));
  const endpointSlices = services.map(({ metadata }) => ({
    get metadata() {
      looks++;
      return { ...metadata, labels: { 'kubernetes.io/service-name': metadata.name } };
    },
    addressType: 'IPv4',
    endpoints: [{ nodeName: 'n0' }],
  }));
  const bgpConfigurations = [
    { metadata: { name: 'default' }, spec: { serviceClusterIPs: [{ cidr: '10.0.0.0/8' }] } },
  ];
  const plan = planOf('n0', { nodes: nodesOf(1), services, endpointSlices, bgpConfigurations });
  // The range and each service.
  assert.equal(plan.origins.length, count + 1);
  assert.ok(looks < 10 * count, `${looks} looks`);
});
