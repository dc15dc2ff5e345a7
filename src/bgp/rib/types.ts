// The routing table's face: what the speaker tells it and what it answers. Pure: bytes and numbers in, bytes and numbers
// out; no sockets, no clock of its own. Prefixes travel as wire NLRI so that no object per prefix is ever made.
import type { Address, Family, Prefix } from '../../lib/ip/mod.ts';
import type { Attributes } from '../packet/mod.ts';
import type { PeerType, PolicyProgram, PolicyTrace, RouteSource } from '../policy/mod.ts';

export type PeerId = number;

export type RibPeerConfig = {
  readonly name: string;
  readonly source: RouteSource;
  /** The rest matters for source `bgp` only. */
  readonly type?: PeerType;
  readonly address?: Address;
  /** AS used towards this peer (localASNumber of a BGPPeer, else the node's). */
  readonly localAs?: number;
  readonly peerAs?: number;
  /** The peer's BGP identifier from its OPEN. */
  readonly routerId?: Address;
  /** A route reflector client of ours. */
  readonly rrClient?: boolean;
  readonly nextHopMode?: 'auto' | 'self' | 'keep';
  /** How often our own AS may stand in a received AS path. */
  readonly allowLocalAs?: number;
  readonly families?: readonly RibPeerFamily[];
  readonly fourOctetAs?: boolean;
  readonly extendedMessages?: boolean;
  /** It knows the community LLGR_STALE; others are not told such routes. */
  readonly longLivedAware?: boolean;
};
export type RibPeerFamily = {
  readonly family: Family;
  /** Next hop to announce when it is ourselves: our address on the session. Without it the family is receive-only. */
  readonly localAddress?: Address;
  /** IPv6: announced beside the global next hop on a shared link. */
  readonly localLinkLocal?: Address;
  readonly addPathReceive?: boolean;
  readonly addPathSend?: boolean;
  readonly importPolicy?: PolicyProgram;
  readonly exportPolicy?: PolicyProgram;
};

export type RibOptions = {
  readonly routerId: Address;
  /** Route reflector cluster id; the router id when absent and a client exists. */
  readonly clusterId?: Address;
  /** Asked once when a next hop is first seen; `setNextHops` tells of later changes. All reachable when absent. */
  readonly resolveNextHop?: (address: Address) => NextHopState;
  /** Milliseconds of a steady clock, for the flush budget. No budget without it. */
  readonly now?: () => number;
  /** Prefixes handled between two looks at the clock; adapted to the machine when absent. */
  readonly batchSize?: number;
  /** Attribute sets without users that may wait before they are swept; 1024 when absent. */
  readonly sweepAfter?: number;
};

export type NextHopState = {
  readonly reachable: boolean;
  /** Interior cost: the metric of the resolving route; 0 when directly connected. */
  readonly metric?: number;
  readonly interfaceName?: string;
};

/** An announcement as it came over a session. All prefixes share one attribute set. */
export type RibUpdate = {
  readonly family: Family;
  /** Canonical bytes as `attributeBytes` of bgp/packet gives them, next hop included. Copied when new. */
  readonly attributes: Uint8Array;
  /** NLRI in wire form; with path identifiers when the peer's family has addPathReceive. */
  readonly nlri: Uint8Array;
};

/** A route of this node: a block it owns, a service range, or one that another program put into the kernel. */
export type LocalRoute = {
  readonly prefix: Prefix;
  /** Kernel metric; the announced local preference is 2147483647 - metric. */
  readonly metric?: number;
  readonly interfaceName?: string;
  readonly gateway?: Address;
  readonly communities?: readonly string[];
};

/** Takes encoded UPDATE messages for one peer. The bytes are shared between peers and never change afterwards.
 *  `false` says "queued, but stop": the table holds further changes back until `resume(peer)`. */
export type UpdateSink = (
  peer: PeerId,
  messages: readonly Uint8Array[],
  /** Made for several peers, not for this one alone. */
  shared: boolean,
) => boolean | void;

/** The steps of best path selection, in order; the value a losing path carries. */
export const decisionSteps = [
  'best',
  'preference',
  'localPref',
  'asPathLength',
  'origin',
  'med',
  'peerType',
  'nextHopMetric',
  'routerId',
  'clusterListLength',
  'peerAddress',
  'pathId',
] as const;
export type DecisionStep = (typeof decisionSteps)[number];

/** Why a path takes no part in selection. */
export const ineligibleReasons = [
  'eligible',
  'importPolicy',
  'asLoop',
  'originatorLoop',
  'clusterLoop',
  'nextHopUnreachable',
] as const;
export type IneligibleReason = (typeof ineligibleReasons)[number];

export type PathView = {
  readonly peer: PeerId;
  readonly peerName: string;
  readonly source: RouteSource;
  readonly peerType?: PeerType;
  readonly prefix: Prefix;
  /** Path identifier received with ADD-PATH; 0 otherwise. */
  readonly pathId: number;
  readonly nextHop?: Address;
  readonly nextHopLinkLocal?: Address;
  readonly attributes: Attributes;
  readonly localPref: number;
  readonly preference: number;
  readonly interfaceName?: string;
  readonly metric?: number;
  readonly stale: boolean;
  readonly best: boolean;
  /** Forwarding uses this path: it is the best one or ties with it up to the next hop metric. */
  readonly multipath: boolean;
  readonly ineligible?: Exclude<IneligibleReason, 'eligible'>;
  /** For an eligible path that is not best: the step at which it lost. */
  readonly lostAt?: DecisionStep;
};

