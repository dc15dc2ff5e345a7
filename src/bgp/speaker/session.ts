// One neighbour's session: it runs the state machine, owns its timers and connections, turns bytes into messages and
// queues what is to be sent. What the messages mean for the table is its owner's business (SessionOwner).
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Address } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import {
  describeReason,
  establishedSide,
  initialState,
  openFor,
  stateName,
  step,
  type DownReason,
  type FsmAction,
  type FsmEvent,
  type FsmOptions,
  type FsmState,
  type NegotiatedSession,
  type Side,
  type StateName,
  type TimerName,
} from '../fsm/mod.ts';
import {
  decodeNotification,
  decodeOpen,
  decodeRouteRefresh,
  encodeKeepalive,
  encodeNotification,
  encodeOpen,
  encodeRouteRefresh,
  messageType,
  messageTypeAt,
  parseUpdate,
  type DecodeContext,
  type RouteRefresh,
  type UpdateView,
} from '../packet/mod.ts';
import { Framer } from './framer.ts';
import type { Dial, DialOptions, Transport, Wire } from './transport.ts';

export interface SessionOwner {
  established(session: NegotiatedSession, localAddress: Address): void;
  /** `graceful`: the peer is expected back, its routes are kept meanwhile. */
  down(reason: DownReason, graceful: boolean): void;
  update(view: UpdateView): void;
  refresh(request: RouteRefresh): void;
  /** There is room in the socket for what is queued (`deliver`). */
  ready(): void;
  /** The queue is empty again after `send` said false. */
  writable(): void;
}

export type SessionOptions = {
  readonly name: string;
  readonly fsm: FsmOptions;
  readonly dial: DialOptions;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly owner: SessionOwner;
  /** Asked for each OPEN: the speaker has restarted and waits for its peers' tables. */
  readonly restarting: () => boolean;
  /** [0, 1): spreads waits. */
  readonly random: () => number;
};

/** Above this the table is asked to hold back: what others get as well costs no memory of its own. */
const sharedLimitBytes = 4 * 1024 * 1024;
const ownLimitBytes = 512 * 1024;
/** Bulk goes to the socket in portions, so that a keepalive never waits behind all of it. */
const portionBytes = 256 * 1024;
const keepalive = encodeKeepalive();

type Connection = { readonly wire: Wire; readonly framer: Framer; decode: DecodeContext | undefined };

