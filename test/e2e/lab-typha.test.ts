// A lab whose nodes follow the datastore by a fan-out server: pods come up, policy arrives, and what changes while the server is
// away is there when it is back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/lab-router.ts';
import { podOn, TestLab, type TestPod, without } from '../support/lab.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'ip', 'ping', 'curl');
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('typha', ['--topology', 'flat', '--nodes', '2', '--typha']);
  pods = await lab.deploy(2);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const typhaPid = async (): Promise<number | undefined> =>
  (await lab.status()).processes.find((one) => one.name === 'typha')?.pid;

test('SR-046, NM-015: agents and speakers of all nodes follow one server; pods reach each other', {
  skip,
}, async () => {
  await matrixIsComplete(lab, pods);
  const sessions = await lab.sh('master1', "ss -Htn state established '( sport = :5473 )'");
  // Two nodes, an agent and a speaker each.
  assert.equal(sessions.trim().split('\n').length, 4, sessions);
});

test('SR-028, OT-013: a policy that comes while the server is away is enforced once it is back', {
  skip,
}, async () => {
  const [a, b] = [podOn(pods, 'master1'), podOn(pods, 'worker1')];
  const asks = (): Promise<string> =>
    lab.inPod(a, `curl -s -o /dev/null -m 1 -w '%{http_code}' ${b.address} || true`);
  await eventually('an answer', asks, (code) => code === '200');
  const before = await typhaPid();
  assert.ok(before !== undefined);
  await lab.sh('master1', `kill -STOP ${before}`);
  await lab.apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'closed', namespace: 'default' },
    spec: { podSelector: {}, policyTypes: ['Ingress'] },
  });
  assert.equal(await asks(), '200');
  await lab.sh('master1', `kill -KILL ${before}`);
  await eventually('no answer', asks, (code) => code === '000');
  await lab.kubectl('delete', 'networkpolicy', 'closed');
  await eventually('an answer again', asks, (code) => code === '200');
  assert.notEqual(await typhaPid(), before);
});
