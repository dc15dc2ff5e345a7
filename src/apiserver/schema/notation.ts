// Short words to write schemas with.
import type { Schema } from './types.ts';

export const text: Schema = { type: 'string' };
export const integer: Schema = { type: 'integer' };
export const flag: Schema = { type: 'boolean' };
export const anything: Schema = { type: 'any' };
export const quantity: Schema = { type: 'quantity' };
export const intOrText: Schema = { type: 'intOrString' };
export const texts: Schema = { type: 'list', of: text };
export const textMap: Schema = { type: 'map', of: text };
export const quantities: Schema = { type: 'map', of: quantity };

export const list = (of: Schema): Schema => ({ type: 'list', of });
/** Items matched by a field in strategic merges. */
export const named = (mergeKey: string, of: Schema): Schema => ({ type: 'list', of, mergeKey });
/** Items told apart by several fields in server-side apply; the first is the merge key of strategic merges. */
export const keyed = (keys: readonly [string, ...string[]], of: Schema): Schema => ({
  type: 'list',
  of,
  mergeKey: keys[0],
  keys,
});
/** Plain values joined in strategic merges. */
export const joined = (of: Schema): Schema => ({ type: 'list', of, joins: true });
export const object = (fields: Readonly<Record<string, Schema>>, ...required: readonly string[]): Schema => ({
  type: 'object',
  fields,
  ...(required.length === 0 ? {} : { required }),
});
export const choice = (fields: Readonly<Record<string, Schema>>, ...required: readonly string[]): Schema => ({
  type: 'object',
  fields,
  retainsKeys: true,
  ...(required.length === 0 ? {} : { required }),
});
/** Fields of one schema for all the names of a line: `each('a b c', text)`. */
export const each = (names: string, schema: Schema): Record<string, Schema> =>
  Object.fromEntries(
    names
      .trim()
      .split(/\s+/)
      .map((name) => [name, schema]),
  );

const homes = {
  core: 'io.k8s.api.core.v1',
  meta: 'io.k8s.apimachinery.pkg.apis.meta.v1',
} as const;
/** A shared object schema with the name that it has in OpenAPI. */
export const titled = (name: string, schema: Schema, home: keyof typeof homes = 'core'): Schema =>
  schema.type === 'object' ? { ...schema, title: `${homes[home]}.${name}` } : schema;
/** One value for server-side apply: who writes a part owns the whole. */
export const atomic = (schema: Schema): Schema =>
  schema.type === 'object' || schema.type === 'map' ? { ...schema, atomic: true } : schema;
