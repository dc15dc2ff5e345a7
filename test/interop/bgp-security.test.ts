// TTL security over one hop with BIRD 2, alone and with a password: it dials, we dial, in IPv4 and IPv6; a peer that does not
// send with 255 gets nowhere. Passwords with all daemons are in the interop matrix (docs/bgp-interop.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, eventually, missing, Network, reportFailures } from './support/network.ts';

const skip = missing('ip', 'bird');
reportFailures();
type Side = { readonly passive: boolean; readonly password?: string; readonly ttl?: boolean };

const birdConfig = (family: 4 | 6, { passive, password, ttl }: Side): string => {
  const [own, peer] = family === 4 ? ['10.9.0.2', '10.9.0.1'] : ['fd09::2', 'fd09::1'];
  return `
log stderr all;
router id 10.9.0.2;
protocol device { scan time 1; }
protocol static { ipv4; route 10.60.1.0/24 blackhole; }
protocol bgp peer {
  local ${own} as 65002;
  neighbor ${peer} as 65001;
  ${passive ? 'passive on;' : ''}
  ${password === undefined ? '' : `password "${password}";`}
  ${ttl === true ? 'ttl security on;' : ''}
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export where source = RTS_STATIC; next hop address 10.9.0.2; };
}
`;
};

const plan = (family: 4 | 6, { passive, password, ttl }: Side) => ({
  local: {
    nodeName: 'us',
    as: 65001,
    routerId: '10.9.0.1',
    listen: { addresses: ['10.9.0.1', 'fd09::1'] },
    addresses: { 4: '10.9.0.1/24', 6: 'fd09::1/64' },
  },
  peers: [
    {
      name: 'bird',
      address: family === 4 ? '10.9.0.2' : 'fd09::2',
      sourceAddress: family === 4 ? '10.9.0.1' : 'fd09::1',
      as: 65002,
      families: [4],
      passive,
      ...(password === undefined ? {} : { password }),
      ...(ttl === true ? { ttlSecurityHops: 1 } : {}),
    },
  ],
  origins: ['10.244.1.0/26'],
});

async function inNetwork(body: (network: Network) => Promise<void>): Promise<void> {
  const network = new Network();
  try {
    network.host('us');
    network.host('them');
    network.cable('us', 'them', ['10.9.0.1/24', 'fd09::1/64'], ['10.9.0.2/24', 'fd09::2/64']);
    await body(network);
  } finally {
    await network.close();
  }
}

const bird = (network: Network, config: string) =>
  network.start(
    'them',
    'bird',
    'bird',
    '-f',
    '-c',
    network.file('bird.conf', config),
    '-s',
    `${network.directory}/ctl`,
  );

const states = async (network: Network): Promise<string> =>
  ((await network.ask<{ state: string }[]>('us', { op: 'peers' })) ?? []).map((p) => p.state).join();

for (const [family, security, wePassive] of [
  [4, { password: 'mesh secret', ttl: true }, false],
  [6, { password: 'mesh secret', ttl: true }, true],
  [4, { ttl: true }, true],
] as const) {
  const what = Object.keys(security).join(' and ');
  test(`BG-014, BG-016: BIRD 2, IPv${family}, ${what}, ${wePassive ? 'it dials' : 'we dial'}`, { skip }, () =>
    inNetwork(async (network) => {
      bird(network, birdConfig(family, { ...security, passive: !wePassive }));
      network.speaker('us', plan(family, { ...security, passive: wePassive }));
      await established(network, 'us');
      await eventually(
        'the route from BIRD',
        () => network.routes('us'),
        (r) => r.length === 1,
      );
    }),
  );
}

test('BG-016: TTL security: a peer that does not send with 255 gets nowhere', { skip }, () =>
  inNetwork(async (network) => {
    bird(network, birdConfig(4, { passive: false }));
    network.speaker('us', plan(4, { passive: true, ttl: true }));
    await eventually(
      'the speaker answers',
      () => states(network),
      (s) => s !== '',
    );
    await eventually(
      'what is sent with less is dropped',
      () => network.counter('us', 'TCPMinTTLDrop'),
      (n) => n > 4,
      60_000,
    );
    assert.notEqual(await states(network), 'Established');
  }),
);
