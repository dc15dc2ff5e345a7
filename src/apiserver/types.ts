// What the parts of the API server share: the object, the kind as it is served, and what a caller may set.
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Failure, Result } from '../lib/result.ts';
import type { Issue, ObjectMeta } from '../model/mod.ts';
import type { Access } from './auth/access.ts';
import type { User } from './auth/types.ts';
import type { JsonObject } from './json.ts';
import type { Schema } from './schema/types.ts';
import type { StatusError } from './status.ts';
import type { Key } from './store/types.ts';

export type { Issue };

/** Any object of the API. Stored objects are never changed in place. */
export type ApiObject = JsonObject & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
};

export type Column = {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly description?: string;
  /** 0 is always shown; above 0 only with `-o wide`. */
  readonly priority?: number;
  /** kubectl joins `name` columns to the resource's name. */
  readonly format?: string;
  /** The cell; undefined is printed as `<none>`. */
  value(object: ApiObject, nowMs: number): string | number | boolean | undefined;
};

/** One resource as the server serves it: the port through which kinds of any origin (core, Calico's model) come in. */
export type ServedKind = {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** `builtin`: status writes may also change labels and annotations, a PUT without resourceVersion overwrites. */
  readonly nature: 'builtin' | 'custom';
  readonly columns: readonly Column[];
  readonly hasStatus: boolean;
  readonly hasScale: boolean;
  /** metadata.generation counts changes of everything but metadata and status. */
  readonly countsGenerations: boolean;
  /** Known fields and merge keys; undefined when the kind's own validation does that. */
  readonly schema: Schema | undefined;
  /** Set when the kind is another form of a stored one. */
  readonly view?: View;
  /** Drops fields that the kind does not have, and names them. */
  prune?(object: ApiObject): { readonly object: ApiObject; readonly unknown: readonly string[] };
  /** The structural schema of a custom kind, as in a CustomResourceDefinition. */
  readonly structural?: () => JsonObject;
  /** How names are checked; `path` only refuses what cannot stand in a URL. */
  readonly names: 'subdomain' | 'label' | 'path';
  /** Fills in what users may leave out. */
  applyDefaults(object: ApiObject): ApiObject;
  /** What is wrong with the object; on update with the object as it was. */
  validate(object: ApiObject, previous: ApiObject | undefined): readonly Issue[];
  /** What is wrong with the object beside others: called when `validate` found nothing. */
  admit?(object: ApiObject, previous: ApiObject | undefined, world: World): readonly Issue[];
  /** Why there may be no such new object now, whoever asks: called when nothing else is wrong with it. */
  forbid?(object: ApiObject, world: World): string | undefined;
  /** Why the object must not be deleted. */
  keep?(object: ApiObject, world: World): string | undefined;
  /** A finalizer that deletion puts on the object: a controller takes it off when what depends on it is gone. */
  finalizeWith?(object: ApiObject, world: World): string | undefined;
  /** What the server decides on create and update (status reset and the like). */
  prepare?(object: ApiObject, previous: ApiObject | undefined, world: World): ApiObject;
  /** Never stored: the nodes are asked at each get and list. */
  readonly isMeasured?: boolean;
  /** For kinds that are questions: nothing is stored, POST answers with this. */
  answer?(object: ApiObject, asking: Asking): Result<ApiObject, StatusError>;
};

/** Who asks a question, and where. */
export type Asking = {
  readonly user: User;
  readonly access: Access;
  readonly namespace: string | undefined;
};

/** How objects of a kind look that are kept as those of another: another version, or another group. */
export type View = {
  readonly base: ServedKind;
  outward(object: ApiObject): ApiObject;
  inward(object: ApiObject, previous: ApiObject | undefined): ApiObject;
};

/** The kind as which the objects are kept and checked. */
export const storageOf = (kind: ServedKind): ServedKind => kind.view?.base ?? kind;

/** What a kind may look at to decide about one of its objects. */
export type World = {
  get(key: Key): { readonly object: ApiObject } | undefined;
  /** Every object of a resource, by its key (`services`). */
  objects(resource: string): Iterable<ApiObject>;
};

export const groupVersionOf = (kind: { readonly group: string; readonly version: string }): string =>
  kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;

/** `pods`, `deployments.apps`: the key of a resource in the store and in messages. */
export const resourceKeyOf = (kind: { readonly group: string; readonly plural: string }): string =>
  kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;

export type ServerErrorCode =
  | 'AddressInUse'
  | 'AddressInvalid'
  | 'PermissionDenied'
  | 'ListenFailed'
  | 'DataInUse'
  | 'DataUnusable';
export type ServerError = Failure<ServerErrorCode>;

export type Limits = {
  /** Request bodies above this are refused with 413. */
  readonly bodyBytes: number;
  /** Nesting of JSON above this is refused with 400. */
  readonly jsonDepth: number;
  readonly connections: number;
  readonly headerBytes: number;
  /** A request must have arrived completely within this time. */
  readonly requestTimeoutMs: number;
  /** A watcher that takes nothing from its socket for this long is disconnected. */
  readonly stalledWatchMs: number;
  /** Changes kept for watches to resume from, by count and by bytes of JSON. */
  readonly historyEvents: number;
  readonly historyBytes: number;
};

export const defaultLimits: Limits = {
  bodyBytes: 3 * 1024 * 1024,
  jsonDepth: 200,
  connections: 10_000,
  headerBytes: 16 * 1024,
  requestTimeoutMs: 30_000,
  stalledWatchMs: 30_000,
  historyEvents: 20_000,
  historyBytes: 64 * 1024 * 1024,
};

export const defaultCutTrialMs = 60_000;

/** TLS and the keys of the cluster, all PEM. */
export type Security = {
  /** What the server shows to clients. */
  readonly cert: string;
  readonly key: string;
  /** Who signs the certificates of clients and nodes. */
  readonly clientCa: string;
  /** Signs tokens of service accounts. */
  readonly tokenKey: string;
  /** What the server shows to the nodes' runners. */
  readonly nodeClient: { readonly cert: string; readonly key: string };
};

export type ApiServerOptions = {
  /** Without it the server speaks plain HTTP, and who shows no token is the administrator. */
  readonly security?: Security;
  /** `host:port` each; port 0 takes a free one. */
  readonly listen?: readonly string[];
  /** An already listening socket handed down by the parent process. */
  readonly listenFd?: number;
  /** Directory of the database, or `:memory:`. */
  readonly data: string;
  /** `power`: an acknowledged write survives a power cut (fsync). `process`: it survives the death of the process only. */
  readonly durability?: 'power' | 'process';
  readonly limits?: Partial<Limits>;
  /** How long a change of policy that would cut the server off is on trial (docs/policy-dataplane.md); 0: never. */
  readonly cutTrialMs?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
};

export interface ApiServer {
  /** `http://host:port` (or https) of every listener, in the order given. */
  readonly addresses: readonly string[];
  /** Stops taking requests, ends watches, writes what is under way, closes the database. */
  stop(): Promise<void>;
}
