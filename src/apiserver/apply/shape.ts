// How values merge in server-side apply: which objects are merged field by field, which lists item by item, and what is one
// value that has one owner. Computed from the built-in schemas and from structural schemas alike.
import { isObject, type JsonObject, listAt, objectAt, textAt } from '../json.ts';
import { objectMeta } from '../schema/meta.ts';
import type { Schema } from '../schema/types.ts';
import type { ServedKind } from '../types.ts';

export type Shape =
  | { readonly form: 'value' }
  | { readonly form: 'set' }
  /** Items told apart by these fields. */
  | { readonly form: 'items'; readonly keys: readonly string[]; readonly of: Shape }
  | { readonly form: 'fields'; field(name: string): Shape };

const value: Shape = { form: 'value' };
/** What no schema describes: objects merge by field, lists are one value. */
const unknown: Shape = { form: 'fields', field: () => unknown };

const cached = new WeakMap<object, Shape>();

function remember<T extends object>(key: T, make: (key: T) => Shape): Shape {
  const known = cached.get(key);
  if (known !== undefined) return known;
  const shape = make(key);
  cached.set(key, shape);
  return shape;
}

const ofSchema = (schema: Schema): Shape => remember(schema, makeFromSchema);

function makeFromSchema(schema: Schema): Shape {
  switch (schema.type) {
    case 'any':
      return unknown;
    case 'map':
      return schema.atomic ? value : { form: 'fields', field: () => ofSchema(schema.of) };
    case 'list':
      if (schema.joins) return { form: 'set' };
      if (schema.mergeKey === undefined) return value;
      return { form: 'items', keys: schema.keys ?? [schema.mergeKey], of: ofSchema(schema.of) };
    case 'object': {
      if (schema.atomic) return value;
      const { fields } = schema;
      return {
        form: 'fields',
        field: (name) => {
          const inner = Object.hasOwn(fields, name) ? fields[name] : undefined;
          return inner === undefined ? unknown : ofSchema(inner);
        },
      };
    }
    default:
      return value;
  }
}

const ofStructural = (schema: JsonObject): Shape => remember(schema, makeFromStructural);

function makeFromStructural(schema: JsonObject): Shape {
  const { properties, additionalProperties, items } = schema;
  if (schema['type'] === 'array') {
    const list = textAt(schema, 'x-kubernetes-list-type');
    if (list === 'set') return { form: 'set' };
    const keys = listAt(schema, 'x-kubernetes-list-map-keys').map(String);
    return list === 'map' && isObject(items) ? { form: 'items', keys, of: ofStructural(items) } : value;
  }
  if (schema['x-kubernetes-map-type'] === 'atomic') return value;
  if (isObject(properties)) {
    return {
      form: 'fields',
      field: (name) => {
        const inner = Object.hasOwn(properties, name) ? properties[name] : undefined;
        return isObject(inner) ? ofStructural(inner) : unknown;
      },
    };
  }
  if (isObject(additionalProperties)) {
    const inner = ofStructural(additionalProperties);
    return { form: 'fields', field: () => inner };
  }
  return unknown;
}

export const shapeOf = (kind: ServedKind): Shape => remember(kind, makeFromKind);

function makeFromKind(kind: ServedKind): Shape {
  if (kind.schema !== undefined) return ofSchema(kind.schema);
  const structural = kind.structural?.() ?? {};
  const fields = objectAt(structural, 'properties');
  const metadata = ofSchema(objectMeta);
  return {
    form: 'fields',
    field: (name) => {
      const inner = Object.hasOwn(fields, name) ? fields[name] : undefined;
      return name === 'metadata' ? metadata : isObject(inner) ? ofStructural(inner) : unknown;
    },
  };
}
