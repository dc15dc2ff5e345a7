// The state behind memory clients: objects with revisions, a bounded history of changes, and the watchers. It behaves as
// a Kubernetes API server does (compare-and-swap, uid, generation, finalizers, "too old" after compaction), synchronously.
import { type Clock, systemClock } from '../../lib/clock.ts';
import { ok, type Result } from '../../lib/result.ts';
import type { KindName, ObjectMeta, ResourceOf } from '../../model/mod.ts';
import { alreadyExists, conflict, invalid, notFound } from '../errors.ts';
import type { ObjectName, StoreError } from '../types.ts';

/** What all resources have in common, as the store handles them. */
export type AnyResource = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: unknown;
  readonly status?: unknown;
};
export type Change = {
  readonly revision: number;
  readonly kind: KindName;
  /** undefined: created. */
  readonly before?: AnyResource;
  /** undefined: deleted. */
  readonly after?: AnyResource;
};

export type MemoryStateOptions = {
  readonly clock?: Clock;
  /** Changes kept for watches that start in the past; 10,000 by default. */
  readonly historyLimit?: number;
};

export const keyOf = (name: ObjectName): string => `${name.namespace ?? ''}/${name.name}`;
export const nameOf = (object: AnyResource): ObjectName =>
  object.metadata.namespace === undefined
    ? { name: object.metadata.name }
    : { name: object.metadata.name, namespace: object.metadata.namespace };

export class MemoryState {
  readonly #objects = new Map<KindName, Map<string, AnyResource>>();
  readonly #watchers = new Set<(change: Change | { readonly bookmark: number }) => void>();
  readonly #clock: Clock;
  readonly #historyLimit: number;
  #history: Change[] = [];
  #revision = 0;
  /** Changes up to and including this revision are forgotten. */
  #compacted = 0;
  #names = 0;

  constructor(options: MemoryStateOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#historyLimit = options.historyLimit ?? 10_000;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Oldest revision a watch may start from. */
  get oldestRevision(): number {
    return this.#compacted;
  }

  /** Forgets the history: every watch from an earlier revision is told TooOld. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.#revision;
  }

  get(kind: KindName, name: ObjectName): AnyResource | undefined {
    return this.#objects.get(kind)?.get(keyOf(name));
  }

  /** In order of namespace and name, as an API server lists. */
  list(kind: KindName): AnyResource[] {
    const entries = [...(this.#objects.get(kind) ?? [])];
    return entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, object]) => object);
  }

