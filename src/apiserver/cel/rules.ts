// The rules of a definition's schema (`x-kubernetes-validations`), compiled once and applied to objects.
//
// A rule sees its place of the object as `self`, and as `oldSelf` what was there before; a rule that speaks of oldSelf
// is asked only where there was something. What an update leaves as it was is not judged again.
import { type Environment, Optional, type ParseResult } from '@marcbachmann/cel-js';
import { isObject, type JsonObject, listAt, objectAt, sameJson, textAt } from '../json.ts';
import type { Issue } from '../types.ts';
import { rulesEnvironment } from './library.ts';
import { type DeclareObject, type Instance, sameValue, type Shape, shapeOf } from './values.ts';

/** The rules of one schema. */
export type SchemaRules = {
  /** What is wrong with the rules themselves; then none is applied. */
  readonly issues: readonly Issue[];
  /** What is wrong with an object by the rules; `before` is undefined at creation. */
  check(object: JsonObject, before: JsonObject | undefined): readonly Issue[];
};

type Rule = {
  readonly text: string;
  readonly program: ParseResult;
  readonly message: ParseResult | string;
  readonly reason: string | undefined;
  /** Below the place of the rule, e.g. `.spec.size`. */
  readonly fieldPath: string;
  readonly isOfChange: boolean;
  readonly isOldOptional: boolean;
  /** How deeply its loops over lists and maps nest. */
  readonly loops: number;
};
/** A place of the schema with rules, or on the way to one. */
type Place = {
  readonly schema: JsonObject;
  readonly shape: Shape;
  readonly rules: readonly Rule[];
  readonly fields: ReadonlyMap<string, Place>;
  /** Of every item of a list, or every value of a map. */
  readonly each: Place | undefined;
};

const maxIssues = 50;
/** What nested loops may cost: the number of values they see, to the power of their depth. */
const maxSteps = 10_000_000;
const keyword = 'x-kubernetes-validations';

/** Compiles the rules of a schema at `path` of its definition. */
export function schemaRules(schema: JsonObject, path: string): SchemaRules | undefined {
  if (!hasRules(schema)) return undefined;
  const compiler = new Compiler();
  const root = compiler.place(schema, path, true);
  return {
    issues: compiler.issues,
    check: (object, before) => {
      if (compiler.issues.length > 0) return [];
      const issues: Issue[] = [];
      apply(root, object, before, '', issues);
      return issues.slice(0, maxIssues);
    },
  };
}

const innerSchemas = (schema: JsonObject): readonly unknown[] => [
  ...Object.values(objectAt(schema, 'properties')),
  schema['items'],
  schema['additionalProperties'],
];
const hasRules = (schema: unknown): boolean =>
  isObject(schema) && (listAt(schema, keyword).length > 0 || innerSchemas(schema).some(hasRules));

