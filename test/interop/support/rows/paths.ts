// Row 8 of the interop matrix: several paths of one prefix (ADD-PATH), both ways, and equal ways in the kernels.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../network.ts';
import type { ProbePeer } from '../probe-peer.ts';
import type { RouteText } from '../routers/types.ts';
import { probeAddress, row, us, type Part, type World } from '../routers/world.ts';
import { route, say } from './words.ts';

const anycast = '10.62.0.0/24';
const hopsOf = (list: readonly RouteText[]): string[] =>
  list
    .filter((r) => r.prefix === anycast)
    .map((r) => r.nextHop ?? '')
    .sort();

/** ADD-PATH: three paths of one prefix through us to them, and one goes. */
export async function pathsToThemRow(
  t: TestContext,
  world: World,
  sources: readonly ProbePeer[],
): Promise<void> {
  const hops = sources.map((s) => s.options.address).sort();
  for (const s of sources) say(s, [route(anycast)]);
  await row(t, world, [], async (part) => {
    const { session } = await world.peer(part.name);
    assert.deepEqual(session?.addPath['4'], { receive: true, send: true });
    await eventually(
      `three paths at ${part.name}`,
      () => part.router.heard(us.v4, 4),
      (list) => hopsOf(list).join() === hops.join(),
    );
  });
  const nexthops = (): string[] =>
    (world.network.routes(us.host).find((r) => r.dst === anycast)?.nexthops ?? [])
      .map((n) => n.gateway ?? '')
      .sort();
  await eventually('three ways in our kernel', nexthops, (list) => list.join() === hops.join());
  await row(t, world, ['kernel'], async (part) => {
    await eventually(
      `three ways in the kernel of ${part.name}`,
      () => world.network.routes(part.router.host, part.name === 'FRR' ? 'proto bgp' : 'proto bird'),
      (list) => list.find((r) => r.dst === anycast)?.nexthops?.length === 3,
    );
  });
  const [gone, ...rest] = sources;
  gone?.announce([]);
  await row(t, world, [], async (part) => {
    await eventually(
      `two paths at ${part.name}`,
      () => part.router.heard(us.v4, 4),
      (list) =>
        hopsOf(list).join() ===
        rest
          .map((s) => s.options.address)
          .sort()
          .join(),
    );
  });
  for (const s of rest) s.announce([]);
  await row(t, world, [], async (part) => {
    await eventually(
      `no path at ${part.name}`,
      () => part.router.heard(us.v4, 4),
      (l) => hopsOf(l).length === 0,
    );
  });
}

/** ADD-PATH the other way: each daemon tells us three paths of a prefix of its own; `say` makes them. */
export async function pathsToUsRow(
  t: TestContext,
  world: World,
  announce: (part: Part, prefix: string, hops: readonly number[]) => void,
): Promise<void> {
  await row(t, world, [], async (part) => {
    const prefix = `10.63.${part.number}.0/24`;
    const hops = async (): Promise<string> =>
      (await world.routes(part.name, 4))
        .filter((r) => r.prefix === prefix)
        .map((r) => r.nextHop ?? '')
        .sort()
        .join();
    const kernel = (): string => {
      const found = world.network.routes(us.host).find((r) => r.dst === prefix);
      const list = found?.nexthops ?? (found === undefined ? [] : [found]);
      return list
        .map((n) => n.gateway ?? '')
        .sort()
        .join();
    };
    for (const set of [[1, 2, 3], [2, 3], [3], []]) {
      announce(part, prefix, set);
      const want = set.map((n) => probeAddress(n)).join();
      await eventually(`paths ${want} of ${part.name}`, hops, (got) => got === want);
      await eventually(`ways ${want} in our kernel`, kernel, (got) => got === want);
    }
  });
}
