// Addresses, routes, neighbours, forwarding databases and rules of the real kernel.
import {
  containsAddress,
  familyOf,
  prefixFamily,
  prefixLength,
  type Address,
  type Family,
} from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError } from '../errors.ts';
import { decodeAddress, encodeAddress, encodeAddressDump } from '../netlink/addresses.ts';
import * as c from '../netlink/constants.ts';
import { macToBytes } from '../netlink/message.ts';
import {
  decodeFdbEntry,
  decodeNeighbour,
  encodeFdbDump,
  encodeFdbEntry,
  encodeNeighbour,
  encodeNeighbourDelete,
  encodeNeighbourDump,
} from '../netlink/neighbours.ts';
import {
  decodeLookup,
  decodeRoute,
  encodeRoute,
  encodeRouteDelete,
  encodeRouteDump,
  encodeRouteLookup,
  hasNoNextHop,
  joinLookup,
  matchesFilter,
} from '../netlink/routes.ts';
import { decodeRule, encodeRule, encodeRuleDump } from '../netlink/rules.ts';
import { mainTable } from '../types.ts';
import type {
  Addresses,
  ForwardingDatabase,
  KernelError,
  Neighbour,
  Neighbours,
  PolicyRules,
  Route,
  RouteChange,
  Routes,
} from '../types.ts';
import type { KernelSession } from './session.ts';

const families: readonly Family[] = [4, 6];
const create = c.NLM_F_CREATE | c.NLM_F_EXCL;
const replace = c.NLM_F_CREATE | c.NLM_F_REPLACE;

export function realAddresses(session: KernelSession): Addresses {
  return {
    list: () =>
      eachFamily(undefined, (family) =>
        session.dump('list addresses', c.RTM_GETADDR, (w) => encodeAddressDump(w, family), decodeAddress),
      ),
    apply: (changes) =>
      session.apply(
        changes,
        ({ address }, w) => encodeAddress(w, address),
        ({ op, address }) => ({
          type: op === 'add' ? c.RTM_NEWADDR : c.RTM_DELADDR,
          flags: op === 'add' ? create : 0,
          forgiven: op === 'add' ? [errno.EEXIST] : [errno.EADDRNOTAVAIL, errno.ENODEV],
          describe: () => `${op} address ${address.address}/${address.length} on link ${address.linkIndex}`,
        }),
      ),
  };
}

export function realRoutes(session: KernelSession): Routes {
  return {
    list: (filter = {}) =>
      eachFamily(filter.family, async (family) => {
        const listed = await session.dump(
          'list routes',
          c.RTM_GETROUTE,
          (w) => encodeRouteDump(w, family, filter),
          (view, message) => {
            const route = decodeRoute(view, message);
            return route !== undefined && matchesFilter(route, filter) ? route : undefined;
          },
        );
        // A table that nothing was ever put into does not exist; a device that is gone has no routes.
        const empty =
          !listed.ok && (listed.error.errno === errno.ENOENT || listed.error.errno === errno.ENODEV);
        return empty ? ok([]) : listed;
      }),
    apply: (changes, options) =>
      session.apply(
        changes,
        (change, w) => (change.op === 'delete' ? encodeRouteDelete(w, change) : encodeRoute(w, change.route)),
        routeForm,
        options?.aside === true,
      ),
    lookup: (dst, options = {}) => lookup(session, dst, options),
  };
}

type LookupOptions = NonNullable<Parameters<Routes['lookup']>[1]>;

async function lookup(
  session: KernelSession,
  dst: Address,
  options: LookupOptions,
): Promise<Result<Route, KernelError>> {
  const ask = (fibMatch: boolean) => {
    let route: Route | undefined;
    const answer = session.request(
      c.RTM_GETROUTE,
      0,
      (w) => encodeRouteLookup(w, dst, { ...options, fibMatch }),
      (view, message) => {
        route ??= decodeLookup(view, message);
      },
    );
    return { answer, route };
  };
  const decision = ask(false);
  if (decision.route !== undefined) return ok(joinLookup(decision.route, ask(true).route, dst));
  // A blackhole is a decision, which the kernel words as a failure without telling the route.
  const listed = await session.dump(
    'list routes',
    c.RTM_GETROUTE,
    (w) => encodeRouteDump(w, familyOf(dst), { table: mainTable }),
    decodeRoute,
  );
  const best = listed.ok ? longestMatch(listed.value, dst) : undefined;
  if (best !== undefined && hasNoNextHop(best.type)) return ok(best);
  const number = decision.answer.errno || errno.ENETUNREACH;
  return err(kernelError(`route ${dst}`, number, decision.answer.text));
}

function longestMatch(routes: readonly Route[], dst: Address): Route | undefined {
  let best: Route | undefined;
  for (const route of routes) {
    if (route.table !== mainTable || !containsAddress(route.dst, dst)) continue;
    const longer = best === undefined ? 1 : prefixLength(route.dst) - prefixLength(best.dst);
    if (longer > 0 || (longer === 0 && best !== undefined && route.priority < best.priority)) best = route;
  }
  return best;
}

