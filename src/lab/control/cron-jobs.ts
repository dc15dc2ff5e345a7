// CronJob: a Job for each time of a schedule. Pure. Of times that were missed, while the controllers were away or the CronJob was
// suspended, the last counts; one that is later than its deadline is given up.
import { isTimeZone, nextTime, parseCronSchedule } from '../../lib/cron-schedule.ts';
import type { CronJob, Job } from '../../model/mod.ts';
import type { EventText } from '../events.ts';
import { controllerOf, ownerReference } from './pods.ts';

export type CronJobPlan = {
  readonly create: Job | undefined;
  readonly remove: readonly Job[];
  readonly status: NonNullable<CronJob['status']>;
  readonly events: readonly EventText[];
  /** When to look again; undefined: only when something changes. */
  readonly nextMs: number | undefined;
};

const scheduledAnnotation = 'batch.kubernetes.io/cronjob-scheduled-timestamp';
/** Times that were missed are not looked at one by one beyond this. */
const mostMissed = 10_000;
const toldMissed = 100;

const timeText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const warning = (reason: string, message: string): EventText => ({ type: 'Warning', reason, message });
const normal = (reason: string, message: string): EventText => ({ type: 'Normal', reason, message });

/** `now`: milliseconds since 1970. */
export function planCronJob(cronJob: CronJob, jobs: readonly Job[], now: number): CronJobPlan {
  const { metadata, spec } = cronJob;
  const own = jobs.filter(
    (job) => job.metadata.namespace === metadata.namespace && controllerOf(job) === metadata.uid,
  );
  const active = own.filter(
    (job) => endOf(job) === undefined && job.metadata.deletionTimestamp === undefined,
  );
  const known = new Set((cronJob.status?.active ?? []).map(({ uid }) => uid));
  const events: EventText[] = own
    .filter((job) => known.has(job.metadata.uid) && endOf(job) !== undefined)
    .map((job) =>
      normal('SawCompletedJob', `Saw completed job: ${job.metadata.name}, condition: ${endOf(job)?.type}`),
    );
  const start = metadata.deletionTimestamp === undefined && spec.suspend !== true;
  const due = start ? dueTime(cronJob, now) : {};
  const remove = [...outlived(own, spec)];
  events.push(...(due.events ?? []));
  let create: Job | undefined;
  if (due.at !== undefined) {
    const isBusy = active.length > 0;
    if (isBusy && spec.concurrencyPolicy === 'Forbid')
      events.push(
        normal(
          'JobAlreadyActive',
          'Not starting job because prior execution is running and concurrency policy is Forbid',
        ),
      );
    else {
      if (spec.concurrencyPolicy === 'Replace') remove.push(...active);
      create = jobOf(cronJob, due.at);
    }
  }
  const isReplaced = (job: Job): boolean => remove.includes(job);
  events.push(...remove.map((job) => normal('SuccessfulDelete', `Deleted job ${job.metadata.name}`)));
  const succeeded = own
    .filter((job) => endOf(job)?.type === 'Complete')
    .map((job) => job.status?.completionTime ?? '')
    .concat(cronJob.status?.lastSuccessfulTime ?? '')
    .toSorted();
  const lastSuccessfulTime = succeeded.at(-1) ?? '';
  const lastScheduleTime =
    create === undefined || due.at === undefined ? cronJob.status?.lastScheduleTime : timeText(due.at);
  return {
    create,
    remove,
    events,
    status: {
      active: active.filter((job) => !isReplaced(job)).map(referenceTo),
      ...(lastScheduleTime === undefined ? {} : { lastScheduleTime }),
      ...(lastSuccessfulTime === '' ? {} : { lastSuccessfulTime }),
    },
    nextMs: due.nextMs,
  };
}

type Due = { readonly at?: number; readonly nextMs?: number; readonly events?: readonly EventText[] };

/** The last time that has come and was not answered, and the next one to come. */
function dueTime(cronJob: CronJob, now: number): Due {
  const { spec, status, metadata } = cronJob;
  const schedule = parseCronSchedule(spec.schedule);
  if (!schedule.ok)
    return {
      events: [
        warning('UnparseableSchedule', `unparseable schedule: "${spec.schedule}" : ${schedule.error}`),
      ],
    };
  const { timeZone } = spec;
  if (timeZone !== undefined && !isTimeZone(timeZone))
    return {
      events: [warning('UnknownTimeZone', `invalid timeZone: "${timeZone}" : unknown time zone ${timeZone}`)],
    };
  const created = Date.parse(metadata.creationTimestamp ?? '');
  const last = Date.parse(status?.lastScheduleTime ?? '');
  const deadlineMs =
    spec.startingDeadlineSeconds === undefined ? undefined : spec.startingDeadlineSeconds * 1000;
  let from = Number.isNaN(last) ? (Number.isNaN(created) ? now : created) : last;
  if (deadlineMs !== undefined) from = Math.max(from, now - deadlineMs);
  let at: number | undefined;
  let missed = 0;
  let next = nextTime(schedule.value, from, timeZone);
  while (next !== undefined && next <= now && missed < mostMissed) {
    at = next;
    missed++;
    next = nextTime(schedule.value, next, timeZone);
  }
  if (missed === mostMissed) next = nextTime(schedule.value, now, timeZone);
  const events =
    missed > toldMissed
      ? [
          warning(
            'TooManyMissedTimes',
            `too many missed start times: ${missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew`,
          ),
        ]
      : [];
  return {
    events,
    ...(next === undefined ? {} : { nextMs: next }),
    ...(at === undefined ? {} : { at }),
  };
}

const endOf = (job: Job) =>
  (job.status?.conditions ?? []).find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );

/** Those that ended, beyond the number that is kept. */
function outlived(own: readonly Job[], spec: CronJob['spec']): readonly Job[] {
  const beyond = (type: string, kept: number): readonly Job[] =>
    own
      .filter((job) => endOf(job)?.type === type && job.metadata.deletionTimestamp === undefined)
      .toSorted((a, b) => ((a.status?.startTime ?? '') < (b.status?.startTime ?? '') ? 1 : -1))
      .slice(kept);
  return [
    ...beyond('Complete', spec.successfulJobsHistoryLimit ?? 3),
    ...beyond('Failed', spec.failedJobsHistoryLimit ?? 1),
  ];
}

/** Its name follows from its time: whoever makes it twice finds that it is there. */
function jobOf(cronJob: CronJob, at: number): Job {
  const { metadata, spec } = cronJob;
  const template = spec.jobTemplate;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: `${metadata.name}-${Math.floor(at / 60_000)}`,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      ...(template.metadata?.labels === undefined ? {} : { labels: template.metadata.labels }),
      annotations: { ...template.metadata?.annotations, [scheduledAnnotation]: timeText(at) },
      ownerReferences: [ownerReference(cronJob)],
    },
    spec: template.spec,
  };
}

export const referenceTo = (job: Job): NonNullable<NonNullable<CronJob['status']>['active']>[number] => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  name: job.metadata.name,
  ...(job.metadata.namespace === undefined ? {} : { namespace: job.metadata.namespace }),
  ...(job.metadata.uid === undefined ? {} : { uid: job.metadata.uid }),
});
