// The routes table: local endpoints, blackholes of own blocks, and the route that makes proxy ARP answer for 169.254.1.1.
//
// Why the gateway route: the kernel answers an ARP request by proxy only for an address it would forward, out of another
// device. 169.254.1.1 is no address of the host, so without a covering host route (a default route, usually) pods get no
// answer. A unicast /32 of it over `lo` in table `local` makes it always "forwarded": that table is looked up before all
// others, `ip route` does not list it, and interfaces without proxy_arp stay silent. Packets to 169.254.1.1 itself would
// circle on lo until their TTL ends; nat.ts drops them in forward.
import {
  hostPrefix,
  isSingleAddress,
  prefixAddress,
  prefixFamily,
  type Address,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { type Logger } from '../../lib/log.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import {
  type Kernel,
  mainTable,
  type Outcome,
  type Route,
  type RouteChange,
  routeProtocols,
} from '../../kernel/mod.ts';
import type { NodeRow, RouteRow } from '../calc/mod.ts';
import type { LinkMirror } from './links.ts';
import { vxlanDevice, vxlanV6Device } from './overlay/types.ts';
import type { Change, Operations, OrphanVerdict } from './types.ts';

export const localTable = 255;
export const gatewayAddress = '169.254.1.1' as Address;
/** A route on an endpoint's interface that is not ours may be a CNI plugin's, ahead of the news of its endpoint. */
const foreignRouteGraceMs = 10_000;

/** A route as this table wants it: interfaces by name. */
export type KernelRouteRow = {
  readonly dst: Prefix;
  readonly table: number;
  readonly priority: number;
  readonly protocol: number;
  readonly target:
    | {
        readonly interfaceName: string;
        readonly source?: Address;
        readonly gateway?: Address;
        /** The gateway is a neighbour there, whatever the interface's networks say. */
        readonly onlink?: boolean;
      }
    | 'blackhole'
    /** On to the table of the next rule. */
    | 'throw';
};

/** All routes the kernel holds under one key: more than one only when somebody appended. */
export type ActualRoute = readonly Route[];

export const routeKey = (route: {
  readonly dst: Prefix;
  readonly table: number;
  readonly priority: number;
}): string => `${route.table} ${route.dst} ${route.priority}`;

export const kernelRoute = (row: RouteRow): KernelRouteRow => ({
  dst: row.dst,
  table: mainTable,
  priority: row.priority,
  protocol: row.protocol,
  target:
    row.target.type === 'blackhole'
      ? 'blackhole'
      : {
          interfaceName: row.target.interfaceName,
          ...(row.target.source === undefined ? {} : { source: row.target.source }),
        },
});

export const gatewayRoute: KernelRouteRow = {
  dst: hostPrefix(gatewayAddress),
  table: localTable,
  priority: 0,
  protocol: routeProtocols.felix,
  target: { interfaceName: 'lo' },
};

export type RouteOperationsOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly node: () => NodeRow | undefined;
  /** The kernel's routes are none of ours: nothing is read, written or removed. */
  readonly isDisabled: () => boolean;
  /** Whether a table, beside the main and local ones, is Felix's to use (FX-083). */
  readonly isOwnTable: (table: number) => boolean;
  /** The interface an address is wanted on by now, whatever the metric. */
  readonly wantedOn: (dst: Prefix) => string | undefined;
  readonly logger: Logger;
};

