// Fills in what a kind defines for absent fields. Only fields whose default is part of the object are filled; where an
// absent field means "as configured elsewhere" (BGPConfiguration, FelixConfiguration) it stays absent.
import type { KindName, ResourceOf } from './kinds/mod.ts';
import { kindDefinition } from './registry.ts';
import type { SchemaNode } from './schema.ts';
import { isStructurallySound } from './validate.ts';
import { parseAsNumber } from './values/as-number.ts';

/** The object with its defaults; members that are null are left out, AS numbers written as text become numbers. The argument
 *  is not changed. Safe for objects that were not validated: what depends on other fields is filled in only when those are
 *  sound. */
export function applyDefaults<K extends KindName>(kind: K, object: ResourceOf<K>): ResourceOf<K> {
  const definition = kindDefinition(kind);
  if (definition.family === 'kubernetes') return object;
  const filled = { ...object, ...(fill(definition.schema, fieldsOf(object)) as object) };
  if (definition.complete === undefined || !isStructurallySound(kind, filled)) return filled;
  return definition.complete(filled) as unknown as ResourceOf<K>;
}

function fieldsOf(object: object): object {
  const { apiVersion: _a, kind: _k, metadata: _m, ...fields } = object as Record<string, unknown>;
  return fields;
}

function fill(node: SchemaNode, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = node;
    return items === undefined ? value : value.map((item) => fill(items, item));
  }
  if (node.format === 'as-number' && typeof value === 'string') return parseAsNumber(value) ?? value;
  if (typeof value !== 'object' || value === null || node.properties === undefined) return value;
  const filled: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const property = Object.hasOwn(node.properties, key) ? node.properties[key] : undefined;
    if (property === undefined) filled[key] = item;
    else if (item !== null && item !== undefined) filled[key] = fill(property, item);
  }
  for (const [key, property] of Object.entries(node.properties)) {
    const isEmptyText = filled[key] === '' && property.default !== undefined;
    if ((filled[key] === undefined || isEmptyText) && property.default !== undefined)
      filled[key] = structuredClone(property.default);
  }
  return filled;
}
