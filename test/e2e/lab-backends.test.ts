// CALICO_NETWORKING_BACKEND vxlan and none: clusters without BGP. In one Felix owns all routes, in the other another network
// has pods and routes, and Calico does policy only.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../support/lab-router.ts';
import { margay, TestLab, type TestPod, without } from '../support/lab.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const conditionOf = async (lab: TestLab, node: string): Promise<string> => {
  const path = '{.status.conditions[?(@.type=="NetworkUnavailable")].status}';
  return (await lab.kubectl('get', 'node', node, '-o', `jsonpath=${path}`)).out;
};
const speakers = async (lab: TestLab): Promise<number> =>
  (await lab.status()).processes.filter((p) => p.name === 'speaker').length;

describe('backend vxlan', () => {
  const skip = without('kubectl', 'ip', 'ping', 'ss');
  let lab: TestLab;
  let pods: readonly TestPod[] = [];
  before(async () => {
    if (skip !== false) return;
    lab = await TestLab.up('novxbgp', ['--topology', 'two-racks', '--backend', 'vxlan']);
    pods = await lab.deploy(4);
  });
  after(async () => {
    if (lab !== undefined) await lab.down();
  });
  const routesOf = (node: string): Promise<string> => lab.sh(node, 'ip route');
  const patch = async (kind: string, name: string, spec: object): Promise<void> => {
    const body = JSON.stringify({ spec });
    const { code, err } = await lab.kubectl('patch', kind, name, '--type=merge', '-p', body);
    assert.equal(code, 0, err);
  };

  test('SR-110, SR-227, BG-006: no speaker runs, Felix owns the routes to all blocks, every pod reaches every pod', {
    skip,
  }, async () => {
    await matrixIsComplete(lab, pods, { mode: 'vxlan' });
    assert.equal(await speakers(lab), 0);
    for (const node of ['worker1', 'worker3']) {
      const routes = await routesOf(node);
      assert.equal(routes.match(/^192\.168\.\S+\/26 via \S+ dev vxlan\.calico onlink/gm)?.length, 3, routes);
      assert.match(routes, /^blackhole 192\.168\.\S+\/26 proto 80/m);
      assert.doesNotMatch(routes, /proto bird/);
      assert.doesNotMatch(await lab.sh(node, 'ss -Hltn'), /:179\b/);
    }
  });

  test('SR-112, BG-081: probes leave out the questions about BIRD, which nobody could answer; the network is available without a speaker', {
    skip,
  }, async () => {
    const health = (...flags: string[]) =>
      lab.exec('worker1', 'margay', 'component', 'node', 'health', ...flags);
    await eventually(
      'Felix is well',
      () => health('--felix-live', '--felix-ready'),
      ({ code, out, err }) => code === 0 && out === '' && err === '',
    );
    const asked = await health('--felix-ready', '--bird-ready');
    assert.equal(asked.code, 1);
    assert.match(asked.err, /BIRD is not ready/);
    assert.equal(
      await eventually(
        'the condition',
        () => conditionOf(lab, 'worker1'),
        (text) => text !== '',
      ),
      'False',
    );
    const down = await lab.exec(
      'worker1',
      'margay',
      'component',
      'node',
      'shutdown',
      '--nodename',
      'worker1',
    );
    assert.equal(down.code, 0, down.err);
    assert.equal(await conditionOf(lab, 'worker1'), 'True');
  });

  test('SR-102: a node whose agent runs, or that has pods, is not uninstalled', { skip }, async () => {
    const uninstall = (...flags: string[]) =>
      lab.exec('worker1', 'margay', 'component', 'node', 'uninstall', ...flags);
    assert.match((await uninstall()).err, /An agent runs on this node/);
    const attached = await uninstall('--agent-socket', '/run/nobody');
    assert.equal(attached.code, 1);
    assert.match(attached.err, /pods are still attached.*Drain the node/);
  });

  test('SR-101: IPIP needs no BGP where Felix writes its routes; without encapsulation nobody would, until Felix is told to', {
    skip,
  }, async () => {
    const mode = (name: string) => margay(['lab', 'mode', '--name', lab.name, name]);
    assert.equal((await mode('ipip')).code, 0);
    await matrixIsComplete(lab, pods, { mode: 'ipip' });
    assert.match((await mode('bgp')).err, /needs BGP/);
    await patch('ippools.projectcalico.org', 'default-ipv4-ippool', { ipipMode: 'Never' });
    await eventually(
      'no route to other nodes',
      () => routesOf('worker1'),
      (routes) => !/^192\.168\.\S+\/26 via/m.test(routes),
    );
    await eventually(
      'an event says so',
      async () => (await lab.kubectl('describe', 'node', 'worker1')).out,
      (text) => /Warning +ClusterRoutes .*no encapsulation are written by nobody/.test(text),
    );
    await patch('felixconfigurations.projectcalico.org', 'default', { programClusterRoutes: 'Enabled' });
    await eventually(
      'routes by Felix',
      () => routesOf('worker1'),
      (routes) =>
        (routes.match(/^192\.168\.\S+\/26 via 10\.0\.0\.\d+ dev eth0 proto 80/gm)?.length ?? 0) === 2,
    );
  });
});

