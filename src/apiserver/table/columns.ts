// Column building blocks shared by all kinds.
import { at, isObject } from '../json.ts';
import type { ApiObject, Column } from '../types.ts';
import { ageOf } from './duration.ts';

export const nameColumn: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name must be unique within a namespace.',
  value: (object) => object.metadata.name,
};

export const ageColumn: Column = {
  name: 'Age',
  type: 'string',
  description: 'Time since the object was created.',
  value: (object, nowMs) => ageOf(object.metadata.creationTimestamp, nowMs),
};

export const column = (
  name: string,
  value: (object: ApiObject, nowMs: number) => string | number | boolean | undefined,
  type: Column['type'] = 'string',
): Column => ({ name, type, value });

/** Shown with `-o wide` only. */
export const wide = (name: string, value: Column['value']): Column => ({
  name,
  type: 'string',
  priority: 1,
  value,
});

export const textOf = (object: unknown, ...path: readonly string[]): string | undefined => {
  const found = at(object, ...path);
  if (typeof found === 'number' || typeof found === 'boolean') return String(found);
  return typeof found === 'string' && found !== '' ? found : undefined;
};

export const countOf = (object: unknown, ...path: readonly string[]): number => {
  const found = at(object, ...path);
  return typeof found === 'number' ? found : 0;
};

export const sizeOf = (object: unknown, ...path: readonly string[]): number => {
  const found = at(object, ...path);
  return Array.isArray(found) ? found.length : isObject(found) ? Object.keys(found).length : 0;
};

/** `a=b,c=d`. */
export const pairsOf = (value: unknown): string | undefined => {
  const text = isObject(value)
    ? Object.entries(value)
        .map(([key, item]) => `${key}=${String(item)}`)
        .join(',')
    : '';
  return text === '' ? undefined : text;
};
