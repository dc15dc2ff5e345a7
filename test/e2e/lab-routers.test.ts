// Debian's BIRD 2, FRR and GoBGP as extra routers of a lab: each has a session with nodes, made by a BGPPeer resource;
// routes go both ways, and packets follow them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestLab, type TestPod, without } from '../support/lab.ts';
import { eventually, LabRouter, peersOf } from '../support/lab-router.ts';

const basics = without('kubectl', 'ip', 'ping', 'nc', 'curl');
const nodeAddresses: Readonly<Record<string, string>> = { master1: '10.0.0.11', worker1: '10.0.0.12' };
const nodes = Object.keys(nodeAddresses);
let lab: TestLab;
let pods: readonly TestPod[] = [];
/** Each node's block, as the node itself has it. */
const blocks = new Map<string, string>();

before(async () => {
  if (basics !== false) return;
  lab = await TestLab.up('routers', ['--topology', 'flat', '--nodes', '2']);
  pods = await lab.deploy(2);
  for (const node of nodes) {
    const own = await lab.sh(node, 'ip -4 route show type blackhole proto bird');
    const block = /192\.168\.\d+\.\d+\/26/.exec(own)?.[0];
    assert.ok(block !== undefined, own);
    blocks.set(node, block);
  }
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const blockOf = (node: string): string => blocks.get(node) ?? '';
const podOn = (node: string): TestPod => {
  const pod = pods.find((p) => p.node === node);
  assert.ok(pod !== undefined, `no pod on ${node}`);
  return pod;
};

const peer = (name: string, spec: object): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'BGPPeer',
  metadata: { name },
  spec,
});

const isUp = async (node: string, address: string): Promise<void> => {
  await eventually(
    `the session of ${node} with ${address}`,
    () => peersOf(lab, node),
    (list) => list.some((p) => p.address === address && p.state === 'Established'),
  );
};
const routeTo = (node: string, prefix: string): Promise<string> =>
  lab.sh(node, `ip -4 route show proto bird ${prefix}`);
const learns = (node: string, prefix: string, via: string): Promise<string> =>
  eventually(
    `the route to ${prefix} on ${node}`,
    () => routeTo(node, prefix),
    (text) => text.startsWith(`${prefix} via ${via} dev eth0`),
  );
const forgets = (node: string, prefix: string): Promise<string> =>
  eventually(
    `the end of the route to ${prefix} on ${node}`,
    () => routeTo(node, prefix),
    (text) => text.trim() === '',
  );

const birdConfig = (router: LabRouter, prefix: string): string => `
log stderr all;
router id ${router.address};
protocol device {}
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol static { ipv4; route ${prefix} blackhole; }
protocol bgp worker1 {
  local ${router.address} as 63400;
  neighbor ${nodeAddresses['worker1']} as 64512;
  connect delay time 1; connect retry time 2; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
`;

