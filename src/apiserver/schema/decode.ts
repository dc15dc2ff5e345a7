// Reads an object by its schema as the Kubernetes server decodes into its types: nulls mean absent, unknown fields are
// dropped and reported, values of another JSON type are refused.
import { isObject } from '../json.ts';
import type { Schema } from './types.ts';

export type Decoded = {
  readonly value: unknown;
  /** Paths of fields the kind does not have. */
  readonly unknown: readonly string[];
  /** Values of the wrong type: path and what was expected. */
  readonly wrong: readonly string[];
};

const maxReports = 50;

export function decode(value: unknown, schema: Schema): Decoded {
  const unknown: string[] = [];
  const wrong: string[] = [];
  const note = (list: string[], line: string): void => void (list.length < maxReports && list.push(line));

  const expected = (path: string, found: unknown, what: string): undefined => {
    const name = found === null ? 'null' : Array.isArray(found) ? 'array' : typeof found;
    note(wrong, `cannot unmarshal ${name} into field ${path} of type ${what}`);
    return undefined;
  };

  const read = (found: unknown, kind: Schema, path: string): unknown => {
    switch (kind.type) {
      case 'string':
        return typeof found === 'string' ? found : expected(path, found, 'string');
      case 'boolean':
        return typeof found === 'boolean' ? found : expected(path, found, 'bool');
      case 'integer':
        return Number.isInteger(found) || typeof found === 'bigint' ? found : expected(path, found, 'int');
      case 'intOrString':
        return Number.isInteger(found) || typeof found === 'string'
          ? found
          : expected(path, found, 'IntOrString');
      case 'quantity':
        // A quantity may be written as a number; it is stored as text.
        if (typeof found === 'number') return String(found);
        return typeof found === 'string' ? found : expected(path, found, 'Quantity');
      case 'map': {
        if (!isObject(found)) return expected(path, found, 'map');
        const result: Record<string, unknown> = {};
        for (const [key, item] of Object.entries(found)) {
          if (item === null && kind.of.type === 'string') result[key] = '';
          else if (item !== null) result[key] = read(item, kind.of, `${path}.${key}`);
        }
        return result;
      }
      case 'list':
        if (!Array.isArray(found)) return expected(path, found, 'array');
        return found.map((item, i) => (item === null ? item : read(item, kind.of, `${path}[${i}]`)));
      case 'object': {
        if (!isObject(found)) return expected(path, found, 'object');
        const result: Record<string, unknown> = {};
        for (const [field, item] of Object.entries(found)) {
          const inner = path === '' ? field : `${path}.${field}`;
          const known = Object.hasOwn(kind.fields, field) ? kind.fields[field] : undefined;
          if (known === undefined) note(unknown, inner);
          else if (item !== null) result[field] = read(item, known, inner);
        }
        return result;
      }
      default:
        return found;
    }
  };
  return { value: read(value, schema, ''), unknown, wrong };
}

/** Required fields that are missing, as paths. */
export function missingFields(value: unknown, schema: Schema, path = ''): readonly string[] {
  if (schema.type === 'object' && isObject(value)) {
    const missing = (schema.required ?? [])
      .filter((field) => value[field] === undefined)
      .map((field) => join(path, field));
    for (const [field, inner] of Object.entries(schema.fields)) {
      const found = value[field];
      if (found !== undefined) missing.push(...missingFields(found, inner, join(path, field)));
    }
    return missing;
  }
  if (schema.type === 'list' && Array.isArray(value)) {
    return value.flatMap((item, i) => missingFields(item, schema.of, `${path}[${i}]`));
  }
  return [];
}

const join = (path: string, field: string): string => (path === '' ? field : `${path}.${field}`);
