// The state machine of one peer: RFC 4271 section 8 with the two connections that section describes as two machines held
// in one state, so that collisions are an ordinary transition. `step` is total: every event is legal in every state.
// docs/bgp.md has the table.
import { notification, notificationCode, subcode, type Notification } from '../packet/mod.ts';
import { ceaseWith, isError, isGraceful, keepTelling } from './endings.ts';
import { negotiate } from './open.ts';
import {
  otherSide,
  type Connection,
  type DownReason,
  type FsmAction,
  type FsmEvent,
  type FsmOptions,
  type FsmState,
  type FsmTiming,
  type NegotiatedSession,
  type Side,
  type StateName,
  type Step,
  type TimerName,
} from './types.ts';

export const defaultTiming: FsmTiming = {
  connectRetryMs: 300,
  connectRetryMaxMs: 2_000,
  connectTimeoutMs: 10_000,
  idleHoldMs: 1_000,
  idleHoldMaxMs: 30_000,
  stableMs: 30_000,
  openHoldMs: 240_000,
};

export const initialState = (options: FsmOptions): FsmState => ({
  options,
  running: false,
  dialling: false,
  idleHold: false,
  errors: 0,
  failures: 0,
  reason: { kind: 'not-started' },
});

/** The state as RFC 4271 names it: that of the connection that got furthest. */
export function stateName(state: FsmState): StateName {
  const phases = [state.outgoing?.phase, state.incoming?.phase];
  if (phases.includes('established')) return 'Established';
  if (phases.includes('open-confirm')) return 'OpenConfirm';
  if (phases.includes('open-sent')) return 'OpenSent';
  if (!state.running || state.idleHold) return 'Idle';
  return state.dialling ? 'Connect' : 'Active';
}

export const establishedSide = (state: FsmState): Side | undefined =>
  state.outgoing?.phase === 'established'
    ? 'outgoing'
    : state.incoming?.phase === 'established'
      ? 'incoming'
      : undefined;

/** Of two connections the one dialled by the higher identifier stays; between equal ones the higher AS decides (RFC 6286).
 *  That speaker closes the other one. The lower leaves it alone: what it would close may be Established over there, and
 *  then both connections are lost, with the routes that a peer keeps over one restart and not over two. */
const peerDecides = (
  { routerId, localAsn }: FsmOptions,
  { peerRouterId, peerAsn }: NegotiatedSession,
): boolean => (routerId === peerRouterId ? localAsn < peerAsn : routerId < peerRouterId);

/** The next state and what to do for it. `random` in [0, 1) spreads waits; it has no other effect. */
export function step(state: FsmState, event: FsmEvent, random = 0.5): Step {
  const t = new Transition(state, random);
  switch (event.type) {
    case 'start':
      return t.start();
    case 'stop':
      return t.stop(event.cease, event.text);
    case 'timer':
      return t.timer(event.timer);
    case 'connected':
      return t.connected();
    case 'connect-failed':
      return t.connectFailed(event.reason);
    case 'accepted':
      return t.accepted();
    case 'closed':
      return t.closed(event.side, event.detail);
    case 'open':
      return t.open(event.side, event.open);
    case 'keepalive':
      return t.keepalive(event.side);
    case 'update':
    case 'route-refresh':
      return t.routes(event.side);
    case 'notification':
      return t.notified(event.side, event.notification);
    default:
      return t.malformed(event.side, event.notification, event.detail);
  }
}

type Writable<T> = { -readonly [P in keyof T]: T[P] };

/** One transition in the making: a copy of the state and the actions so far. */
class Transition {
  readonly #state: Writable<FsmState>;
  readonly #actions: FsmAction[] = [];
  readonly #random: number;
  readonly #timing: FsmTiming;

  constructor(state: FsmState, random: number) {
    this.#state = { ...state };
    this.#random = random;
    this.#timing = { ...defaultTiming, ...state.options.timing };
  }

  start(): Step {
    const s = this.#state;
    if (s.running) return this.#done();
    s.running = true;
    s.errors = 0;
    s.failures = 0;
    this.#waitOrDial(0);
    return this.#done();
  }

