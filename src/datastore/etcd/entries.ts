// Objects as pairs of key and value, apart from any etcd: the form in which exports carry address management.
import { parseJson, stringifyJson } from '../../lib/json.ts';
import { err, type Result } from '../../lib/result.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { placeOf } from './places.ts';
import type { BadValue, StoredObject } from './types.ts';

export type Entry = { readonly key: string; readonly value: unknown };

/** undefined when the kind or this object has no place in etcd. */
export function entryOf<K extends KindName>(kind: K, object: ResourceOf<K>): Entry | undefined {
  const place = placeOf(kind);
  const stored = object as unknown as StoredObject;
  const key = place?.keyOf(stored);
  return place === undefined || key === undefined
    ? undefined
    : { key, value: parseJson(place.encode(stored)) };
}

export function objectOf<K extends KindName>(
  kind: K,
  { key, value }: Entry,
): Result<ResourceOf<K>, BadValue> {
  const place = placeOf(kind);
  if (place?.nameOf(key) === undefined)
    return err({ code: 'BadValue', message: `${key} is not the key of a ${kind}.` });
  const read = place.decode({ key, value: stringifyJson(value), createRevision: '0', modRevision: '0' });
  return read as Result<unknown, BadValue> as Result<ResourceOf<K>, BadValue>;
}