function routeForm(change: RouteChange) {
  if (change.op === 'delete') {
    return {
      type: c.RTM_DELROUTE,
      flags: 0,
      forgiven: [errno.ESRCH, errno.ENODEV, errno.ENOENT],
      describe: () => `delete route ${change.key.dst}`,
    };
  }
  return {
    type: c.RTM_NEWROUTE,
    flags: change.op === 'add' ? create : replace,
    describe: () => `${change.op} route ${describeRoute(change.route)}`,
  };
}

function describeRoute(route: Route): string {
  const hops = route.nextHops.map((hop) =>
    [hop.gateway && ` via ${hop.gateway}`, hop.linkIndex && ` dev #${hop.linkIndex}`]
      .filter(Boolean)
      .join(''),
  );
  const type = route.type === 'unicast' ? '' : `${route.type} `;
  const family = prefixFamily(route.dst) === 6 ? 'IPv6 ' : '';
  return `${family}${type}${route.dst}${hops.join(' and')}`;
}

export function realNeighbours(session: KernelSession): Neighbours {
  const dump = async (family: Family, proxy: boolean, linkIndex: number | undefined) => {
    const options = linkIndex === undefined ? { proxy } : { proxy, linkIndex };
    const listed = await session.dump(
      'list neighbours',
      c.RTM_GETNEIGH,
      (w) => encodeNeighbourDump(w, family, options),
      (view, message) => {
        const entry = decodeNeighbour(view, message);
        return entry !== undefined && (linkIndex === undefined || entry.linkIndex === linkIndex)
          ? entry
          : undefined;
      },
    );
    return listed;
  };
  return {
    list: (filter = {}) =>
      eachFamily(filter.family, async (family) => {
        const all: Neighbour[] = [];
        for (const proxy of filter.proxy === undefined ? [false, true] : [filter.proxy]) {
          const listed = await dump(family, proxy, filter.linkIndex);
          if (!listed.ok) return listed;
          all.push(...listed.value);
        }
        return ok(all);
      }),
    apply: (changes) =>
      session.apply(
        changes,
        ({ op, neighbour }, w) => {
          const bad = badMac(neighbour.mac);
          if (bad !== undefined) return bad;
          if (op === 'replace') encodeNeighbour(w, neighbour);
          else encodeNeighbourDelete(w, neighbour);
          return undefined;
        },
        ({ op, neighbour }) => ({
          type: op === 'replace' ? c.RTM_NEWNEIGH : c.RTM_DELNEIGH,
          flags: op === 'replace' ? replace : 0,
          forgiven: op === 'delete' ? [errno.ENOENT, errno.ENODEV, errno.ENXIO] : [],
          describe: () => `${op} neighbour ${neighbour.address} on link ${neighbour.linkIndex}`,
        }),
      ),
  };
}

export function realForwardingDatabase(session: KernelSession): ForwardingDatabase {
  return {
    list: (linkIndex) =>
      session.dump(
        'list the forwarding database',
        c.RTM_GETNEIGH,
        (w) => encodeFdbDump(w, linkIndex),
        (view, message) => {
          const entry = decodeFdbEntry(view, message);
          return entry !== undefined && (linkIndex === undefined || entry.linkIndex === linkIndex)
            ? entry
            : undefined;
        },
      ),
    apply: (changes) =>
      session.apply(
        changes,
        ({ entry }, w) => {
          const bad = badMac(entry.mac);
          if (bad === undefined) encodeFdbEntry(w, entry);
          return bad;
        },
        ({ op, entry }) => ({
          type: op === 'replace' ? c.RTM_NEWNEIGH : c.RTM_DELNEIGH,
          flags: op === 'replace' ? replace : 0,
          forgiven: op === 'delete' ? [errno.ENOENT, errno.ENODEV, errno.ENXIO] : [],
          describe: () => `${op} forwarding entry ${entry.mac} on link ${entry.linkIndex}`,
        }),
      ),
  };
}

export function realRules(session: KernelSession): PolicyRules {
  return {
    list: (family) =>
      eachFamily(family, (one) =>
        session.dump('list rules', c.RTM_GETRULE, (w) => encodeRuleDump(w, one), decodeRule),
      ),
    apply: (changes) =>
      session.apply(
        changes,
        ({ rule }, w) => encodeRule(w, rule),
        ({ op, rule }) => ({
          type: op === 'add' ? c.RTM_NEWRULE : c.RTM_DELRULE,
          flags: op === 'add' ? create : 0,
          forgiven: op === 'add' ? [errno.EEXIST] : [errno.ENOENT],
          describe: () => `${op} rule ${rule.priority} for table ${rule.table}`,
        }),
      ),
  };
}

const badMac = (mac: string | undefined): KernelError | undefined =>
  mac === undefined || macToBytes(mac) !== undefined
    ? undefined
    : { code: 'InvalidArgument', message: `"${mac}" is not a MAC address.` };

/** One family or both, IPv4 first. A machine without IPv6 has none of it. */
async function eachFamily<T>(
  family: Family | undefined,
  list: (family: Family) => Promise<Result<T[], KernelError>>,
): Promise<Result<T[], KernelError>> {
  if (family !== undefined) return list(family);
  const all: T[] = [];
  for (const one of families) {
    const listed = await list(one);
    if (listed.ok) for (const item of listed.value) all.push(item);
    else if (one === 4 || listed.error.errno !== errno.EOPNOTSUPP) return listed;
  }
  return ok(all);
}
