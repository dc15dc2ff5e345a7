// Routes: RTM_*ROUTE messages from and to `Route`. Pure.
//
//   rtmsg      family u8 · dst length u8 · src length u8 · tos u8 · table u8 · protocol u8 · scope u8 · type u8 · flags u32
//   rtnexthop  length u16 · flags u8 · hops u8 (weight - 1) · index s32, then the attributes of this hop
import {
  addressToBytes,
  familyOf,
  hostPrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
  type Address,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import type { NextHop, Route, RouteChange, RouteFilter } from '../types.ts';
import * as c from './constants.ts';
import { addressAt, align4, attributes, type MessageHeader, type MessageWriter } from './message.ts';

const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTM_F_FIB_MATCH = 0x2000;
const rtmsgLength = 12;

const types = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const satisfies Record<Route['type'], number>;
const typeNames = new Map<number, Route['type']>(
  Object.entries(types).map(([name, number]) => [number, name as Route['type']]),
);
const scopes = { global: 0, link: 253, host: 254, nowhere: 255 } as const;
const scopeNames = new Map<number, Route['scope']>(
  Object.entries(scopes).map(([name, number]) => [number, name as Route['scope']]),
);
export const localTable = 255;
/** IPv6 routes without a metric of their own. */
export const defaultV6Priority = 1024;

/** Types that have no next hop: what the kernel shows as device for them (lo) is not part of the route. */
export const hasNoNextHop = (type: Route['type']): boolean =>
  type === 'blackhole' || type === 'unreachable' || type === 'prohibit' || type === 'throw';

function rtmsg(w: MessageWriter, family: Family, length: number, fields: RtmsgFields): void {
  w.u8(c.addressFamily(family))
    .u8(length)
    .u8(0)
    .u8(0)
    .u8(fields.table < 256 ? fields.table : 0)
    .u8(fields.protocol)
    .u8(fields.scope)
    .u8(fields.type)
    .u32(fields.flags);
}
type RtmsgFields = { table: number; protocol: number; scope: number; type: number; flags: number };

export function encodeRouteDump(w: MessageWriter, family: Family, filter: RouteFilter): void {
  const table = filter.table ?? 0;
  rtmsg(w, family, 0, { table, protocol: filter.protocol ?? 0, scope: 0, type: 0, flags: 0 });
  if (filter.table !== undefined) w.attributeU32(RTA_TABLE, filter.table);
  if (filter.linkIndex !== undefined) w.attributeU32(RTA_OIF, filter.linkIndex);
}

/** The body of RTM_NEWROUTE. */
export function encodeRoute(w: MessageWriter, route: Route): void {
  const family = prefixFamily(route.dst);
  const length = prefixLength(route.dst);
  const single = route.nextHops.length === 1 ? route.nextHops[0] : undefined;
  rtmsg(w, family, length, {
    table: route.table,
    protocol: route.protocol,
    scope: scopes[route.scope],
    type: types[route.type],
    flags: single?.onlink === true ? RTNH_F_ONLINK : 0,
  });
  if (length > 0) w.attributeAddress(RTA_DST, prefixAddress(route.dst));
  w.attributeU32(RTA_TABLE, route.table);
  if (route.priority !== 0) w.attributeU32(RTA_PRIORITY, route.priority);
  if (route.source !== undefined) w.attributeAddress(RTA_PREFSRC, route.source);
  if (single !== undefined) {
    putGateway(w, family, single.gateway);
    if (single.linkIndex !== undefined) w.attributeU32(RTA_OIF, single.linkIndex);
  } else if (route.nextHops.length > 1) {
    const list = w.plainNest(RTA_MULTIPATH);
    for (const hop of route.nextHops) {
      const start = w.length;
      w.u16(0)
        .u8(hop.onlink === true ? RTNH_F_ONLINK : 0)
        .u8((hop.weight ?? 1) - 1)
        .u32(hop.linkIndex ?? 0);
      putGateway(w, family, hop.gateway);
      w.endNest(start);
    }
    w.endNest(list);
  }
}

/** IPv4 by an IPv6 gateway (RFC 8950) goes as RTA_VIA. */
function putGateway(w: MessageWriter, family: Family, gateway: Address | undefined): void {
  if (gateway === undefined) return;
  const own = familyOf(gateway);
  if (own === family) return void w.attributeAddress(RTA_GATEWAY, gateway);
  const bytes = addressToBytes(gateway);
  w.u16(6 + bytes.length)
    .u16(RTA_VIA)
    .u16(c.addressFamily(own))
    .raw(bytes)
    .pad();
}

/** The body of RTM_DELROUTE: zero and "nowhere" are the kernel's wildcards. */
export function encodeRouteDelete(w: MessageWriter, change: Extract<RouteChange, { op: 'delete' }>): void {
  const { dst, table, priority } = change.key;
  const length = prefixLength(dst);
  rtmsg(w, prefixFamily(dst), length, {
    table,
    protocol: change.protocol ?? 0,
    scope: scopes.nowhere,
    type: change.type === undefined ? 0 : types[change.type],
    flags: 0,
  });
  if (length > 0) w.attributeAddress(RTA_DST, prefixAddress(dst));
  w.attributeU32(RTA_TABLE, table);
  if (priority !== 0) w.attributeU32(RTA_PRIORITY, priority);
  if (change.linkIndex !== undefined) w.attributeU32(RTA_OIF, change.linkIndex);
}

/** RTM_GETROUTE for one destination: the decision itself, or with `fibMatch` the table entry behind it. */
export function encodeRouteLookup(
  w: MessageWriter,
  dst: Address,
  options: { readonly source?: Address; readonly inLinkIndex?: number; readonly fibMatch: boolean },
): void {
  const family = familyOf(dst);
  const bits = family === 4 ? 32 : 128;
  w.u8(c.addressFamily(family))
    .u8(bits)
    .u8(options.source === undefined ? 0 : bits)
    .u8(0)
    .u32(0)
    .u32((options.fibMatch ? RTM_F_FIB_MATCH : 0) | (family === 4 ? RTM_F_LOOKUP_TABLE : 0));
  w.attributeAddress(RTA_DST, dst);
  if (options.source !== undefined) w.attributeAddress(RTA_SRC, options.source);
  if (options.inLinkIndex !== undefined) w.attributeU32(RTA_IIF, options.inLinkIndex);
}

export function decodeRoute(view: DataView, message: MessageHeader): Route | undefined {
  if (message.type !== c.RTM_NEWROUTE && message.type !== c.RTM_DELROUTE) return undefined;
  const start = message.start;
  const familyNumber = view.getUint8(start);
  if (familyNumber !== c.AF_INET && familyNumber !== c.AF_INET6) return undefined;
  return (view.getUint32(start + 8, true) & RTM_F_CLONED) !== 0 ? undefined : readRoute(view, message);
}

/** The answer of a lookup, which the kernel marks as cloned. */
export function decodeLookup(view: DataView, message: MessageHeader): Route | undefined {
  return message.type === c.RTM_NEWROUTE ? readRoute(view, message) : undefined;
}

function readRoute(view: DataView, message: MessageHeader): Route | undefined {
  const start = message.start;
  const family: Family = view.getUint8(start) === c.AF_INET ? 4 : 6;
  const type = typeNames.get(view.getUint8(start + 7));
  if (type === undefined) return undefined;
  const flags = view.getUint32(start + 8, true);
  let dst: Address | undefined;
  let table = view.getUint8(start + 4);
  let priority = 0;
  let source: Address | undefined;
  let gateway: Address | undefined;
  let linkIndex: number | undefined;
  let multipath: NextHop[] | undefined;
  attributes(view, start + rtmsgLength, message.end, (attribute, offset, length) => {
    if (attribute === RTA_DST) dst = addressAt(view, offset, length);
    else if (attribute === RTA_TABLE) table = view.getUint32(offset, true);
    else if (attribute === RTA_OIF) linkIndex = view.getUint32(offset, true);
    else if (attribute === RTA_GATEWAY) gateway = addressAt(view, offset, length);
    else if (attribute === RTA_VIA) gateway = addressAt(view, offset + 2, length - 2);
    else if (attribute === RTA_PRIORITY) priority = view.getUint32(offset, true);
    else if (attribute === RTA_PREFSRC) source = addressAt(view, offset, length);
    else if (attribute === RTA_MULTIPATH) multipath = readMultipath(view, offset, length);
  });
  const any = (family === 4 ? '0.0.0.0' : '::') as Address;
  return {
    dst: `${dst ?? any}/${view.getUint8(start + 1)}` as Prefix,
    type,
    table,
    protocol: view.getUint8(start + 5),
    scope: scopeNames.get(view.getUint8(start + 6)) ?? 'global',
    priority,
    ...(source === undefined ? {} : { source }),
    nextHops: hasNoNextHop(type)
      ? []
      : (multipath ?? singleHop(gateway, linkIndex, (flags & RTNH_F_ONLINK) !== 0)),
  };
}

function singleHop(gateway: Address | undefined, linkIndex: number | undefined, onlink: boolean): NextHop[] {
  if (gateway === undefined && linkIndex === undefined) return [];
  return [
    {
      ...(gateway === undefined ? {} : { gateway }),
      ...(linkIndex === undefined ? {} : { linkIndex }),
      ...(onlink ? { onlink } : {}),
    },
  ];
}

function readMultipath(view: DataView, start: number, length: number): NextHop[] {
  const hops: NextHop[] = [];
  for (let at = start; at + 8 <= start + length; ) {
    const size = view.getUint16(at, true);
    if (size < 8) break;
    const weight = view.getUint8(at + 3) + 1;
    let gateway: Address | undefined;
    attributes(view, at + 8, at + size, (attribute, offset, n) => {
      if (attribute === RTA_GATEWAY) gateway = addressAt(view, offset, n);
      else if (attribute === RTA_VIA) gateway = addressAt(view, offset + 2, n - 2);
    });
    hops.push({
      ...(gateway === undefined ? {} : { gateway }),
      linkIndex: view.getUint32(at + 4, true),
      ...((view.getUint8(at + 2) & RTNH_F_ONLINK) !== 0 ? { onlink: true } : {}),
      ...(weight === 1 ? {} : { weight }),
    });
    at += align4(size);
  }
  return hops;
}

/** What the kernel filters itself where it can; IPv6 and older kernels are filtered here. */
export function matchesFilter(route: Route, filter: RouteFilter): boolean {
  return (
    (filter.table === undefined || route.table === filter.table) &&
    (filter.protocol === undefined || route.protocol === filter.protocol) &&
    (filter.linkIndex === undefined || route.nextHops.some((hop) => hop.linkIndex === filter.linkIndex))
  );
}

/** The decision of the kernel, told with the table entry it came from. */
export function joinLookup(decision: Route, match: Route | undefined, dst: Address): Route {
  // Until rules are added the kernel keeps the local table inside the main one and tells that number.
  const table = decision.type === 'local' ? localTable : decision.table;
  if (match === undefined) return { ...decision, table, dst: hostPrefix(dst) };
  const source = decision.source ?? match.source;
  return { ...match, table, ...(source === undefined ? {} : { source }), nextHops: decision.nextHops };
}
