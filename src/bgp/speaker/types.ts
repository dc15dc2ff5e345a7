// What a speaker is told to do and what it says about itself. The configuration is plain data; it comes from Calico
// resources (config-from-plan.ts) or from a file (config-file.ts).
import type { Address, Family, InterfaceAddress, Prefix } from '../../lib/ip/mod.ts';
import type { Failure } from '../../lib/result.ts';
import type { AddPathDirections, DownReason, NegotiatedSession, StateName } from '../fsm/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import type { PeerCounts, RibCounts } from '../rib/mod.ts';

export type SpeakerConfig = {
  readonly name: string;
  readonly as: number;
  readonly routerId: Address;
  /** Cluster id as a route reflector; the router id when absent and there are clients. */
  readonly clusterId?: Address;
  readonly listen: { readonly port: number; readonly addresses: readonly Address[] };
  /** Own addresses: the next hop announced for a family that is not the session's. */
  readonly addresses: { readonly 4?: InterfaceAddress; readonly 6?: InterfaceAddress };
  readonly neighbours: readonly NeighbourConfig[];
  readonly ranges: readonly NeighbourRange[];
  /** Prefixes announced as our own. */
  readonly origins: readonly Prefix[];
  /** Priority (metric) that own prefixes are announced with; 1024 when absent. */
  readonly normalPriority?: Readonly<Record<Family, number>>;
  /** What of the kernel's table becomes a candidate for announcing. */
  readonly learn: {
    /** Routes of other programs. */
    readonly kernel: boolean;
    /** Networks of our interfaces. */
    readonly connected: boolean;
    /** Interfaces (`*` and `?` are wildcards) whose networks are no candidates. */
    readonly excludedInterfaces: readonly string[];
  };
  readonly kernel: {
    /** Whether learned routes are written to the kernel. */
    readonly install: boolean;
    /** What of the table is written, per family. */
    readonly policies: { readonly 4: PolicyProgram; readonly 6: PolicyProgram };
    /** Host routes to peers behind a gateway. */
    readonly staticRoutes: readonly { readonly prefix: Prefix; readonly gateway: Address }[];
  };
};

export type NeighbourKind =
  | 'node-mesh'
  | 'global-peer'
  | 'node-peer'
  | 'local-workload'
  | 'static'
  | 'dynamic';

/** What is the same for a neighbour with an address and for a range of them. */
export type SessionConfig = {
  readonly localAs: number;
  readonly families: readonly Family[];
  readonly holdTimeS: number;
  /** A third of the hold time when absent. */
  readonly keepaliveS?: number;
  readonly gracefulRestartTimeS: number;
  readonly addPath: AddPathDirections;
  readonly rrClient: boolean;
  readonly nextHopMode: 'auto' | 'self' | 'keep';
  readonly allowLocalAs: number;
  readonly importPolicy: PolicyProgram;
  readonly exportPolicy: PolicyProgram;
};

export type NeighbourConfig = SessionConfig & {
  /** Unique. */
  readonly name: string;
  readonly kind: NeighbourKind;
  readonly address: Address;
  readonly port: number;
  /** undefined: any AS other than ours. */
  readonly as?: number;
  readonly passive: boolean;
  readonly sourceAddress?: Address;
  readonly security?: SessionSecurity;
};

/** Accepts sessions from any address of the prefix; each becomes a neighbour of its own. */
export type NeighbourRange = SessionConfig & {
  readonly name: string;
  readonly prefix: Prefix;
  readonly as?: number;
  /** At most so many sessions. */
  readonly limit: number;
};

/** Socket options of a session. */
export type SessionSecurity = {
  /** TCP MD5 (RFC 2385). */
  readonly password?: string;
  /** GTSM (RFC 5082): how many hops away the peer may be. */
  readonly ttlHops?: number;
};

export type SpeakerErrorCode = 'BadPlan' | 'NotSupported' | 'CannotListen' | 'KernelFailed' | 'NoRouterId';
export type SpeakerError = Failure<SpeakerErrorCode>;

// ── what it says about itself ────────────────────────────────────────────────────────────────────────────────────────
export type PeerStatus = {
  readonly name: string;
  readonly kind: NeighbourKind;
  readonly address: Address;
  readonly port: number;
  readonly as: number | undefined;
  readonly localAs: number;
  readonly passive: boolean;
  readonly state: StateName;
  /** When it entered the state, RFC 3339. */
  readonly since: string;
  /** Why there is no session; absent when Established. */
  readonly reason?: DownReason;
  readonly reasonText?: string;
  readonly session?: NegotiatedSession;
  /** Routes are kept for the peer, which is expected back (graceful restart helper). */
  readonly keepingStale: boolean;
  readonly routes: PeerCounts;
  readonly messages: { readonly received: number; readonly sent: number };
};

export type SpeakerStatus = {
  readonly name: string;
  readonly as: number;
  readonly routerId: Address;
  readonly startedAt: string;
  /** When it took the configuration it has. */
  readonly configuredAt: string;
  /** After a restart: `deferring` waits for the peers' tables, `keeping` leaves unknown kernel routes alone. */
  readonly recovery: 'deferring' | 'keeping' | 'done';
  readonly awaiting: readonly string[];
  readonly listening: readonly {
    readonly address: Address;
    readonly port: number;
    readonly problem?: string;
  }[];
  readonly sessions: { readonly established: number; readonly configured: number };
  readonly rib: RibCounts;
  readonly kernel: KernelStatus | undefined;
};

export type KernelStatus = {
  readonly installed: number;
  readonly desired: number;
  /** Own routes of an earlier run that may still be taken up again. */
  readonly stale: number;
  readonly problems: readonly { readonly prefix: Prefix; readonly problem: string }[];
};
