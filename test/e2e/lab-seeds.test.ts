// What people show each other about Calico, on one lab: by hand on the nodes, in captures, and by editing resources.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, peersOf } from '../support/lab-router.ts';
import { calico, run, TestLab, type TestPod, without, podOn } from '../support/lab.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'tcpdump', 'ip', 'ping', 'curl', 'nft');
const nodes: Readonly<Record<string, string>> = {
  master1: '10.0.0.11',
  worker1: '10.0.0.21',
  worker2: '10.0.0.22',
  worker3: '30.0.0.23',
};
const names = Object.keys(nodes);
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('seeds', ['--topology', 'two-racks']);
  pods = await lab.deploy(8);
  // Every node, and the fabric, has heard of every block.
  await matrixIsComplete(lab, pods);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const on = (node: string, i = 0): TestPod => podOn(pods, node, i);
const reaches = (from: TestPod, address: string): Promise<string> =>
  eventually(
    `${from.name} reaches ${address}`,
    () => lab.inPod(from, `ping -n -c1 -W1 ${address} || true`),
    (text) => text.includes('ttl='),
  );
const hostEnd = async (pod: TestPod): Promise<string> =>
  /dev (cali\w+)/.exec(await lab.sh(pod.node, `ip route show ${pod.address}`))?.[1] ?? '';
const kubectlStdin = async (verb: string, text: string): Promise<string> => {
  const { code, out, err } = await run('kubectl', [verb, '-f', '-'], {
    env: { ...process.env, KUBECONFIG: lab.kubeconfig },
    input: text,
  });
  assert.equal(code, 0, err);
  return out;
};
const annotated = (name: string, nodeName: string, annotations: Record<string, unknown>): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    labels: { seed: name },
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [
        `cni.projectcalico.org/${key}`,
        JSON.stringify(value),
      ]),
    ),
  },
  spec: { nodeName, containers: [{ name: 'c', image: 'ikubernetes/demoapp:v1.0' }] },
});
async function runPod(
  name: string,
  nodeName: string,
  annotations: Record<string, unknown>,
): Promise<TestPod> {
  await lab.apply(annotated(name, nodeName, annotations));
  const [pod] = await lab.pods(`seed=${name}`, 1);
  assert.ok(pod !== undefined);
  return pod;
}
const removePod = async (name: string): Promise<void> => {
  const { code, err } = await lab.kubectl('delete', 'pod', name, '--timeout=120s');
  assert.equal(code, 0, err);
};

test('SR-001, SR-004: pods are reached from pods, from every node and from outside, each under its own address', {
  skip,
}, async () => {
  const target = on('worker1');
  const client = async (node: string, from = ''): Promise<string | undefined> =>
    /ClientIP: ([\d.]+)/.exec(
      await lab.sh(
        node,
        `curl -s -m 30 ${from === '' ? '' : `--interface ${from}`} http://${target.address}/`,
      ),
    )?.[1];
  const all = pods.map((pod) => pod.address).join(' ');
  for (const [name, address] of Object.entries(nodes)) {
    const seen = await client(name);
    if (name !== 'worker1') assert.equal(seen, address, name);
    await lab.sh(name, `set -e; for a in ${all}; do ping -n -c1 -W5 $a; done`);
  }
  // Outside of the cluster: machines that run nothing of it.
  assert.equal(await client('leaf01', '10.0.0.254'), '10.0.0.254');
  assert.equal(await client('leaf02', '30.0.0.254'), '30.0.0.254');
});

test('SR-002: no bridge on any node; SR-030: the plugin is installed on every one', { skip }, async () => {
  for (const name of names) {
    assert.equal((await lab.sh(name, 'ip -o link show type bridge')).trim(), '', name);
    const installed = await lab.sh(name, 'ls /opt/cni/bin; cat /etc/cni/net.d/10-calico.conflist');
    assert.match(installed, /^calico$/m);
    assert.match(installed, /^calico-ipam$/m);
    assert.match(installed, /"name": "k8s-pod-network"/);
  }
});

