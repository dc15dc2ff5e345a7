// ReplicaSet: a number of equal pods. Pure: given what is there, what to create, what to delete, which status to show.
import type { Pod, ReplicaSet } from '../../model/mod.ts';
import { controllerOf, isActive, isReady, podFromTemplate } from './pods.ts';
import { matches } from './selectors.ts';

export type ReplicaPlan = {
  readonly create: readonly Pod[];
  readonly remove: readonly Pod[];
  readonly status: NonNullable<ReplicaSet['status']>;
};

export function planReplicaSet(set: ReplicaSet, pods: readonly Pod[]): ReplicaPlan {
  const own = pods.filter(
    (pod) =>
      pod.metadata.namespace === set.metadata.namespace &&
      controllerOf(pod) === set.metadata.uid &&
      matches(set.spec.selector, pod.metadata.labels),
  );
  const active = own.filter(isActive);
  const wanted = set.metadata.deletionTimestamp === undefined ? (set.spec.replicas ?? 1) : 0;
  const ready = active.filter(isReady).length;
  const { template } = set.spec;
  const missing = template === undefined ? 0 : Math.max(0, wanted - active.length);
  const surplus = Math.max(0, active.length - wanted);
  return {
    create: Array.from({ length: missing }, () =>
      podFromTemplate(set, template as NonNullable<typeof template>),
    ),
    remove: leastUseful(active).slice(0, surplus),
    status: {
      replicas: active.length,
      fullyLabeledReplicas: active.length,
      readyReplicas: ready,
      availableReplicas: ready,
      ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
    },
  };
}

/** Not placed first, then not ready, then from the node with the most of them, then the youngest. */
export function leastUseful(pods: readonly Pod[]): Pod[] {
  const perNode = new Map<string, number>();
  for (const pod of pods) {
    const node = pod.spec.nodeName ?? '';
    perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const rank = (pod: Pod): readonly number[] => [
    pod.spec.nodeName === undefined ? 0 : 1,
    isReady(pod) ? 1 : 0,
    -(perNode.get(pod.spec.nodeName ?? '') ?? 0),
    -Date.parse(pod.metadata.creationTimestamp ?? '1970-01-01T00:00:00Z'),
  ];
  return [...pods].sort((a, b) => {
    const left = rank(a);
    const right = rank(b);
    for (let i = 0; i < left.length; i++) {
      const difference = (left[i] ?? 0) - (right[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return a.metadata.name < b.metadata.name ? -1 : 1;
  });
}
