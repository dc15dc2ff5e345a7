import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { containsAddress } from '../../lib/ip/mod.ts';
import { expect } from '../../lib/result.ts';
import { subnetOf } from './interfaces.ts';
import { drawTopology, expectBetween, nodesOf, planTopology, type Topology } from './mod.ts';

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
        name: fc.constantFrom('flat', 'two-racks'),
        nodes: fc.integer({ min: 1, max: 200 }),
        dualStack: fc.boolean(),
        fabricBgp: fc.boolean(),
      }),
      (options) => {
        const topology = expect(planTopology(options), 'plan');
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
            assert.ok(subnets.some((s) => containsAddress(s, neighbour.address)));
        }
        assert.ok(drawTopology(topology).every((line) => line.length < 160));
      },
    ),
    { numRuns: 60 },
  );
});
