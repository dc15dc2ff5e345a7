// Which prefix is behind which node, from pools, blocks, nodes, tunnels and endpoints. One trie of what each source says of
// a prefix; a route is read off the path from the root to its prefix, so that pools and blocks tell all that lies in them.
//
//   10.0.0.0/16  pool VXLAN, nat-outgoing
//   └ 10.0.1.0/29  block of node b          → remote workload, VXLAN, behind b
//     └ 10.0.1.2/32  held by node c          → the same, borrowed, behind c
//
// A change marks the prefixes whose route may differ; `flush` computes these anew and hands out those that do.
import { hostPrefix, PrefixTrie, type Prefix, prefixFamily, containsAddress } from '../../../lib/ip/mod.ts';
import type { BlockOwner, PoolFacts } from './node-facts.ts';
import {
  routeTypes,
  tunnelTypes,
  type NetworkRoute,
  type NodeFacts,
  type PoolType,
  type RouteType,
  type TunnelType,
} from './types.ts';

/** What the sources say of one prefix, each under its own name: so one that goes leaves what others say. */
export type PrefixClaims = {
  readonly pools: ReadonlyMap<string, PoolFacts>;
  readonly owners: ReadonlyMap<string, string>;
  readonly hosts: ReadonlyMap<string, string>;
  readonly workloads: ReadonlyMap<string, string>;
  readonly tunnels: ReadonlyMap<string, { readonly node: string; readonly type: TunnelType }>;
};
type Claims = { -readonly [K in keyof PrefixClaims]: Map<string, ClaimOf<K>> };
type ClaimOf<K extends keyof PrefixClaims> = PrefixClaims[K] extends ReadonlyMap<string, infer V> ? V : never;
type Place<K extends keyof PrefixClaims = keyof PrefixClaims> = {
  readonly kind: K;
  readonly prefix: Prefix;
  readonly value: ClaimOf<K>;
};

export class RouteResolver {
  readonly #local: string;
  readonly #trie = new PrefixTrie<Claims>();
  readonly #places = new Map<string, readonly Place[]>();
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #routes = new Map<Prefix, NetworkRoute>();
  readonly #byNode = new Map<string, Set<Prefix>>();
  readonly #dirty = new Set<Prefix>();

  constructor(localNode: string) {
    this.#local = localNode;
  }

  get routes(): ReadonlyMap<Prefix, NetworkRoute> {
    return this.#routes;
  }

  setPool(name: string, pool: PoolFacts | undefined): void {
    this.#claim(`pool ${name}`, pool === undefined ? [] : [place('pools', pool.cidr, pool)]);
  }

  setBlock(name: string, owners: readonly BlockOwner[]): void {
    this.#claim(
      `block ${name}`,
      owners.map(({ prefix, node }) => place('owners', prefix, node)),
    );
  }

  /** Prefixes of an endpoint of the node. */
  setWorkload(name: string, node: string, prefixes: readonly Prefix[]): void {
    this.#claim(
      `workload ${name}`,
      prefixes.map((prefix) => place('workloads', prefix, node)),
    );
  }

  setNode(name: string, facts: NodeFacts | undefined): void {
    const before = this.#nodes.get(name);
    if (facts === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, facts);
    this.#claim(`node ${name}`, [
      ...(facts?.addresses ?? []).map((address) => place('hosts', hostPrefix(address), name)),
      ...(facts?.tunnels ?? []).map(({ type, address }) =>
        place('tunnels', hostPrefix(address), { node: name, type }),
      ),
    ]);
    if (JSON.stringify([before?.v4, before?.v6]) === JSON.stringify([facts?.v4, facts?.v6])) return;
    // Our own networks say who is in the same subnet.
    const affected = name === this.#local ? this.#routes.keys() : (this.#byNode.get(name) ?? []);
    for (const prefix of affected) this.#dirty.add(prefix);
  }

  /** Routes that became others since the last call, and destinations that have none any more. */
  flush(): { readonly set: readonly NetworkRoute[]; readonly deleted: readonly Prefix[] } {
    const set: NetworkRoute[] = [];
    const deleted: Prefix[] = [];
    for (const prefix of this.#dirty) {
      const path = this.#trie.covering(prefix);
      const exists = path.at(-1)?.[0] === prefix;
      const route = exists
        ? routeOf(
            prefix,
            path.map(([, claims]) => claims),
            this.#local,
            this.#nodes,
          )
        : undefined;
      const before = this.#routes.get(prefix);
      if (route === undefined ? before === undefined : before !== undefined && sameRoute(route, before))
        continue;
      if (before?.node !== undefined) this.#unindex(before.node, prefix);
      if (route === undefined) {
        this.#routes.delete(prefix);
        deleted.push(prefix);
        continue;
      }
      this.#routes.set(prefix, route);
      if (route.node !== undefined) {
        const prefixes = this.#byNode.get(route.node) ?? new Set();
        this.#byNode.set(route.node, prefixes.add(prefix));
      }
      set.push(route);
    }
    this.#dirty.clear();
    return { set, deleted };
  }

  #unindex(node: string, prefix: Prefix): void {
    const prefixes = this.#byNode.get(node);
    prefixes?.delete(prefix);
    if (prefixes?.size === 0) this.#byNode.delete(node);
  }

  /** Replaces all that a source says. */
  #claim(source: string, places: readonly Place[]): void {
    const before = this.#places.get(source) ?? [];
    if (JSON.stringify(before) === JSON.stringify(places)) return;
    for (const { kind, prefix, value } of before) {
      const claims = this.#trie.get(prefix);
      if (claims === undefined) continue;
      claims[kind].delete(keyOf(source, value));
      if (Object.values(claims).every((map) => map.size === 0)) this.#trie.delete(prefix);
      this.#touch(prefix);
    }
    for (const { kind, prefix, value } of places) {
      let claims = this.#trie.get(prefix);
      if (claims === undefined) {
        claims = {
          pools: new Map(),
          owners: new Map(),
          hosts: new Map(),
          workloads: new Map(),
          tunnels: new Map(),
        };
        this.#trie.set(prefix, claims);
      }
      (claims[kind] as Map<string, unknown>).set(keyOf(source, value), value);
      this.#touch(prefix);
    }
    if (places.length === 0) this.#places.delete(source);
    else this.#places.set(source, places);
  }

  /** A prefix tells what lies in it. */
  #touch(prefix: Prefix): void {
    this.#dirty.add(prefix);
    for (const [inside] of this.#trie.within(prefix)) this.#dirty.add(inside);
  }
}

