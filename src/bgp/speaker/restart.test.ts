// Speakers that are killed and come back, and those that wait for them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { at, config, route, inWorld } from './testing.ts';

describe('restart', () => {
  test("BG-039: a killed speaker's routes stay with its peers and its kernel until it is back", () =>
    inWorld(async (world) => {
      const nodes = [1, 2, 3];
      for (const n of nodes)
        await world.start(
          n,
          config(
            n,
            nodes.filter((p) => p !== n),
          ),
        );
      await world.run(3_000);
      const before = await world.routes(1);
      const events: string[] = [];
      for (const n of nodes)
        world.kernels.get(n)?.subscribe(['routes'], (e) => void events.push(`${n} ${e.type}`));
      await world.kill(1);
      await world.run(5_000);
      assert.deepEqual(await world.routes(1), before);
      assert.deepEqual(await world.routes(2), [
        '10.244.1.0/26 via 10.0.0.1 metric 1024',
        '10.244.3.0/26 via 10.0.0.3 metric 1024',
      ]);
      assert.equal(world.speakers.get(2)?.peers()[0]?.keepingStale, true);
      const again = await world.start(1, config(1, [2, 3]));
      assert.equal(again.status().recovery, 'deferring');
      await world.run(15_000);
      assert.equal(again.status().recovery, 'done');
      assert.deepEqual(await world.routes(1), before);
      assert.deepEqual(events, []);
      assert.equal(world.speakers.get(2)?.peers()[0]?.keepingStale, false);
    }));

  test('two that restart at once do not wait for each other', () =>
    inWorld(async (world) => {
      for (const [n, peer] of [
        [1, 2],
        [2, 1],
      ] as const)
        await world.start(n, config(n, [peer]));
      await world.run(3_000);
      const before = [await world.routes(1), await world.routes(2)];
      for (const n of [1, 2]) await world.kill(n);
      const one = await world.start(1, config(1, [2]));
      const two = await world.start(2, config(2, [1]));
      await world.run(2_000);
      assert.deepEqual([one.status().recovery, two.status().recovery], ['done', 'done']);
      await world.run(1_000);
      assert.deepEqual([await world.routes(1), await world.routes(2)], before);
    }));

  test('a peer that does not come back loses its routes when the restart time is over', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      await world.kill(1);
      await world.run(115_000);
      assert.equal((await world.routes(2)).length, 1);
      await world.run(10_000);
      assert.deepEqual(await world.routes(2), []);
    }));

  test('while a neighbour is missing, kernel routes are kept for the restart time, then go', () =>
    inWorld(async (world) => {
      await world.kernel(1);
      const linkIndex = await world.linkIndex(1);
      const orphan = route('10.244.9.0/26', { nextHops: [{ gateway: at(9), linkIndex }] });
      const changed = route('10.244.2.0/26', { nextHops: [{ gateway: at(9), linkIndex }] });
      await world.write(1, orphan, changed);
      await world.start(2, config(2, [1]));
      await world.start(1, config(1, [2, 9]));
      await world.run(7_000);
      assert.equal((await world.routes(1)).length, 2);
      await world.run(3_000);
      assert.deepEqual(await world.routes(1), [
        '10.244.2.0/26 via 10.0.0.2 metric 1024',
        '10.244.9.0/26 via 10.0.0.9 metric 1024',
      ]);
      await world.run(115_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
    }));
});
