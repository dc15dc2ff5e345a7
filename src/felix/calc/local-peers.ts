// Addresses of this node that pods peer by BGP with (BG-021): BGPConfiguration's localWorkloadPeeringIPV4 and IPV6, at the
// interface of each local endpoint that a BGPPeer selects by localWorkloadSelector. The speaker answers there. Pure.
import { familyOf, parseAddress, parsePrefix, type Address } from '../../lib/ip/mod.ts';
import type { BGPConfiguration, BGPPeer, Node, WorkloadEndpoint } from '../../model/mod.ts';
import { matches, parseSelector, type Selector } from '../../selector/mod.ts';
import type { FelixConfig } from './configuration.ts';
import { type Contribution, Contributions } from './contributions.ts';
import { rowKeys, type PeeringRow, type RowDelta } from './types.ts';

/** Who peers, and with which addresses. */
export type Peering = { readonly workloads: readonly Selector[]; readonly addresses: readonly Address[] };

/** `node` is this node, when it is known. */
export function peeringOf(
  config: FelixConfig,
  bgp: BGPConfiguration | undefined,
  peers: Iterable<BGPPeer>,
  { name, node }: { readonly name: string; readonly node: Node | undefined },
): Peering {
  const { localWorkloadPeeringIPV4, localWorkloadPeeringIPV6 } = bgp?.spec ?? {};
  const addresses = [localWorkloadPeeringIPV4, localWorkloadPeeringIPV6].flatMap((text) => {
    const parsed = parseAddress(text ?? '');
    const isOn = parsed.ok && (familyOf(parsed.value) === 4 || config.boolean('Ipv6Support'));
    return isOn ? [parsed.value] : [];
  });
  const selects = (text: string, labels: Readonly<Record<string, string>>): boolean => {
    const parsed = parseSelector(text);
    return parsed.ok && matches(parsed.value, labels);
  };
  const isOfNode = ({ spec }: BGPPeer): boolean => {
    if (spec.node) return spec.node === name;
    return !spec.nodeSelector || selects(spec.nodeSelector, node?.metadata.labels ?? {});
  };
  const workloads = [...peers].flatMap((peer) => {
    const parsed = parseSelector(peer.spec.localWorkloadSelector ?? '');
    return peer.spec.localWorkloadSelector && parsed.ok && isOfNode(peer) ? [parsed.value] : [];
  });
  return { workloads, addresses };
}

export function endpointPeerings(
  { workloads, addresses }: Peering,
  key: string,
  { metadata, spec }: WorkloadEndpoint,
): Contribution<PeeringRow>[] {
  const { interfaceName, ipNetworks = [] } = spec;
  const labels = metadata.labels ?? {};
  if (!interfaceName || !workloads.some((one) => matches(one, labels))) return [];
  const families = new Set(
    ipNetworks.flatMap((text) => {
      const parsed = parsePrefix(text);
      return parsed.ok ? [familyOf(parsed.value)] : [];
    }),
  );
  return addresses
    .filter((address) => families.has(familyOf(address)))
    .map((address) => ({ rank: key, row: { interfaceName, address } }));
}

export class LocalPeers {
  readonly #nodeName: string;
  readonly #peers = new Map<string, BGPPeer>();
  readonly #endpoints = new Map<string, WorkloadEndpoint>();
  readonly #rows = new Contributions<PeeringRow>(rowKeys.peerings);
  #config: FelixConfig;
  #bgp: BGPConfiguration | undefined;
  #node: Node | undefined;
  #peering: Peering = { workloads: [], addresses: [] };
  #isStale = false;

  constructor(nodeName: string, config: FelixConfig) {
    this.#nodeName = nodeName;
    this.#config = config;
  }

  get rows(): ReadonlyMap<string, PeeringRow> {
    return this.#rows.rows;
  }

  configure(config: FelixConfig): void {
    this.#config = config;
    this.#isStale = true;
  }

  setBgp(bgp: BGPConfiguration | undefined): void {
    this.#bgp = bgp;
    this.#isStale = true;
  }

  /** Of this node. */
  setNode(node: Node | undefined): void {
    this.#node = node;
    this.#isStale = true;
  }

  setPeer(name: string, peer: BGPPeer | undefined): void {
    if (peer === undefined) this.#peers.delete(name);
    else this.#peers.set(name, peer);
    this.#isStale = true;
  }

  setEndpoint(key: string, endpoint: WorkloadEndpoint | undefined): void {
    if (endpoint === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
    this.#refresh(key, endpoint);
  }

  /** Peers are few, and few workloads of a node peer: who does is worked out once for all that changed. */
  flush(): RowDelta<PeeringRow> {
    if (this.#isStale) {
      this.#isStale = false;
      const before = this.#peering;
      const node = { name: this.#nodeName, node: this.#node };
      this.#peering = peeringOf(this.#config, this.#bgp, this.#peers.values(), node);
      if (before.workloads.length + this.#peering.workloads.length > 0)
        for (const [key, endpoint] of this.#endpoints) this.#refresh(key, endpoint);
    }
    return this.#rows.flush();
  }

  #refresh(key: string, endpoint: WorkloadEndpoint | undefined): void {
    this.#rows.replace(key, endpoint === undefined ? [] : endpointPeerings(this.#peering, key, endpoint));
  }
}
