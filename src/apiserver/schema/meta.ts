// What all kinds share: metadata, conditions, label selectors, references.
import {
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

export const objectMeta: Schema = object({
  ...each(
    'name generateName namespace selfLink uid resourceVersion creationTimestamp deletionTimestamp',
    text,
  ),
  ...each('generation deletionGracePeriodSeconds', integer),
  ...each('labels annotations', textMap),
  finalizers: joined(text),
  ownerReferences: named(
    'uid',
    object(
      { ...each('apiVersion kind name uid', text), ...each('controller blockOwnerDeletion', flag) },
      'apiVersion',
      'kind',
      'name',
      'uid',
    ),
  ),
  managedFields: list(anything),
});

export const labelSelector: Schema = object({
  matchLabels: textMap,
  matchExpressions: list(object({ ...each('key operator', text), values: texts }, 'key', 'operator')),
});

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

export const objectReference: Schema = object(
  each('kind namespace name uid apiVersion resourceVersion fieldPath', text),
);
export const localReference: Schema = object({ name: text });

/** A kind's whole object: apiVersion, kind, metadata and its own fields. */
export const kindOf = (fields: Readonly<Record<string, Schema>>, ...required: readonly string[]): Schema =>
  object({ ...each('apiVersion kind', text), metadata: objectMeta, ...fields }, ...required);
