// Rows of the interop matrix about routes and their attributes, over the face that all daemons have. Each row takes a stage
// whose sessions are up.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Attributes } from '../../../../src/bgp/packet/mod.ts';
import type { ProbePeer } from '../probe-peer.ts';
import { eventually } from '../network.ts';
import { sorted, type RouteText } from '../routers/types.ts';
import {
  byPrefix,
  isolation,
  ourText,
  probeAddress,
  row,
  us,
  type Part,
  type World,
} from '../routers/world.ts';

/** Who the daemons are to us. */
export type Profile = {
  readonly kind: 'ebgp' | 'ibgp';
  readonly ourAs: number;
  readonly asOf: (part: Part) => number;
};

/** The AS of the peers that the test plays. */
export const probeAs = 65400;
export const sourceProbe = 1;

// ── random attributes ────────────────────────────────────────────────────────────────────────────────────────────────
function* numbers(seed: number): Generator<number, never> {
  for (let n = seed; ; ) {
    n = (Math.imul(n, 1664525) + 1013904223) >>> 0;
    yield n / 0x1_0000_0000;
  }
}

/** Routes with random attributes; `second` is the second octet of their prefixes. */
export function randomRoutes(count: number, seed: number, second: number): RouteText[] {
  const random = numbers(seed);
  const under = (n: number): number => Math.floor(random.next().value * n);
  const many = (most: number, make: () => string): string[] =>
    sorted([...new Set(Array.from({ length: under(most + 1) }, make))]);
  return Array.from({ length: count }, (_, i) => {
    const hasMed = under(2) === 0;
    return {
      prefix: `10.${second}.${i}.0/${24 + under(2)}`,
      asPath: Array.from({ length: under(4) }, () =>
        under(2) === 0 ? 65001 + under(200) : 4_200_000_100 + under(1000),
      ).join(' '),
      origin: (['igp', 'egp', 'incomplete'] as const)[under(3)] ?? 'igp',
      ...(hasMed ? { med: 1 + under(1_000_000) } : {}),
      ...(under(2) === 0 ? { localPref: 1 + under(1_000_000) } : {}),
      communities: many(4, () => `${1 + under(65000)}:${under(65536)}`),
      large: many(3, () => `${1 + under(4_000_000_000)}:${under(4_000_000_000)}:${under(1000)}`),
    };
  });
}

/** As a message says it. */
export function attributesOf(r: RouteText, nextHop: string, firstAs?: number): Attributes {
  const path = r.asPath === '' ? [] : r.asPath.split(' ').map(Number);
  const asns = firstAs === undefined ? path : [firstAs, ...path];
  const { med, localPref } = r;
  return {
    origin: ({ igp: 0, egp: 1, incomplete: 2 } as const)[r.origin],
    asPath: asns.length === 0 ? [] : [{ type: 'sequence', asns }],
    nextHop: (r.nextHop ?? nextHop) as NonNullable<Attributes['nextHop']>,
    ...(med === undefined ? {} : { med }),
    ...(firstAs !== undefined || localPref === undefined ? {} : { localPref }),
    ...(r.communities.length === 0
      ? {}
      : {
          communities: r.communities.map((c) => {
            const [high = 0, low = 0] = c.split(':').map(Number);
            return high * 65536 + low;
          }),
        }),
    ...(r.large.length === 0
      ? {}
      : { largeCommunities: r.large.map((c) => c.split(':').map(Number) as [number, number, number]) }),
  };
}

/** What the test's own peer announces, as an eBGP neighbour says it. */
export const say = (probe: ProbePeer, routes: readonly RouteText[]): void =>
  probe.announce(
    routes.map((r) => ({ prefix: r.prefix, attributes: attributesOf(r, probe.options.address, probeAs) })),
  );

const plain = { asPath: '', origin: 'igp', communities: [], large: [] } as const;
export const route = (prefix: string, more: Partial<RouteText> = {}): RouteText => ({
  ...plain,
  prefix,
  ...more,
});

const without = (r: RouteText, ...keys: (keyof RouteText)[]): RouteText => {
  const copy: RouteText = { ...r };
  for (const key of keys) delete (copy as Record<string, unknown>)[key];
  return copy;
};

/** Compares lists of routes by prefix; the first difference is shown whole. */
function sameRoutes(got: readonly RouteText[], want: readonly RouteText[]): void {
  const heard = byPrefix(got);
  for (const r of want) assert.deepEqual(heard.get(r.prefix), r, r.prefix);
  assert.equal(heard.size, want.length);
}

// ── rows 1 and 3 ─────────────────────────────────────────────────────────────────────────────────────────────────────
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

// ── row 2 ────────────────────────────────────────────────────────────────────────────────────────────────────────────
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
      source?.announceMany(list, attributesOf(route(''), source.options.address, probeAs));
      const received = async (): Promise<number> => (await world.peer(part.name)).routes.received;
      await eventually(`${size} of ${part.name}`, received, (n) => n === size, 250_000);
      source?.withdrawMany(list);
      await eventually(`none of ${part.name}`, received, (n) => n === 0, 250_000);
    });
  }
}

// ── row 8 ────────────────────────────────────────────────────────────────────────────────────────────────────────────
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

// ── row 11 ───────────────────────────────────────────────────────────────────────────────────────────────────────────
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

// ── row 12 ───────────────────────────────────────────────────────────────────────────────────────────────────────────
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
      (list) => list.filter((r) => r.prefix.startsWith(prefix)).length >= 4,
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
