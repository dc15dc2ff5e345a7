// Objects of user-defined kinds by their structural schema: unknown fields are pruned, defaults filled in, values checked.
// Rules written in CEL: see ../cel.
import { isAddress, parseInterfaceAddress } from '../../lib/ip/mod.ts';
import { isObject, type JsonObject, listAt, objectAt, sameJson, textAt } from '../json.ts';
import type { Issue } from '../types.ts';

const maxIssues = 50;
const propertiesOf = (schema: JsonObject): JsonObject => objectAt(schema, 'properties');
const schemaAt = (schema: JsonObject, field: string): JsonObject | undefined => {
  const properties = propertiesOf(schema);
  const found = Object.hasOwn(properties, field) ? properties[field] : undefined;
  if (isObject(found)) return found;
  const { additionalProperties } = schema;
  return isObject(additionalProperties) ? additionalProperties : undefined;
};
const keepsUnknown = (schema: JsonObject): boolean =>
  schema['x-kubernetes-preserve-unknown-fields'] === true || schema['additionalProperties'] === true;

/** The value without fields that the schema does not have; their paths are added to `unknown`. */
export function pruned(value: unknown, schema: JsonObject, path: string, unknown: string[]): unknown {
  if (Array.isArray(value)) {
    const items = objectAt(schema, 'items');
    return value.map((item: unknown, i) => pruned(item, items, `${path}[${i}]`, unknown));
  }
  if (!isObject(value)) return value;
  const kept: Record<string, unknown> = {};
  for (const [field, inner] of Object.entries(value)) {
    const known = schemaAt(schema, field);
    const at = path === '' ? field : `${path}.${field}`;
    const isMeta =
      schema['x-kubernetes-embedded-resource'] === true && ['apiVersion', 'kind', 'metadata'].includes(field);
    if (known !== undefined && !isMeta) kept[field] = pruned(inner, known, at, unknown);
    else if (keepsUnknown(schema) || isMeta) kept[field] = inner;
    else unknown.push(at);
  }
  return kept;
}

/** The value with defaults; null counts as absent where there is a default and null is not allowed. */
export function defaulted(value: unknown, schema: JsonObject): unknown {
  if (Array.isArray(value)) return value.map((item) => defaulted(item, objectAt(schema, 'items')));
  if (!isObject(value)) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [field, property] of Object.entries(propertiesOf(schema))) {
    if (!isObject(property) || property['default'] === undefined) continue;
    const isAbsent = filled[field] === undefined || (filled[field] === null && property['nullable'] !== true);
    if (isAbsent) filled[field] = structuredClone(property['default']);
  }
  for (const [field, inner] of Object.entries(filled)) {
    const known = schemaAt(schema, field);
    if (known !== undefined) filled[field] = defaulted(inner, known);
  }
  return filled;
}

const typeOf = (value: unknown): string => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'bigint' || Number.isInteger(value)) return 'integer';
  return typeof value;
};

export function structuralIssues(value: unknown, schema: JsonObject, path: string): readonly Issue[] {
  const issues: Issue[] = [];
  check(value, schema, path, issues);
  return issues.slice(0, maxIssues);
}

function check(value: unknown, schema: JsonObject, path: string, issues: Issue[]): void {
  if (issues.length >= maxIssues) return;
  const add = (reason: string): void =>
    void issues.push({ field: path === '' ? '<root>' : path, value, reason });
  if (value === null && schema['nullable'] === true) return;
  const found = typeOf(value);
  const { type } = schema;
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (found !== 'integer' && found !== 'string') return add('must be of type integer or string');
  } else if (typeof type === 'string' && type !== found && !(type === 'number' && found === 'integer')) {
    return add(`${path} in body must be of type ${type}: "${found}"`);
  }
  const words = schema['enum'];
  if (Array.isArray(words) && !words.some((one) => sameJson(one, value)))
    issues.push({
      field: path,
      value,
      reason: `Unsupported value: supported values: ${words.map((one) => JSON.stringify(one)).join(', ')}`,
    });
  if (typeof value === 'string') for (const reason of textIssues(value, schema, path)) add(reason);
  if (typeof value === 'number') for (const reason of numberIssues(value, schema, path)) add(reason);
  if (Array.isArray(value)) checkList(value, schema, path, issues);
  else if (isObject(value)) checkObject(value, schema, path, issues);
  checkCombined(value, schema, path, issues);
}

const bound = (schema: JsonObject, keyword: string): number | undefined => {
  const found = schema[keyword];
  return typeof found === 'number' ? found : undefined;
};

/** The formats that API servers check, as far as they are here. */
const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => !Number.isNaN(Date.parse(text)),
  ipv4: (text) => isAddress(text) && !text.includes(':'),
  ipv6: (text) => isAddress(text) && text.includes(':'),
  cidr: (text) => parseInterfaceAddress(text).ok,
  mac: (text) => /^[\da-f]{2}(?:([:-])[\da-f]{2}(?:\1[\da-f]{2}){4})$/i.test(text),
  uuid: (text) => /^[\da-f]{8}(?:-?[\da-f]{4}){3}-?[\da-f]{12}$/i.test(text),
};

