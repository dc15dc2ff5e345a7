// The Kernel face over a fake namespace.
import { familyOf, prefixFamily, type Address } from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, invalid, kernelError, rootNamespaceRefused } from '../errors.ts';
import { isLinkName } from '../netlink/links.ts';
import { macToBytes } from '../netlink/message.ts';
import { matchesFilter } from '../netlink/routes.ts';
import { fullMarkMask } from '../netlink/rules.ts';
import { isNetworkSysctl } from '../sysctl-path.ts';
import type {
  Connection,
  FdbEntry,
  Kernel,
  KernelError,
  KernelEvent,
  Link,
  Neighbour,
  NftCommand,
  NftTableName,
  Outcome,
  PolicyRule,
  TrafficFilter,
} from '../types.ts';
import { changeLink, createLink, type FakeWorld } from './links.ts';
import { publicLink, type FakeLink, type FakeNamespace, type Fault } from './namespace.ts';
import { changeBucket, changeRedirect, qdiscsOf } from './queueing.ts';
import { changeRoute, lookupRoute } from './routing.ts';
import { fakeWireGuards } from './wireguard.ts';

export function fakeKernelOf(world: FakeWorld, ns: FakeNamespace, writesRefused: boolean): Kernel {
  const subscriptions = new Set<{ close(): void }>();
  const owner = {};
  const outcome = (operation: string, subject: string, run: () => Fault): Outcome => {
    if (writesRefused) return err(rootNamespaceRefused());
    const fault = world.scripted(operation, subject) ?? run();
    return fault === undefined
      ? ok(undefined)
      : err(kernelError(`${operation} ${subject}`, fault.errno, fault.text));
  };
  const read = <T>(operation: string, subject: string, run: () => T): Result<T, KernelError> => {
    const fault = world.scripted(operation, subject);
    return fault === undefined
      ? ok(run())
      : err(kernelError(`${operation} ${subject}`, fault.errno, fault.text));
  };
  const forgiving = (fault: Fault, ...numbers: number[]): Fault =>
    fault !== undefined && numbers.includes(fault.errno) ? undefined : fault;

  return {
    links: {
      list: async () => read('links.list', '', () => [...ns.links.values()].map(publicLink)),
      get: async (name) =>
        read('links.get', name, () => {
          const link = ns.linkNamed(name);
          return link && publicLink(link);
        }),
      create: async (spec) => {
        const bad =
          problemOf(spec.name, spec.mac) ??
          (spec.kind === 'veth' ? problemOf(spec.peer.name, spec.peer.mac) : undefined);
        if (bad !== undefined) return bad;
        let created: FakeLink | undefined;
        const made = outcome('links.create', spec.name, () => {
          const result = createLink(world, ns, spec);
          if ('errno' in result) return result;
          created = result;
          return undefined;
        });
        if (!made.ok) return made;
        return created === undefined
          ? err(kernelError(`create ${spec.name}`, errno.ENODEV))
          : ok(publicLink(created));
      },
      change: async (index, change) => {
        const bad = problemOf(change.name, change.mac);
        if (bad !== undefined) return bad;
        return outcome('links.change', ns.links.get(index)?.name ?? String(index), () =>
          changeLink(world, ns, index, change),
        );
      },
      delete: async (indexes) =>
        indexes.map((index) =>
          outcome('links.delete', ns.links.get(index)?.name ?? String(index), () => {
            const link = ns.links.get(index);
            if (link === undefined) return undefined;
            if (link.kind === 'loopback' || link.kind === 'physical') return { errno: errno.EOPNOTSUPP };
            ns.removeLink(link);
            return undefined;
          }),
        ),
    },
    addresses: {
      list: async () => read('addresses.list', '', () => byFamily(ns.addresses, (a) => familyOf(a.address))),
      apply: async (changes) =>
        changes.map(({ op, address }) =>
          outcome('addresses.apply', `${address.address}/${address.length}`, () =>
            op === 'add'
              ? forgiving(ns.addAddress(address), errno.EEXIST)
              : forgiving(ns.removeAddress(address), errno.EADDRNOTAVAIL),
          ),
        ),
    },
    routes: {
      list: async (filter = {}) =>
        read('routes.list', '', () =>
          byFamily(
            [...ns.routes.values()].filter(
              (route) =>
                matchesFilter(route, filter) &&
                (filter.family === undefined || prefixFamily(route.dst) === filter.family),
            ),
            (route) => prefixFamily(route.dst),
          ),
        ),
      apply: async (changes) =>
        changes.map((change) =>
          outcome('routes.apply', change.op === 'delete' ? change.key.dst : change.route.dst, () =>
            change.op === 'delete'
              ? forgiving(changeRoute(ns, change), errno.ESRCH, errno.ENODEV)
              : changeRoute(ns, change),
          ),
        ),
      lookup: async (dst, options = {}) => {
        const route = lookupRoute(ns, dst, options);
        return route === undefined ? err(kernelError(`route ${dst}`, errno.ENETUNREACH)) : ok(route);
      },
    },
    neighbours: {
      list: async (filter = {}) =>
        read('neighbours.list', '', () =>
          ns.neighbours.filter(
            (n) =>
              (filter.family === undefined || familyOf(n.address) === filter.family) &&
              (filter.linkIndex === undefined || n.linkIndex === filter.linkIndex) &&
              (filter.proxy === undefined || (n.proxy === true) === filter.proxy),
          ),
        ),
      apply: async (changes) =>
        changes.map(({ op, neighbour }) => {
          const bad = problemOf(undefined, neighbour.mac);
          return (
            bad ??
            outcome('neighbours.apply', neighbour.address, () =>
              op === 'delete' ? removeNeighbour(ns, neighbour) : putNeighbour(ns, neighbour),
            )
          );
        }),
    },
    fdb: {
      list: async (linkIndex) =>
        read('fdb.list', '', () =>
          ns.fdb.filter((e) => linkIndex === undefined || e.linkIndex === linkIndex),
        ),
      apply: async (changes) =>
        changes.map(({ op, entry }) => {
          const bad = problemOf(undefined, entry.mac);
          return bad ?? outcome('fdb.apply', entry.mac, () => changeFdb(ns, op, entry));
        }),
    },
    rules: {
      list: async (family) =>
        read('rules.list', '', () =>
          byFamily(
            ns.rules
              .filter((rule) => family === undefined || rule.family === family)
              .sort((a, b) => a.priority - b.priority),
            (rule) => rule.family,
          ),
        ),
      apply: async (changes) =>
        changes.map(({ op, rule }) =>
          outcome('rules.apply', String(rule.priority), () => changeRule(ns, op, rule)),
        ),
    },
    filters: {
      list: async (linkIndex) =>
        read('filters.list', String(linkIndex), () => ns.filters.filter((f) => f.linkIndex === linkIndex)),
      apply: async (changes) =>
        changes.map((change) =>
          outcome('filters.apply', change.filter.name, () => {
            const { filter, op } = change;
            if (op === 'replace' && !ns.links.has(filter.linkIndex)) return { errno: errno.ENODEV };
            const place = (f: TrafficFilter): string => `${f.linkIndex} ${f.direction} ${f.priority}`;
            const rest = ns.filters.filter((f) => place(f) !== place(filter));
            if (op === 'replace') ns.anchors.add(filter.linkIndex);
            ns.filters = op === 'replace' ? [...rest, filter] : rest;
            ns.emit({ type: 'filters', linkIndex: filter.linkIndex });
            return undefined;
          }),
        ),
    },
    qdiscs: {
      list: async (linkIndex) => read('qdiscs.list', '', () => qdiscsOf(ns, linkIndex)),
      applyBuckets: async (changes) =>
        changes.map((change) =>
          outcome('qdiscs.applyBuckets', ns.links.get(change.linkIndex)?.name ?? '', () =>
            changeBucket(ns, change),
          ),
        ),
    },
    redirects: {
      list: async (linkIndex) =>
        read('redirects.list', String(linkIndex), () =>
          ns.redirects.filter((redirect) => redirect.linkIndex === linkIndex),
        ),
      apply: async (changes) =>
        changes.map(({ op, redirect }) =>
          outcome('redirects.apply', ns.links.get(redirect.linkIndex)?.name ?? '', () =>
            changeRedirect(ns, op, redirect),
          ),
        ),
    },
    paths: {
      probe: async (destination, bytes) =>
        read('paths.probe', destination, () =>
          bytes <= (ns.pathMtus.get(destination) ?? 1500) ? 'arrived' : 'silent',
        ),
    },
    frames: {
      send: async (linkIndex, frame) =>
        outcome('frames.send', String(linkIndex), () => {
          const link = ns.links.get(linkIndex);
          if (link === undefined) return { errno: errno.ENODEV };
          if (!link.up) return { errno: errno.ENETDOWN };
          ns.frames.push({ linkIndex, frame });
          return undefined;
        }),
    },
    wireguard: fakeWireGuards({
      ns,
      isPossible: () => !world.unsupportedKinds.has('wireguard'),
      outcome,
      read,
    }),
    nftables: {
      apply: async (commands) => {
        if (writesRefused) return err(rootNamespaceRefused());
        const fault = world.scripted('nftables.apply', commands[0]?.table.name ?? '');
        if (fault !== undefined) return err(kernelError('nftables.apply', fault.errno, fault.text));
        const applied = ns.nftables.apply(commands);
        if (applied.ok && commands.length > 0) {
          for (const subscriber of nftSubscribers.get(ns) ?? [])
            subscriber.push({
              type: 'nftables',
              pid: process.pid,
              own: subscriber.owner === owner,
              tables: subscriber.owner === owner ? [] : tablesOf(commands),
            });
        }
        return applied;
      },
      tables: async () => read('nftables.tables', '', () => ns.nftables.tables()),
      read: async (table) => read('nftables.read', table.name, () => ns.nftables.read(table)),
      elements: async (table, set) => ns.nftables.elements(table, set),
    },
    conntrack: {
      deleteByAddress: async (
        address: Address | readonly Address[],
        condition?: (connection: Connection) => boolean,
      ) => {
        if (writesRefused) return err(rootNamespaceRefused());
        const wanted = typeof address === 'string' ? [address] : address;
        return read('conntrack.deleteByAddress', wanted[0] ?? '', () => {
          const before = ns.connections.length;
          const isMeant = ({ connection }: { readonly connection?: Connection }): boolean =>
            condition === undefined || (connection !== undefined && condition(connection));
          ns.connections = ns.connections.filter(
            (c) => !c.addresses.some((a) => wanted.includes(a)) || !isMeant(c),
          );
          return before - ns.connections.length;
        });
      },
    },
    sysctls: {
      read: async (path) => {
        if (!isNetworkSysctl(path)) return notNetwork(path);
        if (path === 'net/netfilter/nf_conntrack_count') return ok(String(ns.connections.length));
        const fault = world.scripted('sysctls.read', path) ?? sysctlFault(ns, path);
        return fault === undefined
          ? ok(ns.sysctls.get(path) ?? '0')
          : err(kernelError(`read ${path}`, fault.errno, fault.text));
      },
      write: async (path, value) => {
        if (!isNetworkSysctl(path)) return notNetwork(path);
        return outcome('sysctls.write', path, () => {
          const fault = sysctlFault(ns, path);
          if (fault === undefined) ns.sysctls.set(path, value.trimEnd());
          return fault;
        });
      },
    },
    subscribe: (groups, onEvent) => {
      const subscriber = ns.subscribe(
        groups.filter((group) => group !== 'nftables'),
        onEvent,
      );
      const nft = groups.includes('nftables')
        ? watchNftables(ns, owner, (event) => subscriber.push(event))
        : undefined;
      const subscription = {
        close: () => {
          ns.unsubscribe(subscriber);
          nft?.close();
        },
      };
      subscriptions.add(subscription);
      return subscription;
    },
    close: async () => {
      for (const subscription of subscriptions) subscription.close();
    },
  };
}

