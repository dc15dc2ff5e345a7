// State in memory, changes on disk. Writes that wait at the same moment share one disk transaction: each is a function
// run in turn over the state its predecessors left, and all are acknowledged, and become visible, after the commit.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { err, ok, type Result } from '../../lib/result.ts';
import type { Clock } from '../../lib/clock.ts';
import { parseJson, stringifyJson } from '../../lib/json.ts';
import type { Logger } from '../../lib/log.ts';
import { refuse, type StatusError } from '../status.ts';
import type { ApiObject, ServerError } from '../types.ts';
import { Collection } from './collection.ts';
import { History } from './history.ts';
import { type ChangeLog, openLog, unusable } from './log.ts';
import type { Change, ChangeFeed, Key, Stored, Transaction, Write } from './types.ts';

type Waiting = { run(batch: Batch): void; settle(): void; fail(error: StatusError): void };

/** Writes taken into one commit at most; later ones go into the next. */
const maxBatch = 512;

export type StoreOptions = {
  readonly data: string;
  readonly durability: 'power' | 'process';
  readonly historyEvents: number;
  readonly historyBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Another log than the one of `data`: for tests. */
  readonly log?: ChangeLog;
};

export class Store {
  readonly #log: ChangeLog;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #history: History;
  readonly #collections = new Map<string, Collection>();
  /** uid of an owner to its dependents. */
  readonly #dependents = new Map<string, Map<string, Stored>>();
  readonly #uids = new Set<string>();
  readonly #listeners = new Set<(changes: readonly Change[]) => void>();
  #revision: number;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;
  /** Why no write is taken any more. */
  #broken: string | undefined;
  #closed = false;

  static open(options: StoreOptions): Result<Store, ServerError> {
    const log = options.log === undefined ? openLog(options.data, options.durability) : ok(options.log);
    if (!log.ok) return log;
    try {
      return ok(new Store(log.value, options));
    } catch (cause) {
      log.value.close();
      return err(unusable(options.data, cause));
    }
  }

  private constructor(log: ChangeLog, options: StoreOptions) {
    this.#log = log;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#history = new History(options, log.compacted);
    this.#revision = log.compacted;
    for (const row of log.rows()) {
      const { revision, resource, namespace, name } = row;
      const object = parseJson(row.body) as ApiObject;
      const current: Stored = { resource, namespace, name, revision, object, text: row.body };
      const previous = this.get(current);
      const type = row.deleted === 1 ? 'DELETED' : previous === undefined ? 'ADDED' : 'MODIFIED';
      const change: Change = { revision, type, current, previous };
      this.#apply(change);
      // Rows up to the compacted revision are only there as objects; their history is gone.
      if (revision > log.compacted) this.#history.append(change);
      this.#revision = Math.max(this.#revision, revision);
    }
    this.#history.published = this.#revision;
  }

  /** The newest revision readers may see. */
  get revision(): number {
    return this.#history.published;
  }

  /** Watches and lists can go back to revisions above this one or equal to it. */
  get compacted(): number {
    return this.#history.compacted;
  }

  get(key: Key): Stored | undefined {
    return this.#collections.get(key.resource)?.get(key.namespace, key.name);
  }

  list(resource: string, namespace?: string): readonly Stored[] {
    return this.#collections.get(resource)?.list(namespace) ?? [];
  }

  /** The list as it was at an earlier revision that is still kept. */
  listAt(resource: string, namespace: string | undefined, revision: number): readonly Stored[] {
    const now = this.list(resource, namespace);
    if (revision >= this.revision) return now;
    const earlier = new Map<string, Stored | undefined>();
    const names = new Map(now.map((stored) => [`${stored.namespace}/${stored.name}`, stored]));
    for (const change of this.#history.after(resource, revision)) {
      const { current } = change;
      if (namespace !== undefined && current.namespace !== namespace) continue;
      const name = `${current.namespace}/${current.name}`;
      if (!earlier.has(name)) earlier.set(name, change.previous);
    }
    for (const [name, stored] of earlier) {
      if (stored === undefined) names.delete(name);
      else names.set(name, stored);
    }
    const order = (a: Stored, b: Stored): number =>
      a.namespace === b.namespace ? (a.name < b.name ? -1 : 1) : a.namespace < b.namespace ? -1 : 1;
    return [...names.values()].sort(order);
  }

