// The configuration that is written, and what BIRD says, read back. Real BIRDs are in test/interop/bird-*.test.ts and
// test/e2e/lab-bird.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect, ok } from '../../lib/result.ts';
import { FakeHost, mainTable } from '../../kernel/mod.ts';
import { defaultTiming } from '../fsm/mod.ts';
import { computePlan, type PlanInput } from '../plan/mod.ts';
import { configFromPlan } from '../speaker/mod.ts';
import { ReplyReader, type ReplyLine } from './control-client.ts';
import { Leftovers } from './leftovers.ts';
import { filterText } from './program.ts';
import { readProtocols, readRoutes, readSession, readStatus } from './read-status.ts';
import { renderBird } from './render.ts';

const node = (name: string, ipv4Address: string, ipv6Address?: string) => ({
  metadata: { name },
  spec: { bgp: { ipv4Address, ...(ipv6Address === undefined ? {} : { ipv6Address }) } },
});
const input = (more: Partial<PlanInput> = {}): PlanInput => ({
  nodeName: 'a',
  nodes: [node('a', '10.0.0.1/24', 'fd00::1/64'), node('b', '10.0.0.2/24', 'fd00::2/64')],
  ipPools: [{ metadata: { name: 'p' }, spec: { cidr: '10.244.0.0/16' } }],
  blockAffinities: [
    { node: 'a', cidr: '10.244.1.0/26' },
    { node: 'a', cidr: '10.244.2.7/32' },
  ],
  ...more,
});
const rendered = (more: Partial<PlanInput> = {}, passwords = new Map<string, string>()): string =>
  renderBird(computePlan(input(more)), { passwords }).text ?? '';

test('BG-013: protocols, names and timers as in the bird.cfg of Calico', () => {
  const text = rendered();
  for (const line of [
    'router id 10.0.0.1;',
    'protocol bgp Mesh_10_0_0_2 from bgp_template {',
    'protocol bgp Mesh_fd00__2 from bgp_template {',
    '  local 10.0.0.1 as 64512;',
    '  connect delay time 2;',
    '  connect retry time 5;',
    '  error wait time 5, 30;',
    '    gateway recursive;',
    '    add paths on;',
    '    export filter calico_kernel_programming;',
    '  interface -"cali*", -"kube-ipvs*", "*";',
    '  passive on;',
  ])
    assert.ok(text.includes(`${line}\n`), line);
  assert.match(text, /export filter calico_export_to_bgp_peers_v4_[0-9a-f]{16};/);
});

test('NM-008: the native engine offers the restart time of Calico too, and waits no longer before it tries again', () => {
  const plan = computePlan(input());
  const [neighbour] = configFromPlan(plan)?.neighbours ?? [];
  assert.equal(neighbour?.gracefulRestartTimeS, 120);
  assert.ok(!(renderBird(plan).text ?? '').includes('graceful restart time'));
  // BIRD's: 5 s between two attempts to connect, 5 to 30 s after an error.
  assert.ok(defaultTiming.connectRetryMaxMs <= 5_000);
  assert.ok(defaultTiming.idleHoldMs <= 5_000);
  assert.equal(defaultTiming.idleHoldMaxMs, 30_000);
});

test('equal plans give equal text, and a secret is only in the text when it is known', () => {
  assert.equal(rendered(), rendered());
  assert.ok(!rendered().includes('password'));
});

test('BG-037: what BIRD 2 needs to be told: no metric of its own, no device routes in the kernel', () => {
  const text = rendered();
  assert.equal(text.match(/^ {2}metric 0;$/gm)?.length, 2);
  assert.match(text, /filter calico_kernel_programming\n\{[^}]*if \(source != RTS_BGP\) then reject;/);
});

test('BG-030, BG-032: own blocks are static routes; those with a blackhole are wanted in the kernel', () => {
  const text = rendered();
  assert.ok(text.includes('route 10.244.1.0/26 blackhole;'));
  assert.ok(text.includes('route 10.244.2.7/32 blackhole;'));
  assert.ok(text.includes('if (source = RTS_STATIC && net ~ [ 10.244.1.0/26 ]) then accept;'));
});

test('BG-037: a tunnel is a device, on-link, and the gateway last', () => {
  const text = filterText(
    {
      name: 'kernel',
      rules: [{ name: 'ipip', when: [], actions: [{ do: 'setTunnel', device: 'tunl0' }, { do: 'accept' }] }],
      otherwise: 'reject',
    },
    { name: 'f', place: 'kernel', family: 4 },
  );
  assert.match(text, /ifname = "tunl0";\n\s*onlink = true;\n\s*gw = bgp_next_hop;\n\s*accept;/);
});