test('SR-005: what a pod broadcasts ends at its own interface', { skip }, async () => {
  const pod = on('worker1');
  const own = await hostEnd(pod);
  // Whatever else a broadcast causes on the node is there before the pod's own, later ping of its node.
  const capture = await lab.capture(
    'worker1',
    {
      device: 'any',
      filter: 'host 255.255.255.255 or arp host 203.0.113.77 or icmp[4:2] = 77',
      end: 'id 77,',
    },
    `nsenter --net=${pod.netns} -- sh -c 'ip route add 203.0.113.77 dev eth0; ping -n -c1 -W1 203.0.113.77; ping -n -b -c2 -i0.2 -W1 255.255.255.255; ip route del 203.0.113.77; ping -n -e77 -c1 10.0.0.21'`,
  );
  const lines = capture.split('\n').filter((l) => l.trim() !== '');
  assert.ok(
    lines.some((l) => /who-has 203\.0\.113\.77/.test(l)),
    capture,
  );
  assert.ok(
    lines.some((l) => /> 255\.255\.255\.255/.test(l)),
    capture,
  );
  assert.ok(
    lines.every((l) => l.includes(` ${own} `)),
    capture,
  );
});

test('SR-053: the default route needs the link route', { skip }, async () => {
  const pod = on('worker2');
  await lab.inPod(pod, 'ip route del default && ip route del 169.254.1.1');
  const early = await lab.exec(
    pod.node,
    'sh',
    '-c',
    `nsenter --net=${pod.netns} -- ip route add default via 169.254.1.1 dev eth0`,
  );
  assert.notEqual(early.code, 0);
  assert.match(early.err, /unreachable|invalid gateway/i);
  await lab.inPod(
    pod,
    'ip route add 169.254.1.1 dev eth0 scope link && ip route add default via 169.254.1.1 dev eth0',
  );
  await reaches(pod, on('worker1').address);
});

test('SR-064: the host asks for a pod as ee:ee:ee:ee:ee:ee with the node’s address', { skip }, async () => {
  const pod = on('worker1');
  const capture = await lab.capture(
    'worker1',
    { device: await hostEnd(pod), filter: `arp host ${pod.address}`, flags: '-e', end: 'Reply' },
    `ip neigh flush to ${pod.address}; ping -n -c1 -W2 ${pod.address}`,
  );
  assert.match(
    capture,
    new RegExp(`ee:ee:ee:ee:ee:ee > .*Request who-has ${pod.address} tell 10\\.0\\.0\\.21`),
    capture,
  );
  assert.match(capture, new RegExp(`Reply ${pod.address} is-at`));
});

test('SR-065: the data path built by hand: veth, link route, proxy ARP, host route', { skip }, async () => {
  const build = (name: string, address: string): string => `
    ip netns add ${name}
    ip link add ${name} type veth peer name eth0 netns ${name}
    ip -n ${name} link set eth0 up
    ip -n ${name} addr add ${address}/32 dev eth0
    ip -n ${name} route add 169.254.1.1 dev eth0 scope link
    ip -n ${name} route add default via 169.254.1.1 dev eth0
    ip link set ${name} address ee:ee:ee:ee:ee:ee up
    echo 1 > /proc/sys/net/ipv4/conf/${name}/proxy_arp
    ip route add ${address} dev ${name} scope link`;
  try {
    await lab.sh('worker2', `set -e${build('hand1', '172.30.0.1')}${build('hand2', '172.30.0.2')}`);
    const ttl = async (to: string): Promise<string> =>
      /ttl=\d+/.exec(await lab.sh('worker2', `ip netns exec hand1 ping -n -c1 -W3 ${to}`))?.[0] ?? '';
    assert.equal(await ttl('172.30.0.2'), 'ttl=63');
    assert.equal(await ttl(on('worker2').address), 'ttl=63', 'and a pod of the plugin');
    assert.equal(await ttl('10.0.0.22'), 'ttl=64');
  } finally {
    await lab.sh(
      'worker2',
      'for n in hand1 hand2; do ip link del $n; ip netns del $n; done 2>/dev/null; true',
    );
  }
});

