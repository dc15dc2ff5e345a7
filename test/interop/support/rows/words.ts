// What the rows of the interop matrix announce, and how it is compared: routes as text, random attributes, the attributes of
// a message.
import assert from 'node:assert/strict';
import type { Attributes } from '../../../../src/bgp/packet/mod.ts';
import type { ProbePeer } from '../probe-peer.ts';
import { sorted, type RouteText } from '../routers/types.ts';
import { byPrefix, type Part } from '../routers/world.ts';

/** Who the daemons are to us. */
export type Profile = {
  readonly kind: 'ebgp' | 'ibgp';
  readonly ourAs: number;
  readonly asOf: (part: Part) => number;
};

/** The AS of the peers that the test plays. */
export const probeAs = 65400;
export const sourceProbe = 1;

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

export const without = (r: RouteText, ...keys: (keyof RouteText)[]): RouteText => {
  const copy: RouteText = { ...r };
  for (const key of keys) delete (copy as Record<string, unknown>)[key];
  return copy;
};

/** Compares lists of routes by prefix; the first difference is shown whole. */
export function sameRoutes(got: readonly RouteText[], want: readonly RouteText[]): void {
  const heard = byPrefix(got);
  for (const r of want) assert.deepEqual(heard.get(r.prefix), r, r.prefix);
  assert.equal(heard.size, want.length);
}
