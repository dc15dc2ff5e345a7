// The state of one fake network namespace, and the rules by which the kernel changes it: links that come and go in pairs,
// the routes an address brings, the routes a link takes with it.
import {
  addressBits,
  addressToBytes,
  familyOf,
  hostPrefix,
  prefixFamily,
  prefixOf,
  type Address,
} from '../../lib/ip/mod.ts';
import { errno } from '../errors.ts';
import { hasNoNextHop, localTable } from '../netlink/routes.ts';
import type {
  Connection,
  EventGroup,
  FdbEntry,
  KernelEvent,
  Link,
  LinkAddress,
  Neighbour,
  PolicyRule,
  Redirect,
  Route,
  TokenBucket,
  TrafficFilter,
} from '../types.ts';
import type { WireGuardDevice } from '../wireguard/types.ts';
import { FakeNftables } from './nftables.ts';

/** Number and text of the failure, as the kernel would answer; undefined is success. */
export type Fault = { readonly errno: number; readonly text?: string } | undefined;
type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type FakeLink = Mutable<Link> & { peer?: { namespace: FakeNamespace; index: number } };

const kernelProtocol = 2;
const mainTable = 254;
const v6ConnectedPriority = 256;

export const routeKey = (route: Pick<Route, 'dst' | 'table' | 'priority'>): string =>
  `${route.table} ${route.dst} ${route.priority}`;

const groupOf = (event: KernelEvent): EventGroup | undefined => {
  const noun = event.type.replace('-deleted', '');
  if (noun === 'nftables') return 'nftables';
  if (noun === 'lost') return undefined;
  if (noun === 'filters') return 'filters';
  if (noun === 'fdb') return 'neighbours';
  return noun === 'address' ? 'addresses' : (`${noun}s` as EventGroup);
};

export class FakeNamespace {
  readonly path: string;
  readonly links = new Map<number, FakeLink>();
  addresses: LinkAddress[] = [];
  readonly routes = new Map<string, Route>();
  neighbours: Neighbour[] = [];
  fdb: FdbEntry[] = [];
  filters: TrafficFilter[] = [];
  /** By link. */
  readonly buckets = new Map<number, TokenBucket>();
  redirects: Redirect[] = [];
  /** Links that can have filters (clsact). */
  readonly anchors = new Set<number>();
  rules: PolicyRule[] = defaultRules();
  connections: { readonly addresses: readonly Address[]; readonly connection?: Connection }[] = [];
  readonly sysctls = new Map<string, string>();
  /** What the way to an address carries; 1500 where nothing is said. */
  readonly pathMtus = new Map<Address, number>();
  /** What was sent past the stack, in order. */
  readonly frames: { readonly linkIndex: number; readonly frame: Uint8Array }[] = [];
  /** By link. */
  readonly wireguards = new Map<number, WireGuardDevice>();
  readonly nftables = new FakeNftables();
  readonly #subscribers = new Set<Subscriber>();
  #nextIndex = 2;

  constructor(path: string, loopbackUp: boolean) {
    this.path = path;
    this.links.set(1, {
      index: 1,
      name: 'lo',
      kind: 'loopback',
      mac: '00:00:00:00:00:00',
      mtu: 65536,
      up: loopbackUp,
      running: loopbackUp,
      group: 0,
    });
    if (loopbackUp) {
      this.addAddress({ address: '127.0.0.1' as Address, length: 8, linkIndex: 1, scope: 'host' });
      this.addAddress({ address: '::1' as Address, length: 128, linkIndex: 1, scope: 'host' });
    }
  }

