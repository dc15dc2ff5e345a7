// The BGP designs of the seeds on one dual-stack lab of two racks, changed while it runs: every pod reaches every pod in
// both families after each change, and the tables are what the design says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { margay, TestLab, type TestPod, without, podOn } from '../support/lab.ts';
import { eventually, peersOf } from '../support/lab-router.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'ip', 'ping', 'nc');
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
  assert.equal(await asPath('worker1', on('worker2')), '');
  assert.equal(await asPath('worker1', on('worker3')), '65000 65002');
  assert.equal(await asPath('spine', on('worker3')), '65002');
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
  assert.equal(await asPath('worker1', on('worker3')), '65001 65000 65002 65023');
  assert.equal(await asPath('worker1', on('worker2')), '65001 65022');
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
