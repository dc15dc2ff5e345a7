// A message in words that every tool understands: families by name, prefixes, next hops and attributes as text and numbers.
// For people, dumps and comparisons with other implementations; tables never use it.
import { decodeAttributes, attributeBytes } from './attributes.ts';
import { attributeName } from './attribute-table.ts';
import { describeNotification } from './errors.ts';
import { decodeNotification, decodeRouteRefresh, messageTypeAt } from './header.ts';
import { prefixFromWords } from './nlri.ts';
import { decodeOpen, openAsn } from './open.ts';
import {
  attributeCode,
  messageType,
  type Attributes,
  type DecodeContext,
  type NlriVisitor,
  type Notification,
  type OpenMessage,
  type UpdateView,
} from './types.ts';
import { announcedParts, forEachAnnounced, forEachWithdrawn, parseUpdate } from './update.ts';

export type RouteDescription = {
  readonly family: string;
  readonly prefix: string;
  readonly pathId?: number;
  readonly nextHop?: string;
};
export type AttributesDescription = {
  readonly origin?: 'igp' | 'egp' | 'incomplete';
  readonly asPath?: readonly { readonly type: string; readonly asns: readonly number[] }[];
  readonly med?: number;
  readonly localPreference?: number;
  readonly atomicAggregate?: boolean;
  readonly aggregator?: string;
  readonly communities?: readonly string[];
  readonly largeCommunities?: readonly string[];
  readonly extendedCommunities?: readonly string[];
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
  readonly unknown?: readonly { readonly code: number; readonly flags: number; readonly value: string }[];
};
export type MessageDescription =
  | { readonly kind: 'open'; readonly open: OpenMessage; readonly asn: number }
  | { readonly kind: 'keepalive' }
  | { readonly kind: 'notification'; readonly code: number; readonly subcode: number; readonly text: string }
  | { readonly kind: 'route-refresh'; readonly family: string; readonly subtype: string }
  | { readonly kind: 'eor'; readonly family: string }
  | {
      readonly kind: 'update';
      readonly announce: readonly RouteDescription[];
      readonly withdraw: readonly RouteDescription[];
      readonly attributes: AttributesDescription;
      /** Families whose routes stay bytes. */
      readonly opaque?: readonly string[];
      readonly problems?: readonly string[];
    }
  /** The message ends the session with this NOTIFICATION. */
  | { readonly kind: 'error'; readonly notification: Notification; readonly text: string };

const afiNames: Readonly<Record<number, string>> = { 1: 'ipv4', 2: 'ipv6', 25: 'l2vpn', 16388: 'bgp-ls' };
const safiNames: Readonly<Record<number, string>> = {
  1: 'unicast',
  2: 'multicast',
  4: 'nlri-mpls',
  5: 'mcast-vpn',
  65: 'vpls',
  70: 'evpn',
  71: 'bgp-ls',
  73: 'sr-policy',
  85: 'mup',
  128: 'mpls-vpn',
  133: 'flow',
  134: 'flow-vpn',
};

/** `ipv4 unicast`; numbers where there is no name. */
export const familyName = (afi: number, safi: number): string =>
  `${afiNames[afi] ?? `afi ${afi}`} ${safiNames[safi] ?? `safi ${safi}`}`;

/** Describes the whole message at `start`..`end`, whose header is right (`frameLength`). */
export function describeMessage(
  bytes: Uint8Array,
  start: number,
  end: number,
  context: DecodeContext,
): MessageDescription {
  switch (messageTypeAt(bytes, start)) {
    case messageType.open: {
      const open = decodeOpen(bytes, start, end);
      return open.ok ? { kind: 'open', open: open.value, asn: openAsn(open.value) } : errorOf(open.error);
    }
    case messageType.notification: {
      const n = decodeNotification(bytes, start, end);
      return { kind: 'notification', code: n.code, subcode: n.subcode, text: describeNotification(n) };
    }
    case messageType.routeRefresh: {
      const { afi, safi, subtype } = decodeRouteRefresh(bytes, start);
      return { kind: 'route-refresh', family: familyName(afi, safi), subtype };
    }
    case messageType.update:
      return describeUpdate(parseUpdate(bytes, start, end, context), context);
    default:
      return { kind: 'keepalive' };
  }
}

