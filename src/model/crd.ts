// CustomResourceDefinitions of the kinds, for clusters that keep Calico's resources themselves. What a structural schema
// can say is in them; the native group has the rules between fields in CEL too. The old group takes what older writers
// write: there, rules are checked by whoever validates with this module.
import { kindDefinition } from './registry.ts';
import type { KindDefinition } from './kind-definition.ts';
import type { KindName } from './kinds/mod.ts';
import type { SchemaNode, Validation } from './schema.ts';

/** The native group, and the one in which Calico kept its resources before. */
export type CrdGroup = 'projectcalico.org' | 'crd.projectcalico.org';
type Props = Record<string, unknown>;

/** Whether the kind is an object of its own in the group. */
export function isStoredIn(kind: KindName, group: CrdGroup): boolean {
  const definition = kindDefinition(kind);
  if (definition.family !== 'calico' || definition.storedAs === 'view') return false;
  return group === 'projectcalico.org' || definition.classic !== undefined;
}

/** Plural of the kind in the group, which names its CRD. */
export const pluralIn = (kind: KindName, group: CrdGroup): string =>
  namesIn(kindDefinition(kind), group).plural;

/** The definition as an object of apiextensions.k8s.io/v1. */
export function customResourceDefinition(kind: KindName, group: CrdGroup): Props {
  const definition = kindDefinition(kind);
  const names = namesIn(definition, group);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${names.plural}.${group}` },
    spec: {
      group,
      names,
      scope: definition.namespaced ? 'Namespaced' : 'Cluster',
      preserveUnknownFields: false,
      versions: [
        {
          name: group === 'projectcalico.org' ? 'v3' : 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: rootSchema(definition, group) },
          ...(definition.hasStatus ? { subresources: { status: {} } } : {}),
          ...(definition.columns.length > 0 ? { additionalPrinterColumns: printerColumns(definition) } : {}),
        },
      ],
    },
  };
}

function namesIn(definition: KindDefinition, group: CrdGroup) {
  const { kind, plural } = group === 'projectcalico.org' ? definition : (definition.classic ?? definition);
  return {
    kind,
    listKind: `${kind}List`,
    plural,
    singular: kind.toLowerCase(),
    ...(definition.shortNames.length > 0 && group === 'projectcalico.org'
      ? { shortNames: definition.shortNames }
      : {}),
  };
}

const printerColumns = (definition: KindDefinition): readonly Props[] =>
  definition.columns.map(({ name, type, path, description, priority }) => ({
    name,
    type,
    jsonPath: path,
    ...(description === undefined ? {} : { description }),
    ...(priority === undefined ? {} : { priority }),
  }));

function rootSchema(definition: KindDefinition, group: CrdGroup): Props {
  const fields = definition.schema.properties ?? {};
  const required = ['metadata', ...(definition.schema.required ?? [])];
  return {
    type: 'object',
    description: definition.description,
    required,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      ...mapValues(fields, (node) => convert(classicForm(node, definition, group), group)),
    },
    ...rulesKeyword(definition.validations, group),
  };
}

/** In the old group BlockAffinity writes a truth value as text. */
function classicForm(node: SchemaNode, { kind }: KindDefinition, group: CrdGroup): SchemaNode {
  if (group !== 'crd.projectcalico.org' || kind !== 'BlockAffinity' || node.properties === undefined)
    return node;
  const deleted: SchemaNode = { type: 'string', enum: ['true', 'false'] };
  return { ...node, properties: { ...node.properties, deleted } };
}

const mapValues = <T, U>(object: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]));

/** Formats that API servers know under the same or another name; the others are checked here only. */
const serverFormats: Readonly<Record<string, string>> = {
  cidr: 'cidr',
  ipv4: 'ipv4',
  ipv6: 'ipv6',
  mac: 'mac',
  int64: 'int64',
};

function convert(node: SchemaNode, group: CrdGroup): Props {
  const shared = { ...sharedKeywords(node), ...rulesKeyword(node.validations ?? [], group) };
  if (node.anyOf !== undefined)
    return { ...shared, anyOf: node.anyOf.map(({ type }) => ({ type })), 'x-kubernetes-int-or-string': true };
  switch (node.type) {
    case undefined:
      return { ...shared, 'x-kubernetes-preserve-unknown-fields': true };
    case 'object':
      return { ...shared, type: 'object', ...objectKeywords(node, group) };
    case 'array':
      return { ...shared, type: 'array', ...arrayKeywords(node, group) };
    default:
      return { ...shared, type: node.type, ...scalarKeywords(node) };
  }
}

const rulesKeyword = (validations: readonly Validation[], group: CrdGroup): Props =>
  validations.length === 0 || group !== 'projectcalico.org'
    ? {}
    : { 'x-kubernetes-validations': validations };

function sharedKeywords({ description, deprecated, default: value, nullable }: SchemaNode): Props {
  const text = deprecated ? `Deprecated: ${description ?? ''}`.trim() : description;
  return {
    ...(text === undefined ? {} : { description: text }),
    ...(value === undefined ? {} : { default: value }),
    ...(nullable ? { nullable } : {}),
  };
}

function objectKeywords({ properties, required, additionalProperties }: SchemaNode, group: CrdGroup): Props {
  if (typeof additionalProperties === 'object')
    return { additionalProperties: convert(additionalProperties, group) };
  return {
    ...(required === undefined ? {} : { required }),
    ...(properties === undefined
      ? {}
      : { properties: mapValues(properties, (inner) => convert(inner, group)) }),
    ...(additionalProperties === false ? {} : { 'x-kubernetes-preserve-unknown-fields': true }),
  };
}

function arrayKeywords({ items, minItems, maxItems, uniqueItems }: SchemaNode, group: CrdGroup): Props {
  const isScalar = items !== undefined && items.type !== 'object' && items.anyOf === undefined;
  return {
    ...(items === undefined ? {} : { items: convert(items, group) }),
    ...(minItems === undefined ? {} : { minItems }),
    ...(maxItems === undefined ? {} : { maxItems }),
    ...(uniqueItems && isScalar ? { 'x-kubernetes-list-type': 'set' } : {}),
  };
}

function scalarKeywords(node: SchemaNode): Props {
  const format = node.format === undefined ? undefined : serverFormats[node.format];
  const anyCase = node.enum !== undefined && node.anyCase ? `(?i)^(${node.enum.join('|')})?$` : undefined;
  const pattern = anyCase ?? node.pattern;
  return {
    ...(node.enum === undefined || node.anyCase ? {} : { enum: node.enum }),
    ...(pattern === undefined ? {} : { pattern }),
    ...(format === undefined ? {} : { format }),
    ...(node.minLength === undefined ? {} : { minLength: node.minLength }),
    ...(node.maxLength === undefined ? {} : { maxLength: node.maxLength }),
    ...(node.minimum === undefined ? {} : { minimum: node.minimum }),
    ...(node.maximum === undefined ? {} : { maximum: node.maximum }),
  };
}
