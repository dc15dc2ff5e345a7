// Resources that validation would have refused, or that contradict each other: they cost their own session at most, and never
// lead to a plan that an engine cannot take.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computePlan, parseAs, type BgpPeerInput, type NodeInput, type PlanInput } from './mod.ts';

const node = (name: string, v4: string, more: object = {}): NodeInput => ({
  metadata: { name, labels: { name } },
  spec: { bgp: { ipv4Address: v4, ...more } },
});
const plan = (more: Partial<PlanInput> = {}) =>
  computePlan({
    nodeName: 'a',
    nodes: [node('a', '10.0.0.1/24'), node('b', '10.0.0.2/24')],
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { nodeToNodeMeshEnabled: false } }],
    ...more,
  });
const withPeers = (...specs: readonly NonNullable<BgpPeerInput['spec']>[]) =>
  plan({ bgpPeers: specs.map((spec, i) => ({ metadata: { name: `p${i}` }, spec })) }).peers;

test('BG-025: what is no AS number is none: zero, too large, halves that do not fit, words', () => {
  for (const [text, as] of [
    ['1', 1],
    ['4294967295', 4294967295],
    ['65535.65535', 4294967295],
    ['0.7', 7],
    [64512, 64512],
  ] as const)
    assert.equal(parseAs(text), as, String(text));
  for (const text of [
    '',
    '0',
    '0.0',
    '4294967296',
    '1.65536',
    '65536.1',
    '1.2.3',
    '.5',
    '5.',
    '-1',
    '1e3',
    'AS1',
  ])
    assert.equal(parseAs(text), undefined, text);
  for (const as of [0, -1, 1.5e10, Number.NaN]) assert.equal(parseAs(as), undefined, String(as));
  assert.deepEqual(
    withPeers({ peerIP: '10.0.0.9', asNumber: 0 }, { peerIP: '10.0.0.8', asNumber: '1.2.3' }),
    [],
  );
});

test('router and cluster ids that are none are as if not set', () => {
  for (const id of ['fd00::1', '0.0.0.0', '1.2.3', 'word']) {
    assert.equal(plan({ routerIdSetting: id }).local.routerId, '10.0.0.1', id);
    const { local, peers } = plan({
      nodes: [node('a', '10.0.0.1/24', { routeReflectorClusterID: id }), node('b', '10.0.0.2/24')],
      bgpConfigurations: [],
    });
    assert.equal(local.clusterId, undefined, id);
    assert.deepEqual(
      peers.map((p) => [p.name, p.rrClient]),
      [['Mesh_10_0_0_2', undefined]],
    );
  }
});

test('times that no message has room for are the longest there are, and no keepalive time means none at all', () => {
  const [fast] = withPeers({ peerIP: '10.0.0.9', asNumber: 65001, keepaliveTime: '1ms' });
  assert.equal(fast?.keepaliveTimeSeconds, 1);
  const [peer] = withPeers({
    peerIP: '10.0.0.9',
    asNumber: 65001,
    maxRestartTime: '24h',
    keepaliveTime: '10h',
  });
  assert.equal(peer?.gracefulRestartTimeSeconds, 4095);
  assert.ok((peer?.keepaliveTimeSeconds ?? 0) * 3 <= 65535);
});

test('nobody is a peer of its own address, be it named, selected, mirrored, or also that of another node', () => {
  // The other end of such a peer is every other node's.
  for (const spec of [{ peerIP: '10.0.0.1', asNumber: 64512 }, { peerSelector: "name == 'a'" }])
    assert.deepEqual(
      withPeers(spec).map((p) => p.address),
      ['10.0.0.2'],
    );
  const nodes = [node('a', '10.0.0.1/24'), node('twin', '10.0.0.1/24')];
  for (const more of [
    { bgpConfigurations: [] },
    { bgpPeers: [{ metadata: { name: 'p' }, spec: { peerSelector: 'all()' } }] },
    { bgpPeers: [{ metadata: { name: 'p' }, spec: { node: 'twin', peerIP: '10.0.0.1', asNumber: 64512 } }] },
  ])
    assert.deepEqual(plan({ nodes, ...more }).peers, []);
});

