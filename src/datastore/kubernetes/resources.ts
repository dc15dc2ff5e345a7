// Where a kind lives in the API: its path, and what differs between the native group projectcalico.org/v3 and the classic
// crd.projectcalico.org/v1 (RS-003, SR-041): names of kinds, metadata in an annotation, and two fields of another type.
import { type KindDefinition, kindDefinition, type KindName, type ObjectMeta } from '../../model/mod.ts';

export type ApiGroup = 'projectcalico.org/v3' | 'crd.projectcalico.org/v1';
export type Json = Record<string, unknown>;
export type StoredObject = Json & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
};

const classicGroup = 'crd.projectcalico.org/v1';
/** Holds the Calico metadata of a classic object as JSON; labels and annotations of the custom resource are its own. */
const metadataAnnotation = 'projectcalico.org/metadata';

export type Place = {
  readonly definition: KindDefinition;
  /** `/api/v1`, `/apis/apps/v1`. */
  readonly base: string;
  readonly plural: string;
  readonly classic: boolean;
  /** Whether the server has a status subresource for it. */
  readonly hasStatus: boolean;
};

/** undefined when the group has no such kind. */
export function placeOf(kind: KindName, group: ApiGroup): Place | undefined {
  const definition = kindDefinition(kind);
  if (definition.storedAs === 'view') return undefined;
  const classic = group === classicGroup && definition.family === 'calico';
  if (classic && definition.classic === undefined) return undefined;
  const apiVersion = classic ? classicGroup : definition.apiVersion;
  return {
    definition,
    base: apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`,
    plural: classic ? (definition.classic?.plural ?? definition.plural) : definition.plural,
    classic,
    hasStatus: definition.hasStatus && !classic,
  };
}

export function pathOf(
  place: Place,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  const scope =
    place.definition.namespaced && namespace !== undefined
      ? `/namespaces/${encodeURIComponent(namespace)}`
      : '';
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `${place.base}${scope}/${place.plural}${object}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** What the server sent as what the model says. Items of lists come without kind; managedFields are of no use here. */
export function fromStored(place: Place, sent: unknown): StoredObject {
  const object = sent as StoredObject;
  const { managedFields: _managed, ...metadata } = object.metadata;
  const { apiVersion, kind } = place.definition;
  const plain = { ...object, apiVersion, kind, metadata };
  return place.classic ? fromClassic(place, plain) : plain;
}

export function toStored(place: Place, object: StoredObject): StoredObject {
  return place.classic
    ? toClassic(place, object)
    : { ...object, apiVersion: place.definition.apiVersion, kind: place.definition.kind };
}

function fromClassic(place: Place, object: StoredObject): StoredObject {
  const text = object.metadata.annotations?.[metadataAnnotation];
  const outer = object.metadata;
  let metadata: ObjectMeta = outer;
  if (text !== undefined) {
    const inner = parseMetadata(text);
    const { annotations: _annotations, labels: _labels, ...identity } = outer;
    const {
      name: _name,
      namespace: _namespace,
      resourceVersion: _version,
      uid: _uid,
      creationTimestamp: _time,
      ...kept
    } = inner;
    metadata = { ...kept, ...identity };
  }
  const converted: StoredObject = { ...object, metadata };
  const spec = object['spec'] as Json | undefined;
  if (place.definition.name === 'BlockAffinity' && spec !== undefined) {
    return {
      ...converted,
      spec: { ...spec, deleted: spec['deleted'] === true || spec['deleted'] === 'true' },
    };
  }
  return converted;
}

function toClassic(place: Place, object: StoredObject): StoredObject {
  const {
    name,
    namespace,
    resourceVersion,
    uid,
    generateName,
    labels,
    finalizers,
    ownerReferences,
    ...rest
  } = object.metadata;
  const { generation: _generation, deletionTimestamp: _deletion, creationTimestamp, ...kept } = rest;
  // As Calico writes it, a creation time that is not known is null.
  const inner = {
    ...kept,
    ...(labels === undefined ? {} : { labels }),
    creationTimestamp: creationTimestamp ?? null,
  };
  const metadata: ObjectMeta = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(generateName === undefined ? {} : { generateName }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(uid === undefined ? {} : { uid }),
    // Lists by label need the labels outside as well; the inner ones count.
    ...(labels === undefined ? {} : { labels }),
    ...(finalizers === undefined ? {} : { finalizers }),
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    annotations: { [metadataAnnotation]: JSON.stringify(inner) },
  };
  const spec = object['spec'] as Json | undefined;
  const isAffinity = place.definition.name === 'BlockAffinity' && spec !== undefined;
  return {
    ...object,
    apiVersion: classicGroup,
    kind: place.definition.classic?.kind ?? place.definition.kind,
    metadata,
    ...(isAffinity ? { spec: { ...spec, deleted: spec['deleted'] === true ? 'true' : 'false' } } : {}),
  };
}

function parseMetadata(text: string): ObjectMeta {
  try {
    const value: unknown = JSON.parse(text);
    return (typeof value === 'object' && value !== null ? value : {}) as ObjectMeta;
  } catch {
    return {} as ObjectMeta;
  }
}