  hasUid(uid: string): boolean {
    return this.#uids.has(uid);
  }

  dependentsOf(uid: string): readonly Stored[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  /** Everything in a namespace. */
  contentOf(namespace: string): readonly Stored[] {
    return [...this.#collections.values()].flatMap((collection) =>
      namespace === '' ? [] : collection.list(namespace),
    );
  }

  allObjects(): readonly Stored[] {
    return [...this.#collections.values()].flatMap((collection) => collection.list());
  }

  /** `onMore` is called when `next` may give more; the first `next` needs no call. */
  feed(resource: string, revision: number, onMore: () => void): ChangeFeed {
    return this.#history.feed(resource, revision, onMore);
  }

  /** For the server's own controllers: every committed batch, in order. */
  onChanges(listener: (changes: readonly Change[]) => void): void {
    this.#listeners.add(listener);
  }

  write<T>(run: Write<T>): Promise<Result<T, StatusError>> {
    if (this.#closed) return Promise.resolve(refuse('ServiceUnavailable', 'the server is shutting down'));
    return new Promise((resolve, reject) => {
      let outcome: Result<T, StatusError> | undefined;
      let bug: unknown;
      this.#waiting.push({
        run: (batch) => {
          try {
            outcome = batch.attempt(run);
          } catch (cause) {
            bug = cause ?? new Error('a write failed');
          }
        },
        settle: () => (outcome === undefined ? reject(bug) : resolve(outcome)),
        fail: (error) => resolve({ ok: false, error }),
      });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#committing !== undefined || this.#waiting.length === 0) return;
    this.#committing = this.#commitAll();
  }

  /** One commit after the other until nothing waits. */
  async #commitAll(): Promise<void> {
    // After the sockets that are ready now have been read: their writes share the commit.
    await nextTurn();
    try {
      while (this.#waiting.length > 0) await this.#commit();
    } finally {
      // In the same turn as the last look at what waits: a write that comes later starts the next round.
      this.#committing = undefined;
    }
  }

  async #commit(): Promise<void> {
    const waiting = this.#waiting.splice(0, maxBatch);
    const batch = new Batch(this, this.#collections, this.#clock.now(), this.#revision);
    for (const one of waiting) one.run(batch);
    const { changes } = batch;
    if (changes.length > 0) {
      const surplus = this.#history.surplus(changes);
      const compacted = surplus.at(-1)?.revision ?? this.#history.compacted;
      const refusal = await this.#persist(changes, surplus, compacted);
      if (refusal !== undefined) {
        for (const one of waiting) one.fail(refusal);
        return;
      }
      this.#history.forget(surplus);
      this.#revision = batch.revision;
      for (const change of changes) {
        this.#apply(change);
        this.#history.append(change);
      }
    }
    for (const one of waiting) one.settle();
    if (changes.length > 0) {
      this.#history.wake(new Set(changes.map((change) => change.current.resource)));
      for (const listener of this.#listeners) listener(changes);
    }
  }

  /** Brings changes to the disk; a refusal when it does not take them. */
  async #persist(
    changes: readonly Change[],
    surplus: readonly Change[],
    compacted: number,
  ): Promise<StatusError | undefined> {
    let appended = false;
    try {
      if (this.#broken === undefined) {
        this.#log.append(changes, surplus.flatMap(deadRows), compacted);
        appended = true;
        await this.#log.flush();
        return undefined;
      }
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      this.#logger.error('Writing the database failed', { error: message });
      // What was appended but not synced is in the file and not in memory: no later write may build on that.
      if (appended) this.#broken = message;
      else return refuse('InternalError', `the change could not be written to disk: ${message}`).error;
    }
    return refuse(
      'ServiceUnavailable',
      `the disk failed (${this.#broken}): restart the server when it works again`,
    ).error;
  }

  #apply(change: Change): void {
    const { current, previous, type } = change;
    let collection = this.#collections.get(current.resource);
    if (collection === undefined) {
      collection = new Collection();
      this.#collections.set(current.resource, collection);
    }
    const name = `${current.resource}/${current.namespace}/${current.name}`;
    for (const owner of previous?.object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(name);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
    const uid = current.object.metadata.uid ?? '';
    if (type === 'DELETED') {
      collection.delete(current.namespace, current.name);
      this.#uids.delete(uid);
      return;
    }
    collection.set(current);
    this.#uids.add(uid);
    for (const owner of current.object.metadata.ownerReferences ?? []) {
      let dependents = this.#dependents.get(owner.uid);
      if (dependents === undefined) {
        dependents = new Map();
        this.#dependents.set(owner.uid, dependents);
      }
      dependents.set(name, current);
    }
  }

  /** Writes what waits and closes the database. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#committing;
    this.#log.close();
  }
}

/** Rows that are of no use once the change is no longer history: the state it replaced, and a deletion itself. */
function deadRows(change: Change): readonly number[] {
  const rows: number[] = [];
  if (change.previous !== undefined) rows.push(change.previous.revision);
  if (change.type === 'DELETED') rows.push(change.revision);
  return rows;
}

/** The changes of one commit while it is being put together. */
class Batch implements Transaction {
  readonly changes: Change[] = [];
  /** Newest state of what this commit touched; undefined is gone. */
  readonly #touched = new Map<string, Stored | undefined>();
  readonly #store: Store;
  readonly #collections: ReadonlyMap<string, Collection>;
  readonly nowMs: number;
  revision: number;

  constructor(store: Store, collections: ReadonlyMap<string, Collection>, nowMs: number, revision: number) {
    this.#store = store;
    this.#collections = collections;
    this.nowMs = nowMs;
    this.revision = revision;
  }

  /** Runs a write; what a refused or failed one did is taken back. */
  attempt<T>(run: Write<T>): Result<T, StatusError> {
    const before = this.changes.length;
    let outcome: Result<T, StatusError> | undefined;
    try {
      outcome = run(this);
      return outcome;
    } finally {
      if (outcome?.ok !== true && this.changes.length > before) {
        const undone = this.changes.splice(before);
        for (const change of undone.reverse()) {
          this.#touched.set(nameOf(change.current), change.previous);
          this.revision--;
        }
      }
    }
  }

  get(key: Key): Stored | undefined {
    const name = nameOf(key);
    return this.#touched.has(name) ? this.#touched.get(name) : this.#store.get(key);
  }

  *objects(resource: string): Generator<ApiObject> {
    for (const stored of this.#store.list(resource)) {
      const current = this.get(stored);
      if (current !== undefined) yield current.object;
    }
    for (const stored of this.#touched.values()) {
      if (stored?.resource === resource && this.#store.get(stored) === undefined) yield stored.object;
    }
  }

  namespaceInUse(namespace: string): boolean {
    let count = 0;
    for (const collection of this.#collections.values()) count += collection.count(namespace);
    for (const [, stored] of this.#touched) if (stored?.namespace === namespace) count++;
    if (count === 0) return false;
    for (const [, stored] of this.#touched) if (stored?.namespace === namespace) return true;
    for (const collection of this.#collections.values()) {
      for (const stored of collection.list(namespace)) if (this.get(stored) !== undefined) return true;
    }
    return false;
  }

  put(key: Key, object: ApiObject): Stored {
    const previous = this.get(key);
    const current = this.#stamped(key, object);
    this.#record({
      revision: current.revision,
      type: previous === undefined ? 'ADDED' : 'MODIFIED',
      current,
      previous,
    });
    return current;
  }

  remove(key: Key, last?: ApiObject): Stored | undefined {
    const previous = this.get(key);
    if (previous === undefined) return undefined;
    const current = this.#stamped(key, last ?? previous.object);
    this.#record({ revision: current.revision, type: 'DELETED', current, previous });
    return current;
  }

  #stamped({ resource, namespace, name }: Key, object: ApiObject): Stored {
    const revision = ++this.revision;
    const stamped = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    return { resource, namespace, name, revision, object: stamped, text: stringifyJson(stamped) };
  }

  #record(change: Change): void {
    this.changes.push(change);
    this.#touched.set(nameOf(change.current), change.type === 'DELETED' ? undefined : change.current);
  }
}

const nameOf = (key: Key): string => `${key.resource}/${key.namespace}/${key.name}`;
