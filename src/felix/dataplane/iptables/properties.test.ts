// Whatever happens, in the end the kernel holds what a new back end would write from the same objects, and no restore is ever
// refused on the way by tools that do as they should.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CalcUpdate, PolicyUpdate } from '../../calc/mod.ts';
import { FakeTools } from './fake.ts';
import { globalPolicy, gone, IptablesBench, pod, set } from './testing.ts';

const names = fc.constantFrom('a', 'b', 'c');
const selectors = fc.constantFrom("app == 'a'", "app == 'b'", 'all()', "app == 'c'");
const tiers = fc.constantFrom('default', 'adminnetworkpolicy', 'missing');
const sides = fc.record({
  selector: fc.option(selectors, { nil: undefined }),
  nets: fc.option(fc.constant(['10.0.0.0/8', 'fd00::/8', '192.0.2.0/24']), { nil: undefined }),
  ports: fc.option(
    fc.constantFrom(
      [80],
      ['web'],
      [1, 2, 3],
      Array.from({ length: 20 }, (_, i) => i + 1),
    ),
    {
      nil: undefined,
    },
  ),
});
const rules = fc.record({
  action: fc.constantFrom('Allow', 'Deny', 'Pass', 'Log'),
  protocol: fc.constant('TCP'),
  source: sides,
  destination: sides,
});
const policies = fc.record({
  name: names,
  tier: tiers,
  selector: selectors,
  order: fc.integer({ min: 0, max: 2 }),
  ingress: fc.array(rules, { maxLength: 3 }),
  place: fc.constantFrom(
    {},
    { doNotTrack: true, applyOnForward: true },
    { preDNAT: true, applyOnForward: true },
  ),
});

type Step =
  | { readonly do: 'update'; readonly key: string; readonly update: CalcUpdate | PolicyUpdate }
  | { readonly do: 'delete'; readonly key: string; readonly update: CalcUpdate | PolicyUpdate }
  | { readonly do: 'foreign'; readonly lines: readonly string[] }
  | { readonly do: 'restart' };

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: policies.map(
      ({ name, place, ...spec }): Step => ({
        do: 'update',
        key: `policy ${name}`,
        update: globalPolicy(name, { ...spec, ...place, types: ['Ingress'] }),
      }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(names, names).map(
      ([name, app]): Step => ({
        do: 'update',
        key: `pod ${name}`,
        update: pod(name, `10.244.1.${name.charCodeAt(0)}/32`, { app }),
      }),
    ),
  },
  fc.constantFrom('eth0', '*').map(
    (interfaceName): Step => ({
      do: 'update',
      key: `host ${interfaceName}`,
      update: set(
        'HostEndpoint',
        { name: `h${interfaceName.length}`, labels: { app: 'a' } },
        { node: 'n1', interfaceName },
      ),
    }),
  ),
  names.map(
    (name): Step => ({
      do: 'delete',
      key: `policy ${name}`,
      update: gone('GlobalNetworkPolicy', name),
    }),
  ),
  names.map(
    (name): Step => ({
      do: 'delete',
      key: `pod ${name}`,
      update: gone('WorkloadEndpoint', name, 'shop'),
    }),
  ),
  fc.constantFrom('eth0', '*').map(
    (name): Step => ({
      do: 'delete',
      key: `host ${name}`,
      update: gone('HostEndpoint', `h${name.length}`),
    }),
  ),
  fc
    .constantFrom(
      ['-I FORWARD 1 -j ACCEPT'],
      [':FORWARD ACCEPT [0:0]'],
      [':cali-INPUT - [0:0]'],
      [':cali-strange - [0:0]', '-A cali-strange -j DROP', '-A OUTPUT -j cali-strange'],
    )
    .map((lines): Step => ({ do: 'foreign', lines })),
  fc.constant<Step>({ do: 'restart' }),
);

/** Everything of ours, in an order that does not depend on how it came. */
const ours = (tools: FakeTools): unknown => ({
  tables: ([4, 6] as const).map((family) =>
    [...tools.tables('nft', family)].toSorted(byName).map(([table, chains]) => [
      table,
      [...chains]
        .map(([name, list]) => [name, list.filter((rule) => rule.includes('cali'))] as const)
        .filter(([name, list]) => name.startsWith('cali') || list.length > 0)
        .toSorted(byName),
    ]),
  ),
  sets: [...tools.sets]
    .toSorted(byName)
    .map(([name, { type, members }]) => [name, type, [...members].toSorted()]),
});
const byName = ([a]: readonly [string, ...unknown[]], [b]: readonly [string, ...unknown[]]): number =>
  a < b ? -1 : 1;

test('property: FX-016, FX-018: histories of objects, foreign hands and restarts end in the state of a new start', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 25 }), async (history) => {
      const tools = new FakeTools();
      const now = new Map<string, CalcUpdate | PolicyUpdate>();
      let bench = new IptablesBench(tools);
      await bench.start();
      for (const step of history) {
        if (step.do === 'foreign') {
          tools.foreign('nft', 4, 'filter', ...step.lines);
          await bench.pass(6_000);
        } else if (step.do === 'restart') {
          await bench.backEnd.stop();
          bench = new IptablesBench(tools);
          await bench.start(...now.values());
        } else {
          if (step.do === 'update') now.set(step.key, step.update);
          else now.delete(step.key);
          await bench.update(step.update);
        }
      }
      await bench.pass(95_000);
      assert.deepEqual([...bench.backEnd.table.unfinished()], []);
      const fresh = new IptablesBench();
      await fresh.start(...now.values());
      assert.deepEqual(ours(tools), ours(fresh.tools));
      await bench.backEnd.stop();
      await fresh.backEnd.stop();
    }),
    { numRuns: 60 },
  );
});
