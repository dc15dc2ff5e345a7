// FRR of Debian (zebra and bgpd, run by hand) as the other side: routes both ways, four-octet AS numbers, restart of bgpd.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, eventually, missing, Network } from './support/network.ts';

const skip = missing('ip', '/usr/lib/frr/bgpd', '/usr/lib/frr/zebra', 'vtysh');

const config = (options: { as: number; peerAs: number }): string => `
frr defaults datacenter
hostname them
log stdout
router bgp ${options.as}
 bgp router-id 10.9.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 neighbor 10.9.0.1 remote-as ${options.peerAs}
 neighbor 10.9.0.1 timers connect 1
 neighbor 10.9.0.1 capability extended-nexthop
 address-family ipv4 unicast
  network 10.60.1.0/24
  network 10.60.2.0/26
  neighbor 10.9.0.1 next-hop-self
 exit-address-family
 address-family ipv6 unicast
  network fd60:1::/64
  neighbor 10.9.0.1 activate
  neighbor 10.9.0.1 next-hop-self
  neighbor 10.9.0.1 route-map SIX in
 exit-address-family
route-map SIX permit 10
`;

function daemon(network: Network, name: 'zebra' | 'bgpd', file: string) {
  const run = network.subdirectory('frr');
  return network.start(
    'them',
    name,
    `/usr/lib/frr/${name}`,
    ...`-u frr -g frr -f ${file} -i ${run}/${name}.pid -z ${run}/zserv.api --vty_socket ${run}`.split(' '),
    ...'-A 127.0.0.1 -P 0'.split(' '),
    ...(name === 'bgpd' ? [] : ['-r']),
  );
}
const vtysh = (network: Network, command: string): string =>
  network.exec('them', 'vtysh', '--vty_socket', network.subdirectory('frr'), '-c', command);

const ourPlan = (as: number, peerAs: number) => ({
  local: {
    nodeName: 'us',
    as,
    routerId: '10.9.0.1',
    listen: { addresses: ['10.9.0.1'] },
    addresses: { 4: '10.9.0.1/24', 6: 'fd09::1/64' },
  },
  peers: [{ name: 'frr', address: '10.9.0.2', as: peerAs, families: [4, 6] }],
  origins: ['10.244.1.0/26', '10.244.9.9/32', 'fd24:1::/122'],
});

const prefixes = (routes: readonly { dst: string }[]): string[] => routes.map((r) => r.dst).sort();

for (const [kind, as, peerAs] of [
  ['eBGP with four-octet AS numbers', 4200000001, 4200000002],
  ['iBGP', 64512, 64512],
] as const) {
  test(`FRR, ${kind}: routes both ways, restart of bgpd`, { skip }, async () => {
    const network = new Network();
    try {
      network.host('us');
      network.host('them');
      network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
      const file = network.file('frr.conf', config({ as: peerAs, peerAs: as }));
      daemon(network, 'zebra', file);
      let bgpd = daemon(network, 'bgpd', file);
      network.speaker('us', ourPlan(as, peerAs));
      const session = await established(network, 'us');
      assert.equal(session.peerAsn, peerAs);
      assert.equal(session.as4, true);

      const learned = await eventually(
        'routes from FRR',
        () => network.routes('us'),
        (r) => r.length === 2,
      );
      assert.deepEqual(prefixes(learned), ['10.60.1.0/24', '10.60.2.0/26']);
      for (const route of learned) assert.equal(route.gateway, '10.9.0.2');
      await eventually(
        'IPv6 route from FRR',
        () => network.routes('us', 'proto bird', '-6'),
        (r) => prefixes(r).includes('fd60:1::/64'),
      );

      const told = await eventually(
        'routes at FRR',
        () => network.routes('them', 'proto bgp'),
        (r) => r.length === 2,
      );
      assert.deepEqual(prefixes(told), ['10.244.1.0/26', '10.244.9.9']);
      const told6 = await eventually(
        'IPv6 routes at FRR',
        () => network.routes('them', 'proto bgp', '-6'),
        (r) => r.length === 1,
      );
      assert.deepEqual(prefixes(told6), ['fd24:1::/122']);
      const path = JSON.parse(vtysh(network, 'show bgp ipv4 unicast 10.244.1.0/26 json')) as {
        paths: { aspath: { string: string }; origin: string; nexthops: { ip: string }[] }[];
      };
      assert.equal(path.paths[0]?.aspath.string, as === peerAs ? 'Local' : String(as));
      assert.equal(path.paths[0]?.origin, 'IGP');
      assert.equal(path.paths[0]?.nexthops[0]?.ip, '10.9.0.1');

      await network.kill(bgpd);
      await eventually(
        'the session is seen as down',
        () => network.ask<{ state: string }[]>('us', { op: 'peers' }),
        (p) => p?.[0]?.state !== 'Established',
      );
      bgpd = daemon(network, 'bgpd', file);
      await established(network, 'us');
      await eventually(
        'routes after the restart',
        () => network.routes('them', 'proto bgp'),
        (r) => r.length === 2,
      );
      assert.deepEqual(prefixes(network.routes('us')), ['10.60.1.0/24', '10.60.2.0/26']);
    } finally {
      await network.close();
    }
  });
}
