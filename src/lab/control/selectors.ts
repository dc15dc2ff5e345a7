// Label selectors as objects, as Deployments, ReplicaSets and DaemonSets carry them.
import type { ReplicaSet } from '../../model/mod.ts';

export type LabelSelector = ReplicaSet['spec']['selector'];
export type Labels = Readonly<Record<string, string>>;

/** An empty selector matches everything; an unknown operator matches nothing. */
export function matches(selector: LabelSelector, labels: Labels = {}): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {}))
    if (labels[key] !== value) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key];
    if (operator === 'In') return value !== undefined && values.includes(value);
    if (operator === 'NotIn') return value === undefined || !values.includes(value);
    if (operator === 'Exists') return value !== undefined;
    return operator === 'DoesNotExist' && value === undefined;
  });
}

/** All labels of `wanted` are there: what a nodeSelector means. */
export const hasLabels = (wanted: Labels = {}, labels: Labels = {}): boolean =>
  Object.entries(wanted).every(([key, value]) => labels[key] === value);