class Compiler {
  readonly issues: Issue[] = [];
  readonly #base: Environment = rulesEnvironment();
  #types = 0;
  readonly #pending: { readonly type: string; readonly compile: (env: Environment) => void }[] = [];
  readonly #declare: DeclareObject = (fields) => {
    const name = `object${++this.#types}`;
    const Fields: new () => Instance = class {
      [field: string]: unknown;
    };
    this.#base.registerType(name, { ctor: Fields, fields });
    this.#base.registerOperator(`${name} == ${name}`, sameValue);
    return { name, make: () => new Fields() };
  };

  /** The tree of places; its rules are compiled when all types are declared. */
  place(schema: JsonObject, path: string, isRoot: boolean): Place {
    const place = this.#place(schema, path, isRoot);
    // A copy closes its original to new types.
    for (const { type, compile } of this.#pending) {
      const env = this.#base.clone();
      env.registerVariable('self', type);
      compile(env);
    }
    return place;
  }

  #place(schema: JsonObject, path: string, isRoot: boolean): Place {
    const shape = shapeOf(schema, this.#declare, isRoot);
    const rules: Rule[] = [];
    for (const [i, one] of listAt(schema, keyword).entries())
      this.#pending.push({
        type: shape.type,
        compile: (env) => {
          const rule = this.#rule(env, shape, one, schema, `${path}.${keyword}[${i}]`);
          if (rule !== undefined) rules.push(rule);
        },
      });
    const fields = new Map<string, Place>();
    for (const [name, inner] of Object.entries(objectAt(schema, 'properties')))
      if (isObject(inner) && hasRules(inner))
        fields.set(name, this.#place(inner, `${path}.properties[${name}]`, false));
    const each = (['items', 'additionalProperties'] as const).find((word) => hasRules(schema[word]));
    return {
      schema,
      shape,
      rules,
      fields,
      each: each === undefined ? undefined : this.#place(objectAt(schema, each), `${path}.${each}`, false),
    };
  }

  #rule(env: Environment, shape: Shape, said: unknown, schema: JsonObject, path: string): Rule | undefined {
    const refuse = (field: string, value: unknown, reason: string): undefined =>
      void this.issues.push({ field: `${path}.${field}`, value, reason });
    const text = textAt(said, 'rule')?.trim() ?? '';
    if (text === '') return refuse('rule', text, 'Required value: rule is not specified');
    const isOldOptional = isObject(said) && said['optionalOldSelf'] === true;
    env.registerVariable('oldSelf', isOldOptional ? `optional<${shape.type}>` : shape.type);
    const program = compiled(env, text, 'bool');
    if (typeof program === 'string') return refuse('rule', text, program);
    const isOfChange = mentionsOld(program.ast);
    if (isOldOptional && !isOfChange)
      return refuse('optionalOldSelf', true, 'may be set only for rules that use oldSelf');
    const expression = textAt(said, 'messageExpression');
    const message = expression === undefined ? undefined : compiled(env, expression, 'string');
    if (typeof message === 'string') return refuse('messageExpression', expression, message);
    const fieldPath = textAt(said, 'fieldPath') ?? '';
    if (fieldPath !== '' && !leadsTo(schema, fieldPath))
      return refuse('fieldPath', fieldPath, 'fieldPath must be a valid path to a field of the schema');
    const reason = textAt(said, 'reason');
    if (reason !== undefined && !Object.hasOwn(reasons, reason))
      return refuse(
        'reason',
        reason,
        `Unsupported value: supported values: ${Object.keys(reasons).join(', ')}`,
      );
    return {
      text,
      program,
      message: message ?? textAt(said, 'message') ?? `failed rule: ${text}`,
      reason,
      fieldPath,
      isOfChange,
      isOldOptional,
      loops: loopDepth(program.ast),
    };
  }
}

/** How the server words each reason. */
const reasons: Readonly<Record<string, (message: string) => string>> = {
  FieldValueInvalid: (message) => message,
  FieldValueForbidden: (message) => `Forbidden: ${message}`,
  FieldValueRequired: (message) => `Required value: ${message}`,
  FieldValueDuplicate: (message) => `Duplicate value: ${message}`,
};

/** The program, or why the text is none. */
function compiled(env: Environment, text: string, type: string): ParseResult | string {
  try {
    const checked = env.check(text);
    if (!checked.valid) return `compilation failed: ${firstLine(checked.error?.message ?? 'unknown error')}`;
    if (checked.type !== type && checked.type !== 'dyn')
      return `compilation failed: must evaluate to ${type}, not to ${checked.type ?? 'nothing'}`;
    return env.parse(text);
  } catch (error) {
    return `compilation failed: ${firstLine((error as Error).message)}`;
  }
}
const firstLine = (text: string): string => text.split('\n')[0] ?? text;

function leadsTo(schema: JsonObject, path: string): boolean {
  let here: unknown = schema;
  const steps = path.matchAll(/\.([A-Za-z_][\w-]*)|\['([^']+)'\]/gy);
  let end = 0;
  for (const step of steps) {
    end = step.index + step[0].length;
    here = objectAt(here, 'properties')[step[1] ?? step[2] ?? ''];
    if (!isObject(here)) return false;
  }
  return end === path.length;
}

