// What the overlay wants of the kernel, as rows: devices, entries that lead to other nodes' ends, programs, and routes.
import type { Address, Family, Prefix } from '../../../lib/ip/mod.ts';
import type { Encapsulation, FelixConfig, Mtus } from '../../calc/mod.ts';
import type { KernelRouteRow } from '../routes.ts';

export const vxlanDevice = 'vxlan.calico';
export const vxlanV6Device = 'vxlan-v6.calico';
export const ipipDevice = 'tunl0';
export const overlayDevices: readonly string[] = [vxlanDevice, vxlanV6Device, ipipDevice];

/** Which tunnels to other nodes there are. Who may send into them is the doorkeeper's question; policy of hosts is kept from
 *  cutting them. */
export type Tunnels = Omit<Encapsulation, 'noEncapNeeded'>;
export const noTunnels: Tunnels = { ipip: false, vxlan: false, vxlanV6: false };

/** The devices of a family that are in use. */
export const tunnelDevices = (
  family: Family,
  { ipip, vxlan, vxlanV6, wireguard }: Tunnels,
): readonly string[] => [
  ...(family === 4 && ipip ? [ipipDevice] : []),
  ...(family === 4 && vxlan ? [vxlanDevice] : []),
  ...(family === 6 && vxlanV6 ? [vxlanV6Device] : []),
  ...(wireguard?.[family] === undefined ? [] : [wireguard[family]]),
];

/** The MAC of tunl0 where an ordinary device stands in for it. It is on no wire. */
export const standInMac = '02:63:61:6c:69:04';

/** How the node is set; everything changes with it. */
export type OverlaySettings = {
  readonly config: FelixConfig;
  readonly mtus: Mtus;
  readonly encapsulation: Encapsulation;
};

export type DeviceRow = {
  readonly name: string;
  readonly mtu: number;
  /** A /32 or /128. Absent while the node has none. */
  readonly address?: Address;
  readonly form:
    | {
        readonly kind: 'vxlan';
        readonly mac: string;
        readonly vni: number;
        readonly port: number;
        readonly local: Address;
        readonly parent: string;
      }
    /** The kernel's own, or a stand-in where it has none. */
    | { readonly kind: 'ipip' };
};

export type VtepRow =
  | { readonly type: 'neighbour'; readonly device: string; readonly address: Address; readonly mac: string }
  | { readonly type: 'fdb'; readonly device: string; readonly mac: string; readonly remote: Address };

export type ProgramRow = {
  readonly interfaceName: string;
  readonly direction: 'ingress' | 'egress';
  /** Says which program it is: equal names are equal programs. */
  readonly name: string;
  readonly code: Uint8Array;
};

/** The interface that has the node's address of a family, and its network. */
export type Underlay = { readonly interfaceName: string; readonly network: Prefix };
export type Underlays = { readonly 4?: Underlay; readonly 6?: Underlay };

/** tunl0 as it is: `ipip` the kernel's, `ifb` a stand-in that needs programs. */
export type TunnelLink = { readonly kind: 'ipip' | 'ifb'; readonly index: number };

/** Rows that one thing asks for, of one kind; an empty list when it asks no more. */
export type OverlayChange =
  | { readonly table: 'routes'; readonly source: string; readonly rows: readonly RankedRoute[] }
  | { readonly table: 'devices'; readonly source: string; readonly rows: readonly DeviceRow[] }
  | { readonly table: 'vteps'; readonly source: string; readonly rows: readonly VtepRow[] }
  | { readonly table: 'programs'; readonly source: string; readonly rows: readonly ProgramRow[] };

/** A route, and what it is good for when others want the same destination (FX-080): the higher wins. */
export type RankedRoute = { readonly row: KernelRouteRow; readonly rank: string };