export function routeOperations(options: RouteOperationsOptions): Operations<KernelRouteRow, ActualRoute> & {
  /** Whether events about the route concern this table. */
  concerns(route: Route, rows: ReadonlyMap<string, KernelRouteRow>): boolean;
} {
  const { kernel, links, logger } = options;

  const onEndpointInterface = (route: Route): boolean =>
    route.nextHops.some((hop) => {
      const name = links.nameOf(hop.linkIndex);
      return name !== undefined && (options.node()?.interfacePrefixes ?? []).some((p) => name.startsWith(p));
    });

  /** Ours by its marks, whatever interface it is on. */
  const ownMark = (route: Route): boolean =>
    route.protocol === routeProtocols.felix ||
    (route.type === 'blackhole' && route.protocol === options.node()?.blackholeProtocol);

  /** The VXLAN devices are ours alone; through tunl0 a BGP engine may route, too. */
  const onOverlay = (route: Route): boolean =>
    route.type === 'unicast' &&
    route.protocol !== routeProtocols.kernel &&
    route.nextHops.some((hop) => {
      const name = links.nameOf(hop.linkIndex);
      return name === vxlanDevice || name === vxlanV6Device;
    });

  const candidate = (route: Route): boolean => {
    if (route.table !== mainTable)
      return (
        route.protocol === routeProtocols.felix &&
        (route.table === localTable || options.isOwnTable(route.table))
      );
    if (ownMark(route) || onOverlay(route)) return true;
    // The kernel's own (fe80::/64, multicast) come and go with the interface.
    return route.type === 'unicast' && route.protocol !== routeProtocols.kernel && onEndpointInterface(route);
  };

  const concerns = (route: Route, rows: ReadonlyMap<string, KernelRouteRow>): boolean =>
    !options.isDisabled() &&
    (route.table === mainTable || route.table === localTable || options.isOwnTable(route.table)) &&
    (rows.has(routeKey(route)) || candidate(route));

  const orphan = (_key: string, actual: ActualRoute, firstSync: boolean): OrphanVerdict => {
    const node = options.node();
    const [route] = actual;
    if (route === undefined || node === undefined) return 'leave';
    if (ownMark(route) || onOverlay(route)) return 'remove';
    if (route.protocol === node.deviceRouteProtocol && firstSync) return 'remove';
    return node.removeExternalRoutes || route.protocol === node.deviceRouteProtocol
      ? { removeAfterMs: foreignRouteGraceMs }
      : 'leave';
  };

  /** Flows of addresses that are no longer these endpoints' must not live on (FX-082). */
  const forgetFlows = async (left: readonly Prefix[]): Promise<void> => {
    const addresses = left.filter((dst) => isSingleAddress(dst)).map((dst) => prefixAddress(dst));
    if (addresses.length === 0) return;
    // Walking the kernel's table costs milliseconds even when it is empty.
    const count = await kernel.sysctls.read('net/netfilter/nf_conntrack_count');
    if (count.ok && count.value === '0') return;
    const deleted = await kernel.conntrack.deleteByAddress(addresses);
    if (!deleted.ok && deleted.error.code !== 'NotSupported') {
      logger.warn('Cannot delete connection tracking entries', { addresses, error: deleted.error });
    }
  };

  /** The address that no longer leads to the endpoint it led to before the change. */
  const addressLeft = (change: Change<KernelRouteRow, ActualRoute>): Prefix | undefined => {
    const before = change.actual?.[0];
    if (before === undefined || before.type !== 'unicast' || before.table !== mainTable) return undefined;
    // Behind another node: its flows are that node's matter.
    if (before.nextHops[0]?.gateway !== undefined) return undefined;
    const wanted = options.wantedOn(before.dst);
    return wanted !== undefined && wanted === links.nameOf(before.nextHops[0]?.linkIndex)
      ? undefined
      : before.dst;
  };

  const listOwnTables = async () => {
    const listed = await kernel.routes.list({ protocol: routeProtocols.felix });
    return listed.ok ? ok(listed.value.filter((route) => options.isOwnTable(route.table))) : listed;
  };

  return {
    name: 'routes',
    keyOf: routeKey,
    concerns,
    orphan,

    async dump(rows) {
      if (options.isDisabled()) return ok(new Map());
      const listed = await Promise.all([
        kernel.routes.list({ table: mainTable }),
        kernel.routes.list({ table: localTable, protocol: routeProtocols.felix }),
        listOwnTables(),
      ]);
      const found = new Map<string, Route[]>();
      for (const result of listed) {
        if (!result.ok) return result;
        for (const route of result.value) {
          if (!concerns(route, rows)) continue;
          const key = routeKey(route);
          const same = found.get(key);
          if (same === undefined) found.set(key, [route]);
          else same.push(route);
        }
      }
      return ok(found);
    },

    equal(row, actual) {
      const [route] = actual;
      return actual.length === 1 && route !== undefined && matches(row, route, links);
    },

    blocked(row) {
      if (typeof row.target === 'string') return undefined;
      const link = links.byName(row.target.interfaceName);
      if (link === undefined) return `interface ${row.target.interfaceName} does not exist`;
      return link.up ? undefined : `interface ${row.target.interfaceName} is down`;
    },

    async apply(changes) {
      if (options.isDisabled()) return changes.map(() => ok(undefined));
      const steps: RouteChange[] = [];
      const ranges: { first: number; end: number; route: Route | undefined }[] = [];
      for (const change of changes) {
        const first = steps.length;
        let route: Route | undefined;
        // Several under one key: replace would meet only one of them.
        if (change.op === 'remove' || (change.actual?.length ?? 0) > 1)
          steps.push(...deletions(change.actual ?? []));
        if (change.op === 'put') {
          route = resolveRoute(change.row, links);
          if (route !== undefined) steps.push({ op: 'replace', route });
        }
        ranges.push({ first, end: steps.length, route });
      }
      const outcomes = await kernel.routes.apply(steps);
      const results: Result<ActualRoute | undefined>[] = [];
      const left: Prefix[] = [];
      for (const [i, change] of changes.entries()) {
        const range = ranges[i];
        const failed = outcomes.slice(range?.first, range?.end).find((outcome: Outcome) => !outcome.ok);
        if (failed !== undefined && !failed.ok) results.push(err(failed.error));
        else results.push(ok(range?.route === undefined ? undefined : [range.route]));
        const address = failed === undefined ? addressLeft(change) : undefined;
        if (address !== undefined) left.push(address);
      }
      await forgetFlows(left);
      return results;
    },
  };
}

