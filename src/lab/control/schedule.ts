// The scheduler's decision for one pod: a ready node that its nodeSelector and tolerations allow, the one with the fewest pods of the
// same owner, then with the fewest pods, then by name. Pure.
import type { KubernetesNode, Pod } from '../../model/mod.ts';
import { controllerOf, isActive, isNodeReady } from './pods.ts';
import { hasLabels } from './selectors.ts';
import { untolerated } from './taints.ts';

export type Placement =
  | { readonly node: string }
  /** As kubectl describe shows it: `0/4 nodes are available: …`. */
  | { readonly reason: string };

export function place(pod: Pod, nodes: readonly KubernetesNode[], pods: readonly Pod[]): Placement {
  const notReady = nodes.filter((n) => !isNodeReady(n));
  const cordoned = nodes.filter((n) => isNodeReady(n) && n.spec?.unschedulable === true);
  const open = nodes.filter((n) => isNodeReady(n) && n.spec?.unschedulable !== true);
  const selected = open.filter((n) => hasLabels(pod.spec.nodeSelector, n.metadata.labels));
  const fitting = selected.filter((n) => untolerated(n, pod.spec.tolerations) === undefined);
  if (fitting.length === 0) {
    const parts = [
      [notReady.length, 'not ready'],
      [cordoned.length, 'unschedulable'],
      [open.length - selected.length, "didn't match the pod's node selector"],
      ...taintCounts(selected, pod),
    ] as const;
    const why = parts.filter(([n]) => n > 0).map(([n, text]) => `${n} ${text}`);
    return {
      reason: `0/${nodes.length} nodes are available${why.length === 0 ? '' : `: ${why.join(', ')}`}.`,
    };
  }
  const owner = controllerOf(pod);
  const counts = new Map(fitting.map((n) => [n.metadata.name, { same: 0, all: 0 }]));
  for (const other of pods) {
    const count = counts.get(other.spec.nodeName ?? '');
    if (count === undefined || !isActive(other)) continue;
    count.all++;
    if (owner !== undefined && controllerOf(other) === owner) count.same++;
  }
  const [best] = [...counts].sort(
    ([nameA, a], [nameB, b]) => a.same - b.same || a.all - b.all || (nameA < nameB ? -1 : 1),
  );
  return { node: best?.[0] ?? '' };
}

/** `2 had untolerated taint {disk: slow}` for each taint. */
function taintCounts(nodes: readonly KubernetesNode[], pod: Pod): readonly (readonly [number, string])[] {
  const counts = new Map<string, number>();
  for (const node of nodes) {
    const taint = untolerated(node, pod.spec.tolerations);
    if (taint === undefined) continue;
    const text = `had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => [count, text]);
}
