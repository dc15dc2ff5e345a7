// What resources make of sessions and routes. Of sessions, with BIRD 2 as the other side: AS numbers, next hops, a peer behind a
// gateway, times. Of routes on their way, seen in the tables of other machines: filters, communities, AS numbers, ports; and
// the overlay where a network carries neither BGP nor pods.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { margay, TestLab, type TestPod, without, podOn } from '../support/lab.ts';
import { eventually, LabRouter, peersOf } from '../support/lab-router.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'ip', 'ping', 'nc', 'nft', 'curl', 'bird', 'birdc');
const prefix = '172.21.0.0/24';
const loopback = '172.21.0.1';
let lab: TestLab;
let router: LabRouter;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('peers', ['--topology', 'flat', '--nodes', '3']);
  pods = await lab.deploy(3);
  router = await LabRouter.plug(lab, 'bird', { address: '10.0.0.201', loopback });
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const config = (neighbour: string, more = ''): string => `
log stderr all;
router id 10.0.0.201;
protocol device {}
protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
protocol static { ipv4; route ${prefix} blackhole; }
protocol bgp worker1 {
  ${neighbour}
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; };
  ${more}
}
`;
const birdc = (words: string): Promise<string> => router.sh(`birdc -s ${router.directory}/ctl ${words}`);
/** BIRD with another configuration. */
async function bird(text: string): Promise<void> {
  await router.end('bird');
  const file = await router.file('bird.conf', text);
  await router.start('bird', `bird -f -c ${file} -s ${router.directory}/ctl`);
}
const peer = (spec: object): Promise<void> =>
  lab.apply({
    apiVersion: 'projectcalico.org/v3',
    kind: 'BGPPeer',
    metadata: { name: 'tested' },
    spec: { node: 'worker1', peerIP: '10.0.0.201', asNumber: 65010, ...spec },
  });
const isUp = (): Promise<unknown> =>
  eventually(
    'the session with BIRD',
    () => birdc('show protocols worker1'),
    (text) => /Established/.test(text),
  );
const shows = (route: string, pattern: RegExp): Promise<string> =>
  eventually(
    `${route} in BIRD with ${pattern}`,
    () => birdc(`show route ${route} all`),
    (text) => pattern.test(text),
  );
const blockOf = (node: string): Promise<string> => lab.blockOf(node);
const local = 'local 10.0.0.201 as 65010; neighbor 10.0.0.12 as 64512;';

test('RS-171, BG-018: a local AS for one session: the peer sees that one, the mesh is as before', {
  skip,
}, async () => {
  await bird(config('local 10.0.0.201 as 65010; neighbor 10.0.0.12 as 65099;'));
  await peer({ localASNumber: 65099 });
  await isUp();
  await shows(await blockOf('worker1'), /BGP\.as_path: 65099( 64512)?\n/);
  await eventually(
    'the mesh',
    () => peersOf(lab, 'worker1'),
    (peers) => peers.some((p) => p.name.startsWith('Mesh_') && p.state === 'Established'),
  );
});

test('RS-171, BG-018: our own AS in a received path: refused, or allowed so many times', {
  skip,
}, async () => {
  await bird(
    config(local).replace(
      'export where source = RTS_STATIC',
      'export filter { if source = RTS_STATIC then { bgp_path.prepend(64512); accept; } reject; }',
    ),
  );
  await peer({});
  await isUp();
  const why = (): Promise<string> => lab.sh('worker1', `margay bgp why ${prefix} --local`);
  await eventually('it is refused', why, (text) => text.includes('already holds our AS 64512'));
  await peer({ numAllowedLocalASNumbers: 1 });
  await eventually('it is allowed', why, (text) => /Kernel\n +\* written/.test(text));
  assert.match(await lab.sh('worker1', `ip route show ${prefix}`), /via 10\.0\.0\.201 dev eth0 proto bird/);
});