test('SR-141, SR-142, SR-148, BG-024: BIRD 2 in another AS, peer of one node: blocks and prefix both ways, packets, removal', {
  skip: basics || without('bird', 'birdc'),
}, async () => {
  const prefix = '172.20.1.0/24';
  const router = await LabRouter.plug(lab, 'bird', { address: '10.0.0.201', loopback: '172.20.1.1' });
  const birdc = (words: string): Promise<string> => router.sh(`birdc -s ${router.directory}/ctl ${words}`);
  try {
    const file = await router.file('bird.conf', birdConfig(router, prefix));
    await router.start('bird', `bird -f -c ${file} -s ${router.directory}/ctl`);
    const object = peer('rack1-host1', { node: 'worker1', peerIP: router.address, asNumber: 63400 });
    await lab.apply(object);
    await isUp('worker1', router.address);
    assert.match(await birdc('show protocols worker1'), /worker1 +BGP .* up .*Established/);

    // Every block: the node's own, and that of the other node, which it learned by the mesh.
    for (const node of nodes) {
      const shown = await eventually(
        `${blockOf(node)} in BIRD`,
        () => birdc(`show route ${blockOf(node)} all`),
        (text) => text.includes('BGP.as_path'),
      );
      assert.match(shown, /BGP\.as_path: 64512\n/);
      assert.match(shown, /BGP\.next_hop: 10\.0\.0\.12\n/);
      // BG-036: the priority stays inside of the AS.
      assert.doesNotMatch(shown, /BGP\.med/);
    }
    await learns('worker1', prefix, router.address);
    // SR-141: a node that the resource does not name has no session; the mesh does not pass the prefix on.
    assert.equal(
      (await peersOf(lab, 'master1')).some((p) => p.address === router.address),
      false,
    );
    assert.equal((await routeTo('master1', prefix)).trim(), '');

    // SR-148: the router and what is behind it reach pods of its node without a route made by hand. (The other node knows
    // the router's address, but not the network behind it.) Pods reach that network, under their node's address.
    for (const node of nodes)
      await eventually(
        `the router reaches the pod on ${node}`,
        () => router.sh(`ping -n -c1 -W1 -I 10.0.0.201 ${podOn(node).address} || true`),
        (text) => text.includes(' 1 received'),
      );
    await lab.inPod(podOn('worker1'), 'ping -n -c1 -W5 172.20.1.1');
    await router.sh(`curl -sf -m 30 --interface 172.20.1.1 http://${podOn('worker1').address}/`);

    // BG-024: without the resource the session ends at once, and with it the routes; nothing else does.
    const meshSince = async (): Promise<string | undefined> =>
      (await peersOf(lab, 'worker1')).find((p) => p.address === nodeAddresses['master1'])?.since;
    const since = await meshSince();
    assert.ok(since !== undefined);
    const removed = await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'rack1-host1');
    assert.equal(removed.code, 0, removed.err);
    await forgets('worker1', prefix);
    assert.equal(
      (await peersOf(lab, 'worker1')).some((p) => p.address === router.address),
      false,
    );
    await eventually(
      'BIRD hears the reason',
      () => birdc('show protocols all worker1'),
      (text) => /Received: (Peer de-configured|Connection rejected)/.test(text),
    );
    assert.equal(await meshSince(), since);
    await eventually(
      'the session comes back with the resource',
      async () => {
        await lab.apply(object);
        return routeTo('worker1', prefix);
      },
      (text) => text.includes(`via ${router.address}`),
    );

    await router.end('bird');
    await forgets('worker1', prefix);
  } finally {
    await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'rack1-host1', '--ignore-not-found');
    await router.unplug();
  }
});

const frrConfig = (router: LabRouter, prefix: string): string => `
frr defaults datacenter
hostname frr
router bgp 64512
 bgp router-id ${router.address}
 no bgp network import-check
${Object.values(nodeAddresses)
  .map((address) => ` neighbor ${address} remote-as 64512\n neighbor ${address} timers connect 2`)
  .join('\n')}
 address-family ipv4 unicast
  network ${prefix}
 exit-address-family
`;

test('SR-140, BG-036, NM-007: FRR in the AS of the nodes, peer of all of them: each gives its own block and learns the prefix', {
  skip: basics || without('vtysh', '/usr/lib/frr/bgpd', '/usr/lib/frr/zebra'),
}, async () => {
  const prefix = '172.20.2.0/24';
  const router = await LabRouter.plug(lab, 'frr', { address: '10.0.0.202', loopback: '172.20.2.1' });
  const vtysh = (words: string): Promise<string> =>
    router.sh(`vtysh --vty_socket ${router.directory} -c '${words}'`);
  try {
    const file = await router.file('frr.conf', frrConfig(router, prefix));
    for (const name of ['zebra', 'bgpd'])
      await router.start(
        name,
        `/usr/lib/frr/${name} -u frr -g frr -f ${file} -i ${router.directory}/${name}.pid -z ${router.directory}/zserv.api --vty_socket ${router.directory} -A 127.0.0.1 -P 0`,
      );
    await lab.apply(peer('everywhere', { peerIP: router.address, asNumber: 64512 }));
    for (const node of nodes) {
      await isUp(node, router.address);
      await eventually(
        `FRR has a session with ${node}`,
        () => vtysh(`show bgp neighbors ${nodeAddresses[node]}`),
        (text) => text.includes('BGP state = Established'),
      );
      // Between peers of one AS nothing learned is passed on: the block comes from its node alone.
      const shown = await eventually(
        `${blockOf(node)} in FRR`,
        () => vtysh(`show bgp ipv4 unicast ${blockOf(node)} json`),
        (text) => text.includes('"nexthops"'),
      );
      const { paths } = JSON.parse(shown) as {
        readonly paths: readonly {
          readonly locPrf?: number;
          readonly nexthops: readonly { readonly ip: string }[];
        }[];
      };
      assert.deepEqual(
        paths.map((p) => p.nexthops[0]?.ip),
        [nodeAddresses[node]],
      );
      // BG-036, NM-007: 2147483647 - 1024.
      assert.equal(paths[0]?.locPrf, 2147482623);
      await learns(node, prefix, router.address);
      await lab.inPod(podOn(node), 'ping -n -c1 -W5 172.20.2.1');
      await eventually(
        `a packet from FRR's router to the pod on ${node}`,
        () => router.sh(`curl -sf -m 2 --interface 172.20.2.1 http://${podOn(node).address}/`),
        (text) => text.includes('pod-test'),
      );
    }
    await router.end('bgpd');
    for (const node of nodes) await forgets(node, prefix);
  } finally {
    await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'everywhere', '--ignore-not-found');
    await router.unplug();
  }
});

