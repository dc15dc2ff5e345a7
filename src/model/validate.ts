// Checks objects against the schema and the rules of their kind. Every issue names the field, the value and the reason.
import { isNear } from '../lib/near.ts';
import type { AnyObject, Rule } from './kind-definition.ts';
import { formats } from './formats.ts';
import { kindDefinition } from './registry.ts';
import type { KindName } from './kinds/mod.ts';
import { metadataIssues } from './metadata.ts';
import type { SchemaNode } from './schema.ts';
import type { Issue } from './types.ts';

/** An answer never has more issues than this: beyond, the object is not worth describing. */
const maxIssues = 50;

/** What is wrong with the object in itself, in the order of its fields; empty when nothing is. */
export function validate(kind: KindName, object: unknown): readonly Issue[] {
  const definition = kindDefinition(kind);
  if (!isObject(object)) return [{ field: '', value: object, reason: 'must be an object' }];
  const { apiVersion, kind: objectKind, metadata, ...fields } = object;
  const issues: Issue[] = [];
  const isClassic = definition.classic?.kind === objectKind && apiVersion === 'crd.projectcalico.org/v1';
  if (!isClassic && apiVersion !== definition.apiVersion)
    issues.push({ field: 'apiVersion', value: apiVersion, reason: `must be ${definition.apiVersion}` });
  if (!isClassic && objectKind !== definition.kind)
    issues.push({ field: 'kind', value: objectKind, reason: `must be ${definition.kind}` });
  issues.push(...metadataIssues(definition, metadata));
  const depth = definition.family === 'calico' ? 'strict' : 'light';
  checkNode(definition.schema, fields, '', issues, depth);
  if (issues.length === 0) for (const rule of definition.rules) issues.push(...runRule(rule, object));
  return issues.slice(0, maxIssues);
}

/** Whether every field is of its type and form; rules between fields are not looked at. */
export function isStructurallySound(kind: KindName, object: object): boolean {
  const { apiVersion: _a, kind: _k, metadata, ...fields } = object as Record<string, unknown>;
  const issues: Issue[] = [];
  checkNode(kindDefinition(kind).schema, fields, '', issues, 'light');
  return issues.length === 0 && metadataIssues(kindDefinition(kind), metadata).length === 0;
}

/** What a write would break that is sound in itself: fields that must not change, names that are reserved. `before` is the
 *  stored object, undefined at creation. Call it for objects without issues. */
export const validateChange = (kind: KindName, object: unknown, before: unknown): readonly Issue[] =>
  kindDefinition(kind).changeRules.flatMap((rule) =>
    rule(object as AnyObject, before as AnyObject | undefined),
  );

const runRule = (rule: Rule, object: Record<string, unknown>): readonly Issue[] => rule(object);

type Depth = 'strict' | 'light';

function checkNode(node: SchemaNode, value: unknown, path: string, issues: Issue[], depth: Depth): void {
  if (issues.length >= maxIssues) return;
  const add = (reason: string): void => void issues.push({ field: path, value, reason });
  if (value === null && node.nullable) return;
  if (node.anyOf !== undefined) {
    if (!node.anyOf.some((option) => option.type === undefined || hasType(option.type, value)))
      return add(`must be ${node.anyOf.map((option) => article[option.type ?? 'object']).join(' or ')}`);
  } else if (node.type !== undefined && !hasType(node.type, value) && !isWrittenNumber(node, value)) {
    return add(`must be ${article[node.type]}`);
  }
  if (node.type === 'object') return checkObject(node, value as Record<string, unknown>, path, issues, depth);
  if (node.type === 'array') return checkArray(node, value as readonly unknown[], path, issues, depth);
  const problem = scalarProblem(node, value);
  if (typeof problem === 'string') add(problem);
  else if (problem !== undefined) issues.push({ field: path, ...problem });
}

/** AS numbers may be text (`"64512"`, `"1.10"`); applyDefaults makes numbers of them. */
const isWrittenNumber = (node: SchemaNode, value: unknown): boolean =>
  node.format === 'as-number' && typeof value === 'string';

