// Addresses in the nodes' own subnets that no host has, and that a node answers ARP and NDP for (FX-086): those of its pods, and
// those load balancer addresses that fall to it. Only of pools without encapsulation; whether an address lies in the subnet of
// one of the node's interfaces is the dataplane's to know. Pure.
import { sha1 } from '../../lib/hash.ts';
import {
  containsPrefix,
  familyOf,
  hostPrefix,
  isSingleAddress,
  parseAddress,
  parsePrefix,
  prefixAddress,
  type Address,
  type Prefix,
} from '../../lib/ip/mod.ts';
import type { IPPool, Node, Service, WorkloadEndpoint } from '../../model/mod.ts';
import type { FelixConfig } from './configuration.ts';
import { type Contribution, Contributions } from './contributions.ts';
import { nodeFacts } from './network/node-facts.ts';
import type { NodeFacts } from './network/types.ts';
import type { AnsweredRow, RowDelta } from './types.ts';

export const answersNeighbours = (config: FelixConfig): boolean =>
  config.text('LocalSubnetL2Reachability') === 'PodsAndLoadBalancers';

const isNever = (mode: string | undefined): boolean =>
  mode === undefined || mode === '' || mode.toLowerCase() === 'never';

/** What is in a pool with an overlay is not meant for the wire as it is. */
export const plainPools = (pools: Iterable<IPPool>): readonly Prefix[] =>
  [...pools].flatMap(({ spec }) => {
    const cidr = parsePrefix(spec.cidr);
    return cidr.ok && isNever(spec.ipipMode) && isNever(spec.vxlanMode) ? [cidr.value] : [];
  });

const isIn = (pools: readonly Prefix[], address: Address): boolean =>
  pools.some((pool) => containsPrefix(pool, hostPrefix(address)));

const isSupported = (config: FelixConfig, address: Address): boolean =>
  familyOf(address) === 4 || config.boolean('Ipv6Support');

export function endpointAnswered(
  config: FelixConfig,
  pools: readonly Prefix[],
  key: string,
  endpoint: WorkloadEndpoint,
): Contribution<AnsweredRow>[] {
  if (!answersNeighbours(config)) return [];
  return (endpoint.spec.ipNetworks ?? []).flatMap((text) => {
    const parsed = parsePrefix(text);
    if (!parsed.ok || !isSingleAddress(parsed.value)) return [];
    const address = prefixAddress(parsed.value);
    if (!isSupported(config, address) || !isIn(pools, address)) return [];
    // A pod's own address is its node's to answer for, whatever services say.
    return [{ rank: `9 endpoint ${key}`, row: { address, ofService: false } }];
  });
}

export function serviceAnswered(
  config: FelixConfig,
  pools: readonly Prefix[],
  { nodeName, nodes }: { readonly nodeName: string; readonly nodes: ReadonlyMap<string, NodeFacts> },
  { metadata, spec, status }: Service,
): Contribution<AnsweredRow>[] {
  if (!answersNeighbours(config) || spec?.type !== 'LoadBalancer') return [];
  const texts = [...(status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip), spec.loadBalancerIP];
  const addresses = new Set(
    texts.flatMap((text) => {
      const parsed = parseAddress(text ?? '');
      return parsed.ok ? [parsed.value] : [];
    }),
  );
  return [...addresses]
    .filter((address) => isSupported(config, address) && isIn(pools, address))
    .filter((address) => answeringNode(address, nodes) === nodeName)
    .map((address) => ({
      rank: `1 service ${metadata.namespace ?? ''}/${metadata.name}`,
      row: { address, ofService: true },
    }));
}

/** The one node that answers for a service's address, which all nodes work out alike: of those in whose subnet the address
 *  lies, or where there is none of all in its family, the one with the largest digest of address and name. A node that comes
 *  or goes moves the addresses that are its own, and no others. */
export function answeringNode(address: Address, nodes: ReadonlyMap<string, NodeFacts>): string | undefined {
  const inFamily = [...nodes].flatMap(([name, facts]) => {
    const own = familyOf(address) === 4 ? facts.v4 : facts.v6;
    return own === undefined ? [] : [{ name, network: own.network }];
  });
  const beside = inFamily.filter(({ network }) => containsPrefix(network, hostPrefix(address)));
  const candidates = (beside.length > 0 ? beside : inFamily).map(({ name }) => ({
    name,
    digest: hex(sha1(`${address} ${name}`)),
  }));
  return candidates.toSorted((a, b) => (a.digest < b.digest ? 1 : -1))[0]?.name;
}

const hex = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** What this node answers for, worked out anew where something changed. */
export class AnsweredAddresses {
  readonly #nodeName: string;
  readonly #rows = new Contributions<AnsweredRow>(({ address }) => address);
  readonly #services = new Map<string, Service>();
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #endpoints = new Map<string, WorkloadEndpoint>();
  readonly #dirtyEndpoints = new Set<string>();
  readonly #dirtyServices = new Set<string>();
  #config: FelixConfig | undefined;
  #pools: readonly Prefix[] = [];

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  configure(config: FelixConfig): void {
    this.#config = config;
    this.#touchAll();
  }

  setPools(pools: Iterable<IPPool>): void {
    const plain = plainPools(pools);
    if (plain.join() === this.#pools.join()) return;
    this.#pools = plain;
    this.#touchAll();
  }

  setNode(name: string, node: Node | undefined): void {
    if (node === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, nodeFacts(node));
    for (const key of this.#services.keys()) this.#dirtyServices.add(key);
  }

  setService(key: string, service: Service | undefined): void {
    if (service === undefined) this.#services.delete(key);
    else this.#services.set(key, service);
    this.#dirtyServices.add(key);
  }

  setEndpoint(key: string, endpoint: WorkloadEndpoint | undefined): void {
    if (endpoint === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
    this.#dirtyEndpoints.add(key);
  }

  get rows(): ReadonlyMap<string, AnsweredRow> {
    return this.#rows.rows;
  }

  /** Nobody has a service's address: what no service takes of it would go round on the node that answers. */
  get servicePrefixes(): readonly Prefix[] {
    return [...this.rows.values()].filter(({ ofService }) => ofService).map((row) => hostPrefix(row.address));
  }

  flush(): RowDelta<AnsweredRow> {
    const config = this.#config;
    if (config === undefined) return { set: [], deleted: [] };
    const cluster = { nodeName: this.#nodeName, nodes: this.#nodes };
    for (const key of this.#dirtyEndpoints) {
      const endpoint = this.#endpoints.get(key);
      const found = endpoint === undefined ? [] : endpointAnswered(config, this.#pools, key, endpoint);
      this.#rows.replace(`endpoint ${key}`, found);
    }
    for (const key of this.#dirtyServices) {
      const service = this.#services.get(key);
      const found = service === undefined ? [] : serviceAnswered(config, this.#pools, cluster, service);
      this.#rows.replace(`service ${key}`, found);
    }
    this.#dirtyEndpoints.clear();
    this.#dirtyServices.clear();
    return this.#rows.flush();
  }

  #touchAll(): void {
    for (const key of this.#endpoints.keys()) this.#dirtyEndpoints.add(key);
    for (const key of this.#services.keys()) this.#dirtyServices.add(key);
  }
}
