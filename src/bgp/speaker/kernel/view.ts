// What the speaker knows of its kernel: links, addresses and the routes that are not its own, kept current by events. It
// answers one question: by which gateway and device does a BGP next hop leave, over connected networks and other programs'
// routes ("recursive" next hops). Own routes never resolve a next hop.
import {
  containsAddress,
  hostPrefix,
  isSingleAddress,
  PrefixTrie,
  prefixOf,
  type Address,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import {
  routeProtocols,
  type KernelEvent,
  type Link,
  type LinkAddress,
  type NextHop,
  type Route,
} from '../../../kernel/mod.ts';

export type Resolution =
  | { readonly reachable: false; readonly why: string }
  | {
      readonly reachable: true;
      /** 0 when directly connected. */
      readonly metric: number;
      readonly nextHops: readonly NextHop[];
      readonly interfaceName?: string;
    };

const limitedBroadcast = '255.255.255.255';

/** A route's identity among those of its destination. The kernel's own may occur once per device (fe80::/64); others are
 *  one per metric, and their device may change. */
const routeId = (r: Route): string =>
  r.protocol === routeProtocols.kernel
    ? `${r.priority} ${r.protocol} ${r.type} ${r.nextHops[0]?.linkIndex ?? ''}`
    : `${r.priority} ${r.protocol} ${r.type}`;

/** Routes of others by destination, best metric first. */
export class ForeignRoutes {
  readonly #routes = new PrefixTrie<Route[]>();

  to(dst: Prefix): readonly Route[] {
    return this.#routes.get(dst) ?? [];
  }

  *all(): Generator<Route> {
    for (const [, list] of this.#routes.entries()) yield* list;
  }

  add(route: Route): void {
    const others = this.to(route.dst).filter((r) => routeId(r) !== routeId(route));
    const list = [...others, route].sort((a, b) => a.priority - b.priority);
    this.#routes.set(route.dst, list);
  }

  remove(route: Route): void {
    const left = this.to(route.dst).filter((r) => routeId(r) !== routeId(route));
    if (left.length > 0) this.#routes.set(route.dst, left);
    else this.#routes.delete(route.dst);
  }

  /** The best route of the longest prefix around the address. */
  towards(address: Address): Route | undefined {
    const covering = this.#routes.covering(hostPrefix(address));
    for (let i = covering.length - 1; i >= 0; i--) {
      const route = covering[i]?.[1][0];
      if (route !== undefined) return route;
    }
    return undefined;
  }
}

export class KernelView {
  readonly links = new Map<number, Link>();
  readonly #linksByName = new Map<string, Link>();
  readonly #addresses = new Map<string, LinkAddress>();
  readonly #local = new Set<Address>();
  #routes = new ForeignRoutes();

  /** Starts over with complete lists. `foreign` are the routes that are not the speaker's. */
  load(links: readonly Link[], addresses: readonly LinkAddress[], foreign: ForeignRoutes): void {
    this.links.clear();
    this.#linksByName.clear();
    this.#addresses.clear();
    this.#local.clear();
    for (const link of links) this.#setLink(link);
    for (const address of addresses) this.#setAddress(address);
    this.#routes = foreign;
  }

  #setLink(link: Link): void {
    const old = this.links.get(link.index);
    if (old !== undefined) this.#linksByName.delete(old.name);
    this.links.set(link.index, link);
    this.#linksByName.set(link.name, link);
  }

  #setAddress(a: LinkAddress): void {
    this.#addresses.set(addressId(a), a);
    this.#local.add(a.address);
  }

  link(name: string): Link | undefined {
    return this.#linksByName.get(name);
  }

  linkName(index: number | undefined): string | undefined {
    return index === undefined ? undefined : this.links.get(index)?.name;
  }

  addresses(): Iterable<LinkAddress> {
    return this.#addresses.values();
  }

  isLocal(address: Address): boolean {
    return this.#local.has(address);
  }

  routes(): Generator<Route> {
    return this.#routes.all();
  }

  /** Other programs' routes to exactly this destination. */
  routesTo(dst: Prefix): readonly Route[] {
    return this.#routes.to(dst);
  }

  addRoute(route: Route): void {
    this.#routes.add(route);
  }

  removeRoute(route: Route): void {
    this.#routes.remove(route);
  }

  /** Takes a link or address event. What follows from it, beyond what route events tell: `routes` = the kernel may have
   *  dropped routes without a word and must be read again, `next-hops` = next hops may resolve differently. */
  takeEvent(event: KernelEvent): 'routes' | 'next-hops' | 'nothing' {
    switch (event.type) {
      case 'link': {
        const old = this.links.get(event.link.index);
        this.#setLink(event.link);
        if (old?.up === true && !event.link.up) this.#dropRoutesOf(event.link.index);
        const same = old?.up === event.link.up && old.running === event.link.running;
        return same || old === undefined ? 'nothing' : 'next-hops';
      }
      case 'link-deleted':
        this.links.delete(event.link.index);
        this.#linksByName.delete(event.link.name);
        this.#dropRoutesOf(event.link.index);
        return 'next-hops';
      case 'address':
        this.#setAddress(event.address);
        return 'next-hops';
      case 'address-deleted': {
        this.#addresses.delete(addressId(event.address));
        const { address } = event.address;
        if (![...this.#addresses.values()].some((a) => a.address === address)) this.#local.delete(address);
        // Routes with this source address vanish silently.
        return 'routes';
      }
      default:
        return 'nothing';
    }
  }

  /** IPv4 routes of a link that goes down or away vanish without an event. */
  #dropRoutesOf(linkIndex: number): void {
    const gone: Route[] = [];
    for (const route of this.routes())
      if (route.nextHops.length > 0 && route.nextHops.every((h) => h.linkIndex === linkIndex))
        gone.push(route);
    for (const route of gone) this.removeRoute(route);
  }

  /** How a next hop is reached. */
  resolve(address: Address): Resolution {
    if (this.isLocal(address)) return { reachable: false, why: 'it is our own address' };
    if (address === limitedBroadcast) return { reachable: false, why: 'it is the broadcast address' };
    const route = this.#routes.towards(address);
    return route === undefined
      ? { reachable: false, why: 'no route leads there' }
      : this.#through(route, address);
  }

  #through(route: Route, address: Address): Resolution {
    if (route.type !== 'unicast') return { reachable: false, why: `${route.dst} is ${route.type}` };
    const nextHops: NextHop[] = [];
    for (const hop of route.nextHops) {
      const link = hop.linkIndex === undefined ? undefined : this.links.get(hop.linkIndex);
      if (link !== undefined && !(link.up && link.running)) continue;
      nextHops.push({ ...hop, gateway: hop.gateway ?? address });
    }
    if (nextHops.length === 0) return { reachable: false, why: `the link towards ${route.dst} is down` };
    const direct = route.nextHops.every((h) => h.gateway === undefined);
    const interfaceName = this.linkName(nextHops[0]?.linkIndex);
    return {
      reachable: true,
      // Behind a router is always farther than next door.
      metric: direct || route.protocol === routeProtocols.kernel ? 0 : route.priority + 1,
      nextHops,
      ...(interfaceName === undefined ? {} : { interfaceName }),
    };
  }

  /** Networks of our interfaces that are up, with the interface. Link-local and loopback ones are nobody's business. */
  *connected(): Generator<{ readonly prefix: Prefix; readonly interfaceName: string }> {
    for (const a of this.#addresses.values()) {
      const link = this.links.get(a.linkIndex);
      if (link === undefined || !link.up || a.scope === 'link' || a.scope === 'host') continue;
      yield { prefix: prefixOf(a.address, a.length), interfaceName: link.name };
    }
  }
}

const addressId = (a: LinkAddress): string => `${a.linkIndex} ${a.address}/${a.length}`;

/** True when a change of the route to `dst` can change how the address is reached. */
export const affects = (dst: Prefix, address: Address): boolean =>
  isSingleAddress(dst) ? dst === hostPrefix(address) : containsAddress(dst, address);