test('RS-171, BG-017: next hops: ourselves by default and with Self, that of the node with the block with Keep', {
  skip,
}, async () => {
  await bird(config(local));
  const other = await blockOf('master1');
  await peer({});
  await shows(other, /BGP\.next_hop: 10\.0\.0\.12\n/);
  await peer({ nextHopMode: 'Keep' });
  await shows(other, /BGP\.next_hop: 10\.0\.0\.11\n/);
  await peer({ nextHopMode: 'Self' });
  await shows(other, /BGP\.next_hop: 10\.0\.0\.12\n/);
});

test('RS-171, BG-019: a peer behind a gateway: a host route makes it reachable, and its routes lead there', {
  skip,
}, async () => {
  await bird(config(`local ${loopback} as 65010; neighbor 10.0.0.12 as 64512; multihop 2;`));
  await peer({ peerIP: loopback, reachableBy: '10.0.0.201' });
  await isUp();
  const routes = await lab.sh('worker1', 'ip route show proto bird type unicast');
  assert.match(routes, new RegExp(`^${loopback} via 10\\.0\\.0\\.201 dev eth0`, 'm'));
  await eventually(
    'the route behind it',
    () => lab.sh('worker1', `ip route show ${prefix}`),
    (text) => text.includes('via 10.0.0.201 dev eth0 proto bird'),
  );
  await peer({ peerIP: '10.0.0.201' });
  await eventually(
    'the host route goes with the peer',
    () => lab.sh('worker1', `ip route show ${loopback}`),
    (text) => text.trim() === '',
  );
});

test('RS-171, BG-013: keepalive and restart times as the resource says', { skip }, async () => {
  await bird(config(local));
  await peer({ keepaliveTime: '7s', maxRestartTime: '44s' });
  await isUp();
  const shown = await eventually(
    'the times in BIRD',
    () => birdc('show protocols all worker1'),
    (text) => /Hold timer: +[\d.]+\/21/.test(text),
  );
  assert.match(shown, /Keepalive timer: +[\d.]+\/7/);
  assert.match(shown, /Restart time: 44/);
  assert.equal((await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'tested')).code, 0);
  await router.unplug();
});

