import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { containsAddress } from '../../lib/ip/mod.ts';
import { expect } from '../../lib/result.ts';
import { subnetOf } from './interfaces.ts';
import {
  designNames,
  drawTopology,
  expectBetween,
  nodesOf,
  planTopology,
  sessionCount,
  type Topology,
} from './mod.ts';

const plan = (name: string, options: Parameters<typeof planTopology>[0] | object = {}): Topology =>
  expect(planTopology({ name, ...options }), name);

test('two racks are the topology of the seeds', () => {
  const nodes = nodesOf(plan('two-racks')).map((n) => `${n.name} ${n.rack} ${n.addresses[0]?.address}`);
  assert.deepEqual(nodes, [
    'master1 rack-1 10.0.0.11',
    'worker1 rack-1 10.0.0.21',
    'worker2 rack-1 10.0.0.22',
    'worker3 rack-2 30.0.0.23',
  ]);
  const topology = plan('two-racks');
  const leaf = topology.machines.find((m) => m.name === 'leaf01');
  assert.equal(leaf?.bgp?.asNumber, 65001);
  assert.deepEqual(
    leaf?.bgp?.neighbours.map((n) => `${n.name} ${n.address} ${n.asNumber}`),
    [
      'master1 10.0.0.11 64512',
      'worker1 10.0.0.21 64512',
      'worker2 10.0.0.22 64512',
      'spine 10.255.0.0 65000',
    ],
  );
  assert.deepEqual(leaf?.routes, [{ dst: '30.0.0.0/24', via: '10.255.0.0' }]);
});

test('without BGP in the fabric the subnets are still routed', () => {
  const topology = plan('two-racks', { fabricBgp: false });
  assert.ok(topology.machines.every((m) => m.bgp === undefined));
  assert.deepEqual(topology.peers, []);
  assert.ok(topology.machines.filter((m) => m.role === 'router').every((m) => m.routes.length > 0));
});

test('SR-232: with the backend none every node has a range for pods, and machines that lie between know the way to it', () => {
  const topology = plan('two-racks', { backend: 'none', dualStack: true });
  const machine = (name: string) => topology.machines.find((m) => m.name === name);
  assert.deepEqual(machine('worker3')?.podRanges, ['10.244.3.0/24', 'fd00:10:244:3::/64']);
  const routes = (name: string): string[] =>
    (machine(name)?.routes ?? [])
      .map((r) => `${r.dst} ${r.via}`)
      .filter((text) => text.startsWith('10.244.'));
  // To the other rack by the default route.
  assert.deepEqual(routes('worker1'), ['10.244.0.0/24 10.0.0.11', '10.244.2.0/24 10.0.0.22']);
  assert.deepEqual(routes('leaf02'), [
    '10.244.0.0/24 10.255.0.2',
    '10.244.1.0/24 10.255.0.2',
    '10.244.2.0/24 10.255.0.2',
    '10.244.3.0/24 30.0.0.23',
  ]);
  assert.equal(routes('spine').at(-1), '10.244.3.0/24 10.255.0.3');
  assert.ok(machine('spine')?.routes.some((r) => r.dst === 'fd00:10:244::/64' && r.via === 'fd00:255::1'));
  assert.deepEqual(expectBetween(topology, 'worker1', 'worker3'), { reachable: true, ttl: 59 });
  assert.equal(sessionCount(topology, 'worker1'), 0);
  assert.equal(sessionCount(plan('flat', { backend: 'vxlan' }), 'worker1'), 0);
  for (const refused of [{ design: 'rr' }, { reflectors: 'routers' as const }])
    assert.equal(planTopology({ name: 'two-racks', backend: 'vxlan', ...refused }).ok, false);
});

test('SR-149, SR-150, SR-151: designs without a mesh: one leaf per node, AS numbers per rack or per node', () => {
  const asOf = (t: Topology): string[] => t.nodeBgp.map((n) => `${n.node} ${n.asNumber}`);
  const rack = plan('two-racks', { design: 'as-per-rack' });
  assert.deepEqual(asOf(rack), ['master1 65001', 'worker1 65001', 'worker2 65001', 'worker3 65002']);
  const server = plan('two-racks', { design: 'as-per-server' });
  assert.deepEqual(asOf(server), ['master1 65011', 'worker1 65021', 'worker2 65022', 'worker3 65023']);
  for (const topology of [rack, server]) {
    assert.equal(topology.mesh, false);
    assert.deepEqual(
      topology.peers.map((p) => `${p.node} ${p.peerIP} ${p.asNumber}`),
      [
        'master1 10.0.0.254 65001',
        'worker1 10.0.0.254 65001',
        'worker2 10.0.0.254 65001',
        'worker3 30.0.0.254 65002',
      ],
    );
  }
  assert.equal(planTopology({ name: 'flat', design: 'as-per-rack' }).ok, false);
  assert.equal(planTopology({ name: 'two-racks', design: 'as-per-rack', fabricBgp: false }).ok, false);
  assert.equal(planTopology({ name: 'flat', design: 'star' }).ok, false);
});

