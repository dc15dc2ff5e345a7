// GoBGP of Debian as the other side. It has no kernel face without zebra, so its table is asked with its own client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, eventually, missing, Network } from './support/network.ts';

const skip = missing('ip', 'gobgpd', 'gobgp');

const config = (options: { as: number; peerAs: number; passive: boolean }): string => `
[global.config]
  as = ${options.as}
  router-id = "10.9.0.2"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.9.0.1"
    peer-as = ${options.peerAs}
  [neighbors.transport.config]
    passive-mode = ${options.passive}
  [neighbors.timers.config]
    connect-retry = 5
    idle-hold-time-after-reset = 5
  [neighbors.graceful-restart.config]
    enabled = true
    restart-time = 60
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = true
`;

const daemon = (network: Network, file: string) =>
  network.start('them', 'gobgpd', 'gobgpd', '-f', file, '--api-hosts', '127.0.0.1:50051', '-p');
const gobgp = (network: Network, ...command: string[]): string => network.exec('them', 'gobgp', ...command);

async function announce(network: Network): Promise<void> {
  await eventually(
    'gobgpd answers',
    () => gobgp(network, 'global'),
    (text) => text.includes('10.9.0.2'),
  );
  gobgp(network, 'global', 'rib', 'add', '10.60.1.0/24', 'nexthop', '10.9.0.2', 'community', '64512:7');
  gobgp(network, 'global', 'rib', 'add', '10.60.2.0/26', 'nexthop', '10.9.0.2', 'med', '7');
  gobgp(network, 'global', 'rib', 'add', '-a', 'ipv6', 'fd60:1::/64', 'nexthop', 'fd09::2');
}

const ourPlan = (as: number, peerAs: number, passive: boolean) => ({
  local: {
    nodeName: 'us',
    as,
    routerId: '10.9.0.1',
    listen: { addresses: ['10.9.0.1'] },
    addresses: { 4: '10.9.0.1/24', 6: 'fd09::1/64' },
  },
  peers: [{ name: 'gobgp', address: '10.9.0.2', as: peerAs, families: [4, 6], passive }],
  origins: ['10.244.1.0/26', '10.244.9.9/32', 'fd24:1::/122'],
});

type Path = { attrs: { type: number; value?: number; as_paths?: { asns: number[] }[]; nexthop?: string }[] };
const table = (network: Network, family: string): Record<string, Path[]> =>
  JSON.parse(gobgp(network, 'neighbor', '10.9.0.1', 'adj-in', '-a', family, '-j') || '{}') as Record<
    string,
    Path[]
  >;
const prefixes = (routes: readonly { dst: string }[]): string[] => routes.map((r) => r.dst).sort();

for (const [kind, as, peerAs, wePassive] of [
  ['eBGP with four-octet AS numbers, it dials', 4200000001, 4200000002, true],
  ['iBGP, we dial', 64512, 64512, false],
] as const) {
  test(`GoBGP, ${kind}: routes both ways, restart`, { skip }, async () => {
    const network = new Network();
    try {
      network.host('us');
      network.host('them');
      network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
      const file = network.file('gobgp.toml', config({ as: peerAs, peerAs: as, passive: !wePassive }));
      const first = daemon(network, file);
      network.speaker('us', ourPlan(as, peerAs, wePassive));
      await announce(network);
      const session = await established(network, 'us');
      assert.equal(session.peerAsn, peerAs);
      assert.deepEqual(session.families, [4, 6]);

      const learned = await eventually(
        'routes from GoBGP',
        () => network.routes('us'),
        (r) => r.length === 2,
      );
      assert.deepEqual(prefixes(learned), ['10.60.1.0/24', '10.60.2.0/26']);
      await eventually(
        'IPv6 route from GoBGP',
        () => network.routes('us', 'proto bird', '-6'),
        (r) => prefixes(r).includes('fd60:1::/64'),
      );
      const [route] =
        (await network.ask<{ communities?: string[] }[]>('us', { op: 'routes', prefix: '10.60.1.0/24' })) ??
        [];
      assert.deepEqual(route?.communities, ['64512:7']);

      await eventually(
        'routes at GoBGP',
        () => table(network, 'ipv4'),
        (t) => Object.keys(t).length === 2,
      );
      assert.deepEqual(Object.keys(table(network, 'ipv4')).sort(), ['10.244.1.0/26', '10.244.9.9/32']);
      await eventually(
        'IPv6 routes at GoBGP',
        () => table(network, 'ipv6'),
        (t) => Object.keys(t).join() === 'fd24:1::/122',
      );

      await network.kill(first);
      daemon(network, file);
      await announce(network);
      await established(network, 'us');
      await eventually(
        'routes at GoBGP after the restart',
        () => table(network, 'ipv4'),
        (t) => Object.keys(t).length === 2,
      );
      await eventually(
        'routes from GoBGP after the restart',
        () => network.routes('us'),
        (r) => r.length === 2,
      );
    } finally {
      await network.close();
    }
  });
}
