import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { address, prefix } from '../../../lib/ip/mod.ts';
import type { Route } from '../../../kernel/mod.ts';
import { OwnRoutes } from './own-routes.ts';
import { inSlices } from './slices.ts';

const route = (n: number, priority: number, linkIndex: number): Route => ({
  dst: prefix(`10.0.${n}.0/24`),
  type: 'unicast',
  table: 254,
  protocol: 12,
  scope: 'global',
  priority,
  nextHops: [{ gateway: address('10.9.9.9'), linkIndex }],
});

const prioritiesOf = (routes: readonly Route[]): number[] =>
  routes.map((r) => r.priority).toSorted((a, b) => a - b);

test('counts and links agree with a plain list, whatever is added and removed', () => {
  const step = fc.record({
    add: fc.boolean(),
    n: fc.nat(4),
    priority: fc.constantFrom(1024, 512),
    link: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const own = new OwnRoutes();
      let model: Route[] = [];
      for (const { add, n, priority, link } of steps) {
        const one = route(n, priority, link);
        model = model.filter((r) => r.dst !== one.dst || r.priority !== priority);
        if (add) {
          model.push(one);
          own.add(one);
        } else own.remove(one.dst, priority);
      }
      assert.equal(own.count, model.length);
      for (const link of [1, 2, 3])
        assert.equal(
          own.usesLink(link),
          model.some((r) => r.nextHops[0]?.linkIndex === link),
        );
      assert.deepEqual([...own.destinations()].toSorted(), [...new Set(model.map((r) => r.dst))].toSorted());
      for (const { dst } of model)
        assert.deepEqual(prioritiesOf(own.to(dst)), prioritiesOf(model.filter((r) => r.dst === dst)));
    }),
    { numRuns: 200 },
  );
});

test('a long loop gives way when its time is up, and visits everything once', async () => {
  let now = 0;
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const visited: number[] = [];
  await inSlices(
    { monotonic: () => now },
    Array.from({ length: 2000 }, (_, i) => i),
    (i) => {
      visited.push(i);
      now += 0.1;
    },
  );
  isOver = true;
  assert.equal(visited.length, 2000);
  assert.ok(turns > 10, `${turns} turns`);
});
