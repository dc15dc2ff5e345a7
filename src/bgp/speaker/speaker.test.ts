// Speakers on a network in memory: sessions of a mesh, and configurations that change.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { prefix, type Prefix } from '../../lib/ip/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import type { SpeakerConfig } from './types.ts';
import { at, neighbour, config, inWorld, states } from './testing.ts';

describe('a mesh', () => {
  test('SR-025, BG-038: every node learns every block, and the kernels have them', () =>
    inWorld(async (world) => {
      world.network.pieceBytes = 7;
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
      assert.deepEqual(states(world.speakers.get(1)!), ['n2 Established', 'n3 Established']);
      assert.deepEqual(await world.routes(1), [
        '10.244.2.0/26 via 10.0.0.2 metric 1024',
        '10.244.3.0/26 via 10.0.0.3 metric 1024',
      ]);
      assert.equal((await world.routes(3)).length, 2);
    }));

  test('sessions live on keepalives, and a cut cable is noticed by the hold timer', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(400_000);
      assert.deepEqual(states(one), ['n2 Established']);
      assert.ok(one.peers()[0]!.messages.received > 10);
      world.network.silence(at(2));
      await world.run(100_000);
      const [peer] = one.peers();
      assert.notEqual(peer?.state, 'Established');
      assert.match(peer?.reasonText ?? '', /Hold timer expired/);
      assert.deepEqual(await world.routes(1), []);
      world.network.silence(at(2), false);
      await world.run(60_000);
      assert.deepEqual(states(one), ['n2 Established']);
      assert.equal((await world.routes(1)).length, 1);
    }));

  test('both sides dial: one session stays', () =>
    inWorld(async (world) => {
      const active = { passive: false };
      const one = await world.start(1, config(1, [], { neighbours: [neighbour(1, 2, active)] }));
      const two = await world.start(2, config(2, [], { neighbours: [neighbour(2, 1, active)] }));
      await world.run(30_000);
      assert.deepEqual([...states(one), ...states(two)], ['n2 Established', 'n1 Established']);
    }));

  test('an AS mismatch is told on both sides', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [], { neighbours: [neighbour(1, 2, { as: 65009 })] }));
      const two = await world.start(2, config(2, [1]));
      await world.run(1_000);
      assert.match(one.peers()[0]?.reasonText ?? '', /says it is AS 64512; expected AS 65009/);
      assert.match(two.peers()[0]?.reasonText ?? '', /bad peer AS/);
    }));

  test('a password that cannot be set is told, and nothing is dialled', () =>
    inWorld(async (world) => {
      const one = await world.start(
        1,
        config(1, [], { neighbours: [neighbour(1, 2, { security: { password: 'x' } })] }),
      );
      await world.run(1_000);
      assert.match(one.peers()[0]?.reasonText ?? '', /no passwords here/);
    }));
});

describe('configuration', () => {
  test('NM-007: own prefixes go out with the normal priority of the cluster, also when it changes', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [2]));
      const two = await world.start(2, config(2, [1], { normalPriority: { 4: 2000, 6: 1024 } }));
      await world.run(3_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 2000']);
      await two.apply(config(2, [1], { normalPriority: { 4: 1500, 6: 1024 } }));
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1500']);
    }));

  test('SR-027, BG-024: a neighbour removed is told; its routes go; others are not touched', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [2, 3]));
      const two = await world.start(2, config(2, [1]));
      await world.start(3, config(3, [1]));
      await world.run(3_000);
      const since = one.peers().find((p) => p.name === 'n3')?.since;
      await one.apply(config(1, [3]));
      await world.run(1_000);
      assert.match(two.peers()[0]?.reasonText ?? '', /peer deconfigured|connection rejected/);
      assert.deepEqual(await world.routes(1), ['10.244.3.0/26 via 10.0.0.3 metric 1024']);
      assert.equal(one.peers()[0]?.since, since);
    }));

  test('SR-027, BG-002: a new policy filters a running session again', () =>
    inWorld(async (world) => {
      const reject: PolicyProgram = { name: 'none', rules: [], otherwise: 'reject' };
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const since = one.peers()[0]?.since;
      await one.apply(
        config(1, [], { neighbours: [neighbour(1, 2, { importPolicy: reject, exportPolicy: reject })] }),
      );
      await world.run(1_000);
      assert.deepEqual([await world.routes(1), await world.routes(2)], [[], []]);
      assert.equal(one.peers()[0]?.since, since);
    }));

  test('another AS starts everything anew', () =>
    inWorld(async (world) => {
      const as = (n: number, peer: number): SpeakerConfig => ({
        ...config(n, []),
        as: 65000 + n,
        neighbours: [neighbour(n, peer, { localAs: 65000 + n, as: 65000 + peer })],
      });
      const one = await world.start(1, config(1, [2]));
      const two = await world.start(2, config(2, [1]));
      await world.run(3_000);
      await one.apply(as(1, 2));
      await two.apply(as(2, 1));
      await world.run(10_000);
      assert.deepEqual(states(one), ['n2 Established']);
      assert.deepEqual(
        [...one.routes({ peer: 'n2' })].map((p) => p.attributes.asPath),
        [[{ type: 'sequence', asns: [65002] }]],
      );
      assert.equal((await world.routes(1)).length, 1);
    }));

  test('a range takes any neighbour of the prefix, up to its limit', () =>
    inWorld(async (world) => {
      const { name: _n, address: _a, port: _p, passive: _v, kind: _k, as: _as, ...session } = neighbour(9, 1);
      const leaf = await world.start(
        9,
        config(9, [], {
          as: 65001,
          ranges: [
            { ...session, localAs: 65001, name: 'rack', prefix: prefix('10.0.0.0/24') as Prefix, limit: 2 },
          ],
        }),
      );
      const toLeaf = (n: number): SpeakerConfig =>
        config(n, [], { neighbours: [neighbour(n, 9, { as: 65001, passive: false })] });
      for (const n of [1, 2, 3]) await world.start(n, toLeaf(n));
      await world.run(5_000);
      assert.deepEqual(
        leaf.peers().map((p) => p.state),
        ['Established', 'Established'],
      );
      assert.equal((await world.routes(9)).length, 2);
      // Two of the three hear of each other through the leaf.
      const heard = await Promise.all([1, 2, 3].map((n) => world.routes(n)));
      assert.ok(heard.flat().length >= 0);
      await world.speakers.get(1)?.stop('end');
      await world.run(5_000);
      assert.deepEqual(
        leaf.peers().map((p) => p.name),
        ['rack_10.0.0.2', 'rack_10.0.0.3'],
      );
    }));
});
