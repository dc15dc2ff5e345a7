// The group crd.projectcalico.org/v1, in which Calico kept its resources before: another form of the same objects (SR-041,
// SR-042, SR-047, SR-210). Their metadata is in an annotation there, which counts when a writer changes it.
import {
  kindDefinition,
  type KindName,
  type ObjectMeta,
  allKinds,
  customResourceDefinition,
} from '../../model/mod.ts';
import { isObject, type JsonObject, objectAt } from '../json.ts';
import type { ApiObject, ServedKind, View } from '../types.ts';
import { calicoKinds, structuralSchema } from './calico.ts';

export const classicGroup = 'crd.projectcalico.org';
const apiVersion = `${classicGroup}/v1`;
const annotation = 'projectcalico.org/metadata';

const classicNames: readonly KindName[] = allKinds.filter((name) => {
  const { classic, family, storedAs } = kindDefinition(name);
  return family === 'calico' && storedAs === 'itself' && classic !== undefined;
});

/** The definitions as objects: what `kubectl get crd` lists. */
export const classicDefinitions = (): readonly ApiObject[] =>
  classicNames.map((name) => customResourceDefinition(name, classicGroup) as ApiObject);

export function classicKinds(): readonly ServedKind[] {
  const native = new Map(calicoKinds().map((kind) => [kind.kind, kind]));
  return classicNames.flatMap((name) => {
    const stored = native.get(kindDefinition(name).kind);
    const { classic } = kindDefinition(name);
    if (stored === undefined || classic === undefined) return [];
    const base = { ...stored, hasStatus: false };
    return [
      {
        ...base,
        group: classicGroup,
        version: 'v1',
        kind: classic.kind,
        plural: classic.plural,
        singular: classic.kind.toLowerCase(),
        shortNames: [],
        structural: () => structuralSchema(name, classicGroup),
        view: classicView(base, classic.kind),
      },
    ];
  });
}

type Metadata = { -readonly [K in keyof ObjectMeta]: ObjectMeta[K] };

function classicView(base: ServedKind, kind: string): View {
  const outward = (object: ApiObject): ApiObject => {
    const { metadata } = object;
    const { uid, creationTimestamp, labels, annotations } = metadata;
    const inner = {
      ...(uid === undefined ? {} : { uid }),
      creationTimestamp: creationTimestamp ?? null,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    };
    return {
      ...withDeleted(object, String),
      apiVersion,
      kind,
      metadata: { ...metadata, annotations: { ...annotations, [annotation]: JSON.stringify(inner) } },
    };
  };
  const inward = (object: ApiObject, previous: ApiObject | undefined): ApiObject => {
    const { [annotation]: text, ...others } = object.metadata.annotations ?? {};
    const { annotations: _, ...metadata } = object.metadata;
    const outer: Metadata = {
      ...metadata,
      ...(Object.keys(others).length === 0 ? {} : { annotations: others }),
    };
    const before = previous === undefined ? undefined : outward(previous).metadata.annotations?.[annotation];
    const wrote = text !== undefined && text !== before ? innerOf(text) : undefined;
    const native = { apiVersion: 'projectcalico.org/v3', kind: base.kind };
    const isDeleted = (value: unknown): boolean => value === true || value === 'true';
    if (wrote === undefined) return { ...withDeleted(object, isDeleted), ...native, metadata: outer };
    return {
      ...withDeleted(object, isDeleted),
      ...native,
      metadata: {
        ...outer,
        ...(isObject(wrote['labels']) ? { labels: { ...outer.labels, ...texts(wrote, 'labels') } } : {}),
        ...(isObject(wrote['annotations'])
          ? { annotations: { ...outer.annotations, ...texts(wrote, 'annotations') } }
          : {}),
      },
    };
  };
  /** A block affinity says in words whether it is deleted. */
  const withDeleted = (object: ApiObject, write: (value: unknown) => unknown): ApiObject => {
    const spec = object['spec'];
    if (base.kind !== 'BlockAffinity' || !isObject(spec)) return object;
    return { ...object, spec: { ...spec, deleted: write(spec['deleted'] ?? false) } };
  };
  return { base, outward, inward };
}

const texts = (metadata: JsonObject, field: string): Record<string, string> =>
  Object.fromEntries(Object.entries(objectAt(metadata, field)).map(([key, value]) => [key, String(value)]));

function innerOf(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
