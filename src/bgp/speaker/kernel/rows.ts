// Rows: what the table wants of the kernel, and the kernel's form of it. Pure.
import type { Address, Prefix } from '../../../lib/ip/mod.ts';
import {
  mainTable,
  routeProtocols,
  type NextHop,
  type Route,
  type RouteChange,
} from '../../../kernel/mod.ts';
import type { KernelView, Resolution } from './view.ts';

/** A destination and the BGP next hops it may use. */
export type DesiredRoute = {
  readonly prefix: Prefix;
  readonly metric: number;
  readonly nextHops: readonly DesiredNextHop[];
};
export type DesiredNextHop = {
  readonly address: Address;
  /** Through this device, on-link: a tunnel. */
  readonly tunnel?: string;
};

export const ownProtocol = routeProtocols.bird;

/** Ours: what BIRD would call its own, except the blackholes, which are the agent's. */
export const isOwn = (route: Route): boolean =>
  route.protocol === ownProtocol && route.type === 'unicast' && route.table === mainTable;

/** The kernel's form of a row, next hops in a fixed order; the problem in words when none of them is usable. */
export function routeOf(row: DesiredRoute, resolve: (nextHop: DesiredNextHop) => Resolution): Route | string {
  const hops = new Map<string, NextHop>();
  let why = 'it has no next hop';
  for (const nextHop of row.nextHops) {
    const resolution = resolve(nextHop);
    if (!resolution.reachable) why = `next hop ${nextHop.address}: ${resolution.why}`;
    else for (const hop of resolution.nextHops) hops.set(`${hop.gateway} ${hop.linkIndex}`, hop);
  }
  if (hops.size === 0) return why;
  return {
    dst: row.prefix,
    type: 'unicast',
    table: mainTable,
    protocol: ownProtocol,
    scope: 'global',
    priority: row.metric,
    nextHops: [...hops.keys()].sort().map((key) => hops.get(key) as NextHop),
  };
}

/** On-link through a device, whatever the table says of the address. */
export function throughDevice(view: KernelView, address: Address, device: string): Resolution {
  const link = view.link(device);
  if (link === undefined) return { reachable: false, why: `there is no device ${device}` };
  return {
    reachable: true,
    metric: 0,
    nextHops: [{ gateway: address, linkIndex: link.index, onlink: true }],
    interfaceName: device,
  };
}

/** True when the kernel's route does what the wanted one would. */
export function sameRoute(a: Route, b: Route): boolean {
  const hops = (r: Route): string =>
    r.nextHops
      .map((h) => `${h.gateway ?? ''} ${h.linkIndex ?? ''} ${h.onlink === true} ${h.weight ?? 1}`)
      .sort()
      .join('|');
  return a.source === b.source && hops(a) === hops(b);
}

/** True when both rows ask for the same. */
export const sameRow = (a: DesiredRoute, b: DesiredRoute): boolean =>
  a.metric === b.metric &&
  a.nextHops.length === b.nextHops.length &&
  a.nextHops.every((h, i) => h.address === b.nextHops[i]?.address && h.tunnel === b.nextHops[i]?.tunnel);

/** What makes our routes to a destination the wanted one. With `isTaken` the place is another program's: nothing is written
 *  there. New before old: with another metric there is no moment without a route. */
export function changesTo(
  prefix: Prefix,
  own: readonly Route[],
  wanted: Route | undefined,
  isTaken: boolean,
): RouteChange[] {
  const changes: RouteChange[] = [];
  if (wanted !== undefined && !isTaken) {
    const same = own.find((r) => r.priority === wanted.priority);
    if (same === undefined) changes.push({ op: 'add', route: wanted });
    else if (!sameRoute(same, wanted)) changes.push({ op: 'replace', route: wanted });
  }
  for (const old of own)
    if (old.priority !== wanted?.priority)
      changes.push({
        op: 'delete',
        key: { dst: prefix, table: mainTable, priority: old.priority },
        protocol: ownProtocol,
        type: 'unicast',
      });
  return changes;
}
