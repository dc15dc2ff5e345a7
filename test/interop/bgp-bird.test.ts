// BIRD 2 of Debian as the other side: routes both ways in IPv4 and IPv6, four-octet AS numbers, ECMP, restarts without a
// route event.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { established, eventually, missing, Network } from './support/network.ts';

const skip = missing('ip', 'bird');

const birdConfig = (options: {
  routerId: string;
  as: number;
  peer: string;
  peerAs: number;
  routes: string;
}): string => `
log stderr all;
router id ${options.routerId};
protocol device { scan time 1; }
protocol kernel { metric 64; ipv4 { export where source = RTS_BGP; }; }
protocol kernel { metric 64; ipv6 { export where source = RTS_BGP; }; }
${options.routes}
protocol bgp peer {
  local as ${options.as};
  neighbor ${options.peer} as ${options.peerAs};
  graceful restart;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; add paths on; };
  ipv6 { import all; export where source = RTS_STATIC; next hop self; add paths on; };
}
`;
const staticRoutes = `
protocol static { ipv4; route 10.60.1.0/24 blackhole; route 10.60.2.0/26 blackhole; route 10.60.3.7/32 blackhole; }
protocol static { ipv6; route fd60:1::/64 blackhole; route fd60:2::1/128 blackhole; }
`;

function bird(network: Network, host: string, config: string, ...flags: string[]) {
  const file = network.file(`${host}.conf`, config);
  return network.start(
    host,
    `${host}-bird`,
    'bird',
    '-f',
    '-c',
    file,
    '-s',
    `${network.directory}/${host}.ctl`,
    ...flags,
  );
}
const birdc = (network: Network, host: string, ...command: string[]): string =>
  network.exec(host, 'birdc', '-s', `${network.directory}/${host}.ctl`, ...command);

const ourPlan = (as: number, peerAs: number) => ({
  local: {
    nodeName: 'us',
    as,
    routerId: '10.9.0.1',
    listen: { addresses: ['10.9.0.1', 'fd09::1'] },
    addresses: { 4: '10.9.0.1/24', 6: 'fd09::1/64' },
  },
  peers: [{ name: 'bird', address: '10.9.0.2', as: peerAs, families: [4, 6], addPath: true }],
  origins: ['10.244.1.0/26', '10.244.9.9/32', 'fd24:1::/122'],
});

const prefixes = (routes: readonly { dst: string }[]): string[] => routes.map((r) => r.dst).sort();
const theirs4 = ['10.60.1.0/24', '10.60.2.0/26', '10.60.3.7'];
const theirs6 = ['fd60:1::/64', 'fd60:2::1'];

for (const [kind, as, peerAs] of [
  ['eBGP with four-octet AS numbers', 4200000001, 4200000002],
  ['iBGP', 64512, 64512],
] as const) {
  test(`BIRD 2, ${kind}: IPv4 and IPv6 routes both ways`, { skip }, async () => {
    const network = new Network();
    try {
      network.host('us');
      network.host('them');
      network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
      bird(
        network,
        'them',
        birdConfig({ routerId: '10.9.0.2', as: peerAs, peer: '10.9.0.1', peerAs: as, routes: staticRoutes }),
      );
      network.speaker('us', ourPlan(as, peerAs));
      const session = await established(network, 'us');
      assert.equal(session.peerAsn, peerAs);
      assert.equal(session.as4, true);
      assert.deepEqual(session.families, [4, 6]);

      const learned = await eventually(
        'routes from BIRD',
        () => network.routes('us'),
        (r) => r.length === 3,
      );
      assert.deepEqual(prefixes(learned), theirs4);
      for (const route of learned) {
        assert.equal(route.gateway, '10.9.0.2');
        // BIRD's own default preference, 100, by the rule of Calico's kernel filter.
        assert.equal(route.metric, 2147483547);
      }
      const learned6 = await eventually(
        'IPv6 routes from BIRD',
        () => network.routes('us', 'proto bird', '-6'),
        (r) => r.length === 2,
      );
      assert.deepEqual(prefixes(learned6), theirs6);

      const told = await eventually(
        'routes at BIRD',
        () => network.routes('them', 'proto bird'),
        (r) => r.length === 2,
      );
      assert.deepEqual(prefixes(told), ['10.244.1.0/26', '10.244.9.9']);
      const told6 = await eventually(
        'IPv6 routes at BIRD',
        () => network.routes('them', 'proto bird', '-6'),
        (r) => r.length === 1,
      );
      assert.deepEqual(prefixes(told6), ['fd24:1::/122']);
      assert.match(
        birdc(network, 'them', 'show', 'route', 'all', '10.244.1.0/26'),
        kind === 'iBGP' ? /BGP\.as_path: *\n/ : /BGP\.as_path: 4200000001/,
      );
    } finally {
      await network.close();
    }
  });
}

