// A list-watch over several kinds that never loses or reorders an object, whatever happens to the connection.
//
//   store ──list──► diff against what was delivered ─┐
//         ──watch─► each change ─────────────────────┴─► pending, one entry per object ──batch──► consumer
//
// Invariants: the consumer's state after a batch is a state each object really had, never older than in an earlier
// batch; a list reports differences only; an object that was deleted and made again under its name is seen to go first.
// A slow consumer costs memory for one entry per object, not for every change: newer changes replace waiting ones.
import type { Failure, Result } from '../lib/result.ts';
import { err, failure, ok } from '../lib/result.ts';
import type { Logger } from '../lib/log.ts';
import { backoff, sleep } from '../lib/wait.ts';
import type { KindName, ResourceOf } from '../model/mod.ts';
import type { ListOptions, ObjectName, Revision, StoreError, SyncUpdate, WatchSource } from './types.ts';

type Selection = Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;
/** Some datastores have no place for some kinds: the classic group stores no profiles. Then there are none. */
const isMissing = (code: StoreError['code'], mayBeMissing: boolean): boolean =>
  code === 'NotSupported' || (mayBeMissing && code === 'NotFound');

/** A kind, or a part of its objects. One that `mayBeMissing` counts as empty while the server does not have it (a
 *  definition that is not installed), and is asked for again now and then. */
export type SyncKind<K extends KindName> = K | SyncPart<K>;
type SyncPart<K extends KindName> = { readonly kind: K; readonly mayBeMissing?: boolean } & Selection;
export type SyncStatus = 'waiting' | 'syncing' | 'in-sync';
export type SyncFailure = Failure<'ConsumerFailed' | 'DriverFailed'>;

export type SyncerOptions<K extends KindName> = {
  readonly kinds: readonly SyncKind<K>[];
  /** Called with one batch at a time; the next comes when it has resolved. A throw ends the syncer: it is a bug. */
  readonly onUpdates: (updates: readonly SyncUpdate<K>[]) => void | Promise<void>;
  readonly logger: Logger;
  /** Objects per page of a list; 500 by default. */
  readonly pageSize?: number;
  /** Pause after the first failure and the longest one; 100 ms and 10 s by default. */
  readonly backoffMs?: { readonly first: number; readonly max: number };
};

export interface Syncer {
  readonly status: SyncStatus;
  /** Resolves true as soon as everything that existed at the start was handed to the consumer; false when stopped. */
  inSync(): Promise<boolean>;
  /** Ends all watches; no batch starts after it has resolved. */
  stop(): Promise<void>;
  /** How it ended: ok after `stop`, a failure when the consumer or the driver threw. */
  readonly done: Promise<Result<void, SyncFailure>>;
}

export function startSyncer<K extends KindName>(store: WatchSource, options: SyncerOptions<K>): Syncer {
  return new RunningSyncer(store, options);
}

type Seen = {
  readonly name: ObjectName;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
};
type Pending<K extends KindName> = {
  readonly kind: K;
  readonly name: ObjectName;
  readonly object: ResourceOf<K> | undefined;
};

/** A kind that the server does not have may come with an installation. */
const missingKindMs = 30_000;
const missing = Symbol('the server does not have the kind');

class RunningSyncer<K extends KindName> implements Syncer {
  readonly #store: WatchSource;
  readonly #options: SyncerOptions<K>;
  readonly #abort = new AbortController();
  readonly #pending = new Map<string, Pending<K>>();
  readonly #delivered = new Map<string, Seen>();
  /** Kinds whose first list is not complete, and kinds whose connection is lost. */
  readonly #unlisted = new Set<string>();
  readonly #lost = new Set<string>();
  readonly #waiters = new Set<(inSync: boolean) => void>();
  readonly done: Promise<Result<void, SyncFailure>>;
  #finish: (result: Result<void, SyncFailure>) => void = () => {};
  #connected = false;
  /** What the consumer was told last, and what it has finished to hear. */
  #told: SyncStatus | undefined;
  #status: SyncStatus = 'waiting';
  #flushing: Promise<void> | undefined;
  #ended = false;

