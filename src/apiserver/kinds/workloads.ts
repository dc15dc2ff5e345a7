// Deployments, replica sets, daemon sets, stateful sets, jobs: defaults and the checks users rely on.
import {
  at,
  isObject,
  type JsonObject,
  listAt,
  numberAt,
  objectAt,
  sameJson,
  textAt,
  withAt,
} from '../json.ts';
import { isTimeZone, parseCronSchedule } from '../../lib/cron-schedule.ts';
import { parseSelection } from '../selectors.ts';
import type { ApiObject, Issue } from '../types.ts';
import { defaultedPodSpec, podSpecIssues } from './pods.ts';

function withTemplate(object: ApiObject, ...path: readonly string[]): ApiObject {
  const spec = objectAt(object, ...path, 'spec');
  const template = objectAt(object, ...path);
  return Object.keys(template).length === 0
    ? object
    : withAt(object, [...path, 'spec'], defaultedPodSpec(spec));
}

const filled = (object: ApiObject, defaults: JsonObject): ApiObject => ({
  ...object,
  spec: { ...defaults, ...objectAt(object, 'spec') },
});

export function defaultedDeployment(object: ApiObject): ApiObject {
  const given = filled(withTemplate(object, 'spec', 'template'), {
    replicas: 1,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
  });
  const strategy = objectAt(given, 'spec', 'strategy');
  const type = textAt(strategy, 'type') ?? 'RollingUpdate';
  const rolling =
    type === 'RollingUpdate'
      ? { rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%', ...objectAt(strategy, 'rollingUpdate') } }
      : {};
  return withAt(given, ['spec', 'strategy'], { ...strategy, type, ...rolling });
}

export const defaultedReplicaSet = (object: ApiObject): ApiObject => {
  const given = filled(withTemplate(object, 'spec', 'template'), { replicas: 1 });
  return given;
};

export function defaultedReplicationController(object: ApiObject): ApiObject {
  const given = defaultedReplicaSet(object);
  return at(given, 'spec', 'selector') === undefined
    ? withAt(given, ['spec', 'selector'], objectAt(given, 'spec', 'template', 'metadata', 'labels'))
    : given;
}

export function defaultedDaemonSet(object: ApiObject): ApiObject {
  const given = filled(withTemplate(object, 'spec', 'template'), { revisionHistoryLimit: 10 });
  const update = objectAt(given, 'spec', 'updateStrategy');
  const type = textAt(update, 'type') ?? 'RollingUpdate';
  const rolling =
    type === 'RollingUpdate'
      ? { rollingUpdate: { maxSurge: 0, maxUnavailable: 1, ...objectAt(update, 'rollingUpdate') } }
      : {};
  return withAt(given, ['spec', 'updateStrategy'], { ...update, type, ...rolling });
}

export function defaultedStatefulSet(object: ApiObject): ApiObject {
  const given = filled(withTemplate(object, 'spec', 'template'), {
    replicas: 1,
    revisionHistoryLimit: 10,
    podManagementPolicy: 'OrderedReady',
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
  });
  const update = objectAt(given, 'spec', 'updateStrategy');
  const type = textAt(update, 'type') ?? 'RollingUpdate';
  const rolling =
    type === 'RollingUpdate' ? { rollingUpdate: { partition: 0, ...objectAt(update, 'rollingUpdate') } } : {};
  return withAt(given, ['spec', 'updateStrategy'], { ...update, type, ...rolling });
}

export function defaultedJob(object: ApiObject): ApiObject {
  const given = filled(withTemplate(object, 'spec', 'template'), {
    parallelism: 1,
    completions: 1,
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    suspend: false,
    podReplacementPolicy: 'TerminatingOrFailed',
  });
  if (at(given, 'spec', 'selector') !== undefined || object.metadata.uid === undefined) return given;
  const labels = {
    'batch.kubernetes.io/controller-uid': object.metadata.uid,
    'batch.kubernetes.io/job-name': object.metadata.name,
    'controller-uid': object.metadata.uid,
    'job-name': object.metadata.name,
  };
  const selected = withAt(given, ['spec', 'selector'], {
    matchLabels: { 'batch.kubernetes.io/controller-uid': object.metadata.uid },
  });
  return withAt(selected, ['spec', 'template', 'metadata', 'labels'], {
    ...objectAt(selected, 'spec', 'template', 'metadata', 'labels'),
    ...labels,
  });
}

export const defaultedCronJob = (object: ApiObject): ApiObject =>
  filled(withTemplate(object, 'spec', 'jobTemplate', 'spec', 'template'), {
    concurrencyPolicy: 'Allow',
    suspend: false,
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
  });

export function cronJobIssues(object: ApiObject): readonly Issue[] {
  const issues: Issue[] = [];
  const spec = objectAt(object, 'spec');
  const schedule = textAt(spec, 'schedule') ?? '';
  const parsed = parseCronSchedule(schedule);
  if (schedule === '') issues.push({ field: 'spec.schedule', reason: 'Required value' });
  else if (/\bTZ=/.test(schedule))
    issues.push({
      field: 'spec.schedule',
      value: schedule,
      reason: 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    });
  else if (!parsed.ok) issues.push({ field: 'spec.schedule', value: schedule, reason: parsed.error });
  const timeZone = textAt(spec, 'timeZone');
  if (timeZone !== undefined && !isTimeZone(timeZone))
    issues.push({ field: 'spec.timeZone', value: timeZone, reason: `unknown time zone ${timeZone}` });
  const policy = textAt(spec, 'concurrencyPolicy') ?? '';
  if (!['Allow', 'Forbid', 'Replace'].includes(policy))
    issues.push({
      field: 'spec.concurrencyPolicy',
      value: policy,
      reason: 'Unsupported value: supported values: "Allow", "Forbid", "Replace"',
    });
  for (const name of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit']) {
    const value = numberAt(spec, name);
    if (value !== undefined && value < 0)
      issues.push({ field: `spec.${name}`, value, reason: 'must be greater than or equal to 0' });
  }
  // Its jobs' names add twelve characters, and are labels of pods.
  if (object.metadata.name.length > 52)
    issues.push({
      field: 'metadata.name',
      value: object.metadata.name,
      reason: 'must be no more than 52 characters',
    });
  const template = ['spec', 'jobTemplate', 'spec', 'template', 'spec'] as const;
  return [...issues, ...podSpecIssues(objectAt(object, ...template), template.join('.'))];
}

/** A label selector object as selector text; undefined when it is not one. */
export function selectorText(selector: unknown): string | undefined {
  if (!isObject(selector)) return undefined;
  const parts = Object.entries(objectAt(selector, 'matchLabels')).map(
    ([key, value]) => `${key}=${String(value)}`,
  );
  const expressions = at(selector, 'matchExpressions');
  for (const one of Array.isArray(expressions) ? expressions : []) {
    const key = textAt(one, 'key') ?? '';
    const list = at(one, 'values');
    const values = Array.isArray(list) ? list.join(',') : '';
    switch (textAt(one, 'operator')) {
      case 'In':
        parts.push(`${key} in (${values})`);
        break;
      case 'NotIn':
        parts.push(`${key} notin (${values})`);
        break;
      case 'Exists':
        parts.push(key);
        break;
      case 'DoesNotExist':
        parts.push(`!${key}`);
        break;
      default:
        return undefined;
    }
  }
  return parts.join(',');
}

const plainSelector = (selector: JsonObject): string =>
  Object.entries(selector)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(',');

export function workloadIssues(object: ApiObject, previous: ApiObject | undefined): readonly Issue[] {
  const issues: Issue[] = [];
  const spec = objectAt(object, 'spec');
  const replicas = numberAt(spec, 'replicas');
  if (replicas !== undefined && replicas < 0) {
    issues.push({ field: 'spec.replicas', value: replicas, reason: 'must be greater than or equal to 0' });
  }
  const plain = object.kind === 'ReplicationController';
  const selector = plain ? plainSelector(objectAt(spec, 'selector')) : selectorText(spec['selector']);
  if (selector === undefined)
    issues.push({ field: 'spec.selector', value: spec['selector'], reason: 'not a valid label selector' });
  else if (selector === '')
    issues.push({
      field: 'spec.selector',
      value: spec['selector'] ?? {},
      reason: 'empty selector is invalid',
    });
  const template = objectAt(spec, 'template');
  if (Object.keys(template).length > 0) {
    const labels = objectAt(template, 'metadata', 'labels') as Record<string, string>;
    const chosen = selector === undefined ? undefined : parseSelection(selector, '');
    if (chosen?.ok === false)
      issues.push({ field: 'spec.selector', value: spec['selector'], reason: chosen.error });
    if (
      chosen?.ok === true &&
      !chosen.value.matches({ apiVersion: 'v1', kind: 'Pod', metadata: { name: '', labels } })
    ) {
      issues.push({
        field: 'spec.template.metadata.labels',
        value: labels,
        reason: '`selector` does not match template `labels`',
      });
    }
    const claims = listAt(spec, 'volumeClaimTemplates').map((one) => textAt(one, 'metadata', 'name') ?? '');
    issues.push(...podSpecIssues(objectAt(template, 'spec'), 'spec.template.spec', claims));
  }
  if (previous !== undefined && !plain && !sameJson(at(previous, 'spec', 'selector'), spec['selector'])) {
    issues.push({ field: 'spec.selector', value: spec['selector'], reason: 'field is immutable' });
  }
  return issues;
}

/** Status belongs to the controller from the first moment. */
export const withEmptyStatus = (object: ApiObject, previous: ApiObject | undefined): ApiObject =>
  previous === undefined ? { ...object, status: {} } : object;
