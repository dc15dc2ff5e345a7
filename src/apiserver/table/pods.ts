// The columns of pods. STATUS tells why a pod is not ready, from its containers, before its phase.
import { at, isObject, type JsonObject, listAt, numberAt, objectAt, textAt } from '../json.ts';
import type { ApiObject, Column } from '../types.ts';
import { ageColumn, column, nameColumn, wide } from './columns.ts';
import { humanDuration } from './duration.ts';

const statuses = (object: ApiObject, field: string): readonly JsonObject[] =>
  listAt(object, 'status', field).filter(isObject);

/** A restartable init container (sidecar) counts as a container. */
const isSidecar = (object: ApiObject, name: string | undefined): boolean =>
  listAt(object, 'spec', 'initContainers').some(
    (one) => at(one, 'name') === name && at(one, 'restartPolicy') === 'Always',
  );

function initState(object: ApiObject): string | undefined {
  const total = listAt(object, 'spec', 'initContainers').length;
  for (const [i, one] of statuses(object, 'initContainerStatuses').entries()) {
    const ended = at(one, 'state', 'terminated');
    if (isObject(ended) && ended['exitCode'] === 0) continue;
    if (isSidecar(object, textAt(one, 'name')) && one['started'] === true) continue;
    if (isObject(ended)) {
      const reason = textAt(ended, 'reason');
      if (reason !== undefined && reason !== '') return `Init:${reason}`;
      return numberAt(ended, 'signal')
        ? `Init:Signal:${numberAt(ended, 'signal')}`
        : `Init:ExitCode:${numberAt(ended, 'exitCode')}`;
    }
    const waiting = textAt(one, 'state', 'waiting', 'reason');
    return waiting !== undefined && waiting !== 'PodInitializing' ? `Init:${waiting}` : `Init:${i}/${total}`;
  }
  return undefined;
}

function containerState(object: ApiObject, fallback: string): string {
  let reason = fallback;
  let running = false;
  for (const one of [...statuses(object, 'containerStatuses')].reverse()) {
    const waiting = textAt(one, 'state', 'waiting', 'reason');
    const ended = objectAt(one, 'state', 'terminated');
    if (waiting !== undefined && waiting !== '') reason = waiting;
    else if (textAt(ended, 'reason')) reason = textAt(ended, 'reason') ?? reason;
    else if (Object.keys(ended).length > 0) {
      reason = numberAt(ended, 'signal')
        ? `Signal:${numberAt(ended, 'signal')}`
        : `ExitCode:${numberAt(ended, 'exitCode')}`;
    } else if (one['ready'] === true && at(one, 'state', 'running') !== undefined) running = true;
  }
  if (reason === 'Completed' && running) {
    const ready = listAt(object, 'status', 'conditions').some(
      (one) => at(one, 'type') === 'Ready' && at(one, 'status') === 'True',
    );
    return ready ? 'Running' : 'NotReady';
  }
  return reason;
}

export function podState(object: ApiObject): string {
  const phase = textAt(object, 'status', 'phase') ?? 'Unknown';
  const gated = listAt(object, 'spec', 'schedulingGates').length > 0 && phase === 'Pending';
  let reason = textAt(object, 'status', 'reason') ?? (gated ? 'SchedulingGated' : phase);
  reason = initState(object) ?? containerState(object, reason);
  if (object.metadata.deletionTimestamp === undefined) return reason;
  if (textAt(object, 'status', 'reason') === 'NodeLost') return 'Unknown';
  return phase === 'Succeeded' || phase === 'Failed' ? reason : 'Terminating';
}

function readiness(object: ApiObject): string {
  const sidecars = listAt(object, 'spec', 'initContainers').filter(
    (one) => at(one, 'restartPolicy') === 'Always',
  ).length;
  const total = listAt(object, 'spec', 'containers').length + sidecars;
  const running = (one: JsonObject): boolean =>
    one['ready'] === true && (at(one, 'state', 'running') !== undefined || at(one, 'state') === undefined);
  const ready =
    statuses(object, 'containerStatuses').filter(running).length +
    statuses(object, 'initContainerStatuses').filter(
      (one) => isSidecar(object, textAt(one, 'name')) && one['ready'] === true,
    ).length;
  return `${ready}/${total}`;
}

function restarts(object: ApiObject, nowMs: number): string {
  let count = 0;
  let last = 0;
  for (const one of [
    ...statuses(object, 'initContainerStatuses'),
    ...statuses(object, 'containerStatuses'),
  ]) {
    count += numberAt(one, 'restartCount') ?? 0;
    const ended = Date.parse(textAt(one, 'lastState', 'terminated', 'finishedAt') ?? '');
    if (!Number.isNaN(ended)) last = Math.max(last, ended);
  }
  return count > 0 && last > 0 ? `${count} (${humanDuration(nowMs - last)} ago)` : String(count);
}

function gates(object: ApiObject): string | undefined {
  const wanted = listAt(object, 'spec', 'readinessGates').map((one) => at(one, 'conditionType'));
  if (wanted.length === 0) return undefined;
  const met = listAt(object, 'status', 'conditions').filter(
    (one) => wanted.includes(at(one, 'type')) && at(one, 'status') === 'True',
  );
  return `${met.length}/${wanted.length}`;
}

export const podColumns: readonly Column[] = [
  nameColumn,
  column('Ready', readiness),
  column('Status', podState),
  column('Restarts', restarts),
  ageColumn,
  wide(
    'IP',
    (object) => textAt(listAt(object, 'status', 'podIPs')[0], 'ip') ?? textAt(object, 'status', 'podIP'),
  ),
  wide('Node', (object) => textAt(object, 'spec', 'nodeName')),
  wide('Nominated Node', (object) => textAt(object, 'status', 'nominatedNodeName')),
  wide('Readiness Gates', gates),
];
