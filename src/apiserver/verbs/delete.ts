// Delete inside a transaction: preconditions, finalizers, graceful deletion of pods, propagation to dependents.
import { ok, type Result } from '../../lib/result.ts';
import { timestamp } from '../api.ts';
import { isObject, type JsonObject, listAt, numberAt, textAt } from '../json.ts';
import { conflict, forbidden, refuse, type StatusError } from '../status.ts';
import type { Stored, Transaction } from '../store/types.ts';
import type { Review } from '../trials/review.ts';
import type { ApiObject, ServedKind } from '../types.ts';
import { mayVanish } from './write.ts';

export type Propagation = 'Background' | 'Foreground' | 'Orphan';
export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly propagation: Propagation;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly dryRun: boolean;
};

const propagations = ['Background', 'Foreground', 'Orphan'];

export function readDeleteOptions(body: unknown, query: URLSearchParams): Result<DeleteOptions, StatusError> {
  const given: JsonObject = isObject(body) ? body : {};
  const grace = numberAt(given, 'gracePeriodSeconds') ?? integer(query.get('gracePeriodSeconds'));
  if (grace !== undefined && (!Number.isInteger(grace) || grace < 0)) {
    return refuse(
      'BadRequest',
      `gracePeriodSeconds: Invalid value: ${grace}: must be a whole number of seconds, not negative`,
    );
  }
  const orphan = given['orphanDependents'] ?? (query.get('orphanDependents') === 'true' ? true : undefined);
  const policy =
    textAt(given, 'propagationPolicy') ??
    query.get('propagationPolicy') ??
    (orphan === true ? 'Orphan' : 'Background');
  if (!propagations.includes(policy)) {
    return refuse(
      'BadRequest',
      `propagationPolicy: Unsupported value: "${policy}": supported values: "Foreground", "Background", "Orphan"`,
    );
  }
  const uid = textAt(given, 'preconditions', 'uid');
  const resourceVersion = textAt(given, 'preconditions', 'resourceVersion');
  return ok({
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    propagation: policy as Propagation,
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    dryRun: [...listAt(given, 'dryRun'), ...query.getAll('dryRun')].includes('All'),
  });
}

const integer = (text: string | null): number | undefined => (text === null ? undefined : Number(text));

/** Seconds a deleted object has left: only pods on a node that have not ended get time to stop. */
function gracePeriod(kind: ServedKind, object: ApiObject, asked: number | undefined): number {
  if (kind.group !== '' || kind.kind !== 'Pod') return 0;
  const phase = textAt(object, 'status', 'phase');
  if ((textAt(object, 'spec', 'nodeName') ?? '') === '' || phase === 'Succeeded' || phase === 'Failed')
    return 0;
  return asked ?? numberAt(object, 'spec', 'terminationGracePeriodSeconds') ?? 30;
}

export type Deleted = { readonly stored: Stored; readonly gone: boolean };

export function deleteIn(
  tx: Transaction,
  kind: ServedKind,
  previous: Stored,
  options: DeleteOptions,
  review?: Review,
): Result<Deleted, StatusError> {
  const { object, name } = previous;
  const { metadata } = object;
  if (options.uid !== undefined && options.uid !== metadata.uid) {
    return conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${metadata.uid}`,
    );
  }
  if (options.resourceVersion !== undefined && options.resourceVersion !== String(previous.revision)) {
    return conflict(
      kind,
      name,
      `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${previous.revision}`,
    );
  }
  const pending = metadata.deletionTimestamp !== undefined;
  const reason = pending ? undefined : kind.keep?.(object, tx);
  if (reason !== undefined) return forbidden(kind, name, reason);
  const looked = pending ? undefined : review?.look({ tx, kind, key: previous, previous, next: undefined });
  if (looked?.ok === false) return looked;
  // Not yet: it is on trial.
  if (looked?.value !== undefined) return ok({ stored: tx.put(previous, looked.value), gone: false });
  const own = pending ? undefined : kind.finalizeWith?.(object, tx);
  const given = metadata.finalizers ?? [];
  const grace = gracePeriod(kind, object, options.gracePeriodSeconds);
  const finalizers = finalizersFor(
    own === undefined || given.includes(own) ? given : [...given, own],
    options.propagation,
    !pending,
  );
  const left = metadata.deletionGracePeriodSeconds ?? 0;
  const shortened = pending && grace < left;
  if (pending && !shortened && !(grace === 0 && mayVanish(object)))
    return ok({ stored: previous, gone: false });
  const marked = terminating({
    ...object,
    metadata: {
      ...metadata,
      ...(finalizers.length === 0 ? {} : { finalizers }),
      deletionTimestamp:
        pending && !shortened ? (metadata.deletionTimestamp ?? '') : timestamp(tx.nowMs + grace * 1000),
      deletionGracePeriodSeconds: grace,
      ...(metadata.generation === undefined || pending ? {} : { generation: metadata.generation + 1 }),
    },
  });
  if (mayVanish(marked)) {
    // The last state a watcher sees is the object as it was.
    const last = tx.remove(previous, pending ? marked : object);
    return ok({ stored: last ?? previous, gone: true });
  }
  return ok({ stored: tx.put(previous, marked), gone: false });
}

/** The garbage collector works through finalizers, so that a restart forgets nothing. */
function finalizersFor(
  given: readonly string[],
  propagation: Propagation,
  first: boolean,
): readonly string[] {
  if (!first) return given;
  const rest = given.filter((one) => one !== 'orphan' && one !== 'foregroundDeletion');
  if (propagation === 'Foreground') return [...rest, 'foregroundDeletion'];
  return propagation === 'Orphan' ? [...rest, 'orphan'] : rest;
}

const terminating = (object: ApiObject): ApiObject =>
  object.kind === 'Namespace' && object.apiVersion === 'v1'
    ? { ...object, status: { phase: 'Terminating' } }
    : object;