const on = (node: string): TestPod => podOn(pods, node);
const calico = (kind: string, name: string, spec: object): Promise<void> =>
  lab.apply({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
type Route = {
  readonly prefix: string;
  readonly learnedFrom: string;
  readonly best: boolean;
  readonly communities?: readonly string[];
  readonly asPath: string;
};
const routesTo = async (node: string, prefix: string): Promise<readonly Route[]> => {
  const out = await lab.sh(node, `margay bgp routes --local --prefix ${prefix} -o json`);
  return (JSON.parse(out) as readonly { readonly result: readonly Route[] }[])[0]?.result ?? [];
};
const becomes = (
  node: string,
  prefix: string,
  isRight: (routes: readonly Route[]) => boolean,
): Promise<unknown> =>
  eventually(`the routes to ${prefix} on ${node}`, () => routesTo(node, prefix), isRight);
const configure = (spec: object): Promise<void> =>
  calico('BGPConfiguration', 'default', { asNumber: 64512, nodeToNodeMeshEnabled: true, ...spec });
const established = async (node: string): Promise<string[]> =>
  (await peersOf(lab, node))
    .filter((p) => p.state === 'Established')
    .map((p) => `${p.address} ${p.as}`)
    .toSorted();
const has = (node: string, wanted: readonly string[]): Promise<unknown> =>
  eventually(
    `the sessions of ${node}`,
    () => established(node),
    (list) => list.join() === wanted.join(),
  );

test('RS-163, BG-034: communities of prefix advertisements travel with the blocks inside of the range, and go again', {
  skip,
}, async () => {
  const [block, other] = [await blockOf('worker1'), await blockOf('worker2')];
  await configure({
    communities: [{ name: 'pods', value: '64512:300' }],
    prefixAdvertisements: [
      { cidr: '192.168.0.0/16', communities: ['pods', '64512:7:9'] },
      { cidr: block, communities: ['64512:400'] },
    ],
  });
  const of = (routes: readonly Route[]): string => (routes[0]?.communities ?? []).toSorted().join();
  await becomes('worker2', block, (r) => of(r).includes('64512:300') && of(r).includes('64512:400'));
  await becomes('master1', other, (r) => of(r).includes('64512:300') && !of(r).includes('64512:400'));
  await configure({ communities: [], prefixAdvertisements: [] });
  await becomes('worker2', block, (r) => r.length === 1 && of(r) === '');
});

test('SR-138, RS-175, RS-176, RS-177, BG-035: filters on a session: first match counts, an operation changes the route, no match goes on', {
  skip,
}, async () => {
  const [mine, theirs] = [await blockOf('worker1'), await blockOf('master1')];
  await calico('BGPFilter', 'tests', {
    importV4: [
      { action: 'Reject', matchOperator: 'Equal', cidr: theirs },
      { action: 'Accept', matchOperator: 'In', cidr: '192.168.0.0/16', prefixLength: { min: 32, max: 32 } },
    ],
    exportV4: [
      {
        action: 'Accept',
        matchOperator: 'In',
        cidr: mine,
        operations: [{ addCommunity: { value: '64512:55' } }],
      },
    ],
  });
  await calico('BGPPeer', 'filtered', {
    node: 'worker1',
    peerIP: '10.0.0.11',
    asNumber: 64512,
    filters: ['tests'],
  });
  // Refused by name; the other node's block comes as before, since no rule says anything of it.
  await eventually(
    'the filter has refused it',
    () => lab.sh('worker1', `margay bgp why ${theirs} --local`),
    (text) => text.includes('refused by rule "BGPFilter tests import 0"'),
  );
  await eventually(
    'its route is gone',
    () => lab.sh('worker1', `ip route show ${theirs}`),
    (text) => text.trim() === '',
  );
  assert.match(await lab.sh('worker1', `ip route show ${await blockOf('worker2')}`), /proto bird/);
  await becomes('master1', mine, (r) => r[0]?.communities?.includes('64512:55') === true);
  // An empty rule is about every route. The other node mirrors the session, with its filters.
  await calico('BGPFilter', 'tests', { exportV4: [{ action: 'Reject' }] });
  await becomes('master1', mine, (r) => r.length === 0);
  await becomes('worker1', theirs, (r) => r.length === 0);
  assert.equal((await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'filtered')).code, 0);
  await becomes('master1', mine, (r) => r.length === 1 && r[0]?.communities === undefined);
});

test('SR-137, SR-139: one resource for the AS of all nodes, and a Node that has its own', {
  skip,
}, async () => {
  await configure({ asNumber: 64999 });
  await has('worker1', ['10.0.0.11 64999', '10.0.0.13 64999']);
  const env = { ...process.env, KUBECONFIG: lab.kubeconfig };
  const patch = (as: number | null): Promise<{ code: number; err: string }> =>
    margay(['patch', 'node', 'worker2', '-p', JSON.stringify({ spec: { bgp: { asNumber: as } } })], env);
  assert.equal((await patch(65013)).code, 0);
  await has('worker1', ['10.0.0.11 64999', '10.0.0.13 65013']);
  await becomes('worker1', await blockOf('worker2'), (r) => r[0]?.asPath === '65013');
  assert.match((await margay(['get', 'node', '-o', 'wide'], env)).out, /^worker2 +65013 +10\.0\.0\.13\/24/m);
  assert.equal((await patch(null)).code, 0);
  await configure({});
  await has('worker1', ['10.0.0.11 64512', '10.0.0.13 64512']);
});

test('RS-160, RS-161, BG-004: a port and addresses to listen on, for all nodes or for one', {
  skip,
}, async () => {
  await configure({ listenPort: 1179, bindMode: 'NodeIP' });
  await calico('BGPConfiguration', 'node.worker2', { listenPort: 2179 });
  const ports = async (node: string): Promise<string> =>
    (await peersOf(lab, node))
      .filter((p) => p.state === 'Established')
      .map((p) => `${p.address} ${(p as { readonly port?: number }).port}`)
      .toSorted()
      .join();
  await eventually(
    'ports',
    () => ports('worker1'),
    (text) => text === '10.0.0.11 1179,10.0.0.13 2179',
  );
  assert.match(await lab.sh('worker2', 'ss -Hltn sport = :2179'), /10\.0\.0\.13:2179/);
  assert.equal((await lab.kubectl('delete', 'bgpconfigurations.projectcalico.org', 'node.worker2')).code, 0);
  await configure({ listenPort: 179, bindMode: 'None' });
  await eventually(
    'ports',
    () => ports('worker1'),
    (text) => text === '10.0.0.11 179,10.0.0.13 179',
  );
});

test('SR-147: an outside machine reaches a service by one static route to the service range', {
  skip,
}, async () => {
  await lab.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: { selector: { app: 'web' }, clusterIP: '10.96.0.80', ports: [{ port: 80 }] },
  });
  const outside = await LabRouter.plug(lab, 'outside', { address: '10.0.0.203', loopback: '172.20.9.1' });
  try {
    await outside.sh('ip route add 10.96.0.0/12 via 10.0.0.12');
    await eventually(
      'the service answers',
      () => outside.sh('curl -sf -m 3 http://10.96.0.80/'),
      (text) => text.includes('pod-test'),
    );
  } finally {
    await outside.unplug();
  }
});

