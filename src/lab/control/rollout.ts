// Deployment: one ReplicaSet per version of the pod template; a change moves replicas from old to new without falling
// below what must stay available and without exceeding the surge. Pure.
import type { Deployment, ReplicaSet } from '../../model/mod.ts';
import { type DeploymentStatus, planStatus } from './deployment-status.ts';
import { canonicalJson, controllerOf, ownerReference, type PodTemplate, templateHash } from './pods.ts';

export type RolloutPlan = {
  readonly create?: ReplicaSet;
  /** ReplicaSets whose number of replicas changes. */
  readonly scale: readonly { readonly set: ReplicaSet; readonly replicas: number }[];
  /** Old, empty ReplicaSets beyond the history limit. */
  readonly remove: readonly ReplicaSet[];
  /** The current ReplicaSet's annotations where they are to change: the revision, and what the Deployment says. */
  readonly annotate?: { readonly set: ReplicaSet; readonly annotations: Annotations };
  /** The revision that the Deployment is at. */
  readonly revision?: string;
  readonly status: DeploymentStatus;
  /** When to look again without a change, in milliseconds since 1970. */
  readonly nextMs?: number;
};

type Annotations = Readonly<Record<string, string>>;

const hashLabel = 'pod-template-hash';
export const revisionAnnotation = 'deployment.kubernetes.io/revision';
const historyAnnotation = 'deployment.kubernetes.io/revision-history';
/** Annotations of a Deployment that are not its ReplicaSets', too. */
const ownAnnotations: ReadonlySet<string> = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'deployment.kubernetes.io/desired-replicas',
  'deployment.kubernetes.io/max-replicas',
  'deprecated.deployment.rollback.to',
  revisionAnnotation,
  historyAnnotation,
]);

/** `now`: milliseconds since 1970. */
export function planDeployment(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  now: number,
): RolloutPlan {
  const own = sets.filter(
    (s) =>
      s.metadata.namespace === deployment.metadata.namespace &&
      controllerOf(s) === deployment.metadata.uid &&
      s.metadata.deletionTimestamp === undefined,
  );
  const wanted = deployment.spec.replicas ?? 1;
  const current = own.find((s) => sameTemplate(s, deployment.spec.template));
  const { unavailable } = limits(deployment, wanted);
  const { status, deadlineMs } = planStatus({ deployment, own, current, unavailable, now });
  const change =
    deployment.metadata.deletionTimestamp === undefined ? planChange(deployment, own, current) : still;
  return { ...change, status, ...(deadlineMs === undefined ? {} : { nextMs: deadlineMs }) };
}

type Change = Omit<RolloutPlan, 'status' | 'nextMs'>;
const still: Change = { scale: [], remove: [] };

function planChange(
  deployment: Deployment,
  own: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
): Change {
  const wanted = deployment.spec.replicas ?? 1;
  const old = own.filter((s) => s !== current);
  if (deployment.spec.paused === true)
    return { ...scalePaused(own, wanted), ...revisionPlan(deployment, own, current) };
  const { surge, unavailable } = limits(deployment, wanted);
  const recreate = deployment.spec.strategy?.type === 'Recreate';
  const total = own.reduce((sum, s) => sum + replicasOf(s), 0);
  const room = Math.max(0, wanted + surge - total);
  if (current === undefined) {
    const oldPodsLeft = old.some((s) => replicasOf(s) > 0 || (s.status?.replicas ?? 0) > 0);
    const first = recreate ? (oldPodsLeft ? 0 : wanted) : old.length === 0 ? wanted : Math.min(wanted, room);
    const create = newSet(deployment, first, own);
    const revision = create.metadata.annotations?.[revisionAnnotation] ?? '';
    return { create, scale: recreate ? emptied(old) : [], remove: [], revision };
  }
  const scale: { set: ReplicaSet; replicas: number }[] = [];
  const have = replicasOf(current);
  if (recreate) {
    scale.push(...emptied(old));
    const oldPods = old.reduce((sum, s) => sum + (s.status?.replicas ?? 0), 0);
    if (have !== wanted && (have > wanted || oldPods === 0)) scale.push({ set: current, replicas: wanted });
  } else {
    const target = have > wanted ? wanted : Math.min(wanted, have + room);
    if (target !== have) scale.push({ set: current, replicas: target });
    scale.push(...shrinkOld(old, own, current, wanted - unavailable));
  }
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const history = old
    .filter((s) => replicasOf(s) === 0 && (s.status?.replicas ?? 0) === 0)
    .sort((a, b) => revisionOf(a) - revisionOf(b));
  const remove = history.slice(0, Math.max(0, history.length - limit));
  return { scale, remove, ...revisionPlan(deployment, own, current) };
}

/** A paused rollout does not go on, but the number of replicas counts where only one version has any. */
function scalePaused(own: readonly ReplicaSet[], wanted: number): Change {
  const running = own.filter((s) => replicasOf(s) > 0);
  const [only = newest(own)] = running;
  if (running.length > 1 || only === undefined || replicasOf(only) === wanted) return still;
  return { scale: [{ set: only, replicas: wanted }], remove: [] };
}

