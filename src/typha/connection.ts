// One client of the server: what it follows and how far it has been told. Nothing is kept for it but its places in the lists,
// and what the socket holds: the next lines are taken when the socket has room again.
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../lib/clock.ts';
import type { KindName } from '../model/mod.ts';
import type { Entry, KindCache } from './cache.ts';
import { lineOf, readMessages } from './lines.ts';
import {
  protocolVersion,
  type ClientMessage,
  type ClientType,
  type ServerMessage,
  type ServerTimers,
} from './types.ts';

type Followed = {
  readonly cache: KindCache;
  readonly round: number;
  place: Entry;
  /** The newest of when it began: up to there it is a snapshot, which tells no deletions. Undefined once `listed` was said. */
  snapshotEnd: number | undefined;
};

export type ConnectionOptions = {
  readonly socket: Socket;
  readonly clock: Clock;
  readonly timers: ServerTimers;
  readonly name: string;
  readonly caches: ReadonlyMap<KindName, KindCache>;
  /** Whether everything has been read once: before, nobody is told anything. */
  readonly isInSync: () => boolean;
  readonly onEnd: (connection: Connection, why: string) => void;
  readonly onSent: (lines: number, isSnapshot: boolean) => void;
  readonly onPong: (roundTripMs: number) => void;
};

