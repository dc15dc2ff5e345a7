// The session state machine's data: what it is told, what it asks for, and what it knows. Pure: timers are names, sockets
// are the words `outgoing` and `incoming`, randomness comes with the event.
import type { Family } from '../../lib/ip/mod.ts';
import type { Notification, OpenMessage } from '../packet/mod.ts';

/** The states of RFC 4271 section 8.2.2, as shown to people. */
export type StateName = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

/** A peer has at most one connection that we dialled and one that it dialled. */
export type Side = 'outgoing' | 'incoming';
export const otherSide = (side: Side): Side => (side === 'outgoing' ? 'incoming' : 'outgoing');

export type TimerName =
  /** Until the next attempt to dial. */
  | 'connect-retry'
  /** How long a dial may take. */
  | 'connect-timeout'
  /** Pause after an error, in which nothing is dialled or accepted. */
  | 'idle-hold'
  /** The session has lasted: earlier errors are forgotten. */
  | 'stable'
  | `hold-${Side}`
  | `keepalive-${Side}`;

export type AddPathDirections = { readonly receive: boolean; readonly send: boolean };

/** What this side wants of the session; fixed while the state machine lives. */
export type FsmOptions = {
  readonly localAsn: number;
  /** undefined: any AS other than ours (a dynamic neighbour). */
  readonly peerAsn?: number;
  /** Unsigned 32 bits. */
  readonly routerId: number;
  readonly holdTimeS: number;
  /** A third of the negotiated hold time when absent. */
  readonly keepaliveS?: number;
  /** Waits for the peer to dial. */
  readonly passive: boolean;
  readonly families: readonly Family[];
  readonly addPath?: AddPathDirections;
  readonly extendedMessage?: boolean;
  /** Offered when present. */
  readonly gracefulRestart?: { readonly restartTimeS: number; readonly notification: boolean };
  readonly timing?: Partial<FsmTiming>;
};

export type FsmTiming = {
  /** First wait before dialling again after a failed or ended connection; doubles up to `connectRetryMaxMs`. */
  readonly connectRetryMs: number;
  readonly connectRetryMaxMs: number;
  readonly connectTimeoutMs: number;
  /** First pause after an error; doubles up to `idleHoldMaxMs`. */
  readonly idleHoldMs: number;
  readonly idleHoldMaxMs: number;
  readonly stableMs: number;
  /** Hold time before OPEN has been received (RFC 4271: four minutes). */
  readonly openHoldMs: number;
};

/** What both OPENs agreed on. */
export type NegotiatedSession = {
  readonly ebgp: boolean;
  readonly localAsn: number;
  readonly peerAsn: number;
  /** Unsigned 32 bits. */
  readonly peerRouterId: number;
  /** 0: neither keepalives nor a hold timer. */
  readonly holdTimeMs: number;
  readonly keepaliveMs: number;
  readonly families: readonly Family[];
  readonly as4: boolean;
  readonly addPath: Readonly<Record<Family, AddPathDirections>>;
  readonly refresh: boolean;
  readonly enhancedRefresh: boolean;
  readonly extendedMessage: boolean;
  readonly messageLimit: number;
  /** What the peer said of graceful restart; undefined when one side does not do it. */
  readonly gracefulRestart?: PeerGracefulRestart;
  /** The peer knows what the community LLGR_STALE means. */
  readonly longLivedAware: boolean;
  /** Names of what the peer offered, for people: `route-refresh`, `code 73`. */
  readonly peerCapabilities: readonly string[];
};

export type PeerGracefulRestart = {
  /** R bit: the peer has just restarted and waits for our End-of-RIB. */
  readonly restarting: boolean;
  /** N bit on both sides. */
  readonly notification: boolean;
  readonly restartTimeMs: number;
  readonly families: readonly { readonly family: Family; readonly forwardingPreserved: boolean }[];
  /** RFC 9494: after the restart time its routes are kept so long, as the last choice. */
  readonly longLived: readonly {
    readonly family: Family;
    readonly forwardingPreserved: boolean;
    readonly staleTimeMs: number;
  }[];
};

