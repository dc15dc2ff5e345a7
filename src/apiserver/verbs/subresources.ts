// Subresources that are not a part of the object: scale, pods/binding, pods/eviction.
import { ok, type Result } from '../../lib/result.ts';
import { type Api, keyOf, timestamp } from '../api.ts';
import { mediaTypeOf, readBody } from '../http/body.ts';
import type { Call, Outcome, Target } from '../http/call.ts';
import { at, isObject, type JsonObject, listAt, numberAt, objectAt, textAt, withAt } from '../json.ts';
import { selectorText } from '../kinds/workloads.ts';
import { scale as scaleSchema } from '../schema/workloads.ts';
import { conflict, invalid, notFound, refuse, type StatusError } from '../status.ts';
import type { Stored } from '../store/types.ts';
import type { ApiObject, ServedKind } from '../types.ts';
import { deleteIn, readDeleteOptions } from './delete.ts';
import { patchTypes, perform, readPatch, readWriteQuery } from './mutate.ts';
import { replaceIn } from './write.ts';

export function scaleOf({ object }: Stored): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = at(object, 'spec', 'selector');
  const plain = object.kind === 'ReplicationController';
  const text = plain ? selectorText({ matchLabels: selector }) : selectorText(selector);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: numberAt(object, 'spec', 'replicas') ?? 0 },
    status: { replicas: numberAt(object, 'status', 'replicas') ?? 0, selector: text ?? '' },
  };
}

/** GET, PUT and PATCH of a scale. */
export async function scale(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  call: Call,
): Promise<Outcome> {
  const key = keyOf(kind, namespace, name);
  const { method } = call.request;
  if (method === 'GET') {
    const stored = api.store.get(key);
    return stored === undefined ? notFound(kind, name) : ok({ code: 200, body: scaleOf(stored) });
  }
  const query = readWriteQuery(call.query);
  if (!query.ok) return query;
  const body = await readBody(call.request, api.limits, patchTypes);
  if (!body.ok) return body;
  const change =
    method === 'PATCH'
      ? readPatch(mediaTypeOf(call.request), body.value, scaleSchema)
      : ok(() => ok(body.value));
  if (!change.ok) return change;
  const scaled = await perform(api, query.value.dryRun, (tx) => {
    const previous = tx.get(key);
    if (previous === undefined) return notFound(kind, name);
    const wanted = change.value(scaleOf(previous));
    return wanted.ok
      ? applyScale(kind, previous, wanted.value, (object) => replaceIn(tx, kind, previous, object, 'object'))
      : wanted;
  });
  return scaled.ok ? ok({ code: 200, body: scaleOf(scaled.value) }) : scaled;
}

function applyScale(
  kind: ServedKind,
  previous: Stored,
  wanted: unknown,
  replace: (object: ApiObject) => Result<Stored, StatusError>,
): Result<Stored, StatusError> {
  const replicas = at(wanted, 'spec', 'replicas') ?? 0;
  if (typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0) {
    return invalid({ ...kind, group: 'autoscaling', kind: 'Scale' }, previous.name, [
      { field: 'spec.replicas', value: replicas, reason: 'must be greater than or equal to 0' },
    ]);
  }
  const revision = textAt(wanted, 'metadata', 'resourceVersion') ?? '';
  const { object } = previous;
  return replace({
    ...withAt(object, ['spec', 'replicas'], replicas),
    metadata: { ...object.metadata, resourceVersion: revision },
  });
}

/** Ties a pod to a node: what a scheduler does. */
export async function bind(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  call: Call,
): Promise<Outcome> {
  const query = readWriteQuery(call.query);
  if (!query.ok) return query;
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const node = textAt(body.value, 'target', 'name') ?? '';
  if (node === '')
    return invalid({ group: '', plural: 'bindings', kind: 'Binding' }, name, [
      { field: 'target.name', reason: 'Required value' },
    ]);
  const podName = name === '' ? (textAt(body.value, 'metadata', 'name') ?? '') : name;
  const uid = textAt(body.value, 'metadata', 'uid');
  const bound = await perform(api, query.value.dryRun, (tx) => {
    const previous = tx.get(keyOf(kind, namespace, podName));
    if (previous === undefined) return notFound(kind, podName);
    const { object } = previous;
    const binding = { ...kind, plural: 'pods/binding' };
    if (uid !== undefined && uid !== '' && uid !== object.metadata.uid) {
      return conflict(
        binding,
        podName,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
      );
    }
    const there = textAt(object, 'spec', 'nodeName') ?? '';
    if (there !== '')
      return conflict(binding, podName, `pod ${podName} is already assigned to node "${there}"`);
    if (object.metadata.deletionTimestamp !== undefined)
      return conflict(binding, podName, `pod ${podName} is being deleted, cannot be assigned to a host`);
    return replaceIn(tx, kind, previous, assigned(object, node, api.clock.now()), 'server');
  });
  return bound.ok
    ? ok({
        code: 201,
        body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
      })
    : bound;
}

function assigned(object: ApiObject, node: string, nowMs: number): ApiObject {
  const scheduled = {
    type: 'PodScheduled',
    status: 'True',
    lastProbeTime: null,
    lastTransitionTime: timestamp(nowMs),
  };
  const others = listAt(object, 'status', 'conditions').filter((one) => at(one, 'type') !== 'PodScheduled');
  const status = { ...objectAt(object, 'status'), conditions: [...others, scheduled] };
  return { ...withAt(object, ['spec', 'nodeName'], node), status };
}

/** Deletes the pod as the eviction asks; disruption budgets are not weighed. */
export async function evict(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  call: Call,
): Promise<Outcome> {
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  if (body.value !== undefined && !isObject(body.value))
    return refuse('BadRequest', 'the request body must be an object');
  const options = readDeleteOptions(at(body.value, 'deleteOptions'), call.query);
  if (!options.ok) return options;
  const evicted = await perform(api, options.value.dryRun, (tx) => {
    const previous = tx.get(keyOf(kind, namespace, name));
    return previous === undefined ? notFound(kind, name) : deleteIn(tx, kind, previous, options.value);
  });
  return evicted.ok
    ? ok({
        code: 201,
        body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
      })
    : evicted;
}