// Whether a transaction was the subscriber's own depends on who listens.
type NftSubscriber = {
  readonly owner: object;
  push(event: Extract<KernelEvent, { type: 'nftables' }>): void;
};
const tablesOf = (commands: readonly NftCommand[]): NftTableName[] => [
  ...new Map(commands.map(({ table }) => [`${table.family} ${table.name}`, table])).values(),
];
const nftSubscribers = new WeakMap<FakeNamespace, Set<NftSubscriber>>();

function watchNftables(ns: FakeNamespace, owner: object, push: NftSubscriber['push']): { close(): void } {
  const all = nftSubscribers.get(ns) ?? new Set();
  nftSubscribers.set(ns, all);
  const subscriber = { owner, push };
  all.add(subscriber);
  return { close: () => void all.delete(subscriber) };
}

const notNetwork = (path: string) =>
  invalid(`"${path}" is not a parameter of a network namespace: it must start with net/.`);

function problemOf(name: string | undefined, mac: string | undefined) {
  if (name !== undefined && !isLinkName(name))
    return invalid(`"${name}" cannot be the name of a link: 1 to 15 bytes, no slash, colon or space.`);
  if (mac !== undefined && macToBytes(mac) === undefined) return invalid(`"${mac}" is not a MAC address.`);
  return undefined;
}