test('SR-143, SR-144, SR-145, SR-156: two reflectors, nodes or routers, in place of the mesh', () => {
  const inCluster = plan('two-racks', { design: 'rr' });
  assert.deepEqual(
    inCluster.nodeBgp.filter((n) => n.routeReflectorClusterID !== undefined).map((n) => n.node),
    ['master1', 'worker3'],
  );
  assert.equal(sessionCount(inCluster, 'worker1'), 2 + 1);
  assert.equal(sessionCount(inCluster, 'master1'), 3 + 1);
  const routers = plan('flat', { design: 'rr', reflectors: 'routers', nodes: 10 });
  assert.deepEqual(
    routers.peers.map((p) => `${p.name} ${p.peerIP} ${p.asNumber}`),
    ['rr1 10.0.0.251 64512', 'rr2 10.0.0.252 64512'],
  );
  assert.equal(sessionCount(routers, 'worker1'), 2);
  assert.equal(sessionCount(routers, 'rr1'), 10);
});

test('what a ping should see', () => {
  const topology = plan('two-racks');
  assert.deepEqual(expectBetween(topology, 'worker1', 'worker1'), { reachable: true, ttl: 63 });
  assert.deepEqual(expectBetween(topology, 'worker1', 'worker2'), { reachable: true, ttl: 62 });
  assert.deepEqual(expectBetween(topology, 'worker1', 'worker3'), { reachable: true, ttl: 59 });
  const dark = plan('two-racks', { fabricBgp: false });
  assert.equal(expectBetween(dark, 'worker1', 'worker3').reachable, false);
  assert.equal(expectBetween(dark, 'worker1', 'worker2').reachable, true);
});

test('bad requests are refused with the way out', () => {
  const unknown = planTopology({ name: 'ring' });
  assert.ok(
    !unknown.ok && unknown.error.code === 'UnknownTopology' && /two-racks/.test(unknown.error.hint ?? ''),
  );
  for (const nodes of [0, -1, 1.5, Number.NaN, 100_000]) {
    const bad = planTopology({ name: 'flat', nodes });
    assert.ok(!bad.ok && bad.error.code === 'BadNodeCount');
  }
});

test('every plan is consistent: unique names, addresses and cable ends, gateways and neighbours on a subnet', () => {
  fc.assert(
    fc.property(
      fc.record({
        name: fc.constantFrom('flat', 'two-racks', 'three-racks', 'four-racks'),
        nodes: fc.integer({ min: 1, max: 200 }),
        dualStack: fc.boolean(),
        fabricBgp: fc.boolean(),
        design: fc.constantFrom(...designNames),
        reflectors: fc.constantFrom('nodes' as const, 'routers' as const),
      }),
      (options) => {
        const planned = planTopology(options);
        if (!planned.ok) {
          assert.equal(planned.error.code, 'BadDesign');
          return;
        }
        const topology = planned.value;
        const unique = (values: readonly string[]): void =>
          assert.equal(new Set(values).size, values.length, values.join());
        unique(topology.machines.map((m) => m.name));
        unique(
          topology.machines.flatMap((m) => m.interfaces.flatMap((i) => i.addresses.map((a) => a.address))),
        );
        unique(topology.cables.flatMap((c) => [c.a, c.b].map((e) => `${e.machine}:${e.interface}`)));
        assert.equal(nodesOf(topology).length, options.nodes);
        for (const { a, b } of topology.cables)
          for (const end of [a, b])
            assert.ok(
              topology.machines.some(
                (m) =>
                  m.name === end.machine &&
                  m.interfaces.some((i) => i.name === end.interface && i.kind === 'port'),
              ),
            );
        for (const machine of topology.machines) {
          const subnets = machine.interfaces.flatMap((i) => i.addresses.map(subnetOf));
          for (const route of machine.routes) assert.ok(subnets.some((s) => containsAddress(s, route.via)));
          for (const neighbour of machine.bgp?.neighbours ?? [])
            assert.ok(
              [...subnets, ...machine.routes.map((r) => r.dst)].some((s) =>
                containsAddress(s, neighbour.address),
              ),
            );
        }
        // The ends of a session agree on AS numbers, and both know of it.
        for (const machine of topology.machines)
          for (const neighbour of machine.bgp?.neighbours ?? []) {
            const other = topology.machines.find((m) => m.name === neighbour.name);
            const as =
              other?.bgp?.asNumber ??
              topology.nodeBgp.find((n) => n.node === neighbour.name)?.asNumber ??
              topology.nodeAsNumber;
            assert.equal(neighbour.asNumber, as, `${machine.name} ${neighbour.name}`);
            assert.ok(sessionCount(topology, neighbour.name) > 0);
          }
        unique(topology.peers.map((p) => p.name));
        assert.ok(
          drawTopology(topology).every((line) => line.length < 80 * Math.max(2, topology.racks.length)),
        );
      },
    ),
    { numRuns: 60 },
  );
});
