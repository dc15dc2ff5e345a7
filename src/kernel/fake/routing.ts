// The kernel's rules for routes: what it accepts, what a key replaces or deletes, and how a destination is looked up.
import {
  containsAddress,
  familyOf,
  prefixFamily,
  prefixLength,
  type Address,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { errno } from '../errors.ts';
import { defaultV6Priority, hasNoNextHop } from '../netlink/routes.ts';
import type { NextHop, Route, RouteChange } from '../types.ts';
import { routeKey, type FakeNamespace, type Fault } from './namespace.ts';

export function changeRoute(ns: FakeNamespace, change: RouteChange): Fault {
  if (change.op === 'delete') return deleteRoute(ns, change);
  const route = normalise(change.route);
  const resolved = resolve(ns, route);
  if ('errno' in resolved) return resolved;
  const present = ns.routes.get(routeKey(resolved));
  if (present !== undefined && change.op === 'add') return { errno: errno.EEXIST };
  ns.routes.set(routeKey(resolved), resolved);
  ns.emit({ type: 'route', route: resolved });
  return undefined;
}

/** An IPv6 route without a metric gets the kernel's; the weight 1 is not kept. */
function normalise(route: Route): Route {
  const v6 = prefixFamily(route.dst) === 6;
  return {
    ...route,
    priority: v6 && route.priority === 0 ? defaultV6Priority : route.priority,
    scope: v6 ? 'global' : route.scope,
    nextHops: route.nextHops.map(({ weight, ...hop }) =>
      weight === undefined || weight === 1 ? hop : { ...hop, weight },
    ),
  };
}

function resolve(ns: FakeNamespace, route: Route): Route | NonNullable<Fault> {
  if (hasNoNextHop(route.type)) return { ...route, nextHops: [] };
  if (route.source !== undefined && !ns.isLocal(route.source))
    return { errno: errno.EINVAL, text: 'Invalid prefsrc address' };
  if (route.nextHops.length === 0) return { errno: errno.ENODEV };
  const nextHops: NextHop[] = [];
  for (const hop of route.nextHops) {
    const resolved = resolveHop(ns, route, hop);
    if ('errno' in resolved) return resolved;
    nextHops.push(resolved);
  }
  return { ...route, nextHops };
}

function resolveHop(ns: FakeNamespace, route: Route, hop: NextHop): NextHop | NonNullable<Fault> {
  const link = hop.linkIndex === undefined ? undefined : ns.links.get(hop.linkIndex);
  if (hop.linkIndex !== undefined && link === undefined) return { errno: errno.ENODEV };
  const isLocalType = route.type === 'local' || route.type === 'broadcast' || route.type === 'anycast';
  if (link !== undefined && !link.up && !isLocalType)
    return { errno: errno.ENETDOWN, text: 'Device for nexthop is not up' };
  const gateway = hop.gateway;
  if (gateway === undefined) return link === undefined ? { errno: errno.ENODEV } : hop;
  const v6 = familyOf(gateway) === 6;
  const unreachable = { errno: errno.ENETUNREACH, text: 'Nexthop has invalid gateway' };
  if (!v6 && route.scope !== 'global') return unreachable;
  if (hop.onlink === true)
    return link === undefined ? { errno: errno.EINVAL, text: 'Nexthop device required for onlink' } : hop;
  if (v6 && isLinkLocal(gateway)) return link === undefined ? { errno: errno.EINVAL } : hop;
  // A gateway that is an own address leads into lo; IPv6 will not have it.
  if (ns.isLocal(gateway)) return v6 ? { errno: errno.EINVAL } : { ...hop, linkIndex: hop.linkIndex ?? 1 };
  const way = best(ns, gateway, (candidate) => isOnLink(candidate, hop.linkIndex));
  if (way === undefined) return v6 ? { errno: errno.EHOSTUNREACH } : unreachable;
  const linkIndex = way.nextHops[0]?.linkIndex;
  return linkIndex === undefined ? unreachable : { ...hop, linkIndex };
}

const isLinkLocal = (address: Address): boolean => containsAddress('fe80::/10' as Prefix, address);

/** A gateway must be a neighbour: reached without another gateway, over the device when one is named. */
function isOnLink(route: Route, linkIndex: number | undefined): boolean {
  const hop = route.nextHops[0];
  const direct = route.type === 'unicast' && hop !== undefined && hop.gateway === undefined;
  const scoped = prefixFamily(route.dst) === 6 || route.scope !== 'global';
  return direct && scoped && (linkIndex === undefined || hop?.linkIndex === linkIndex);
}

function best(ns: FakeNamespace, address: Address, accept: (route: Route) => boolean): Route | undefined {
  let found: Route | undefined;
  for (const route of ns.routes.values()) {
    if (route.table < 254 || !containsAddress(route.dst, address) || !accept(route)) continue;
    if (found === undefined || isBetter(route, found)) found = route;
  }
  return found;
}

const isBetter = (a: Route, b: Route): boolean => {
  const longer = prefixLength(a.dst) - prefixLength(b.dst);
  return longer > 0 || (longer === 0 && a.priority < b.priority);
};

/** Priority 0 is a wildcard for the kernel: the route of the lowest metric that fits the rest goes. */
function deleteRoute(ns: FakeNamespace, change: Extract<RouteChange, { op: 'delete' }>): Fault {
  const { dst, table, priority } = change.key;
  let found: Route | undefined;
  for (const route of ns.routes.values()) {
    const fits =
      route.dst === dst &&
      route.table === table &&
      (priority === 0 || route.priority === priority) &&
      (change.protocol === undefined || change.protocol === 0 || route.protocol === change.protocol) &&
      (change.type === undefined || route.type === change.type) &&
      (change.linkIndex === undefined || route.nextHops.some((hop) => hop.linkIndex === change.linkIndex));
    if (fits && (found === undefined || route.priority < found.priority)) found = route;
  }
  if (found === undefined) return { errno: errno.ESRCH };
  ns.removeRoute(found);
  return undefined;
}

/** Rules in order of priority, in each table the longest match; the first table with a match decides. */
export function lookupRoute(
  ns: FakeNamespace,
  dst: Address,
  options: { readonly source?: Address; readonly inLinkIndex?: number },
): Route | undefined {
  const family = familyOf(dst);
  const inLink = options.inLinkIndex === undefined ? undefined : ns.links.get(options.inLinkIndex)?.name;
  const rules = ns.rules.filter((rule) => rule.family === family).sort((a, b) => a.priority - b.priority);
  for (const rule of rules) {
    const selected =
      (rule.source === undefined ||
        (options.source !== undefined && containsAddress(rule.source, options.source))) &&
      (rule.destination === undefined || containsAddress(rule.destination, dst)) &&
      (rule.inLink === undefined || rule.inLink === inLink) &&
      (rule.mark === undefined || rule.mark === 0);
    if (selected === (rule.invert === true)) continue;
    let found: Route | undefined;
    for (const route of ns.routes.values()) {
      if (route.table !== rule.table || !containsAddress(route.dst, dst)) continue;
      if (found === undefined || isBetter(route, found)) found = route;
    }
    if (found !== undefined && found.type !== 'throw') return found;
  }
  return undefined;
}