/** What forwarding has to do for a prefix. `best` undefined: no route any more. */
export type BestChange = {
  readonly prefix: Prefix;
  readonly best?: PathView;
  /** The best path first; several for equal-cost multipath. */
  readonly paths: readonly PathView[];
};

export type RibExplanation = {
  readonly prefix: Prefix;
  readonly paths: readonly (PathView & { readonly importTrace?: PolicyTrace })[];
  readonly exports: readonly ExportView[];
};
export type ExportView = {
  readonly group: string;
  readonly peers: readonly string[];
  readonly announced: boolean;
  /** Why not, when it is not announced. */
  readonly reason?:
    | 'noPath'
    | 'ibgpToIbgp'
    | 'noAdvertise'
    | 'noExport'
    | 'longLivedStale'
    | 'exportPolicy'
    | 'tooLong';
  readonly trace?: PolicyTrace;
};

export type FlushReport = {
  /** Nothing is left to do now; peers that lag behind do not count. */
  readonly done: boolean;
  readonly prefixes: number;
  readonly messages: number;
};

export type RibCounts = {
  readonly prefixes: Readonly<Record<Family, number>>;
  readonly paths: number;
  readonly attributeSets: number;
  readonly nextHops: number;
  readonly groups: number;
  /** Compiled programs, those that may be run again included. */
  readonly policies: number;
};
export type PeerCounts = {
  readonly received: number;
  readonly accepted: number;
  readonly best: number;
  readonly stale: number;
  readonly announced: number;
};

export interface Rib {
  /** Registers a source of routes. A BGP peer sends and receives only after `peerUp`. */
  addPeer(config: RibPeerConfig): PeerId;
  /** The session is Established: `config` now holds what was negotiated (families, router id, 4-octet AS…). The peer gets
   *  the whole table, then End-of-RIB per family. */
  peerUp(peer: PeerId, config: RibPeerConfig): void;
  /** New policies, next hop mode or reflector role of a running session: affected routes are filtered again and only
   *  differences are sent. Families, AS numbers and addresses cannot change without a new session. */
  changePeer(peer: PeerId, config: RibPeerConfig): void;
  /** The session is gone. Routes of the families in `stale` stay and are marked (graceful restart), the others go. */
  peerDown(peer: PeerId, options?: { readonly stale?: readonly Family[] }): void;
  /** Everything of the peer goes, its id too. */
  removePeer(peer: PeerId): void;

  update(peer: PeerId, update: RibUpdate): void;
  withdraw(peer: PeerId, family: Family, nlri: Uint8Array): void;
  /** The peer has sent its End-of-RIB: what is still stale goes. Also called when the restart timer ends.
   *  `keepLongLived`: but for what is marked as long-lived. */
  sweepStale(peer: PeerId, family: Family, options?: { readonly keepLongLived?: boolean }): void;
  /** The restart time is over, and the peer asked for more (RFC 9494): what is stale stays as the last choice, marked by a
   *  community; what must not be kept so long goes. */
  markLongLived(peer: PeerId, family: Family): void;
  /** Marks all routes of the peer stale, before a ROUTE-REFRESH with markers (RFC 7313) is answered. */
  markStale(peer: PeerId, family: Family): void;
  /** Sends everything again to a peer that asked for it (ROUTE-REFRESH). */
  refresh(peer: PeerId, family: Family): void;

  /** Routes of a local source; replaces an earlier one of the same prefix. */
  announceLocal(peer: PeerId, route: LocalRoute): void;
  withdrawLocal(peer: PeerId, prefix: Prefix): void;

  /** Next hops in use, to be watched. */
  nextHops(): readonly { readonly address: Address; readonly state: NextHopState }[];
  setNextHops(changes: readonly { readonly address: Address; readonly state: NextHopState }[]): void;

  /** True when `flush` has something to do. */
  readonly pending: boolean;
  /** Selects best paths of changed prefixes and hands encoded UPDATEs to `sink`; returns after `budgetMs`. */
  flush(budgetMs: number, sink: UpdateSink): FlushReport;
  /** Stops sending to a peer whose socket is full; `resume` sends what changed meanwhile. */
  pause(peer: PeerId): void;
  resume(peer: PeerId): void;

  /** Prefixes whose forwarding changed since they were last taken, at most `limit`. */
  takeBestChanges(limit?: number): BestChange[];
  /** For a table without forwarding: what changed is nobody's business. */
  dropBestChanges(): void;
  /** Hands out every prefix again by `takeBestChanges`: whoever asks looks at them with other eyes now. */
  repeatBestChanges(): void;

  /** Every path of a table, in no particular order. */
  paths(
    family: Family,
    filter?: { readonly peer?: PeerId; readonly bestOnly?: boolean },
  ): IterableIterator<PathView>;
  /** What a peer has been told (its Adj-RIB-Out). */
  announced(
    peer: PeerId,
    family: Family,
  ): IterableIterator<{
    readonly prefix: Prefix;
    readonly attributes: Attributes;
    readonly nextHop?: Address;
  }>;
  explain(prefix: Prefix): RibExplanation;
  counts(): RibCounts;
  peerCounts(peer: PeerId): PeerCounts;
}
