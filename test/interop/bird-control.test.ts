// Debian's birdc against the native speaker: what operators type, and what parsers read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProtocols, readRoutes, readSession } from '../../src/bgp/bird/read-status.ts';
import { askBird } from '../../src/bgp/bird/control-client.ts';
import { expect } from '../../src/lib/result.ts';
import { established, eventually, missing, Network } from './support/network.ts';

test('birdc shows status, protocols and routes of the native speaker', {
  skip: missing('ip', 'bird', 'birdc'),
}, async () => {
  const network = new Network();
  try {
    network.host('us');
    network.host('them');
    network.cable('us', 'them', ['10.9.0.1/24'], ['10.9.0.2/24']);
    const file = network.file(
      'them.conf',
      `log stderr all;
router id 10.9.0.2;
protocol device {}
protocol static { ipv4; route 10.60.1.0/24 blackhole; route 10.60.0.0/16 blackhole; }
protocol bgp speaker { local as 64512; neighbor 10.9.0.1 as 64512; connect delay time 1;
  ipv4 { import all; export filter { bgp_community.add((64512,7)); accept; }; next hop self; }; }
`,
    );
    network.start('them', 'bird', 'bird', '-f', '-c', file, '-s', `${network.directory}/them.ctl`);
    network.speaker('us', {
      local: { nodeName: 'us', as: 64512, routerId: '10.9.0.1', listen: { addresses: ['10.9.0.1'] } },
      peers: [
        { name: 'Mesh_10_9_0_2', address: '10.9.0.2', as: 64512 },
        { name: 'Mesh_10_9_0_3', address: '10.9.0.3', as: 64512, passive: true },
      ],
      origins: ['10.244.1.0/26'],
    });
    await established(network, 'us', 'Mesh_10_9_0_2');
    const socket = `${network.directory}/bird.ctl`;
    const birdc = (...command: string[]): string => network.exec('us', 'birdc', '-s', socket, ...command);

    assert.match(
      birdc('show', 'status'),
      /^BIRD 2\S* ready\.\nBIRD 2.*\nRouter ID is 10\.9\.0\.1\n[^]*Daemon is up and running/,
    );
    assert.match(
      birdc('show', 'protocols'),
      /Mesh_10_9_0_2 BGP {8}--- {8}up {5}\d\d:\d\d:\d\d\.\d{3} {2}Established/,
    );
    assert.match(birdc('show', 'protocols'), /Mesh_10_9_0_3 BGP {8}--- {8}start .* Passive/);
    assert.match(
      birdc('show', 'protocols', 'all', 'Mesh_10_9_0_2'),
      /BGP state: {10}Established\n[^]*Neighbor AS: {6}64512/,
    );
    await eventually(
      'the routes',
      () => birdc('show', 'route'),
      (text) =>
        /10\.60\.1\.0\/24 +unicast \[Mesh_10_9_0_2 .* from 10\.9\.0\.2\] \* \(100\) \[i\]\n\tvia 10\.9\.0\.2 on them/.test(
          text,
        ),
    );
    assert.match(birdc('show', 'route', 'for', '10.60.1.7'), /^10\.60\.1\.0\/24/m);
    assert.doesNotMatch(birdc('show', 'route', 'for', '10.60.1.7'), /10\.60\.0\.0\/16/);
    assert.match(birdc('show', 'route', '10.60.1.0/24', 'all'), /BGP\.community: \(64512,7\)/);
    assert.match(birdc('show', 'route', 'export', 'Mesh_10_9_0_2'), /10\.244\.1\.0\/26/);
    assert.match(birdc('show', 'route', 'protocol', 'static1'), /10\.244\.1\.0\/26 +blackhole \[static1/);
    assert.match(birdc('show', 'route', 'count'), /\d+ of \d+ routes for \d+ networks/);
    // birdc ends with an error where BIRD says one.
    assert.throws(() => birdc('show', 'route', '10.1.0.0/16'), /Network not found/);
    assert.throws(() => birdc('configure'), /Access denied/);

    // The codes, as a parser of the protocol sees them.
    const reply = expect(await askBird(socket, 'show protocols all'), 'protocols');
    const sessions = readProtocols(reply).flatMap((p) => readSession(p, new Date()) ?? []);
    assert.deepEqual(
      sessions.map((s) => [s.name, s.state, s.imported]),
      [
        ['Mesh_10_9_0_2', 'Established', 2],
        ['Mesh_10_9_0_3', 'Active', 0],
      ],
    );
    const routes = readRoutes(expect(await askBird(socket, 'show route all'), 'routes'));
    assert.deepEqual(
      routes.filter((r) => r.source === 'bgp').map((r) => [r.prefix, r.nextHop, r.communities]),
      [
        ['10.60.0.0/16', '10.9.0.2', ['64512:7']],
        ['10.60.1.0/24', '10.9.0.2', ['64512:7']],
      ],
    );
    const refused = await askBird(socket, 'show nonsense');
    assert.equal(refused.ok ? '' : refused.error.code, 'Refused');
    const second = await askBird(`${network.directory}/bird6.ctl`, 'show status');
    assert.ok(second.ok);
  } finally {
    await network.close();
  }
});
