// The datastore over the Kubernetes API: the embedded server's or a real cluster's.
import { err, ok, type Result } from '../../lib/result.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { conflict, invalid, notFound, storeError } from '../errors.ts';
import { applyPatch } from '../patch.ts';
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
import type { Connection } from './kubeconfig.ts';
import {
  type ApiGroup,
  fromStored,
  pathOf,
  type Place,
  placeOf,
  type StoredObject,
  toStored,
} from './resources.ts';
import { isStatus } from './status.ts';
import { type ApiRequest, Transport, type TransportOptions } from './transport.ts';
import { type View, viewOf } from './views.ts';
import { watchEvents } from './watch.ts';

export type KubernetesOptions = TransportOptions & {
  /** Group of Calico's own kinds; projectcalico.org/v3 by default. */
  readonly apiGroup?: ApiGroup;
};

type Selection = Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;
type Patch = { readonly type: PatchType; readonly body: unknown; readonly status?: boolean };

const listTimeoutMs = 60_000;
/** A patch of a view is read, changed and written back; others may win in between this often. */
const patchAttempts = 10;
const patchTypes: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};

export class KubernetesDatastore implements Datastore {
  readonly #transport: Transport;
  readonly #group: ApiGroup;

  constructor(connection: Connection, options: KubernetesOptions = {}) {
    this.#transport = new Transport(connection, options);
    this.#group = options.apiGroup ?? 'projectcalico.org/v3';
  }

  async get<K extends KindName>(
    kind: K,
    name: ObjectName,
    signal?: AbortSignal,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const view = viewOf(kind);
    const sourceName = view === undefined ? name : view.sourceName(name);
    if (sourceName === undefined) return notFound(kind, name);
    const read = await this.#read(view?.source ?? kind, sourceName, signal);
    if (!read.ok) return read.error.code === 'NotFound' ? notFound(kind, name) : read;
    const shown = view === undefined ? read.value : view.show(read.value);
    // A pod that moved to another node is another endpoint.
    return shown === undefined || shown.metadata.name !== name.name
      ? notFound(kind, name)
      : ok(typed<K>(shown));
  }