test('conditions that can never hold are said as such; prefixes of the other family do not appear', () => {
  const text = filterText(
    {
      name: 'x',
      rules: [
        {
          name: 'six',
          when: [{ match: 'prefix', any: [{ prefix: prefix('fd00::/8'), min: 8, max: 128 }] }],
          actions: [{ do: 'accept' }],
        },
        {
          name: 'four',
          when: [
            { match: 'prefix', any: [{ prefix: prefix('10.0.0.0/8'), min: 0, max: 24 }], not: true },
            { match: 'community', value: '64512:7' },
            { match: 'asPathPrefix', path: [65001, 4200000000] },
          ],
          actions: [{ do: 'prepend', path: [1, 2] }, { do: 'setPriority', value: 512 }, { do: 'reject' }],
        },
      ],
      otherwise: 'accept',
    },
    { name: 'f', place: 'import', family: 4 },
  );
  assert.ok(text.includes('# six: never'));
  assert.ok(
    text.includes(
      'if (!(net ~ [ 10.0.0.0/8{8,24} ]) && ((64512, 7) ~ bgp_community) && (bgp_path ~ [= 65001 4200000000 * =])) then {',
    ),
  );
  assert.match(text, /bgp_path\.prepend\(2\);\n\s*bgp_path\.prepend\(1\);\n\s*bgp_local_pref = 2147483135;/);
});

test('BG-014: a password is written; one that BIRD cannot be told costs its session only', () => {
  const more: Partial<PlanInput> = {
    bgpPeers: ['10.9.0.2', '10.9.0.3'].map((peerIP, i) => ({
      metadata: { name: `p${i}` },
      spec: { peerIP, asNumber: 65001, password: { secretKeyRef: { name: 's', key: `k${i}` } } },
    })),
    secrets: [{ name: 's', keys: ['k0', 'k1'] }],
  };
  const passwords = new Map([
    ['s/k0', "it's fine"],
    ['s/k1', 'not "fine"'],
  ]);
  const { text = '', refused } = renderBird(computePlan(input(more)), { passwords });
  assert.ok(text.includes(`password "it's fine";`));
  assert.ok(!text.includes('Global_10_9_0_3'));
  assert.deepEqual(
    refused.map((r) => r.peer),
    ['Global_10_9_0_3'],
  );
});

test('without a router id there is nothing to write', () => {
  const plan = computePlan(input({ nodes: [{ metadata: { name: 'a' } }] }));
  assert.equal(renderBird(plan).text, undefined);
});

// ── what BIRD says ───────────────────────────────────────────────────────────────────────────────────────────────────
function lines(text: string): readonly ReplyLine[] {
  const reader = new ReplyReader();
  for (let at = 0; at < text.length; at += 7) if (reader.take(text.slice(at, at + 7))) break;
  return reader.lines;
}

test('a reply in pieces: codes carry over to lines without one, the last line ends it', () => {
  assert.deepEqual(lines('1002-a\n b\n+async\n1006-c\n0000 \n'), [
    { code: 1002, text: 'a' },
    { code: 1002, text: 'b' },
    { code: 1006, text: 'c' },
    { code: 0, text: '' },
  ]);
});

const protocols = `2002-Name       Proto      Table      State  Since         Info
1002-kernel4    Kernel     master4    up     13:23:51.877  
1006-  Channel ipv4
     State:          UP
 
1002-Mesh_10_9_0_2 BGP        ---        up     13:23:55.863  Established   
1006-  BGP state:          Established
     Neighbor address: 10.9.0.2
     Neighbor AS:      64512
     Local AS:         64512
     Neighbor ID:      10.9.0.2
     Local capabilities
       Route refresh
     Neighbor capabilities
       Multiprotocol
         AF announced: ipv4
       Route refresh
       Graceful restart
         Restart time: 120
         AF supported: ipv4
         AF preserved: ipv4
       4-octet AS numbers
       ADD-PATH
         RX: ipv4
         TX: ipv4
       Enhanced refresh
     Session:          internal multihop AS4
     Source address:   10.9.0.1
     Hold timer:       63.736/90
     Keepalive timer:  18.085/30
   Channel ipv4
     State:          UP
     Routes:         3 imported, 1 filtered, 5 exported, 2 preferred
     Route change stats:     received   rejected   filtered    ignored   accepted
       Import updates:              4          0          1          0          3
 
1002-Mesh_10_9_0_3 BGP        ---        start  13:23:51.877  Active        Socket: Connection refused
1006-  BGP state:          Active
     Neighbor address: 10.9.0.3
     Last error:       Socket: Connection refused
 
1002-Mesh_10_9_0_4 BGP        ---        start  2026-11-20  Passive       
1006-  BGP state:          Passive
 
0000 
`;