describe('backend none', () => {
  const skip = without('kubectl', 'ip', 'ping', 'curl', '/usr/lib/cni/host-local');
  let lab: TestLab;
  let pods: readonly TestPod[] = [];
  before(async () => {
    if (skip !== false) return;
    lab = await TestLab.up('policyonly', ['--topology', 'two-racks', '--backend', 'none', '--dual-stack']);
    pods = await lab.deploy(4);
  });
  after(async () => {
    if (lab !== undefined) await lab.down();
  });

  test('SR-227, SR-232: addresses and routes are another network’s and stay as they are; every pod reaches every pod, in both families', {
    skip,
  }, async () => {
    const { out } = await lab.kubectl(
      'get',
      'nodes',
      '-o',
      'jsonpath={range .items[*]}{.metadata.name} {.spec.podCIDR}{"\\n"}{end}',
    );
    const ranges = new Map(
      out
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    );
    for (const { node, address } of pods)
      assert.equal(address.replace(/\.\d+$/, '.0/24'), ranges.get(node), `${node} ${address}`);
    assert.ok(pods.every((pod) => pod.addresses.some((a) => a.startsWith('fd00:10:244:'))));
    await matrixIsComplete(lab, pods);
    assert.equal(await speakers(lab), 0);
    assert.equal((await lab.kubectl('get', 'ippools.projectcalico.org', '-o', 'name')).out, '');
    assert.equal(await conditionOf(lab, 'worker1'), '');
    const routes = await lab.sh('worker1', 'ip route; ip -br link');
    assert.match(routes, /^10\.244\.0\.0\/24 via 10\.0\.0\.11 dev eth0 proto static/m);
    assert.doesNotMatch(routes, /blackhole|proto 80|proto bird|tunl0|vxlan/);
  });

  test('SR-232: policy is enforced on the pods of the other network, on the node and across racks', {
    skip,
  }, async () => {
    const [client, ...others] = [...pods].reverse();
    assert.ok(client !== undefined);
    await lab.kubectl('label', 'pod', client.name, 'role=client');
    await lab.apply({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'clients', namespace: 'default' },
      spec: {
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { role: 'client' } } }] }],
      },
    });
    const wrong = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const from of [client, others[0]]) {
        assert.ok(from !== undefined);
        for (const to of others.filter((pod) => pod !== from)) {
          const ask = `curl -s -o /dev/null -m 2 http://${to.address}/ && echo open || echo shut`;
          const seen = (await lab.inPod(from, ask)).trim();
          if (seen !== (from === client ? 'open' : 'shut')) found.push(`${from.node} → ${to.node}: ${seen}`);
        }
      }
      return found;
    };
    await eventually('the policy is in force', wrong, (list) => list.length === 0);
    await lab.kubectl('delete', 'networkpolicy', 'clients');
    await matrixIsComplete(lab, pods);
  });
});
