// Route reflectors that are routers of their own, as global peers of every node: few sessions, two for safety, and a way
// in for machines outside of the cluster.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestLab, type TestPod, without, podOn } from '../support/lab.ts';
import { eventually, LabRouter, peersOf } from '../support/lab-router.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'ip', 'ping', 'nc', 'curl');
const names = ['master1', 'worker1', 'worker2', 'worker3', 'worker4'];
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  const flags = ['--topology', 'flat', '--nodes', '5', '--design', 'rr', '--reflectors', 'routers'];
  lab = await TestLab.up('reflect', flags);
  pods = await lab.deploy(5);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const on = (node: string): TestPod => podOn(pods, node);
const established = async (node: string): Promise<string[]> =>
  (await peersOf(lab, node))
    .filter((p) => p.state === 'Established')
    .map((p) => p.address)
    .toSorted();
const pool = (name: string, cidr: string): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name },
  spec: { cidr, natOutgoing: true },
});
const podIn = (name: string, nodeName: string, pool: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    labels: { run: name },
    annotations: { 'cni.projectcalico.org/ipv4pools': JSON.stringify([pool]) },
  },
  spec: { nodeName, containers: [{ name: 'c', image: 'ikubernetes/demoapp:v1.0' }] },
});

test('SR-140, SR-143, SR-145, SR-156: two external reflectors as global peers: two sessions per node, routes of every block', {
  skip,
}, async () => {
  for (const name of names)
    await eventually(
      `the sessions of ${name}`,
      () => established(name),
      (list) => list.join() === '10.0.0.251,10.0.0.252',
    );
  for (const router of ['rr1', 'rr2'])
    await eventually(
      `the sessions of ${router}`,
      () => established(router),
      (list) => list.length === names.length,
    );
  await matrixIsComplete(lab, pods);
  // The next hop is the node with the block, never the reflector.
  const routes = await lab.sh('worker1', 'ip -4 route show proto bird type unicast');
  for (const i of [11, 13, 14, 15]) assert.match(routes, new RegExp(`via 10\\.0\\.0\\.${i} dev eth0`));
  assert.doesNotMatch(routes, /via 10\.0\.0\.25\d/);
});

test('SR-144, SR-134: without one reflector new blocks are learned from the other, and nothing is lost', {
  skip,
}, async () => {
  const far = on('worker2');
  const pinging = lab.inPod(on('worker1'), `ping -n -i 0.1 -c 60 -W 2 ${far.address} | tail -2`);
  await lab.sh('rr1', 'ip link set eth0 down');
  try {
    await lab.apply(pool('late', '10.82.0.0/26'));
    await lab.apply(podIn('late', 'worker3', 'late'));
    const [late] = await lab.pods('run=late', 1);
    assert.ok(late !== undefined);
    await eventually(
      'the route of the new block',
      () => lab.sh('worker1', 'ip route show 10.82.0.0/26'),
      (text) => text.includes('via 10.0.0.14 dev eth0 proto bird'),
    );
    await lab.inPod(on('worker1'), `ping -n -c2 -W5 ${late.address}`);
    assert.match(await pinging, /60 received, 0% packet loss/);
  } finally {
    await lab.sh('rr1', 'ip link set eth0 up');
  }
});

test('SR-146: an outside machine reaches every pod by one static route via a reflector', {
  skip,
}, async () => {
  const outside = await LabRouter.plug(lab, 'outside', { address: '10.0.0.203', loopback: '172.20.9.1' });
  try {
    await outside.sh('ip route add 192.168.0.0/16 via 10.0.0.252');
    for (const pod of pods)
      assert.match(await outside.sh(`curl -sf -m 30 http://${pod.address}/`), /ClientIP: 10\.0\.0\.203/);
  } finally {
    await outside.unplug();
  }
});

test('SR-155: a node peer beside the global ones', { skip }, async () => {
  await lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'BGPPeer',
    metadata: { name: 'beside' },
    spec: { node: 'worker1', peerIP: '10.0.0.15', asNumber: 64512 },
  });
  for (const [node, other] of [
    ['worker1', '10.0.0.15'],
    ['worker4', '10.0.0.12'],
  ] as const)
    await eventually(
      `${node} has all three`,
      () => established(node),
      (list) => list.join() === [other, '10.0.0.251', '10.0.0.252'].join(),
    );
  await eventually(
    'worker2 has the two',
    () => established('worker2'),
    (list) => list.length === 2,
  );
});
