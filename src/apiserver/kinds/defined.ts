// Kinds that users add with CustomResourceDefinitions: what a definition must be, and the kinds that follow from it.
import { timestamp } from '../api.ts';
import { schemaRules } from '../cel/rules.ts';
import { at, isObject, type JsonObject, listAt, objectAt, textAt } from '../json.ts';
import { defaulted, pruned, structuralIssues } from '../schema/structural.ts';
import { ageColumn, nameColumn } from '../table/columns.ts';
import type { ApiObject, Column, Issue, ServedKind, View, World } from '../types.ts';
import { servedColumn } from './calico.ts';

export const definitionResource = 'customresourcedefinitions.apiextensions.k8s.io';
/** Keeps a deleted definition until its objects are gone. */
export const definitionFinalizer = 'customresourcecleanup.apiextensions.k8s.io';
/** Groups whose kinds the server brings itself: their definitions are there to be read. */
const ownGroups = new Set(['crd.projectcalico.org', 'projectcalico.org']);

export const isOwnDefinition = (definition: ApiObject): boolean =>
  ownGroups.has(textAt(definition, 'spec', 'group') ?? '');

export const definedResource = (definition: ApiObject): string =>
  `${textAt(definition, 'spec', 'names', 'plural')}.${textAt(definition, 'spec', 'group')}`;

/** Names that may be left out, and the status that says that the kind is served. */
export function preparedDefinition(object: ApiObject, previous: ApiObject | undefined): ApiObject {
  const spec = objectAt(object, 'spec');
  const names = objectAt(spec, 'names');
  const kind = textAt(names, 'kind') ?? '';
  const allNames = {
    ...names,
    singular: names['singular'] ?? kind.toLowerCase(),
    listKind: names['listKind'] ?? `${kind}List`,
  };
  const versions = listAt(spec, 'versions');
  const stored = versions.filter((one) => at(one, 'storage') === true).map((one) => textAt(one, 'name'));
  const before = listAt(previous, 'status', 'storedVersions');
  const since = previous?.metadata.creationTimestamp ?? object.metadata.creationTimestamp ?? timestamp(0);
  const condition = (type: string, reason: string, message: string): JsonObject => ({
    type,
    status: 'True',
    lastTransitionTime: since,
    reason,
    message,
  });
  const conversion = spec['conversion'] ?? { strategy: 'None' };
  const { preserveUnknownFields: _, ...kept } = spec;
  return {
    ...object,
    spec: { ...kept, names: allNames, conversion },
    status: {
      conditions: [
        condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
        condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
      ],
      acceptedNames: allNames,
      storedVersions: [...new Set([...before, ...stored])],
    },
  };
}

const label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

export function definitionIssues(object: ApiObject, previous: ApiObject | undefined): readonly Issue[] {
  const issues: Issue[] = [];
  const spec = objectAt(object, 'spec');
  const add = (field: string, reason: string, value?: unknown): void =>
    void issues.push({ field, reason, ...(value === undefined ? {} : { value }) });
  const resource = definedResource(object);
  if (object.metadata.name !== resource)
    add('metadata.name', `must be spec.names.plural+"."+spec.group`, object.metadata.name);
  if (!(textAt(spec, 'group') ?? '').includes('.'))
    add('spec.group', 'should be a domain with at least one dot', spec['group']);
  if (spec['scope'] !== 'Namespaced' && spec['scope'] !== 'Cluster')
    add('spec.scope', 'Unsupported value: supported values: "Cluster", "Namespaced"', spec['scope']);
  const plural = textAt(spec, 'names', 'plural') ?? '';
  if (!label.test(plural)) add('spec.names.plural', 'must be a lower-case DNS label', plural);
  const versions = listAt(spec, 'versions');
  const stored = versions.filter((one) => at(one, 'storage') === true);
  if (stored.length !== 1) add('spec.versions', 'must have exactly one version marked as storage version');
  for (const [i, version] of versions.entries()) {
    const path = `spec.versions[${i}]`;
    if (!label.test(textAt(version, 'name') ?? ''))
      add(`${path}.name`, 'must be a DNS label', at(version, 'name'));
    const schema = at(version, 'schema', 'openAPIV3Schema');
    if (!isObject(schema)) add(`${path}.schema.openAPIV3Schema`, 'Required value: schemas are required');
    else {
      const place = `${path}.schema.openAPIV3Schema`;
      issues.push(...schemaIssues(schema, place, true), ...(schemaRules(schema, place)?.issues ?? []));
    }
  }
  if (previous !== undefined)
    for (const field of ['group', 'scope'])
      if (spec[field] !== at(previous, 'spec', field))
        add(`spec.${field}`, 'field is immutable', spec[field]);
  return issues.slice(0, 20);
}

/** A structural schema has a type everywhere. */
function schemaIssues(schema: JsonObject, path: string, isRoot = false): readonly Issue[] {
  const isMixed =
    schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true;
  const issues: Issue[] = [];
  if (schema['type'] === undefined && !isMixed)
    issues.push({
      field: `${path}.type`,
      reason: 'Required value: must not be empty for specified object fields',
    });
  else if (isRoot && schema['type'] !== undefined && schema['type'] !== 'object')
    issues.push({ field: `${path}.type`, value: schema['type'], reason: 'must be object at the root' });
  for (const [field, inner] of Object.entries(objectAt(schema, 'properties')))
    if (isObject(inner)) issues.push(...schemaIssues(inner, `${path}.properties[${field}]`));
  if (schema['type'] === 'array' && !isObject(schema['items']))
    issues.push({ field: `${path}.items`, reason: 'Required value: must be specified' });
  if (isObject(schema['items'])) issues.push(...schemaIssues(schema['items'], `${path}.items`));
  const { additionalProperties } = schema;
  if (isObject(additionalProperties))
    issues.push(...schemaIssues(additionalProperties, `${path}.additionalProperties`));
  return issues;
}

