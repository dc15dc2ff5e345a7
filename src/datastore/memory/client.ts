// One client of a memory store: the Datastore face over MemoryState, with faults and latency when a test asks for them.
import { err, ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { describeObject, invalid, notFound, storeError } from '../errors.ts';
import { applyPatch } from '../patch.ts';
import { matcherOf, type SelectedObject } from '../selectors.ts';
import type {
  Datastore,
  DeleteOptions,
  ListOptions,
  ListResult,
  ObjectName,
  PatchType,
  Revision,
  StoreError,
  WatchEvent,
  WriteOptions,
} from '../types.ts';
import { FaultGate, type FaultPlan, type StoreVerb } from './faults.ts';
import { type AnyResource, type Change, type MemoryState, typed, untyped } from './store.ts';

export type MemoryClientOptions = {
  readonly faults?: FaultPlan;
  /** Every call takes this long, so that concurrent callers interleave as over a network. */
  readonly latencyMs?: number;
  /** Events kept for a watcher that does not read; beyond that it is told TooOld. 1,000 by default. */
  readonly watchQueueLimit?: number;
};

type Matcher = (object: SelectedObject) => boolean;
type Selection = Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;

export class MemoryClient implements Datastore {
  readonly #state: MemoryState;
  readonly #gate: FaultGate;
  readonly #latencyMs: number;
  readonly #watchQueueLimit: number;
  #closed = false;

  constructor(state: MemoryState, options: MemoryClientOptions = {}) {
    this.#state = state;
    this.#gate = new FaultGate(options.faults);
    this.#latencyMs = options.latencyMs ?? 0;
    this.#watchQueueLimit = options.watchQueueLimit ?? 1000;
  }

  /** Calls made so far. */
  get calls(): number {
    return this.#gate.calls;
  }

  get<K extends KindName>(
    kind: K,
    name: ObjectName,
    signal?: AbortSignal,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    return this.#call('get', kind, name.name, signal, () => {
      const found = this.#state.get(kind, name);
      return found === undefined ? notFound(kind, name) : ok(typed<K>(found));
    });
  }

  list<K extends KindName>(
    kind: K,
    options: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<Result<ListResult<ResourceOf<K>>, StoreError>> {
    return this.#call('list', kind, undefined, signal, () => {
      const matches = matcherOf(options);
      if (!matches.ok) return matches;
      const [start, revision] = pageOf(options.continue, this.#state.revision);
      const all = this.#state.list(kind).filter(matches.value);
      const end = options.limit === undefined ? all.length : Math.min(all.length, start + options.limit);
      const items = all.slice(start, end).map((object) => typed<K>(object));
      return ok({ items, revision, ...(end < all.length ? { continue: `${revision}:${end}` } : {}) });
    });
  }

  create<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const resource = untyped(object);
    return this.#call('create', kind, resource.metadata.name, options.signal, () =>
      answer<K>(this.#state.create(kind, resource, options.dryRun ?? false)),
    );
  }

  update<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const resource = untyped(object);
    return this.#call('update', kind, resource.metadata.name, options.signal, () =>
      answer<K>(this.#state.update(kind, resource, 'main', options.dryRun ?? false)),
    );
  }

  updateStatus<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const resource = untyped(object);
    return this.#call('updateStatus', kind, resource.metadata.name, options.signal, () =>
      answer<K>(this.#state.update(kind, resource, 'status', options.dryRun ?? false)),
    );
  }

  patch<K extends KindName>(
    kind: K,
    name: ObjectName,
    patch: { readonly type: PatchType; readonly body: unknown; readonly status?: boolean },
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    return this.#call('patch', kind, name.name, options.signal, () => {
      const stored = this.#state.get(kind, name);
      if (stored === undefined) return notFound(kind, name);
      const patched = applyPatch(patch.type, stored, patch.body);
      if (!patched.ok) {
        if (patched.error.code === 'NotSupported')
          return err(storeError('NotSupported', patched.error.message, patched.error.hint));
        return invalid(kind, name, 'patch', patched.error.message);
      }
      const part = patch.status ? 'status' : 'main';
      return answer<K>(this.#state.update(kind, patched.value as AnyResource, part, options.dryRun ?? false));
    });
  }

  delete<K extends KindName>(
    kind: K,
    name: ObjectName,
    options: DeleteOptions = {},
  ): Promise<Result<ResourceOf<K> | undefined, StoreError>> {
    return this.#call('delete', kind, name.name, options.signal, () =>
      answer<K>(this.#state.delete(kind, name, options, options.dryRun ?? false)),
    );
  }

  async *watch<K extends KindName>(
    kind: K,
    from: Revision,
    options: Selection,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ResourceOf<K>>> {
    const opened = await this.#call('watch', kind, undefined, signal, () => matcherOf(options));
    if (!opened.ok) {
      yield { type: 'error', error: opened.error };
      return;
    }
    const matches = opened.value;
    const queue: WatchEvent<ResourceOf<K>>[] = [];
    let wake: (() => void) | undefined;
    let overflow = false;
    const deliver = (change: Change | { readonly bookmark: number }): void => {
      const event = eventOf<K>(change, kind, matches);
      if (event === undefined) return;
      if (queue.length >= this.#watchQueueLimit) overflow = true;
      else queue.push(event);
      wake?.();
    };
    const past = this.#state.changesSince(Number(from));
    if (past === undefined) {
      yield { type: 'error', error: tooOld(kind, from) };
      return;
    }
    for (const change of past) {
      const event = eventOf<K>(change, kind, matches);
      if (event !== undefined) queue.push(event);
    }
    const unsubscribe = this.#state.subscribe(deliver);
    const stop = (): void => wake?.();
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted && !this.#closed) {
        for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
          yield event;
          if (signal.aborted) return;
        }
        if (overflow) {
          yield { type: 'error', error: tooOld(kind, from) };
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (queue.length > 0 || overflow || signal.aborted) resolve();
        });
      }
    } finally {
      unsubscribe();
      signal.removeEventListener('abort', stop);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#state.bookmark(); // Wakes the watches of this client, which then end.
  }

  async #call<T>(
    verb: StoreVerb,
    kind: KindName,
    name: string | undefined,
    signal: AbortSignal | undefined,
    act: () => Result<T, StoreError>,
  ): Promise<Result<T, StoreError>> {
    if (signal?.aborted)
      return err(
        storeError('Timeout', `The request for ${describeObject(kind, { name: name ?? '*' })} was aborted.`),
      );
    if (this.#latencyMs > 0) await sleep(this.#latencyMs);
    return this.#gate.run<Result<T, StoreError>>(verb, kind, name, act, (error) => err(error));
  }
}

