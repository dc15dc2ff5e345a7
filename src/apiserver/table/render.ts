// Objects as `Table` (meta.k8s.io/v1) and as metadata only: what kubectl asks for to print.
import type { JsonObject } from '../json.ts';
import type { ApiObject, Column } from '../types.ts';
import { ageColumn, nameColumn } from './columns.ts';

export const columnsOf = (columns: readonly Column[]): readonly Column[] =>
  columns.length === 0 ? [nameColumn, ageColumn] : columns;

export const columnDefinitions = (columns: readonly Column[]): readonly JsonObject[] =>
  columnsOf(columns).map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format: format ?? '',
    description: description ?? '',
    priority: priority ?? 0,
  }));

export const metadataOnly = (object: ApiObject): JsonObject => ({
  kind: 'PartialObjectMetadata',
  apiVersion: 'meta.k8s.io/v1',
  metadata: object.metadata,
});

/** What a row carries of its object: `includeObject=None|Metadata|Object`. */
export type Included = 'None' | 'Metadata' | 'Object';

export function rowOf(
  object: ApiObject,
  columns: readonly Column[],
  included: Included,
  nowMs: number,
): JsonObject {
  const cells = columnsOf(columns).map((one) => one.value(object, nowMs) ?? '<none>');
  if (included === 'None') return { cells };
  return { cells, object: included === 'Object' ? object : metadataOnly(object) };
}

export const table = (
  metadata: JsonObject,
  definitions: readonly JsonObject[] | undefined,
  rows: readonly JsonObject[],
): JsonObject => ({
  kind: 'Table',
  apiVersion: 'meta.k8s.io/v1',
  metadata,
  columnDefinitions: definitions ?? [],
  rows,
});