function textIssues(value: string, schema: JsonObject, path: string): readonly string[] {
  const reasons: string[] = [];
  const length = Array.from(value).length;
  const [least, most] = [bound(schema, 'minLength'), bound(schema, 'maxLength')];
  if (least !== undefined && length < least)
    reasons.push(`${path} in body should be at least ${least} chars long`);
  if (most !== undefined && length > most) reasons.push(`Too long: may not be longer than ${most}`);
  const { pattern } = schema;
  if (typeof pattern === 'string' && patternOf(pattern)?.test(value) === false)
    reasons.push(`${path} in body should match '${pattern}'`);
  const format = textAt(schema, 'format') ?? '';
  if (Object.hasOwn(formats, format) && formats[format]?.(value) === false)
    reasons.push(`${path} in body must be of type ${format}: ${JSON.stringify(value)}`);
  return reasons;
}

/** Go's regular expressions as JavaScript's; undefined when it has no such thing. */
export function patternOf(pattern: string): RegExp | undefined {
  const flags = /^\(\?([ims]+)\)/.exec(pattern);
  try {
    return new RegExp(pattern.slice(flags?.[0].length ?? 0), flags?.[1] ?? '');
  } catch {
    return undefined;
  }
}

function numberIssues(value: number, schema: JsonObject, path: string): readonly string[] {
  const reasons: string[] = [];
  const [least, most, step] = [
    bound(schema, 'minimum'),
    bound(schema, 'maximum'),
    bound(schema, 'multipleOf'),
  ];
  const isAbove = schema['exclusiveMinimum'] === true;
  const isBelow = schema['exclusiveMaximum'] === true;
  if (least !== undefined && (value < least || (isAbove && value === least)))
    reasons.push(`${path} in body should be greater than ${isAbove ? '' : 'or equal to '}${least}`);
  if (most !== undefined && (value > most || (isBelow && value === most)))
    reasons.push(`${path} in body should be less than ${isBelow ? '' : 'or equal to '}${most}`);
  if (step !== undefined && value % step !== 0)
    reasons.push(`${path} in body should be a multiple of ${step}`);
  return reasons;
}

function checkList(value: readonly unknown[], schema: JsonObject, path: string, issues: Issue[]): void {
  const add = (reason: string): void => void issues.push({ field: path, value, reason });
  const [least, most] = [bound(schema, 'minItems'), bound(schema, 'maxItems')];
  if (least !== undefined && value.length < least) add(`${path} in body should have at least ${least} items`);
  if (most !== undefined && value.length > most) return add(`Too many: must have at most ${most} items`);
  const items = objectAt(schema, 'items');
  for (const [i, item] of value.entries()) check(item, items, `${path}[${i}]`, issues);
  const kind = schema['x-kubernetes-list-type'];
  const keys = listAt(schema, 'x-kubernetes-list-map-keys').map(String);
  if (kind !== 'set' && kind !== 'map') return;
  const seen = new Set<string>();
  for (const [i, item] of value.entries()) {
    const key = JSON.stringify(
      kind === 'set' ? item : keys.map((one) => (isObject(item) ? item[one] : undefined)),
    );
    if (seen.has(key)) issues.push({ field: `${path}[${i}]`, value: item, reason: 'Duplicate value' });
    seen.add(key);
  }
}

function checkObject(value: JsonObject, schema: JsonObject, path: string, issues: Issue[]): void {
  const join = (field: string): string => (path === '' ? field : `${path}.${field}`);
  for (const field of listAt(schema, 'required').map(String))
    if (value[field] === undefined) issues.push({ field: join(field), reason: 'Required value' });
  const count = Object.keys(value).length;
  const [least, most] = [bound(schema, 'minProperties'), bound(schema, 'maxProperties')];
  if (least !== undefined && count < least)
    issues.push({ field: path, value, reason: `should have at least ${least} properties` });
  if (most !== undefined && count > most)
    issues.push({ field: path, value, reason: `must have at most ${most} properties` });
  for (const [field, inner] of Object.entries(value)) {
    const known = schemaAt(schema, field);
    if (known !== undefined && inner !== undefined) check(inner, known, join(field), issues);
  }
}

function checkCombined(value: unknown, schema: JsonObject, path: string, issues: Issue[]): void {
  const fits = (one: unknown): boolean => !isObject(one) || structuralIssues(value, one, path).length === 0;
  const add = (reason: string): void => void issues.push({ field: path, value, reason });
  for (const one of listAt(schema, 'allOf')) if (isObject(one)) check(value, one, path, issues);
  const any = listAt(schema, 'anyOf');
  if (any.length > 0 && !any.some(fits)) add('must validate at least one schema (anyOf)');
  const one = listAt(schema, 'oneOf');
  if (one.length > 0 && one.filter(fits).length !== 1) add('must validate one and only one schema (oneOf)');
  if (isObject(schema['not']) && fits(schema['not'])) add('must not validate the schema (not)');
}
