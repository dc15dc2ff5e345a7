// The interop matrix (docs/bgp-interop.md), rows 9 and 10: graceful restart, as the helper of a daemon that is killed and as
// the one that is killed. BIRD 2, FRR and GoBGP side by side.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { eventually, missing, reportFailures } from './support/network.ts';
import type { RouterSetup, RouteText } from './support/routers/types.ts';
import { programs, row, us, World, type Part } from './support/routers/world.ts';
import { route } from './support/rows/words.ts';

const skip = missing(...programs) ?? false;
reportFailures();
const as = 64512;

void suite('interop, restarts', { skip }, () => {
  let world: World;
  const setup = (part: Part, restartTimeS: number): RouterSetup => ({
    as,
    address: part.v4,
    address6: part.v6,
    sessions: [{ address: us.v4, as, families: [4], restartTimeS }],
  });
  const own = (part: Part): RouteText[] =>
    [1, 2].map((n) => route(`10.6${n}.${part.number}.0/24`, { nextHop: part.v4 }));
  const kept = (part: Part): string => `10.61.${part.number}.0/24`;
  const dropped = (part: Part): string => `10.62.${part.number}.0/24`;
  const ours = (part: Part): string[] =>
    world.network
      .routes(us.host)
      .map((r) => r.dst)
      .filter((dst) => dst === kept(part) || dst === dropped(part))
      .sort();
  const kernelOf = (part: Part): string =>
    world.network
      .routes(part.router.host, part.name === 'FRR' ? 'proto bgp' : 'proto bird')
      .map((r) => r.dst)
      .sort()
      .join();

  before(async () => {
    // Both sides dial: FRR waits for a peer that restarts, and dials it only after the restart time.
    world = new World(as, ['BIRD', 'FRR', 'GoBGP']);
    world.plan.origins = ['10.244.1.0/26', '10.244.2.0/26'];
    for (const part of world.parts)
      world.plan.peers.set(part.name, {
        address: part.v4,
        as,
        gracefulRestartTimeSeconds: 60,
      });
    await Promise.all([
      world.startUs(),
      ...world.parts.map(async (part) => {
        await part.router.announce(own(part));
        await part.router.start(setup(part, 60));
      }),
    ]);
    await Promise.all(world.parts.map((part) => world.up(part)));
  });
  after(() => world?.close());

  void test('BG-039: row 10: our kill -9: no route event anywhere but for what changed meanwhile', async (t) => {
    await row(t, world, [], async (part) => {
      await eventually(
        `both of ${part.name}`,
        () => ours(part),
        (l) => l.length === 2,
      );
      await eventually(
        `both at ${part.name}`,
        () => part.router.count(us.v4, 4),
        (n) => n === 2,
      );
    });
    await row(t, world, ['kernel'], async (part) => {
      await eventually(
        `its kernel`,
        () => kernelOf(part),
        (l) => l === '10.244.1.0/26,10.244.2.0/26',
      );
    });
    const hosts = [us.host, 'bird', 'frr'];
    const watches = await Promise.all(hosts.map((host) => world.network.watch(host)));
    await world.killUs();
    // Gone while we are: a block of ours, and what nobody says any more.
    world.plan.origins = ['10.244.1.0/26'];
    world.network.ip(us.host, 'route add 10.60.98.0/24 via 10.9.0.2 proto bird metric 1024');
    await world.startUs();
    await row(t, world, [], async (part) => {
      await world.up(part);
      await eventually(
        `the block is withdrawn from ${part.name}`,
        async () => (await part.router.heard(us.v4, 4)).map((r) => r.prefix).join(),
        (l) => l === '10.244.1.0/26',
        60_000,
      );
      assert.deepEqual(ours(part), [kept(part), dropped(part)]);
    });
    await eventually(
      'the orphan goes',
      () => world.network.routes(us.host),
      (l) => !l.some((r) => r.dst === '10.60.98.0/24'),
    );
    await row(t, world, ['kernel'], async (part) => {
      await eventually(
        `its kernel`,
        () => kernelOf(part),
        (l) => l === '10.244.1.0/26',
      );
    });
    for (const [i, host] of hosts.entries())
      assert.deepEqual(
        watches[i]?.lines().filter((l) => !/10\.60\.98\.0|10\.244\.2\.0/.test(l)),
        [],
        host,
      );
  });

  void test('row 9: their kill -9 and return in time: nothing moves but what they no longer have', async (t) => {
    const events = await world.network.watch(us.host);
    await row(t, world, ['graceful-restart'], async (part) => {
      await part.router.kill();
      const view = await world.down(part.name);
      assert.equal(view.keepingStale, true);
      assert.deepEqual(ours(part), [kept(part), dropped(part)]);
      await part.router.announce([]).catch(() => undefined);
      await part.router.announce(own(part).slice(0, 1)).catch(() => undefined);
      // The time that it says now counts for the next time.
      await part.router.start(setup(part, 3), { recovering: true });
      await world.up(part);
      await eventually(
        `what ${part.name} no longer has goes`,
        () => ours(part),
        (l) => l.join() === kept(part),
        90_000,
      );
    });
    // GoBGP is given its routes after it has said End-of-RIB: they go and come back.
    const moved = events.lines().filter((l) => /10\.6[12]\.[23]\./.test(l));
    assert.deepEqual(
      moved.filter((l) => !/Deleted 10\.62\./.test(l)),
      [],
    );
  });

  void test('row 9: their kill -9 and no return: what was kept goes after the time', (t) =>
    row(t, world, ['graceful-restart'], async (part) => {
      const { session } = await world.peer(part.name);
      assert.equal(session?.gracefulRestart?.restartTimeMs, 3_000);
      await part.router.kill();
      await eventually(
        `nothing of ${part.name}`,
        () => ours(part),
        (l) => l.length === 0,
        60_000,
      );
      assert.equal((await world.peer(part.name)).routes.received, 0);
    }));

  void test('row 9: back without the forwarding bit: what was kept goes at once', async (t) => {
    const part = world.part('BIRD');
    t.diagnostic('FRR and GoBGP keep the bit in their configuration: BIRD alone leaves it out');
    await part.router.start(setup(part, 60), { recovering: true });
    await world.up(part);
    await eventually(
      'its route',
      () => ours(part),
      (l) => l.length === 1,
    );
    await part.router.kill();
    assert.equal((await world.down(part.name)).keepingStale, true);
    await part.router.announce([]).catch(() => undefined);
    await part.router.start(setup(part, 60));
    const { session, routes } = await world.up(part);
    assert.deepEqual(session?.gracefulRestart?.families, [{ family: 4, forwardingPreserved: false }]);
    assert.equal(routes.stale, 0);
    await eventually(
      'its route is gone',
      () => ours(part),
      (l) => l.length === 0,
    );
  });

  void test('row 9: long-lived: after the restart time the last choice, and gone after the stale time (RFC 9494)', (t) =>
    row(t, world, ['long-lived'], async (part) => {
      const longLivedStaleTimeS = 6;
      const patient = setup(part, 1);
      const sessions = patient.sessions.map((s) => ({ ...s, longLivedStaleTimeS }));
      await part.router.kill();
      await part.router.announce(own(part)).catch(() => undefined);
      await part.router.start({ ...patient, sessions }, { recovering: true });
      const { session } = await world.up(part);
      assert.equal(session?.gracefulRestart?.longLived.length, 1);
      await eventually(
        `both of ${part.name}`,
        () => ours(part),
        (l) => l.length === 2,
      );
      await part.router.kill();
      const routes = await eventually(
        'they are the last choice',
        () => world.routes(part.name, 4),
        (list) => list.length === 2 && list.every((r) => r.communities?.includes('65535:6')),
      );
      assert.ok(routes.every((r) => r.stale && r.best));
      assert.deepEqual(ours(part), [kept(part), dropped(part)]);
      await eventually(
        `nothing of ${part.name}`,
        () => ours(part),
        (l) => l.length === 0,
        60_000,
      );
    }));
});