/** Lines in one write at the most (NM-017). */
const linesPerWrite = 100;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #followed = new Map<KindName, Followed>();
  readonly #began: number;
  #host = '';
  #type: ClientType | undefined;
  #isFull = false;
  #ended = false;
  #hadAll = false;
  /** It needed the time that new clients have more. */
  usedGrace = false;
  /** When something first waited that the client has not taken; undefined while it has all. */
  #behindSince: number | undefined;
  #pings = 0;
  readonly #pingsSent = new Map<number, number>();
  #timer: Timer | undefined;

  constructor(options: ConnectionOptions) {
    const { clock, socket, timers } = options;
    this.#options = options;
    this.#began = clock.monotonic();
    socket.setNoDelay(true);
    readMessages(
      socket,
      (message) => this.#take(message as ClientMessage),
      (why) => this.end(`It sent ${why}.`),
    );
    socket.on('drain', () => {
      this.#isFull = false;
      this.send();
    });
    socket.on('error', (error) => this.end(error.message));
    socket.on('close', () => this.end('It closed the connection.'));
    this.#timer = clock.after(timers.handshakeMs, () => {
      if (this.#type === undefined) this.end(`It did not say who it is within ${timers.handshakeMs} ms.`);
    });
  }

  get host(): string {
    return this.#host;
  }

  get type(): ClientType | undefined {
    return this.#type;
  }

  get isStreaming(): boolean {
    return this.#hadAll;
  }

  /** How far it has been told of a kind; undefined when it does not follow it. */
  toldOf(kind: KindName): number | undefined {
    return this.#followed.get(kind)?.place.order;
  }

  /** Writes what it has not been told, as far as the socket has room. */
  send(): void {
    if (this.#ended || this.#isFull || !this.#options.isInSync()) return;
    const { socket } = this.#options;
    for (let more = true; more && !this.#isFull && !this.#ended; ) {
      more = false;
      for (const [kind, followed] of this.#followed) {
        const lines = this.#linesOf(kind, followed);
        if (lines.length === 0) continue;
        more = true;
        this.#isFull = !socket.write(lines.length === 1 ? (lines[0] ?? '') : Buffer.concat(lines));
        if (this.#isFull) break;
      }
    }
    this.#watchDelay();
  }

  end(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    const { onEnd, socket } = this.#options;
    if (socket.writable) socket.end(lineOf({ bye: why } satisfies ServerMessage));
    // A peer that does not read must not keep the socket.
    this.#options.clock.after(1_000, () => socket.destroy());
    onEnd(this, why);
  }

  #take(message: ClientMessage): void {
    if (this.#ended) return;
    if ('hello' in message) return this.#greet(message.hello);
    if (this.#type === undefined) return this.end('It has to say who it is first.');
    if ('follow' in message) return this.#follow(message.follow, message.round);
    if ('leave' in message) return void this.#followed.delete(message.leave);
    if ('pong' in message) return this.#ponged(message.pong);
    this.end(`It sent a message of an unknown kind: ${Object.keys(message).join()}.`);
  }

  #greet(hello: Extract<ClientMessage, { hello: unknown }>['hello']): void {
    if (this.#type !== undefined) return this.end('It said who it is twice.');
    const { caches, name, socket } = this.#options;
    // Whoever dials in may say anything.
    const { protocol, host, type } = Object(hello) as Partial<typeof hello>;
    if (protocol !== protocolVersion)
      return this.end(`It speaks version ${protocol} of the protocol, this server ${protocolVersion}.`);
    if (typeof host !== 'string' || (type !== 'felix' && type !== 'bgp'))
      return this.end('It has to say its host, and its type: felix or bgp.');
    this.#host = host;
    this.#type = type;
    const answer = { protocol: protocolVersion, host: name, kinds: [...caches.keys()] };
    socket.write(lineOf({ hello: answer } satisfies ServerMessage));
    this.#timer?.cancel();
    this.#ping();
  }

  #follow(kind: KindName, round: number): void {
    const cache = this.#options.caches.get(kind);
    if (cache === undefined) return this.end(`It asked for the kind "${kind}", which is not served here.`);
    // It takes its place once everything is known.
    this.#followed.set(kind, { cache, round, place: cache.start, snapshotEnd: -1 });
    this.send();
  }

  /** At most as many as go in one write; `begin` and `listed` around the first of everything. */
  #linesOf(kind: KindName, followed: Followed): Buffer[] {
    const { cache, round } = followed;
    const lines: Buffer[] = [];
    if (followed.snapshotEnd === -1) {
      followed.snapshotEnd = cache.newest;
      lines.push(lineOf({ begin: kind, round } satisfies ServerMessage));
    }
    const isSnapshot = followed.snapshotEnd !== undefined;
    for (let next = cache.after(followed.place); lines.length < linesPerWrite; next = cache.after(next)) {
      const { snapshotEnd } = followed;
      if (snapshotEnd !== undefined && (next === undefined || next.order > snapshotEnd)) {
        followed.snapshotEnd = undefined;
        lines.push(lineOf({ listed: kind, round } satisfies ServerMessage));
      }
      if (next === undefined) break;
      if (!(next.isDeletion && followed.snapshotEnd !== undefined)) lines.push(next.line);
      followed.place = next;
    }
    this.#options.onSent(lines.length, isSnapshot);
    return lines;
  }

  /** Whether a change waits that the client has not taken, and since when. */
  #watchDelay(): void {
    const { clock } = this.#options;
    const waits =
      this.#isFull ||
      [...this.#followed.values()].some(
        (f) => f.snapshotEnd !== undefined || f.cache.after(f.place) !== undefined,
      );
    if (!waits && this.#followed.size > 0) this.#hadAll = true;
    if (!waits) this.#behindSince = undefined;
    else this.#behindSince ??= clock.monotonic();
  }

  /** One that takes nothing for too long, or does not answer, is sent away: it will begin anew (OT-012). */
  #ping(): void {
    const { clock, socket, timers } = this.#options;
    const now = clock.monotonic();
    const [oldest] = this.#pingsSent.values();
    if (oldest !== undefined && now - oldest > timers.pongMs)
      return this.end(`It did not answer for ${timers.pongMs} ms.`);
    const isNew = !this.#hadAll && now - this.#began < timers.graceMs + timers.fallBehindMs;
    const behindMs = now - (this.#behindSince ?? now);
    if (behindMs > timers.fallBehindMs) {
      if (!isNew) return this.end(`It was ${Math.round(behindMs / 1000)} s behind.`);
      this.usedGrace = true;
    }
    if (!this.#isFull) {
      const ping = ++this.#pings;
      this.#pingsSent.set(ping, now);
      socket.write(lineOf({ ping } satisfies ServerMessage));
    }
    this.#timer = clock.after(timers.pingMs, () => this.#ping());
  }

  #ponged(ping: number): void {
    const sent = this.#pingsSent.get(ping);
    if (sent === undefined) return;
    for (const one of this.#pingsSent.keys()) if (one <= ping) this.#pingsSent.delete(one);
    this.#options.onPong(this.#options.clock.monotonic() - sent);
  }
}