/** Every node of an expression; strings and numbers are its leaves. */
function* nodesOf(ast: unknown): Generator<{ readonly op: string; readonly args: unknown }> {
  if (Array.isArray(ast)) for (const one of ast) yield* nodesOf(one);
  else if (isObject(ast) && typeof ast['op'] === 'string') {
    yield { op: ast['op'], args: ast['args'] };
    yield* nodesOf(ast['args']);
  }
}
function mentionsOld(ast: unknown): boolean {
  for (const { op, args } of nodesOf(ast)) if (op === 'id' && args === 'oldSelf') return true;
  return false;
}
const loopWords = new Set(['all', 'exists', 'exists_one', 'map', 'filter', 'in']);

function loopDepth(ast: unknown): number {
  if (Array.isArray(ast)) return Math.max(0, ...ast.map(loopDepth));
  if (!isObject(ast)) return 0;
  const { op, args } = ast;
  const word = op === 'rcall' && Array.isArray(args) ? String(args[0]) : String(op);
  return loopDepth(args) + (loopWords.has(word) ? 1 : 0);
}

function apply(place: Place, value: unknown, before: unknown, path: string, issues: Issue[]): void {
  if (value === undefined || value === null || issues.length >= maxIssues) return;
  if (place.rules.length > 0) judge(place, value, before, path, issues);
  if (isObject(value)) {
    for (const [name, inner] of place.fields)
      apply(inner, value[name], isObject(before) ? before[name] : undefined, join(path, name), issues);
    if (place.each !== undefined)
      for (const [key, one] of Object.entries(value))
        apply(place.each, one, isObject(before) ? before[key] : undefined, join(path, key), issues);
  } else if (Array.isArray(value) && place.each !== undefined) {
    const earlier = counterparts(place.schema, before);
    for (const [i, one] of value.entries()) apply(place.each, one, earlier(one), `${path}[${i}]`, issues);
  }
}
const join = (path: string, field: string): string => (path === '' ? field : `${path}.${field}`);

/** Items of a list are the same ones as before only where the schema says by which keys. */
function counterparts(schema: JsonObject, before: unknown): (item: unknown) => unknown {
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(before)) return () => undefined;
  const keys = listAt(schema, 'x-kubernetes-list-map-keys').map(String);
  const keyOf = (item: unknown): string =>
    JSON.stringify(keys.map((key) => (isObject(item) ? item[key] : undefined)));
  const found = new Map(before.map((item: unknown) => [keyOf(item), item]));
  return (item) => found.get(keyOf(item));
}

function judge(place: Place, value: unknown, before: unknown, path: string, issues: Issue[]): void {
  const isSame = before !== undefined && sameJson(value, before);
  const self = place.shape.toCel(value);
  const old = before === undefined || before === null ? undefined : place.shape.toCel(before);
  let size: number | undefined;
  for (const rule of place.rules) {
    if (rule.isOfChange ? old === undefined && !rule.isOldOptional : isSame) continue;
    const type = textAt(place.schema, 'type') ?? 'object';
    const field = `${path}${rule.fieldPath}`.replace(/^\./, '') || '<root>';
    const add = (reason: string): void => void issues.push({ field, value: type, reason });
    if (rule.loops > 1) {
      size ??= countOf(value);
      if (size ** rule.loops > maxSteps) {
        add(`the rule takes too long on a value of this size: ${rule.text}`);
        continue;
      }
    }
    const context = { self, oldSelf: rule.isOldOptional ? Optional.of(old) : old };
    try {
      if (rule.program(context) === true) continue;
    } catch (error) {
      add(`${firstLine((error as Error).message)} evaluating rule: ${rule.text}`);
      continue;
    }
    add((reasons[rule.reason ?? 'FieldValueInvalid'] ?? String)(messageOf(rule, context)));
  }
}

function messageOf({ message, text }: Rule, context: Readonly<Record<string, unknown>>): string {
  if (typeof message === 'string') return message;
  try {
    return String(message(context));
  } catch {
    return `failed rule: ${text}`;
  }
}

function countOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  let count = 1;
  for (const inner of Object.values(value)) count += countOf(inner);
  return count;
}