  // ── events ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  subscribe(groups: readonly EventGroup[], onEvent: (event: KernelEvent) => void): Subscriber {
    const subscriber = new Subscriber(groups, onEvent);
    this.#subscribers.add(subscriber);
    return subscriber;
  }

  unsubscribe(subscriber: Subscriber): void {
    subscriber.close();
    this.#subscribers.delete(subscriber);
  }

  emit(event: KernelEvent): void {
    const group = groupOf(event);
    for (const subscriber of this.#subscribers)
      if (group !== undefined && subscriber.groups.includes(group)) subscriber.push(event);
  }

  /** What a full receive buffer does: undelivered events are gone and `lost` comes instead. */
  loseEvents(): void {
    for (const subscriber of this.#subscribers) subscriber.lose();
  }

  // ── links ──────────────────────────────────────────────────────────────────────────────────────────────────────────
  linkNamed(name: string): FakeLink | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  addLink(link: Omit<FakeLink, 'index' | 'running'>): FakeLink {
    const added: FakeLink = { ...link, index: this.#nextIndex++, running: false };
    this.links.set(added.index, added);
    return added;
  }

  /** Works out IFF_RUNNING of the link and, for a veth, of its other end; tells both ends' namespaces. */
  refresh(link: FakeLink, always = true): void {
    const peer = link.peer?.namespace.links.get(link.peer.index);
    const before = link.running;
    link.running = link.up && (link.kind === 'veth' ? peer?.up === true : link.kind !== 'tun');
    if (always || link.running !== before) this.emit({ type: 'link', link: publicLink(link) });
    if (peer !== undefined && link.peer !== undefined) {
      const wasRunning = peer.running;
      peer.running = peer.up && link.up;
      if (peer.running !== wasRunning) link.peer.namespace.emit({ type: 'link', link: publicLink(peer) });
    }
  }

  setUp(link: FakeLink, up: boolean): void {
    if (link.up === up) return;
    link.up = up;
    this.refresh(link);
    if (up) {
      for (const address of this.addresses)
        if (address.linkIndex === link.index) this.#addAddressRoutes(address);
      return;
    }
    this.neighbours = this.neighbours.filter((n) => n.linkIndex !== link.index || n.proxy !== true);
    // IPv6 addresses do not survive it, IPv4 ones do.
    for (const address of this.addresses.filter(
      (a) => a.linkIndex === link.index && familyOf(a.address) === 6,
    ))
      this.removeAddress(address);
    this.#dropRoutesOf(link.index);
  }

  removeLink(link: FakeLink): void {
    if (!this.links.has(link.index)) return;
    for (const address of this.addresses.filter((a) => a.linkIndex === link.index))
      this.removeAddress(address);
    this.#dropRoutesOf(link.index);
    this.links.delete(link.index);
    this.neighbours = this.neighbours.filter((n) => n.linkIndex !== link.index);
    this.fdb = this.fdb.filter((entry) => entry.linkIndex !== link.index);
    this.#dropQueueing(link.index);
    for (const key of this.sysctls.keys())
      if (key.split('/').includes(link.name) && /^net\/ipv[46]\/(conf|neigh)\//.test(key))
        this.sysctls.delete(key);
    for (const other of this.links.values()) if (other.masterIndex === link.index) delete other.masterIndex;
    this.emit({ type: 'link-deleted', link: { ...publicLink(link), up: false, running: false } });
    const peer = link.peer?.namespace.links.get(link.peer.index);
    if (peer !== undefined && link.peer !== undefined) link.peer.namespace.removeLink(peer);
  }

  /** Everything that stands on the link goes without it to the other namespace, as the kernel does it. */
  moveLink(link: FakeLink, to: FakeNamespace): void {
    for (const address of this.addresses.filter((a) => a.linkIndex === link.index))
      this.removeAddress(address);
    this.#dropRoutesOf(link.index);
    this.neighbours = this.neighbours.filter((n) => n.linkIndex !== link.index);
    this.fdb = this.fdb.filter((entry) => entry.linkIndex !== link.index);
    this.#dropQueueing(link.index);
    this.links.delete(link.index);
    this.emit({ type: 'link-deleted', link: publicLink(link) });
    link.up = false;
    if (to.links.has(link.index)) link.index = to.#nextIndex;
    to.#nextIndex = Math.max(to.#nextIndex, link.index + 1);
    to.links.set(link.index, link);
    const peer = link.peer?.namespace.links.get(link.peer.index);
    if (peer?.peer !== undefined) {
      peer.peer = { namespace: to, index: link.index };
      peer.peerIndex = link.index;
    }
    to.refresh(link);
  }

  #dropQueueing(linkIndex: number): void {
    this.filters = this.filters.filter((filter) => filter.linkIndex !== linkIndex);
    this.buckets.delete(linkIndex);
    this.anchors.delete(linkIndex);
    this.redirects = this.redirects
      .filter((redirect) => redirect.linkIndex !== linkIndex)
      .map((redirect) => (redirect.targetIndex === linkIndex ? { ...redirect, targetIndex: 0 } : redirect));
  }

  // ── addresses ──────────────────────────────────────────────────────────────────────────────────────────────────────
  addAddress(address: LinkAddress): Fault {
    const link = this.links.get(address.linkIndex);
    if (link === undefined) return { errno: errno.ENODEV };
    if (address.length > addressBits(familyOf(address.address))) return { errno: errno.EINVAL };
    if (this.addresses.some((a) => sameAddress(a, address))) return { errno: errno.EEXIST };
    const kept: LinkAddress = {
      address: address.address,
      length: address.length,
      linkIndex: address.linkIndex,
      scope: address.scope ?? 'global',
      ...(address.noDad === true && familyOf(address.address) === 6 ? { noDad: true } : {}),
    };
    this.addresses.push(kept);
    this.emit({ type: 'address', address: kept });
    this.#addAddressRoutes(kept);
    return undefined;
  }

  removeAddress(address: LinkAddress): Fault {
    const kept = this.addresses.find((a) => sameAddress(a, address));
    if (kept === undefined) return { errno: errno.EADDRNOTAVAIL };
    this.addresses = this.addresses.filter((a) => a !== kept);
    this.emit({ type: 'address-deleted', address: kept });
    for (const route of addressRoutes(kept)) {
      const present = this.routes.get(routeKey(route));
      if (present?.protocol === kernelProtocol && present.nextHops[0]?.linkIndex === kept.linkIndex)
        this.removeRoute(present);
    }
    // Routes that name it as their source go silently.
    for (const [key, route] of this.routes) if (route.source === kept.address) this.routes.delete(key);
    return undefined;
  }

  isLocal(address: Address): boolean {
    return this.addresses.some((a) => a.address === address);
  }

  #addAddressRoutes(address: LinkAddress): void {
    const link = this.links.get(address.linkIndex);
    for (const route of addressRoutes(address)) {
      if (this.routes.has(routeKey(route))) continue;
      if (route.table !== localTable && link?.up !== true) continue;
      this.routes.set(routeKey(route), route);
      this.emit({ type: 'route', route });
    }
  }

  // ── routes ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  removeRoute(route: Route): void {
    this.routes.delete(routeKey(route));
    this.emit({ type: 'route-deleted', route });
  }

  /** IPv4 routes go without an event when their link goes down; IPv6 ones are announced. Local ones stay with IPv4. */
  #dropRoutesOf(linkIndex: number): void {
    for (const route of this.routes.values()) {
      if (hasNoNextHop(route.type) || !route.nextHops.some((hop) => hop.linkIndex === linkIndex)) continue;
      const alive = route.nextHops.some((hop) => this.links.get(hop.linkIndex ?? 0)?.up === true);
      if (route.table === localTable && this.links.has(linkIndex) && prefixFamily(route.dst) === 4) continue;
      if (alive && this.links.get(linkIndex)?.up !== true && route.nextHops.length > 1) continue;
      this.routes.delete(routeKey(route));
      if (prefixFamily(route.dst) === 6) this.emit({ type: 'route-deleted', route });
    }
  }
}

