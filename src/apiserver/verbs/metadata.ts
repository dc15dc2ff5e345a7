// The metadata the server is responsible for: names, identity, generation, finalizers.
import { randomBytes, randomUUID } from 'node:crypto';
import type { ObjectMeta } from '../../model/mod.ts';
import { timestamp } from '../api.ts';
import { sameJson } from '../json.ts';
import type { ApiObject, Issue, ServedKind } from '../types.ts';

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const labelReason =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const subdomainReason =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const qualifiedKey =
  /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const annotationBytes = 256 * 1024;

export function nameIssue(kind: ServedKind, name: string): Issue | undefined {
  const field = 'metadata.name';
  if (name === '') return { field, reason: 'Required value: name or generateName is required' };
  if (kind.names === 'label') {
    if (name.length > 63) return { field, value: name, reason: 'must be no more than 63 characters' };
    return label.test(name) ? undefined : { field, value: name, reason: labelReason };
  }
  if (name.length > 253) return { field, value: name, reason: 'must be no more than 253 characters' };
  if (kind.names === 'path') {
    return name === '.' || name === '..' || /[/%]/.test(name)
      ? { field, value: name, reason: "may not be '.' or '..' and may not contain '/' or '%'" }
      : undefined;
  }
  return subdomain.test(name) ? undefined : { field, value: name, reason: subdomainReason };
}

export function metadataIssues(metadata: ObjectMeta): readonly Issue[] {
  const issues: Issue[] = [];
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!qualifiedKey.test(key))
      issues.push({
        field: 'metadata.labels',
        value: key,
        reason:
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      });
    if (typeof value !== 'string' || !labelValue.test(value)) {
      issues.push({
        field: 'metadata.labels',
        value,
        reason:
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, at most 63 of them",
      });
    }
  }
  let bytes = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    if (!qualifiedKey.test(key.toLowerCase()))
      issues.push({
        field: 'metadata.annotations',
        value: key,
        reason:
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
      });
    bytes += key.length + value.length;
  }
  if (bytes > annotationBytes)
    issues.push({
      field: 'metadata.annotations',
      reason: `Too long: may not be more than ${annotationBytes} bytes`,
    });
  return issues;
}

const suffixLetters = 'bcdfghjklmnpqrstvwxz2456789';

/** The base, cut to fit, and five letters that spell nothing. */
export function generatedName(base: string): string {
  let suffix = '';
  for (const byte of randomBytes(5)) suffix += suffixLetters.charAt(byte % suffixLetters.length);
  return base.slice(0, 58) + suffix;
}

/** Metadata of a new object. */
export function newMetadata(
  kind: ServedKind,
  given: ObjectMeta,
  namespace: string,
  nowMs: number,
): ObjectMeta {
  const { name, generateName, labels, annotations, finalizers, ownerReferences } = given;
  return {
    name,
    ...(generateName === undefined || generateName === '' ? {} : { generateName }),
    ...(kind.namespaced ? { namespace } : {}),
    uid: randomUUID(),
    ...(kind.countsGenerations ? { generation: 1 } : {}),
    creationTimestamp: timestamp(nowMs),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    ...(finalizers === undefined ? {} : { finalizers }),
  };
}

/** Metadata after a write: what users may change from the new object, the rest from the old one. */
export function changedMetadata(previous: ObjectMeta, given: ObjectMeta): ObjectMeta {
  const kept = { ...previous };
  for (const field of ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const) delete kept[field];
  return {
    ...kept,
    ...(given.labels === undefined ? {} : { labels: given.labels }),
    ...(given.annotations === undefined ? {} : { annotations: given.annotations }),
    ...(given.ownerReferences === undefined || given.ownerReferences.length === 0
      ? {}
      : { ownerReferences: given.ownerReferences }),
    ...(given.finalizers === undefined || given.finalizers.length === 0
      ? {}
      : { finalizers: given.finalizers }),
  };
}

/** Counts a change of anything that is neither metadata nor status. */
export function withGeneration(kind: ServedKind, previous: ApiObject, next: ApiObject): ApiObject {
  if (!kind.countsGenerations) return next;
  const intent = (object: ApiObject): unknown => ({ ...object, metadata: undefined, status: undefined });
  if (sameJson(intent(previous), intent(next))) return next;
  return { ...next, metadata: { ...next.metadata, generation: (previous.metadata.generation ?? 0) + 1 } };
}
