// Encryption on a running lab of two racks and both families, switched on under pings, kept through restarts and policy, and
// switched off again. What is on the wire is looked at where a node is plugged in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '../support/lab-router.ts';
import { TestLab, type TestPod, without } from '../support/lab.ts';

const skip = without('kubectl', 'tcpdump', 'ip', 'ping', 'wireguard-go', 'wg');
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('wireguard', ['--topology', 'two-racks', '--dual-stack']);
  pods = await lab.deploy(4);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const nodes = ['master1', 'worker1', 'worker2', 'worker3'] as const;
const on = (node: string): TestPod => {
  const pod = pods.find((p) => p.node === node);
  assert.ok(pod !== undefined, `no pod on ${node}`);
  return pod;
};
const configure = async (spec: object): Promise<void> => {
  const body = JSON.stringify({ spec });
  const { code, err } = await lab.kubectl(
    'patch',
    'felixconfigurations.projectcalico.org',
    'default',
    '--type=merge',
    '-p',
    body,
  );
  assert.equal(code, 0, err);
};

/** Every pod reaches every other one, in both families. */
async function matrix(): Promise<void> {
  const addresses = pods.flatMap((pod) => pod.addresses);
  const script = addresses
    .map((a) => `ping -n -c1 -W1 ${a} >/dev/null && echo reached || echo ${a}`)
    .join('\n');
  await eventually(
    'everybody reaches everybody',
    async () => {
      const missing: string[] = [];
      for (const from of pods)
        for (const word of (await lab.inPod(from, script)).split('\n'))
          if (word !== '' && word !== 'reached') missing.push(`${from.node} → ${word}`);
      return missing;
    },
    (missing) => missing.length === 0,
    60_000,
  );
}

/** All that worker1 sends and gets by its wire while its pod pings all others, but for what nodes say to one another. */
async function wire(): Promise<string> {
  const from = on('worker1');
  const pings = pods
    .filter((pod) => pod !== from)
    .flatMap((pod) => pod.addresses)
    .map((a) => `nsenter --net=${from.netns} -- ping -n -c 2 -i 0.2 -W 2 ${a} >/dev/null || true`)
    .join('\n');
  return lab.sh(
    'worker1',
    `tcpdump -Z root --immediate-mode -nlvi eth0 'udp or icmp or icmp6' >/tmp/wire 2>/tmp/wire.err & capture=$!
     for i in $(seq 100); do grep -q listening /tmp/wire.err && break; sleep 0.1; done
     ${pings}
     sleep 0.5; kill $capture; wait $capture || true; cat /tmp/wire; rm -f /tmp/wire /tmp/wire.err`,
  );
}

test('SR-015: without asking traffic is clear text', { skip }, async () => {
  await matrix();
  const seen = await wire();
  assert.match(seen, new RegExp(`${on('worker1').address} > ${on('worker3').address}: ICMP echo request`));
  assert.doesNotMatch(seen, /5182[01]/);
});

test('FX-092 OT-080 FX-161: switched on under a ping, both families, nothing of pods is left in clear text', {
  skip,
}, async () => {
  const from = on('worker1');
  const running = [on('worker2'), on('worker3')].map((to) =>
    lab.inPod(from, `ping -n -q -i 0.01 -c 800 -W 1 ${to.address} || true`),
  );
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await configure({ wireguardEnabled: true, wireguardEnabledV6: true });
  for (const text of await Promise.all(running)) {
    const [, sent = '', received = ''] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
    const lost = Number(sent) - Number(received);
    console.log(`lost of 800 pings while encryption was switched on: ${lost}`);
    assert.ok(lost <= 400, text);
  }
  await eventually(
    'each node has a tunnel to each other one',
    async () => {
      let text = '';
      for (const node of nodes)
        text += await lab.sh(node, 'ip route show table 1; ip -6 route show table 2; ip rule; ip -6 rule');
      return text;
    },
    (text) =>
      (text.match(/\/26 dev wireguard\.cali proto 80 scope link/g) ?? []).length === 12 &&
      (text.match(/\/122 dev wg-v6\.cali proto 80/g) ?? []).length === 12 &&
      (text.match(/99:\s+not from all fwmark 0x200000\/0x200000 lookup [12]/g) ?? []).length === 8,
    60_000,
  );
  await matrix();
  const seen = await wire();
  assert.match(seen, /10\.0\.0\.21\.51820 > 30\.0\.0\.23\.51820: UDP/);
  assert.match(seen, /30\.0\.0\.23\.51820 > 10\.0\.0\.21\.51820: UDP/);
  assert.match(seen, /\.51821 > \S+\.51821: .*UDP/);
  for (const address of pods.flatMap((pod) => pod.addresses))
    assert.ok(!seen.includes(address), `${address} is seen on the wire:\n${seen}`);
  const told = ['WireguardPublicKey', 'WireguardPublicKeyV6', 'IPv4WireguardInterfaceAddr'];
  await eventually(
    'keys and addresses stand on the nodes',
    async () => (await lab.kubectl('get', 'nodes', '-o', 'yaml')).out,
    (text) =>
      told.every((what) => text.match(new RegExp(`projectcalico.org/${what}: \\S+`, 'g'))?.length === 4),
    60_000,
  );
});