/** The kinds of a definition: one for each served version. Objects are kept as the storage version. */
export function definedKinds(definition: ApiObject): readonly ServedKind[] {
  const versions = listAt(definition, 'spec', 'versions').filter(isObject);
  const stored = versions.find((one) => one['storage'] === true);
  if (stored === undefined) return [];
  const base = kindOfVersion(definition, stored);
  const served = versions.filter((one) => one['served'] === true);
  // Objects may have been stored as another version before: every version is written over what is there.
  const past = listAt(definition, 'status', 'storedVersions');
  if (served.length === 1 && past.length <= 1 && served[0] === stored) return [base];
  return served
    .map((version) => ({
      ...kindOfVersion(definition, version),
      view: versionView(base, String(version['name'])),
    }))
    .sort((a, b) => compareVersions(a.version, b.version));
}

function versionView(base: ServedKind, version: string): View {
  return {
    base,
    outward: (object) => ({ ...object, apiVersion: `${base.group}/${version}` }),
    inward: (object) => ({ ...object, apiVersion: `${base.group}/${base.version}` }),
  };
}

/** v2 before v1 before v1beta2 before v1alpha1 before anything else. */
function compareVersions(a: string, b: string): number {
  const rank = (version: string): readonly number[] => {
    const [, major, stage, minor] = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version) ?? [];
    if (major === undefined) return [-1, 0, 0];
    return [stage === undefined ? 2 : stage === 'beta' ? 1 : 0, Number(major), Number(minor ?? 0)];
  };
  const [left, right] = [rank(a), rank(b)];
  for (const [i, value] of left.entries()) if (value !== right[i]) return (right[i] ?? 0) - value;
  return a < b ? -1 : 1;
}

const columnTypes = ['string', 'integer', 'number', 'boolean', 'date'] as const;

function columnsOf(version: JsonObject): readonly Column[] {
  const columns = listAt(version, 'additionalPrinterColumns').map((one) => {
    const description = textAt(one, 'description');
    const priority = at(one, 'priority');
    return servedColumn({
      name: textAt(one, 'name') ?? '',
      type: columnTypes.find((type) => type === at(one, 'type')) ?? 'string',
      path: textAt(one, 'jsonPath') ?? '',
      ...(description === undefined ? {} : { description }),
      ...(typeof priority === 'number' ? { priority } : {}),
    });
  });
  return [nameColumn, ...(columns.length === 0 ? [ageColumn] : columns)];
}

function kindOfVersion(definition: ApiObject, version: JsonObject): ServedKind {
  const spec = objectAt(definition, 'spec');
  const names = objectAt(spec, 'names');
  const schema = objectAt(version, 'schema', 'openAPIV3Schema');
  const subresources = objectAt(version, 'subresources');
  const kind = textAt(names, 'kind') ?? '';
  // The metadata is everybody's and checked apart.
  const { metadata: _, apiVersion: __, kind: ___, ...fields } = objectAt(schema, 'properties');
  const required = listAt(schema, 'required').filter((one) => one !== 'metadata');
  const own: JsonObject = { ...schema, properties: fields, required };
  const rules = schemaRules(schema, '');
  const bodyOf = (object: ApiObject): JsonObject => {
    const { apiVersion: _a, kind: _k, metadata: _m, ...body } = object;
    return body;
  };
  const headOf = ({ apiVersion, kind: word, metadata }: ApiObject) => ({ apiVersion, kind: word, metadata });
  return {
    group: textAt(spec, 'group') ?? '',
    version: textAt(version, 'name') ?? '',
    kind,
    plural: textAt(names, 'plural') ?? '',
    singular: textAt(names, 'singular') ?? kind.toLowerCase(),
    shortNames: listAt(names, 'shortNames').map(String),
    categories: listAt(names, 'categories').map(String),
    namespaced: spec['scope'] === 'Namespaced',
    nature: 'custom',
    columns: columnsOf(version),
    hasStatus: isObject(subresources['status']),
    hasScale: at(subresources, 'scale', 'specReplicasPath') === '.spec.replicas',
    countsGenerations: true,
    schema: undefined,
    structural: () => schema,
    names: 'subdomain',
    prune: (object) => {
      const unknown: string[] = [];
      const body = pruned(bodyOf(object), own, '', unknown) as JsonObject;
      return { object: { ...headOf(object), ...body }, unknown };
    },
    applyDefaults: (object) => ({ ...headOf(object), ...(defaulted(bodyOf(object), own) as JsonObject) }),
    // Rules may rely on the types of what they see.
    validate: (object, previous) => {
      const issues = structuralIssues(bodyOf(object), own, '');
      return issues.length > 0 ? issues : (rules?.check(object, previous) ?? []);
    },
  };
}

export function whyDefinitionStays(definition: ApiObject): string | undefined {
  return isOwnDefinition(definition)
    ? 'the server brings this kind itself, and its definition with it'
    : undefined;
}

export const finalizerOfDefinition = (definition: ApiObject, world: World): string | undefined => {
  for (const _ of world.objects(definedResource(definition))) return definitionFinalizer;
  return undefined;
};
