// Service addresses by BGP, as the leaf and the spine see them: whole ranges from every node, single addresses from nodes
// with an endpoint, withdrawn when the reason goes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestLab, without } from '../support/lab.ts';
import { eventually } from '../support/lab-router.ts';

const skip = without('kubectl', 'ip');
let lab: TestLab;

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('services', ['--topology', 'two-racks', '--dual-stack']);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const configure = (spec: object): Promise<void> =>
  lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec: { asNumber: 64512, nodeToNodeMeshEnabled: true, ...spec },
  });
const cidrs = (...list: readonly string[]): readonly object[] => list.map((cidr) => ({ cidr }));

/** Gateways of a machine's kernel to exactly this destination. */
async function gateways(machine: string, prefix: string): Promise<string[]> {
  const family = prefix.includes(':') ? '-6' : '-4';
  const shown = prefix.replace(/\/(32|128)$/, '');
  const text = await lab.sh(machine, `ip ${family} route show exact ${prefix} proto bird`);
  assert.ok(text.trim() === '' || text.startsWith(shown), text);
  return [...text.matchAll(/via (\S+) dev/g)].map((m) => m[1] ?? '').toSorted();
}
const areVia = (machine: string, prefix: string, wanted: readonly string[]): Promise<string[]> =>
  eventually(
    `${prefix} on ${machine} via ${wanted.join() || 'nobody'}`,
    () => gateways(machine, prefix),
    (list) => list.join() === wanted.toSorted().join(),
  );

const rack1 = ['10.0.0.11', '10.0.0.21', '10.0.0.22'];
const rack1v6 = ['fd00:10::11', 'fd00:10::21', 'fd00:10::22'];

const service = (name: string, spec: object): Promise<void> =>
  lab.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { ports: [{ port: 80 }], ...spec },
  });
/** Ready endpoints of a service on these nodes; the lab has no controller that makes them. */
const endpoints = (name: string, nodes: readonly string[], ready = true): Promise<void> =>
  lab.apply({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ port: 80 }],
    endpoints: nodes.map((nodeName, i) => ({
      addresses: [`192.168.250.${i + 1}`],
      conditions: { ready },
      nodeName,
    })),
  });

test('SR-153, BG-050, BG-055: the cluster ranges of both families come from every node, as one route with many ways', {
  skip,
}, async () => {
  await configure({ serviceClusterIPs: cidrs('10.96.0.0/12', 'fd00:10:96::/112') });
  await areVia('leaf01', '10.96.0.0/12', rack1);
  await areVia('leaf02', '10.96.0.0/12', ['30.0.0.23']);
  await areVia('spine', '10.96.0.0/12', ['10.255.0.1', '10.255.0.3']);
  await areVia('leaf01', 'fd00:10:96::/112', rack1v6);
  // BG-054: no node sends the range to another one.
  assert.deepEqual(await gateways('worker1', '10.96.0.0/12'), []);
});

test('BG-050, BG-053: a service with the policy Local is announced by the nodes of its ready endpoints, and follows them', {
  skip,
}, async () => {
  await service('local', { type: 'NodePort', clusterIP: '10.96.0.50', externalTrafficPolicy: 'Local' });
  await endpoints('local', ['worker1']);
  await areVia('leaf01', '10.96.0.50/32', ['10.0.0.21']);
  await areVia('spine', '10.96.0.50/32', ['10.255.0.1']);
  await endpoints('local', ['worker1', 'worker2', 'worker3']);
  await areVia('leaf01', '10.96.0.50/32', ['10.0.0.21', '10.0.0.22']);
  await areVia('spine', '10.96.0.50/32', ['10.255.0.1', '10.255.0.3']);
  await endpoints('local', ['worker1', 'worker2', 'worker3'], false);
  await areVia('leaf01', '10.96.0.50/32', []);
  await endpoints('local', ['worker2']);
  await areVia('leaf01', '10.96.0.50/32', ['10.0.0.22']);
  assert.equal((await lab.kubectl('delete', 'service', 'local')).code, 0);
  await areVia('leaf01', '10.96.0.50/32', []);
  await areVia('leaf01', '10.96.0.0/12', rack1);
});