function byFamily<T>(items: readonly T[], family: (item: T) => number): T[] {
  return [...items.filter((item) => family(item) === 4), ...items.filter((item) => family(item) === 6)];
}

const sameNeighbour = (a: Neighbour, b: Neighbour): boolean =>
  a.address === b.address && a.linkIndex === b.linkIndex && (a.proxy === true) === (b.proxy === true);

function putNeighbour(ns: FakeNamespace, wanted: Neighbour): Fault {
  const link: Link | undefined = ns.links.get(wanted.linkIndex);
  if (link === undefined) return { errno: errno.ENODEV };
  if (!link.up && wanted.proxy !== true && wanted.state !== 'permanent' && wanted.state !== 'noarp')
    return { errno: errno.ENETDOWN };
  const { address, linkIndex } = wanted;
  const kept: Neighbour =
    wanted.proxy === true
      ? {
          address,
          linkIndex,
          state: 'permanent',
          proxy: true,
          ...(wanted.protocol === undefined ? {} : { protocol: wanted.protocol }),
        }
      : {
          address,
          linkIndex,
          ...(wanted.mac === undefined ? {} : { mac: wanted.mac.toLowerCase() }),
          state: wanted.state,
        };
  ns.neighbours = [...ns.neighbours.filter((n) => !sameNeighbour(n, kept)), kept];
  if (kept.proxy !== true) ns.emit({ type: 'neighbour', neighbour: kept });
  return undefined;
}

