// The datastore over etcd: the same keys and values as Calico's own library, so that both can work on one store. etcd knows
// keys and revisions only; selections, status, finalizers and generated names are made here.
import { err, ok, type Result } from '../../lib/result.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { alreadyExists, conflict, invalid, notFound, storeError } from '../errors.ts';
import { applyPatch } from '../patch.ts';
import { matcherOf } from '../selectors.ts';
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
import { eventOf } from './events.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { KeyValueStore } from './kv.ts';
import { asWritten, identityOf, merged, prepared, timestamp, withRevision } from './objects.ts';
import { placeOf } from './places.ts';
import { type Renamed, renameOldPolicies } from './policy-names.ts';
import type { EtcdConnection } from './settings.ts';
import type { KeyValue, Place, StoredObject } from './types.ts';

export type EtcdOptions = GatewayOptions & {
  /** Told of values that cannot be read: somebody else wrote them, and they count as absent. */
  readonly onWarning?: (text: string) => void;
};

type Selection = Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;
type Patch = { readonly type: PatchType; readonly body: unknown; readonly status?: boolean };
type Found = { readonly object: StoredObject; readonly stored: KeyValue };

/** Others may win in between this often, when the caller named no revision. */
const attempts = 10;
const scanPageSize = 5000;
const decimal = /^\d{1,19}$/;

export class EtcdDatastore implements Datastore {
  readonly #gateway: Gateway;
  readonly #kv: KeyValueStore;
  readonly #onWarning: (text: string) => void;
  readonly #closed = new AbortController();
  /** Bad values that were told of, by key and revision; bounded. */
  readonly #told = new Set<string>();

  constructor(connection: EtcdConnection, options: EtcdOptions = {}) {
    this.#gateway = new Gateway(connection, options);
    this.#kv = new KeyValueStore(this.#gateway);
    this.#onWarning = options.onWarning ?? (() => {});
  }

  /** Keys and values themselves, for what is in etcd beside resources. */
  get keys(): KeyValueStore {
    return this.#kv;
  }

  /** Policies under keys of old versions move to those of their names. */
  renameOldPolicies(): Promise<Result<Renamed, StoreError>> {
    return renameOldPolicies(this.#kv);
  }

  async get<K extends KindName>(
    kind: K,
    name: ObjectName,
    signal?: AbortSignal,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const place = placeOfKind(kind);
    if (!place.ok) return place;
    const found = await this.#find(kind, place.value, name, signal);
    return found.ok ? ok(typed<K>(found.value.object)) : found;
  }

  async list<K extends KindName>(
    kind: K,
    options: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<Result<ListResult<ResourceOf<K>>, StoreError>> {
    const place = placeOfKind(kind);
    if (!place.ok) return place;
    const matches = matcherOf(options);
    if (!matches.ok) return matches;
    const page = pageOf(options.continue);
    if (page === undefined) return err(storeError('Invalid', 'The token to continue the list is not one.'));
    const listed = await this.#kv.list(place.value.range(options.namespace), {
      ...page,
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      signal,
    });
    if (!listed.ok) return listed;
    const { items, revision, more } = listed.value;
    const objects = items.flatMap((stored) => {
      const object = this.#show(place.value, stored);
      return object !== undefined && matches.value(object) ? [typed<K>(object)] : [];
    });
    const last = items.at(-1);
    return ok({
      items: objects,
      revision,
      ...(more && last !== undefined ? { continue: `${revision}:${last.key}` } : {}),
    });
  }

