// Kubernetes' label selectors as selectors of Calico (RS-132).
import type { ValueOf } from '../schema.ts';
import type { labelSelector } from '../kinds/kubernetes-policy.ts';
import { calicoLabels } from './types.ts';

export type KubernetesSelector = ValueOf<typeof labelSelector>;

/** Selectors of pods select nothing but pods: what other orchestrators run, and network sets, stay out. */
const podsOnly = `${calicoLabels.orchestrator} == 'k8s'`;

/** A selector of pods; an absent one selects all pods. */
export const podSelectorText = (selector: KubernetesSelector | undefined | null): string =>
  [podsOnly, ...requirements(selector)].join(' && ');

/** A selector of namespaces: empty when there is none, all() when there is one without requirements. */
export function namespaceSelectorText(selector: KubernetesSelector | undefined | null): string {
  if (selector === undefined || selector === null) return '';
  return requirements(selector).join(' && ') || 'all()';
}

function requirements(selector: KubernetesSelector | undefined | null): readonly string[] {
  const equal = Object.entries(selector?.matchLabels ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key} == '${value}'`);
  const others = (selector?.matchExpressions ?? []).flatMap(({ key, operator, values = [] }) => {
    const set = `{ ${values.map((value) => `'${value}'`).join(', ')} }`;
    switch (operator) {
      case 'In':
        return [`${key} in ${set}`];
      case 'NotIn':
        return [`${key} not in ${set}`];
      case 'Exists':
        return [`has(${key})`];
      case 'DoesNotExist':
        return [`! has(${key})`];
      default:
        return [];
    }
  });
  return [...equal, ...others];
}