const gobgpConfig = (router: LabRouter): string => `
[global.config]
  as = 65010
  router-id = "${router.address}"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "${nodeAddresses['worker1']}"
    peer-as = 64512
  [neighbors.timers.config]
    connect-retry = 5
    idle-hold-time-after-reset = 5
`;

test('SR-141, SR-146: GoBGP, peer of nodes by label; a static route to the pods through any node', {
  skip: basics || without('gobgp', 'gobgpd'),
}, async () => {
  const prefix = '172.20.3.0/24';
  const router = await LabRouter.plug(lab, 'gobgp', { address: '10.0.0.203', loopback: '172.20.3.1' });
  const gobgp = (words: string): Promise<string> => router.sh(`gobgp ${words}`);
  try {
    await lab.kubectl('label', 'node', 'worker1', 'uplink=gobgp');
    const file = await router.file('gobgp.toml', gobgpConfig(router));
    await router.start('gobgpd', `gobgpd -f ${file} --api-hosts 127.0.0.1:50051 -p`);
    await eventually(
      'gobgpd answers',
      () => gobgp('global'),
      (text) => text.includes(router.address),
    );
    await gobgp(`global rib add ${prefix} nexthop ${router.address}`);
    await lab.apply(
      peer('by-label', { nodeSelector: "uplink == 'gobgp'", peerIP: router.address, asNumber: 65010 }),
    );
    await isUp('worker1', router.address);
    await eventually(
      'the session in GoBGP',
      () => gobgp('neighbor'),
      (text) => /10\.0\.0\.12 +64512 .*Establ/.test(text),
    );
    assert.equal(
      (await peersOf(lab, 'master1')).some((p) => p.address === router.address),
      false,
    );
    await eventually(
      'the blocks in GoBGP',
      () => gobgp('global rib'),
      (text) =>
        nodes.every((n) =>
          new RegExp(`${blockOf(n).replaceAll('.', '\\.')} +10\\.0\\.0\\.12 +64512 `).test(text),
        ),
    );
    await learns('worker1', prefix, router.address);
    // SR-146: one static route through any node reaches every pod. (GoBGP alone has no kernel face.)
    for (const via of nodes) {
      await router.sh(`ip route replace 192.168.0.0/16 via ${nodeAddresses[via]}`);
      for (const node of nodes) await router.sh(`curl -sf -m 30 http://${podOn(node).address}/`);
    }
    await lab.inPod(podOn('worker1'), 'ping -n -c1 -W5 172.20.3.1');
    await router.end('gobgpd');
    await forgets('worker1', prefix);
  } finally {
    await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'by-label', '--ignore-not-found');
    await router.unplug();
  }
});