export class Session {
  readonly #options: SessionOptions;
  #state: FsmState;
  #stateName: StateName = 'Idle';
  #since: number;
  readonly #connections: { outgoing?: Connection; incoming?: Connection } = {};
  #dial: Dial | undefined;
  readonly #timers = new Map<TimerName, { dueMs: number; armedMs: number; timer: Timer }>();
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #heldBack = false;
  #waiting: (() => void)[] | undefined;
  received = 0;
  sent = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#state = initialState(options.fsm);
    this.#since = options.clock.now();
  }

  get state(): StateName {
    return this.#stateName;
  }

  /** Milliseconds since the epoch. */
  get since(): number {
    return this.#since;
  }

  get reason(): DownReason {
    return this.#state.reason;
  }

  get session(): NegotiatedSession | undefined {
    const side = establishedSide(this.#state);
    return side === undefined ? undefined : this.#state[side]?.session;
  }

  start(): void {
    this.#handle({ type: 'start' });
  }

  /** Ends the session with a Cease. */
  stop(cease: number, text?: string): void {
    this.#handle(text === undefined ? { type: 'stop', cease } : { type: 'stop', cease, text });
  }

  /** Ends without a word, as a crash would: a peer with graceful restart keeps our routes. */
  abandon(): void {
    for (const { timer } of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#dial?.cancel();
    for (const side of ['outgoing', 'incoming'] as const) {
      this.#connections[side]?.wire.close();
      delete this.#connections[side];
    }
  }

  /** The peer has dialled us. */
  accept(wire: Wire): void {
    this.#handle({ type: 'accepted' }, wire);
  }

  /** Queues encoded messages, which must never change. False: please hold further ones back. */
  send(messages: readonly Uint8Array[], shared: boolean): boolean {
    if (this.#live === undefined) return true;
    for (const message of messages) {
      this.#queue.push(message);
      this.#queuedBytes += message.length;
    }
    if (this.#queuedBytes > (shared ? sharedLimitBytes : ownLimitBytes)) this.#heldBack = true;
    return !this.#heldBack;
  }

  /** What is queued while the socket takes it. */
  get readyBytes(): number {
    const live = this.#live;
    return live === undefined || live.wire.queuedBytes >= portionBytes ? 0 : this.#queuedBytes;
  }

  deliver(): void {
    const live = this.#live;
    if (live === undefined) return;
    let room = portionBytes - live.wire.queuedBytes;
    let count = 0;
    while (count < this.#queue.length && room > 0) room -= this.#queue[count++]?.length ?? 0;
    if (count > 0) {
      const batch = this.#queue.splice(0, count);
      for (const message of batch) this.#queuedBytes -= message.length;
      this.sent += batch.length;
      live.wire.write(batch);
    }
    if (!this.#heldBack || this.#queue.length > 0) return;
    this.#heldBack = false;
    this.#options.owner.writable();
  }

  requestRefresh(refresh: RouteRefresh): void {
    if (this.session?.refresh) this.#live?.wire.write([encodeRouteRefresh(refresh)]);
  }

  get #live(): Connection | undefined {
    const side = establishedSide(this.#state);
    return side === undefined ? undefined : this.#connections[side];
  }

  // ── the state machine ──────────────────────────────────────────────────────────────────────────────────────────────
  /** Events that arise while one is handled wait for their turn. */
  #handle(event: FsmEvent, wire?: Wire, deliver?: () => void): void {
    if (this.#waiting !== undefined) {
      this.#waiting.push(() => this.#step(event, wire, deliver));
      return;
    }
    this.#waiting = [];
    this.#step(event, wire, deliver);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
    this.#waiting = undefined;
  }

  #step(event: FsmEvent, wire?: Wire, deliver?: () => void): void {
    const { state, actions } = step(this.#state, event, this.#options.random());
    this.#state = state;
    for (const action of actions) this.#perform(action, wire, deliver);
    const name = stateName(state);
    if (name === this.#stateName) return;
    const { logger, clock } = this.#options;
    const fields = { peer: this.#options.name, from: this.#stateName, to: name };
    if (name === 'Established') logger.info('session is up', fields);
    else if (this.#stateName === 'Established')
      logger.info('session is down', { ...fields, reason: describeReason(state.reason) });
    else logger.debug('session state', { ...fields, reason: describeReason(state.reason) });
    this.#stateName = name;
    this.#since = clock.now();
  }

  #perform(action: FsmAction, wire: Wire | undefined, deliver: (() => void) | undefined): void {
    switch (action.do) {
      case 'dial':
        return this.#dialNow();
      case 'abort-dial':
        this.#dial?.cancel();
        this.#dial = undefined;
        return;
      case 'close':
        this.#connections[action.side]?.wire.close();
        delete this.#connections[action.side];
        return;
      case 'refuse':
        return wire?.close();
      case 'send-open':
        if (wire !== undefined) this.#adopt(action.side, wire);
        return this.#write(action.side, encodeOpen(openFor(this.#state.options, this.#options.restarting())));
      case 'send-keepalive':
        return this.#write(action.side, keepalive);
      case 'send-notification':
        return this.#write(action.side, encodeNotification(action.notification));
      case 'set-timer':
        return this.#setTimer(action.timer, action.ms);
      case 'clear-timer':
        this.#timers.get(action.timer)?.timer.cancel();
        this.#timers.delete(action.timer);
        return;
      case 'established':
        return this.#established(action.side, action.session);
      case 'down':
        this.#queue = [];
        this.#queuedBytes = 0;
        this.#heldBack = false;
        return this.#options.owner.down(action.reason, action.graceful);
      default:
        deliver?.();
    }
  }

  #write(side: Side, message: Uint8Array): void {
    this.sent++;
    this.#connections[side]?.wire.write([message]);
  }

  #established(side: Side, session: NegotiatedSession): void {
    const connection = this.#connections[side];
    if (connection === undefined) return;
    connection.framer.limit = session.messageLimit;
    connection.decode = {
      as4: session.as4,
      ebgp: session.ebgp,
      ipv4: session.families.includes(4),
      ipv6: session.families.includes(6),
      addPath4: session.addPath[4].receive,
      addPath6: session.addPath[6].receive,
    };
    this.#options.owner.established(session, connection.wire.localAddress);
  }

  #dialNow(): void {
    this.#dial = this.#options.transport.dial(
      this.#options.dial,
      (wire) => {
        this.#dial = undefined;
        this.#adopt('outgoing', wire);
        this.#handle({ type: 'connected' });
      },
      (reason) => {
        this.#dial = undefined;
        this.#handle({ type: 'connect-failed', reason });
      },
    );
  }

  #adopt(side: Side, wire: Wire): void {
    const connection: Connection = { wire, framer: new Framer(), decode: undefined };
    this.#connections[side] = connection;
    const isCurrent = (): boolean => this.#connections[side] === connection;
    wire.open({
      data: (bytes) => {
        connection.framer.push(bytes, {
          message: (b, start, end) => {
            this.received++;
            this.#message(side, connection, b, start, end);
            return isCurrent();
          },
          broken: (notification) => this.#handle({ type: 'malformed', side, notification }),
        });
      },
      closed: (detail) => {
        if (isCurrent())
          this.#handle(detail === undefined ? { type: 'closed', side } : { type: 'closed', side, detail });
      },
      drained: () => {
        if (isCurrent()) this.#options.owner.ready();
      },
    });
  }

  #message(side: Side, connection: Connection, bytes: Uint8Array, start: number, end: number): void {
    const { owner } = this.#options;
    switch (messageTypeAt(bytes, start)) {
      case messageType.open: {
        const open = decodeOpen(bytes, start, end);
        if (open.ok) this.#handle({ type: 'open', side, open: open.value });
        else this.#handle({ type: 'malformed', side, notification: open.error });
        return;
      }
      case messageType.update: {
        // Before Established the state machine refuses the message without a look at it.
        if (connection.decode === undefined) return this.#handle({ type: 'update', side });
        const view = parseUpdate(bytes, start, end, connection.decode);
        if (view.verdict === 'reset' && view.notification !== undefined) {
          const { notification } = view;
          const detail = view.problems?.find((p) => p.class === 'reset')?.reason;
          return this.#handle(
            detail === undefined
              ? { type: 'malformed', side, notification }
              : { type: 'malformed', side, notification, detail },
          );
        }
        return this.#handle({ type: 'update', side }, undefined, () => owner.update(view));
      }
      case messageType.notification:
        return this.#handle({
          type: 'notification',
          side,
          notification: decodeNotification(bytes, start, end),
        });
      case messageType.routeRefresh: {
        const request = decodeRouteRefresh(bytes, start);
        return this.#handle({ type: 'route-refresh', side }, undefined, () => owner.refresh(request));
      }
      default:
        return this.#handle({ type: 'keepalive', side });
    }
  }

  /** A timer that is only ever pushed back (hold) is armed anew when it fires, not for every message. */
  #setTimer(name: TimerName, ms: number): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonic() + ms;
    const existing = this.#timers.get(name);
    if (existing !== undefined && existing.armedMs <= dueMs) {
      existing.dueMs = dueMs;
      return;
    }
    existing?.timer.cancel();
    this.#timers.set(name, { dueMs, armedMs: dueMs, timer: clock.after(ms, () => this.#fired(name)) });
  }

  #fired(name: TimerName): void {
    const entry = this.#timers.get(name);
    if (entry === undefined) return;
    const { clock } = this.#options;
    const leftMs = entry.dueMs - clock.monotonic();
    if (leftMs > 1) {
      entry.armedMs = entry.dueMs;
      entry.timer = clock.after(leftMs, () => this.#fired(name));
      return;
    }
    this.#timers.delete(name);
    this.#handle({ type: 'timer', timer: name });
  }
}
