// What WireGuard wants of the kernel, as rows: a device of each family, a peer for each other node, the rule that sends what is
// not marked to a table of its own, and the routes in it.
import type { Address, Family, Prefix } from '../../../lib/ip/mod.ts';
import type { PolicyRule, WireGuardEndpoint, WireGuardKey } from '../../../kernel/mod.ts';
import type { FelixConfig, Mtus } from '../../calc/mod.ts';
import type { RankedRoute } from '../overlay/types.ts';

export type WireGuardSettings = { readonly config: FelixConfig; readonly mtus: Mtus };

export type WireGuardRow =
  | {
      readonly type: 'device';
      readonly name: string;
      readonly family: Family;
      readonly mtu: number;
      readonly port: number;
      readonly mark: number;
      /** A /32 or /128. Absent while the node has none. */
      readonly address?: Address;
    }
  | {
      readonly type: 'peer';
      readonly device: string;
      readonly node: string;
      readonly publicKey: WireGuardKey;
      readonly endpoint: WireGuardEndpoint;
      readonly keepaliveSeconds: number;
      /** Sorted. */
      readonly allowed: readonly Prefix[];
    };

export type WireGuardRowChange =
  | { readonly table: 'wireguard'; readonly source: string; readonly rows: readonly WireGuardRow[] }
  | { readonly table: 'rules'; readonly source: string; readonly rows: readonly PolicyRule[] }
  | { readonly table: 'routes'; readonly source: string; readonly rows: readonly RankedRoute[] };

/** What the node is in one family: off, unable and why, or encrypting. */
export type WireGuardState =
  | { readonly state: 'off' }
  | { readonly state: 'waiting'; readonly reason?: string }
  | {
      readonly state: 'on';
      readonly driver: 'kernel' | 'userspace';
      readonly device: string;
      readonly publicKey: WireGuardKey;
      readonly peers: number;
    };
export type WireGuardStates = { readonly [F in Family]: WireGuardState };

/** Device and parameters of a family. */
export const wireguardParameters = {
  4: {
    enabled: 'WireguardEnabled',
    device: 'WireguardInterfaceName',
    port: 'WireguardListeningPort',
    mtu: 'wireguard',
  },
  6: {
    enabled: 'WireguardEnabledV6',
    device: 'WireguardInterfaceNameV6',
    port: 'WireguardListeningPortV6',
    mtu: 'wireguardV6',
  },
} as const;

type TableRange = { readonly first: number; readonly last: number };
const usualRanges: readonly TableRange[] = [{ first: 1, last: 250 }];

/** Tables that are Felix's to use (FX-083), without those of the kernel. */
export const ownTables = (config: FelixConfig): readonly TableRange[] => {
  const several = config.value('RouteTableRanges') as readonly TableRange[] | null;
  const one = config.value('RouteTableRange') as TableRange | null;
  return several ?? (one === null ? usualRanges : [one]);
};
const isKernelTable = (table: number): boolean => table >= 253 && table <= 255;
export const isOwnTable = (config: FelixConfig, table: number): boolean =>
  !isKernelTable(table) && ownTables(config).some(({ first, last }) => table >= first && table <= last);

/** The first of them for IPv4, the second for IPv6; undefined when there are not as many. */
export function wireguardTable(config: FelixConfig, family: Family): number | undefined {
  let left = family === 4 ? 0 : 1;
  for (const { first, last } of ownTables(config))
    for (let table = first; table <= last; table++) {
      if (isKernelTable(table)) continue;
      if (left-- === 0) return table;
    }
  return undefined;
}

/** The bit of the mark that WireGuard's own packets have, by which they do not come to it again: the sixth of
 *  IptablesMarkMask, behind those that rules use (FX-037). */
export function wireguardMark(config: FelixConfig): number | undefined {
  const mask = config.number('IptablesMarkMask');
  let left = 5;
  for (let bit = 0; bit < 32; bit++) if ((mask & (1 << bit)) !== 0 && left-- === 0) return (1 << bit) >>> 0;
  return undefined;
}
