// Row 2 of the interop matrix: random attributes through us and of each daemon, field by field, and tables of many prefixes.
import type { TestContext } from 'node:test';
import { eventually } from '../network.ts';
import type { ProbePeer } from '../probe-peer.ts';
import type { RouteText } from '../routers/types.ts';
import { ourText, row, us, type World } from '../routers/world.ts';
import {
  attributesOf,
  probeAs,
  randomRoutes,
  route,
  sameRoutes,
  say,
  without,
  type Profile,
} from './words.ts';

const randomCount = 200;
/** Each of them is a command or two to the daemon. */
const ownCount = 40;

/** 200 random attribute sets through us to every daemon: what stands there is what our rules say. */
export async function ourAttributesRow(
  t: TestContext,
  world: World,
  profile: Profile,
  source: ProbePeer,
): Promise<void> {
  const routes = randomRoutes(randomCount, 7, 61);
  say(source, routes);
  const path = (r: RouteText): string => [probeAs, ...(r.asPath === '' ? [] : [r.asPath])].join(' ');
  const want = routes.map(
    (r): RouteText =>
      profile.kind === 'ebgp'
        ? { ...without(r, 'med', 'localPref'), asPath: `${profile.ourAs} ${path(r)}`, nextHop: us.v4 }
        : { ...r, asPath: path(r), nextHop: source.options.address, localPref: 100 },
  );
  await row(t, world, [], async (part) => {
    await eventually(
      `${randomCount} sets at ${part.name}`,
      () => part.router.count(us.v4, 4),
      (n) => n === randomCount,
    );
    const got = await part.router.heard(us.v4, 4);
    // LOCAL_PREF is no attribute of an eBGP session; some programs show their default.
    sameRoutes(profile.kind === 'ebgp' ? got.map((r) => without(r, 'localPref')) : got, want);
  });
  source.announce([]);
  await row(t, world, [], async (part) => {
    await eventually(
      `no set at ${part.name}`,
      () => part.router.count(us.v4, 4),
      (n) => n === 0,
    );
  });
}

/** Random sets that each daemon makes itself. */
export async function theirAttributesRow(t: TestContext, world: World, profile: Profile): Promise<void> {
  await row(t, world, [], async (part) => {
    const routes = randomRoutes(ownCount, part.number, 70 + part.number).map((r) => ({
      ...r,
      nextHop: part.v4,
    }));
    await part.router.announce(routes);
    await eventually(
      `${ownCount} sets of ${part.name}`,
      () => world.peer(part.name),
      (p) => p.routes.received === ownCount,
      60_000,
    );
    const got = (await world.routes(part.name, 4)).map(ourText);
    const as = profile.asOf(part);
    const want = routes.map((r): RouteText => {
      if (profile.kind === 'ibgp') return { ...r, localPref: r.localPref ?? 100 };
      const asPath = [as, ...(r.asPath === '' ? [] : [r.asPath])].join(' ');
      const { med, ...rest } = r;
      return {
        ...rest,
        asPath,
        localPref: 100,
        ...(med === undefined || part.name === 'BIRD' ? {} : { med }),
      };
    });
    // FRR and GoBGP give a route without MED one of 0.
    sameRoutes(
      got.map((r) => (r.med === 0 ? without(r, 'med') : r)),
      want,
    );
    await part.router.announce([]);
    await eventually(
      `no set of ${part.name}`,
      () => world.peer(part.name),
      (p) => p.routes.received === 0,
    );
  });
}

/** Prefixes of 100.64.0.0/10, which nobody writes to a kernel. */
const manyPrefixes = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => {
    const n = (count > 1000 ? 0x64600000 : 0x64400000) + i * 16;
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}/28`;
  });

/** So many prefixes, announced and withdrawn: through us to them, and through them to us. */
export async function manyRoutesRow(
  t: TestContext,
  world: World,
  sources: { readonly us: ProbePeer; readonly them: ReadonlyMap<string, ProbePeer> },
  sizes: readonly number[],
): Promise<void> {
  for (const size of sizes) {
    const list = manyPrefixes(size);
    const isLarge = size > 1000;
    await world.reach(sources.us);
    sources.us.announceMany(list, attributesOf(route(''), sources.us.options.address, probeAs));
    await row(t, world, isLarge ? ['large-table'] : [], async (part) => {
      await eventually(
        `${size} at ${part.name}`,
        () => part.router.count(us.v4, 4),
        (n) => n === size,
        250_000,
      );
    });
    sources.us.withdrawMany(list);
    await row(t, world, isLarge ? ['large-table'] : [], async (part) => {
      await eventually(
        `none at ${part.name}`,
        () => part.router.count(us.v4, 4),
        (n) => n === 0,
        250_000,
      );
    });
    await row(t, world, isLarge ? ['relays', 'large-table'] : ['relays'], async (part) => {
      const source = sources.them.get(part.name);
      if (source !== undefined) await world.reach(source);
      source?.announceMany(list, attributesOf(route(''), source.options.address, probeAs));
      const received = async (): Promise<number> => (await world.peer(part.name)).routes.received;
      await eventually(`${size} of ${part.name}`, received, (n) => n === size, 250_000);
      source?.withdrawMany(list);
      await eventually(`none of ${part.name}`, received, (n) => n === 0, 250_000);
    });
  }
}