const newest = (own: readonly ReplicaSet[]): ReplicaSet | undefined =>
  own.toSorted((a, b) => revisionOf(b) - revisionOf(a))[0];

/** A version that comes back becomes the newest revision; the numbers it had are noted. */
function revisionPlan(
  deployment: Deployment,
  own: readonly ReplicaSet[],
  current: ReplicaSet | undefined,
): Pick<Change, 'annotate' | 'revision'> {
  if (current === undefined) return {};
  const before = current.metadata.annotations ?? {};
  const newestOther = Math.max(0, ...own.filter((s) => s !== current).map(revisionOf));
  const isNewest = revisionOf(current) > newestOther;
  const revision = String(isNewest ? revisionOf(current) : newestOther + 1);
  const had = [before[historyAnnotation], before[revisionAnnotation]].filter((one) => one !== undefined);
  const wanted: Annotations = {
    ...inheritedAnnotations(deployment),
    [revisionAnnotation]: revision,
    ...(isNewest || had.length === 0 ? {} : { [historyAnnotation]: had.join(',') }),
  };
  const isAsWanted = Object.entries(wanted).every(([name, value]) => before[name] === value);
  return { revision, ...(isAsWanted ? {} : { annotate: { set: current, annotations: wanted } }) };
}

const inheritedAnnotations = (deployment: Deployment): Annotations =>
  Object.fromEntries(
    Object.entries(deployment.metadata.annotations ?? {}).filter(([name]) => !ownAnnotations.has(name)),
  );

/** Old pods that are not ready may go at once; ready ones only as far as enough stay available. */
function shrinkOld(
  old: readonly ReplicaSet[],
  own: readonly ReplicaSet[],
  current: ReplicaSet,
  mustStay: number,
): { set: ReplicaSet; replicas: number }[] {
  const changes: { set: ReplicaSet; replicas: number }[] = [];
  const ready = own.reduce((sum, s) => sum + Math.min(replicasOf(s), s.status?.readyReplicas ?? 0), 0);
  let spare = ready - mustStay;
  for (const set of [...old].sort((a, b) => revisionOf(a) - revisionOf(b))) {
    const replicas = replicasOf(set);
    if (replicas === 0 || set === current) continue;
    const readyHere = Math.min(replicas, set.status?.readyReplicas ?? 0);
    const goes = replicas - readyHere + Math.max(0, Math.min(readyHere, spare));
    spare -= Math.max(0, Math.min(readyHere, spare));
    if (goes > 0) changes.push({ set, replicas: replicas - goes });
  }
  return changes;
}

const replicasOf = (set: ReplicaSet): number => set.spec.replicas ?? 1;
const revisionOf = (set: ReplicaSet): number => Number(set.metadata.annotations?.[revisionAnnotation] ?? 0);
const emptied = (sets: readonly ReplicaSet[]): { set: ReplicaSet; replicas: number }[] =>
  sets.filter((s) => replicasOf(s) > 0).map((set) => ({ set, replicas: 0 }));

/** The ReplicaSet's template without the label that tells the versions apart. */
function sameTemplate(set: ReplicaSet, template: PodTemplate): boolean {
  const labels = { ...set.spec.template?.metadata?.labels };
  Reflect.deleteProperty(labels, hashLabel);
  const bare = { ...set.spec.template, metadata: { ...set.spec.template?.metadata, labels } };
  const wanted = {
    ...template,
    metadata: { ...template.metadata, labels: { ...template.metadata?.labels } },
  };
  return canonicalJson(bare) === canonicalJson(wanted);
}

function newSet(deployment: Deployment, replicas: number, own: readonly ReplicaSet[]): ReplicaSet {
  const { template } = deployment.spec;
  const hash = templateHash(template);
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  const revision = Math.max(0, ...own.map(revisionOf)) + 1;
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      ...(deployment.metadata.namespace === undefined ? {} : { namespace: deployment.metadata.namespace }),
      labels,
      annotations: { ...inheritedAnnotations(deployment), [revisionAnnotation]: String(revision) },
      ownerReferences: [ownerReference(deployment)],
    },
    spec: {
      replicas,
      selector: {
        ...deployment.spec.selector,
        matchLabels: { ...deployment.spec.selector.matchLabels, [hashLabel]: hash },
      },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/** maxSurge rounds up, maxUnavailable down; both zero would never move, so one may then be missing. */
function limits(deployment: Deployment, wanted: number): { surge: number; unavailable: number } {
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const surge = share(rolling?.maxSurge ?? '25%', wanted, Math.ceil);
  const unavailable = share(rolling?.maxUnavailable ?? '25%', wanted, Math.floor);
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

function share(value: string | number, of: number, round: (x: number) => number): number {
  if (typeof value === 'number') return Math.max(0, value);
  const percent = /^(\d+)%$/.exec(value)?.[1];
  return percent === undefined ? Math.max(0, Number(value) || 0) : round((Number(percent) * of) / 100);
}
