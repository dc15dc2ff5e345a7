// The fan-out: one list-watch of the datastore, many clients. Changes go to each as fast as it takes them.
import type { AddressInfo, Server, Socket } from 'node:net';
import { systemClock, type Clock, type Timer } from '../lib/clock.ts';
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import { startSyncer, type Syncer, type SyncUpdate, type WatchSource } from '../datastore/mod.ts';
import type { KindName } from '../model/mod.ts';
import { KindCache } from './cache.ts';
import { Connection } from './connection.ts';
import { lineOf } from './lines.ts';
import { listenFor } from './tls.ts';
import {
  defaultTimers,
  type ClientType,
  type ServerMessage,
  type ServerOptions,
  type ServerTimers,
  type TyphaError,
} from './types.ts';

export type ServerStatus = {
  readonly datastore: 'waiting' | 'syncing' | 'in-sync';
  readonly objects: number;
  readonly updates: { readonly total: number; readonly superseded: number };
  readonly lines: { readonly sent: number; readonly inSnapshots: number; readonly writes: number };
  readonly connections: {
    readonly accepted: number;
    readonly refused: number;
    readonly ended: number;
    readonly usedGrace: number;
    readonly active: readonly {
      readonly host: string;
      readonly type: ClientType | undefined;
      /** It has had all there was, and gets changes. */
      readonly isStreaming: boolean;
    }[];
  };
  readonly lastPongMs: number | undefined;
};

export interface TyphaServer {
  readonly port: number;
  status(): ServerStatus;
  /** Resolves when it can serve no longer, with the reason; ok after `stop`. */
  readonly done: Promise<Result<void, Failure>>;
  /** Takes no more clients and sends those that are there away one by one over `drainMs`, so that the others of a cluster are
   *  not asked for everything at once. */
  stop(drainMs?: number): Promise<void>;
}

export async function startTyphaServer(
  datastore: WatchSource,
  options: ServerOptions,
): Promise<Result<TyphaServer, TyphaError>> {
  const running = new RunningServer(datastore, options);
  const listening = await running.listen();
  return listening.ok ? ok(running) : listening;
}

class RunningServer implements TyphaServer {
  readonly #datastore: WatchSource;
  readonly #options: ServerOptions;
  readonly #clock: Clock;
  readonly #timers: ServerTimers;
  readonly #caches: ReadonlyMap<KindName, KindCache>;
  readonly #connections = new Set<Connection>();
  readonly #server: Server;
  readonly done: Promise<Result<void, Failure>>;
  #finish: (result: Result<void, Failure>) => void = () => undefined;
  #syncer: Syncer | undefined;
  #datastoreStatus: ServerStatus['datastore'] = 'waiting';
  #wasInSync = false;
  #sweep: Timer | undefined;
  #counts = {
    accepted: 0,
    refused: 0,
    ended: 0,
    usedGrace: 0,
    updates: 0,
    sent: 0,
    inSnapshots: 0,
    writes: 0,
  };
  #lastPongMs: number | undefined;

  constructor(datastore: WatchSource, options: ServerOptions) {
    this.#datastore = datastore;
    this.#options = options;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#clock = options.clock ?? systemClock;
    this.#timers = { ...defaultTimers, ...options.timers };
    this.#caches = new Map(options.kinds.map((kind) => [kind, new KindCache(kind)]));
    this.#server = listenFor(
      options.tls,
      (socket) => this.#accept(socket),
      (why) => {
        this.#counts.refused++;
        options.logger.warn('Refused a connection', { why });
      },
    );
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  listen(): Promise<Result<void, TyphaError>> {
    const { host, kinds, logger, port } = this.#options;
    return new Promise((resolve) => {
      this.#server.once('error', (error) =>
        resolve(err(failure('CannotListen', `Cannot listen on ${host ?? '*'}:${port}: ${error.message}.`))),
      );
      this.#server.listen({ port, backlog: 4096, ...(host === undefined ? {} : { host }) }, () => {
        this.#syncer = startSyncer(this.#datastore, {
          kinds: kinds.map((kind) => ({ kind, mayBeMissing: true })),
          logger,
          onUpdates: (updates) => this.#take(updates),
        });
        void this.#syncer.done.then((ended) => this.#finish(ended));
        this.#forgetLater();
        resolve(ok(undefined));
      });
    });
  }

  status(): ServerStatus {
    const { accepted, refused, ended, usedGrace, updates, sent, inSnapshots, writes } = this.#counts;
    const caches = [...this.#caches.values()];
    return {
      datastore: this.#datastoreStatus,
      objects: caches.reduce((sum, cache) => sum + cache.size, 0),
      updates: { total: updates, superseded: caches.reduce((sum, cache) => sum + cache.superseded, 0) },
      lines: { sent, inSnapshots, writes },
      connections: {
        accepted,
        refused,
        ended,
        usedGrace,
        active: [...this.#connections].map(({ host, type, isStreaming }) => ({ host, type, isStreaming })),
      },
      lastPongMs: this.#lastPongMs,
    };
  }

  async stop(drainMs = this.#timers.drainMs): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    const everyMs = drainMs / Math.max(1, this.#connections.size);
    while (this.#connections.size > 0) {
      const [next] = this.#connections;
      next?.end('The server ends.');
      if (this.#connections.size > 0 && everyMs >= 1)
        await new Promise<void>((resolve) => {
          this.#clock.after(everyMs, resolve);
        });
    }
    this.#sweep?.cancel();
    await this.#syncer?.stop();
    await closed;
  }

  #accept(socket: Socket): void {
    const { logger, maxConnections, name } = this.#options;
    if (this.#connections.size >= maxConnections) {
      this.#counts.refused++;
      socket.on('error', () => undefined);
      socket.end(
        lineOf({ bye: `The server has ${maxConnections} clients, its limit.` } satisfies ServerMessage),
      );
      return;
    }
    this.#counts.accepted++;
    this.#connections.add(
      new Connection({
        socket,
        name,
        clock: this.#clock,
        timers: this.#timers,
        caches: this.#caches,
        isInSync: () => this.#wasInSync,
        onEnd: (connection, why) => {
          this.#connections.delete(connection);
          this.#counts.ended++;
          if (connection.usedGrace) this.#counts.usedGrace++;
          logger.info('A client is gone', { host: connection.host, why });
        },
        onSent: (lines, isSnapshot) => {
          this.#counts.writes += lines > 0 ? 1 : 0;
          this.#counts.sent += lines;
          if (isSnapshot) this.#counts.inSnapshots += lines;
        },
        onPong: (roundTripMs) => {
          this.#lastPongMs = roundTripMs;
        },
      }),
    );
  }

  #take(updates: readonly SyncUpdate[]): void {
    for (const update of updates) {
      if (update.type === 'status') {
        this.#datastoreStatus = update.status;
        this.#wasInSync ||= update.status === 'in-sync';
        continue;
      }
      this.#counts.updates++;
      const cache = this.#caches.get(update.kind);
      if (update.type === 'set') cache?.set(update.object);
      else cache?.remove(update.name);
    }
    for (const connection of this.#connections) connection.send();
  }

  /** Deletions are kept for those that have not heard of them. */
  #forgetLater(): void {
    this.#sweep = this.#clock.after(this.#timers.pingMs, () => {
      for (const [kind, cache] of this.#caches) {
        let lowest = cache.newest;
        for (const connection of this.#connections)
          lowest = Math.min(lowest, connection.toldOf(kind) ?? lowest);
        cache.forget(lowest);
      }
      this.#forgetLater();
    });
  }
}
