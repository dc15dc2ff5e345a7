// What this driver does to objects around a write: identity, time of creation, what an update may not change.
import { randomBytes, randomUUID } from 'node:crypto';
import { hex, sha256 } from '../../lib/hash.ts';
import type { ObjectMeta } from '../../model/mod.ts';
import type { ObjectName } from '../types.ts';
import type { KeyValue, Place, StoredObject } from './types.ts';

export const identityOf = ({ metadata: { name, namespace } }: StoredObject): ObjectName =>
  namespace === undefined ? { name } : { name, namespace };

/** Objects without an identity of their own have that of their key since it was made. */
export function withRevision(place: Place, stored: KeyValue, object: StoredObject): StoredObject {
  const uid = place.isResource ? object.metadata.uid : uidOf(stored);
  const metadata: ObjectMeta = {
    ...object.metadata,
    ...(uid === undefined ? {} : { uid }),
    resourceVersion: stored.modRevision,
  };
  return { ...object, metadata };
}

function uidOf({ key, createRevision }: KeyValue): string {
  const digits = hex(sha256(`${createRevision} ${key}`)).slice(0, 32);
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** As it will be stored for the first time. */
export function prepared(place: Place, object: StoredObject): StoredObject {
  const { resourceVersion: _version, generateName, ...given } = object.metadata;
  const name =
    given.name || (generateName === undefined ? '' : `${generateName}${randomBytes(4).toString('hex')}`);
  if (!place.isResource) return { ...object, metadata: { ...given, name } };
  const metadata: ObjectMeta = {
    ...given,
    name,
    uid: given.uid ?? randomUUID(),
    creationTimestamp: given.creationTimestamp ?? timestamp(),
  };
  return { ...object, metadata };
}

/** What the store keeps of an object stays, whatever an update says; the part that is not written stays, too. */
export function merged(
  place: Place,
  stored: StoredObject,
  object: StoredObject,
  part: 'main' | 'status',
): StoredObject {
  const { status, ...rest } = object;
  if (part === 'status') return status === undefined ? stored : { ...stored, status };
  const { uid, creationTimestamp, deletionTimestamp } = stored.metadata;
  const metadata: ObjectMeta = {
    ...object.metadata,
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
  const kept = place.definition.hasStatus ? stored.status : status;
  return { ...rest, metadata, ...(kept === undefined ? {} : { status: kept }) };
}

export const timestamp = (): string => new Date().toISOString().replace(/\.\d{3}Z$/, 'Z');
/** The answer to a write: what was stored, as it will be read. */
export function asWritten(
  place: Place,
  key: string,
  object: StoredObject,
  createRevision: string | undefined,
  modRevision: string,
): StoredObject {
  const uid = object.metadata.uid;
  if (createRevision === undefined) {
    const metadata = { ...object.metadata, resourceVersion: modRevision };
    return { ...object, metadata };
  }
  const stored = { key, value: place.encode(object), createRevision, modRevision };
  const shown = place.decode(stored);
  const read = withRevision(place, stored, shown.ok ? shown.value : object);
  return uid === undefined ? read : { ...read, metadata: { ...read.metadata, uid } };
}
