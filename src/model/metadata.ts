// Checks of metadata: names, labels and annotations as Kubernetes and Calico allow them.
import type { KindDefinition } from './kind-definition.ts';
import { patterns } from './formats.ts';
import type { Issue } from './types.ts';

const maxNameLength = 253;
const maxAnnotationsBytes = 256 * 1024;
const known = new Set([
  'name',
  'namespace',
  'generateName',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'managedFields',
  'selfLink',
]);

export function metadataIssues(definition: KindDefinition, metadata: unknown): readonly Issue[] {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    return [{ field: 'metadata', value: metadata, reason: 'must be an object' }];
  if (definition.family !== 'calico') return [];
  const { name, generateName, labels, annotations } = metadata as Record<string, unknown>;
  return [
    ...Object.keys(metadata)
      .filter((key) => !known.has(key))
      .map((key) => ({ field: `metadata.${key}`, reason: 'is not a field here' })),
    ...(name === undefined && typeof generateName === 'string' ? [] : nameIssues(definition, name)),
    ...mapIssues('metadata.labels', labels, labelIssues),
    ...mapIssues('metadata.annotations', annotations, annotationIssues),
  ];
}

function nameIssues(definition: KindDefinition, name: unknown): readonly Issue[] {
  const at = (reason: string): readonly Issue[] => [{ field: 'metadata.name', value: name, reason }];
  if (typeof name !== 'string' || name === '') return at('must be given');
  if (name.length > maxNameLength) return at(`must have at most ${maxNameLength} characters`);
  // Views are named by their source: the name of a workload endpoint holds the names of others.
  if (definition.storedAs === 'view' && definition.namespaced) return [];
  return patterns.subdomain.test(name)
    ? []
    : at('must be lower-case letters, digits, dashes and dots, alphanumeric at both ends');
}

function mapIssues(
  field: string,
  value: unknown,
  check: (field: string, map: Readonly<Record<string, string>>) => readonly Issue[],
): readonly Issue[] {
  if (value === undefined || value === null) return [];
  const isMap =
    typeof value === 'object' &&
    !Array.isArray(value) &&
    Object.values(value).every((v) => typeof v === 'string');
  return isMap
    ? check(field, value as Readonly<Record<string, string>>)
    : [{ field, value, reason: 'must be a map of texts' }];
}

/** Labels of objects, and labels that objects will get. */
export const labelIssues = (field: string, labels: Readonly<Record<string, string>>): readonly Issue[] =>
  Object.entries(labels).flatMap(([key, value]) => [
    ...keyIssues(`${field}[${key}]`, key),
    ...(isLabelValue(value)
      ? []
      : [
          {
            field: `${field}[${key}]`,
            value,
            reason: 'must be at most 63 letters, digits and characters of -_. inside',
          },
        ]),
  ]);

/** Annotations of rules are checked as those of objects. */
export function annotationIssues(
  field: string,
  annotations: Readonly<Record<string, string>>,
): readonly Issue[] {
  const entries = Object.entries(annotations);
  const size = entries.reduce((sum, [key, value]) => sum + utf8Length(key) + utf8Length(value), 0);
  return [
    ...entries.flatMap(([key]) => keyIssues(`${field}[${key}]`, key.toLowerCase())),
    ...(size > maxAnnotationsBytes
      ? [{ field, reason: `must have at most ${maxAnnotationsBytes} bytes together, has ${size}` }]
      : []),
  ];
}

const utf8Length = (text: string): number => new TextEncoder().encode(text).length;

/** Keys are `[prefix/]name`: a DNS subdomain, and at most 63 characters. */
function keyIssues(field: string, key: string): readonly Issue[] {
  const parts = key.split('/');
  const name = parts.at(-1) ?? '';
  const prefix = parts.length === 2 ? parts[0] : undefined;
  const isName = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name) && name.length <= 63;
  const isPrefix =
    prefix === undefined || (prefix.length <= maxNameLength && patterns.subdomain.test(prefix));
  return isName && isPrefix && parts.length <= 2
    ? []
    : [{ field, value: key, reason: 'must be a key like name or example.org/name' }];
}

const isLabelValue = (value: string): boolean =>
  value === '' || (value.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(value));
