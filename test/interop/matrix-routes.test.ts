// The interop matrix (docs/bgp-interop.md), rows 1, 2, 3, 8, 11 and 12: BIRD 2, FRR, GoBGP and ExaBGP side by side. Once as
// eBGP peers with four-octet AS numbers that we dial, once as iBGP peers with ADD-PATH that dial us.
import { after, before, suite, test } from 'node:test';
import { missing, reportFailures } from './support/network.ts';
import type { ProbePeer } from './support/probe-peer.ts';
import { ExaBgp } from './support/routers/exabgp.ts';
import type { RouterSetup, SessionSetup } from './support/routers/types.ts';
import { probeAddress, programs, us, World, type Part } from './support/routers/world.ts';
import { manyRoutesRow, ourAttributesRow, theirAttributesRow } from './support/rows/attributes.ts';
import { communitiesRow } from './support/rows/communities.ts';
import { refreshRow } from './support/rows/filters.ts';
import { pathsToThemRow, pathsToUsRow } from './support/rows/paths.ts';
import { ipv6Row, sessionRow } from './support/rows/sessions.ts';
import { probeAs, route, say, type Profile } from './support/rows/words.ts';

const skip = missing(...programs) ?? false;
reportFailures();

const profiles: readonly (Profile & {
  readonly title: string;
  readonly weDial: boolean;
  readonly addPath: boolean;
  readonly sizes: readonly number[];
})[] = [
  {
    title: 'eBGP, four-octet AS numbers, we dial',
    kind: 'ebgp',
    ourAs: 4_200_000_001,
    asOf: (part) => 4_200_000_010 + part.number,
    weDial: true,
    addPath: false,
    sizes: [1, 1000, 100_000],
  },
  {
    title: 'iBGP with ADD-PATH, they dial',
    kind: 'ibgp',
    ourAs: 64512,
    asOf: () => 64512,
    weDial: false,
    addPath: true,
    sizes: [1, 1000],
  },
];

for (const profile of profiles)
  void suite(`interop, ${profile.title}`, { skip }, () => {
    let world: World;
    let sources: ProbePeer[];
    let third: ProbePeer;
    const theirSources = new Map<string, ProbePeer[]>();
    const probeSessions = [1, 2, 3].map(
      (n): SessionSetup => ({ address: probeAddress(n), as: probeAs, families: [4], passive: true }),
    );
    const setup = (part: Part, refuses?: readonly string[]): RouterSetup => ({
      as: profile.asOf(part),
      address: part.v4,
      address6: part.v6,
      sessions: [
        {
          address: us.v4,
          as: profile.ourAs,
          families: [4, 6],
          passive: profile.weDial,
          addPath: profile.addPath,
          refuses: refuses ?? [],
        },
        ...(part.router.cannot.relays === undefined ? probeSessions : []),
      ],
    });

    before(async () => {
      world = new World(profile.ourAs);
      for (const part of world.parts)
        world.plan.peers.set(part.name, {
          address: part.v4,
          as: profile.asOf(part),
          families: [4, 6],
          passive: !profile.weDial,
          addPath: profile.addPath,
          exportPolicy: part.router.cannot['large-table'] === undefined ? 'isolated' : 'isolatedSmall',
        });
      for (const n of [1, 2, 3, 4])
        world.plan.peers.set(`probe${n}`, {
          address: probeAddress(n),
          as: probeAs,
          passive: true,
          exportPolicy: n === 4 ? 'withoutLarge' : 'nothing',
        });
      await Promise.all([world.startUs(), ...world.parts.map((part) => part.router.start(setup(part)))]);
      sources = await Promise.all([1, 2, 3].map((n) => world.probe(n, probeAs, us.v4, profile.ourAs, true)));
      third = await world.probe(4, probeAs, us.v4, profile.ourAs);
      await Promise.all(world.parts.map((part) => world.up(part)));
      for (const part of world.parts)
        if (part.router.cannot.relays === undefined)
          theirSources.set(
            part.name,
            await Promise.all(
              [1, 2, 3].map((n) => world.probe(n, probeAs, part.v4, profile.asOf(part), true)),
            ),
          );
    });
    after(() => world?.close());

    void test('row 1: sessions, and what both sides say they can', (t) => sessionRow(t, world, profile));
    void test('row 2: 200 random attribute sets through us', (t) =>
      ourAttributesRow(t, world, profile, sources[0]!));
    void test('row 2: random attribute sets of each daemon', (t) => theirAttributesRow(t, world, profile));
    void test(`row 2: ${profile.sizes.join(', ')} prefixes both ways`, { timeout: 900_000 }, (t) =>
      manyRoutesRow(
        t,
        world,
        {
          us: sources[0]!,
          them: new Map([...theirSources].map(([name, list]) => [name, list[0]!])),
        },
        profile.sizes,
      ),
    );
    void test('row 3: IPv6 over an IPv4 session, both ways', (t) => ipv6Row(t, world, profile));
    if (profile.addPath) {
      void test('BG-022: row 8: ADD-PATH through us, equal ways in both kernels', (t) =>
        pathsToThemRow(t, world, sources));
      void test('BG-022: row 8: ADD-PATH of each daemon, equal ways in our kernel', (t) =>
        pathsToUsRow(t, world, (part, prefix, hops) => {
          const { router } = part;
          if (router instanceof ExaBgp) {
            for (const n of [1, 2, 3]) {
              const path = route(prefix, { nextHop: probeAddress(n) });
              if (hops.includes(n)) router.announcePath(path, `0.0.0.${n}`);
              else router.withdrawPath(path, `0.0.0.${n}`);
            }
            return;
          }
          theirSources
            .get(part.name)
            ?.forEach((probe, i) => say(probe, hops.includes(i + 1) ? [route(prefix)] : []));
        }));
    }
    void test('row 11: route refresh and filters, no session ends', (t) =>
      refreshRow(t, world, (part, refuses) => part.router.change(setup(part, refuses))));
    void test('row 12: communities of all kinds', (t) =>
      communitiesRow(t, world, profile, { source: sources[0]!, third }));
  });