  async create<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const place = placeOfKind(kind);
    if (!place.ok) return place;
    const next = prepared(place.value, untyped(object));
    const name = identityOf(next);
    const key = place.value.keyOf(next);
    if (key === undefined) return noPlace(kind, name);
    // Under another key than its own only a look finds it: a policy of an old version.
    if (options.dryRun || (place.value.isResource && place.value.keysOf(name).length > 1)) {
      const found = await this.#find(kind, place.value, name, options.signal);
      if (found.ok) return alreadyExists(kind, name);
      if (found.error.code !== 'NotFound') return found;
      if (options.dryRun) return ok(typed<K>(next));
    }
    const change = { put: place.value.encode(next) };
    const written = await this.#kv.write([{ key, change, condition: { absent: true } }], options.signal);
    if (!written.ok) return written;
    return written.value.done
      ? ok(typed<K>(asWritten(place.value, key, next, written.value.revision, written.value.revision)))
      : alreadyExists(kind, name);
  }

  update<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    return this.#replace(kind, untyped(object), 'main', options);
  }

  updateStatus<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    return this.#replace(kind, untyped(object), 'status', options);
  }

  async patch<K extends KindName>(
    kind: K,
    name: ObjectName,
    patch: Patch,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    for (let attempt = 1; ; attempt++) {
      const current = await this.get(kind, name, options.signal);
      if (!current.ok) return current;
      const patched = applyPatch(patch.type, current.value, patch.body);
      if (!patched.ok) {
        if (patched.error.code === 'NotSupported')
          return err(storeError('NotSupported', patched.error.message, patched.error.hint));
        return invalid(kind, name, 'patch', patched.error.message);
      }
      const next = patched.value as StoredObject;
      const written = await this.#replace<K>(kind, next, patch.status ? 'status' : 'main', options);
      const isOwnVersion = next.metadata.resourceVersion !== current.value.metadata.resourceVersion;
      if (written.ok || written.error.code !== 'Conflict' || isOwnVersion || attempt >= attempts)
        return written;
    }
  }

  async delete<K extends KindName>(
    kind: K,
    name: ObjectName,
    options: DeleteOptions = {},
  ): Promise<Result<ResourceOf<K> | undefined, StoreError>> {
    const place = placeOfKind(kind);
    if (!place.ok) return place;
    for (let attempt = 1; ; attempt++) {
      const found = await this.#find(kind, place.value, name, options.signal);
      if (!found.ok) return found;
      const { object, stored } = found.value;
      const { resourceVersion, uid, finalizers, deletionTimestamp } = object.metadata;
      if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion)
        return conflict(
          kind,
          name,
          `revision ${options.resourceVersion} is not the stored ${resourceVersion}`,
        );
      if (options.uid !== undefined && options.uid !== uid)
        return conflict(kind, name, 'it was deleted and created again');
      if (options.dryRun) return ok(typed<K>(object));
      const isHeld = (finalizers ?? []).length > 0;
      if (isHeld && deletionTimestamp !== undefined) return ok(typed<K>(object));
      const marked = { ...object, metadata: { ...object.metadata, deletionTimestamp: timestamp() } };
      const change = isHeld ? { put: place.value.encode(marked) } : ({ delete: true } as const);
      const condition = { modRevision: stored.modRevision };
      const written = await this.#kv.write([{ key: stored.key, change, condition }], options.signal);
      if (!written.ok) return written;
      if (written.value.done) {
        const last = isHeld ? marked : object;
        return ok(
          typed<K>(asWritten(place.value, stored.key, last, stored.createRevision, written.value.revision)),
        );
      }
      // Somebody wrote in between: what was asked for is looked at again.
      if (written.value.found === undefined) return notFound(kind, name);
      if (attempt >= attempts) return conflict(kind, name, 'others keep writing it');
    }
  }

  async *watch<K extends KindName>(
    kind: K,
    from: Revision,
    options: Selection,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ResourceOf<K>>> {
    const place = placeOfKind(kind);
    const matches = matcherOf(options);
    if (!place.ok || !matches.ok || !decimal.test(from)) {
      const error = !place.ok
        ? place.error
        : !matches.ok
          ? matches.error
          : storeError('TooOld', `"${from}" is no revision of etcd.`, 'List again.');
      yield { type: 'error', error };
      return;
    }
    const ending = AbortSignal.any([signal, this.#closed.signal]);
    const show = (stored: KeyValue, tell: boolean) => this.#show(place.value, stored, tell);
    let revision = from;
    for await (const message of this.#kv.watch(place.value.range(options.namespace), from, ending)) {
      if (ending.aborted) return;
      if (message.type === 'error') {
        yield message;
        return;
      }
      if (message.type === 'progress') {
        if (BigInt(message.revision) > BigInt(revision)) revision = message.revision;
        yield { type: 'bookmark', revision };
        continue;
      }
      for (const [i, change] of message.events.entries()) {
        // One transaction is one revision: only with its last change is that revision done.
        const isLast = message.events[i + 1]?.revision !== change.revision;
        if (isLast) revision = change.revision;
        const event = eventOf<K>(place.value, change, matches.value, revision, show);
        if (event !== undefined) yield event;
        else if (i === message.events.length - 1) yield { type: 'bookmark', revision };
        if (ending.aborted) return;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#gateway.close();
  }

  async #find(
    kind: KindName,
    place: Place,
    name: ObjectName,
    signal: AbortSignal | undefined,
  ): Promise<Result<Found, StoreError>> {
    const read = await this.#kv.read(place.keysOf(name), signal);
    if (!read.ok) return read;
    let bad: StoreError | undefined;
    for (const stored of read.value) {
      const object = place.decode(stored);
      if (!object.ok) bad ??= storeError('Invalid', object.error.message);
      else if (object.value.metadata.name === name.name)
        return ok({ object: withRevision(place, stored, object.value), stored });
    }
    if (bad !== undefined) return err(bad);
    const hidden = place.mayHide(name) ? await this.#scan(place, name, signal) : ok(undefined);
    if (!hidden.ok) return hidden;
    return hidden.value === undefined ? notFound(kind, name) : ok(hidden.value);
  }

  /** Looks through the keys alone: values are many times larger. */
  async #scan(
    place: Place,
    name: ObjectName,
    signal: AbortSignal | undefined,
  ): Promise<Result<Found | undefined, StoreError>> {
    let after: string | undefined;
    do {
      const page = { keysOnly: true, limit: scanPageSize, signal, ...(after === undefined ? {} : { after }) };
      const listed = await this.#kv.list(place.range(name.namespace), page);
      if (!listed.ok) return listed;
      const match = listed.value.items.find(({ key }) => place.nameOf(key)?.name === name.name);
      if (match !== undefined) {
        const read = await this.#kv.read([match.key], signal);
        if (!read.ok) return read;
        const stored = read.value[0];
        const object = stored === undefined ? undefined : place.decode(stored);
        if (object?.ok === false) return err(storeError('Invalid', object.error.message));
        return ok(
          stored === undefined || object === undefined
            ? undefined
            : { object: withRevision(place, stored, object.value), stored },
        );
      }
      after = listed.value.more ? listed.value.items.at(-1)?.key : undefined;
    } while (after !== undefined);
    return ok(undefined);
  }

  async #replace<K extends KindName>(
    kind: K,
    object: StoredObject,
    part: 'main' | 'status',
    options: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const place = placeOfKind(kind);
    if (!place.ok) return place;
    const name = identityOf(object);
    const { resourceVersion } = object.metadata;
    if (!resourceVersion) return invalid(kind, name, 'metadata.resourceVersion', 'is required for an update');
    if (!decimal.test(resourceVersion))
      return invalid(kind, name, 'metadata.resourceVersion', `"${resourceVersion}" is no revision of etcd`);
    const target = await this.#target(kind, place.value, object, part, options);
    if (!target.ok) return target;
    const { key, next, createRevision } = target.value;
    if (options.dryRun) return ok(typed<K>(next));
    const isFinished =
      next.metadata.deletionTimestamp !== undefined && (next.metadata.finalizers ?? []).length === 0;
    const change = isFinished ? ({ delete: true } as const) : { put: place.value.encode(next) };
    const condition = { modRevision: resourceVersion };
    const written = await this.#kv.write([{ key, change, condition }], options.signal);
    if (!written.ok) return written;
    if (written.value.done)
      return ok(typed<K>(asWritten(place.value, key, next, createRevision, written.value.revision)));
    const { found } = written.value;
    return found === undefined
      ? notFound(kind, name)
      : conflict(kind, name, `revision ${resourceVersion} is not the stored ${found.modRevision}`);
  }

  /** Where an update goes and what it writes. What has no metadata of its own is written without being read: that it has
   *  the revision says that it is the same object. */
  async #target(
    kind: KindName,
    place: Place,
    object: StoredObject,
    part: 'main' | 'status',
    options: WriteOptions,
  ): Promise<Result<{ key: string; next: StoredObject; createRevision?: string }, StoreError>> {
    const name = identityOf(object);
    if (!place.isResource && !options.dryRun) {
      const key = place.keyOf(object);
      return key === undefined ? noPlace(kind, name) : ok({ key, next: object });
    }
    const found = await this.#find(kind, place, name, options.signal);
    if (!found.ok) return found;
    const { stored, object: current } = found.value;
    const { resourceVersion, uid } = object.metadata;
    if (stored.modRevision !== resourceVersion)
      return conflict(kind, name, `revision ${resourceVersion} is not the stored ${stored.modRevision}`);
    if (uid !== undefined && uid !== current.metadata.uid)
      return conflict(kind, name, 'it was deleted and created again');
    return ok({
      key: stored.key,
      next: merged(place, current, object, part),
      createRevision: stored.createRevision,
    });
  }

  #show(place: Place, stored: KeyValue, tell = true): StoredObject | undefined {
    if (place.nameOf(stored.key) === undefined) return undefined;
    const object = place.decode(stored);
    if (object.ok) return withRevision(place, stored, object.value);
    if (tell) this.#tell(stored, object.error.message);
    return undefined;
  }

  #tell({ key, modRevision }: KeyValue, message: string): void {
    const value = `${modRevision} ${key}`;
    if (this.#told.has(value)) return;
    if (this.#told.size >= 1000) this.#told.clear();
    this.#told.add(value);
    this.#onWarning(message);
  }
}

function placeOfKind(kind: KindName): Result<Place, StoreError> {
  const place = placeOf(kind);
  return place === undefined
    ? err(storeError('NotSupported', `${kind} is not stored in etcd: it is a kind of Kubernetes.`))
    : ok(place);
}

const noPlace = (kind: KindName, name: ObjectName): Result<never, StoreError> =>
  invalid(kind, name, name.name === '' ? 'metadata.name' : 'metadata', 'names no place in etcd');

/** "revision:last key" of the page before. */
function pageOf(token: string | undefined): { revision?: string; after?: string } | undefined {
  if (token === undefined) return {};
  const [, revision, after] = /^(\d+):(.+)$/s.exec(token) ?? [];
  return revision === undefined || after === undefined ? undefined : { revision, after };
}

const typed = <K extends KindName>(object: StoredObject): ResourceOf<K> => object as unknown as ResourceOf<K>;
const untyped = <K extends KindName>(object: ResourceOf<K>): StoredObject =>
  object as unknown as StoredObject;
