// The sources of routes as the table keeps them: configuration, derived facts, list heads.
import { addressToBytes, type Address, type Family } from '../../lib/ip/mod.ts';
import type { CompiledPolicy } from '../policy/mod.ts';
import type { ExportGroup } from './export-group.ts';
import { noPath } from './path-table.ts';
import type { PeerId, RibPeerConfig, RibPeerFamily } from './types.ts';

export type Peer = {
  readonly id: PeerId;
  config: RibPeerConfig;
  isBgp: boolean;
  isIbgp: boolean;
  isClient: boolean;
  /** Signed number of the BGP identifier. */
  routerId: number;
  preference: number;
  /** Established. */
  up: boolean;
  /** Changes are held back: its socket is full. */
  paused: boolean;
  readonly 4: PeerFamily;
  readonly 6: PeerFamily;
};

export type PeerFamily = {
  firstPath: number;
  pathCount: number;
  config: RibPeerFamily | undefined;
  importPolicy: CompiledPolicy | undefined;
  /** What it is sent; undefined while the session is down or the family is receive-only. */
  group: ExportGroup | undefined;
  /** One bit per destination that changed while the peer was paused. */
  missed: Uint8Array | undefined;
  /** End-of-RIB is due once the missed changes are sent. */
  endOfRibDue: boolean;
};

/** Rank of sources, as BIRD has it. */
export const sourcePreference = { direct: 240, static: 200, bgp: 100, kernel: 10 } as const;

/** Below every source. */
export const lastChoice = 1;

export function newPeer(id: PeerId, config: RibPeerConfig): Peer {
  const family = (): PeerFamily => ({
    firstPath: noPath,
    pathCount: 0,
    config: undefined,
    importPolicy: undefined,
    group: undefined,
    missed: undefined,
    endOfRibDue: false,
  });
  const peer: Peer = {
    id,
    config,
    isBgp: false,
    isIbgp: false,
    isClient: false,
    routerId: 0,
    preference: 0,
    up: false,
    paused: false,
    4: family(),
    6: family(),
  };
  configurePeer(peer, config);
  return peer;
}

export function configurePeer(peer: Peer, config: RibPeerConfig): void {
  peer.config = config;
  peer.isBgp = config.source === 'bgp';
  peer.isIbgp = peer.isBgp && config.type !== 'ebgp';
  peer.isClient = peer.isIbgp && config.rrClient === true;
  peer.routerId = config.routerId === undefined ? 0 : routerIdNumber(config.routerId);
  peer.preference = sourcePreference[config.source];
}

export const familyConfig = (config: RibPeerConfig, family: Family): RibPeerFamily | undefined =>
  config.families?.find((f) => f.family === family);

/** Signed 32-bit number of an identifier in address form. */
export function routerIdNumber(id: Address): number {
  const b = addressToBytes(id);
  return (b[0]! << 24) | (b[1]! << 16) | (b[2]! << 8) | b[3]!;
}
