// The lab's commands on a small flat lab with both families, and what they say when something is wrong.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { eventually } from '../support/lab-router.ts';
import { footprint, margay, TestLab, without } from '../support/lab.ts';

const skip = without('ip', 'ping', 'unshare', 'kubectl');
let lab: TestLab;
let clean: ReturnType<typeof footprint>;
before(async () => {
  if (skip !== false) return;
  clean = footprint();
  lab = await TestLab.up('small', ['--topology', 'flat', '--nodes', '2', '--dual-stack']);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

test('BG-023, CN-011: both families between pods of two nodes', { skip }, async () => {
  assert.equal((await lab.kubectl('create', 'deployment', 'web', '--image=demoapp', '--replicas=2')).code, 0);
  const [a, b] = await lab.pods('app=web', 2);
  assert.ok(a !== undefined && b !== undefined && a.node !== b.node);
  assert.equal(a.addresses.length, 2, JSON.stringify(a));
  for (const address of b.addresses)
    await eventually(
      `a ping to ${address}`,
      () => lab.inPod(a, `ping -n -c1 -W1 ${address} || true`),
      (text) => text.includes('ttl=62'),
    );
  assert.match(await lab.inPod(a, 'ip -6 route'), /^default via fe80::/m);
  assert.match((await lab.exec(`pod/${a.name}`, 'ip', 'addr', 'show', 'eth0')).out, new RegExp(a.address));
});

test('exec: output, exit code, own host name and files', { skip }, async () => {
  const { code, out } = await margay([
    'lab',
    'exec',
    '--name',
    lab.name,
    'worker1',
    '--',
    'sh',
    '-c',
    'hostname; ls /etc/cni/net.d; cat /var/lib/calico/nodename; exit 7',
  ]);
  assert.equal(code, 7);
  assert.deepEqual(out.trim().split('\n'), ['worker1', '10-calico.conflist', 'worker1']);
  const inside = await lab.exec('worker1', 'kubectl', 'get', 'nodes', '-o', 'name');
  assert.match(inside.out, /node\/master1\nnode\/worker1/, inside.err);
});

const pod = (name: string, spec: object): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { sort: name } },
  spec: { nodeName: 'worker1', ...spec },
});
const container = { name: 'c', image: 'demoapp' };

test('pods of every sort: own host name, host network, a daemon set, what cannot run', {
  skip,
}, async () => {
  await lab.apply(pod('own', { hostNetwork: true, containers: [{ ...container, args: ['8088'] }] }));
  await lab.apply(pod('odd', { containers: [{ ...container, command: ['nmap'] }] }));
  await lab.apply({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'ds' },
    spec: {
      selector: { matchLabels: { app: 'ds' } },
      template: {
        metadata: { labels: { app: 'ds' } },
        spec: { containers: [{ name: 'c', image: 'busybox' }] },
      },
    },
  });
  const daemons = await lab.pods('app=ds', 2);
  assert.deepEqual(
    daemons.map((p) => p.node),
    ['master1', 'worker1'],
  );
  const [own] = await lab.pods('sort=own', 1);
  assert.equal(own?.address, '10.0.0.12');
  assert.match(await lab.sh('master1', 'curl -s -m 30 http://10.0.0.12:8088/'), /ServerName: worker1, /);
  await eventually(
    'the odd pod says why',
    async () => (await lab.kubectl('describe', 'pod', 'odd')).out,
    (text) => /CreateContainerError[\s\S]*Warning +Failed .*no program "nmap"/.test(text),
  );
  assert.equal((await lab.kubectl('delete', 'ds/ds', 'pod/own', 'pod/odd', '--timeout=120s')).code, 0);
});

test('CN-014: a port of the host leads to the pod, by the portmap plugin of the chain', {
  skip:
    skip ||
    without('iptables') ||
    (existsSync('/usr/lib/cni/portmap') ? false : 'missing: /usr/lib/cni/portmap'),
}, async () => {
  await lab.apply(
    pod('port', { containers: [{ ...container, ports: [{ containerPort: 80, hostPort: 8099 }] }] }),
  );
  await lab.pods('sort=port', 1);
  assert.match(await lab.sh('master1', 'curl -s -m 30 http://10.0.0.12:8099/'), /ServerName: port, /);
});