test('BG-051: external addresses: ranges from every node, single ones with their service, none outside of the ranges', {
  skip,
}, async () => {
  await configure({ serviceExternalIPs: cidrs('203.0.113.0/24', '198.51.100.7/32') });
  await areVia('leaf01', '203.0.113.0/24', rack1);
  await areVia('leaf01', '198.51.100.7/32', []);
  await areVia('leaf01', '10.96.0.0/12', []);
  await service('outside', {
    clusterIP: '10.96.0.51',
    externalIPs: ['198.51.100.7', '192.0.2.9'],
  });
  await areVia('leaf01', '198.51.100.7/32', rack1);
  assert.deepEqual(await gateways('leaf01', '192.0.2.9/32'), []);
  await service('near', {
    type: 'NodePort',
    clusterIP: '10.96.0.52',
    externalIPs: ['203.0.113.10'],
    externalTrafficPolicy: 'Local',
  });
  await endpoints('near', ['worker2']);
  await areVia('leaf01', '203.0.113.10/32', ['10.0.0.22']);
  await areVia('leaf02', '203.0.113.10/32', ['10.255.0.2']);
});

test('BG-051: addresses of load balancers: the range, or with aggregation off each address whose service has an endpoint', {
  skip,
}, async () => {
  await service('balanced', { type: 'LoadBalancer', clusterIP: '10.96.0.53' });
  const status = { status: { loadBalancer: { ingress: [{ ip: '100.64.1.5' }] } } };
  const patch = ['patch', 'service', 'balanced', '--subresource=status', '--type=merge', '-p'];
  const patched = await lab.kubectl(...patch, JSON.stringify(status));
  assert.equal(patched.code, 0, patched.err);
  await configure({ serviceLoadBalancerIPs: cidrs('100.64.1.0/24') });
  await areVia('leaf01', '100.64.1.0/24', rack1);
  await configure({
    serviceLoadBalancerIPs: cidrs('100.64.1.0/24'),
    serviceLoadBalancerAggregation: 'Disabled',
  });
  await areVia('leaf01', '100.64.1.0/24', []);
  await areVia('leaf01', '100.64.1.5/32', []);
  await endpoints('balanced', ['worker3']);
  await areVia('leaf01', '100.64.1.5/32', rack1);
});

test('BG-052: a node excluded from external load balancers announces no service address', {
  skip,
}, async () => {
  const label = 'node.kubernetes.io/exclude-from-external-load-balancers';
  await lab.kubectl('label', 'node', 'worker1', `${label}=`);
  await areVia('leaf01', '100.64.1.5/32', ['10.0.0.11', '10.0.0.22']);
  await lab.kubectl('label', 'node', 'worker1', `${label}-`);
  await areVia('leaf01', '100.64.1.5/32', rack1);
});

test('BG-056: a reflector passes on the load balancer addresses that it learns', { skip }, async () => {
  await service('one', { type: 'LoadBalancer', clusterIP: '10.96.0.54', externalTrafficPolicy: 'Local' });
  const status = { status: { loadBalancer: { ingress: [{ ip: '100.64.1.77' }] } } };
  await lab.kubectl(
    'patch',
    'service',
    'one',
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify(status),
  );
  await endpoints('one', ['worker1']);
  await areVia('leaf01', '100.64.1.77/32', ['10.0.0.21']);
  // worker3 hears of it from a reflector only; the kernel is kept out of it (BG-054).
  const { code, err } = await lab.exec('master1', 'margay', 'lab', 'design', '--name', lab.name, 'rr');
  assert.equal(code, 0, err);
  await eventually(
    'the address at a node that is no neighbour of its node',
    () => lab.sh('worker2', 'margay bgp why 100.64.1.77 --local'),
    (text) => /\* from \S+ via 10\.0\.0\.21/.test(text) && /refused by rule "services"/.test(text),
  );
});