test('SR-066, NM-041: MTU of pods: 1500, 1480 with IPIP, 1450 with VXLAN', { skip }, async () => {
  const mtuOf = async (name: string): Promise<string> => {
    const pod = await runPod(name, 'worker1', {});
    const link = await lab.inPod(pod, 'ip -o link show eth0');
    const host = await lab.sh('worker1', `ip -o link show ${await hostEnd(pod)}`);
    await removePod(name);
    return `${/mtu \d+/.exec(link)?.[0]} ${/mtu \d+/.exec(host)?.[0]}`;
  };
  const settled = (mtu: number): Promise<string> =>
    eventually(
      `the MTU file says ${mtu}`,
      () => lab.sh('worker1', 'cat /var/lib/calico/mtu'),
      (text) => text.trim() === String(mtu),
    );
  const tunnelled = (modes: object): object =>
    calico('IPPool', 'tunnelled', { cidr: '10.78.0.0/16', nodeSelector: 'has(nowhere)', ...modes });
  await settled(1500);
  assert.equal(await mtuOf('plain'), 'mtu 1500 mtu 1500');
  try {
    await lab.apply(tunnelled({ ipipMode: 'Always', vxlanMode: 'Never' }));
    await settled(1480);
    assert.equal(await mtuOf('ipip'), 'mtu 1480 mtu 1480');
    await lab.apply(tunnelled({ ipipMode: 'Never', vxlanMode: 'Always' }));
    await settled(1450);
    assert.equal(await mtuOf('vxlan'), 'mtu 1450 mtu 1450');
  } finally {
    await lab.kubectl('delete', 'ippools', 'tunnelled', '--timeout=120s');
  }
  await settled(1500);
});

test('SR-074, SR-075: the pods of a node have addresses of its blocks, whatever its podCIDR says', {
  skip,
}, async () => {
  await lab.kubectl('patch', 'node', 'worker1', '--type=merge', '-p', '{"spec":{"podCIDR":"10.250.1.0/24"}}');
  const pod = await runPod('elsewhere', 'worker1', {});
  const { out, err } = await lab.kubectl('get', 'blockaffinities', '-o', 'json');
  const { items } = JSON.parse(out) as { items: { spec: { node: string; cidr: string; state: string } }[] };
  assert.ok(items.length >= 4, err);
  const number = (address: string): number =>
    address.split('.').reduce((n, part) => n * 256 + Number(part), 0);
  for (const { node, address } of [...pods, pod]) {
    const own = items.filter((i) => i.spec.node === node && i.spec.state === 'confirmed');
    const inside = own.some(({ spec }) => {
      const [base = '', length = ''] = spec.cidr.split('/');
      const at = number(address) - number(base);
      return at >= 0 && at < 2 ** (32 - Number(length));
    });
    assert.ok(inside, `${address} of ${node}: ${JSON.stringify(own)}`);
  }
  await removePod('elsewhere');
});