/** Why there is no session, as data. */
export type DownReason =
  | { readonly kind: 'not-started' }
  | { readonly kind: 'admin-down'; readonly text?: string }
  | { readonly kind: 'waiting-for-peer' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unreachable'; readonly detail: string }
  | { readonly kind: 'connect-timeout' }
  | { readonly kind: 'closed-by-peer'; readonly detail?: string }
  | { readonly kind: 'hold-timer-expired'; readonly holdTimeMs: number }
  | { readonly kind: 'as-mismatch'; readonly expected: number | 'external'; readonly received: number }
  | { readonly kind: 'no-common-family' }
  | { readonly kind: 'notification-sent'; readonly notification: Notification; readonly detail?: string }
  | { readonly kind: 'notification-received'; readonly notification: Notification }
  | { readonly kind: 'collision' }
  | { readonly kind: 'replaced' };

export type FsmEvent =
  | { readonly type: 'start' }
  /** Ends everything with a Cease of this subcode (2 shutdown, 3 deconfigured, 4 reset…). */
  | { readonly type: 'stop'; readonly cease: number; readonly text?: string }
  | { readonly type: 'timer'; readonly timer: TimerName }
  | { readonly type: 'connected' }
  | { readonly type: 'connect-failed'; readonly reason: DownReason }
  /** The peer dialled us. */
  | { readonly type: 'accepted' }
  /** The connection ended without a NOTIFICATION. */
  | { readonly type: 'closed'; readonly side: Side; readonly detail?: string }
  | { readonly type: 'open'; readonly side: Side; readonly open: OpenMessage }
  | { readonly type: 'keepalive' | 'update' | 'route-refresh'; readonly side: Side }
  | { readonly type: 'notification'; readonly side: Side; readonly notification: Notification }
  /** A message was wrong in a way that ends the session. */
  | {
      readonly type: 'malformed';
      readonly side: Side;
      readonly notification: Notification;
      readonly detail?: string;
    };

export type FsmAction =
  | { readonly do: 'dial' }
  /** Gives up dialling. */
  | { readonly do: 'abort-dial' }
  | { readonly do: 'close'; readonly side: Side }
  /** Closes the connection of this `accepted` event; it never becomes the incoming one. */
  | { readonly do: 'refuse' }
  | { readonly do: 'send-open' | 'send-keepalive'; readonly side: Side }
  | { readonly do: 'send-notification'; readonly side: Side; readonly notification: Notification }
  | { readonly do: 'set-timer'; readonly timer: TimerName; readonly ms: number }
  | { readonly do: 'clear-timer'; readonly timer: TimerName }
  | { readonly do: 'established'; readonly side: Side; readonly session: NegotiatedSession }
  /** The session that was Established has ended. `graceful`: keep the peer's routes and wait for it (RFC 4724). */
  | { readonly do: 'down'; readonly reason: DownReason; readonly graceful: boolean }
  /** Hand the UPDATE or ROUTE-REFRESH of this event to the table. */
  | { readonly do: 'deliver' };

export type Connection = {
  readonly phase: 'open-sent' | 'open-confirm' | 'established';
  /** Agreed with the OPEN received; undefined in open-sent. */
  readonly session?: NegotiatedSession;
  /** It came while the other side was Established: of a restarted peer, or one that crossed with the other. */
  readonly afterEstablished: boolean;
};

export type FsmState = {
  readonly options: FsmOptions;
  readonly running: boolean;
  readonly dialling: boolean;
  readonly idleHold: boolean;
  readonly outgoing?: Connection;
  readonly incoming?: Connection;
  /** Errors and failed attempts in a row: the exponents of the two backoffs. */
  readonly errors: number;
  readonly failures: number;
  /** Why there is no session now; of the last end while a new one is being made. */
  readonly reason: DownReason;
};

export type Step = { readonly state: FsmState; readonly actions: readonly FsmAction[] };
