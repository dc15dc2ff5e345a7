// The other end: one connection on which every kind of a process is followed, in the shape of a datastore's list and watch, so
// that the Syncer above neither knows nor cares. When the connection ends, another server is asked, and the Syncer's new list
// tells only what is different.
import type { Socket } from 'node:net';
import { err, ok, type Result } from '../lib/result.ts';
import {
  storeError,
  type ListOptions,
  type ListResult,
  type Revision,
  type StoreError,
  type WatchEvent,
  type WatchSource,
} from '../datastore/mod.ts';
import type { KindName, ResourceOf } from '../model/mod.ts';
import { lineOf, readMessages } from './lines.ts';
import { dial } from './tls.ts';
import {
  protocolVersion,
  type ClientMessage,
  type ClientOptions,
  type ServerMessage,
  type StoredObject,
} from './types.ts';

type Selection = Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;
type Change = { readonly type: 'modified' | 'deleted'; readonly object: StoredObject };
/** One kind on one connection, from a list to the next. */
type Following = {
  readonly kind: KindName;
  readonly round: number;
  readonly revision: Revision;
  readonly listed: (result: Result<readonly StoredObject[], StoreError>) => void;
  /** What comes before `begin` belongs to an earlier round. */
  phase: 'asked' | 'listing' | 'changes';
  objects: StoredObject[];
  changes: Change[];
  /** Why no more changes come. */
  ended: StoreError | undefined;
  wake: () => void;
};

export type TyphaClientStatus = {
  readonly server: string | undefined;
  /** Why the last try or connection ended. */
  readonly reason: string | undefined;
};

export interface TyphaClient extends WatchSource {
  readonly status: TyphaClientStatus;
  close(): void;
}

/** Kinds that the server does not have, and parts of a kind (a namespace, a label), come from `direct`. */
export function connectTypha(options: ClientOptions, direct: WatchSource): TyphaClient {
  return new Client(options, direct);
}

class Client implements TyphaClient {
  readonly #options: ClientOptions;
  readonly #direct: WatchSource;
  #connection: Promise<Result<Connection, StoreError>> | undefined;
  #current: Connection | undefined;
  #server: string | undefined;
  #reason: string | undefined;
  #rounds = 0;
  #isClosed = false;

  constructor(options: ClientOptions, direct: WatchSource) {
    this.#options = options;
    this.#direct = direct;
  }