test('show protocols all: sessions with what was negotiated, or why there is none', () => {
  const now = new Date(2026, 10, 21, 14, 0, 0);
  const sessions = readProtocols(lines(protocols)).flatMap((p) => readSession(p, now) ?? []);
  assert.deepEqual(
    sessions.map((s) => [s.name, s.state, s.reason?.kind]),
    [
      ['Mesh_10_9_0_2', 'Established', undefined],
      ['Mesh_10_9_0_3', 'Active', 'refused'],
      ['Mesh_10_9_0_4', 'Active', 'waiting-for-peer'],
    ],
  );
  const [up, , old] = sessions;
  assert.equal(up?.imported, 3);
  assert.equal(up?.filtered, 1);
  assert.equal(up?.exported, 5);
  assert.equal(up?.session?.holdTimeMs, 90_000);
  assert.deepEqual(up?.session?.addPath[4], { receive: true, send: true });
  assert.equal(up?.session?.gracefulRestart?.restartTimeMs, 120_000);
  assert.equal(up?.session?.gracefulRestart?.families[0]?.forwardingPreserved, true);
  assert.ok(up?.session?.peerCapabilities.includes('Enhanced refresh'));
  assert.equal(up?.since, new Date(2026, 10, 21, 13, 23, 55, 863).toISOString());
  assert.equal(old?.since, new Date(2026, 10, 20).toISOString());
});

test('show route all: paths with their attributes', () => {
  const text = `1007-Table master4:
 10.244.1.0/26        unicast [Mesh_10_9_0_2 13:23:55.879 from 10.9.0.2] * (100) [i]
 	via 10.9.0.2 on eth0
1008-	Type: BGP univ
1012-	BGP.origin: IGP
 	BGP.as_path: 65001 65002
 	BGP.next_hop: 10.9.0.2
 	BGP.med: 5
 	BGP.local_pref: 2147482623
 	BGP.community: (64512,7) (1,2)
 	BGP.large_community: (1, 2, 3)
1007-                     unicast [Mesh_10_9_0_3 13:23:55.879 from 10.9.0.3] (100) [i]
 	via 10.9.0.3 on eth0
1008-	Type: BGP univ
1012-	BGP.origin: Incomplete
 	BGP.as_path: 
 	BGP.next_hop: 10.9.0.3
 	BGP.local_pref: 100
1007-10.244.0.0/26        blackhole [static4 13:23:51.877] * (200)
1008-	Type: static univ
0000 
`;
  const routes = readRoutes(lines(text));
  assert.deepEqual(
    routes.map((r) => [r.prefix, r.learnedFrom, r.source, r.best, r.nextHop]),
    [
      ['10.244.1.0/26', 'Mesh_10_9_0_2', 'bgp', true, '10.9.0.2'],
      ['10.244.1.0/26', 'Mesh_10_9_0_3', 'bgp', false, '10.9.0.3'],
      ['10.244.0.0/26', 'static4', 'static', true, undefined],
    ],
  );
  assert.deepEqual(routes[0]?.communities, ['64512:7', '1:2', '1:2:3']);
  assert.equal(routes[0]?.localPref, 2147482623);
  assert.equal(routes[1]?.origin, 'incomplete');
});

test('show status: version and identity', () => {
  const text =
    '1000-BIRD 2.0.12\n1011-Router ID is 10.9.0.1\n Last reboot on 2026-11-21 13:23:51.877\n0013 up\n';
  assert.deepEqual(readStatus(lines(text)), {
    version: '2.0.12',
    routerId: '10.9.0.1',
    rebootedAt: '2026-11-21 13:23:51.877',
  });
});

test('routes that BIRD leaves behind go at the second look; others and those of a recovery stay', async () => {
  const kernel = new FakeHost().kernel();
  const link = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link');
  const routes = (['10.1.0.0/26 512', '10.1.0.0/26 1024', '10.2.0.0/26 1024'] as const).map((text) => {
    const [dst = '', priority = ''] = text.split(' ');
    return {
      dst: prefix(dst),
      type: 'unicast' as const,
      table: mainTable,
      protocol: 12,
      scope: 'link' as const,
      priority: Number(priority),
      nextHops: [{ linkIndex: link.index }],
    };
  });
  for (const outcome of await kernel.routes.apply(routes.map((route) => ({ op: 'add', route }))))
    expect(outcome, 'route');
  let recovering = true;
  const leftovers = new Leftovers({
    kernel,
    clock: new VirtualClock(),
    logger: silentLogger,
    ask: (command) => {
      const four =
        '1007-Table master4:\n 10.1.0.0/26 unicast [x] * (100)\n1012-\tKernel.metric: 1024\n0000 \n';
      if (command === 'show status')
        return Promise.resolve(
          ok(lines(recovering ? '0024-Graceful restart recovery in progress\n0013 up\n' : '0013 up\n')),
        );
      return Promise.resolve(ok(lines(command.includes('master4') ? four : '0000 \n')));
    },
  });
  const left = async (): Promise<string[]> =>
    expect(await kernel.routes.list({ table: mainTable, protocol: 12 }), 'list').map(
      (r) => `${r.dst} ${r.priority}`,
    );
  await leftovers.look();
  await leftovers.look();
  assert.equal((await left()).length, 3);
  recovering = false;
  await leftovers.look();
  assert.equal((await left()).length, 3);
  await leftovers.look();
  assert.deepEqual(await left(), ['10.1.0.0/26 1024']);
  await kernel.close();
});
