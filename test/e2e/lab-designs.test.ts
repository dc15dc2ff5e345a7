// The BGP designs of the seeds on one dual-stack lab of two racks, changed while it runs: every pod reaches every pod in
// both families after each change, and the tables are what the design says. Then service addresses by BGP, as the leaf and the
// spine see them: whole ranges from every node, single addresses from nodes with an endpoint, withdrawn when the reason goes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { margay, TestLab, type TestPod, without, podOn } from '../support/lab.ts';
import { eventually, peersOf } from '../support/lab-router.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'ip', 'ping', 'nc', 'curl');
const names = ['master1', 'worker1', 'worker2', 'worker3'];
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('designs', ['--topology', 'two-racks', '--dual-stack', '--design', 'as-per-rack']);
  pods = await lab.deploy(4);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const change = async (design: string): Promise<void> => {
  const { code, out, err } = await margay(['lab', 'design', '--name', lab.name, design]);
  assert.equal(code, 0, err);
  assert.match(out, new RegExp(design));
};
/** `address AS`, in order, of what is Established; waits until it is as many. */
const sessions = async (node: string, count: number): Promise<string[]> => {
  const peers = await eventually(
    `${count} sessions of ${node}`,
    () => peersOf(lab, node),
    (list) => list.length === count && list.every((p) => p.state === 'Established'),
  );
  return peers.map((p) => `${p.address} ${p.as}`).toSorted();
};
const on = (node: string): TestPod => podOn(pods, node);
const routesOf = async (node: string): Promise<string[]> =>
  (await lab.sh(node, 'ip -4 route show proto bird type unicast')).trim().split('\n');
/** What a router or node knows of the way to a pod. */
const asPath = async (machine: string, pod: TestPod): Promise<string> => {
  const block = /192\.168\.\d+\.\d+\/26/.exec(
    await lab.sh(pod.node, 'ip -4 route show type blackhole proto bird'),
  )?.[0];
  assert.ok(block !== undefined);
  const shown = await lab.sh(machine, `margay bgp why ${block} --local`);
  return /^ +\* from .* AS path \(([\d ]*)\)/m.exec(shown)?.[1] ?? shown;
};
const hasPath = (machine: string, pod: TestPod, path: string): Promise<unknown> =>
  eventually(
    `the AS path from ${machine} to ${pod.node}`,
    () => asPath(machine, pod),
    (seen) => seen === path,
  );
/** SR-154 */
const asNumbers = async (): Promise<string[]> => {
  const { out } = await margay(['get', 'node', '-o', 'wide'], { ...process.env, KUBECONFIG: lab.kubeconfig });
  return [...out.matchAll(/^(\S+) +\(?(\d+)\)? +[\d.]+\/24 /gm)].map((m) => `${m[1]} ${m[2]}`);
};

test('SR-149, SR-151, SR-152, SR-154: AS per rack: one iBGP session per node, with its leaf, which reflects; pods reach each other across racks', {
  skip,
}, async () => {
  for (const name of names.slice(0, 3))
    assert.deepEqual(await sessions(name, 2), ['10.0.0.254 65001', 'fd00:10::fe 65001']);
  assert.deepEqual(await sessions('worker3', 2), ['30.0.0.254 65002', 'fd00:30::fe 65002']);
  await matrixIsComplete(lab, pods);
  assert.deepEqual(await asNumbers(), ['master1 65001', 'worker1 65001', 'worker2 65001', 'worker3 65002']);
  // Reflected inside of the rack with the next hop of the node; across racks through the fabric, without a tunnel.
  const routes = await routesOf('worker1');
  assert.equal(routes.filter((l) => / via 10\.0\.0\.(11|22) dev eth0/.test(l)).length, 2, routes.join('\n'));
  assert.equal(routes.filter((l) => / via 10\.0\.0\.254 dev eth0/.test(l)).length, 1, routes.join('\n'));
  await hasPath('worker1', on('worker2'), '');
  await hasPath('worker1', on('worker3'), '65000 65002');
  await hasPath('spine', on('worker3'), '65002');
});

