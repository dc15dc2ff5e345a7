// The writing verbs as requests ask for them: create, update, patch, delete, deletecollection.
import { ok, type Result } from '../../lib/result.ts';
import { type Api, keyOf } from '../api.ts';
import { authorize } from '../auth/access.ts';
import { type GuardedWrite, guardWrite } from '../auth/guard.ts';
import { applyTo, type Author } from '../apply/apply.ts';
import { mediaTypeOf, readBody } from '../http/body.ts';
import type { Call, Outcome, Target } from '../http/call.ts';
import { isObject } from '../json.ts';
import { jsonPatch } from '../patch/json-patch.ts';
import { mergePatch } from '../patch/merge.ts';
import { strategicPatch } from '../patch/strategic.ts';
import type { Schema } from '../schema/types.ts';
import { conflict, notFound, refuse, type StatusError, successBody } from '../status.ts';
import type { Stored, Transaction, Write } from '../store/types.ts';
import { type Review, reviewOf } from '../trials/review.ts';
import { type ApiObject, type ServedKind, storageOf } from '../types.ts';
import { deleteIn, type DeleteOptions, readDeleteOptions } from './delete.ts';
import { presentMany, presentOne, shownAs } from './present.ts';
import { limitToTiers, readPage } from './read.ts';
import { createIn, type FieldValidation, type Part, readObject, rehearsable, replaceIn } from './write.ts';

type WriteQuery = {
  readonly dryRun: boolean;
  readonly validation: FieldValidation;
  /** Empty when the request names none. */
  readonly fieldManager: string;
  readonly force: boolean;
};

export function readWriteQuery(query: URLSearchParams): Result<WriteQuery, StatusError> {
  const dry = query.getAll('dryRun').filter((one) => one !== '');
  const unknown = dry.find((one) => one !== 'All');
  if (unknown !== undefined)
    return refuse('BadRequest', `dryRun: Unsupported value: "${unknown}": supported values: "All"`);
  const validation = query.get('fieldValidation') ?? 'Warn';
  if (validation !== 'Strict' && validation !== 'Warn' && validation !== 'Ignore') {
    return refuse(
      'BadRequest',
      `fieldValidation: Unsupported value: "${validation}": supported values: "", "Ignore", "Strict", "Warn"`,
    );
  }
  const fieldManager = query.get('fieldManager') ?? '';
  if (fieldManager.length > 128)
    return refuse('BadRequest', 'fieldManager: Invalid value: may not be more than 128 characters long');
  const force = ['true', '1'].includes(query.get('force') ?? '');
  return ok({ dryRun: dry.length > 0, validation, fieldManager, force });
}

/** Whose write it is: the field manager of the request, else the program that sent it. */
function authorOf(call: Call, { fieldManager }: WriteQuery, part: Part): Author {
  const program = (call.request.headers['user-agent'] ?? '').split('/')[0]?.slice(0, 128) ?? '';
  return {
    manager: fieldManager !== '' ? fieldManager : program !== '' ? program : 'unknown',
    named: fieldManager !== '',
    operation: 'Update',
    ...(part === 'status' ? { subresource: 'status' } : {}),
  };
}

const inward = (kind: ServedKind, object: ApiObject, previous?: Stored): ApiObject =>
  kind.view?.inward(object, previous?.object) ?? object;

const guard = (api: Api, { user }: Call, write: GuardedWrite, tx: Transaction): Result<void, StatusError> =>
  guardWrite(api.access, user, write, tx);

/** Applying what is not there is creating it. */
function guardApply(
  api: Api,
  call: Call,
  write: Pick<GuardedWrite, 'kind' | 'namespace' | 'name'> & { readonly next: ApiObject },
  previous: ApiObject | undefined,
  tx: Transaction,
): Result<void, StatusError> {
  const { kind, namespace, name } = write;
  if (previous !== undefined) return guard(api, call, { ...write, verb: 'patch', previous }, tx);
  const { group, plural: resource } = kind;
  const creates = { verb: 'create', group, resource, subresource: '', namespace, name };
  const authorized = authorize(api.access, call.user, creates);
  return authorized.ok ? guard(api, call, { ...write, verb: 'create' }, tx) : authorized;
}

