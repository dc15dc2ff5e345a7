// The store's faces: objects by name, changes by revision.
import type { Result } from '../../lib/result.ts';
import type { StatusError } from '../status.ts';
import type { ApiObject } from '../types.ts';

export type Key = { readonly resource: string; readonly namespace: string; readonly name: string };

export type Stored = Key & {
  /** The revision of the write that made this state; also metadata.resourceVersion. */
  readonly revision: number;
  readonly object: ApiObject;
  /** The object as JSON: written to disk and sent to clients as it is. */
  readonly text: string;
};

export type Change = {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** The new state; for DELETED the last one, with the revision of the deletion. */
  readonly current: Stored;
  readonly previous: Stored | undefined;
};

/** What a write sees and does. Changes count for later writes at once, for readers when they are on disk. */
export interface Transaction {
  readonly nowMs: number;
  get(key: Key): Stored | undefined;
  /** Every object of a resource, in no order. */
  objects(resource: string): Iterable<ApiObject>;
  /** Whether any object lives in the namespace. */
  namespaceInUse(namespace: string): boolean;
  /** Stores the object under a new revision and gives it with that resourceVersion. */
  put(key: Key, object: ApiObject): Stored;
  /** Removes the object; gives its last state with the revision of the removal. */
  remove(key: Key, last?: ApiObject): Stored | undefined;
}

export type Write<T> = (transaction: Transaction) => Result<T, StatusError>;

/** Changes of one resource from a revision on. Pull what is there; `onMore` tells when there is more. */
export interface ChangeFeed {
  /** The next change, undefined when there is none yet, `expired` when it is no longer kept. */
  next(): Change | undefined | 'expired';
  /** Everything up to this revision has been given by `next`. */
  readonly seen: number;
  close(): void;
}
