// Get and list: at the newest state, at an earlier revision that is still kept, in pages.
import { ok, type Result } from '../../lib/result.ts';
import { type Api, keyOf } from '../api.ts';
import { worldOf } from '../auth/rbac.ts';
import { authorizeTier, isTiered, tierOf, visibleTiers } from '../auth/tiers.ts';
import { masters } from '../auth/types.ts';
import type { Call, Outcome, Target } from '../http/call.ts';
import { parseSelection, type Selection } from '../selectors.ts';
import { notFound, refuse, type StatusError } from '../status.ts';
import type { Stored } from '../store/types.ts';
import { resourceKeyOf, storageOf } from '../types.ts';
import { type ListMetadata, presentMany, presentOne } from './present.ts';

/** A resourceVersion of a request; undefined when none is given. */
export function readRevision(
  text: string | null,
  parameter = 'resourceVersion',
): Result<number | undefined, StatusError> {
  if (text === null || text === '') return ok(undefined);
  if (!/^\d{1,15}$/.test(text))
    return refuse(
      'BadRequest',
      `${parameter}: Invalid value: ${JSON.stringify(text)}: not a version this server gave`,
    );
  return ok(Number(text));
}

const fromTheFuture = (revision: number, current: number): ReturnType<typeof refuse> =>
  refuse('Timeout', `Too large resource version: ${revision}, current: ${current}`, {
    retryAfterSeconds: 1,
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
  });

export function readSelection(query: URLSearchParams): Result<Selection, StatusError> {
  const selection = parseSelection(query.get('labelSelector') ?? '', query.get('fieldSelector') ?? '');
  return selection.ok ? selection : refuse('BadRequest', selection.error);
}

export function getOne(api: Api, { kind, namespace, name = '' }: Target, call: Call): Outcome {
  const revision = readRevision(call.query.get('resourceVersion'));
  if (!revision.ok) return revision;
  if ((revision.value ?? 0) > api.store.revision)
    return fromTheFuture(revision.value ?? 0, api.store.revision);
  const stored = api.store.get(keyOf(kind, namespace ?? '', name));
  if (stored === undefined) return notFound(kind, name);
  if (isTiered(kind) && !call.user.groups.includes(masters)) {
    const question = { user: call.user, verb: 'get', kind, namespace: namespace ?? '', name };
    const judged = authorizeTier(api.access, question, tierOf(stored.object));
    if (!judged.ok) return judged;
  }
  return ok(presentOne(api, kind, stored, call.accepted.form, 200));
}

/** Narrows a list or watch of policies to the tiers that the user may see (RS-128). */
export function limitToTiers(
  api: Api,
  { kind, namespace }: Target,
  verb: string,
  { user, query }: Call,
): Result<void, StatusError> {
  if (!isTiered(kind)) return ok(undefined);
  const question = { user, verb, kind, namespace: namespace ?? '', name: '' };
  const visible = visibleTiers(api.access, question, worldOf(api.store));
  if (!visible.ok) return visible;
  if (visible.value !== undefined) {
    const asked = query.get('labelSelector') ?? '';
    query.set('labelSelector', asked === '' ? visible.value : `${asked},${visible.value}`);
  }
  return ok(undefined);
}

type Position = { readonly revision: number; readonly namespace: string; readonly name: string };

const writeToken = ({ revision, namespace, name }: Position): string =>
  Buffer.from(JSON.stringify({ v: 1, rv: revision, ns: namespace, n: name })).toString('base64url');

function readToken(token: string): Result<Position, StatusError> {
  const bad = refuse('BadRequest', 'continue key is not valid: it is not a token this server gave');
  try {
    const { v, rv, ns, n } = JSON.parse(Buffer.from(token, 'base64url').toString()) as Record<
      string,
      unknown
    >;
    if (v !== 1 || typeof rv !== 'number' || typeof ns !== 'string' || typeof n !== 'string') return bad;
    return ok({ revision: rv, namespace: ns, name: n });
  } catch {
    return bad;
  }
}

const isAfter = (stored: Stored, { namespace, name }: Position): boolean =>
  stored.namespace === namespace ? stored.name > name : stored.namespace > namespace;

type Page = { readonly items: readonly Stored[]; readonly metadata: ListMetadata };

/** The revision the list is to show, and where in it a page starts. */
function readStart(
  api: Api,
  query: URLSearchParams,
): Result<{ revision: number; from?: Position }, StatusError> {
  const { store } = api;
  const token = query.get('continue') ?? '';
  if (token !== '') {
    const from = readToken(token);
    if (!from.ok) return from;
    // A token without a revision goes on at the newest state.
    const revision = from.value.revision === 0 ? store.revision : from.value.revision;
    if (revision > store.revision) return fromTheFuture(revision, store.revision);
    if (revision >= store.compacted) return ok({ revision, from: from.value });
    const expired = refuse(
      'Expired',
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    );
    return { ok: false, error: { ...expired.error, continue: writeToken({ ...from.value, revision: 0 }) } };
  }
  const asked = readRevision(query.get('resourceVersion'));
  if (!asked.ok) return asked;
  if (asked.value !== undefined && asked.value > store.revision)
    return fromTheFuture(asked.value, store.revision);
  if (query.get('resourceVersionMatch') === 'Exact' && asked.value !== undefined) {
    if (asked.value < store.compacted)
      return refuse(
        'Expired',
        `The resourceVersion for the provided list is too old: ${asked.value} (${store.compacted})`,
      );
    return ok({ revision: asked.value });
  }
  return ok({ revision: store.revision });
}

export function readPage(
  api: Api,
  { kind, namespace }: Target,
  query: URLSearchParams,
): Result<Page, StatusError> {
  const { store } = api;
  const selection = readSelection(query);
  if (!selection.ok) return selection;
  const limitText = query.get('limit') ?? '';
  if (limitText !== '' && !/^\d{1,9}$/.test(limitText))
    return refuse('BadRequest', `limit: Invalid value: ${JSON.stringify(limitText)}: must be a whole number`);
  const limit = Number(limitText);
  const start = readStart(api, query);
  if (!start.ok) return start;
  const { revision, from } = start.value;
  const resource = resourceKeyOf(storageOf(kind));
  const all =
    revision === store.revision
      ? store.list(resource, namespace)
      : store.listAt(resource, namespace, revision);
  const { everything, matches, name } = selection.value;
  let chosen = name === undefined ? all : all.filter((stored) => stored.name === name);
  if (from !== undefined) chosen = chosen.filter((stored) => isAfter(stored, from));
  if (!everything) chosen = chosen.filter((stored) => matches(stored.object));
  const metadata = { resourceVersion: String(revision) };
  if (limit === 0 || chosen.length <= limit) return ok({ items: chosen, metadata });
  const items = chosen.slice(0, limit);
  const last = items.at(-1);
  const next = last === undefined ? '' : writeToken({ revision, namespace: last.namespace, name: last.name });
  const remaining = everything ? { remainingItemCount: chosen.length - limit } : {};
  return ok({ items, metadata: { ...metadata, continue: next, ...remaining } });
}

export function list(api: Api, target: Target, call: Call): Outcome {
  const limited = limitToTiers(api, target, 'list', call);
  if (!limited.ok) return limited;
  const page = readPage(api, target, call.query);
  if (!page.ok) return page;
  return ok(presentMany(api, target.kind, page.value.items, page.value.metadata, call.accepted.form));
}
