// What all kinds share: metadata, conditions, label selectors, references.
import {
  atomic,
  titled,
  anything,
  each,
  flag,
  integer,
  joined,
  list,
  named,
  object,
  text,
  textMap,
  texts,
} from './notation.ts';
import type { Schema } from './types.ts';

export const objectMeta: Schema = titled(
  'ObjectMeta',
  object({
    ...each(
      'name generateName namespace selfLink uid resourceVersion creationTimestamp deletionTimestamp',
      text,
    ),
    ...each('generation deletionGracePeriodSeconds', integer),
    ...each('labels annotations', textMap),
    finalizers: joined(text),
    ownerReferences: named(
      'uid',
      titled(
        'OwnerReference',
        object(
          { ...each('apiVersion kind name uid', text), ...each('controller blockOwnerDeletion', flag) },
          'apiVersion',
          'kind',
          'name',
          'uid',
        ),
        'meta',
      ),
    ),
    managedFields: list(anything),
  }),
  'meta',
);

export const labelSelector: Schema = titled(
  'LabelSelector',
  atomic(
    object({
      matchLabels: textMap,
      matchExpressions: list(object({ ...each('key operator', text), values: texts }, 'key', 'operator')),
    }),
  ),
  'meta',
);

export const conditions: Schema = named(
  'type',
  object({
    ...each(
      'type status reason message lastTransitionTime lastUpdateTime lastProbeTime lastHeartbeatTime',
      text,
    ),
    observedGeneration: integer,
  }),
);

export const objectReference: Schema = titled(
  'ObjectReference',
  atomic(object(each('kind namespace name uid apiVersion resourceVersion fieldPath', text))),
);
export const localReference: Schema = titled('LocalObjectReference', atomic(object({ name: text })));

/** A kind's whole object: apiVersion, kind, metadata and its own fields. */
export const kindOf = (fields: Readonly<Record<string, Schema>>, ...required: readonly string[]): Schema =>
  object({ ...each('apiVersion kind', text), metadata: objectMeta, ...fields }, ...required);