  stop(cease: number, text: string | undefined): Step {
    const s = this.#state;
    const reason: DownReason = text === undefined ? { kind: 'admin-down' } : { kind: 'admin-down', text };
    for (const side of ['outgoing', 'incoming'] as const)
      if (s[side] !== undefined) this.#drop(side, reason, ceaseWith(cease, text));
    this.#abortDial();
    for (const timer of ['connect-retry', 'idle-hold', 'stable'] as const) this.#clear(timer);
    s.running = false;
    s.idleHold = false;
    s.reason = reason;
    return this.#done();
  }

  timer(timer: TimerName): Step {
    const s = this.#state;
    if (timer === 'connect-retry') {
      if (s.running && !s.idleHold && !s.options.passive && !this.#anyOpen()) this.#dial();
    } else if (timer === 'connect-timeout') {
      if (s.dialling) {
        this.#act({ do: 'abort-dial' });
        this.#dialFailed({ kind: 'connect-timeout' });
      }
    } else if (timer === 'idle-hold') {
      if (s.idleHold) {
        s.idleHold = false;
        this.#waitOrDial(0);
      }
    } else if (timer === 'stable') {
      s.errors = 0;
      s.failures = 0;
    } else this.#sessionTimer(timer);
    return this.#done();
  }

  #sessionTimer(timer: TimerName): void {
    const side: Side = timer.endsWith('outgoing') ? 'outgoing' : 'incoming';
    const connection = this.#state[side];
    if (connection === undefined) return;
    const holdTimeMs = connection.session?.holdTimeMs ?? this.#timing.openHoldMs;
    if (timer.startsWith('keepalive-')) {
      this.#act({ do: 'send-keepalive', side });
      this.#armKeepalive(side, connection);
    } else
      this.#fail(
        side,
        { kind: 'hold-timer-expired', holdTimeMs },
        notification(notificationCode.holdTimerExpired, 0),
      );
  }

  connected(): Step {
    const s = this.#state;
    if (!s.dialling) {
      // Nobody asked for it. The new socket has taken the place of the one before, which is lost with it.
      this.#act({ do: 'close', side: 'outgoing' });
      return s.outgoing === undefined ? this.#done() : this.closed('outgoing', undefined);
    }
    s.dialling = false;
    this.#clear('connect-timeout');
    if (establishedSide(s) !== undefined) this.#act({ do: 'close', side: 'outgoing' });
    else this.#openSent('outgoing', false);
    return this.#done();
  }

  connectFailed(reason: DownReason): Step {
    if (this.#state.dialling) this.#dialFailed(reason);
    return this.#done();
  }

  accepted(): Step {
    const s = this.#state;
    const established = establishedSide(s);
    const rival = s.incoming;
    // A peer that can restart gracefully and dials again has forgotten the connection it held (RFC 4724 section 4.2).
    const forgotten = established === 'incoming' && rival?.session?.gracefulRestart !== undefined;
    if (!s.running || s.idleHold || (rival !== undefined && !forgotten)) {
      this.#act({ do: 'refuse' });
      return this.#done();
    }
    if (forgotten) {
      this.#fail('incoming', { kind: 'replaced' }, undefined);
      this.#clear('connect-retry');
    }
    this.#openSent('incoming', established === 'outgoing');
    return this.#done();
  }

  closed(side: Side, detail: string | undefined): Step {
    if (this.#state[side] === undefined) return this.#done();
    this.#fail(side, detail === undefined ? { kind: 'closed-by-peer' } : { kind: 'closed-by-peer', detail });
    return this.#done();
  }

  open(side: Side, open: Parameters<typeof negotiate>[1]): Step {
    const s = this.#state;
    const connection = s[side];
    if (connection === undefined) return this.#done();
    if (connection.phase !== 'open-sent') return this.#unexpected(side, connection);
    const agreed = negotiate(s.options, open);
    if (!agreed.ok) {
      this.#fail(side, agreed.error.reason, agreed.error.notification);
      return this.#done();
    }
    if (!this.#surviveCollision(side, agreed.value)) return this.#done();
    s[side] = { ...connection, phase: 'open-confirm', session: agreed.value };
    this.#act({ do: 'send-keepalive', side });
    this.#armHold(side, s[side]);
    this.#armKeepalive(side, s[side]);
    return this.#done();
  }

  /** RFC 4271 section 6.8. False when the connection that just received OPEN had to go. */
  #surviveCollision(side: Side, session: NegotiatedSession): boolean {
    const s = this.#state;
    const rival = s[otherSide(side)];
    if (rival === undefined || rival.phase === 'open-sent') return true;
    if (rival.phase === 'established') {
      // A restarted peer, or a connection that crossed with the one that came up: only the first will say KEEPALIVE on it.
      if (s[side]?.afterEstablished !== true || rival.session?.gracefulRestart !== undefined) return true;
      this.#drop(side, { kind: 'collision' }, ceaseWith(subcode.cease.collision));
      return false;
    }
    if (peerDecides(s.options, session)) return true;
    this.#drop('incoming', { kind: 'collision' }, ceaseWith(subcode.cease.collision));
    return side !== 'incoming';
  }

  keepalive(side: Side): Step {
    const s = this.#state;
    const connection = s[side];
    if (connection === undefined) return this.#done();
    if (connection.phase === 'open-sent') return this.#unexpected(side, connection);
    this.#armHold(side, connection);
    if (connection.phase === 'open-confirm' && connection.session !== undefined) {
      this.#outlive(otherSide(side), connection.session);
      s[side] = { ...connection, phase: 'established' };
      this.#abortDial();
      this.#clear('connect-retry');
      this.#set('stable', this.#timing.stableMs);
      this.#act({ do: 'established', side, session: connection.session });
    }
    return this.#done();
  }

  /** The other connection, now that one is Established. */
  #outlive(rival: Side, session: NegotiatedSession): void {
    const s = this.#state;
    if (s[rival]?.phase === 'established') this.#fail(rival, { kind: 'replaced' }, undefined);
    else if (s[rival] !== undefined && !(rival === 'incoming' && peerDecides(s.options, session)))
      this.#drop(rival, { kind: 'collision' }, ceaseWith(subcode.cease.collision));
  }

  routes(side: Side): Step {
    const connection = this.#state[side];
    if (connection === undefined) return this.#done();
    if (connection.phase !== 'established') return this.#unexpected(side, connection);
    this.#armHold(side, connection);
    this.#act({ do: 'deliver' });
    return this.#done();
  }

  notified(side: Side, n: Notification): Step {
    const s = this.#state;
    if (s[side] === undefined) return this.#done();
    const isCollision = n.code === notificationCode.cease && n.subcode === subcode.cease.collision;
    // The peer goes on with the other connection: nothing of it is lost.
    if (isCollision && s[otherSide(side)] !== undefined) this.#fail(side, { kind: 'replaced' });
    else this.#fail(side, { kind: 'notification-received', notification: n });
    return this.#done();
  }

  malformed(side: Side, n: Notification, detail: string | undefined): Step {
    const reason: DownReason =
      detail === undefined
        ? { kind: 'notification-sent', notification: n }
        : { kind: 'notification-sent', notification: n, detail };
    if (this.#state[side] !== undefined) this.#fail(side, reason, n);
    return this.#done();
  }

  // ── parts ──────────────────────────────────────────────────────────────────────────────────────────────────────────
  #done(): Step {
    return { state: this.#state, actions: this.#actions };
  }

  #act(action: FsmAction): void {
    this.#actions.push(action);
  }

  #set(timer: TimerName, ms: number): void {
    this.#act({ do: 'set-timer', timer, ms });
  }

  #clear(timer: TimerName): void {
    this.#act({ do: 'clear-timer', timer });
  }

  #anyOpen(): boolean {
    return this.#state.outgoing !== undefined || this.#state.incoming !== undefined;
  }

  #openSent(side: Side, afterEstablished: boolean): void {
    this.#state[side] = { phase: 'open-sent', afterEstablished };
    this.#act({ do: 'send-open', side });
    this.#set(`hold-${side}`, this.#timing.openHoldMs);
  }

  #armHold(side: Side, connection: Connection): void {
    const ms = connection.session?.holdTimeMs ?? this.#timing.openHoldMs;
    if (ms > 0) this.#set(`hold-${side}`, ms);
    else this.#clear(`hold-${side}`);
  }

  /** Between 75 and 100 % of the interval (RFC 4271 section 10). */
  #armKeepalive(side: Side, connection: Connection): void {
    const ms = connection.session?.keepaliveMs ?? 0;
    if (ms > 0) this.#set(`keepalive-${side}`, ms * (0.75 + 0.25 * this.#random));
  }

  #dial(): void {
    if (this.#state.dialling) return;
    this.#state.dialling = true;
    this.#state.reason = keepTelling(this.#state.reason);
    this.#act({ do: 'dial' });
    this.#set('connect-timeout', this.#timing.connectTimeoutMs);
  }

  #abortDial(): void {
    if (!this.#state.dialling) return;
    this.#state.dialling = false;
    this.#act({ do: 'abort-dial' });
    this.#clear('connect-timeout');
  }

  #dialFailed(reason: DownReason): void {
    const s = this.#state;
    s.dialling = false;
    s.reason = reason;
    this.#clear('connect-timeout');
    if (!this.#anyOpen()) this.#retryLater();
  }

  #retryLater(): void {
    this.#waitOrDial(
      this.#backoff(this.#state.failures, this.#timing.connectRetryMs, this.#timing.connectRetryMaxMs),
    );
    this.#state.failures++;
  }

  #waitOrDial(ms: number): void {
    const s = this.#state;
    if (!s.running) return;
    if (s.options.passive) {
      if (s.reason.kind === 'not-started') s.reason = { kind: 'waiting-for-peer' };
    } else if (ms === 0) this.#dial();
    else this.#set('connect-retry', ms);
  }

  /** first, 2 × first, 4 × first … at most `max`, each between 75 and 100 %. */
  #backoff(attempt: number, first: number, max: number): number {
    return Math.min(max, first * 2 ** Math.min(attempt, 20)) * (0.75 + 0.25 * this.#random);
  }

  #unexpected(side: Side, connection: Connection): Step {
    const sub =
      connection.phase === 'open-sent'
        ? subcode.fsm.inOpenSent
        : connection.phase === 'open-confirm'
          ? subcode.fsm.inOpenConfirm
          : subcode.fsm.inEstablished;
    const n = notification(notificationCode.fsm, sub);
    this.#fail(side, { kind: 'notification-sent', notification: n }, n);
    return this.#done();
  }

  /** Ends a connection because something went wrong, and decides when to try again. */
  #fail(side: Side, reason: DownReason, send?: Notification): void {
    const s = this.#state;
    const wasEstablished = s[side]?.phase === 'established';
    this.#drop(side, reason, send);
    if (this.#anyOpen() || s.dialling) return;
    s.reason = reason;
    if (isError(reason)) {
      s.idleHold = true;
      this.#set('idle-hold', this.#backoff(s.errors, this.#timing.idleHoldMs, this.#timing.idleHoldMaxMs));
      s.errors++;
    } else {
      if (wasEstablished) s.failures = 0;
      this.#retryLater();
    }
  }

  /** Ends a connection without consequences for the other one or for retries. */
  #drop(side: Side, reason: DownReason, send: Notification | undefined): void {
    const s = this.#state;
    const connection = s[side];
    if (connection === undefined) return;
    delete s[side];
    if (send !== undefined) this.#act({ do: 'send-notification', side, notification: send });
    this.#act({ do: 'close', side });
    this.#clear(`hold-${side}`);
    this.#clear(`keepalive-${side}`);
    if (connection.phase === 'established') {
      this.#clear('stable');
      this.#act({ do: 'down', reason, graceful: isGraceful(reason, connection) });
    }
  }
}
