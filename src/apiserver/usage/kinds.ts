// NodeMetrics and PodMetrics of metrics.k8s.io: what `kubectl top` reads. They are never stored: every answer is asked of the nodes.
import { kindOf } from '../schema/meta.ts';
import { anything, text } from '../schema/notation.ts';
import type { ServedKind } from '../types.ts';
import { builtin } from '../kinds/builtin.ts';

const measured = { timestamp: text, window: text };
const common = { group: 'metrics.k8s.io', version: 'v1beta1' };

export const usageKinds = (): readonly ServedKind[] =>
  [
    builtin({
      ...common,
      kind: 'NodeMetrics',
      plural: 'nodes',
      namespaced: false,
      schema: kindOf({ ...measured, usage: anything }),
    }),
    builtin({
      ...common,
      kind: 'PodMetrics',
      plural: 'pods',
      schema: kindOf({ ...measured, containers: anything }),
    }),
  ].map((kind) => ({ ...kind, isMeasured: true }));
