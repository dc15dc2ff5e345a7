// Taints of nodes: which of them keep a pod away, or send it away. Pure.
import type { KubernetesNode, Pod } from '../../model/mod.ts';

type Taint = NonNullable<NonNullable<KubernetesNode['spec']>['taints']>[number];
type Toleration = NonNullable<Pod['spec']['tolerations']>[number];
type Effect = 'NoSchedule' | 'NoExecute';

/** States of a node that a DaemonSet's pods live with (they tell of them, or end them). */
const ofDaemons: readonly Toleration[] = [
  ...['not-ready', 'unreachable'].map((key) => tolerated(key, 'NoExecute')),
  ...['disk-pressure', 'memory-pressure', 'pid-pressure', 'unschedulable'].map((key) =>
    tolerated(key, 'NoSchedule'),
  ),
];
function tolerated(key: string, effect: Effect): Toleration {
  return { key: `node.kubernetes.io/${key}`, operator: 'Exists', effect };
}

/** A pod template's tolerations, with those that every pod of a DaemonSet has. */
export function daemonTolerations({ tolerations = [], hostNetwork }: Pod['spec']): readonly Toleration[] {
  const added =
    hostNetwork === true ? [...ofDaemons, tolerated('network-unavailable', 'NoSchedule')] : ofDaemons;
  return [
    ...tolerations,
    ...added.filter(
      ({ key, effect }) => !tolerations.some((one) => one.key === key && one.effect === effect),
    ),
  ];
}

function tolerates(
  { key = '', operator = 'Equal', value = '', effect = '' }: Toleration,
  taint: Taint,
): boolean {
  if (effect !== '' && effect !== taint.effect) return false;
  // Without a key only `Exists` means something: everything.
  if (key === '') return operator === 'Exists';
  return key === taint.key && (operator === 'Exists' || value === (taint.value ?? ''));
}

/** The first taint of these effects that the pod does not tolerate. */
export const untolerated = (
  node: KubernetesNode,
  tolerations: readonly Toleration[] = [],
  effects: readonly Effect[] = ['NoSchedule', 'NoExecute'],
): Taint | undefined =>
  (node.spec?.taints ?? []).find(
    (taint) =>
      effects.some((effect) => effect === taint.effect) &&
      !tolerations.some((toleration) => tolerates(toleration, taint)),
  );