test('SR-150, SR-151, SR-152: AS per compute server: every node its own AS and one eBGP session with its leaf', {
  skip,
}, async () => {
  await change('as-per-server');
  for (const name of names.slice(0, 3))
    assert.deepEqual(await sessions(name, 2), ['10.0.0.254 65001', 'fd00:10::fe 65001']);
  assert.deepEqual(
    (await sessions('leaf01', 8)).filter((s) => s.startsWith('10.')),
    ['10.0.0.11 65011', '10.0.0.21 65021', '10.0.0.22 65022', '10.255.0.0 65000'],
  );
  await matrixIsComplete(lab, pods);
  assert.deepEqual(await asNumbers(), ['master1 65011', 'worker1 65021', 'worker2 65022', 'worker3 65023']);
  await hasPath('worker1', on('worker3'), '65001 65000 65002 65023');
  await hasPath('worker1', on('worker2'), '65001 65022');
});

test('SR-132, SR-143, SR-144, SR-145, SR-155: two nodes reflect in place of the mesh; each alone is enough', {
  skip,
}, async () => {
  await change('rr');
  // Its two reflectors and its leaf.
  assert.deepEqual(
    (await sessions('worker1', 6)).filter((s) => !s.startsWith('fd00')),
    ['10.0.0.11 64512', '10.0.0.254 65001', '30.0.0.23 64512'],
  );
  await sessions('master1', 8);
  await matrixIsComplete(lab, pods);
  // A block that is new while one reflector is gone comes from the other.
  const status = await lab.status();
  const pid = status.processes.find((p) => p.machine === 'master1' && p.name === 'speaker')?.pid;
  await lab.sh('master1', `kill -STOP ${pid}`);
  try {
    await lab.apply({
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'late' },
      spec: { cidr: '10.81.0.0/26', natOutgoing: false },
    });
    await lab.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'late',
        labels: { run: 'late' },
        annotations: { 'cni.projectcalico.org/ipv4pools': '["late"]' },
      },
      spec: { nodeName: 'worker2', containers: [{ name: 'c', image: 'ikubernetes/demoapp:v1.0' }] },
    });
    const [late] = await lab.pods('run=late', 1);
    assert.ok(late !== undefined);
    await eventually(
      'the route by way of the other reflector',
      () => lab.sh('worker1', 'ip route show 10.81.0.0/26'),
      (text) => /via 10\.0\.0\.22 dev eth0 proto bird/.test(text),
    );
    await lab.inPod(on('worker1'), `ping -n -c2 -W5 ${late.address}`);
  } finally {
    await lab.sh('master1', `kill -CONT ${pid}`);
  }
});

test('SR-130, SR-131, SR-156: back to the mesh: of four nodes each has three sessions with the others', {
  skip,
}, async () => {
  await change('mesh');
  const all = await sessions('worker1', 2 * 3 + 2);
  assert.equal(all.filter((s) => s.endsWith(' 64512')).length, 6, all.join());
  await matrixIsComplete(lab, pods);
  const { out } = await lab.kubectl('get', 'bgppeers.projectcalico.org', '-o', 'name');
  assert.equal(out.trim().split('\n').length, 4, out);
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
/** Ready endpoints of a service on these nodes, of pods that there are none of. */
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
});

test('BG-054: a node without an endpoint that gets packets for a service address hands them to an endpoint elsewhere', {
  skip,
}, async () => {
  const far = on('worker3');
  await lab.kubectl('label', 'pod', far.name, 'only=this');
  await service('one-end', { clusterIP: '10.96.0.60', selector: { only: 'this' } });
  // By any node of the first rack, none of which has the endpoint: a route to the range for each of them alone.
  for (const node of rack1) {
    await lab.sh('leaf01', `ip route replace 10.96.0.60/32 via ${node}`);
    await eventually(
      `an answer by way of ${node}`,
      () => lab.sh('leaf01', 'curl -s -m 2 --interface 10.0.0.254 http://10.96.0.60/ || true'),
      (text) => text.includes(`ServerName: ${far.name}, `),
    );
  }
  await lab.sh('leaf01', 'ip route delete 10.96.0.60/32');
  // And none of them sends the range to another one, from where it might come back.
  assert.deepEqual(await gateways('worker1', '10.96.0.0/12'), []);
  assert.equal((await lab.kubectl('delete', 'service', 'one-end')).code, 0);
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
