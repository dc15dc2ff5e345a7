// What a BGPPeer can say of its session, with BIRD 2 as the other side: AS numbers, next hops, a peer behind a gateway, times.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestLab, without } from '../support/lab.ts';
import { eventually, LabRouter, peersOf } from '../support/lab-router.ts';

const skip = without('kubectl', 'ip', 'ping', 'nc', 'bird', 'birdc');
const prefix = '172.21.0.0/24';
const loopback = '172.21.0.1';
let lab: TestLab;
let router: LabRouter;

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('peers', ['--topology', 'flat', '--nodes', '2']);
  await lab.deploy(2);
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
  const mesh = (await peersOf(lab, 'worker1')).find((p) => p.name.startsWith('Mesh_'));
  assert.equal(mesh?.state, 'Established');
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
});