/** Runs a write, or rehearses it. */
export async function perform<T>(api: Api, dryRun: boolean, work: Write<T>): Promise<Result<T, StatusError>> {
  const { write, outcome } = rehearsable(dryRun, work);
  return outcome(await api.store.write(write));
}

export async function create(api: Api, { kind, namespace = '' }: Target, call: Call): Promise<Outcome> {
  const query = readWriteQuery(call.query);
  if (!query.ok) return query;
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const read = readObject(kind, body.value, query.value.validation);
  if (!read.ok) return read;
  const { object, warnings } = read.value;
  const author = authorOf(call, query.value, 'object');
  const review = reviewOf(api, call, 'create');
  const created = await perform(api, query.value.dryRun, (tx) => {
    const next = inward(kind, object);
    const { name } = next.metadata;
    const guarded = guard(api, call, { verb: 'create', kind, namespace, name, next }, tx);
    return guarded.ok ? createIn(tx, storageOf(kind), namespace, next, { author, review }) : guarded;
  });
  if (!created.ok) return created;
  const told = [...warnings, ...review.warnings];
  return ok(presentOne(api, kind, created.value, call.accepted.form, 201, told));
}

/** Answers a kind that is a question; nothing is stored. */
export async function answerQuestion(api: Api, { kind, namespace }: Target, call: Call): Promise<Outcome> {
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const read = readObject(kind, body.value, 'Ignore');
  if (!read.ok) return read;
  const { user } = call;
  const answer = kind.answer?.(read.value.object, { user, access: api.access, namespace });
  return answer === undefined || answer.ok ? ok({ code: 201, body: answer?.value }) : answer;
}

/** The part of the object that a subresource writes. */
export function partOf(kind: ServedKind, subresource: string | undefined): Part | undefined {
  if (subresource === undefined) return 'object';
  if (subresource === 'status' && kind.hasStatus) return 'status';
  if (subresource === 'ephemeralcontainers' && kind.group === '' && kind.kind === 'Pod') return 'ephemeral';
  return subresource === 'finalize' && kind.kind === 'Namespace' ? 'finalize' : undefined;
}

