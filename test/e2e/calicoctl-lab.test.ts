// calicoctl on a lab: nodes, sessions, endpoints, addresses, and whom a policy is for.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { margay, type Output, TestLab, without } from '../support/lab.ts';

const skip = without('ip', 'unshare', 'kubectl');
let lab: TestLab;
before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('calicoctl', ['--topology', 'flat', '--nodes', '2']);
  const { code, err } = await lab.kubectl('create', 'deployment', 'web', '--image=demoapp', '--replicas=3');
  assert.equal(code, 0, err);
  await lab.pods('app=web', 3);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const calicoctl = (argv: readonly string[], input = ''): Promise<Output> =>
  margay(argv, { ...process.env, KUBECONFIG: lab.kubeconfig }, input);

async function succeeds(argv: readonly string[], input = ''): Promise<string> {
  const { code, out, err } = await calicoctl(argv, input);
  assert.equal(code, 0, `${argv.join(' ')}: ${err}${out}`);
  return out;
}

test('SR-202: nodes and pools', { skip }, async () => {
  const nodes = await succeeds(['get', 'nodes', '-o', 'wide']);
  assert.match(nodes, /^NAME +ASN +IPV4 +IPV6 +\nmaster1 +\(?\d+\)? +10\.[\d.]+\/\d+ +\nworker1 /);
  const pool = await succeeds(['get', 'ippool', 'default-ipv4-ippool', '-o', 'yaml']);
  assert.equal(await succeeds(['apply', '-f', '-'], pool), "Successfully applied 1 'IPPool' resource(s)\n");
});

test('SR-195, SR-196, SR-197: endpoints', { skip }, async () => {
  const table = await succeeds(['get', 'wep']);
  assert.match(
    table,
    /WORKLOAD +NODE +NETWORKS +INTERFACE +\n(web-\S+ +\S+ +192\.168\.[\d.]+\/32 +cali[0-9a-f]{11} +\n){3}/,
  );
  const [pod] = await lab.pods('app=web', 3);
  assert.ok(pod !== undefined);
  const yaml = await succeeds(['get', 'workloadendpoint', `--workload=default.${pod.name}`, '-o', 'yaml']);
  assert.match(yaml, new RegExp(`name: ${pod.node}-k8s-${pod.name.replaceAll('-', '--')}-eth0`));
  assert.match(yaml, /projectcalico\.org\/orchestrator: k8s/);
});

test('CT-030, CT-032: use of addresses, and nothing is lost', { skip }, async () => {
  const out = await succeeds(['ipam', 'show', '--show-blocks']);
  assert.match(out, /\| IP Pool +\| 192\.168\.0\.0\/16 +\| +65536 \| +[3-9] \(0%\)/);
  assert.match(out, /\| Block +\| 192\.168\.[\d.]+\/26 +\| +64 \| +\d+ \(\d+%\)/);
  const [pod] = await lab.pods('app=web', 3);
  assert.match(
    await succeeds(['ipam', 'show', `--ip=${pod?.address}`]),
    new RegExp(`is in use\\nHandle ID: k8s-pod-network\\.[\\s\\S]*  pod: ${pod?.name}`),
  );
  assert.match(await succeeds(['ipam', 'check', '--show-problem-ips']), /Check complete; found 0 problems\./);
});

test('SR-203: sessions of a node', { skip }, async () => {
  const status = async (): Promise<string> => (await lab.exec('worker1', 'margay', 'node', 'status')).out;
  const up = await until(async () => ((await status()).includes('Established') ? status() : undefined), {
    timeoutMs: 60_000,
    everyMs: 1000,
  });
  assert.match(
    up ?? (await status()),
    /Calico process is running\.\n\nIPv4 BGP status\n\+-+[\s\S]*\| 10\.[\d.]+ +\| node-to-node mesh \| up +\| \d\d:\d\d:\d\d \| Established \|[\s\S]*IPv6 BGP status\nNo IPv6 peers found\./,
  );
});

test('apply says whom a policy is for', { skip }, async () => {
  const policy = (selector: string): string =>
    `apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: web}\nspec: {selector: "${selector}", ingress: [{action: Allow}]}\n`;
  assert.match(
    await succeeds(['apply', '-f', '-'], policy("app == 'web'")),
    /NetworkPolicy\(default\/web\) selects 3 of 3 endpoints/,
  );
  const { out, err } = await calicoctl(['apply', '-f', '-'], policy("app == 'wbe'"));
  assert.match(out, /selects 0 of 3 endpoints/);
  assert.match(err, /Warning: NetworkPolicy\(default\/web\) selects no endpoint now/);
  await succeeds(['delete', 'np', 'web']);
});
