// A topology as plain data: machines, their interfaces and addresses, the cables between them, static routes and BGP
// plans. Building it in the kernel is ../supervisor/machines.ts; drawing it is draw.ts; nothing here touches a machine.
import type { Address, InterfaceAddress, Prefix } from '../../lib/ip/mod.ts';
import type { BackendName } from '../backends.ts';

export type TopologyName = 'flat' | 'two-racks' | 'three-racks' | 'four-racks';
export const topologyNames: readonly TopologyName[] = ['flat', 'two-racks', 'three-racks', 'four-racks'];

/** Who speaks BGP with whom, and under which AS numbers. */
export type DesignName = 'mesh' | 'rr' | 'as-per-rack' | 'as-per-server';
export const designNames: readonly DesignName[] = ['mesh', 'rr', 'as-per-rack', 'as-per-server'];

/** Route reflectors are selected nodes of the cluster, or routers of their own. */
export type ReflectorKind = 'nodes' | 'routers';

export type TopologyOptions = {
  readonly name: TopologyName;
  /** Number of nodes; racks have four of their own at least and take more in turn. */
  readonly nodes?: number;
  readonly dualStack?: boolean;
  /** Whether leaves and spine speak BGP (racks only). Default: yes. */
  readonly fabricBgp?: boolean;
  /** Default: mesh. */
  readonly design?: string;
  /** With routers there are two more machines. Default: nodes. */
  readonly reflectors?: ReflectorKind;
  /** Default: bird. The others know no BGP, neither on nodes nor in the fabric. */
  readonly backend?: BackendName;
};

/** An end of a cable, or a bridge with the interfaces of the same machine that name it as their bridge. */
export type Interface = {
  readonly name: string;
  readonly kind: 'port' | 'bridge';
  /** Fixed, so that captures of two runs look alike; the kernel's choice when absent. */
  readonly mac?: string;
  readonly addresses: readonly InterfaceAddress[];
  /** The bridge of the same machine that this port belongs to. */
  readonly bridge?: string;
};

export type StaticRoute = { readonly dst: Prefix; readonly via: Address };

export type BgpNeighbour = {
  readonly name: string;
  readonly address: Address;
  readonly asNumber: number;
  /** The router reflects routes to and from this neighbour. */
  readonly rrClient?: boolean;
  /** What the router passes on keeps the next hop it came with: neighbours of one subnet reach each other directly. */
  readonly keepsNextHop?: boolean;
};
/** What a router of the fabric speaks; the nodes get theirs from resources. */
export type RouterBgp = {
  readonly asNumber: number;
  readonly routerId: Address;
  readonly neighbours: readonly BgpNeighbour[];
};

export type Machine = {
  readonly name: string;
  /** A node runs pods; a router forwards between subnets; a switch only bridges. */
  readonly role: 'node' | 'router' | 'switch';
  readonly rack?: string;
  readonly interfaces: readonly Interface[];
  readonly routes: readonly StaticRoute[];
  readonly bgp?: RouterBgp;
  /** Of a node's pods, where another network hands addresses out. */
  readonly podRanges?: readonly Prefix[];
};

export type CableEnd = { readonly machine: string; readonly interface: string };
export type Cable = { readonly a: CableEnd; readonly b: CableEnd };

/** A leaf with its nodes. */
export type Rack = {
  readonly name: string;
  readonly leaf: string;
  readonly asNumber: number;
  /** The leaf's addresses in the rack. */
  readonly gateways: readonly InterfaceAddress[];
  /** Transfer addresses: the leaf's end and the spine's. */
  readonly uplinks: readonly { readonly leaf: InterfaceAddress; readonly spine: InterfaceAddress }[];
};

/** What is plugged together, before anything speaks BGP. */
export type Fabric = {
  readonly name: TopologyName;
  readonly dualStack: boolean;
  readonly machines: readonly Machine[];
  readonly cables: readonly Cable[];
  /** None on a flat network. */
  readonly racks: readonly Rack[];
  /** Routers that only reflect. */
  readonly reflectors: readonly string[];
};

/** A BGPPeer resource to create. */
export type PeerPlan = {
  readonly name: string;
  readonly peerIP?: Address;
  readonly asNumber?: number;
  readonly peerSelector?: string;
  /** The nodes it is for; all of them without either. */
  readonly node?: string;
  readonly nodeSelector?: string;
  /** The peer hears of the node's own blocks only. */
  readonly ownBlocksOnly?: boolean;
};

/** What a Node resource says about BGP, beyond its addresses. */
export type NodeBgp = {
  readonly node: string;
  readonly asNumber?: number;
  readonly routeReflectorClusterID?: Address;
};

export type Topology = Omit<Fabric, 'reflectors'> & {
  readonly backend: BackendName;
  readonly design: DesignName;
  readonly fabricBgp: boolean;
  /** The full mesh between the nodes. */
  readonly mesh: boolean;
  readonly peers: readonly PeerPlan[];
  /** Of all nodes, in order; most have nothing of their own. */
  readonly nodeBgp: readonly NodeBgp[];
  readonly nodeAsNumber: number;
};

/** A node as the rest of the lab needs it. */
export type NodePlan = {
  readonly name: string;
  readonly rack?: string;
  readonly addresses: readonly InterfaceAddress[];
};

export const nodesOf = (topology: { readonly machines: readonly Machine[] }): readonly NodePlan[] =>
  topology.machines
    .filter((m) => m.role === 'node')
    .map((m) => ({
      name: m.name,
      ...(m.rack === undefined ? {} : { rack: m.rack }),
      addresses: addressesOf(m),
    }));

export const addressesOf = (machine: Machine): readonly InterfaceAddress[] =>
  machine.interfaces.flatMap((i) => i.addresses);