  constructor(store: WatchSource, options: SyncerOptions<K>) {
    this.#store = store;
    this.#options = options;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    const selections = options.kinds.map((k, i) => {
      const whole: SyncPart<K> = typeof k === 'string' ? { kind: k } : k;
      return { id: `${i}`, ...whole };
    });
    for (const { id } of selections) this.#unlisted.add(id);
    const runs = selections.map(({ id, kind, mayBeMissing, ...selection }) =>
      this.#follow(id, kind, selection, mayBeMissing ?? false),
    );
    void Promise.all(runs).then(
      () => this.#end(ok(undefined)),
      (error: unknown) => this.#end(err(failure('DriverFailed', `The driver failed: ${String(error)}`))),
    );
    this.#schedule();
  }

  get status(): SyncStatus {
    return this.#status;
  }

  inSync(): Promise<boolean> {
    if (this.#status === 'in-sync') return Promise.resolve(true);
    if (this.#ended) return Promise.resolve(false);
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.done;
    await this.#flushing;
  }

  /** One kind: list, watch from there, resume while possible, list again when not. */
  async #follow(id: string, kind: K, selection: Selection, mayBeMissing: boolean): Promise<void> {
    const { signal } = this.#abort;
    const first = this.#options.backoffMs?.first ?? 100;
    const max = this.#options.backoffMs?.max ?? 10_000;
    let revision: Revision | undefined;
    let failures = 0;
    while (!signal.aborted) {
      if (revision === undefined) {
        const listed = await this.#list(id, kind, selection, mayBeMissing);
        if (listed === missing) {
          await sleep(missingKindMs, signal);
          continue;
        }
        revision = listed;
        if (revision === undefined) {
          await sleep(backoff(failures++, first, max), signal);
          continue;
        }
      }
      const watched = await this.#watch(id, kind, selection, revision);
      revision = watched.revision;
      if (watched.progress) failures = 0;
      else await sleep(backoff(failures++, first, max), signal);
    }
  }

  /** The revision of a complete list whose differences are pending, or undefined when it failed. */
  async #list(
    id: string,
    kind: K,
    selection: Selection,
    mayBeMissing: boolean,
  ): Promise<Revision | typeof missing | undefined> {
    const { signal } = this.#abort;
    const found = new Map<string, ResourceOf<K>>();
    let page: string | undefined;
    let revision: Revision | undefined;
    do {
      const options = {
        ...selection,
        limit: this.#options.pageSize ?? 500,
        ...(page === undefined ? {} : { continue: page }),
      };
      const listed = await this.#store.list(kind, options, signal);
      if (signal.aborted) return undefined;
      if (!listed.ok && isMissing(listed.error.code, mayBeMissing)) {
        this.#connected = true;
        this.#listed(id, kind, new Map());
        return missing;
      }
      if (!listed.ok) {
        this.#disconnected(id, kind, 'Listing failed', listed.error);
        return undefined;
      }
      this.#connected = true;
      for (const object of listed.value.items) found.set(keyOf(id, nameOf(object)), object);
      revision = listed.value.revision;
      page = listed.value.continue;
    } while (page !== undefined);
    this.#listed(id, kind, found);
    return revision;
  }

  #listed(id: string, kind: K, found: ReadonlyMap<string, ResourceOf<K>>): void {
    for (const object of found.values()) this.#enqueue(id, kind, nameOf(object), object);
    for (const [key, name] of this.#known(id)) if (!found.has(key)) this.#enqueue(id, kind, name, undefined);
    this.#unlisted.delete(id);
    this.#lost.delete(id);
    this.#schedule();
  }

  /** Follows one watch to its end; `revision` is undefined when a list must come next. */
  async #watch(
    id: string,
    kind: K,
    selection: Selection,
    from: Revision,
  ): Promise<{ revision: Revision | undefined; progress: boolean }> {
    const { signal } = this.#abort;
    let revision = from;
    let progress = false;
    for await (const event of this.#store.watch(kind, from, selection, signal)) {
      if (signal.aborted) break;
      if (event.type === 'error') {
        if (event.error.code === 'TooOld') {
          this.#options.logger.info('Changes were lost, listing again', { kind });
          return { revision: undefined, progress };
        }
        this.#disconnected(id, kind, 'Watch ended', event.error);
        return { revision, progress };
      }
      progress = true;
      revision = event.revision;
      if (this.#lost.delete(id)) this.#schedule();
      if (event.type !== 'bookmark')
        this.#enqueue(id, kind, nameOf(event.object), event.type === 'deleted' ? undefined : event.object);
    }
    return { revision, progress };
  }

  #disconnected(id: string, kind: K, what: string, error: Failure): void {
    this.#options.logger.warn(what, { kind, code: error.code, reason: error.message });
    this.#lost.add(id);
    this.#schedule();
  }

  /** Everything of one kind that the consumer knows or is about to know. */
  #known(id: string): Map<string, ObjectName> {
    const known = new Map<string, ObjectName>();
    const prefix = `${id} `;
    for (const [key, { name }] of this.#delivered) if (key.startsWith(prefix)) known.set(key, name);
    for (const [key, { name }] of this.#pending) if (key.startsWith(prefix)) known.set(key, name);
    return known;
  }

  /** `object` undefined: deleted. A waiting change of the same object is replaced and goes to the end of the line. */
  #enqueue(id: string, kind: K, name: ObjectName, object: ResourceOf<K> | undefined): void {
    const key = keyOf(id, name);
    this.#pending.delete(key);
    const known = this.#delivered.get(key);
    const isNews =
      object === undefined
        ? known !== undefined
        : known?.resourceVersion !== object.metadata.resourceVersion || known?.resourceVersion === undefined;
    if (isNews) this.#pending.set(key, { kind, name, object });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing !== undefined || this.#ended) return;
    this.#flushing = new Promise((resolve) => {
      setImmediate(() => resolve(this.#flush()));
    });
  }

  async #flush(): Promise<void> {
    try {
      for (let batch = this.#take(); batch.length > 0 && !this.#ended; batch = this.#take()) {
        await this.#options.onUpdates(batch);
        this.#status = this.#told ?? 'waiting';
        if (this.#status === 'in-sync') this.#wake(true);
      }
    } catch (error) {
      this.#options.logger.error('The consumer of updates failed', { error: String(error) });
      this.#end(err(failure('ConsumerFailed', `The consumer of updates failed: ${String(error)}`)));
    } finally {
      this.#flushing = undefined;
    }
  }

  /** The waiting changes in order, then the status when it is another one. */
  #take(): SyncUpdate<K>[] {
    const batch: SyncUpdate<K>[] = [];
    const status =
      this.#unlisted.size > 0
        ? this.#connected
          ? 'syncing'
          : 'waiting'
        : this.#lost.size > 0
          ? 'waiting'
          : 'in-sync';
    for (const [key, { kind, name, object }] of this.#pending) {
      const known = this.#delivered.get(key);
      if (object === undefined || (known !== undefined && known.uid !== object.metadata.uid)) {
        if (known !== undefined) batch.push({ type: 'delete', kind, name });
        this.#delivered.delete(key);
      }
      if (object === undefined) continue;
      batch.push({ type: 'set', kind, object } as SyncUpdate<K>);
      const { uid, resourceVersion } = object.metadata;
      this.#delivered.set(key, { name, uid, resourceVersion });
    }
    this.#pending.clear();
    if (status !== this.#told) {
      this.#told = status;
      batch.push({ type: 'status', status });
    }
    return batch;
  }

  #wake(inSync: boolean): void {
    for (const waiter of this.#waiters) waiter(inSync);
    this.#waiters.clear();
  }

  #end(result: Result<void, SyncFailure>): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#abort.abort();
    this.#wake(false);
    this.#finish(result);
  }
}

const nameOf = (object: {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}): ObjectName => {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? { name } : { name, namespace };
};
const keyOf = (id: string, name: ObjectName): string => `${id} ${name.namespace ?? ''}/${name.name}`;