test('selectors, addresses and CIDRs that do not parse cost what they are part of', () => {
  assert.deepEqual(
    withPeers(
      { peerSelector: 'name ==' },
      { nodeSelector: '((', peerIP: '10.0.0.9', asNumber: 65001 },
      { peerIP: 'nowhere', asNumber: 65001 },
      { peerIP: '10.0.0.7:99999', asNumber: 65001 },
      { peerIP: '10.0.0.8', asNumber: 65001 },
    ).map((p) => p.name),
    ['Global_10_0_0_8'],
  );
  const odd = plan({
    ipPools: [{ metadata: { name: 'x' }, spec: { cidr: 'no' } }],
    blockAffinities: [{ node: 'a', cidr: '10.244.1.0/99' }],
    bgpConfigurations: [
      {
        metadata: { name: 'default' },
        spec: {
          serviceClusterIPs: [{ cidr: 'no' }, { cidr: '10.96.0.0/12' }],
          programClusterRoutes: 'Perhaps',
        },
      },
    ],
  });
  assert.deepEqual(odd.pools, []);
  assert.deepEqual(
    odd.origins.map((o) => o.prefix),
    ['10.96.0.0/12'],
  );
});

test('two sessions with a peer behind a gateway need one route', () => {
  const behind = { asNumber: 65001, reachableBy: '10.0.0.254' };
  const { peers, staticRoutes } = plan({
    bgpPeers: [
      { metadata: { name: 'p0' }, spec: { ...behind, peerIP: '10.7.0.1' } },
      { metadata: { name: 'p1' }, spec: { ...behind, peerIP: '10.7.0.1:1790', reachableBy: '10.0.0.253' } },
    ],
  });
  assert.equal(peers.length, 2);
  assert.deepEqual(staticRoutes, [{ prefix: '10.7.0.1/32', gateway: '10.0.0.254' }]);
});

test('an entry of a list of ranges without a CIDR says nothing, and no hops mean no TTL security', () => {
  const { origins } = plan({
    bgpConfigurations: [
      {
        metadata: { name: 'default' },
        spec: {
          serviceClusterIPs: [{}, { cidr: '10.112.0.0/16' }],
          serviceExternalIPs: [{}],
          serviceLoadBalancerIPs: [{ cidr: '198.51.100.0/24' }, {}],
        },
      },
    ],
  });
  assert.deepEqual(
    origins.map((o) => o.prefix),
    ['10.112.0.0/16', '198.51.100.0/24'],
  );
  const [none, two] = withPeers(
    { peerIP: '10.0.0.8', asNumber: 65001, ttlSecurity: 0 },
    { peerIP: '10.0.0.9', asNumber: 65001, ttlSecurity: 2 },
  );
  assert.equal(none?.ttlSecurityHops, undefined);
  assert.equal(two?.ttlSecurityHops, 2);
});

test('a peer on the address of a node is that node only where AS and port fit too', () => {
  const nodes = [node('a', '10.0.0.1/24'), node('b', '10.0.0.2/24', { asNumber: 64600 })];
  const bgpConfigurations = [
    { metadata: { name: 'default' }, spec: { nodeToNodeMeshEnabled: false, listenPort: 1790 } },
  ];
  const from = (nodeName: string, spec: NonNullable<BgpPeerInput['spec']>): string[] =>
    plan({ nodeName, nodes, bgpConfigurations, bgpPeers: [{ metadata: { name: 'p' }, spec }] }).peers.map(
      (p) => `${p.address}:${p.port} ${p.as}`,
    );
  // Without an AS, and with the node's own: its port, and the node peers back.
  for (const asNumber of [undefined, 64600]) {
    const spec = { node: 'a', peerIP: '10.0.0.2', asNumber };
    assert.deepEqual(from('a', spec), ['10.0.0.2:1790 64600']);
    assert.deepEqual(from('b', spec), ['10.0.0.1:1790 64512']);
  }
  // Another AS: a router beside it, at the ordinary port, and nothing that the node knows of.
  const beside = { node: 'a', peerIP: '10.0.0.2', asNumber: 65001 };
  assert.deepEqual(from('a', beside), ['10.0.0.2:179 65001']);
  assert.deepEqual(from('b', beside), []);
  // Another port: the same.
  const port = { node: 'a', peerIP: '10.0.0.2:2000', asNumber: 64600 };
  assert.deepEqual(from('a', port), ['10.0.0.2:2000 64600']);
  assert.deepEqual(from('b', port), []);
  assert.deepEqual(from('b', { ...port, peerIP: '10.0.0.2:1790' }), ['10.0.0.1:1790 64512']);
});
