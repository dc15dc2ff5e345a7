// A topology as plain data: machines, their interfaces and addresses, the cables between them, static routes and BGP
// plans. Building it in the kernel is ../builder.ts; drawing it is draw.ts; nothing here touches a machine.
import type { Address, InterfaceAddress, Prefix } from '../../lib/ip/mod.ts';

export type TopologyName = 'flat' | 'two-racks';
export const topologyNames: readonly TopologyName[] = ['flat', 'two-racks'];

export type TopologyOptions = {
  readonly name: TopologyName;
  /** Number of nodes; `two-racks` has four of its own and puts more into its racks in turn. */
  readonly nodes?: number;
  readonly dualStack?: boolean;
  /** Whether leaves and spine speak BGP (two-racks only). Default: yes. */
  readonly fabricBgp?: boolean;
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
};
/** What a router of the fabric speaks; the nodes get theirs from BGPPeer resources. */
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
};

export type CableEnd = { readonly machine: string; readonly interface: string };
export type Cable = { readonly a: CableEnd; readonly b: CableEnd };

/** A BGPPeer resource to create: all nodes of a rack peer with their leaf. */
export type PeerPlan = {
  readonly name: string;
  readonly peerIP: Address;
  readonly asNumber: number;
  readonly rack: string;
};

export type Topology = {
  readonly name: TopologyName;
  readonly dualStack: boolean;
  readonly fabricBgp: boolean;
  readonly machines: readonly Machine[];
  readonly cables: readonly Cable[];
  readonly peers: readonly PeerPlan[];
  readonly nodeAsNumber: number;
};

/** A node as the rest of the lab needs it. */
export type NodePlan = {
  readonly name: string;
  readonly rack?: string;
  readonly addresses: readonly InterfaceAddress[];
};

export const nodesOf = (topology: Topology): readonly NodePlan[] =>
  topology.machines
    .filter((m) => m.role === 'node')
    .map((m) => ({
      name: m.name,
      ...(m.rack === undefined ? {} : { rack: m.rack }),
      addresses: m.interfaces.flatMap((i) => i.addresses),
    }));