const place = <K extends keyof PrefixClaims>(kind: K, prefix: Prefix, value: ClaimOf<K>): Place =>
  ({ kind, prefix, value }) as Place;

/** One source may say several things of a prefix: a node its tunnels. */
const keyOf = (source: string, value: Place['value']): string =>
  typeof value === 'object' && 'node' in value ? `${source} ${value.type}` : source;

/** The route to a prefix, given the claims on the way to it, widest prefix first. */
export function routeOf(
  dst: Prefix,
  path: readonly PrefixClaims[],
  local: string,
  nodes: ReadonlyMap<string, NodeFacts>,
): NetworkRoute {
  const types = new Set<RouteType>();
  let poolType: PoolType = 'none';
  let natOutgoing = false;
  let crossSubnet = false;
  let node: string | undefined;
  let blockNode: string | undefined;
  let borrowed = false;
  let localWorkload = false;
  let tunnels: readonly TunnelType[] = [];
  const at = (name: string, what: 'host' | 'workload' | 'tunnel'): void => {
    node = name;
    types.add(`${name === local ? 'local' : 'remote'}-${what}`);
  };
  for (const claims of path) {
    const pool = first(claims.pools);
    if (pool !== undefined) poolType = pool.type;
    natOutgoing ||= pool?.natOutgoing === true;
    crossSubnet ||= pool?.crossSubnet === true;
    const owner = lowest(claims.owners.values());
    if (owner !== undefined) {
      borrowed ||= blockNode !== undefined && blockNode !== owner;
      blockNode ??= owner;
      at(owner, 'workload');
    }
    const host = lowest(claims.hosts.values());
    if (host !== undefined) at(host, 'host');
    const tunnelEnds = [...claims.tunnels.values()];
    const holder = lowest([...claims.workloads.values(), ...tunnelEnds.map((end) => end.node)]);
    if (holder === undefined) continue;
    // Workload and tunnel of one node with one address: the workload counts.
    if ([...claims.workloads.values()].includes(holder)) {
      at(holder, 'workload');
      localWorkload ||= holder === local;
    } else {
      at(holder, 'tunnel');
      tunnels = tunnelTypes.filter((t) => tunnelEnds.some((end) => end.node === holder && end.type === t));
    }
  }
  if (types.size === 0) types.add('cidr-info');
  const family = prefixFamily(dst) === 4 ? 'v4' : 'v6';
  const address = node === undefined ? undefined : nodes.get(node)?.[family]?.address;
  const network = nodes.get(local)?.[family]?.network;
  return {
    dst,
    types: routeTypes.filter((type) => types.has(type)),
    poolType,
    natOutgoing,
    ...(node === undefined ? {} : { node }),
    ...(address === undefined ? {} : { nodeAddress: address }),
    sameSubnet:
      crossSubnet && address !== undefined && network !== undefined && containsAddress(network, address),
    localWorkload,
    borrowed,
    tunnels,
  };
}

/** Of those that claim one prefix, the first by name: the choice must not depend on who came first. */
function lowest(names: Iterable<string>): string | undefined {
  let least: string | undefined;
  for (const name of names) if (least === undefined || name < least) least = name;
  return least;
}

function first<V>(claims: ReadonlyMap<string, V>): V | undefined {
  const name = lowest(claims.keys());
  return name === undefined ? undefined : claims.get(name);
}

const sameRoute = (a: NetworkRoute, b: NetworkRoute): boolean => JSON.stringify(a) === JSON.stringify(b);