  async list<K extends KindName>(
    kind: K,
    options: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<Result<ListResult<ResourceOf<K>>, StoreError>> {
    const view = viewOf(kind);
    const place = this.#place(view?.source ?? kind);
    if (!place.ok) return place;
    const path = `${pathOf(place.value, options.namespace)}${queryOf(view === undefined ? options : view.selection(options))}`;
    const listed = await this.#transport.json({ method: 'GET', path, signal, timeoutMs: listTimeoutMs });
    if (!listed.ok) return listed;
    const { items, metadata } = listed.value as {
      items?: readonly unknown[] | null;
      metadata?: { resourceVersion?: string; continue?: string };
    };
    const objects = (items ?? []).flatMap((item) => {
      const object = fromStored(place.value, item);
      const shown = view === undefined ? object : view.show(object);
      return shown === undefined ? [] : [typed<K>(shown)];
    });
    return ok({
      items: objects,
      revision: metadata?.resourceVersion ?? '',
      ...(metadata?.continue ? { continue: metadata.continue } : {}),
    });
  }

  async create<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const refused = refuseView(kind, 'create');
    if (refused !== undefined) return refused;
    const place = this.#place(kind);
    if (!place.ok) return place;
    const stored = untyped(object);
    const { resourceVersion: _version, ...metadata } = stored.metadata;
    const body = toStored(place.value, { ...stored, metadata });
    return this.#write<K>(
      place.value,
      { method: 'POST', path: pathOf(place.value, metadata.namespace), body },
      options,
    );
  }

  update<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    return this.#put(kind, object, undefined, options);
  }

  updateStatus<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    return this.#put(kind, object, 'status', options);
  }

  async #put<K extends KindName>(
    kind: K,
    object: ResourceOf<K>,
    subresource: 'status' | undefined,
    options: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const stored = untyped(object);
    const { name, namespace, resourceVersion } = stored.metadata;
    const identity: ObjectName = namespace === undefined ? { name } : { name, namespace };
    if (!resourceVersion)
      return invalid(kind, identity, 'metadata.resourceVersion', 'is required for an update');
    const view = viewOf(kind);
    if (view !== undefined) return this.#writeView<K>(kind, view, stored, options);
    const place = this.#place(kind);
    if (!place.ok) return place;
    const path = pathOf(place.value, namespace, name, place.value.hasStatus ? subresource : undefined);
    return this.#write<K>(place.value, { method: 'PUT', path, body: toStored(place.value, stored) }, options);
  }

  /** The source keeps everything that the view does not speak of; its revision is the view's. */
  async #writeView<K extends KindName>(
    kind: K,
    view: View,
    object: StoredObject,
    options: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const name = view.sourceName({ name: object.metadata.name });
    if (view.write === undefined || name === undefined)
      return err(storeError('NotSupported', `A ${kind} cannot be written.`, view.readOnly));
    const source = await this.#read(view.source, name, options.signal);
    if (!source.ok) return source.error.code === 'NotFound' ? notFound(kind, name) : source;
    const { uid } = object.metadata;
    if (source.value.metadata.resourceVersion !== object.metadata.resourceVersion)
      return conflict(kind, name, `revision ${object.metadata.resourceVersion} is not the stored one`);
    if (uid !== undefined && view.show(source.value)?.metadata.uid !== uid)
      return conflict(kind, name, 'it was deleted and created again');
    const written = await this.update(view.source, typed(view.write(object, source.value)), options);
    if (!written.ok) return written;
    const shown = view.show(untyped(written.value));
    return shown === undefined ? notFound(kind, name) : ok(typed<K>(shown));
  }

  async patch<K extends KindName>(
    kind: K,
    name: ObjectName,
    patch: Patch,
    options: WriteOptions = {},
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const view = viewOf(kind);
    const place = view === undefined ? this.#place(kind) : undefined;
    if (place?.ok === false) return place;
    // What is stored in another form cannot be patched in this one by the server.
    if (place === undefined || place.value.classic) return this.#patchHere(kind, name, patch, options);
    const path = pathOf(
      place.value,
      name.namespace,
      name.name,
      patch.status && place.value.hasStatus ? 'status' : undefined,
    );
    return this.#write<K>(
      place.value,
      { method: 'PATCH', path, body: patch.body, contentType: patchTypes[patch.type] },
      options,
    );
  }

  async #patchHere<K extends KindName>(
    kind: K,
    name: ObjectName,
    patch: Patch,
    options: WriteOptions,
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
      const written = await this.update(kind, patched.value as ResourceOf<K>, options);
      if (written.ok || written.error.code !== 'Conflict' || attempt >= patchAttempts) return written;
    }
  }

  async delete<K extends KindName>(
    kind: K,
    name: ObjectName,
    options: DeleteOptions = {},
  ): Promise<Result<ResourceOf<K> | undefined, StoreError>> {
    const refused = refuseView(kind, 'delete');
    if (refused !== undefined) return refused;
    const place = this.#place(kind);
    if (!place.ok) return place;
    const { resourceVersion, uid, gracePeriodSeconds } = options;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
      ...(options.dryRun ? { dryRun: ['All'] } : {}),
    };
    const path = pathOf(place.value, name.namespace, name.name);
    const deleted = await this.#transport.json({ method: 'DELETE', path, body, signal: options.signal });
    if (!deleted.ok) return deleted.error.code === 'NotFound' ? notFound(kind, name) : deleted;
    return ok(isStatus(deleted.value) ? undefined : typed<K>(fromStored(place.value, deleted.value)));
  }

  async *watch<K extends KindName>(
    kind: K,
    from: Revision,
    options: Selection,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ResourceOf<K>>> {
    const view = viewOf(kind);
    const place = this.#place(view?.source ?? kind);
    if (!place.ok) {
      yield { type: 'error', error: place.error };
      return;
    }
    const selection = view === undefined ? options : view.selection(options);
    const path = `${pathOf(place.value, options.namespace)}${queryOf(selection)}`;
    for await (const event of watchEvents(this.#transport, path, from, signal)) {
      if (event.type === 'bookmark' || event.type === 'error') {
        yield event;
        continue;
      }
      const { revision } = event;
      const object = fromStored(place.value, event.object);
      if (view === undefined) {
        yield { type: event.type, object: typed<K>(object), revision };
        continue;
      }
      // A source without its view (a pod that has ended) is a deleted view; for who never saw it, it is nothing.
      const shown = event.type === 'deleted' ? undefined : view.show(object);
      const gone = shown === undefined ? view.gone(object) : undefined;
      if (shown !== undefined) yield { type: event.type, object: typed<K>(shown), revision };
      else if (gone !== undefined) yield { type: 'deleted', object: typed<K>(gone), revision };
      else yield { type: 'bookmark', revision };
    }
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async #read(
    kind: KindName,
    name: ObjectName,
    signal: AbortSignal | undefined,
  ): Promise<Result<StoredObject, StoreError>> {
    const place = this.#place(kind);
    if (!place.ok) return place;
    const read = await this.#transport.json({
      method: 'GET',
      path: pathOf(place.value, name.namespace, name.name),
      signal,
    });
    if (!read.ok) return read.error.code === 'NotFound' ? notFound(kind, name) : read;
    return ok(fromStored(place.value, read.value));
  }

  async #write<K extends KindName>(
    place: Place,
    request: ApiRequest,
    options: WriteOptions,
  ): Promise<Result<ResourceOf<K>, StoreError>> {
    const path = options.dryRun ? `${request.path}?dryRun=All` : request.path;
    const written = await this.#transport.json({ ...request, path, signal: options.signal });
    return written.ok ? ok(typed<K>(fromStored(place, written.value))) : written;
  }

  #place(kind: KindName): Result<Place, StoreError> {
    const place = placeOf(kind, this.#group);
    if (place !== undefined) return ok(place);
    return err(
      storeError(
        'NotSupported',
        `${kind} is not stored in a Kubernetes datastore with the group ${this.#group}.`,
      ),
    );
  }
}

function refuseView(
  kind: KindName,
  verb: string,
): { readonly ok: false; readonly error: StoreError } | undefined {
  const view = viewOf(kind);
  return view === undefined
    ? undefined
    : err(storeError('NotSupported', `${kind}: ${verb} is not possible.`, view.readOnly));
}

function queryOf(options: ListOptions): string {
  const query = new URLSearchParams();
  if (options.labelSelector) query.set('labelSelector', options.labelSelector);
  if (options.fieldSelector) query.set('fieldSelector', options.fieldSelector);
  if (options.limit) query.set('limit', String(options.limit));
  if (options.continue) query.set('continue', options.continue);
  return query.size > 0 ? `?${query.toString()}` : '';
}

const typed = <K extends KindName>(object: StoredObject): ResourceOf<K> => object as unknown as ResourceOf<K>;
const untyped = <K extends KindName>(object: ResourceOf<K>): StoredObject =>
  object as unknown as StoredObject;
