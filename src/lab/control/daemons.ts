// DaemonSet: one pod on every node that its template's nodeSelector and tolerations allow. Pure. A changed template replaces the pods of
// one node after the other.
import type { DaemonSet, KubernetesNode, Pod } from '../../model/mod.ts';
import { controllerOf, isActive, isReady, podFromTemplate } from './pods.ts';
import { revisionHash, revisionHashLabel } from './revisions.ts';
import { hasLabels } from './selectors.ts';
import { daemonTolerations, untolerated } from './taints.ts';

export type DaemonPlan = {
  readonly create: readonly Pod[];
  readonly remove: readonly Pod[];
  readonly status: NonNullable<DaemonSet['status']>;
};

export function planDaemonSet(
  set: DaemonSet,
  nodes: readonly KubernetesNode[],
  pods: readonly Pod[],
): DaemonPlan {
  const own = pods.filter((pod) => controllerOf(pod) === set.metadata.uid);
  const active = own.filter(isActive);
  const hash = revisionHash(set);
  const tolerations = daemonTolerations(set.spec.template.spec);
  const there = new Set(own.map((pod) => pod.spec.nodeName));
  // A pod that is there already stays when a taint only keeps new ones away.
  const mayRun = (node: KubernetesNode): boolean =>
    hasLabels(set.spec.template.spec.nodeSelector, node.metadata.labels) &&
    untolerated(node, tolerations, there.has(node.metadata.name) ? ['NoExecute'] : undefined) === undefined;
  const wanted = set.metadata.deletionTimestamp === undefined ? nodes.filter(mayRun) : [];
  const wantedNames = new Set(wanted.map((n) => n.metadata.name));
  const create: Pod[] = [];
  const remove = active.filter((pod) => !wantedNames.has(pod.spec.nodeName ?? ''));
  const isCurrent = (pod: Pod): boolean => pod.metadata.labels?.[revisionHashLabel] === hash;
  const template = {
    ...set.spec.template,
    spec: { ...set.spec.template.spec, tolerations: [...tolerations] },
  };
  let outdatedReady: Pod | undefined;
  for (const node of wanted) {
    // A pod that is still going keeps its place: two at a time would be one too many.
    const here = own.filter((pod) => pod.spec.nodeName === node.metadata.name);
    const [keep, ...more] = here.filter(isActive);
    remove.push(...more, ...here.filter((p) => p.metadata.deletionTimestamp === undefined && !isActive(p)));
    if (here.length === 0)
      create.push(
        podFromTemplate(set, template, {
          nodeName: node.metadata.name,
          labels: { [revisionHashLabel]: hash },
        }),
      );
    else if (keep !== undefined && !isCurrent(keep)) {
      if (isReady(keep)) outdatedReady ??= keep;
      else remove.push(keep);
    }
  }
  const ready = active.filter((p) => isReady(p) && wantedNames.has(p.spec.nodeName ?? '')).length;
  if (outdatedReady !== undefined && ready === wanted.length) remove.push(outdatedReady);
  return {
    create,
    remove,
    status: {
      ...(set.metadata.generation === undefined ? {} : { observedGeneration: set.metadata.generation }),
      desiredNumberScheduled: wanted.length,
      currentNumberScheduled: active.length,
      numberMisscheduled: active.filter((p) => !wantedNames.has(p.spec.nodeName ?? '')).length,
      updatedNumberScheduled: active.filter(isCurrent).length,
      numberReady: ready,
      numberAvailable: ready,
      numberUnavailable: wanted.length - ready,
    },
  };
}
