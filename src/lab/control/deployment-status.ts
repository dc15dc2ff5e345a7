// What a Deployment says of itself: numbers, and the conditions Available and Progressing, by which `kubectl rollout status`
// knows that it is done, or that it takes too long. Pure.
import type { Deployment, ReplicaSet } from '../../model/mod.ts';

export type DeploymentStatus = NonNullable<Deployment['status']>;
type Condition = NonNullable<DeploymentStatus['conditions']>[number];
type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;

export type StatusInput = {
  readonly deployment: Deployment;
  readonly own: readonly ReplicaSet[];
  readonly current: ReplicaSet | undefined;
  /** How many pods may be missing. */
  readonly unavailable: number;
  /** Milliseconds since 1970. */
  readonly now: number;
};
export type StatusPlan = {
  readonly status: DeploymentStatus;
  /** When the time for progress is over; undefined: nothing is waited for. */
  readonly deadlineMs?: number;
};

const timeText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

export function planStatus(input: StatusInput): StatusPlan {
  const { deployment, own, current, unavailable, now } = input;
  const sum = (pick: (s: ReplicaSet) => number | undefined): number =>
    own.reduce((total, s) => total + (pick(s) ?? 0), 0);
  const wanted = deployment.spec.replicas ?? 1;
  const available = sum((s) => s.status?.availableReplicas);
  const numbers = {
    replicas: sum((s) => s.status?.replicas),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum((s) => s.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, wanted - available),
  };
  const progress = planProgress(input, numbers);
  const conditions = [
    conditionOf(deployment, 'Available', available >= wanted - unavailable ? enough : tooFew, now),
    ...(progress.condition === undefined ? [] : [progress.condition]),
  ];
  const { generation } = deployment.metadata;
  return {
    status: {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...numbers,
      conditions,
    },
    ...(progress.deadlineMs === undefined ? {} : { deadlineMs: progress.deadlineMs }),
  };
}

const enough: Verdict = {
  status: 'True',
  reason: 'MinimumReplicasAvailable',
  message: 'Deployment has minimum availability.',
};
const tooFew: Verdict = {
  status: 'False',
  reason: 'MinimumReplicasUnavailable',
  message: 'Deployment does not have minimum availability.',
};

const known = (deployment: Deployment, type: string): Condition | undefined =>
  deployment.status?.conditions?.find((c) => c.type === type);

/** One that is as before keeps its times; `moved` says that it was looked at anew and is not the same. */
function conditionOf(
  deployment: Deployment,
  type: string,
  verdict: Verdict,
  now: number,
  moved = false,
): Condition {
  const before = known(deployment, type);
  const isSame =
    before?.status === verdict.status &&
    before?.reason === verdict.reason &&
    before?.message === verdict.message;
  return {
    type,
    ...verdict,
    lastUpdateTime: isSame && !moved ? (before?.lastUpdateTime ?? timeText(now)) : timeText(now),
    lastTransitionTime:
      before?.status === verdict.status ? (before.lastTransitionTime ?? timeText(now)) : timeText(now),
  };
}

type Numbers = {
  readonly replicas: number;
  readonly updatedReplicas: number;
  readonly readyReplicas: number;
  readonly availableReplicas: number;
};

function planProgress(
  { deployment, current, now }: StatusInput,
  numbers: Numbers,
): { readonly condition?: Condition; readonly deadlineMs?: number } {
  const before = known(deployment, 'Progressing');
  const say = (status: string, reason: string, message: string, moved = false): Condition =>
    conditionOf(deployment, 'Progressing', { status, reason, message }, now, moved);
  const isLate = before?.reason === 'ProgressDeadlineExceeded';
  if (deployment.spec.paused === true && !isLate)
    return { condition: say('Unknown', 'DeploymentPaused', 'Deployment is paused') };
  const set = `ReplicaSet "${current?.metadata.name ?? ''}"`;
  const wanted = deployment.spec.replicas ?? 1;
  const { replicas, updatedReplicas, availableReplicas } = numbers;
  const isComplete =
    current !== undefined &&
    replicas === wanted &&
    updatedReplicas === wanted &&
    availableReplicas === wanted;
  if (isComplete)
    return { condition: say('True', 'NewReplicaSetAvailable', `${set} has successfully progressed.`) };
  // Another number of replicas, or a pod that went, is no rollout.
  if (before?.reason === 'NewReplicaSetAvailable' && replicas === updatedReplicas && current !== undefined)
    return { condition: before };
  if (current === undefined) return before === undefined ? {} : { condition: before };
  const waiting = (condition: Condition): { condition: Condition; deadlineMs: number } => {
    const limitMs = (deployment.spec.progressDeadlineSeconds ?? 600) * 1000;
    return { condition, deadlineMs: Date.parse(condition.lastUpdateTime ?? timeText(now)) + limitMs };
  };
  if (before?.reason === 'DeploymentPaused')
    return waiting(say('Unknown', 'DeploymentResumed', 'Deployment is resumed'));
  const isOfAnother =
    before?.reason !== 'DeploymentResumed' &&
    before?.message?.includes(`"${current.metadata.name}"`) !== true;
  if (before === undefined || before.reason === 'NewReplicaSetAvailable' || isOfAnother)
    return waiting(say('True', 'NewReplicaSetCreated', `Created new replica set "${current.metadata.name}"`));
  if (hasMoved(deployment.status, numbers))
    return waiting(say('True', 'ReplicaSetUpdated', `${set} is progressing.`, true));
  const kept = waiting(before);
  if (isLate) return { condition: before };
  return now < kept.deadlineMs
    ? kept
    : { condition: say('False', 'ProgressDeadlineExceeded', `${set} has timed out progressing.`) };
}

function hasMoved(before: DeploymentStatus | undefined, now: Numbers): boolean {
  const old = (before?.replicas ?? 0) - (before?.updatedReplicas ?? 0);
  return (
    now.updatedReplicas > (before?.updatedReplicas ?? 0) ||
    now.replicas - now.updatedReplicas < old ||
    now.readyReplicas > (before?.readyReplicas ?? 0) ||
    now.availableReplicas > (before?.availableReplicas ?? 0)
  );
}
