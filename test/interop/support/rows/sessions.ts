// Rows 1 and 3 of the interop matrix: what both sides of a session agree on, and IPv6 over a session between IPv4 addresses.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../network.ts';
import { row, us, type World } from '../routers/world.ts';
import { route, type Profile } from './words.ts';

/** Both sides agree on what the session can do. */
export async function sessionRow(t: TestContext, world: World, profile: Profile): Promise<void> {
  await row(t, world, [], async (part) => {
    const { session, since } = await world.up(part);
    assert.ok(session);
    assert.equal(session.peerAsn, profile.asOf(part));
    assert.equal(session.as4, true);
    assert.deepEqual(session.families, [4, 6]);
    assert.equal(session.refresh, true);
    assert.ok(session.peerCapabilities.includes('four-octet-as'));
    assert.ok(since);
  });
}

/** IPv6 routes over a session between IPv4 addresses, both ways, and End-of-RIB of both families. */
export async function ipv6Row(t: TestContext, world: World, profile: Profile): Promise<void> {
  world.plan.origins = ['10.244.1.0/26', 'fd24:1::/122'];
  await world.apply();
  await row(t, world, [], async (part) => {
    const prefix = `fd60:${part.number}::/64`;
    await part.router.announce([route(prefix, { nextHop: part.v6 })]);
    const [theirs] = await eventually(
      `the IPv6 route of ${part.name}`,
      () => world.routes(part.name, 6),
      (list) => list.length === 1,
    );
    assert.equal(theirs?.prefix, prefix);
    assert.equal(theirs?.nextHop, part.v6);
    const heard = await eventually(
      `our IPv6 route at ${part.name}`,
      () => part.router.heard(us.v4, 6),
      (list) => list.some((r) => r.prefix === 'fd24:1::/122'),
    );
    const ours = heard.find((r) => r.prefix === 'fd24:1::/122');
    assert.equal(ours?.nextHop, us.v6);
    assert.equal(ours?.asPath, profile.kind === 'ebgp' ? String(profile.ourAs) : '');
    await eventually(
      `our IPv4 route at ${part.name}`,
      () => part.router.heard(us.v4, 4),
      (list) => list.some((r) => r.prefix === '10.244.1.0/26' && r.nextHop === us.v4),
    );
    await part.router.announce([]);
    await eventually(
      `the withdrawal of ${part.name}`,
      () => world.routes(part.name, 6),
      (list) => list.length === 0,
    );
  });
  world.plan.origins = [];
  await world.apply();
  await row(t, world, [], async (part) => {
    await eventually(
      `our withdrawals at ${part.name}`,
      async () => (await part.router.count(us.v4, 6)) + (await part.router.count(us.v4, 4)),
      (n) => n === 0,
    );
  });
}