test('SR-076, SR-077, SR-078, SR-086: the pool as YAML goes round; settings of address management are visible', {
  skip,
}, async () => {
  const { out } = await lab.kubectl('get', 'ippools', 'default-ipv4-ippool', '-o', 'yaml');
  for (const line of [
    /^apiVersion: projectcalico\.org\/v3$/m,
    /^ {2}name: default-ipv4-ippool$/m,
    /^ {2}allowedUses:\n {2}- Workload\n {2}- Tunnel$/m,
    /^ {2}blockSize: 26$/m,
    /^ {2}cidr: 192\.168\.0\.0\/16$/m,
    /^ {2}ipipMode: Never$/m,
    /^ {2}natOutgoing: true$/m,
    /^ {2}nodeSelector: all\(\)$/m,
    /^ {2}vxlanMode: Never$/m,
  ])
    assert.match(out, line);
  assert.match(await kubectlStdin('replace', out), /replaced/);
  const again = await lab.kubectl('get', 'ippools', 'default-ipv4-ippool', '-o', 'yaml');
  assert.equal(again.out, out);
  const ipam = await lab.kubectl('get', 'ipamconfigurations', 'default', '-o', 'yaml');
  assert.match(
    ipam.out,
    /autoAllocateBlocks: true[\s\S]*maxBlocksPerHost: 0[\s\S]*strictAffinity: false/,
    ipam.err,
  );
});

test('SR-160, SR-161, SR-162, SR-044: natOutgoing is toggled with get, sed and apply; every node follows at once', {
  skip,
}, async () => {
  // The leaf is outside of the cluster, and on the wire of the node.
  const sourceSeen = async (pod: TestPod): Promise<string | undefined> => {
    const filter = 'icmp[icmptype] == icmp-echo and dst host 10.0.0.254';
    const ping = `nsenter --net=${pod.netns} -- ping -n -c1 -W1 10.0.0.254`;
    const seen = await lab.capture(pod.node, { device: 'eth0', filter, end: 1 }, ping);
    return /IP ([\d.]+) > 10\.0\.0\.254/.exec(seen)?.[1];
  };
  const sees = (pod: TestPod, address: string): Promise<string | undefined> =>
    eventually(
      `the leaf sees ${address}`,
      () => sourceSeen(pod),
      (seen) => seen === address,
    );
  const toggle = async (from: string, to: string): Promise<void> => {
    const { out } = await lab.kubectl('get', 'ippools', 'default-ipv4-ippool', '-o', 'yaml');
    assert.match(out, new RegExp(`natOutgoing: ${from}`));
    await kubectlStdin('apply', out.replace(`natOutgoing: ${from}`, `natOutgoing: ${to}`));
  };
  const masquerades = async (wanted: boolean): Promise<void> => {
    for (const name of names)
      await eventually(
        `${name} follows`,
        () => lab.sh(name, 'nft list table ip calico'),
        (text) => /masquerade/.test(text) === wanted,
      );
  };
  await sees(on('worker1'), '10.0.0.21');
  await toggle('true', 'false');
  await masquerades(false);
  await sees(on('worker1'), on('worker1').address);
  await toggle('false', 'true');
  await masquerades(true);
  await sees(on('worker2'), '10.0.0.22');
});

test('SR-079, SR-080, SR-085: a second pool of one tiny block, by annotation: two addresses, and no third', {
  skip,
}, async () => {
  await lab.apply(calico('IPPool', 'tiny', { cidr: '10.77.0.0/31', blockSize: 31, natOutgoing: true }));
  const annotations = { ipv4pools: ['tiny'] };
  const first = await runPod('tiny1', 'worker1', annotations);
  const second = await runPod('tiny2', 'worker1', annotations);
  assert.deepEqual([first.address, second.address].toSorted(), ['10.77.0.0', '10.77.0.1']);
  for (const address of ['10.77.0.0', '10.77.0.1']) await reaches(on('worker3'), address);
  assert.match(await lab.sh('worker1', 'ip route'), /^blackhole 10\.77\.0\.0\/31 proto bird/m);
  await lab.apply(annotated('tiny3', 'worker1', annotations));
  await eventually(
    'the third is told why',
    async () => (await lab.kubectl('describe', 'pod', 'tiny3')).out,
    (text) => /No IPv4 address is free|no .*address/i.test(text),
  );
  for (const name of ['tiny1', 'tiny2', 'tiny3']) await removePod(name);
  const { code, err } = await lab.kubectl('delete', 'ippools', 'tiny', '--timeout=120s');
  assert.equal(code, 0, err);
});

