// Create and update inside a transaction: what the server adds, what it refuses, when a write is none.
import { err, ok, type Result } from '../../lib/result.ts';
import { keyOf } from '../api.ts';
import { type Author, recordWrite } from '../apply/apply.ts';
import { type Manager, withManagers } from '../apply/managers.ts';
import { at, isObject, type JsonObject, listAt, objectAt, sameJson, textAt, without } from '../json.ts';
import { ephemeralIssues } from '../kinds/ephemeral-containers.ts';
import { decode } from '../schema/decode.ts';
import { objectMeta } from '../schema/meta.ts';
import {
  alreadyExists,
  conflict,
  forbidden,
  invalid,
  notFound,
  refuse,
  type StatusError,
} from '../status.ts';
import type { Stored, Transaction } from '../store/types.ts';
import type { Review } from '../trials/review.ts';
import { type ApiObject, groupVersionOf, type Issue, type ServedKind, type World } from '../types.ts';
import {
  changedMetadata,
  generatedName,
  metadataIssues,
  nameIssue,
  newMetadata,
  withGeneration,
} from './metadata.ts';

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';
export type Read = { readonly object: ApiObject; readonly warnings: readonly string[] };

/** The request's object in the kind's form: right kind, known fields, metadata that can be trusted to have its types. */
export function readObject(
  kind: ServedKind,
  body: unknown,
  validation: FieldValidation,
): Result<Read, StatusError> {
  if (!isObject(body)) return refuse('BadRequest', 'the request body must be an object');
  const { apiVersion = groupVersionOf(kind), kind: named = kind.kind } = body;
  if (apiVersion !== groupVersionOf(kind)) {
    return refuse(
      'BadRequest',
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${groupVersionOf(kind)})`,
    );
  }
  if (named !== kind.kind) {
    return refuse(
      'BadRequest',
      `the object provided is unrecognized (must be of type ${kind.kind}): it says ${JSON.stringify(named)}`,
    );
  }
  const { value, unknown, wrong } = decodeAs(kind, body);
  const cannot = `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}`;
  if (wrong[0] !== undefined) return refuse('BadRequest', `${cannot}: json: ${wrong[0]}`);
  const complaints = unknown.map((path) => `unknown field "${path}"`);
  if (complaints.length > 0 && validation === 'Strict') {
    return refuse('BadRequest', `${cannot}: strict decoding error: ${complaints.join(', ')}`);
  }
  const read = isObject(value) ? value : {};
  const metadata = isObject(read['metadata']) ? read['metadata'] : {};
  const object = {
    ...read,
    apiVersion: groupVersionOf(kind),
    kind: kind.kind,
    metadata: { name: '', ...metadata },
  };
  return ok({ object: without(object, 'selfLink'), warnings: validation === 'Warn' ? complaints : [] });
}

function decodeAs(kind: ServedKind, body: JsonObject): ReturnType<typeof decode> {
  if (kind.schema !== undefined) return decode(body, kind.schema);
  const read = decodeMetadata(body);
  if (kind.prune === undefined) return read;
  const { object, unknown } = kind.prune(read.value as ApiObject);
  return { ...read, value: object, unknown: [...read.unknown, ...unknown] };
}

/** Kinds that check themselves: only the metadata is read by schema here. */
function decodeMetadata(body: Readonly<Record<string, unknown>>): ReturnType<typeof decode> {
  const metadata = decode(body['metadata'] ?? {}, objectMeta);
  const fields = Object.entries(body).filter(([, value]) => value !== null);
  return {
    value: { ...Object.fromEntries(fields), metadata: metadata.value },
    unknown: metadata.unknown.map((path) => `metadata.${path}`),
    wrong: metadata.wrong.map((line) => line.replace('into field ', 'into field metadata.')),
  };
}

/** Defaults, the server's own decisions, and every check of the kind. */
function admitted(
  world: World,
  kind: ServedKind,
  object: ApiObject,
  previous: ApiObject | undefined,
  checks: boolean,
): Result<ApiObject, StatusError> {
  const defaulted = kind.applyDefaults(object);
  const prepared = kind.prepare?.(defaulted, previous, world) ?? defaulted;
  if (!checks) return ok(prepared);
  const issues: readonly Issue[] = [
    ...metadataIssues(prepared.metadata),
    ...kind.validate(prepared, previous),
  ];
  const own = issues.length === 0 ? issues : newIssues(kind, issues, prepared, previous);
  if (own.length > 0) return invalid(kind, prepared.metadata.name, own);
  const refused = kind.admit?.(prepared, previous, world) ?? [];
  if (refused.length > 0) return invalid(kind, prepared.metadata.name, refused);
  const why = previous === undefined ? kind.forbid?.(prepared, world) : undefined;
  // By the name that the author gave.
  const { name, generateName } = prepared.metadata;
  return why === undefined ? ok(prepared) : forbidden(kind, generateName ?? name, why);
}

/** What was stored wrong by another hand may still be given a status, labels or a finalizer. */
function newIssues(
  kind: ServedKind,
  issues: readonly Issue[],
  next: ApiObject,
  previous: ApiObject | undefined,
): readonly Issue[] {
  if (previous === undefined || !sameJson(next['spec'], previous['spec'])) return issues;
  const known = new Set(kind.validate(previous, previous).map(({ field, reason }) => `${field} ${reason}`));
  return issues.filter(({ field, reason }) => !known.has(`${field} ${reason}`));
}

function namespaceRefusal(
  tx: Transaction,
  kind: ServedKind,
  namespace: string,
  name: string,
): Result<never, StatusError> | undefined {
  if (!kind.namespaced) return undefined;
  const found = tx.get({ resource: 'namespaces', namespace: '', name: namespace });
  if (found === undefined) return notFound({ group: '', plural: 'namespaces', kind: 'Namespace' }, namespace);
  if (found.object.metadata.deletionTimestamp === undefined) return undefined;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  return forbidden(kind, name, why, [
    {
      reason: 'NamespaceTerminating',
      message: `namespace ${namespace} is being terminated`,
      field: 'metadata.namespace',
    },
  ]);
}

/** Who the fields of a write belong to: its author, or what server-side apply has worked out. */
export type Signature = ({ readonly author: Author } | { readonly managers: readonly Manager[] }) & {
  /** Looks at what is to be written. */
  readonly review?: Review;
};

function signed(
  tx: Transaction,
  kind: ServedKind,
  before: ApiObject | undefined,
  after: ApiObject,
  given: readonly unknown[] | undefined,
  signature: Signature | undefined,
): ApiObject {
  if (signature !== undefined && 'managers' in signature) return withManagers(after, signature.managers);
  return recordWrite(kind, before, after, given, signature?.author, tx.nowMs);
}

export function createIn(
  tx: Transaction,
  kind: ServedKind,
  namespace: string,
  given: ApiObject,
  signature?: Signature,
): Result<Stored, StatusError> {
  const { metadata } = given;
  if (metadata.namespace !== undefined && metadata.namespace !== '' && metadata.namespace !== namespace) {
    return refuse(
      'BadRequest',
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
  if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== '') {
    return refuse('BadRequest', 'resourceVersion should not be set on objects to be created');
  }
  const base = metadata.generateName ?? '';
  const wanted = metadata.name !== '' ? metadata.name : base;
  const refusal = namespaceRefusal(tx, kind, namespace, wanted);
  if (refusal !== undefined) return refusal;
  let name = metadata.name;
  if (name === '' && base !== '') {
    do name = generatedName(base);
    while (tx.get(keyOf(kind, namespace, name)) !== undefined);
  }
  const wrongName = nameIssue(kind, name);
  if (wrongName !== undefined) return invalid(kind, name, [wrongName]);
  const key = keyOf(kind, namespace, name);
  if (tx.get(key) !== undefined) return alreadyExists(kind, name);
  // A custom kind's status is written through the status subresource only.
  const own = kind.nature === 'custom' && kind.hasStatus ? without(given, 'status') : given;
  const fresh = { ...own, metadata: newMetadata(kind, { ...metadata, name }, namespace, tx.nowMs) };
  const ready = admitted(tx, kind, fresh, undefined, true);
  if (!ready.ok) return ready;
  const looked = signature?.review?.look({ tx, kind, key, previous: undefined, next: ready.value }) ?? ready;
  if (!looked.ok) return looked;
  const next = looked.value ?? ready.value;
  return ok(tx.put(key, signed(tx, kind, undefined, next, undefined, signature)));
}

/** `ephemeral`: the ephemeral containers of a pod. */
export type Part = 'object' | 'status' | 'finalize' | 'server' | 'ephemeral';

/** What of the new object counts when only a part of it is written. */
function merged(kind: ServedKind, previous: ApiObject, given: ApiObject, part: Part): ApiObject {
  if (part === 'server') return given;
  if (part === 'finalize') return { ...previous, spec: given['spec'] };
  if (part === 'ephemeral') {
    const ephemeralContainers = at(given, 'spec', 'ephemeralContainers');
    return { ...previous, spec: { ...objectAt(previous, 'spec'), ephemeralContainers } };
  }
  const metadata = changedMetadata(previous.metadata, given.metadata);
  if (part === 'object') {
    const status = previous['status'];
    const own = { ...given, metadata };
    if (!kind.hasStatus) return own;
    return status === undefined ? without(own, 'status') : { ...own, status };
  }
  const status =
    given['status'] === undefined ? without(previous, 'status') : { ...previous, status: given['status'] };
  if (kind.nature === 'custom') return status;
  const { labels, annotations } = metadata;
  const { labels: _, annotations: __, ...rest } = previous.metadata;
  return {
    ...status,
    metadata: {
      ...rest,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  };
}

/** `server` writes are the server's own: no checks, everything as given. */
export function replaceIn(
  tx: Transaction,
  kind: ServedKind,
  previous: Stored,
  given: ApiObject,
  part: Part,
  signature?: Signature,
): Result<Stored, StatusError> {
  const { name } = previous;
  const before = previous.object;
  const { resourceVersion = '', uid } = given.metadata;
  if (resourceVersion === '' && kind.nature === 'custom' && part !== 'server') {
    return invalid(kind, name, [
      { field: 'metadata.resourceVersion', value: 0, reason: 'must be specified for an update' },
    ]);
  }
  if (uid !== undefined && uid !== '' && uid !== before.metadata.uid) {
    return conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${before.metadata.uid}`,
    );
  }
  if (resourceVersion !== '' && resourceVersion !== String(previous.revision)) return conflict(kind, name);
  const added = newFinalizers(before, given);
  if (part === 'object' && added.length > 0) {
    return invalid(kind, name, [
      {
        field: 'metadata.finalizers',
        reason: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((one) => JSON.stringify(one)).join(', ')}}`,
      },
    ]);
  }
  const ready =
    part === 'finalize' || part === 'server'
      ? ok(merged(kind, before, given, part))
      : admitted(tx, kind, merged(kind, before, given, part), before, true);
  if (!ready.ok) return ready;
  const misplaced = ephemeralIssues(part, before, ready.value);
  if (misplaced.length > 0) return invalid(kind, name, misplaced);
  const review = part === 'object' ? signature?.review : undefined;
  const looked = review?.look({ tx, kind, key: previous, previous, next: ready.value }) ?? ready;
  if (!looked.ok) return looked;
  if (looked.value === undefined) return ok(tx.remove(previous) ?? previous);
  const counted = withGeneration(kind, before, looked.value);
  const isOwn = part === 'server' || part === 'finalize';
  const next = isOwn ? counted : signed(tx, kind, before, counted, given.metadata.managedFields, signature);
  if (mayVanish(next)) {
    const last = tx.remove(previous, next);
    return last === undefined ? notFound(kind, name) : ok(last);
  }
  if (sameJson(withoutRevision(before), withoutRevision(next))) return ok(previous);
  return ok(tx.put(previous, next));
}

const withoutRevision = (object: ApiObject): unknown => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: undefined },
});

function newFinalizers(before: ApiObject, given: ApiObject): readonly string[] {
  if (before.metadata.deletionTimestamp === undefined) return [];
  const known = before.metadata.finalizers ?? [];
  return (given.metadata.finalizers ?? []).filter((one) => !known.includes(one));
}

/** Deleted, and nobody has to do anything about it any more. */
export function mayVanish(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  if ((deletionGracePeriodSeconds ?? 0) > 0) return false;
  return !(
    object.kind === 'Namespace' &&
    object.apiVersion === 'v1' &&
    listAt(object, 'spec', 'finalizers').length > 0
  );
}

/** Runs a transaction's work, and takes everything back when it was only a rehearsal. */
export function rehearsable<T>(
  dryRun: boolean,
  work: (tx: Transaction) => Result<T, StatusError>,
): {
  readonly write: (tx: Transaction) => Result<T, StatusError>;
  readonly outcome: (written: Result<T, StatusError>) => Result<T, StatusError>;
} {
  let rehearsed: Result<T, StatusError> | undefined;
  const stop: StatusError = { code: 200, reason: 'InternalError', message: 'dry run' };
  return {
    write: (tx) => {
      const result = work(tx);
      if (!dryRun || !result.ok) return result;
      rehearsed = result;
      return err(stop);
    },
    outcome: (written) => rehearsed ?? written,
  };
}

export const phaseOf = (object: ApiObject): string | undefined => textAt(object, 'status', 'phase');
