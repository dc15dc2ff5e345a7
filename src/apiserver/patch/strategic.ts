// Strategic merge patch: a merge patch in which lists of named things merge item by item. The merge key of a list
// comes from the kind's schema; lists without one are replaced. Directives that kubectl writes into patches:
//   $patch: replace|delete|merge          at an object, or at an item of a merged list
//   $deleteFromPrimitiveList/<field>      plain values to take out of a list
//   $setElementOrder/<field>              the order the items of a list shall have
//   $retainKeys                           fields that stay, all others go
import { err, ok, type Result } from '../../lib/result.ts';
import { isObject, type JsonObject, sameJson } from '../json.ts';
import type { Schema } from '../schema/types.ts';

type Outcome<T> = Result<T, string>;

export const strategicPatch = (
  target: unknown,
  patch: unknown,
  schema: Schema | undefined,
): Outcome<unknown> =>
  isObject(patch)
    ? mergeObject(isObject(target) ? target : {}, patch, schema)
    : err('a strategic merge patch must be an object');

function schemaOf(schema: Schema | undefined, field: string): Schema | undefined {
  if (schema?.type === 'object')
    return Object.hasOwn(schema.fields, field) ? schema.fields[field] : undefined;
  return schema?.type === 'map' ? schema.of : undefined;
}

function mergeObject(target: JsonObject, patch: JsonObject, schema: Schema | undefined): Outcome<JsonObject> {
  const directive = patch['$patch'];
  if (directive === 'replace') return ok(plain(patch));
  if (directive === 'delete') return ok({});
  if (directive !== undefined && directive !== 'merge')
    return err(`unrecognized $patch directive ${JSON.stringify(directive)}`);
  const result: Record<string, unknown> = { ...target };
  const kept = patch['$retainKeys'];
  if (Array.isArray(kept))
    for (const field of Object.keys(result)) if (!kept.includes(field)) delete result[field];
  const fields = new Set<string>();
  for (const field of Object.keys(patch)) {
    const directed = /^\$(?:setElementOrder|deleteFromPrimitiveList)\/(.+)$/.exec(field);
    if (directed?.[1] !== undefined) fields.add(directed[1]);
    else if (!field.startsWith('$')) fields.add(field);
  }
  for (const field of fields) {
    const value = patch[field];
    if (value === null) {
      delete result[field];
      continue;
    }
    const merged = mergeField(result[field], field, patch, schemaOf(schema, field));
    if (!merged.ok) return merged;
    if (merged.value !== undefined) result[field] = merged.value;
  }
  return ok(result);
}

function mergeField(
  target: unknown,
  field: string,
  patch: JsonObject,
  schema: Schema | undefined,
): Outcome<unknown> {
  const value = patch[field];
  const order = patch[`$setElementOrder/${field}`];
  const taken = patch[`$deleteFromPrimitiveList/${field}`];
  if (Array.isArray(value) || order !== undefined || taken !== undefined) {
    const list = Array.isArray(target) ? target : [];
    return mergeList(list, value, { order, taken }, schema);
  }
  if (!isObject(value)) return ok(value);
  return mergeObject(isObject(target) ? target : {}, value, schema);
}

type Directives = { readonly order: unknown; readonly taken: unknown };

function mergeList(
  target: readonly unknown[],
  patch: unknown,
  { order, taken }: Directives,
  schema: Schema | undefined,
): Outcome<unknown> {
  if (patch !== undefined && !Array.isArray(patch)) return err('a list can only be patched with a list');
  const items: readonly unknown[] = patch ?? [];
  const list = schema?.type === 'list' ? schema : undefined;
  if (list?.mergeKey !== undefined) return mergeNamed(target, items, order, list.mergeKey, list.of);
  if (list?.joins === true) {
    const gone = Array.isArray(taken) ? taken : [];
    const kept = target.filter((item) => !gone.some((other) => sameJson(item, other)));
    const joined = [...kept, ...items.filter((item) => !kept.some((other) => sameJson(item, other)))];
    return ok(Array.isArray(order) ? inOrder(joined, order, (item) => item) : joined);
  }
  return ok(patch === undefined ? target : items.map((item) => (isObject(item) ? plain(item) : item)));
}

function mergeNamed(
  target: readonly unknown[],
  patch: readonly unknown[],
  order: unknown,
  mergeKey: string,
  of: Schema,
): Outcome<unknown> {
  if (
    patch.some((item) => isObject(item) && item['$patch'] === 'replace' && Object.keys(item).length === 1)
  ) {
    return ok(patch.filter((item) => !(isObject(item) && '$patch' in item)));
  }
  const keyOf = (item: unknown): unknown => (isObject(item) ? item[mergeKey] : undefined);
  let result = [...target];
  for (const item of patch) {
    if (!isObject(item)) return err(`items of this list are objects with the key ${mergeKey}`);
    const key = item[mergeKey];
    if (key === undefined)
      return err(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
    const position = result.findIndex((other) => sameJson(keyOf(other), key));
    if (item['$patch'] === 'delete') {
      result = result.filter((other) => !sameJson(keyOf(other), key));
      continue;
    }
    const there = result[position];
    const merged = mergeObject(isObject(there) ? there : {}, item, of);
    if (!merged.ok) return merged;
    if (position < 0) result.push(merged.value);
    else result[position] = merged.value;
  }
  return ok(Array.isArray(order) ? inOrder(result, order.map(keyOf), keyOf) : result);
}

/** Named items in the order given; the others keep their place after the item they followed. */
function inOrder(
  items: readonly unknown[],
  order: readonly unknown[],
  keyOf: (item: unknown) => unknown,
): readonly unknown[] {
  const rank = (item: unknown): number => order.findIndex((key) => sameJson(key, keyOf(item)));
  const named = items.filter((item) => rank(item) >= 0).sort((a, b) => rank(a) - rank(b));
  const result: unknown[] = [];
  let next = 0;
  for (const item of items) result.push(rank(item) < 0 ? item : named[next++]);
  return result;
}

/** The patch's content without directives. */
function plain(patch: JsonObject): JsonObject {
  const result: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(patch)) {
    if (field.startsWith('$') || value === null) continue;
    if (Array.isArray(value))
      result[field] = value.map((item: unknown) => (isObject(item) ? plain(item) : item));
    else result[field] = isObject(value) ? plain(value) : value;
  }
  return result;
}