test('FX-093 OT-080: hosts reach pods; big packets pass; new pods get the MTU that is left', {
  skip,
}, async () => {
  const to = on('worker3');
  await eventually(
    'the node reaches a pod elsewhere',
    () => lab.sh('worker1', `ping -n -c 1 -W 2 ${to.address} || true`),
    (text) => text.includes('1 received'),
  );
  for (const address of to.addresses)
    await lab.inPod(
      on('worker1'),
      `ping -n -c 2 -W 2 -M do -s ${address.includes(':') ? 1352 : 1400} ${address}`,
    );
  const mtus = await lab.sh('worker1', 'cat /var/lib/calico/mtu; ip -br link show wireguard.cali; ip link');
  // 1500 less 80 for IPv6 in WireGuard, the larger of the two.
  assert.match(mtus, /^1420/);
  assert.match(mtus, /wireguard\.cali: .*mtu 1440/);
  assert.match(mtus, /wg-v6\.cali: .*mtu 1420/);
});

test('OT-080: the agent restarts: tunnels stay as they are, with their keys', { skip }, async () => {
  const key = await lab.sh('worker1', 'wg show wireguard.cali public-key');
  const from = on('worker1');
  const ping = lab.inPod(from, `ping -n -q -i 0.01 -c 600 -W 1 ${on('worker3').address} || true`);
  const agent = async () =>
    (await lab.status()).processes.find((p) => p.machine === 'worker1' && p.name === 'agent');
  const pid = (await agent())?.pid;
  assert.ok(pid !== undefined);
  await lab.sh('worker1', `kill -9 ${pid}`);
  await eventually(
    'the agent runs again',
    agent,
    (process) => process?.running === true && process.restarts > 0,
  );
  const [, sent = '', received = ''] = /(\d+) packets transmitted, (\d+) received/.exec(await ping) ?? [];
  assert.ok(Number(sent) - Number(received) <= 30, `${sent} sent, ${received} received`);
  assert.equal(await lab.sh('worker1', 'wg show wireguard.cali public-key'), key);
  await matrix();
});

test('FX-044 OT-080: policy sees packets as they were before; a host that denies UDP does not cut its tunnels', {
  skip,
}, async () => {
  const denyUdp = [{ action: 'Deny', protocol: 'UDP' }, { action: 'Allow' }];
  await lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'no-udp' },
    spec: { selector: 'role == "host"', types: ['Ingress', 'Egress'], ingress: denyUdp, egress: denyUdp },
  });
  await lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'HostEndpoint',
    metadata: { name: 'worker1', labels: { role: 'host' } },
    spec: { node: 'worker1', interfaceName: 'eth0' },
  });
  const [target, near, far] = [on('worker1'), on('worker2'), on('worker3')];
  await lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'only-one' },
    spec: {
      selector: 'app == "web"',
      types: ['Ingress'],
      ingress: [{ action: 'Allow', source: { nets: [`${far.address}/32`] } }],
    },
  });
  const reaches = (from: TestPod): Promise<string> =>
    lab.inPod(from, `ping -n -c 1 -W 1 ${target.address} || true`);
  await eventually(
    'one is denied',
    () => reaches(near),
    (text) => text.includes('0 received'),
  );
  await eventually(
    'the other reaches it',
    () => reaches(far),
    (text) => text.includes('1 received'),
  );
  for (const [kind, name] of [
    ['globalnetworkpolicies.projectcalico.org', 'only-one'],
    ['hostendpoints.projectcalico.org', 'worker1'],
    ['globalnetworkpolicies.projectcalico.org', 'no-udp'],
  ] as const)
    assert.equal((await lab.kubectl('delete', kind, name)).code, 0);
});

test('OT-080 FX-092: switched off: clear text, and nothing is left', { skip }, async () => {
  await configure({ wireguardEnabled: false, wireguardEnabledV6: false });
  await eventually(
    'nothing is left',
    async () => {
      let text = (await lab.kubectl('get', 'nodes', '-o', 'yaml')).out.match(/Wireguard\w+/g)?.join() ?? '';
      text += (await lab.kubectl('get', 'ipamhandles.projectcalico.org', '-o', 'name')).out
        .match(/wireguard\S*/g)
        ?.join();
      for (const node of nodes)
        text += await lab.sh(
          node,
          'ip -br link; ip rule; ip -6 rule; ip route show table 1; ip -6 route show table 2; ls /run/wireguard',
        );
      return text;
    },
    (text) => !/[Ww]ireguard\w*|wg-v6|fwmark|dev /.test(text.replaceAll('undefined', '')),
    60_000,
  );
  await matrix();
  const seen = await wire();
  assert.match(seen, new RegExp(`${on('worker1').address} > ${on('worker3').address}: ICMP echo request`));
  assert.doesNotMatch(seen, /5182[01]/);
});
