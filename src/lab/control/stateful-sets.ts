// StatefulSet: pods with names and an order. Pure. Pod i+1 comes when pod i is ready, pods go from the last to the first, and a
// changed template replaces them in that order, too; `Parallel` lifts the order of coming and going. Pods name
// their claims, as everywhere; a lab has no disks, and its nodes give an empty directory for one.
import type { ControllerRevision, Pod, StatefulSet } from '../../model/mod.ts';
import { controllerOf, isActive, isReady, podFromTemplate, type PodTemplate } from './pods.ts';
import { revisionHashLabel, revisionName, templateOf } from './revisions.ts';

export type StatefulPlan = {
  readonly create: readonly Pod[];
  readonly remove: readonly Pod[];
  readonly status: NonNullable<StatefulSet['status']>;
};

export function planStatefulSet(
  set: StatefulSet,
  pods: readonly Pod[],
  revisions: readonly ControllerRevision[] = [],
): StatefulPlan {
  const { namespace, uid, deletionTimestamp, generation } = set.metadata;
  const own = pods.filter((pod) => pod.metadata.namespace === namespace && controllerOf(pod) === uid);
  const ordinal = (pod: Pod): number => Number(/-(\d+)$/.exec(pod.metadata.name)?.[1] ?? Number.NaN);
  const byOrdinal = new Map(own.map((pod) => [ordinal(pod), pod]));
  const wanted = deletionTimestamp === undefined ? (set.spec.replicas ?? 1) : 0;
  const first = set.spec.ordinals?.start ?? 0;
  const revision = revisionName(set);
  const update = set.spec.updateStrategy;
  const firstUpdated = first + (update?.rollingUpdate?.partition ?? 0);
  // Places below the partition stay at the version from before, also when their pod has to be made anew.
  const before = set.status?.currentRevision;
  const earlier = templateOf(
    revisions.find((one) => one.metadata.name === before && controllerOf(one) === uid),
  );
  const newPod = (place: number): Pod =>
    place < firstUpdated && before !== undefined && earlier !== undefined
      ? podAt(set, place, before, earlier)
      : podAt(set, place, revision, set.spec.template);
  const isCurrent = (pod: Pod): boolean => pod.metadata.labels?.[revisionHashLabel] === revision;
  const isOrdered = set.spec.podManagementPolicy !== 'Parallel';
  const places = Array.from({ length: wanted }, (_, i) => first + i);
  const create: Pod[] = [];
  const remove: Pod[] = [];
  // One that is ready stands for all before it: with an order, nothing happens behind one that is not.
  let isSettled = true;
  for (const place of places) {
    if (isOrdered && !isSettled) break;
    const pod = byOrdinal.get(place);
    if (pod === undefined) create.push(newPod(place));
    else if (!isActive(pod) && pod.metadata.deletionTimestamp === undefined) remove.push(pod);
    if (pod === undefined || !isReady(pod)) isSettled = false;
  }
  const surplus = own
    .filter((pod) => !places.includes(ordinal(pod)))
    .toSorted((a, b) => ordinal(b) - ordinal(a));
  if (!isOrdered || deletionTimestamp !== undefined) remove.push(...surplus.filter(stays));
  else if (isSettled || surplus.length > 0) remove.push(...surplus.slice(0, 1).filter(stays));
  const isComplete = isSettled && surplus.length === 0 && create.length === 0;
  if (update?.type !== 'OnDelete') {
    const outdated = places
      .toReversed()
      .flatMap((place) => byOrdinal.get(place) ?? [])
      .filter((pod) => ordinal(pod) >= firstUpdated && !isCurrent(pod));
    // An outdated pod that never became ready holds nothing up.
    const next = outdated.find((pod) => isComplete || !isReady(pod));
    if (next !== undefined && stays(next) && !remove.includes(next)) remove.push(next);
  }
  const active = own.filter((pod) => isActive(pod) && places.includes(ordinal(pod)));
  const ready = active.filter(isReady).length;
  const updated = active.filter(isCurrent).length;
  const isDone = updated === wanted && active.length === wanted && ready === wanted;
  return {
    create,
    remove,
    status: {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      replicas: active.length,
      readyReplicas: ready,
      availableReplicas: ready,
      updatedReplicas: updated,
      currentReplicas: isDone ? wanted : active.length - updated,
      updateRevision: revision,
      currentRevision: isDone ? revision : (set.status?.currentRevision ?? revision),
      collisionCount: 0,
    },
  };
}

type Volumes = NonNullable<NonNullable<Pod['spec']>['volumes']>;

const stays = (pod: Pod): boolean => pod.metadata.deletionTimestamp === undefined;

function podAt(set: StatefulSet, place: number, revision: string, template: PodTemplate): Pod {
  const name = `${set.metadata.name}-${place}`;
  const pod = podFromTemplate(set, template, {
    labels: {
      [revisionHashLabel]: revision,
      'statefulset.kubernetes.io/pod-name': name,
      'apps.kubernetes.io/pod-index': String(place),
    },
  });
  const { generateName: _generated, ...metadata } = pod.metadata;
  const claims = (set.spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata.name ?? '');
  return {
    ...pod,
    metadata: { ...metadata, name },
    spec: {
      ...pod.spec,
      hostname: name,
      ...(claims.length === 0 ? {} : { volumes: withClaims(pod.spec.volumes ?? [], claims, name) }),
      ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}),
    },
  };
}

/** A volume of a claim takes the place of one of the same name. */
const withClaims = (volumes: Volumes, claims: readonly string[], pod: string): Volumes => [
  ...volumes.filter((volume) => !claims.includes(volume.name ?? '')),
  ...claims.map((claim) => ({ name: claim, persistentVolumeClaim: { claimName: `${claim}-${pod}` } })),
];