const errorOf = (n: Notification): MessageDescription => ({
  kind: 'error',
  notification: n,
  text: describeNotification(n),
});

function describeUpdate(view: UpdateView, context: DecodeContext): MessageDescription {
  if (view.verdict === 'reset' && view.notification !== undefined) return errorOf(view.notification);
  if (view.endOfRib !== 0) return { kind: 'eor', family: familyName(view.endOfRib === 4 ? 1 : 2, 1) };
  const announce: RouteDescription[] = [];
  const withdraw: RouteDescription[] = [];
  const into =
    (list: RouteDescription[], nextHop?: string): NlriVisitor =>
    (family, w0, w1, w2, w3, length, pathId) =>
      void list.push({
        family: familyName(family === 4 ? 1 : 2, 1),
        prefix: prefixFromWords(family, w0, w1, w2, w3, length),
        ...((family === 4 ? context.addPath4 : context.addPath6) ? { pathId } : {}),
        ...(nextHop === undefined ? {} : { nextHop }),
      });
  let attributes: Attributes | undefined;
  for (const part of announcedParts(view)) {
    attributes = decodeAttributes(attributeBytes(view, part));
    forEachAnnounced(view, part, into(announce, attributes.nextHop));
  }
  forEachWithdrawn(view, into(withdraw));
  const opaque = view.opaque ?? [];
  const [only] = opaque;
  const isMarker = only?.attribute === attributeCode.mpUnreach && only.value.length === 0;
  if (isMarker && opaque.length === 1 && view.attributesEnd - view.attributesStart <= 7)
    return { kind: 'eor', family: familyName(only.afi, only.safi) };
  // What has errors may be of any length: it is not decoded.
  attributes ??=
    view.verdict === 'ok' && view.attributesStart < view.attributesEnd
      ? decodeAttributes(attributeBytes(view, 'body'))
      : undefined;
  const problems = view.problems?.map((p) => `${attributeName(p.attribute)}: ${p.reason} (${p.class})`);
  return {
    kind: 'update',
    announce,
    withdraw,
    attributes: attributes === undefined ? {} : describeAttributes(attributes),
    ...(opaque.length === 0 ? {} : { opaque: opaque.map((o) => familyName(o.afi, o.safi)) }),
    ...(problems === undefined ? {} : { problems }),
  };
}

/** Attributes as text; what is absent is left out. */
export function describeAttributes(a: Attributes): AttributesDescription {
  return {
    origin: (['igp', 'egp', 'incomplete'] as const)[a.origin],
    ...(a.asPath.length === 0
      ? {}
      : { asPath: a.asPath.map((s) => ({ type: `as-${s.type}`, asns: s.asns })) }),
    ...(a.med === undefined ? {} : { med: a.med }),
    ...(a.localPref === undefined ? {} : { localPreference: a.localPref }),
    ...(a.atomicAggregate === undefined ? {} : { atomicAggregate: true }),
    ...(a.aggregator === undefined ? {} : { aggregator: `${a.aggregator.asn}:${a.aggregator.address}` }),
    ...(a.communities === undefined
      ? {}
      : { communities: a.communities.map((c) => `${c >>> 16}:${c & 0xffff}`) }),
    ...(a.largeCommunities === undefined
      ? {}
      : { largeCommunities: a.largeCommunities.map((c) => c.join(':')) }),
    ...(a.extendedCommunities === undefined ? {} : { extendedCommunities: a.extendedCommunities }),
    ...(a.originatorId === undefined ? {} : { originatorId: dotted(a.originatorId) }),
    ...(a.clusterList === undefined ? {} : { clusterList: a.clusterList.map(dotted) }),
    ...(a.unknown === undefined
      ? {}
      : { unknown: a.unknown.map((u) => ({ code: u.code, flags: u.flags, value: hexText(u.value) })) }),
  };
}

const dotted = (n: number): string => `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
const hexText = (bytes: Uint8Array): string =>
  [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
