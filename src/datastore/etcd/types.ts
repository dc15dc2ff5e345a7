// What a place of a kind in etcd is: names into keys, values into resources. It asks nothing of the store.
import { err, failure, type Failure, type Result } from '../../lib/result.ts';
import { parseJson } from '../../lib/json.ts';
import type { KindDefinition, ObjectMeta } from '../../model/mod.ts';
import type { ObjectName } from '../types.ts';

export type Json = Record<string, unknown>;
export type StoredObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: unknown;
  readonly status?: unknown;
};
/** A key with its value as etcd has them; revisions as decimal text. */
export type KeyValue = {
  readonly key: string;
  readonly value: string;
  readonly createRevision: string;
  readonly modRevision: string;
};
export type KeyRange = { readonly start: string; readonly end: string };
export type BadValue = Failure<'BadValue'>;

export type Place = {
  readonly definition: KindDefinition;
  /** All keys of the kind (of one namespace) lie in it; others may, too. */
  range(namespace: string | undefined): KeyRange;
  /** undefined when the object has no place, for want of a name or a block. */
  keyOf(object: StoredObject): string | undefined;
  /** Where an object of that name may be. */
  keysOf(name: ObjectName): readonly string[];
  /** The name does not tell the key for sure: what `keysOf` does not find is looked for among all keys. */
  mayHide(name: ObjectName): boolean;
  /** What a key alone tells of its object; undefined when the key is of another kind. */
  nameOf(key: string): ObjectName | undefined;
  /** Without metadata.resourceVersion. */
  decode(stored: KeyValue): Result<StoredObject, BadValue>;
  encode(object: StoredObject): string;
  /** Metadata, status and finalizers are stored; else the object is what its spec says. */
  readonly isResource: boolean;
};

export const badValue = (key: string, why: string): Result<never, BadValue> =>
  err(failure('BadValue', `The value of ${key} in etcd is not readable: ${why}.`));

export const prefixRange = (prefix: string): KeyRange => ({
  start: prefix,
  // '0' follows '/'.
  end: `${prefix.slice(0, -1)}0`,
});

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function parsedObject(text: string): Json | undefined {
  try {
    const value = parseJson(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
