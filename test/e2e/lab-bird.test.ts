// A lab whose nodes run the seeds' engine: BIRD 2, written, watched and asked by us.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestLab, type TestPod, without } from '../support/lab.ts';
import { eventually, peersOf } from '../support/lab-router.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'ip', 'ping', 'bird', 'birdc');
const nodes = ['master1', 'worker1', 'worker2'];
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('bird', ['--topology', 'flat', '--nodes', '3', '--engine', 'bird']);
  pods = await lab.deploy(4);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const birdc = (node: string, command: string): Promise<string> =>
  lab.sh(node, `PATH=$PATH:/usr/sbin birdc -s /var/run/calico/bird.ctl ${command}`);
type Status = { engine: { name: string; pid: number; restarts: number; reloads: number } };
const statusOf = async (node: string): Promise<Status> => {
  const { out, err } = await lab.exec(
    node,
    'sh',
    '-c',
    `echo '{"op":"status"}' | nc -U -N -w 20 /run/calico/bgp.sock`,
  );
  const answer = JSON.parse(out === '' ? '{}' : out) as { result?: Status };
  if (answer.result === undefined) throw new Error(`${node}: ${out}${err}`);
  return answer.result;
};
const allUp = (node: string) =>
  eventually(
    `the sessions of ${node}`,
    () => peersOf(lab, node),
    (list) => list.length === nodes.length - 1 && list.every((p) => p.state === 'Established'),
  );

test('SR-020, SR-025: with BIRD on every node each pod reaches each other', { skip }, async () => {
  for (const node of nodes) await allUp(node);
  await eventually(
    'routes to the other blocks',
    () => lab.sh('worker1', 'ip -4 route show proto bird type unicast'),
    (text) => text.trim().split('\n').length === 2 && /via 10\.0\.0\.11 dev eth0 metric 1024/.test(text),
  );
  await matrixIsComplete(lab, pods);
  assert.match(await lab.sh('worker1', 'ip -4 route show type blackhole'), /^blackhole \S+ proto bird/);
});

test('BG-011: birdc and node status show the sessions by the names that Calico gives them', {
  skip,
}, async () => {
  assert.match(await birdc('worker1', 'show protocols'), /Mesh_10_0_0_11 BGP .* up .* Established/);
  const { out } = await lab.exec('worker1', 'margay', 'node', 'status');
  assert.match(out, /10\.0\.0\.11 +\| node-to-node mesh \| up/);
});

test('SR-027, BG-002: a new pool is taken over without touching a session', { skip }, async () => {
  const before = await peersOf(lab, 'worker1');
  const { engine } = await statusOf('worker1');
  await lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name: 'second' },
    spec: { cidr: '10.77.0.0/16' },
  });
  await eventually(
    'BIRD reads the new configuration',
    () => statusOf('worker1'),
    (status) => status.engine.reloads > engine.reloads,
  );
  assert.match(await lab.sh('worker1', 'cat /etc/calico/confd/config/bird.cfg'), /10\.77\.0\.0\/16/);
  assert.deepEqual(
    (await peersOf(lab, 'worker1')).map((p) => p.since),
    before.map((p) => p.since),
  );
});

test('BG-039: a BIRD that is killed comes back, and packets never miss a route', { skip }, async () => {
  const [one] = pods.filter((p) => p.node === 'worker1');
  const [other] = pods.filter((p) => p.node === 'worker2');
  assert.ok(one !== undefined && other !== undefined);
  const { engine } = await statusOf('worker1');
  const pinging = lab.inPod(one, `ping -i 0.05 -c 100 -q ${other.address}`);
  await lab.sh('worker1', `kill -9 ${engine.pid}`);
  await eventually(
    'BIRD is back',
    () => statusOf('worker1'),
    (status) => status.engine.restarts === engine.restarts + 1,
  );
  await allUp('worker1');
  assert.match(await pinging, /100 packets transmitted, 100 received/);
});