export async function update(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  part: Part,
  call: Call,
): Promise<Outcome> {
  const query = readWriteQuery(call.query);
  if (!query.ok) return query;
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const read = readObject(kind, body.value, query.value.validation);
  if (!read.ok) return read;
  const { object, warnings } = read.value;
  if (object.metadata.name !== name) {
    return refuse(
      'BadRequest',
      `the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (kind.namespaced && ![undefined, '', namespace].includes(object.metadata.namespace)) {
    return refuse(
      'BadRequest',
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
  const key = keyOf(kind, namespace, name);
  const author = authorOf(call, query.value, part);
  const review = reviewOf(api, call, 'update');
  const updated = await perform(api, query.value.dryRun, (tx) => {
    const previous = tx.get(key);
    if (previous === undefined) return notFound(kind, name);
    const next = inward(kind, object, previous);
    const write: GuardedWrite = { verb: 'update', kind, namespace, name, next, previous: previous.object };
    const guarded = guard(api, call, write, tx);
    return guarded.ok ? replaceIn(tx, storageOf(kind), previous, next, part, { author, review }) : guarded;
  });
  if (!updated.ok) return updated;
  const told = [...warnings, ...review.warnings];
  return ok(presentOne(api, kind, updated.value, call.accepted.form, 200, told));
}

export const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
];

const applyType = 'application/apply-patch+yaml';

export type Patch = (target: unknown) => Result<unknown, StatusError>;

/** A patch as a function over the current state. */
export function readPatch(
  type: string,
  body: unknown,
  schema: Schema | undefined,
): Result<Patch, StatusError> {
  switch (type) {
    case 'application/json-patch+json':
      if (!Array.isArray(body)) return refuse('BadRequest', 'a JSON patch must be a list of operations');
      return ok((target) => {
        const patched = jsonPatch(target, body);
        return patched.ok
          ? patched
          : refuse(
              'Invalid',
              `the server rejected our request due to an error in our request: ${patched.error}`,
            );
      });
    case 'application/merge-patch+json':
      if (!isObject(body)) return refuse('BadRequest', 'a merge patch must be an object');
      return ok((target) => ok(mergePatch(target, body)));
    case 'application/strategic-merge-patch+json':
      return ok((target) => {
        const patched = strategicPatch(target, body, schema);
        return patched.ok ? patched : refuse('BadRequest', patched.error);
      });
    case applyType:
      return refuse('UnsupportedMediaType', 'this subresource does not take server-side apply');
    default:
      return refuse(
        'UnsupportedMediaType',
        `the body of the request was in an unknown format - accepted media types include: ${patchTypes.join(', ')}`,
      );
  }
}

export async function patch(api: Api, target: Target, part: Part, call: Call): Promise<Outcome> {
  const { kind, namespace = '', name = '' } = target;
  const query = readWriteQuery(call.query);
  if (!query.ok) return query;
  const type = mediaTypeOf(call.request);
  const body = await readBody(call.request, api.limits, [...patchTypes, applyType]);
  if (!body.ok) return body;
  const author = authorOf(call, query.value, part);
  if (type === applyType) return apply(api, target, part, call, query.value, author, body.value);
  const change = readPatch(type, body.value, kind.schema);
  if (!change.ok) return change;
  let warnings: readonly string[] = [];
  const review = reviewOf(api, call, 'patch');
  const patched = await perform(api, query.value.dryRun, (tx) => {
    const previous = tx.get(keyOf(kind, namespace, name));
    if (previous === undefined) return notFound(kind, name);
    const changed = change.value(shownAs(kind, previous).object);
    if (!changed.ok) return changed;
    const read = readObject(kind, changed.value, query.value.validation);
    if (!read.ok) return read;
    warnings = read.value.warnings;
    const { metadata } = read.value.object;
    if (metadata.name !== name || (kind.namespaced && metadata.namespace !== namespace)) {
      return refuse('BadRequest', 'a patch may not change metadata.name or metadata.namespace');
    }
    const next = inward(kind, read.value.object, previous);
    const write: GuardedWrite = { verb: 'patch', kind, namespace, name, next, previous: previous.object };
    const guarded = guard(api, call, write, tx);
    return guarded.ok ? replaceIn(tx, storageOf(kind), previous, next, part, { author, review }) : guarded;
  });
  if (!patched.ok) return patched;
  const told = [...warnings, ...review.warnings];
  return ok(presentOne(api, kind, patched.value, call.accepted.form, 200, told));
}

/** Server-side apply: creates the object or merges the configuration into it, by who owns which fields. */
async function apply(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  part: Part,
  call: Call,
  query: WriteQuery,
  author: Author,
  body: unknown,
): Promise<Outcome> {
  if (!author.named)
    return refuse(
      'BadRequest',
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  if (!isObject(body) || body['apiVersion'] === undefined || body['kind'] === undefined)
    return refuse('BadRequest', 'an applied configuration must say its apiVersion and kind');
  const read = readObject(kind, body, query.validation);
  if (!read.ok) return read;
  const { object, warnings } = read.value;
  const given = { ...object, metadata: { ...object.metadata, ...(kind.namespaced ? { namespace } : {}) } };
  if (object.metadata.managedFields !== undefined)
    return refuse('BadRequest', 'metadata.managedFields must be nil');
  if (object.metadata.name !== name || ![undefined, '', namespace].includes(object.metadata.namespace))
    return refuse('BadRequest', 'the name or namespace of the object does not match the URL');
  const applier: Author = { ...author, operation: 'Apply' };
  let code = 200;
  const review = reviewOf(api, call, 'patch');
  const applied = await perform(api, query.dryRun, (tx) => {
    const previous = tx.get(keyOf(kind, namespace, name));
    if (previous === undefined && part !== 'object') return notFound(kind, name);
    const { resourceVersion = '' } = given.metadata;
    if (resourceVersion !== '' && resourceVersion !== String(previous?.revision ?? ''))
      return conflict(kind, name);
    const base = storageOf(kind);
    const wanted = inward(kind, given, previous);
    const merged = applyTo(base, previous?.object, wanted, applier, query.force, tx.nowMs);
    if (!merged.ok) return merged;
    const { managers, object: next } = merged.value;
    const guarded = guardApply(api, call, { kind, namespace, name, next }, previous?.object, tx);
    if (!guarded.ok) return guarded;
    code = previous === undefined ? 201 : 200;
    return previous === undefined
      ? createIn(tx, base, namespace, wanted, { managers, review })
      : replaceIn(tx, base, previous, merged.value.object, part, { managers, review });
  });
  if (!applied.ok) return applied;
  const told = [...warnings, ...review.warnings];
  return ok(presentOne(api, kind, applied.value, call.accepted.form, code, told));
}

/** Kinds whose deletion answers with the object instead of a Status. */
const answersWithObject = new Set([
  'pods',
  'services',
  'namespaces',
  'serviceaccounts',
  'replicationcontrollers',
]);

export async function remove(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  call: Call,
): Promise<Outcome> {
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const options = readDeleteOptions(body.value, call.query);
  if (!options.ok) return options;
  const key = keyOf(kind, namespace, name);
  const review = reviewOf(api, call, 'delete');
  const deleted = await perform(api, options.value.dryRun, (tx) => {
    const previous = tx.get(key);
    if (previous === undefined) return notFound(kind, name);
    const write: GuardedWrite = { verb: 'delete', kind, namespace, name, previous: previous.object };
    const guarded = guard(api, call, write, tx);
    return guarded.ok ? deleteIn(tx, storageOf(kind), previous, options.value, review) : guarded;
  });
  if (!deleted.ok) return deleted;
  const { stored, gone } = deleted.value;
  if (gone && !(kind.group === '' && answersWithObject.has(kind.plural))) {
    const body = successBody(kind, name, stored.object.metadata.uid);
    return ok({ code: 200, body, warnings: review.warnings });
  }
  return ok(presentOne(api, kind, stored, call.accepted.form, 200, review.warnings));
}

export async function removeCollection(api: Api, target: Target, call: Call): Promise<Outcome> {
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const options = readDeleteOptions(body.value, call.query);
  if (!options.ok) return options;
  const limited = limitToTiers(api, target, 'deletecollection', call);
  if (!limited.ok) return limited;
  const page = readPage(api, target, call.query);
  if (!page.ok) return page;
  const { items, metadata } = page.value;
  const review = reviewOf(api, call, 'delete');
  const deleted = await perform(api, options.value.dryRun, (tx) =>
    removeAll(tx, storageOf(target.kind), items, options.value, review),
  );
  if (!deleted.ok) return deleted;
  const { warnings } = review;
  return ok({ ...presentMany(api, target.kind, deleted.value, metadata, call.accepted.form), warnings });
}

function removeAll(
  tx: Transaction,
  kind: ServedKind,
  items: readonly Stored[],
  options: DeleteOptions,
  review: Review,
): Result<readonly Stored[], StatusError> {
  const deleted: Stored[] = [];
  for (const item of items) {
    const current = tx.get(item);
    if (current === undefined) continue;
    const one = deleteIn(tx, kind, current, options, review);
    if (!one.ok) return one;
    deleted.push(one.value.stored);
  }
  return ok(deleted);
}
