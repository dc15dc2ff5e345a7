// What verbs do to one resource: read it, create it, replace it, delete it, as calicoctl does.
import type { Datastore, ObjectName, StoreError } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import {
  applyDefaults,
  type KindDefinition,
  type KindName,
  type ResourceOf,
  validateChange,
} from '../../model/mod.ts';
import { orderOf, refusalOf, type Writing } from './kinds.ts';
import type { Loaded, Metadata, Resource } from './input/resources.ts';
import { identifier, issuesText, notSupported, problemOf, storeErrorText } from './problems.ts';
import { type CliError, fail, type Flags, isSet, textFlag } from './program.ts';

/** `missing` and `exists` are what --skip-not-exists and --skip-exists forgive. */
export type ActionError = CliError & { readonly kind?: 'missing' | 'exists' };
type Acting<T = Resource> = Result<T, ActionError>;
export type Listed = {
  readonly definition: KindDefinition<KindName>;
  readonly items: readonly Resource[];
  readonly revision: string;
};

/** Others may win in between this often when no resourceVersion was given. */
const updateAttempts = 5;

export const nameOf = ({ definition, object }: Loaded): ObjectName => objectName(definition, object.metadata);

const objectName = (definition: KindDefinition, { name, namespace }: Metadata): ObjectName =>
  definition.namespaced && namespace !== undefined ? { name, namespace } : { name };

export const idOf = (loaded: Loaded): string => identifier(loaded.object.kind, nameOf(loaded));

const generic = (resource: Resource): ResourceOf<KindName> => resource as unknown as ResourceOf<KindName>;
const plain = (object: ResourceOf<KindName>): Resource => object as unknown as Resource;

/** The object in the namespace that it or the flags say; `default` when neither does. */
export function inNamespace(loaded: Loaded, flags: Flags): Acting<Loaded> {
  const { definition, object } = loaded;
  const given = textFlag(flags, 'namespace');
  const own = object.metadata.namespace;
  const everywhere = isSet(flags, 'allNamespaces');
  if (!definition.namespaced) {
    if (own !== undefined)
      return fail(
        `namespace should not be specified for a non-namespaced resource. ${object.kind} is not a namespaced resource`,
      );
    return everywhere || given !== undefined ? fail(`${object.kind} is not namespaced`) : ok(loaded);
  }
  if (everywhere && given !== undefined)
    return fail('cannot use both --namespace and --all-namespaces flags at the same time');
  if (everywhere && object.metadata.name !== undefined && object.metadata.name !== '')
    return fail('cannot use --all-namespace flag for getting a single resource');
  if (own !== undefined && given !== undefined && own !== given)
    return fail(`resource namespace does not match client namespace. ${own} != ${given}`);
  if (everywhere) return ok(loaded);
  return ok({
    ...loaded,
    object: { ...object, metadata: { ...object.metadata, namespace: own ?? given ?? 'default' } },
  });
}

function refused(error: StoreError, loaded: Loaded): Acting<never> {
  const message = storeErrorText(error, idOf(loaded), loaded);
  const kind = error.code === 'NotFound' ? 'missing' : error.code === 'AlreadyExists' ? 'exists' : undefined;
  return { ok: false, error: { code: error.code, message, ...(kind === undefined ? {} : { kind }) } };
}

function refusal(loaded: Loaded, writing: Writing): Acting<never> | undefined {
  const reason = refusalOf(loaded.definition.name, loaded.object.metadata.name, writing);
  return reason === undefined ? undefined : fail(notSupported(writing, idOf(loaded), reason));
}

/** The object as it will be stored, or what is wrong with it. */
export function prepared(loaded: Loaded): Acting {
  const text = problemOf(loaded);
  if (text !== undefined) return fail(text);
  return ok(plain(applyDefaults(loaded.definition.name, generic(loaded.object))));
}

export async function getResource(store: Datastore, loaded: Loaded): Promise<Acting> {
  const read = await readOne(store, loaded);
  return read.ok ? ok(plain(read.value)) : refused(read.error, loaded);
}

/** Profiles are partly made of other objects. */
async function readOne(store: Datastore, loaded: Loaded): Promise<Result<ResourceOf<KindName>, StoreError>> {
  if (loaded.definition.name !== 'Profile') return store.get(loaded.definition.name, nameOf(loaded));
  const { getProfile } = await import('./profiles.ts');
  return getProfile(store, loaded.object.metadata.name);
}