test('BG-021: a pod that runs BIRD peers with its node, by an address that is the same on every node, and announces a network', {
  skip: basics || without('bird', 'birdc'),
}, async () => {
  const [node, other] = ['worker1', 'master1'] as const;
  const pod = podOn(node);
  const prefix = '10.99.0.0/24';
  const gateway = '169.254.9.1';
  const directory = '/run/pod-bird';
  const config = `
log stderr all;
router id ${pod.address};
protocol device {}
protocol static { ipv4; route ${prefix} blackhole; }
protocol bgp node {
  local ${pod.address} as 65100;
  neighbor ${gateway} as 64512;
  multihop;
  connect delay time 1; connect retry time 2; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
`;
  // What lies in a pool is passed on by the mesh; no node takes blocks of this one.
  const pool = { cidr: prefix, nodeSelector: '!all()', natOutgoing: false };
  const bgp = (spec: object): object => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'BGPConfiguration',
    metadata: { name: 'default' },
    spec,
  });
  await lab.sh(
    node,
    `mkdir -p ${directory} && cat > ${directory}/bird.conf <<'END-OF-FILE'\n${config}\nEND-OF-FILE`,
  );
  await lab.inPod(pod, 'ip addr add 10.99.0.1/32 dev lo');
  const pid = await lab.inPod(
    pod,
    `PATH=$PATH:/usr/sbin:/sbin setsid bird -f -c ${directory}/bird.conf -s ${directory}/ctl >${directory}/log 2>&1 </dev/null & echo $!`,
  );
  const labelled = await lab.kubectl('label', 'pod', pod.name, 'role=router');
  assert.equal(labelled.code, 0, labelled.err);
  try {
    await lab.apply({
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'routed' },
      spec: pool,
    });
    await lab.apply(bgp({ localWorkloadPeeringIPV4: gateway }));
    await lab.apply(peer('pods', { localWorkloadSelector: "role == 'router'", asNumber: 65100 }));
    await isUp(node, pod.address);
    const device = /dev (cali\w+)/.exec(await lab.sh(node, `ip route show ${pod.address}`))?.[1] ?? '';
    assert.match(await lab.sh(node, `ip -4 addr show dev ${device}`), /inet 169\.254\.9\.1\/32 scope link/);
    assert.equal(await lab.sh(other, 'ip -4 addr | grep 169.254.9.1 || true'), '');
    await eventually(
      'the route to the network of the pod',
      () => routeTo(node, prefix),
      (text) => text.startsWith(`${prefix} via ${pod.address} dev ${device}`),
    );
    await eventually(
      'an answer from behind the pod (FX-040)',
      () => lab.sh(node, 'ping -n -c1 -W1 10.99.0.1 || true'),
      (text) => text.includes(' 1 received'),
    );
    // As with BIRD: the mesh passes it on with the pod as next hop, which is no way of its own on another node.
    await eventually(
      'the path of the other node',
      () => lab.sh(other, `margay bgp why ${prefix} --local`),
      (text) => text.includes(`from Mesh_10_0_0_12 via ${pod.address}, AS path (65100)`),
    );
    await eventually(
      'the block of the other node in the pod',
      () =>
        lab.inPod(
          pod,
          `PATH=$PATH:/usr/sbin:/sbin birdc -s ${directory}/ctl show route ${blockOf(other)} all`,
        ),
      (text) => text.includes('BGP.as_path: 64512'),
    );
    const removed = await lab.kubectl('label', 'pod', pod.name, 'role-');
    assert.equal(removed.code, 0, removed.err);
    await forgets(node, prefix);
    await eventually(
      'the end of the address',
      () => lab.sh(node, `ip -4 addr show dev ${device}`),
      (text) => !text.includes('inet '),
    );
    // The pod's own route outlives it.
    await eventually(
      'the pod',
      () => lab.sh(node, `ping -n -c1 -W1 ${pod.address} || true`),
      (text) => text.includes(' 1 received'),
    );
  } finally {
    await lab.sh(node, `kill ${pid.trim()}`);
    for (const [kind, name] of [
      ['bgppeers', 'pods'],
      ['ippools', 'routed'],
      ['bgpconfigurations', 'default'],
    ] as const)
      await lab.kubectl('delete', `${kind}.projectcalico.org`, name);
  }
});