export class Subscriber {
  readonly groups: readonly EventGroup[];
  readonly #onEvent: (event: KernelEvent) => void;
  #pending: KernelEvent[] = [];
  #scheduled = false;
  #closed = false;

  constructor(groups: readonly EventGroup[], onEvent: (event: KernelEvent) => void) {
    this.groups = groups;
    this.#onEvent = onEvent;
  }

  push(event: KernelEvent): void {
    this.#pending.push(event);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const batch = this.#pending;
      this.#pending = [];
      for (const next of batch) if (!this.#closed) this.#onEvent(next);
    });
  }

  lose(): void {
    this.#pending = [];
    this.push({ type: 'lost' });
  }

  close(): void {
    this.#closed = true;
  }
}

export function publicLink(link: FakeLink): Link {
  const { peer: _, ...rest } = link;
  return { ...rest };
}

const sameAddress = (a: LinkAddress, b: LinkAddress): boolean =>
  a.address === b.address &&
  a.linkIndex === b.linkIndex &&
  (a.length === b.length || familyOf(a.address) === 6);

/** The routes an address brings: itself in the local table, its network when it has one. */
function addressRoutes(a: LinkAddress): Route[] {
  const family = familyOf(a.address);
  const bits = addressBits(family);
  const hop = { linkIndex: a.linkIndex };
  const common = { protocol: kernelProtocol, nextHops: [hop] } as const;
  const network = prefixOf(a.address, a.length);
  const routes: Route[] = [
    {
      ...common,
      dst: hostPrefix(a.address),
      type: 'local',
      table: localTable,
      scope: family === 4 ? 'host' : 'global',
      priority: 0,
      ...(family === 4 ? { source: a.address } : {}),
    },
  ];
  if (a.length < bits || family === 6) {
    const loopback = a.scope === 'host' && family === 4;
    if (family === 4) {
      const source = { source: a.address };
      if (loopback)
        routes.push({
          ...common,
          ...source,
          dst: network,
          type: 'local',
          table: localTable,
          scope: 'host',
          priority: 0,
        });
      else
        routes.push({
          ...common,
          ...source,
          dst: network,
          type: 'unicast',
          table: mainTable,
          scope: 'link',
          priority: 0,
        });
      if (a.length < 31) {
        const last = addressToBytes(a.address);
        for (let bit = a.length; bit < 32; bit++)
          last[bit >> 3] = (last[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
        const broadcast = Array.from(last).join('.') as Address;
        routes.push({
          ...common,
          ...source,
          dst: hostPrefix(broadcast),
          type: 'broadcast',
          table: localTable,
          scope: 'link',
          priority: 0,
        });
      }
    } else if (a.scope !== 'host') {
      routes.push({
        ...common,
        dst: network,
        type: 'unicast',
        table: mainTable,
        scope: 'global',
        priority: v6ConnectedPriority,
      });
    }
  }
  return routes;
}

const defaultRules = (): PolicyRule[] => [
  { family: 4, priority: 0, table: localTable },
  { family: 4, priority: 32766, table: mainTable },
  { family: 4, priority: 32767, table: 253 },
  { family: 6, priority: 0, table: localTable },
  { family: 6, priority: 32766, table: mainTable },
];
