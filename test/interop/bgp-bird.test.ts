// BIRD 2 of Debian with a session for each family, as nodes of a dual-stack cluster have them. The rest of what is tried with
// other programs is the interop matrix (docs/bgp-interop.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, eventually, missing, Network, reportFailures } from './support/network.ts';

const skip = missing('ip', 'bird');
reportFailures();

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
