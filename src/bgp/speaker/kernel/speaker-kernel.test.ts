// A whole speaker and its kernel: what it writes, leaves alone, repairs and learns.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseInterfaceAddress, prefix } from '../../../lib/ip/mod.ts';
import { VirtualClock, type Clock } from '../../../lib/clock.ts';
import { expect } from '../../../lib/result.ts';
import { FakeHost, mainTable } from '../../../kernel/mod.ts';
import { silentLogger } from '../../../lib/log.ts';
import type { PolicyProgram } from '../../policy/mod.ts';
import { Speaker } from '../speaker.ts';
import { poolOnly, at, neighbour, config, type World, route, inWorld } from '../testing.ts';

describe('the kernel', () => {
  test('a block withdrawn goes; an address that moved is followed', () =>
    inWorld(async (world) => {
      const two = await world.start(2, config(2, [1]));
      await world.start(1, config(1, [2]));
      await world.run(3_000);
      await two.apply(config(2, [1], { origins: [prefix('10.244.7.0/26'), prefix('10.244.8.8/32')] }));
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), [
        '10.244.7.0/26 via 10.0.0.2 metric 1024',
        '10.244.8.8/32 via 10.0.0.2 metric 1024',
      ]);
    }));

  test("other programs' routes and blackholes are never touched; an orphan of ours is removed", () =>
    inWorld(async (world) => {
      await world.kernel(1);
      const linkIndex = await world.linkIndex(1);
      const theirs = route('10.244.2.0/26', { protocol: 80, nextHops: [{ gateway: at(77), linkIndex }] });
      await world.write(1, theirs, route('10.244.1.0/26', { type: 'blackhole', priority: 0 }));
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const list = expect(await world.kernels.get(1)!.routes.list({ table: mainTable }), 'list');
      assert.deepEqual(
        list
          .filter((r) => r.dst.startsWith('10.244'))
          .map((r) => `${r.dst} ${r.type} ${r.protocol}`)
          .sort(),
        ['10.244.1.0/26 blackhole 12', '10.244.2.0/26 unicast 80'],
      );
      assert.match(one.status().kernel?.problems[0]?.problem ?? '', /another program \(protocol 80\)/);
      // The other program gives it up: now it is ours.
      await world.remove(1, '10.244.2.0/26', 1024);
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
      await world.write(1, route('10.99.0.0/24', { nextHops: [{ gateway: at(2), linkIndex }] }));
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
    }));

  test('a route that somebody removes or changes is repaired at once; lost events are made up for', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const wanted = await world.routes(1);
      await world.remove(1, '10.244.2.0/26', 1024);
      await world.run(500);
      assert.deepEqual(await world.routes(1), wanted);
      const linkIndex = await world.linkIndex(1);
      const wrong = route('10.244.2.0/26', { nextHops: [{ gateway: at(9), linkIndex }] });
      await world.kernels.get(1)!.routes.apply([{ op: 'replace', route: wrong }]);
      await world.run(500);
      assert.deepEqual(await world.routes(1), wanted);
    }));

  test('a refused write is told and tried again', () =>
    inWorld(async (world) => {
      const host = new FakeHost();
      const kernel = host.kernel();
      const link = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link');
      const own = { ...expect(parseInterfaceAddress('10.0.0.1/24'), 'address'), linkIndex: link.index };
      await kernel.addresses.apply([{ op: 'add', address: own }]);
      world.kernels.set(1, kernel);
      host.fail({ operation: 'routes.apply', subject: '10.244.2.0/26', errno: 12, times: 2 });
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(1_100);
      await world.run(5_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
      assert.deepEqual(one.status().kernel?.problems, []);
    }));

  test('the link goes down and comes back', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const linkIndex = await world.linkIndex(1);
      await world.kernels.get(1)!.links.change(linkIndex, { up: false });
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), []);
      assert.equal([...one.routes()].find((p) => p.source === 'bgp')?.ineligible, 'nextHopUnreachable');
      await world.kernels.get(1)!.links.change(linkIndex, { up: true });
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
    }));

  test('BG-031: routes of pods outside of own blocks are learned and announced, and withdrawn again', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [], { neighbours: [neighbour(1, 2, { exportPolicy: poolOnly })] }));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const linkIndex = await world.linkIndex(1);
      await world.write(
        1,
        route('10.244.77.7/32', { protocol: 3, scope: 'link', nextHops: [{ linkIndex }] }),
        route('172.16.0.0/24', { protocol: 4, nextHops: [{ gateway: at(9), linkIndex }] }),
      );
      await world.run(1_000);
      assert.deepEqual(await world.routes(2), [
        '10.244.1.0/26 via 10.0.0.1 metric 1024',
        '10.244.77.7/32 via 10.0.0.1 metric 1024',
      ]);
      await world.remove(1, '10.244.77.7/32', 1024);
      await world.run(1_000);
      assert.deepEqual(await world.routes(2), ['10.244.1.0/26 via 10.0.0.1 metric 1024']);
    }));

  test('BG-022: equal paths become one route with several next hops', () =>
    inWorld(async (world) => {
      const shared = { origins: [prefix('10.244.50.0/26')] };
      await world.start(1, config(1, [2, 3]));
      await world.start(2, config(2, [1], shared));
      await world.start(3, config(3, [1], shared));
      await world.run(3_000);
      assert.deepEqual(await world.routes(1), ['10.244.50.0/26 via 10.0.0.2 10.0.0.3 metric 1024']);
    }));
});

describe('a large table', () => {
  /** A clock on which each look takes longer than any budget. */
  const slow = (clock: VirtualClock): Clock => {
    let looks = 0;
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + 30 * looks++,
      after: (ms, run) => clock.after(ms, run),
    };
  };
  /** Runs turn by turn; the largest step that the number of rows made in one. */
  async function largestStep(world: World, speaker: Speaker, ms: number): Promise<number> {
    let largest = 0;
    let before = speaker.status().kernel?.desired ?? 0;
    for (let i = 0; i < ms; i++) {
      world.clock.advance(1);
      const now = speaker.status().kernel?.desired ?? 0;
      largest = Math.max(largest, Math.abs(now - before));
      before = now;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return largest;
  }

  test('reaches the kernel in slices: all of it, and again when the policy for the kernel changes', () =>
    inWorld(async (world) => {
      const count = 1500;
      const origins = Array.from({ length: count }, (_, i) => prefix(`10.${100 + (i >> 8)}.${i & 255}.0/26`));
      await world.start(2, config(2, [1], { origins }));
      const transport = world.network.transport(at(1));
      const kernel = await world.kernel(1);
      const one = new Speaker(config(1, [2]), {
        transport,
        clock: slow(world.clock),
        logger: silentLogger,
        kernel,
      });
      world.speakers.set(1, one);
      expect(await one.start(), 'start');
      assert.ok((await largestStep(world, one, 3000)) <= 512);
      assert.equal(one.status().kernel?.desired, count);
      const rejectAll: PolicyProgram = { name: 'reject', rules: [], otherwise: 'reject' };
      const kernelSide = { ...config(1, []).kernel, policies: { 4: rejectAll, 6: rejectAll } };
      await one.apply(config(1, [2], { kernel: kernelSide }));
      assert.ok((await largestStep(world, one, 500)) <= 512);
      assert.equal(one.status().kernel?.desired, 0);
      await one.settled();
      assert.deepEqual(await world.routes(1), []);
    }));
});