function checkObject(
  node: SchemaNode,
  value: Record<string, unknown>,
  path: string,
  issues: Issue[],
  depth: Depth,
): void {
  const properties = node.properties ?? {};
  for (const [key, item] of Object.entries(value)) {
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const field = path === '' ? key : `${path}.${key}`;
    if (property !== undefined) {
      // As in Calico, null and the empty text of an optional field count as absent.
      const isAbsent = (item === null || isBlank(property, item)) && !node.required?.includes(key);
      if (!isAbsent) checkNode(property, item, field, issues, depth);
    } else if (typeof node.additionalProperties === 'object') {
      checkNode(node.additionalProperties, item, `${path}[${key}]`, issues, depth);
    } else if (node.additionalProperties === false && depth === 'strict') {
      issues.push({ field, value: item, reason: unknownField(key, Object.keys(properties)) });
    }
  }
  for (const key of node.required ?? []) {
    if (value[key] === undefined)
      issues.push({ field: path === '' ? key : `${path}.${key}`, reason: 'must be given' });
  }
}

const isBlank = (node: SchemaNode, value: unknown): boolean =>
  (value === '' && takesText(node) && (node.enum === undefined || node.anyCase === true)) ||
  (value === 0 && node.format === 'or-zero');

const takesText = (node: SchemaNode): boolean =>
  node.type === undefined
    ? (node.anyOf ?? [node]).some((o) => o.type === undefined || o.type === 'string')
    : node.type === 'string';

function checkArray(
  node: SchemaNode,
  value: readonly unknown[],
  path: string,
  issues: Issue[],
  depth: Depth,
): void {
  const add = (reason: string): void => void issues.push({ field: path, value, reason });
  if (node.minItems !== undefined && value.length < node.minItems)
    add(`must have at least ${node.minItems} items`);
  if (node.maxItems !== undefined && value.length > node.maxItems)
    return add(`must have at most ${node.maxItems} items`);
  if (node.items !== undefined)
    for (const [i, item] of value.entries()) checkNode(node.items, item, `${path}[${i}]`, issues, depth);
  if (node.uniqueItems && new Set(value.map((item) => JSON.stringify(item))).size < value.length)
    add('must not have the same item twice');
}

/** Why a text, number or boolean of the right type is refused; with the part of it that is wrong, where that is known. */
function scalarProblem(
  node: SchemaNode,
  value: unknown,
): string | { readonly value: unknown; readonly reason: string } | undefined {
  if (node.enum !== undefined && !isListed(node, value))
    return `is not one of the supported values: ${node.enum.map((word) => JSON.stringify(word)).join(', ')}`;
  if (typeof value === 'string') {
    if (node.minLength !== undefined && value.length < node.minLength)
      return `must have at least ${node.minLength} characters`;
    if (node.maxLength !== undefined && value.length > node.maxLength)
      return `must have at most ${node.maxLength} characters`;
    if (node.pattern !== undefined && !new RegExp(node.pattern).test(value))
      return `must match ${node.pattern}`;
  }
  if (typeof value === 'number' || typeof value === 'bigint') {
    if (node.minimum !== undefined && value < node.minimum) return `must be at least ${node.minimum}`;
    if (node.maximum !== undefined && value > node.maximum) return `must be at most ${node.maximum}`;
  }
  const check = node.format === undefined ? undefined : formats[node.format];
  return check !== undefined && (typeof value === 'string' || typeof value === 'number')
    ? check(value)
    : undefined;
}

const isListed = ({ enum: words = [], anyCase }: SchemaNode, value: unknown): boolean =>
  words.some((word) =>
    anyCase ? String(word).toLowerCase() === String(value).toLowerCase() : word === value,
  );

/** Whether the object could not even be read: a field that is none, a value of another type, a number that is no AS number.
 *  Other issues are of objects that could be read but mean nothing allowed. */
export const isShapeIssue = ({ reason }: Issue): boolean => shapeReason.test(reason);
const shapeReason =
  /^(is not a field here|must be (an object|a list|a text|a whole number|a number|true or false|an AS number|a length of time)\b)/;

const article = {
  object: 'an object',
  array: 'a list',
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
} as const;

function hasType(type: NonNullable<SchemaNode['type']>, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value) || typeof value === 'bigint';
    default:
      return typeof value === type;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Names the field that was probably meant. */
function unknownField(key: string, known: readonly string[]): string {
  const near =
    known.find((name) => name.toLowerCase() === key.toLowerCase()) ?? known.find((name) => isNear(name, key));
  return near === undefined ? 'is not a field here' : `is not a field here; did you mean ${near}?`;
}
