// ExaBGP of Debian as the other side: it announces what its file says and prints what it hears.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, eventually, missing, Network } from './support/network.ts';

const skip = missing('ip', 'exabgp');

const config = (as: number, peerAs: number): string => `
process hear { run /bin/cat; encoder text; }
neighbor 10.9.0.1 {
  router-id 10.9.0.2;
  local-address 10.9.0.2;
  local-as ${as};
  peer-as ${peerAs};
  family { ipv4 unicast; ipv6 unicast; }
  api { processes [ hear ]; receive { parsed; update; } }
  static {
    route 10.60.1.0/24 next-hop 10.9.0.2 community [64512:7] large-community [1:2:3] med 7;
    route 10.60.2.0/26 next-hop 10.9.0.2 as-path [ ${as === peerAs ? '65010 4200000000' : `${as} 4200000000`} ];
    route fd60:1::/64 next-hop fd09::2;
  }
}
`;

for (const [kind, as, peerAs] of [
  ['eBGP with four-octet AS numbers', 4200000001, 4200000002],
  ['iBGP', 64512, 64512],
] as const) {
  test(`ExaBGP, ${kind}: attributes both ways, IPv6 over IPv4, withdrawal`, { skip }, async () => {
    const network = new Network();
    try {
      network.host('us');
      network.host('them');
      network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
      const plan = {
        local: {
          nodeName: 'us',
          as,
          routerId: '10.9.0.1',
          listen: { addresses: ['10.9.0.1'] },
          addresses: { 4: '10.9.0.1/24', 6: 'fd09::1/64' },
        },
        peers: [{ name: 'exabgp', address: '10.9.0.2', as: peerAs, families: [4, 6], passive: true }],
        origins: ['10.244.1.0/26', 'fd24:1::/122'],
      };
      const speaker = network.speaker('us', plan);
      const file = network.file('exabgp.conf', config(peerAs, as));
      network.start(
        'them',
        'exabgp',
        'env',
        'exabgp.daemon.user=root',
        'exabgp.log.destination=stdout',
        'exabgp.log.level=DEBUG',
        'exabgp.log.packets=false',
        'exabgp.api.cli=false',
        'exabgp.api.ack=false',
        'exabgp',
        file,
      );
      const session = await established(network, 'us');
      assert.equal(session.peerAsn, peerAs);
      assert.deepEqual(session.families, [4, 6]);
      await eventually(
        'routes from ExaBGP',
        () => network.routes('us'),
        (r) => r.length === 2,
      );
      await eventually(
        'its IPv6 route',
        () => network.routes('us', 'proto bird', '-6'),
        (r) => r.length === 1,
      );
      type View = { prefix: string; asPath: string; med?: number; communities?: string[] };
      const routes = (await network.ask<View[]>('us', { op: 'routes', peer: 'exabgp' })) ?? [];
      const first = routes.find((r) => r.prefix === '10.60.1.0/24');
      const second = routes.find((r) => r.prefix === '10.60.2.0/26');
      assert.deepEqual(first?.communities, ['64512:7']);
      assert.equal(first?.med, 7);
      assert.match(second?.asPath ?? '', /4200000000$/);
      const heard = (): string => network.log('exabgp');
      await eventually('our routes at ExaBGP', heard, (text) =>
        ['10.244.1.0/26', 'fd24:1::/122'].every((p) => text.includes(p)),
      );
      network.file('us.json', JSON.stringify({ ...plan, origins: [] }));
      speaker.kill('SIGHUP');
      await eventually('the withdrawal at ExaBGP', heard, (text) =>
        /withdrawn?.*10\.244\.1\.0\/26/s.test(text),
      );
    } finally {
      await network.close();
    }
  });
}