test('shell: a prompt on the node with kubectl and the other machines in reach', { skip }, async () => {
  const { code, out } = await margay(
    ['lab', 'shell', '--name', 'small', 'worker1'],
    process.env,
    'hostname\nkubectl get nodes -o name\non master1 hostname\nexit 5\n',
  );
  assert.equal(code, 5);
  assert.match(out, /You are on worker1[\s\S]*\nworker1\nnode\/master1\nnode\/worker1\nmaster1\n/);
});

test('SR-229: what another network plugin left behind is told by checksystem, with the way out', {
  skip,
}, async () => {
  const stale = (await lab.blockOf('worker1')).replace('/26', '/27');
  const check = async (): Promise<readonly string[]> => {
    const { out } = await lab.exec('worker1', 'calicoctl', 'node', 'checksystem');
    return out.split('\n').filter((line) => /flannel|cni0|comes before/.test(line));
  };
  assert.deepEqual(await check(), []);
  await lab.sh(
    'worker1',
    `echo '{"name":"cbr0","plugins":[{"type":"flannel"},{"type":"portmap"}]}' >/etc/cni/net.d/05-flannel.conflist
    ip link add flannel.1 type vxlan id 1 dev eth0 dstport 8472; ip link add cni0 type bridge; ip route add ${stale} via 10.0.0.11`,
  );
  const found = await check();
  const ways = [
    'rm /etc/cni/net.d/05-flannel.conflist',
    'ip link delete flannel.1',
    'ip link delete cni0',
    `ip route delete ${stale} via 10.0.0.11`,
  ];
  assert.deepEqual(
    found.map((line) => line.split(': ').at(-1)),
    ways,
    found.join('\n'),
  );
  assert.match(found[0] ?? '', /the runtime takes before Calico/);
  await lab.sh('worker1', ways.join(' && '));
  assert.deepEqual(await check(), []);
});

test('no way out: no route and no link leads out of the lab', { skip }, async () => {
  assert.notEqual((await lab.exec('worker1', 'ping', '-n', '-c1', '-W1', '8.8.8.8')).code, 0);
  const links = await lab.sh('switch', 'ip -o link');
  assert.ok(
    links
      .split('\n')
      .filter(Boolean)
      .every((l) => /: (lo|lan|swp\d+)[@:]/.test(l)),
    links,
  );
});

test('what goes wrong is one sentence with the way out', { skip }, async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['lab', 'up', '--name', 'small'], /already up.*lab down/],
    [['lab', 'up', '--name', 'other', '--topology', 'ring'], /no topology "ring".*flat, two-racks/],
    [['lab', 'up', '--name', 'other', '--topology', 'flat', '--nodes', '0'], /1 to 240 nodes/],
    [['lab', 'up', '--name', '../x'], /not a name/],
    [['lab', 'exec', '--name', 'small', 'worker9', '--', 'true'], /no node "worker9".*master1, worker1/],
    [['lab', 'exec', '--name', 'nothing', 'worker1', '--', 'true'], /no lab "nothing" up.*lab up/],
    [['lab', 'exec', '--name', 'small', 'pod/nobody', '--', 'true'], /no pod "nobody".*web-/],
    [['lab', 'status', '--name', 'nothing'], /no lab "nothing" up/],
  ];
  for (const [argv, expected] of cases) {
    const { code, err } = await margay(argv);
    assert.notEqual(code, 0, argv.join(' '));
    assert.match(err, expected);
    assert.equal(err.trim().split('\n').length, 1, err);
  }
  const unknown = await margay(['labb']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /no command "labb"/);
});

test('a port that is taken is refused when it was asked for', { skip }, async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  try {
    const { code, err } = await margay(['lab', 'up', '--name', 'other', '--port', String(port)]);
    assert.equal(code, 1);
    assert.match(err, new RegExp(`Port ${port} of 127\\.0\\.0\\.1 is in use.*--port`));
  } finally {
    server.close();
  }
});

test('down twice; nothing is left', { skip }, async () => {
  assert.match((await lab.down()).out, /is down/);
  const again = await lab.down();
  assert.equal(again.code, 0);
  assert.match(again.out, /no lab/);
  assert.deepEqual(footprint(), clean);
});