const answer = <K extends KindName>(
  result: Result<AnyResource, StoreError>,
): Result<ResourceOf<K>, StoreError> => (result.ok ? ok(typed<K>(result.value)) : result);

const tooOld = (kind: string, from: Revision): StoreError =>
  storeError('TooOld', `Changes of ${kind} since revision ${from} are no longer known.`, 'List again.');

/** What a watcher of a selection sees: an object that stops matching is deleted for it, one that starts is added. */
function eventOf<K extends KindName>(
  change: Change | { readonly bookmark: number },
  kind: K,
  matches: Matcher,
): WatchEvent<ResourceOf<K>> | undefined {
  if ('bookmark' in change) return { type: 'bookmark', revision: String(change.bookmark) };
  if (change.kind !== kind) return undefined;
  const revision = String(change.revision);
  const was = change.before !== undefined && matches(change.before);
  const is = change.after !== undefined && matches(change.after);
  if (change.after !== undefined && is)
    return { type: was ? 'modified' : 'added', object: typed<K>(change.after), revision };
  if (change.before !== undefined && was)
    return { type: 'deleted', object: typed<K>(change.before), revision };
  return undefined;
}

/** A continue token is "revision:offset": good enough where the whole list is at hand. */
function pageOf(token: string | undefined, revision: number): [number, Revision] {
  if (token === undefined) return [0, String(revision)];
  const [listed, offset] = token.split(':');
  return [Number(offset ?? 0), listed ?? String(revision)];
}
