// The datastore interface: typed resources under optimistic concurrency, and a watch that resumes from a revision.
// Every driver (memory, kubernetes, later etcd) passes the one conformance suite in conformance.ts.
import type { Failure, Result } from '../lib/result.ts';
import type { KindName, ResourceOf } from '../model/mod.ts';

export type StoreErrorCode =
  | 'NotFound'
  | 'AlreadyExists'
  /** The resourceVersion of an update or delete is not the stored one. */
  | 'Conflict'
  /** The object is not valid; `issues` name field, value and reason. */
  | 'Invalid'
  /** The revision to watch or continue from is no longer kept: list again. */
  | 'TooOld'
  | 'Forbidden'
  | 'Unauthorized'
  /** The kind or the operation does not exist in this datastore (e.g. creating a WorkloadEndpoint in KDD). */
  | 'NotSupported'
  | 'Unavailable'
  | 'Timeout';
export type StoreError = Failure<StoreErrorCode> & {
  readonly issues?: readonly { readonly field: string; readonly reason: string }[];
};

export type ObjectName = { readonly name: string; readonly namespace?: string };
/** Opaque; compared for equality only. */
export type Revision = string;

export type ListOptions = {
  readonly namespace?: string;
  /** Kubernetes label selector text, e.g. `app=web,tier!=db`. */
  readonly labelSelector?: string;
  /** Kubernetes field selector text: `spec.nodeName=worker1`, `metadata.name=x`. */
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
};
export type ListResult<T> = {
  readonly items: readonly T[];
  readonly revision: Revision;
  readonly continue?: string;
};

export type WatchEvent<T> =
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly object: T; readonly revision: Revision }
  /** Everything up to `revision` has been delivered. */
  | { readonly type: 'bookmark'; readonly revision: Revision }
  /** The stream ends here: list again when `error.code` is TooOld, else resume from the last revision. */
  | { readonly type: 'error'; readonly error: StoreError };

export type WriteOptions = { readonly signal?: AbortSignal; readonly dryRun?: boolean };
export type DeleteOptions = WriteOptions & {
  readonly resourceVersion?: Revision;
  readonly uid?: string;
  /** Pods: how long the node may take to end it; 0 removes the object at once. Other kinds ignore it. */
  readonly gracePeriodSeconds?: number;
};
export type PatchType = 'json' | 'merge' | 'strategic';

export interface Datastore {
  get<K extends KindName>(
    kind: K,
    name: ObjectName,
    signal?: AbortSignal,
  ): Promise<Result<ResourceOf<K>, StoreError>>;
  list<K extends KindName>(
    kind: K,
    options?: ListOptions,
    signal?: AbortSignal,
  ): Promise<Result<ListResult<ResourceOf<K>>, StoreError>>;
  /** AlreadyExists when the name is taken. The answer carries uid, creationTimestamp and resourceVersion. */
  create<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options?: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>>;
  /** Compare-and-swap on metadata.resourceVersion (required). */
  update<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options?: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>>;
  /** As update, for the status part only. */
  updateStatus<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options?: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>>;
  patch<K extends KindName>(
    kind: K,
    name: ObjectName,
    patch: { readonly type: PatchType; readonly body: unknown; readonly status?: boolean },
    options?: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>>;
  /** With resourceVersion or uid: only that very object. Gives the last state when the store tells it (not all servers do). */
  delete<K extends KindName>(
    kind: K,
    name: ObjectName,
    options?: DeleteOptions,
  ): Promise<Result<ResourceOf<K> | undefined, StoreError>>;
  /** Changes after `from`, in order, each once. Ends with an `error` event or when the signal aborts. */
  watch<K extends KindName>(
    kind: K,
    from: Revision,
    options: Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ResourceOf<K>>>;
  close(): Promise<void>;
}

/** What can be followed: a datastore, or something that stands between it and many who follow it. */
export type WatchSource = Pick<Datastore, 'list' | 'watch'>;

/** What a Syncer tells its consumer: a list-watch that never loses or reorders an object and survives disconnection.
 *  After each reconnection that needed a relist, only differences are reported. */
export type SyncUpdate<K extends KindName = KindName> =
  | { readonly [P in K]: { readonly type: 'set'; readonly kind: P; readonly object: ResourceOf<P> } }[K]
  | { readonly type: 'delete'; readonly kind: K; readonly name: ObjectName }
  | { readonly type: 'status'; readonly status: 'waiting' | 'syncing' | 'in-sync' };
