// IP in IP by eBPF on the real kernel: headers on the wire, big transfers, and what strangers get.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../src/lib/result.ts';
import { addressToBigInt, type Address } from '../../src/lib/ip/mod.ts';
import type { TrafficFilter } from '../../src/kernel/mod.ts';
import { encapsulationProgram } from '../../src/felix/dataplane/overlay/egress-program.ts';
import { type Doorkeeping, ingressProgram } from '../../src/felix/dataplane/overlay/ingress-program.ts';
import { programLicence } from '../../src/felix/dataplane/overlay/program-parts.ts';
import { unable } from './support/felix-node.ts';
import { OverlayHosts } from './support/overlay-hosts.ts';

const skip = unable('tcpdump') ?? false;

const one = (text: string): readonly [number, number] => {
  const number = Number(addressToBigInt(text as Address));
  return [number, number];
};

/** tunl0 by eBPF, as the agent makes it. */
async function tunnel(hosts: OverlayHosts, n: 1 | 2, sources: readonly string[]): Promise<void> {
  const kernel = hosts.kernel(`h${n}`);
  const mac = `02:00:00:00:00:0${n}`;
  const device = expect(
    await kernel.links.create({ kind: 'ifb', name: 'tunl0', mtu: 1480, mac, up: true }),
    'tunl0',
  );
  hosts.ip(`h${n}`, `addr add 10.244.${n}.1/32 dev tunl0`);
  const eth0 = expect(await kernel.links.get('eth0'), 'eth0');
  assert.ok(eth0);
  const local = `10.${n}.0.1` as Address;
  const outcomes = await kernel.filters.apply([
    {
      op: 'replace',
      filter: { linkIndex: device.index, direction: 'egress', priority: 1, name: 'out' },
      program: { code: encapsulationProgram(local), licence: programLicence },
    },
    {
      op: 'replace',
      filter: { linkIndex: eth0.index, direction: 'ingress', priority: 1, name: 'in' },
      program: {
        code: ingressProgram({
          v4: {
            local,
            sources: sources.map(one),
            ipip: { index: device.index, mac: Uint8Array.of(2, 0, 0, 0, 0, n) },
          },
        }),
        licence: programLicence,
      },
    },
  ]);
  for (const outcome of outcomes) expect(outcome, 'filters');
  hosts.ip(`h${n}`, `route add 10.244.${3 - n}.0/26 via 10.${3 - n}.0.1 dev tunl0 onlink`);
}

test('SR-094 SR-095: IP in IP by eBPF, node to node over a router', { skip }, async () => {
  await using hosts = await OverlayHosts.make();
  const nodes = Array.from({ length: 40 }, (_, i) => `10.9.${i}.1`);
  await tunnel(hosts, 1, ['10.2.0.1', ...nodes]);
  await tunnel(hosts, 2, ['10.1.0.1', ...nodes]);
  const wire = await hosts.capture('router', 'r2', 'proto 4', async () => {
    const ping = await hosts.run('pod1', 'ping', '-c', '2', '-i', '0.2', '-W', '1', '10.244.2.5');
    assert.equal(ping.code, 0, ping.output);
    assert.match(ping.output, /ttl=62/);
  });
  assert.match(wire, /10\.1\.0\.1 > 10\.2\.0\.1: .*\n?.*10\.244\.1\.5 > 10\.244\.2\.5/);
  assert.match(wire, /proto IPIP \(4\), length 104/);
});

test('the kernel takes doorkeepers of every shape', { skip }, async () => {
  await using hosts = await OverlayHosts.make();
  const kernel = hosts.kernel('h1');
  const eth0 = expect(await kernel.links.get('eth0'), 'eth0');
  assert.ok(eth0);
  const local = '10.1.0.1' as Address;
  const nodes = Array.from({ length: 2000 }, (_, i) => one(`10.${i >> 8}.${i & 255}.3`));
  const local6 = 'fd00::1' as Address;
  const nodes6 = Array.from(
    { length: 500 },
    (_, i) => `fd00:0:0:${i % 3}::${(i + 1).toString(16)}` as Address,
  );
  const twins = ['fd00:0:0:1::7', 'fd00:0:0:2::7', 'fd00:0:0:3::7'] as Address[];
  const shapes: Doorkeeping[] = [
    { v4: { local, sources: [], ipip: 'guard' } },
    { v4: { local, sources: [], vxlanPort: 4789 } },
    { v4: { local, sources: nodes, ipip: 'guard', vxlanPort: 4789 } },
    {
      v4: {
        local,
        sources: [[1, 5], ...nodes, [0xe0000000, 0xffffffff]],
        ipip: { index: 7, mac: new Uint8Array(6) },
        vxlanPort: 4789,
      },
    },
    { v6: { local: local6, sources: [], vxlanPort: 4789 } },
    {
      v6: { local: local6, sources: [...nodes6, ...twins], vxlanPort: 4789 },
      v4: { local, sources: nodes, vxlanPort: 4789 },
    },
  ];
  for (const [i, shape] of shapes.entries()) {
    const filter: TrafficFilter = {
      linkIndex: eth0.index,
      direction: 'ingress',
      priority: 1,
      name: `shape ${i}`,
    };
    const program = { code: ingressProgram(shape), licence: programLicence };
    const [outcome] = await kernel.filters.apply([{ op: 'replace', filter, program }]);
    assert.ok(outcome);
    expect(outcome, `shape ${i}`);
    assert.deepEqual(expect(await kernel.filters.list(eth0.index), 'list'), [filter]);
  }
});
