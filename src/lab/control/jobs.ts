// Job: pods that run to their end until enough of them succeeded. Pure. Failed ones are replaced later and later, up to the
// back-off limit; of an indexed job each index has to succeed once.
import type { Job, Pod } from '../../model/mod.ts';
import { controllerOf, podFromTemplate } from './pods.ts';

export type JobPlan = {
  readonly create: readonly Pod[];
  readonly remove: readonly Pod[];
  readonly status: NonNullable<Job['status']>;
  /** The job is over and its time to stay, too. */
  readonly isStale: boolean;
};

const indexAnnotation = 'batch.kubernetes.io/job-completion-index';
const firstDelayMs = 10_000;
const longestDelayMs = 360_000;

/** `now`: milliseconds since 1970. */
export function planJob(job: Job, pods: readonly Pod[], now: number): JobPlan {
  const { spec, metadata } = job;
  const own = pods.filter(
    (pod) => pod.metadata.namespace === metadata.namespace && controllerOf(pod) === metadata.uid,
  );
  const isGoing = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;
  const succeeded = own.filter((pod) => pod.status?.phase === 'Succeeded');
  const failed = own.filter((pod) => pod.status?.phase === 'Failed');
  const active = own.filter((pod) => !succeeded.includes(pod) && !failed.includes(pod) && !isGoing(pod));
  const isIndexed = spec.completionMode === 'Indexed';
  const done = isIndexed ? new Set(succeeded.map(indexOf)).size : succeeded.length;
  const parallelism = spec.parallelism ?? 1;
  // Without a number one success says that the work is done (a work queue).
  const isQueue = spec.completions === undefined || spec.completions === null;
  const completions = spec.completions ?? parallelism;
  const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
  const startTime = job.status?.startTime ?? (spec.suspend === true ? undefined : timeText(now));
  const over = (job.status?.conditions ?? []).find(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  );
  const elapsedMs = startTime === undefined ? 0 : now - Date.parse(startTime);
  const isLate = spec.activeDeadlineSeconds !== undefined && elapsedMs >= spec.activeDeadlineSeconds * 1000;
  const isExhausted = failed.length > (spec.backoffLimit ?? 6);
  const isComplete = isQueue ? done > 0 && active.length === 0 : done >= completions;
  const verdict =
    over !== undefined
      ? undefined
      : isComplete
        ? {
            type: 'Complete',
            reason: 'CompletionsReached',
            message: 'Reached expected number of succeeded pods',
          }
        : isExhausted
          ? {
              type: 'Failed',
              reason: 'BackoffLimitExceeded',
              message: 'Job has reached the specified backoff limit',
            }
          : isLate
            ? {
                type: 'Failed',
                reason: 'DeadlineExceeded',
                message: 'Job was active longer than specified deadline',
              }
            : undefined;
  const isOver = over !== undefined || verdict !== undefined;
  const isStopped = isOver || spec.suspend === true || metadata.deletionTimestamp !== undefined;
  const create = isStopped ? [] : missing();
  const status: NonNullable<Job['status']> = {
    active: isStopped ? 0 : active.length + create.length,
    ready: isStopped ? 0 : active.filter((pod) => pod.status?.phase === 'Running').length,
    succeeded: done,
    failed: failed.length,
    ...(startTime === undefined ? {} : { startTime }),
    ...(job.status?.completionTime === undefined ? {} : { completionTime: job.status.completionTime }),
    ...(verdict?.type === 'Complete' ? { completionTime: timeText(now) } : {}),
    conditions: [
      ...(job.status?.conditions ?? []),
      ...(verdict === undefined
        ? []
        : [{ ...verdict, status: 'True', lastTransitionTime: timeText(now), lastProbeTime: timeText(now) }]),
    ],
  };
  const endedAt = Date.parse(over?.lastTransitionTime ?? '');
  return {
    create,
    remove: isStopped ? active : active.slice(parallelism),
    status,
    isStale:
      spec.ttlSecondsAfterFinished !== undefined && now >= endedAt + spec.ttlSecondsAfterFinished * 1000,
  };

  function missing(): Pod[] {
    const last = Math.max(0, ...failed.map(endOf));
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (failed.length - 1));
    if (failed.length > 0 && now < last + delayMs) return [];
    const room = parallelism - active.length;
    const left = isQueue ? (done > 0 ? 0 : room) : completions - done - active.length;
    const count = Math.max(0, Math.min(room, left));
    if (!isIndexed) return Array.from({ length: count }, () => podFromTemplate(job, spec.template));
    const taken = new Set([...succeeded, ...active].map(indexOf));
    const free = Array.from({ length: completions }, (_, i) => i).filter((index) => !taken.has(index));
    return free.slice(0, Math.max(0, room)).map((index) => indexedPod(job, index));
  }
}

const indexOf = (pod: Pod): number => Number(pod.metadata.annotations?.[indexAnnotation] ?? -1);

const endOf = (pod: Pod): number =>
  Math.max(
    0,
    ...(pod.status?.containerStatuses ?? []).map(({ state }) =>
      Date.parse(state?.terminated?.finishedAt ?? '1970-01-01T00:00:00Z'),
    ),
  );

function indexedPod(job: Job, index: number): Pod {
  const pod = podFromTemplate(job, job.spec.template, { labels: { [indexAnnotation]: String(index) } });
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      generateName: `${job.metadata.name}-${index}-`,
      annotations: { ...pod.metadata.annotations, [indexAnnotation]: String(index) },
    },
    spec: {
      ...pod.spec,
      hostname: `${job.metadata.name}-${index}`,
      containers: pod.spec.containers.map((container) => ({
        ...container,
        env: [...(container.env ?? []), { name: 'JOB_COMPLETION_INDEX', value: String(index) }],
      })),
    },
  };
}
