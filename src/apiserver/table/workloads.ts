// The columns of deployments, replica sets, daemon sets, stateful sets and jobs.
import { at, listAt, numberAt, textAt } from '../json.ts';
import type { ApiObject, Column } from '../types.ts';
import { ageColumn, column, countOf, nameColumn, pairsOf, textOf, wide } from './columns.ts';
import { selectorColumnText } from './core.ts';
import { ageOf, humanDuration } from './duration.ts';

const containers = (object: ApiObject, ...path: readonly string[]): readonly unknown[] =>
  listAt(object, 'spec', ...path, 'spec', 'containers');
const templateColumns = (...path: readonly string[]): readonly Column[] => [
  wide('Containers', (object) =>
    containers(object, ...path)
      .map((one) => textAt(one, 'name') ?? '')
      .join(','),
  ),
  wide('Images', (object) =>
    containers(object, ...path)
      .map((one) => textAt(one, 'image') ?? '')
      .join(','),
  ),
];
const selector = wide('Selector', (object) => selectorColumnText(at(object, 'spec', 'selector')));
const readyOfWanted = (object: ApiObject): string =>
  `${countOf(object, 'status', 'readyReplicas')}/${countOf(object, 'spec', 'replicas')}`;
const count = (name: string, ...path: readonly string[]): Column =>
  column(name, (object) => countOf(object, ...path), 'integer');

export const deploymentColumns: readonly Column[] = [
  nameColumn,
  column('Ready', readyOfWanted),
  count('Up-to-date', 'status', 'updatedReplicas'),
  count('Available', 'status', 'availableReplicas'),
  ageColumn,
  ...templateColumns('template'),
  selector,
];

export const replicaSetColumns: readonly Column[] = [
  nameColumn,
  count('Desired', 'spec', 'replicas'),
  count('Current', 'status', 'replicas'),
  count('Ready', 'status', 'readyReplicas'),
  ageColumn,
  ...templateColumns('template'),
  selector,
];

export const replicationControllerColumns: readonly Column[] = [
  ...replicaSetColumns.slice(0, -1),
  wide('Selector', (object) => pairsOf(at(object, 'spec', 'selector'))),
];

export const daemonSetColumns: readonly Column[] = [
  nameColumn,
  count('Desired', 'status', 'desiredNumberScheduled'),
  count('Current', 'status', 'currentNumberScheduled'),
  count('Ready', 'status', 'numberReady'),
  count('Up-to-date', 'status', 'updatedNumberScheduled'),
  count('Available', 'status', 'numberAvailable'),
  column('Node Selector', (object) => pairsOf(at(object, 'spec', 'template', 'spec', 'nodeSelector'))),
  ageColumn,
  ...templateColumns('template'),
  selector,
];

export const statefulSetColumns: readonly Column[] = [
  nameColumn,
  column('Ready', readyOfWanted),
  ageColumn,
  ...templateColumns('template'),
];

function jobState(object: ApiObject): string {
  const has = (type: string): boolean =>
    listAt(object, 'status', 'conditions').some(
      (one) => at(one, 'type') === type && at(one, 'status') === 'True',
    );
  if (has('Complete')) return 'Complete';
  if (has('Failed')) return 'Failed';
  if (object.metadata.deletionTimestamp !== undefined) return 'Terminating';
  return has('Suspended') ? 'Suspended' : 'Running';
}

export const jobColumns: readonly Column[] = [
  nameColumn,
  column('Status', jobState),
  column(
    'Completions',
    (object) => `${countOf(object, 'status', 'succeeded')}/${numberAt(object, 'spec', 'completions') ?? 1}`,
  ),
  column('Duration', (object, nowMs) => {
    const start = Date.parse(textAt(object, 'status', 'startTime') ?? '');
    if (Number.isNaN(start)) return undefined;
    const end = Date.parse(textAt(object, 'status', 'completionTime') ?? '');
    return humanDuration((Number.isNaN(end) ? nowMs : end) - start);
  }),
  ageColumn,
  ...templateColumns('template'),
  selector,
];

export const cronJobColumns: readonly Column[] = [
  nameColumn,
  column('Schedule', (object) => textOf(object, 'spec', 'schedule')),
  column('Timezone', (object) => textOf(object, 'spec', 'timeZone')),
  column('Suspend', (object) => (at(object, 'spec', 'suspend') === true ? 'True' : 'False')),
  column('Active', (object) => listAt(object, 'status', 'active').length, 'integer'),
  column('Last Schedule', (object, nowMs) => {
    const last = textAt(object, 'status', 'lastScheduleTime');
    return last === undefined ? undefined : ageOf(last, nowMs);
  }),
  ageColumn,
  ...templateColumns('jobTemplate', 'spec', 'template'),
];
