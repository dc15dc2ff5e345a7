// What a node knows of the others' networks: which prefix is behind which node, and each node's end of the VXLAN overlay.
import type { Address, Prefix } from '../../../lib/ip/mod.ts';

/** What is at a prefix; several may hold at once. In this order wherever they are listed. */
export const routeTypes = [
  /** Nothing but a pool. */
  'cidr-info',
  'remote-host',
  'local-host',
  'remote-workload',
  'local-workload',
  'remote-tunnel',
  'local-tunnel',
] as const;
export type RouteType = (typeof routeTypes)[number];
export type PoolType = 'none' | 'no-encap' | 'vxlan' | 'ipip';
export const tunnelTypes = ['wireguard', 'ipip', 'vxlan'] as const;
export type TunnelType = (typeof tunnelTypes)[number];

/** A prefix that belongs to a pool, a node or a workload. */
export type NetworkRoute = {
  readonly dst: Prefix;
  readonly types: readonly RouteType[];
  /** Of the pool that it lies in. */
  readonly poolType: PoolType;
  readonly natOutgoing: boolean;
  /** The node that it is behind, and that node's address in the same family when it is known. */
  readonly node?: string;
  readonly nodeAddress?: Address;
  /** The pool needs no tunnel for this node, whose address is in our subnet. */
  readonly sameSubnet: boolean;
  /** An endpoint of this node has exactly this prefix. */
  readonly localWorkload: boolean;
  /** The address is another node's than the block that it is from. */
  readonly borrowed: boolean;
  /** Tunnels of the node that have this address, in the order of `tunnelTypes`. */
  readonly tunnels: readonly TunnelType[];
};

/** A node's end of the VXLAN overlay; a family is there when the node has both a tunnel address and its own address in it. */
export type Vtep = {
  readonly node: string;
  readonly v4?: VtepSide;
  readonly v6?: VtepSide;
};
/** `address` as the node's resource writes it. */
export type VtepSide = { readonly mac: string; readonly address: string; readonly parentAddress: Address };

/** A node's end of WireGuard; a family is there when the node has a public key and its own address in it. */
export type WireGuardEnd = {
  readonly node: string;
  readonly v4?: WireGuardSide;
  readonly v6?: WireGuardSide;
};
/** `address` is the node's own, where its packets come from and go to; `tunnel` that of its device. */
export type WireGuardSide = {
  readonly publicKey: string;
  readonly address: Address;
  readonly tunnel?: Address;
};

/** What the calculation takes from a Node resource. */
export type NodeFacts = {
  /** The node's own addresses with their networks, by family. */
  readonly v4?: HostAddress;
  readonly v6?: HostAddress;
  /** All addresses of the host, the above included. */
  readonly addresses: readonly Address[];
  readonly tunnels: readonly { readonly type: TunnelType; readonly address: Address }[];
  readonly vtep: Vtep | undefined;
  readonly wireguard: WireGuardEnd | undefined;
};
export type HostAddress = { readonly address: Address; readonly network: Prefix };

/** Where routes to workloads of other nodes come from (RouteSource, FX-084): blocks, or the workloads themselves. */
export type RouteSource = 'CalicoIPAM' | 'WorkloadIPs';
