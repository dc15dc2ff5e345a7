// What policy changes and announcing do to attributes, as plain data.
import type { Address } from '../../lib/ip/mod.ts';
import type { AsPathSegment, Attributes, LargeCommunity } from '../packet/mod.ts';
import type { PolicyChanges } from '../policy/mod.ts';

export type MutableAttributes = { -readonly [K in keyof Attributes]: Attributes[K] };

/** True when the changes touch attributes, not only preference or tunnel. */
export const touchesAttributes = (c: PolicyChanges): boolean =>
  c.localPref !== undefined ||
  c.med !== undefined ||
  c.communities.length > 0 ||
  c.largeCommunities.length > 0 ||
  c.prepend.length > 0;

export function applyChanges(attributes: Attributes, changes: PolicyChanges): MutableAttributes {
  const next: MutableAttributes = { ...attributes };
  if (changes.localPref !== undefined) next.localPref = changes.localPref;
  if (changes.med !== undefined) next.med = changes.med;
  if (changes.prepend.length > 0) next.asPath = prependPath(attributes.asPath, changes.prepend);
  if (changes.communities.length > 0) {
    next.communities = [...new Set([...(attributes.communities ?? []), ...changes.communities])];
  }
  if (changes.largeCommunities.length > 0) {
    const present = (attributes.largeCommunities ?? []).map((c) => c.join(':'));
    const added = changes.largeCommunities.filter((c) => !present.includes(c));
    next.largeCommunities = [...(attributes.largeCommunities ?? []), ...added.map(parseLarge)];
  }
  return next;
}

/** The path with `asns` in front, in the leading sequence while it has room (255 numbers to a segment). */
export function prependPath(
  path: readonly AsPathSegment[],
  asns: readonly number[],
): readonly AsPathSegment[] {
  const [first, ...rest] = path;
  if (first?.type === 'sequence' && first.asns.length + asns.length <= 255) {
    return [{ type: 'sequence', asns: [...asns, ...first.asns] }, ...rest];
  }
  return [{ type: 'sequence', asns: [...asns] }, ...path];
}

function parseLarge(text: string): LargeCommunity {
  const [a = 0, b = 0, c = 0] = text.split(':').map(Number);
  return [a, b, c];
}

/** The attributes without both next hops. */
export function withoutNextHop(attributes: Attributes): MutableAttributes {
  const next: MutableAttributes = { ...attributes };
  delete next.nextHop;
  delete next.linkLocalNextHop;
  return next;
}

export function withNextHop(
  attributes: Attributes,
  nextHop: Address,
  linkLocal: Address | undefined,
): MutableAttributes {
  const next = withoutNextHop(attributes);
  next.nextHop = nextHop;
  if (linkLocal !== undefined) next.linkLocalNextHop = linkLocal;
  return next;
}