test('SR-084, SR-007, BG-031: a fixed address moves with its pod to another node, as a route of its own', {
  skip,
}, async () => {
  const fixed = { ipAddrs: ['192.168.200.135'] };
  const here = await runPod('fixed', 'worker1', fixed);
  assert.equal(here.address, '192.168.200.135');
  await reaches(on('worker3'), '192.168.200.135');
  await removePod('fixed');
  await runPod('fixed', 'worker2', fixed);
  for (const node of ['worker1', 'worker3', 'master1']) await reaches(on(node), '192.168.200.135');
  assert.match(
    await lab.sh('worker1', 'ip route show 192.168.200.135'),
    /via 10\.0\.0\.22 dev eth0 proto bird/,
  );
  assert.match(await lab.sh('worker1', 'ip route'), /^blackhole 192\.168\.200\.128\/26 proto bird/m);
  await removePod('fixed');
  await eventually(
    'the route goes with the pod',
    () => lab.sh('worker1', 'ip route show 192.168.200.135'),
    (text) => text.trim() === '',
  );
});

test('RS-024, RS-025, BG-033: pools that are not exported, or disabled, are not announced; their pods keep working', {
  skip,
}, async () => {
  const inner = (spec: object): Promise<void> =>
    lab.apply(calico('IPPool', 'inner', { cidr: '10.79.0.0/26', natOutgoing: false, ...spec }));
  const routeOn = (node: string, wanted: boolean): Promise<string> =>
    eventually(
      `${node} ${wanted ? 'has' : 'has no'} route to the pool`,
      () => lab.sh(node, 'ip route show 10.79.0.0/26'),
      (text) => text.includes('proto bird') === wanted,
    );
  await inner({ disableBGPExport: true, disabled: false });
  const pod = await runPod('inner', 'worker1', { ipv4pools: ['inner'] });
  await reaches(on('worker1'), pod.address);
  // What was announced after the block has come, and the block has not.
  const later = await runPod('later', 'worker1', { ipAddrs: ['192.168.201.7'] });
  await reaches(on('worker2'), later.address);
  assert.equal((await lab.sh('worker2', 'ip route show 10.79.0.0/26')).trim(), '');
  await inner({ disableBGPExport: false, disabled: false });
  await routeOn('worker2', true);
  await reaches(on('worker2'), pod.address);
  await inner({ disableBGPExport: false, disabled: true });
  await routeOn('worker2', false);
  await reaches(on('worker1'), pod.address);
  for (const name of ['inner', 'later']) await removePod(name);
  const { code, err } = await lab.kubectl('delete', 'ippools', 'inner', '--timeout=120s');
  assert.equal(code, 0, err);
});

test('SR-130, SR-131, SR-132, NM-004, NM-006: the full mesh in AS 64512 is on by default and can be switched off', {
  skip,
}, async () => {
  const mesh = async (node: string): Promise<string[]> =>
    (await peersOf(lab, node))
      .filter((p) => p.name.startsWith('Mesh_') && p.state === 'Established')
      .map((p) => `${p.address} ${p.as}`)
      .toSorted();
  const wanted = (node: string): string[] =>
    Object.entries(nodes)
      .filter(([name]) => name !== node)
      .map(([, address]) => `${address} 64512`)
      .toSorted();
  const complete = async (): Promise<void> => {
    for (const node of names)
      await eventually(
        `the mesh of ${node}`,
        () => mesh(node),
        (list) => list.join() === wanted(node).join(),
      );
  };
  await complete();
  await lab.apply(calico('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false }));
  try {
    for (const node of names)
      await eventually(
        `no mesh on ${node}`,
        () => mesh(node),
        (list) => list.length === 0,
      );
  } finally {
    await lab.apply(calico('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: true }));
  }
  await complete();
  await reaches(on('worker1'), on('worker2').address);
});
