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
