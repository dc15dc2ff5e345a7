// Between JSON and CEL's values, as a structural schema types them: whole numbers are 64-bit integers, objects are
// instances of a class of their own, and names that CEL cannot say are written as Kubernetes escapes them.
import { isObject, type JsonObject, objectAt } from '../json.ts';

/** An object of the schema: its fields under their escaped names. */
export type Instance = { [field: string]: unknown };
/** What an expression sees of a place of the schema. */
export type Shape = {
  /** Name of the type as declarations write it, e.g. `list<map<string, int>>`. */
  readonly type: string;
  /** The value as the evaluator wants it; undefined where the JSON has nothing of that type. */
  readonly toCel: (value: unknown) => unknown;
};
/** Declares the type of an object with these fields, and gives the class of its values. */
export type DeclareObject = (fields: Readonly<Record<string, string>>) => {
  readonly name: string;
  readonly make: () => Instance;
};

const reservedWords = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** The name of a field in expressions (Kubernetes: `__namespace__`, `a__dash__b`), or undefined when it has none. */
export function escapedName(name: string): string | undefined {
  if (reservedWords.has(name)) return `__${name}__`;
  const escaped = name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__');
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined;
}

const same = (value: unknown): unknown => value;
const whole = (value: unknown): unknown =>
  typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value;
const anything: Shape = { type: 'dyn', toCel: dynamic };

/** Values of no declared type: every whole number is an integer. */
function dynamic(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dynamic);
  if (isObject(value)) return new Map(Object.entries(value).map(([key, inner]) => [key, dynamic(inner)]));
  return whole(value);
}

/** The shape of a schema. Fields that an expression cannot reach are left out of its type. */
export function shapeOf(schema: JsonObject, declare: DeclareObject, isRoot = false): Shape {
  if (schema['x-kubernetes-int-or-string'] === true) return { type: 'dyn', toCel: whole };
  const shape = typedShape(schema, declare, isRoot);
  return schema['nullable'] === true ? { ...shape, type: 'dyn' } : shape;
}

function typedShape(schema: JsonObject, declare: DeclareObject, isRoot: boolean): Shape {
  switch (schema['type']) {
    case 'string':
      return textShape(schema['format']);
    case 'boolean':
      return { type: 'bool', toCel: same };
    case 'integer':
      return { type: 'int', toCel: whole };
    case 'number':
      return { type: 'double', toCel: (value) => (typeof value === 'bigint' ? Number(value) : value) };
    case 'array': {
      const item = shapeOf(objectAt(schema, 'items'), declare);
      return {
        type: `list<${item.type}>`,
        toCel: (value) => (Array.isArray(value) ? value.map((one) => item.toCel(one)) : value),
      };
    }
    case 'object':
      return objectShape(schema, declare, isRoot);
    default:
      return anything;
  }
}

function textShape(format: unknown): Shape {
  if (format === 'date-time' || format === 'date')
    return {
      type: 'google.protobuf.Timestamp',
      toCel: (value) => (typeof value === 'string' ? new Date(value) : value),
    };
  if (format === 'byte')
    return {
      type: 'bytes',
      toCel: (value) => (typeof value === 'string' ? new Uint8Array(Buffer.from(value, 'base64')) : value),
    };
  return { type: 'string', toCel: same };
}

function objectShape(schema: JsonObject, declare: DeclareObject, isRoot: boolean): Shape {
  const { additionalProperties } = schema;
  if (isObject(additionalProperties)) {
    const inner = shapeOf(additionalProperties, declare);
    return {
      type: `map<string, ${inner.type}>`,
      toCel: (value) =>
        isObject(value) ? new Map(Object.entries(value).map(([key, one]) => [key, inner.toCel(one)])) : value,
    };
  }
  const properties = { ...objectAt(schema, 'properties'), ...headOf(schema, isRoot) };
  const fields = Object.entries(properties).flatMap(([name, property]) => {
    const escaped = escapedName(name);
    return escaped === undefined || !isObject(property)
      ? []
      : [{ name, escaped, shape: shapeOf(property, declare) }];
  });
  if (fields.length === 0) return anything;
  const { name: type, make } = declare(
    Object.fromEntries(fields.map(({ escaped, shape }) => [escaped, shape.type])),
  );
  const toCel = (value: unknown): unknown => {
    if (!isObject(value)) return value;
    const instance = make();
    for (const { name, escaped, shape } of fields)
      if (value[name] !== undefined) instance[escaped] = shape.toCel(value[name]);
    return instance;
  };
  return { type, toCel };
}

/** What rules may read of any object's head: nothing else of its metadata is theirs. */
function headOf(schema: JsonObject, isRoot: boolean): JsonObject {
  if (!isRoot && schema['x-kubernetes-embedded-resource'] !== true) return {};
  const text = { type: 'string' };
  const metadata = { type: 'object', properties: { name: text, generateName: text } };
  return { apiVersion: text, kind: text, metadata };
}

/** Equality of two values that `toCel` made; the order of fields does not matter. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  if (ArrayBuffer.isView(a) || Array.isArray(a)) {
    const [left, right] = [a as readonly unknown[], b as readonly unknown[]];
    return left.length === right.length && Array.from(left).every((one, i) => sameValue(one, right[i]));
  }
  const entries = (value: object): ReadonlyMap<unknown, unknown> =>
    value instanceof Map ? value : new Map(Object.entries(value));
  const [left, right] = [entries(a), entries(b)];
  return left.size === right.size && [...left].every(([key, one]) => sameValue(one, right.get(key)));
}
