// What the verbs work with: the store, the kinds, time.
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Access } from './auth/access.ts';
import type { Registry } from './kinds/registry.ts';
import type { Store } from './store/store.ts';
import type { Key } from './store/types.ts';
import { type Limits, resourceKeyOf, type ServedKind, storageOf } from './types.ts';

/** PEM: a client certificate, and who signs the nodes'. */
export type NodeClient = { readonly cert: string; readonly key: string; readonly ca: string };

export type Api = {
  readonly store: Store;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits: Limits;
  readonly access: Access;
  /** How long a change that would cut the server off is on trial; 0: such changes are not looked for. */
  readonly cutTrialMs: number;
  /** How the server shows itself to the nodes' runners; plain HTTP without. */
  readonly nodeClient?: NodeClient;
  /** Aborts when the server stops: ends watches. */
  readonly stopping: AbortSignal;
};

export const keyOf = (kind: ServedKind, namespace: string, name: string): Key => ({
  resource: resourceKeyOf(storageOf(kind)),
  namespace: kind.namespaced ? namespace : '',
  name,
});

/** Timestamps of the API have whole seconds. */
export const timestamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
