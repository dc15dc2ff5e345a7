// Builders of schemas. A schema is plain JSON Schema data with TypeBox's types, so that `Static<typeof schema>` is the
// TypeScript type of the value. Only the types of TypeBox are used: loading the library would cost every process 200 ms,
// and the few constructors needed here are small. What is checked with which schema: see validate.ts.
import type {
  Static,
  TArray,
  TBoolean,
  TEnum,
  TInteger,
  TNumber,
  TObject,
  TOptional,
  TProperties,
  TRecord,
  TSchema,
  TString,
  TUnion,
  TUnknown,
  TUnsafe,
} from 'typebox';

export type { Static, TSchema } from 'typebox';

/** A rule between the fields of an object or value, in CEL: `self` is the value, `oldSelf` what it was before. */
export type Validation = { readonly rule: string; readonly message: string };

/** Keywords beside the structure of a schema. `format` names a check of formats.ts. */
export type SchemaOptions = {
  readonly description?: string;
  readonly default?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  /** Still read, no longer meant to be written. */
  readonly deprecated?: boolean;
  /** For API servers that validate by the schema alone; here, `rules` of the kinds decide. */
  readonly validations?: readonly Validation[];
};

/** The schema as the walkers (validation, defaults, CRDs, documents) see it. */
export type SchemaNode = SchemaOptions & {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  /** false: unknown fields are refused; a schema: a map; absent: unknown fields are kept unchecked. */
  readonly additionalProperties?: false | SchemaNode;
  readonly items?: SchemaNode;
  readonly enum?: readonly (string | number)[];
  /** The words of `enum` count in any case, and the empty text as absent. */
  readonly anyCase?: boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly nullable?: boolean;
};

/** Values are data: read-only all the way down. */
export type DeepReadonly<T> = T extends readonly (infer U)[]
  ? readonly DeepReadonly<U>[]
  : T extends object
    ? { readonly [P in keyof T]: DeepReadonly<T[P]> }
    : T;
export type ValueOf<S extends TSchema> = DeepReadonly<Static<S>>;

const optionalMark = Symbol('optional');

/** Marks a property that may be absent. */
export function optional<S extends TSchema>(schema: S): TOptional<S> {
  const marked: object = { ...schema };
  Object.defineProperty(marked, optionalMark, { value: true });
  return marked as TOptional<S>;
}

const isOptional = (schema: TSchema): boolean => (schema as { [optionalMark]?: true })[optionalMark] === true;

/** An object whose unknown fields are refused. */
export const object = <P extends TProperties>(properties: P, options: SchemaOptions = {}): TObject<P> =>
  ({ ...objectNode(properties, options), additionalProperties: false }) as unknown as TObject<P>;

/** An object whose unknown fields are kept: for the parts of Kubernetes' objects that are not ours to judge. */
export const openObject = <P extends TProperties>(properties: P, options: SchemaOptions = {}): TObject<P> =>
  objectNode(properties, options) as unknown as TObject<P>;

function objectNode(properties: TProperties, options: SchemaOptions): object {
  const required = Object.keys(properties).filter((key) => !isOptional(properties[key] as TSchema));
  return { type: 'object', ...options, properties, ...(required.length > 0 ? { required } : {}) };
}

export const array = <S extends TSchema>(items: S, options: SchemaOptions = {}): TArray<S> =>
  ({ type: 'array', ...options, items }) as unknown as TArray<S>;

/** A map from any name to one kind of value. */
export const map = <S extends TSchema>(values: S, options: SchemaOptions = {}): TRecord<'^.*$', S> =>
  ({ type: 'object', ...options, additionalProperties: values }) as unknown as TRecord<'^.*$', S>;

export const string = (options: SchemaOptions = {}): TString =>
  ({ type: 'string', ...options }) as unknown as TString;
/** Characters of the longest spelling of an address with its length: IPv6 with an IPv4 tail. */
export const longestRange = 49;

export const integer = (options: SchemaOptions = {}): TInteger =>
  ({ type: 'integer', ...options }) as unknown as TInteger;
export const number = (options: SchemaOptions = {}): TNumber =>
  ({ type: 'number', ...options }) as unknown as TNumber;
export const boolean = (options: SchemaOptions = {}): TBoolean =>
  ({ type: 'boolean', ...options }) as unknown as TBoolean;

/** Whole numbers up to 64 bits. A number while it is exact, else a bigint (lib/json.ts reads and writes both). */
export const int64 = (options: SchemaOptions = {}): TUnsafe<number | bigint> =>
  ({ type: 'integer', format: 'int64', ...options }) as unknown as TUnsafe<number | bigint>;

/** One of the listed words. */
export const oneOf = <const V extends readonly string[]>(
  values: V,
  options: SchemaOptions = {},
): TEnum<[...V]> => ({ type: 'string', ...options, enum: values }) as unknown as TEnum<[...V]>;

/** One of the listed words in any case. */
export const word = (values: readonly string[], options: SchemaOptions = {}): TString =>
  ({ type: 'string', ...options, enum: values, anyCase: true }) as unknown as TString;

/** A number or a text, e.g. a port (80 or "http") or a protocol (6 or "TCP"). */
export const numberOrString = (options: SchemaOptions = {}): TUnion<[TInteger, TString]> =>
  ({ ...options, anyOf: [{ type: 'integer' }, { type: 'string' }] }) as unknown as TUnion<
    [TInteger, TString]
  >;

/** The value or null: where a list has holes. */
export const nullable = <S extends TSchema>(schema: S): TUnsafe<Static<S> | null> =>
  ({ ...schema, nullable: true }) as unknown as TUnsafe<Static<S> | null>;

/** Any value, unchecked. */
export const unknown = (options: SchemaOptions = {}): TUnknown => ({ ...options }) as unknown as TUnknown;

/** A length of time as Go writes it: `90s`, `1m30s`, `100ms`. */
export const duration = (options: SchemaOptions = {}): TString => string({ format: 'duration', ...options });

/** The untyped view for code that walks schemas. */
export const nodeOf = (schema: TSchema): SchemaNode => schema as unknown as SchemaNode;
