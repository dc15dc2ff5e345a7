// A change of policy that cuts the nodes of a lab off from its API server: the server puts it on trial by itself, the nodes
// take it back when nobody confirms, and keep it when somebody does.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { margay, type Output, run, TestLab, without } from '../support/lab.ts';

const skip = without('kubectl', 'ip', 'nft');
const trialSeconds = 15;
const v3 = 'projectcalico.org/v3';
let lab: TestLab;

before(async () => {
  if (skip !== false) return;
  process.env['MARGAY_CUT_TRIAL'] = String(trialSeconds);
  lab = await TestLab.up('polcut', ['--topology', 'flat', '--nodes', '2']);
});
after(async () => {
  delete process.env['MARGAY_CUT_TRIAL'];
  await lab?.down();
});

const kubectl = (argv: readonly string[], object?: object): Promise<Output> =>
  run('kubectl', argv, {
    env: { ...process.env, KUBECONFIG: lab.kubeconfig },
    ...(object === undefined ? {} : { input: JSON.stringify(object) }),
  });
async function apply(object: object): Promise<Output> {
  const applied = await kubectl(['apply', '-f', '-'], object);
  assert.equal(applied.code, 0, applied.err);
  return applied;
}
const denyAll = {
  apiVersion: v3,
  kind: 'GlobalNetworkPolicy',
  metadata: { name: 'deny-all' },
  spec: {
    selector: 'has(projectcalico.org/created-by)',
    types: ['Ingress', 'Egress'],
    ingress: [{ action: 'Deny' }],
    egress: [{ action: 'Deny' }],
  },
};
const becomes = async (what: string, is: () => Promise<boolean>, timeoutMs = 120_000): Promise<void> =>
  assert.ok(await until(async () => ((await is()) ? true : undefined), { timeoutMs, everyMs: 250 }), what);
/** From a worker to the API server, as its agent goes. */
const reaches = async (): Promise<boolean> => {
  const { code } = await lab.exec(
    'worker1',
    'timeout',
    '3',
    'bash',
    '-c',
    `exec 3<>/dev/tcp/${apiServer}/6443`,
  );
  return code === 0;
};
let apiServer = '';
const exists = async (): Promise<boolean> =>
  (await kubectl(['get', 'globalnetworkpolicies.projectcalico.org', 'deny-all'])).code === 0;

test('RS-143, RS-144, FX-154: a policy that closes all hosts is announced as on trial, and nodes take it back alone', {
  skip,
  timeout: 180_000,
}, async () => {
  const slice = await kubectl([
    'get',
    'endpoints',
    'kubernetes',
    '-o',
    'jsonpath={.subsets[0].addresses[0].ip}',
  ]);
  apiServer = slice.out.trim();
  assert.match(apiServer, /^[0-9.]+$/, slice.err);
  await becomes('the worker reaches the API server', reaches);
  const none = { failsafeInboundHostPorts: [], failsafeOutboundHostPorts: [] };
  const emptied = await kubectl([
    'patch',
    'felixconfigurations.projectcalico.org',
    'default',
    '--type=merge',
    '-p',
    JSON.stringify({ spec: none }),
  ]);
  assert.equal(emptied.code, 0, emptied.err);
  assert.doesNotMatch(emptied.err, /Warning/, 'there is no host endpoint yet');
  await apply({
    apiVersion: v3,
    kind: 'KubeControllersConfiguration',
    metadata: { name: 'default' },
    spec: { controllers: { node: { hostEndpoint: { autoCreate: 'Enabled' } } } },
  });
  await becomes('host endpoints of all nodes', async () => {
    const { out } = await kubectl(['get', 'hostendpoints.projectcalico.org', '-o', 'name']);
    return (
      out
        .trim()
        .split('\n')
        .filter((name) => name.endsWith('-auto-hep')).length === 2
    );
  });
  await becomes('the worker reaches the API server', reaches);

  const { err } = await apply(denyAll);
  assert.match(err, /Warning: this change would cut node worker1 from the API server at /);
  assert.match(err, /in 15 s, .*margay policy confirm deny-all/);
  await becomes('the worker is cut off', async () => !(await reaches()));
  await becomes('it goes back by itself', reaches);
  await becomes('the policy is taken out of the datastore', async () => !(await exists()));
  const events = await kubectl(['get', 'events', '-o', 'jsonpath={.items[*].reason}']);
  assert.match(events.out, /OnTrial/);
  await becomes('an event tells of its end', async () =>
    /TrialOver/.test((await kubectl(['get', 'events', '-o', 'jsonpath={.items[*].reason}'])).out),
  );
  await becomes('all nodes are ready', async () => {
    const { out } = await kubectl(['get', 'nodes', '--no-headers']);
    return out
      .trim()
      .split('\n')
      .every((line) => /\sReady\s/.test(line));
  });
});

test('RS-143: confirmed in time it stays, and so does a deletion that opens again', {
  skip,
  timeout: 180_000,
}, async () => {
  const text = JSON.stringify(denyAll);
  const env = { ...process.env, KUBECONFIG: lab.kubeconfig };
  // Whoever comes too late, as one may on a busy machine, begins again.
  await becomes('the policy is confirmed in time', async () => {
    const applied = await margay(['apply', '-f', '-'], env, text);
    assert.equal(applied.code, 0, applied.err);
    assert.match(applied.err, /Warning: this change would cut node worker1/);
    const { code, out } = await margay(['policy', 'confirm', 'deny-all'], env);
    return code === 0 && out.includes('GlobalNetworkPolicy deny-all is kept');
  });
  await becomes('the worker is cut off', async () => !(await reaches()));
  await new Promise((resolve) => setTimeout(resolve, (trialSeconds + 3) * 1000));
  assert.equal(await reaches(), false, 'it stays');
  assert.equal(await exists(), true);
  const opened = await kubectl(['delete', 'globalnetworkpolicies.projectcalico.org', 'deny-all']);
  assert.equal(opened.code, 0, opened.err);
  assert.doesNotMatch(opened.err, /Warning/);
});
