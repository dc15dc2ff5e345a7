// Row 12 of the interop matrix: communities of all kinds, how far a route goes with them, matched and added by filters.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../network.ts';
import type { ProbePeer } from '../probe-peer.ts';
import { sorted, type RouteText } from '../routers/types.ts';
import { byPrefix, isolation, row, us, type Part, type World } from '../routers/world.ts';
import { route, say, type Profile } from './words.ts';

const noExport = '65535:65281';
const noAdvertise = '65535:65282';

/** The propagation table of communities: through us to them, and from them through us to a third. */
export async function communitiesRow(
  t: TestContext,
  world: World,
  profile: Profile,
  peers: { readonly source: ProbePeer; readonly third: ProbePeer },
): Promise<void> {
  const rows: [string, Partial<RouteText>][] = [
    ['10.67.0.0/24', {}],
    ['10.67.1.0/24', { communities: [noExport] }],
    ['10.67.2.0/24', { communities: [noAdvertise] }],
    ['10.67.3.0/24', { communities: ['64512:7'], large: ['64512:1:2'] }],
    ['10.67.4.0/24', { communities: ['64512:666'] }],
    ['10.67.5.0/24', { large: ['64512:6:6'] }],
  ];
  // As a BGPFilter has them: by community, by large community, and one of each is added.
  const program: (typeof world.plan.policies)[string] = {
    name: 'communities',
    rules: [
      { name: 'black', when: [{ match: 'community', value: '64512:666' }], actions: [{ do: 'reject' }] },
      {
        name: 'large black',
        when: [{ match: 'community', value: '64512:6:6' }],
        actions: [{ do: 'reject' }],
      },
      {
        name: 'mark',
        when: [],
        actions: [
          { do: 'addCommunity', value: '64512:9' },
          { do: 'addCommunity', value: '64512:9:9' },
        ],
      },
    ],
    otherwise: 'accept',
  };
  world.plan.policies = {
    communities: program,
    marked: { ...program, name: 'marked', rules: [...isolation, ...program.rules] },
  };
  const before = new Map(world.plan.peers);
  for (const part of world.parts)
    world.plan.peers.set(part.name, {
      ...before.get(part.name),
      exportPolicy: 'marked',
      importPolicy: 'communities',
    });
  await world.apply();
  say(
    peers.source,
    rows.map(([prefix, more]) => route(prefix, more)),
  );
  const passed = ['10.67.0.0/24', ...(profile.kind === 'ibgp' ? ['10.67.1.0/24'] : []), '10.67.3.0/24'];
  await row(t, world, [], async (part) => {
    const heard = await eventually(
      `what may go to ${part.name}`,
      () => part.router.heard(us.v4, 4),
      (l) =>
        l
          .map((r) => r.prefix)
          .sort()
          .join() === passed.join(),
    );
    const marked = byPrefix(heard).get('10.67.3.0/24');
    assert.deepEqual(marked?.communities, ['64512:7', '64512:9']);
    assert.deepEqual(marked?.large, ['64512:1:2', '64512:9:9']);
    const kept = byPrefix(heard).get('10.67.1.0/24');
    if (kept !== undefined) assert.deepEqual(kept.communities, ['64512:9', noExport]);
  });
  peers.source.announce([]);
  // The other way. A daemon keeps the well-known ones to itself only where it relays; its own it says.
  const theirs = (part: Part): RouteText[] => [
    route(`10.68.${part.number}.0/28`),
    route(`10.68.${part.number}.16/28`, { communities: [noExport] }),
    route(`10.68.${part.number}.48/28`, { communities: ['64512:7'], large: ['64512:1:2'] }),
    route(`10.68.${part.number}.64/28`, { communities: ['64512:666'] }),
    route(`10.68.${part.number}.80/28`, { large: ['64512:6:6'] }),
  ];
  await row(t, world, [], async (part) => {
    const mine = theirs(part);
    // BIRD and GoBGP obey NO_EXPORT on what they originate too: to an eBGP peer it does not go out at all.
    await part.router.announce(mine);
    const prefix = `10.68.${part.number}.`;
    const ours = await eventually(
      `what ${part.name} says`,
      () => world.routes(part.name, 4),
      (list) => ['0', '48', '64', '80'].every((last) => list.some((r) => r.prefix === `${prefix}${last}/28`)),
    );
    const of = (last: string) => ours.find((r) => r.prefix === `${prefix}${last}/28`);
    assert.deepEqual(sorted(of('48')?.communities ?? []), ['64512:7', '64512:9']);
    assert.deepEqual(sorted(of('48')?.largeCommunities ?? []), ['64512:1:2', '64512:9:9']);
    assert.equal(of('64')?.reason, 'importPolicy');
    assert.equal(of('80')?.reason, 'importPolicy');
    const third = (): string[] => [...peers.third.heard().keys()].filter((p) => p.startsWith(prefix)).sort();
    await eventually(
      `${part.name}'s routes at a third`,
      third,
      (l) => l.join() === `${prefix}0/28,${prefix}48/28`,
    );
    await part.router.announce([]);
    await eventually('and no more', third, (l) => l.length === 0);
  });
  world.plan.peers = before;
  world.plan.policies = {};
  await world.apply();
}