export async function listResources(
  store: Datastore,
  definition: KindDefinition<KindName>,
  options: { readonly namespace?: string; readonly labelSelector?: string },
): Promise<Acting<Listed>> {
  const { name } = definition;
  const listed =
    name === 'Profile'
      ? await (await import('./profiles.ts')).listProfiles(store)
      : await store.list(name, options);
  if (!listed.ok) return fail(storeErrorText(listed.error, definition.kind));
  const order = orderOf[name];
  const items = [...listed.value.items].map(plain).toSorted((a, b) => {
    const byOrder = order === undefined ? 0 : order({ spec: a['spec'] }) - order({ spec: b['spec'] });
    return (
      byOrder ||
      compare(a.metadata.namespace, b.metadata.namespace) ||
      compare(a.metadata.name, b.metadata.name)
    );
  });
  return ok({ definition, items, revision: listed.value.revision });
}

const compare = (a = '', b = ''): number => (a < b ? -1 : a > b ? 1 : 0);

export async function createResource(store: Datastore, loaded: Loaded): Promise<Acting> {
  const no = refusal(loaded, 'create');
  if (no !== undefined) return no;
  const ready = prepared(loaded);
  if (!ready.ok) return ready;
  const {
    resourceVersion: _version,
    uid: _uid,
    creationTimestamp: _time,
    generation: _generation,
    ...metadata
  } = ready.value.metadata;
  const created = await store.create(loaded.definition.name, generic({ ...ready.value, metadata }));
  if (created.ok) return ok(plain(created.value));
  return created.error.code === 'NotSupported'
    ? fail(notSupported('create', idOf(loaded), describe(created.error)))
    : refused(created.error, loaded);
}

const describe = ({ message, hint }: StoreError): string => hint ?? message;

export async function replaceResource(
  store: Datastore,
  loaded: Loaded,
  writing: Writing = 'replace',
): Promise<Acting> {
  const no = refusal(loaded, writing);
  if (no !== undefined) return no;
  const ready = prepared(loaded);
  if (!ready.ok) return ready;
  const given = ready.value.metadata.resourceVersion;
  for (let attempt = 1; ; attempt++) {
    const current = await readOne(store, loaded);
    if (!current.ok) return refused(current.error, loaded);
    const stored = plain(current.value);
    if (given !== undefined && given !== stored.metadata.resourceVersion)
      return fail(
        `update conflict: ${idOf(loaded)}: resource version '${given}' is out of date (latest: ${stored.metadata.resourceVersion}). Update the resource YAML/JSON in order to make changes.`,
      );
    const next = { ...ready.value, metadata: mergedMetadata(stored.metadata, ready.value.metadata) };
    const changes = validateChange(loaded.definition.name, next, stored);
    const text = issuesText(loaded, changes);
    if (text !== undefined) return fail(text);
    const written = await store.update(loaded.definition.name, generic(next));
    if (written.ok) return ok(plain(written.value));
    const isLast = given !== undefined || attempt >= updateAttempts;
    if (written.error.code !== 'Conflict' || isLast) return refused(written.error, loaded);
  }
}

/** Identity and what the server keeps are the stored ones; labels and annotations are those that were given. */
function mergedMetadata(stored: Metadata, given: Metadata): Metadata {
  const { labels: _labels, annotations: _annotations, ...kept } = stored;
  const {
    resourceVersion: _version,
    uid: _uid,
    creationTimestamp: _time,
    generation: _generation,
    ...said
  } = given;
  return { ...kept, ...said };
}

/** Creates what does not exist and replaces what does. */
export async function applyResource(store: Datastore, loaded: Loaded): Promise<Acting> {
  const no = refusal(loaded, 'apply');
  if (no !== undefined) return no;
  if (refusal(loaded, 'create') === undefined) {
    const ready = prepared(loaded);
    if (!ready.ok) return ready;
    const current = await readOne(store, loaded);
    if (!current.ok && current.error.code === 'NotFound') {
      const created = await createResource(store, loaded);
      const canBeUpdated = !created.ok && ['NotSupported', 'AlreadyExists'].includes(created.error.code);
      if (!canBeUpdated) return created;
    }
  }
  return replaceResource(store, loaded, 'apply');
}

export async function deleteResource(store: Datastore, loaded: Loaded): Promise<Acting> {
  const no = refusal(loaded, 'delete');
  if (no !== undefined) return no;
  const { name, resourceVersion } = loaded.object.metadata;
  if (loaded.definition.name === 'Node') {
    const { removeBelongings } = await import('./node/remove.ts');
    const removed = await removeBelongings(store, name);
    if (!removed.ok) return fail(removed.error.message, removed.error.hint);
  }
  const deleted = await store.delete(
    loaded.definition.name,
    nameOf(loaded),
    resourceVersion === undefined ? {} : { resourceVersion },
  );
  if (deleted.ok) return ok(loaded.object);
  return deleted.error.code === 'NotSupported'
    ? fail(notSupported('delete', idOf(loaded), describe(deleted.error)))
    : refused(deleted.error, loaded);
}
