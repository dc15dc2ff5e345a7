// When peers are told what changed in the table, and how that gets to their sockets. Single changes go out at once; a flood
// is gathered, so that each of a thousand peers gets a few large writes instead of many small ones. The table's work and the
// writing both come in turns: a keepalive never waits behind all of it.
import type { Clock, Timer } from '../../lib/clock.ts';
import type { FlushReport, PeerId, UpdateSink } from '../rib/mod.ts';

/** A session with a queue. */
export interface Sender {
  /** Queues messages; false: please hold further ones back. `shared`: others are given the very same bytes. */
  send(messages: readonly Uint8Array[], shared: boolean): boolean;
  /** What is queued and could be written: 0 while the socket is full, which ends with a call of `writable`. */
  readonly readyBytes: number;
  /** Hands a portion of the queue to the socket. */
  deliver(): void;
}

export type AnnouncerHost = {
  readonly clock: Clock;
  readonly senderOf: (peer: PeerId) => Sender | undefined;
  /** Selects and encodes for about so long. */
  readonly flush: (budgetMs: number, sink: UpdateSink) => FlushReport;
  /** Hands best paths on to the kernel for a while; false when some are left. */
  readonly writeBest: () => boolean;
  /** Everything that changed is queued at the sessions and with the kernel. */
  readonly done: () => void;
  /** Nothing is selected or told now; `changed` will be called again. */
  readonly isHeld: () => boolean;
};

/** Changes that arrive together are announced together. */
const gatherMs = 2;
/** More prefixes than this at once are a flood: then it rests so many times as long as the work took. */
const floodPrefixes = 64;
const restFactor = 3;
const longestRestMs = 250;
const flushBudgetMs = 8;
/** Of a turn, unless the table alone takes longer. */
const turnMs = 16;
/** Others get their turn. */
const betweenMs = 1;
/** So much for one peer is worth a write of its own while the table is still at work. */
const worthBytes = 128 * 1024;

export class Announcer {
  readonly #host: AnnouncerHost;
  /** Have something to write. */
  readonly #ready = new Set<Sender>();
  /** Somebody has enough for a write of its own. */
  #pressing = false;
  #timer: Timer | undefined;
  #timerDueMs = 0;
  /** When the table may be flushed; undefined: there is nothing to tell. */
  #flushDueMs: number | undefined;
  /** A flush has begun and there is more. */
  #flushing = false;
  #restedSinceMs = 0;
  #restMs = 0;
  /** Since everything was told for the last time. */
  #workMs = 0;
  #workPrefixes = 0;
  #stopped = false;

  constructor(host: AnnouncerHost) {
    this.#host = host;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#ready.clear();
  }

  /** The table has something to tell. */
  changed(): void {
    if (this.#flushDueMs !== undefined || this.#stopped || this.#host.isHeld()) return;
    const now = this.#host.clock.monotonic();
    this.#flushDueMs = Math.max(now + gatherMs, this.#restedSinceMs + this.#restMs);
    this.#wake(this.#flushDueMs, now);
  }

  /** A socket has room again. */
  writable(sender: Sender): void {
    if (this.#stopped) return;
    this.#ready.add(sender);
    const now = this.#host.clock.monotonic();
    this.#wake(now, now);
  }

  #wake(dueMs: number, nowMs: number): void {
    if (this.#timer !== undefined && this.#timerDueMs <= dueMs) return;
    this.#timer?.cancel();
    this.#timerDueMs = dueMs;
    this.#timer = this.#host.clock.after(Math.max(0, dueMs - nowMs), () => {
      this.#timer = undefined;
      this.#turn();
    });
  }

  #turn(): void {
    const { clock, isHeld } = this.#host;
    if (isHeld()) this.#flushDueMs = undefined;
    const started = clock.monotonic();
    if (!this.#flushing || this.#pressing) this.#deliver(started);
    const isDue = this.#flushDueMs !== undefined && started >= this.#flushDueMs;
    if (isDue && !this.#pressing && (this.#flushing || this.#ready.size === 0)) {
      this.#flush();
      if (!this.#flushing) this.#deliver(started);
    }
    if (this.#stopped) return;
    const now = clock.monotonic();
    this.#workMs += now - started;
    if (this.#ready.size > 0 || this.#flushing) return this.#wake(now + betweenMs, now);
    this.#rest(now);
    if (this.#flushDueMs !== undefined) this.#wake(this.#flushDueMs, now);
  }

  #flush(): void {
    const report = this.#host.flush(flushBudgetMs, (peer, messages, shared) =>
      this.#take(peer, messages, shared),
    );
    const isTaken = this.#host.writeBest();
    this.#workPrefixes += report.prefixes;
    this.#flushing = !report.done || !isTaken;
    if (this.#flushing) return;
    this.#flushDueMs = undefined;
    this.#host.done();
  }

  #take(peer: PeerId, messages: readonly Uint8Array[], shared: boolean): boolean {
    const sender = this.#host.senderOf(peer);
    if (sender === undefined) return true;
    const takesMore = sender.send(messages, shared);
    const { readyBytes } = sender;
    if (readyBytes > 0) this.#ready.add(sender);
    if (readyBytes >= worthBytes) this.#pressing = true;
    return takesMore;
  }

  /** A portion per peer and round, until the time is over. */
  #deliver(startedMs: number): void {
    const { clock } = this.#host;
    for (const sender of this.#ready) {
      this.#ready.delete(sender);
      sender.deliver();
      if (sender.readyBytes > 0) this.#ready.add(sender);
      if (clock.monotonic() - startedMs >= turnMs) break;
    }
    if (this.#ready.size === 0) this.#pressing = false;
  }

  /** After a flood it waits, so that what comes meanwhile is told to all peers at once. */
  #rest(nowMs: number): void {
    const work = this.#workMs;
    this.#workMs = 0;
    if (this.#workPrefixes === 0) return;
    this.#restMs = this.#workPrefixes > floodPrefixes ? Math.min(longestRestMs, work * restFactor) : 0;
    this.#restedSinceMs = nowMs;
    this.#workPrefixes = 0;
    if (this.#flushDueMs !== undefined)
      this.#flushDueMs = Math.max(this.#flushDueMs, this.#restedSinceMs + this.#restMs);
  }
}