  create(kind: KindName, object: AnyResource, dryRun: boolean): Result<AnyResource, StoreError> {
    const generate = object.metadata.generateName;
    const name = object.metadata.name || (generate === undefined ? '' : `${generate}${this.#suffix()}`);
    if (name === '') return invalid(kind, { name: '' }, 'metadata.name', 'is required');
    const identity = { ...nameOf(object), name };
    if (this.get(kind, identity) !== undefined) return alreadyExists(kind, identity);
    const stored = this.#stamp({
      ...object,
      metadata: {
        ...object.metadata,
        name,
        uid: uidOf(++this.#names),
        generation: 1,
        creationTimestamp: this.#timestamp(),
      },
    });
    if (!dryRun) this.#commit(kind, { after: stored });
    return ok(stored);
  }

  /** `part` says what of the object is taken over; the other part stays as stored. */
  update(
    kind: KindName,
    object: AnyResource,
    part: 'main' | 'status' | 'all',
    dryRun: boolean,
  ): Result<AnyResource, StoreError> {
    const name = nameOf(object);
    const stored = this.get(kind, name);
    if (stored === undefined) return notFound(kind, name);
    const version = object.metadata.resourceVersion;
    if (version === undefined || version === '')
      return invalid(kind, name, 'metadata.resourceVersion', 'is required for an update');
    if (version !== stored.metadata.resourceVersion) {
      return conflict(kind, name, `revision ${version} is not the stored ${stored.metadata.resourceVersion}`);
    }
    if (object.metadata.uid !== undefined && object.metadata.uid !== stored.metadata.uid) {
      return conflict(kind, name, 'it was deleted and created again');
    }
    const next = merge(stored, object, part);
    if (same(withoutRevision(next), withoutRevision(stored))) return ok(stored);
    const finished =
      next.metadata.deletionTimestamp !== undefined && (next.metadata.finalizers ?? []).length === 0;
    const result = this.#stamp(next);
    if (!dryRun)
      this.#commit(
        kind,
        finished ? { before: stored, after: result, gone: true } : { before: stored, after: result },
      );
    return ok(result);
  }

  delete(
    kind: KindName,
    name: ObjectName,
    precondition: { readonly resourceVersion?: string; readonly uid?: string },
    dryRun: boolean,
  ): Result<AnyResource, StoreError> {
    const stored = this.get(kind, name);
    if (stored === undefined) return notFound(kind, name);
    const { resourceVersion, uid } = stored.metadata;
    if (precondition.resourceVersion !== undefined && precondition.resourceVersion !== resourceVersion) {
      return conflict(
        kind,
        name,
        `revision ${precondition.resourceVersion} is not the stored ${resourceVersion}`,
      );
    }
    if (precondition.uid !== undefined && precondition.uid !== uid)
      return conflict(kind, name, 'it was deleted and created again');
    if (dryRun) return ok(stored);
    if ((stored.metadata.finalizers ?? []).length > 0) {
      if (stored.metadata.deletionTimestamp !== undefined) return ok(stored);
      const marked = this.#stamp({
        ...stored,
        metadata: { ...stored.metadata, deletionTimestamp: this.#timestamp(), deletionGracePeriodSeconds: 0 },
      });
      this.#commit(kind, { before: stored, after: marked });
      return ok(marked);
    }
    const last = this.#stamp(stored);
    this.#commit(kind, { before: stored, after: last, gone: true });
    return ok(last);
  }

  /** Changes after the revision, or undefined when some of them are forgotten. */
  changesSince(revision: number): readonly Change[] | undefined {
    if (revision < this.#compacted || revision > this.#revision) return undefined;
    return this.#history.filter((change) => change.revision > revision);
  }

  subscribe(onChange: (change: Change | { readonly bookmark: number }) => void): () => void {
    this.#watchers.add(onChange);
    return () => void this.#watchers.delete(onChange);
  }

  /** Tells all watchers how far they are, as API servers do about once a minute. */
  bookmark(): void {
    for (const watcher of this.#watchers) watcher({ bookmark: this.#revision });
  }

  #commit(kind: KindName, change: { before?: AnyResource; after: AnyResource; gone?: boolean }): void {
    const objects = this.#objects.get(kind) ?? new Map<string, AnyResource>();
    this.#objects.set(kind, objects);
    this.#revision++;
    if (change.gone) objects.delete(keyOf(nameOf(change.after)));
    else objects.set(keyOf(nameOf(change.after)), change.after);
    const entry: Change = {
      revision: this.#revision,
      kind,
      ...(change.gone ? { before: change.after } : { after: change.after }),
      ...(change.before === undefined || change.gone ? {} : { before: change.before }),
    };
    this.#history.push(entry);
    if (this.#history.length > this.#historyLimit) {
      const dropped = this.#history.splice(0, this.#history.length - Math.floor(this.#historyLimit / 2));
      this.#compacted = dropped.at(-1)?.revision ?? this.#compacted;
    }
    for (const watcher of this.#watchers) watcher(entry);
  }

  /** A frozen copy that carries the revision of the coming commit. Dry runs are not committed and get it too. */
  #stamp(object: AnyResource): AnyResource {
    const copy = structuredClone(object);
    return freeze({ ...copy, metadata: { ...copy.metadata, resourceVersion: String(this.#revision + 1) } });
  }

  #timestamp(): string {
    return new Date(this.#clock.now()).toISOString().replace(/\.\d{3}Z$/, 'Z');
  }

  #suffix(): string {
    return (++this.#names).toString(36).padStart(5, 'x');
  }
}

/** The typed view of a stored object: the store keeps each kind's objects apart. */
export const typed = <K extends KindName>(object: AnyResource): ResourceOf<K> =>
  object as unknown as ResourceOf<K>;
export const untyped = <K extends KindName>(object: ResourceOf<K>): AnyResource =>
  object as unknown as AnyResource;

/** Server-set metadata stays as it is; the generation counts changes of anything but metadata and status. */
function merge(stored: AnyResource, object: AnyResource, part: 'main' | 'status' | 'all'): AnyResource {
  const kept = stored.metadata;
  if (part === 'status') return withStatus(withOwnMetadata(stored, object), object.status);
  const metadata: ObjectMeta = {
    ...object.metadata,
    ...(kept.uid === undefined ? {} : { uid: kept.uid }),
    ...(kept.creationTimestamp === undefined ? {} : { creationTimestamp: kept.creationTimestamp }),
    ...(kept.deletionTimestamp === undefined ? {} : { deletionTimestamp: kept.deletionTimestamp }),
    ...(kept.generation === undefined ? {} : { generation: kept.generation }),
  };
  const next = withStatus({ ...object, metadata }, part === 'main' ? stored.status : object.status);
  const changed = !same(
    { ...next, metadata: null, status: null },
    { ...stored, metadata: null, status: null },
  );
  return changed ? { ...next, metadata: { ...metadata, generation: (kept.generation ?? 1) + 1 } } : next;
}

/** Kubernetes lets a status write of its own kinds carry labels and annotations; custom kinds' stay as they are. */
function withOwnMetadata(stored: AnyResource, object: AnyResource): AnyResource {
  if (object.apiVersion.includes('.')) return { ...stored };
  const { labels, annotations } = object.metadata;
  const { labels: _labels, annotations: _annotations, ...metadata } = stored.metadata;
  return {
    ...stored,
    metadata: { ...metadata, ...(labels && { labels }), ...(annotations && { annotations }) },
  };
}

function withStatus(object: AnyResource, status: unknown): AnyResource {
  const { status: _dropped, ...rest } = object;
  return status === undefined ? rest : { ...rest, status };
}

const withoutRevision = (object: AnyResource): unknown => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: null, managedFields: null },
});

/** Structural equality of JSON values, independent of key order. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a).filter(([, value]) => value !== undefined);
  const right = b as Readonly<Record<string, unknown>>;
  const rightSize = Object.values(right).filter((value) => value !== undefined).length;
  return left.length === rightSize && left.every(([key, value]) => same(value, right[key]));
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const part of Object.values(value)) freeze(part);
    Object.freeze(value);
  }
  return value;
}

const uidOf = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