  get status(): TyphaClientStatus {
    return { server: this.#server, reason: this.#reason };
  }

  close(): void {
    this.#isClosed = true;
    this.#current?.end('This process ends.');
  }

  async list<K extends KindName>(
    kind: K,
    options: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<Result<ListResult<ResourceOf<K>>, StoreError>> {
    if (isPart(options)) return this.#direct.list(kind, options, signal);
    const connected = await this.#connected();
    if (!connected.ok) return connected;
    if (!connected.value.kinds.has(kind)) return this.#direct.list(kind, options, signal);
    const round = ++this.#rounds;
    const revision = `${fanOut}${round}`;
    const listed = await connected.value.follow(kind, round, revision, signal);
    if (!listed.ok) return listed;
    return ok({ items: listed.value as unknown as readonly ResourceOf<K>[], revision });
  }

  watch<K extends KindName>(
    kind: K,
    from: Revision,
    selection: Selection,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ResourceOf<K>>> {
    if (!from.startsWith(fanOut)) return this.#direct.watch(kind, from, selection, signal);
    return (this.#current?.changes(kind, from, signal) ?? tooOld()) as AsyncIterable<
      WatchEvent<ResourceOf<K>>
    >;
  }

  #connected(): Promise<Result<Connection, StoreError>> {
    this.#connection ??= this.#connect();
    return this.#connection;
  }

  /** The servers in an order of chance, so that clients spread over them. */
  async #connect(): Promise<Result<Connection, StoreError>> {
    const { logger, readTimeoutMs, servers, tls } = this.#options;
    const failed = (why: string): Result<never, StoreError> => {
      this.#reason = why;
      this.#connection = undefined;
      return err(storeError('Unavailable', `No fan-out server can be reached: ${why}.`));
    };
    if (this.#isClosed) return failed('this process ends');
    const known = await servers().catch((error: unknown) => String(error));
    if (typeof known === 'string') return failed(known);
    const reasons: string[] = known.length === 0 ? ['none is known'] : [];
    for (const address of shuffled(known)) {
      try {
        const socket = await dial(address, tls, readTimeoutMs);
        const connection = new Connection(socket, this.#options, (why) => this.#ended(connection, why));
        const greeted = await connection.greeted;
        if (greeted === undefined) {
          this.#current = connection;
          this.#server = address;
          this.#reason = undefined;
          logger.info('Connected to a fan-out server', { address });
          return ok(connection);
        }
        reasons.push(`${address}: ${greeted}`);
      } catch (error) {
        reasons.push(`${address}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return failed(reasons.join('; '));
  }

  #ended(connection: Connection, why: string): void {
    if (this.#current !== connection) return;
    this.#options.logger.warn('The connection to the fan-out server ended', { address: this.#server, why });
    this.#current = undefined;
    this.#connection = undefined;
    this.#server = undefined;
    this.#reason = why;
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #options: ClientOptions;
  readonly #onEnd: (why: string) => void;
  readonly #followed = new Map<KindName, Following>();
  /** What it serves. */
  kinds: ReadonlySet<KindName> = new Set();
  /** Resolves to nothing when the server has greeted back, else to why it did not. */
  readonly greeted: Promise<string | undefined>;
  #greet: (problem: string | undefined) => void = () => undefined;
  #ended = false;
  #goodbye: string | undefined;
  #writeTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: ClientOptions, onEnd: (why: string) => void) {
    this.#socket = socket;
    this.#options = options;
    this.#onEnd = onEnd;
    this.greeted = new Promise((resolve) => {
      this.#greet = resolve;
    });
    const { host, readTimeoutMs, type } = options;
    socket.setNoDelay(true);
    socket.setTimeout(readTimeoutMs, () => this.end(`nothing came for ${readTimeoutMs} ms`));
    readMessages(
      socket,
      (message) => this.#take(message as ServerMessage),
      (why) => this.end(`it sent ${why}`),
    );
    socket.on('error', (error) => this.end(error.message));
    socket.on('close', () => this.end(this.#goodbye ?? 'it closed the connection'));
    this.#send({ hello: { protocol: protocolVersion, host, type } });
  }

  end(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#writeTimer);
    this.#socket.destroy();
    this.#greet(why);
    const error = storeError('Unavailable', `The connection to the fan-out server ended: ${why}.`);
    for (const following of this.#followed.values()) this.#finish(following, error);
    this.#followed.clear();
    this.#onEnd(why);
  }

  follow(
    kind: KindName,
    round: number,
    revision: Revision,
    signal: AbortSignal | undefined,
  ): Promise<Result<readonly StoredObject[], StoreError>> {
    return new Promise((resolve) => {
      if (this.#ended)
        return resolve(err(storeError('Unavailable', 'The connection to the fan-out server ended.')));
      const before = this.#followed.get(kind);
      if (before !== undefined) this.#finish(before, storeError('TooOld', 'The kind is listed again.'));
      const following: Following = {
        kind,
        round,
        revision,
        listed: resolve,
        phase: 'asked',
        objects: [],
        changes: [],
        ended: undefined,
        wake: () => undefined,
      };
      this.#followed.set(kind, following);
      signal?.addEventListener('abort', () => this.#leave(following), { once: true });
      this.#send({ follow: kind, round });
    });
  }

  /** Changes since the list that gave the revision; the whole of a list is gone with its connection. */
  async *changes(
    kind: KindName,
    from: Revision,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<StoredObject>> {
    const following = this.#followed.get(kind);
    if (following?.revision !== from) {
      yield* tooOld();
      return;
    }
    signal.addEventListener('abort', () => this.#leave(following), { once: true });
    while (!signal.aborted) {
      const { changes } = following;
      following.changes = [];
      for (const change of changes) yield { ...change, revision: from };
      if (following.changes.length > 0) continue;
      if (following.ended !== undefined) {
        yield { type: 'error', error: following.ended };
        return;
      }
      await new Promise<void>((resolve) => {
        following.wake = resolve;
      });
    }
  }

  #take(message: ServerMessage): void {
    if ('set' in message) this.#changed(message.set, { type: 'modified', object: message.object });
    else if ('gone' in message) this.#changed(message.gone, { type: 'deleted', object: message.object });
    else if ('ping' in message) this.#send({ pong: message.ping });
    else if ('begin' in message) {
      const following = this.#followed.get(message.begin);
      if (following?.round === message.round) following.phase = 'listing';
    } else if ('listed' in message) {
      const following = this.#followed.get(message.listed);
      if (following?.round !== message.round) return;
      following.phase = 'changes';
      following.listed(ok(following.objects));
      following.objects = [];
    } else if ('hello' in message) {
      const { protocol, kinds } = message.hello;
      if (protocol !== protocolVersion) return this.end(`it speaks version ${protocol} of the protocol`);
      this.kinds = new Set(kinds);
      this.#greet(undefined);
    } else if ('bye' in message) this.#goodbye = `it said: ${message.bye}`;
    else this.end(`it sent a message of an unknown kind: ${Object.keys(message).join()}`);
  }

  #changed(kind: KindName, change: Change): void {
    const following = this.#followed.get(kind);
    if (following?.phase === 'listing') following.objects.push(change.object);
    if (following?.phase !== 'changes') return;
    following.changes.push(change);
    following.wake();
  }

  #leave(following: Following): void {
    if (this.#followed.get(following.kind) === following) {
      this.#followed.delete(following.kind);
      this.#send({ leave: following.kind });
    }
    this.#finish(following, storeError('Unavailable', 'Nobody follows any more.'));
  }

  #finish(following: Following, error: StoreError): void {
    following.ended ??= error;
    following.listed(err(error));
    following.wake();
  }

  #send(message: ClientMessage): void {
    if (this.#ended) return;
    const { writeTimeoutMs } = this.#options;
    const isTaken = this.#socket.write(lineOf(message));
    if (isTaken || this.#writeTimer !== undefined) return;
    this.#writeTimer = setTimeout(() => this.end(`it took nothing for ${writeTimeoutMs} ms`), writeTimeoutMs);
    this.#socket.once('drain', () => {
      clearTimeout(this.#writeTimer);
      this.#writeTimer = undefined;
    });
  }
}

/** Revisions that are places on a connection; those of a datastore are numbers. */
const fanOut = 'fan-out ';

const isPart = ({ namespace, labelSelector, fieldSelector }: Selection): boolean =>
  namespace !== undefined || labelSelector !== undefined || fieldSelector !== undefined;

async function* tooOld(): AsyncGenerator<WatchEvent<StoredObject>> {
  yield { type: 'error', error: storeError('TooOld', 'The connection on which the list came is gone.') };
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
