// Row 11 of the interop matrix: route refresh and filters that change while no session ends.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../network.ts';
import { isolation, row, us, type Part, type World } from '../routers/world.ts';
import { route } from './words.ts';

/** Route refresh and changed filters on both sides: what is filtered moves, nothing else, and no session ends. */
export async function refreshRow(
  t: TestContext,
  world: World,
  change: (part: Part, refuses: readonly string[]) => Promise<void>,
): Promise<void> {
  world.plan.origins = ['10.64.1.0/24', '10.64.2.0/24'];
  await world.apply();
  const before = new Map<string, string>();
  const heard = async (part: Part): Promise<string> =>
    (await part.router.heard(us.v4, 4))
      .map((r) => r.prefix)
      .sort()
      .join();
  await row(t, world, [], async (part) => {
    before.set(part.name, (await world.peer(part.name)).since);
    await part.router.announce([route(`10.65.${part.number}.0/24`), route(`10.66.${part.number}.0/24`)]);
    await eventually(
      `both at ${part.name}`,
      () => heard(part),
      (l) => l === '10.64.1.0/24,10.64.2.0/24',
    );
    await eventually(
      `both of ${part.name}`,
      () => world.routes(part.name, 4),
      (l) => l.length === 2,
    );
  });
  // They ask: we say everything again.
  await row(t, world, ['asks-refresh'], async (part) => {
    const { sent } = (await world.peer(part.name)).messages;
    part.router.askAgain(us.v4);
    await eventually(
      `${part.name} is told again`,
      () => world.peer(part.name),
      (p) => p.messages.sent > sent,
    );
  });
  // Their import filter: the refused prefix goes there, and comes back by asking.
  await row(t, world, ['asks-refresh', 'relays'], async (part) => {
    await change(part, ['10.64.2.0/24']);
    part.router.askAgain(us.v4);
    await eventually(
      `one at ${part.name}`,
      () => heard(part),
      (l) => l === '10.64.1.0/24',
    );
    await change(part, []);
    part.router.askAgain(us.v4);
    await eventually(
      `both again at ${part.name}`,
      () => heard(part),
      (l) => l === '10.64.1.0/24,10.64.2.0/24',
    );
  });
  // Our export and import filters.
  world.plan.policies = {
    out: rejecting('out', ['10.64.2.0/24']),
    in: rejecting(
      'in',
      world.parts.map((p) => `10.66.${p.number}.0/24`),
    ),
  };
  const peers = new Map(world.plan.peers);
  for (const part of world.parts)
    world.plan.peers.set(part.name, { ...peers.get(part.name), exportPolicy: 'out', importPolicy: 'in' });
  await world.apply();
  await row(t, world, [], async (part) => {
    await eventually(
      `the filtered one is gone at ${part.name}`,
      () => heard(part),
      (l) => l === '10.64.1.0/24',
    );
    const routes = await eventually(
      'it is refused',
      () => world.routes(part.name, 4),
      (list) => list.some((r) => r.reason === 'importPolicy'),
    );
    assert.deepEqual(
      routes.filter((r) => r.reason === 'importPolicy').map((r) => r.prefix),
      [`10.66.${part.number}.0/24`],
    );
  });
  world.plan.peers = peers;
  await world.apply();
  await row(t, world, [], async (part) => {
    await eventually(
      `both are back at ${part.name}`,
      () => heard(part),
      (l) => l === '10.64.1.0/24,10.64.2.0/24',
    );
    await eventually(
      'it is taken again',
      () => world.routes(part.name, 4),
      (list) => list.every((r) => r.reason !== 'importPolicy'),
    );
    assert.equal((await world.peer(part.name)).since, before.get(part.name), 'the session stayed');
    await part.router.announce([]);
  });
  world.plan.origins = [];
  await world.apply();
}

const rejecting = (name: string, prefixes: readonly string[]) => ({
  name,
  rules: [
    ...(name === 'out' ? isolation : []),
    {
      name: 'refused',
      when: [
        {
          match: 'prefix' as const,
          any: prefixes.map((p) => {
            const length = Number(p.split('/')[1]);
            return { prefix: p as never, min: length, max: length };
          }),
        },
      ],
      actions: [{ do: 'reject' as const }],
    },
  ],
  otherwise: 'accept' as const,
});
