// Who owns which fields: `metadata.managedFields`. Kept for objects that were written with a named field manager, or were
// ever applied; objects that only programs without a name write carry none and stay small.
import { isObject, textAt } from '../json.ts';
import type { ApiObject } from '../types.ts';
import { type Difference, type FieldSet, readFieldSet, writeFieldSet } from './field-set.ts';

export type Manager = {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource?: string;
  readonly time?: string;
  readonly fields: FieldSet;
};

const maxUpdaters = 10;

const isSame = (a: Manager, b: Omit<Manager, 'fields'>): boolean =>
  a.manager === b.manager &&
  a.operation === b.operation &&
  (a.subresource ?? '') === (b.subresource ?? '') &&
  (a.operation === 'Apply' || a.apiVersion === b.apiVersion);

/** Entries that cannot be read are left out. */
export function readManagers(entries: readonly unknown[] | undefined): readonly Manager[] {
  return (entries ?? []).flatMap((entry) => {
    const manager = textAt(entry, 'manager');
    const operation = textAt(entry, 'operation');
    const fields = isObject(entry) ? entry['fieldsV1'] : undefined;
    if (manager === undefined || !isObject(fields) || (operation !== 'Apply' && operation !== 'Update'))
      return [];
    const subresource = textAt(entry, 'subresource') ?? '';
    const time = textAt(entry, 'time');
    return [
      {
        manager,
        operation,
        apiVersion: textAt(entry, 'apiVersion') ?? '',
        ...(subresource === '' ? {} : { subresource }),
        ...(time === undefined ? {} : { time }),
        fields: readFieldSet(fields),
      },
    ];
  });
}

export function writeManagers(managers: readonly Manager[]): readonly unknown[] {
  return managers
    .filter((one) => one.fields.size > 0)
    .map(({ manager, operation, apiVersion, time, subresource, fields }) => ({
      manager,
      operation,
      apiVersion,
      ...(time === undefined ? {} : { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: writeFieldSet(fields),
      ...(subresource === undefined ? {} : { subresource }),
    }));
}

const minus = (set: FieldSet, other: FieldSet): FieldSet => {
  const rest = [...set].filter((path) => !other.has(path));
  return rest.length === set.size ? set : new Set(rest);
};

export const sameFields = (a: FieldSet, b: FieldSet): boolean =>
  a.size === b.size && [...a].every((path) => b.has(path));

/** Fields of other managers that a write changes. */
export const disputed = (
  managers: readonly Manager[],
  author: Omit<Manager, 'fields'>,
  changed: FieldSet,
): readonly (readonly [Manager, FieldSet])[] =>
  managers.flatMap((one) => {
    const both = new Set([...one.fields].filter((path) => changed.has(path)));
    return isSame(one, author) || both.size === 0 ? [] : [[one, both] as const];
  });

/** After a write: the author owns what it changed, or all of what it applied; nobody owns what is gone. */
export function afterWrite(
  managers: readonly Manager[],
  author: Omit<Manager, 'fields'>,
  { changed, removed }: Difference,
  applied?: FieldSet,
): readonly Manager[] {
  const own = managers.find((one) => isSame(one, author));
  const others = managers
    .filter((one) => !isSame(one, author))
    .map((one) => ({ ...one, fields: minus(minus(one.fields, changed), removed) }));
  const fields = applied ?? new Set([...minus(own?.fields ?? new Set(), removed), ...changed]);
  // The time says when the set of fields last changed.
  const time = own !== undefined && sameFields(own.fields, fields) ? own.time : author.time;
  const entry = { ...author, ...(time === undefined ? {} : { time }), fields };
  return bounded([...others, entry].filter((one) => one.fields.size > 0));
}

/** Many one-time writers would make the object grow for ever: the oldest become one. */
function bounded(managers: readonly Manager[]): readonly Manager[] {
  const updaters = managers.filter((one) => one.operation === 'Update');
  if (updaters.length <= maxUpdaters) return managers;
  const old = [...updaters]
    .sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? -1 : 1))
    .slice(0, updaters.length - maxUpdaters + 1);
  const [first] = old;
  if (first === undefined) return managers;
  const fields = new Set(old.flatMap((one) => [...one.fields]));
  return [{ ...first, manager: 'ancient-changes', fields }, ...managers.filter((one) => !old.includes(one))];
}

export const withManagers = <T extends ApiObject>(object: T, managers: readonly Manager[]): T => {
  const { managedFields: _, ...metadata } = object.metadata;
  const entries = writeManagers(managers);
  return {
    ...object,
    metadata: { ...metadata, ...(entries.length === 0 ? {} : { managedFields: entries }) },
  };
};
