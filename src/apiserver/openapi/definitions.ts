// The schemas of kinds as OpenAPI 3 describes them: one definition per kind, and one for each part that has a name of its
// own. Custom kinds bring a structural schema; the built-in ones are described from `schema/`.
import { at, isObject, type JsonObject, objectAt, without } from '../json.ts';
import { objectMeta } from '../schema/meta.ts';
import type { Schema } from '../schema/types.ts';
import type { ServedKind } from '../types.ts';
import { documentationOf } from './documentation.ts';

export const referencePrefix = '#/components/schemas/';
const intOrString = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';
const quantity = 'io.k8s.apimachinery.pkg.api.resource.Quantity';

/** `io.k8s.api.apps.v1`, `org.projectcalico.v3`: where the definitions of a group are. */
export function homeOf({ group, version, nature }: ServedKind): string {
  if (nature === 'custom') return [...group.split('.').reverse(), version].join('.');
  if (group === 'apiextensions.k8s.io')
    return `io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.${version}`;
  return `io.k8s.api.${group === '' ? 'core' : group.replace(/\.k8s\.io$/, '').replace(/\.authorization$/, '')}.${version}`;
}

export const definitionName = (kind: ServedKind): string => `${homeOf(kind)}.${kind.kind}`;

const lastPart = (title: string): string => title.slice(title.lastIndexOf('.') + 1);

/** The definitions of these kinds and of everything they refer to, by name. */
export function definitionsOf(kinds: readonly ServedKind[]): JsonObject {
  const definitions: Record<string, unknown> = {};

  const reference = (name: string, make: () => unknown): JsonObject => {
    if (definitions[name] === undefined) {
      definitions[name] = {};
      definitions[name] = make();
    }
    return { $ref: referencePrefix + name };
  };

  /** `path` is where documentation is looked up: `Container.image`. */
  const describe = (schema: Schema, path: string): JsonObject => {
    switch (schema.type) {
      case 'string':
      case 'integer':
      case 'boolean':
        return { type: schema.type };
      case 'any':
        return { 'x-kubernetes-preserve-unknown-fields': true };
      case 'intOrString':
        return reference(intOrString, () => ({
          description: 'A number, or a text such as a name or a percentage.',
          format: 'int-or-string',
          oneOf: [{ type: 'integer' }, { type: 'string' }],
        }));
      case 'quantity':
        return reference(quantity, () => ({
          description: 'An amount as a decimal number with a suffix: 500m, 2, 128Mi, 1G.',
          oneOf: [{ type: 'string' }, { type: 'number' }],
        }));
      case 'map':
        return {
          type: 'object',
          additionalProperties: describe(schema.of, path),
          ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
        };
      case 'list':
        return { type: 'array', items: describe(schema.of, path), ...listKeywords(schema) };
      default:
        return schema.title === undefined
          ? describeObject(schema, path)
          : reference(schema.title, () => describeObject(schema, lastPart(schema.title ?? '')));
    }
  };

  const describeObject = (schema: Extract<Schema, { type: 'object' }>, path: string): JsonObject => {
    const properties = Object.fromEntries(
      Object.entries(schema.fields).map(([field, inner]) => [field, property(inner, `${path}.${field}`)]),
    );
    return {
      ...described(path),
      type: 'object',
      ...(schema.required === undefined ? {} : { required: schema.required }),
      properties,
      ...(schema.atomic ? { 'x-kubernetes-map-type': 'atomic' } : {}),
    };
  };

  /** A reference carries nothing beside itself: what is said of the field goes around it. */
  const property = (schema: Schema, path: string): JsonObject => {
    const value = describe(schema, path);
    const around = {
      ...described(path),
      ...(schema.type === 'object' && schema.retainsKeys
        ? { 'x-kubernetes-patch-strategy': 'retainKeys' }
        : {}),
    };
    if (Object.keys(around).length === 0) return value;
    return '$ref' in value ? { ...around, allOf: [value] } : { ...value, ...around };
  };

  const builtinRoot = (kind: ServedKind, schema: Schema): JsonObject => {
    if (schema.type !== 'object') return { type: 'object' };
    const parts = Object.entries(schema.fields).map(([field, inner]) => {
      const isPart = (field === 'spec' || field === 'status') && inner.type === 'object' && !inner.title;
      const name = `${kind.kind}${field.charAt(0).toUpperCase()}${field.slice(1)}`;
      return [field, isPart ? { ...inner, title: `${homeOf(kind)}.${name}` } : inner] as const;
    });
    return describeObject({ ...schema, fields: Object.fromEntries(parts) }, kind.kind);
  };

  for (const kind of kinds) {
    const structural = kind.structural?.();
    const root =
      structural === undefined
        ? kind.schema === undefined
          ? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
          : builtinRoot(kind, kind.schema)
        : structuralRoot(structural, property(objectMeta, 'Object.metadata'));
    const { group, version } = kind;
    definitions[definitionName(kind)] = {
      ...root,
      'x-kubernetes-group-version-kind': [{ group, kind: kind.kind, version }],
    };
  }
  return definitions;
}

const described = (path: string): JsonObject => {
  const description = documentationOf(path);
  return description === undefined ? {} : { description };
};

function listKeywords(schema: Extract<Schema, { type: 'list' }>): JsonObject {
  if (schema.joins) return { 'x-kubernetes-list-type': 'set', 'x-kubernetes-patch-strategy': 'merge' };
  if (schema.mergeKey === undefined) return { 'x-kubernetes-list-type': 'atomic' };
  const retains = schema.of.type === 'object' && schema.of.retainsKeys;
  return {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': schema.keys ?? [schema.mergeKey],
    'x-kubernetes-patch-merge-key': schema.mergeKey,
    'x-kubernetes-patch-strategy': retains ? 'merge,retainKeys' : 'merge',
  };
}

function structuralRoot(structural: JsonObject, metadata: JsonObject): JsonObject {
  const texts = {
    apiVersion: { type: 'string', description: documentationOf('Object.apiVersion') },
    kind: { type: 'string', description: documentationOf('Object.kind') },
  };
  const said = (field: string, value: unknown): unknown =>
    isObject(value) && value['description'] === undefined
      ? { ...described(`Object.${field}`), ...value }
      : value;
  const own = Object.entries(objectAt(structural, 'properties')).map(([field, value]) => [
    field,
    said(field, value),
  ]);
  const properties = { ...Object.fromEntries(own), ...texts, metadata };
  const required = at(structural, 'required');
  const kept = Array.isArray(required) ? required.filter((one) => one !== 'metadata') : [];
  return {
    ...without(structural, 'required'),
    ...(kept.length === 0 ? {} : { required: kept }),
    properties,
  };
}

/** Every schema inside, changed by `change` from the leaves up. */
export function mapSchema(schema: unknown, change: (schema: JsonObject) => JsonObject): JsonObject {
  if (!isObject(schema)) return {};
  const each = (value: unknown): JsonObject =>
    Object.fromEntries(
      Object.entries(isObject(value) ? value : {}).map(([key, one]) => [key, mapSchema(one, change)]),
    );
  const { properties, items, additionalProperties } = schema;
  return change({
    ...schema,
    ...(properties === undefined ? {} : { properties: each(properties) }),
    ...(items === undefined ? {} : { items: mapSchema(items, change) }),
    ...(isObject(additionalProperties)
      ? { additionalProperties: mapSchema(additionalProperties, change) }
      : {}),
  });
}