function removeNeighbour(ns: FakeNamespace, unwanted: Neighbour): Fault {
  const present = ns.neighbours.find((n) => sameNeighbour(n, unwanted));
  if (present === undefined) return undefined;
  ns.neighbours = ns.neighbours.filter((n) => n !== present);
  if (present.proxy !== true) ns.emit({ type: 'neighbour-deleted', neighbour: present });
  return undefined;
}

function changeFdb(ns: FakeNamespace, op: 'replace' | 'delete', entry: FdbEntry): Fault {
  const rest = ns.fdb.filter((e) => e.mac !== entry.mac.toLowerCase() || e.linkIndex !== entry.linkIndex);
  if (op === 'replace') {
    if (!ns.links.has(entry.linkIndex)) return { errno: errno.ENODEV };
    const kept = { ...entry, mac: entry.mac.toLowerCase() };
    ns.fdb = [...rest, kept];
    ns.emit({ type: 'fdb', entry: kept });
  } else if (rest.length < ns.fdb.length) {
    ns.fdb = rest;
    ns.emit({ type: 'fdb-deleted', entry });
  }
  return undefined;
}

function changeRule(ns: FakeNamespace, op: 'add' | 'delete', wanted: PolicyRule): Fault {
  const { markMask, invert, ...rest } = wanted;
  const rule: PolicyRule = {
    ...rest,
    ...(wanted.mark === undefined || markMask === undefined || markMask === fullMarkMask ? {} : { markMask }),
    ...(invert === true ? { invert } : {}),
  };
  const same = ns.rules.find((other) => ruleKey(other) === ruleKey(rule));
  if (op === 'add' && same === undefined) {
    ns.rules.push(rule);
    ns.emit({ type: 'rule', rule });
  } else if (op === 'delete' && same !== undefined) {
    ns.rules = ns.rules.filter((other) => other !== same);
    ns.emit({ type: 'rule-deleted', rule: same });
  }
  return undefined;
}

const ruleKey = (r: PolicyRule): string =>
  [r.family, r.priority, r.table, r.source, r.destination, r.mark, r.markMask, r.invert, r.inLink].join(' ');

/** Parameters of an interface exist as long as the interface. */
function sysctlFault(ns: FakeNamespace, path: string): Fault {
  const match = /^net\/ipv[46]\/(?:conf|neigh)\/(.+)\/[^/]+$/.exec(path);
  const name = match?.[1];
  if (name === undefined || name === 'all' || name === 'default' || ns.linkNamed(name) !== undefined)
    return undefined;
  return { errno: errno.ENOENT };
}
