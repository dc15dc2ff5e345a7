// Server-side apply as a function over the object as it is: the new object with its managers, or the conflicts.
import { ok, type Result } from '../../lib/result.ts';
import { timestamp } from '../api.ts';
import { without } from '../json.ts';
import { refuse, type StatusError } from '../status.ts';
import { type ApiObject, groupVersionOf, type ServedKind } from '../types.ts';
import { difference, type FieldSet, fieldsOf, printPath } from './field-set.ts';
import { afterWrite, disputed, type Manager, readManagers, withManagers } from './managers.ts';
import { mergeApplied, prune } from './merge.ts';
import { shapeOf } from './shape.ts';

/** Who writes, and how it is recorded. */
export type Author = {
  readonly manager: string;
  /** Set when the request named the manager: then ownership is recorded even for objects that have no record. */
  readonly named: boolean;
  readonly operation: 'Apply' | 'Update';
  readonly subresource?: string;
};

const entryOf = (kind: ServedKind, author: Author, nowMs: number): Omit<Manager, 'fields'> => ({
  manager: author.manager,
  operation: author.operation,
  apiVersion: groupVersionOf(kind),
  time: timestamp(nowMs),
  ...(author.subresource === undefined ? {} : { subresource: author.subresource }),
});

/** Owner of what was there before anybody kept a record. */
const beforeFirstApply = (kind: ServedKind, live: ApiObject, time: string | undefined): Manager => ({
  manager: 'before-first-apply',
  operation: 'Update',
  apiVersion: groupVersionOf(kind),
  ...(time === undefined ? {} : { time }),
  fields: fieldsOf(live, shapeOf(kind)),
});

export type Applied = { readonly object: ApiObject; readonly managers: readonly Manager[] };

export function applyTo(
  kind: ServedKind,
  live: ApiObject | undefined,
  given: ApiObject,
  author: Author,
  force: boolean,
  nowMs: number,
): Result<Applied, StatusError> {
  const shape = shapeOf(kind);
  const configuration = ownPart(kind, given, author.subresource);
  const fields = fieldsOf(configuration, shape);
  const entry = entryOf(kind, author, nowMs);
  if (live === undefined) return ok({ object: given, managers: [{ ...entry, fields }] });
  const recorded = readManagers(live.metadata.managedFields);
  const managers = recorded.length > 0 ? recorded : [beforeFirstApply(kind, live, entry.time)];
  const merged = mergeApplied(live, configuration, shape) as ApiObject;
  const mine = managers.find(
    (one) =>
      one.operation === 'Apply' &&
      one.manager === author.manager &&
      (one.subresource ?? '') === (author.subresource ?? ''),
  );
  const dropped = new Set([...(mine?.fields ?? [])].filter((path) => !fields.has(path)));
  const others = managers.filter((one) => one !== mine).map((one) => one.fields);
  const object = prune(merged, shape, dropped, [fields, ...others]);
  const changes = difference(live, object, shape);
  const conflicts = disputed(managers, entry, changes.changed);
  if (conflicts.length > 0 && !force) return applyConflict(conflicts);
  return ok({ object, managers: afterWrite(managers, entry, changes, fields) });
}

/** What of a configuration counts: the status is written through its subresource only. */
function ownPart(kind: ServedKind, given: ApiObject, subresource: string | undefined): ApiObject {
  const { metadata, ...rest } = given;
  const { managedFields: _, resourceVersion: __, uid: ___, ...named } = metadata;
  const plain = { ...rest, metadata: named } as ApiObject;
  if (subresource !== 'status') return kind.hasStatus ? without(plain, 'status') : plain;
  const { apiVersion, kind: word } = given;
  const { name, namespace } = metadata;
  return {
    apiVersion,
    kind: word,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    ...(given['status'] === undefined ? {} : { status: given['status'] }),
  };
}

function applyConflict(conflicts: readonly (readonly [Manager, FieldSet])[]): Result<never, StatusError> {
  const named = ({ manager, operation, apiVersion, subresource }: Manager): string => {
    const who = `"${manager}"${subresource === undefined ? '' : ` with subresource "${subresource}"`}`;
    return operation === 'Update' ? `${who} using ${apiVersion}` : who;
  };
  const causes = conflicts.flatMap(([manager, fields]) =>
    [...fields].map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${named(manager)}`,
      field: printPath(path),
    })),
  );
  const [only] = causes;
  const lines = conflicts.flatMap(([manager, fields]) => [
    `conflicts with ${named(manager)}:`,
    ...[...fields].map((path) => `- ${printPath(path)}`),
  ]);
  const what =
    causes.length === 1 && only !== undefined
      ? `1 conflict: ${only.message}: ${only.field}`
      : `${causes.length} conflicts: ${lines.join('\n')}`;
  return refuse('Conflict', `Apply failed with ${what}`, { causes });
}

/** The record after a create, update or patch. `given` are managers that the request itself wrote into the object. */
export function recordWrite(
  kind: ServedKind,
  before: ApiObject | undefined,
  after: ApiObject,
  given: readonly unknown[] | undefined,
  author: Author | undefined,
  nowMs: number,
): ApiObject {
  const base = given !== undefined && given.length > 0 ? given : before?.metadata.managedFields;
  if (author === undefined || (!author.named && (base ?? []).length === 0)) {
    return base === before?.metadata.managedFields ? after : withManagers(after, readManagers(base));
  }
  const shape = shapeOf(kind);
  const changes = difference(before ?? {}, after, shape);
  if (changes.changed.size === 0 && changes.removed.size === 0)
    return base === before?.metadata.managedFields ? after : withManagers(after, readManagers(base));
  return withManagers(after, afterWrite(readManagers(base), entryOf(kind, author, nowMs), changes));
}