test('BG-039: BIRD 2: our kill -9 and restart cause no route event here or there, and what changed meanwhile is corrected', {
  skip,
}, async () => {
  const network = new Network();
  try {
    network.host('us');
    network.host('them');
    network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
    bird(
      network,
      'them',
      birdConfig({ routerId: '10.9.0.2', as: 64512, peer: '10.9.0.1', peerAs: 64512, routes: staticRoutes }),
    );
    const first = network.speaker('us', ourPlan(64512, 64512));
    await eventually(
      'routes from BIRD',
      () => network.routes('us'),
      (r) => r.length === 3,
    );
    await eventually(
      'routes at BIRD',
      () => network.routes('them'),
      (r) => r.length === 2,
    );
    // A route of an earlier life that nobody announces any more.
    network.ip('us', 'route add 10.60.99.0/24 via 10.9.0.2 proto bird metric 1024');
    await eventually(
      'the orphan is removed while we run',
      () => network.routes('us'),
      (r) => r.length === 3,
    );

    const events = { us: watch(network, 'us'), them: watch(network, 'them') };
    await network.kill(first);
    network.ip('us', 'route add 10.60.98.0/24 via 10.9.0.2 proto bird metric 1024');
    network.ip('us', 'route add blackhole 10.244.1.0/26 proto bird');
    network.speaker('us', ourPlan(64512, 64512));
    await established(network, 'us');
    await eventually(
      'the orphan is removed after the restart',
      () => network.routes('us'),
      (r) => prefixes(r).every((p) => p !== '10.60.98.0/24'),
    );
    assert.deepEqual(prefixes(network.routes('us')), ['10.244.1.0/26', ...theirs4]);
    assert.deepEqual(events.them.lines(), [], 'no route event at the neighbour');
    const ours = events.us
      .lines()
      .filter((l) => !l.includes('10.60.98.0/24') && !l.includes('10.244.1.0/26'));
    assert.deepEqual(ours, [], 'no route event here');
  } finally {
    await network.close();
  }
});

test("BIRD 2: the neighbour's kill -9 and restart keep its routes; what it no longer has goes", {
  skip,
}, async () => {
  const network = new Network();
  try {
    network.host('us');
    network.host('them');
    network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
    const config = birdConfig({
      routerId: '10.9.0.2',
      as: 64512,
      peer: '10.9.0.1',
      peerAs: 64512,
      routes: staticRoutes,
    });
    const daemon = bird(network, 'them', config);
    network.speaker('us', ourPlan(64512, 64512));
    await eventually(
      'routes from BIRD',
      () => network.routes('us'),
      (r) => r.length === 3,
    );
    const events = watch(network, 'us');
    await network.kill(daemon);
    await eventually(
      'the session is seen as down',
      () => network.ask<{ state: string }[]>('us', { op: 'peers' }),
      (p) => p?.[0]?.state !== 'Established',
    );
    assert.deepEqual(prefixes(network.routes('us')), theirs4);
    bird(network, 'them', config.replace('route 10.60.2.0/26 blackhole;', ''), '-R');
    await eventually(
      'the vanished route goes',
      () => network.routes('us'),
      (r) => r.length === 2,
    );
    assert.deepEqual(prefixes(network.routes('us')), ['10.60.1.0/24', '10.60.3.7']);
    assert.deepEqual(
      events.lines().filter((l) => !l.includes('10.60.2.0/26')),
      [],
    );
  } finally {
    await network.close();
  }
});

test('BG-023: BIRD 2: a session over IPv6 beside the one over IPv4, as nodes of a dual-stack cluster have them', {
  skip,
}, async () => {
  const network = new Network();
  try {
    network.host('us');
    network.host('them');
    network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
    const four = birdConfig({
      routerId: '10.9.0.2',
      as: 64512,
      peer: '10.9.0.1',
      peerAs: 64512,
      routes: staticRoutes,
    });
    const config = `${four.replace(/ {2}ipv6 \{ import all; export where source = RTS_STATIC.*\n/, '')}
protocol bgp six {
  local as 64512;
  neighbor fd09::1 as 64512;
  graceful restart;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv6 { import all; export where source = RTS_STATIC; next hop self; };
}
`;
    bird(network, 'them', config);
    const plan = ourPlan(64512, 64512);
    network.speaker('us', {
      ...plan,
      peers: [
        { name: 'four', address: '10.9.0.2', as: 64512 },
        { name: 'six', address: 'fd09::2', as: 64512 },
      ],
    });
    assert.deepEqual((await established(network, 'us', 'six')).families, [6]);
    assert.deepEqual((await established(network, 'us', 'four')).families, [4]);
    const learned = await eventually(
      'IPv6 routes',
      () => network.routes('us', 'proto bird', '-6'),
      (r) => r.length === 2,
    );
    assert.deepEqual(learned.map((r) => `${r.dst} ${r.gateway}`).sort(), [
      'fd60:1::/64 fd09::2',
      'fd60:2::1 fd09::2',
    ]);
    await eventually(
      'IPv6 route at BIRD',
      () => network.routes('them', 'proto bird', '-6'),
      (r) => prefixes(r).join() === 'fd24:1::/122',
    );
    await eventually(
      'IPv4 routes',
      () => network.routes('us'),
      (r) => r.length === 3,
    );
  } finally {
    await network.close();
  }
});

/** Route events of the main table, as `ip monitor` prints them. */
function watch(network: Network, host: string): { lines(): string[] } {
  const child = spawn('ip', ['-n', host, 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  network.adopt(child);
  return {
    lines: () =>
      text.split('\n').filter((l) => l !== '' && !/table local|^local|^multicast|fe80::|ff00::/.test(l)),
  };
}
