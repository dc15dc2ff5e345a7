// The seeds' topology with everything real: nodes, leaves and spine in namespaces, agents, speakers, the plugin, kubectl.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { eventually } from '../support/lab-router.ts';
import { footprint, TestLab, type TestPod, without, podOn } from '../support/lab.ts';

const skip = without('kubectl', 'tcpdump', 'ip', 'ping', 'ethtool');
let lab: TestLab;
let pods: readonly TestPod[] = [];
let clean: ReturnType<typeof footprint>;

before(async () => {
  if (skip !== false) return;
  clean = footprint();
  lab = await TestLab.up('racks', ['--topology', 'two-racks']);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const on = (node: string, i = 0): TestPod => podOn(pods, node, i);
const ttl = async (from: TestPod, to: TestPod): Promise<number> =>
  Number(/ttl=(\d+)/.exec(await lab.inPod(from, `ping -n -c1 -W2 ${to.address}`))?.[1]);

test('kubectl: nodes, a deployment, pods on every node', { skip }, async () => {
  const nodes = await lab.kubectl('get', 'nodes', '-o', 'wide');
  for (const name of ['master1', 'worker1', 'worker2', 'worker3'])
    assert.match(nodes.out, new RegExp(`^${name} +Ready +`, 'm'), nodes.out + nodes.err);
  assert.match(nodes.out, /30\.0\.0\.23/);
  const created = await lab.kubectl(
    'create',
    'deployment',
    'myapp',
    '--image=ikubernetes/demoapp:v1.0',
    '--replicas=8',
  );
  assert.equal(created.code, 0, created.err);
  pods = await lab.pods('app=myapp', 8);
  assert.deepEqual([...new Set(pods.map((p) => p.node))].sort(), [
    'master1',
    'worker1',
    'worker2',
    'worker3',
  ]);
  const rollout = await lab.kubectl('rollout', 'status', 'deployment/myapp', '--timeout=120s');
  assert.match(rollout.out, /successfully rolled out/, rollout.err);
  const wide = await lab.kubectl('get', 'nodes,pods', '-A', '-o', 'wide');
  for (const pod of pods)
    assert.match(wide.out, new RegExp(`${pod.name} .*Running .*${pod.address} +${pod.node}`));
});

test('SR-210: kubectl: the pool as YAML', { skip }, async () => {
  const { out, err } = await lab.kubectl('get', 'ippools', '-o', 'yaml');
  assert.match(out, /kind: IPPool[\s\S]*name: default-ipv4-ippool[\s\S]*cidr: 192\.168\.0\.0\/16/, err);
});

test('SR-061: TTL 63 on one node, 62 across nodes, 59 across racks', { skip }, async () => {
  assert.equal(await ttl(on('worker1'), on('worker1', 1)), 63);
  const seen = await until(
    async () => {
      const [near, far] = [await ttl(on('worker1'), on('worker2')), await ttl(on('worker1'), on('worker3'))];
      return near === 62 && far === 59 ? true : undefined;
    },
    { timeoutMs: 120_000, everyMs: 100 },
  );
  assert.equal(seen, true);
});

test('SR-163, SR-231: HTTP between pods shows the client its own address', { skip }, async () => {
  const [from, to] = [on('worker2'), on('worker3')];
  const answer = await lab.inPod(from, `curl -s -m 30 http://${to.address}/`);
  assert.equal(
    answer,
    `kubernetes pod-test v0.1!! ClientIP: ${from.address}, ServerName: ${to.name}, ServerIP: ${to.address}!\n`,
  );
});

test('SR-050…SR-057, SR-059, SR-060, SR-062: the pod’s link, address, routes, neighbours', {
  skip,
}, async () => {
  const pod = on('worker1');
  const link = await lab.inPod(pod, 'ip -o addr show eth0; ip route; ethtool -S eth0');
  assert.match(link, new RegExp(`inet ${pod.address}/32 `));
  assert.match(link, /^default via 169\.254\.1\.1 dev eth0 *$/m);
  assert.match(link, /^169\.254\.1\.1 dev eth0 scope link *$/m);
  const routes = link.split('\n').filter((l) => /dev eth0/.test(l) && !/inet/.test(l));
  assert.equal(routes.length, 2, link);
  await lab.inPod(pod, `ping -n -c1 -W2 ${on('worker2').address}`);
  // The host has learned the pod's MAC from its request; it must ask itself for the pod to learn the host (SR-064).
  await lab.sh('worker1', `ip neigh flush to ${pod.address}; ping -n -c1 -W2 ${pod.address}`);
  const neighbours = await lab.inPod(pod, 'ip neigh show dev eth0');
  assert.match(neighbours, /169\.254\.1\.1 lladdr ee:ee:ee:ee:ee:ee/);
  assert.match(neighbours, /10\.0\.0\.21 lladdr ee:ee:ee:ee:ee:ee/);
  const route = await lab.sh('worker1', `ip route show ${pod.address}`);
  const host = /dev (cali[0-9a-f]{11}) scope link/.exec(route)?.[1];
  assert.ok(host !== undefined, route);
  assert.match(await lab.sh('worker1', `ip -o link show ${host}`), /link\/ether ee:ee:ee:ee:ee:ee/);
  assert.equal((await lab.sh('worker1', `cat /proc/sys/net/ipv4/conf/${host}/proxy_arp`)).trim(), '1');
  assert.equal((await lab.sh('worker1', 'cat /proc/sys/net/ipv4/ip_forward')).trim(), '1');
  const index = (await lab.sh('worker1', `cat /sys/class/net/${host}/ifindex`)).trim();
  assert.match(link, new RegExp(`peer_ifindex: ${index}`));
  // SR-054: nobody has the gateway's address.
  assert.doesNotMatch(await lab.sh('worker1', 'ip -o addr'), /169\.254\.1\.1/);
});

test('SR-012, SR-081, SR-133, NM-005: one route per remote block by BGP, a black hole for the own one', {
  skip,
}, async () => {
  const isRemote = (line: string): boolean => /proto bird/.test(line) && !line.startsWith('blackhole');
  const routes = await eventually(
    'a route to each other node’s block',
    () => lab.sh('worker1', 'ip route'),
    (text) => text.split('\n').filter(isRemote).length === 3,
  );
  const remote = routes.split('\n').filter(isRemote);
  assert.ok(
    remote.every((l) => /^192\.168\.\d+\.\d+\/26 via /.test(l)),
    routes,
  );
  assert.match(routes, /^blackhole 192\.168\.\d+\.\d+\/26 proto bird/m);
});

test('SR-003: on the wire between nodes one IP header, node MACs outside, pod addresses inside', {
  skip,
}, async () => {
  const [from, to] = [on('worker1'), on('worker2')];
  const capture = await lab.capture(
    'worker1',
    { device: 'eth0', filter: `icmp and host ${from.address}`, flags: '-e', end: 2 },
    `nsenter --net=${from.netns} -- ping -n -c1 -W2 ${to.address}`,
  );
  assert.match(
    capture,
    new RegExp(
      `02:00:0a:00:00:15 > 02:00:0a:00:00:16, ethertype IPv4 .*: ${from.address} > ${to.address}: ICMP echo request`,
    ),
  );
  assert.doesNotMatch(capture, /ipip|VXLAN/i);
});

test('SR-063: the pod asks for 169.254.1.1, ee:ee:… answers, frames go there', { skip }, async () => {
  const [from, to] = [on('worker1'), on('worker2')];
  const route = await lab.sh('worker1', `ip route show ${from.address}`);
  const host = /dev (cali\w+)/.exec(route)?.[1] ?? '';
  const capture = await lab.capture(
    'worker1',
    { device: host, filter: 'arp or icmp', flags: '-e', end: 'echo reply' },
    `nsenter --net=${from.netns} -- sh -c 'ip neigh flush dev eth0; ping -n -c1 -W2 ${to.address}'`,
  );
  assert.match(capture, /Request who-has 169\.254\.1\.1 tell/);
  assert.match(capture, /ee:ee:ee:ee:ee:ee > .*Reply 169\.254\.1\.1 is-at ee:ee:ee:ee:ee:ee/);
  assert.match(
    capture,
    new RegExp(`> ee:ee:ee:ee:ee:ee, ethertype IPv4 .*${from.address} > ${to.address}: ICMP`),
  );
});

/** Pings all the while `disturb` runs; gives how many of how many were lost. */
async function lossWhile(from: TestPod, to: TestPod, disturb: () => Promise<void>): Promise<string> {
  const pinging = lab.exec(
    from.node,
    'nsenter',
    `--net=${from.netns}`,
    '--',
    'ping',
    '-n',
    '-i',
    '0.05',
    '-c',
    '100',
    '-W',
    '2',
    to.address,
  );
  await disturb();
  const { out, err } = await pinging;
  return /(\d+ packets transmitted, \d+ received.*?packet loss)/.exec(out)?.[1] ?? out + err;
}
const kill = async (machine: string, name: string): Promise<void> => {
  const process = (await lab.status()).processes.find((p) => p.machine === machine && p.name === name);
  await lab.sh(machine, `kill -9 ${process?.pid}`);
};
const backAgain = async (machine: string, name: string): Promise<void> => {
  const back = await until(
    async () => {
      const found = (await lab.status()).processes.find((p) => p.machine === machine && p.name === name);
      return found?.running === true && found.restarts > 0 ? found : undefined;
    },
    { timeoutMs: 120_000, everyMs: 100 },
  );
  assert.match(back?.lastEnd ?? '', /SIGKILL/);
};

for (const name of ['agent', 'speaker', 'runner']) {
  test(`BG-082: kill -9 of the ${name} on both nodes loses no packet of pods`, { skip }, async () => {
    const loss = await lossWhile(on('worker1'), on('worker3'), async () => {
      await kill('worker1', name);
      await kill('worker3', name);
      await backAgain('worker1', name);
      await backAgain('worker3', name);
    });
    assert.match(loss, /^100 packets transmitted, 100 received/);
  });
}

test('FX-009: the API server killed: forwarding goes on, then everything resumes', { skip }, async () => {
  const loss = await lossWhile(on('worker1'), on('worker2'), async () => {
    await kill('master1', 'apiserver');
    await backAgain('master1', 'apiserver');
  });
  assert.match(loss, /^100 packets transmitted, 100 received/);
  const scaled = await lab.kubectl('scale', 'deployment/myapp', '--replicas=4');
  assert.equal(scaled.code, 0, scaled.err);
  pods = await lab.pods('app=myapp', 4);
  assert.equal((await lab.kubectl('scale', 'deployment/myapp', '--replicas=9')).code, 0);
  pods = await lab.pods('app=myapp', 9);
  for (const pod of pods) await lab.inPod(on('worker1'), `ping -n -c1 -W5 ${pod.address}`);
});

test('deleted pods leave no link, route, namespace or process', { skip }, async () => {
  assert.equal((await lab.kubectl('delete', 'deployment/myapp')).code, 0);
  assert.equal((await lab.kubectl('delete', '-n', 'kube-system', 'deployment/coredns')).code, 0);
  const gone = await until(
    async () => {
      const { out } = await lab.kubectl('get', 'pods', '-A', '-o', 'name');
      if (out.trim() !== '') return undefined;
      for (const node of ['master1', 'worker1', 'worker2', 'worker3']) {
        const left = await lab.sh(
          node,
          'ip -o link show type veth | grep -c cali || true; ls /run/netns; ip route | grep cali || true',
        );
        if (left.trim() !== '0') return undefined;
      }
      return true;
    },
    { timeoutMs: 120_000, everyMs: 100 },
  );
  assert.equal(gone, true);
});

test('down leaves nothing behind', { skip }, async () => {
  const down = await lab.down();
  assert.equal(down.code, 0, down.err);
  assert.deepEqual(footprint(), clean);
});