const mode = (name: string): ReturnType<typeof margay> => margay(['lab', 'mode', '--name', lab.name, name]);

test('SR-100, SR-136: a network that carries neither BGP, nor addresses of pods, nor protocol 4, as some clouds: IPIP does not get through, VXLAN does', {
  skip,
}, async () => {
  const reaches = async (): Promise<boolean> =>
    (await lab.inPod(on('worker1'), `ping -n -c1 -W1 ${on('worker2').address} || true`)).includes('ttl=');
  await lab.sh(
    'switch',
    `export PATH=$PATH:/usr/sbin; nft add table bridge cloud
    nft 'add chain bridge cloud f { type filter hook forward priority 0; }'
    nft add rule bridge cloud f tcp dport 179 drop
    nft add rule bridge cloud f tcp sport 179 drop
    nft add rule bridge cloud f ip saddr 192.168.0.0/16 drop
    nft add rule bridge cloud f ip protocol 4 drop`,
  );
  await eventually('plain routing gets nowhere', reaches, (ok) => !ok);
  assert.equal((await mode('ipip')).code, 0);
  await eventually(
    'the route leads into tunl0',
    () => lab.sh('worker1', `ip route get ${on('worker2').address}`),
    (route) => route.includes('dev tunl0'),
  );
  assert.equal(await reaches(), false);
  assert.equal((await mode('vxlan')).code, 0);
  await eventually('VXLAN gets through', reaches, (ok) => ok);
});

test('SR-006: a network that carries nothing but VXLAN between nodes, or protocol 4 and BGP, is enough for pods', {
  skip,
}, async () => {
  // The API server is asked by the same network.
  const carries = (...what: readonly string[]): Promise<string> =>
    lab.sh(
      'switch',
      `export PATH=$PATH:/usr/sbin; nft delete table bridge cloud; nft add table bridge cloud
      nft 'add chain bridge cloud f { type filter hook forward priority 0; policy drop; }'
      for what in 'ether type arp' 'tcp dport 6443' 'tcp sport 6443' ${what.map((one) => `'${one}'`).join(' ')}; do
        nft add rule bridge cloud f $what accept
      done`,
    );
  await carries('udp dport 4789');
  await matrixIsComplete(lab, pods, { mode: 'vxlan' });
  await carries('ip protocol 4', 'tcp dport 179', 'tcp sport 179');
  assert.equal((await mode('ipip')).code, 0);
  await matrixIsComplete(lab, pods, { mode: 'ipip' });
  await lab.sh('switch', 'PATH=$PATH:/usr/sbin nft delete table bridge cloud');
  assert.equal((await mode('bgp')).code, 0);
});