const deletions = (actual: ActualRoute): RouteChange[] =>
  actual.map((route) => {
    const linkIndex = route.nextHops[0]?.linkIndex;
    return {
      op: 'delete',
      key: { dst: route.dst, table: route.table, priority: route.priority },
      protocol: route.protocol,
      type: route.type,
      // The kernel shows IPv6 blackholes on lo, but takes no device to delete them.
      ...(linkIndex === undefined || route.type !== 'unicast' ? {} : { linkIndex }),
    };
  });

/** undefined: its interface is not there. */
export function resolveRoute(row: KernelRouteRow, links: LinkMirror): Route | undefined {
  const { dst, table, priority, protocol, target } = row;
  const v6 = prefixFamily(dst) === 6;
  if (typeof target === 'string') {
    return { dst, table, priority, protocol, type: target, scope: 'global', nextHops: [] };
  }
  const link = links.byName(target.interfaceName);
  if (link === undefined) return undefined;
  return {
    dst,
    table,
    priority,
    protocol,
    type: 'unicast',
    scope: v6 || target.gateway !== undefined ? 'global' : 'link',
    nextHops: [
      {
        linkIndex: link.index,
        ...(target.gateway === undefined ? {} : { gateway: target.gateway }),
        ...(target.onlink === true ? { onlink: true } : {}),
      },
    ],
    ...(target.source === undefined ? {} : { source: target.source }),
  };
}

function matches(row: KernelRouteRow, route: Route, links: LinkMirror): boolean {
  if (route.protocol !== row.protocol) return false;
  if (typeof row.target === 'string') return route.type === row.target;
  const [hop, second] = route.nextHops;
  return (
    route.type === 'unicast' &&
    hop !== undefined &&
    second === undefined &&
    hop.gateway === row.target.gateway &&
    (hop.onlink === true) === (row.target.onlink === true) &&
    links.nameOf(hop.linkIndex) === row.target.interfaceName &&
    (prefixFamily(row.dst) === 6 || route.scope === (hop.gateway === undefined ? 'link' : 'global')) &&
    (row.target.source === undefined || route.source === row.target.source)
  );
}
