// Builds a built-in kind from what makes it special.
import type { Schema } from '../schema/types.ts';
import { missingFields } from '../schema/decode.ts';
import type { ApiObject, Column, Issue, ServedKind } from '../types.ts';

export type BuiltinOptions = {
  readonly group?: string;
  readonly version?: string;
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly namespaced?: boolean;
  readonly status?: boolean;
  readonly scale?: boolean;
  readonly generation?: boolean;
  readonly names?: ServedKind['names'];
  readonly columns?: readonly Column[];
  readonly schema: Schema;
  readonly defaults?: (object: ApiObject) => ApiObject;
  readonly validate?: (object: ApiObject, previous: ApiObject | undefined) => readonly Issue[];
  readonly prepare?: NonNullable<ServedKind['prepare']>;
  readonly forbid?: NonNullable<ServedKind['forbid']>;
  readonly keep?: NonNullable<ServedKind['keep']>;
  readonly finalizeWith?: NonNullable<ServedKind['finalizeWith']>;
  readonly answer?: NonNullable<ServedKind['answer']>;
};

export function builtin(options: BuiltinOptions): ServedKind {
  const { kind, plural, schema, defaults, validate, prepare } = options;
  return {
    group: options.group ?? '',
    version: options.version ?? 'v1',
    kind,
    plural,
    singular: kind.toLowerCase(),
    shortNames: options.shortNames ?? [],
    categories: options.categories ?? [],
    namespaced: options.namespaced ?? true,
    nature: 'builtin',
    columns: options.columns ?? [],
    hasStatus: options.status ?? false,
    hasScale: options.scale ?? false,
    countsGenerations: options.generation ?? false,
    schema,
    names: options.names ?? 'subdomain',
    applyDefaults: defaults ?? ((object) => object),
    validate: (object, previous) => {
      const missing = missingFields(object, schema).map((field) => ({ field, reason: 'Required value' }));
      return missing.length > 0 ? missing : (validate?.(object, previous) ?? []);
    },
    ...(prepare === undefined ? {} : { prepare }),
    ...(options.forbid === undefined ? {} : { forbid: options.forbid }),
    ...(options.keep === undefined ? {} : { keep: options.keep }),
    ...(options.finalizeWith === undefined ? {} : { finalizeWith: options.finalizeWith }),
    ...(options.answer === undefined ? {} : { answer: options.answer }),
  };
}
