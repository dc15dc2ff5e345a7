// Kinds that are not stored: Calico's Node is seen in the Kubernetes Node (RS-061), a WorkloadEndpoint in a Pod that has
// an address (RS-072). The conversions are the model's; here is when a source counts, and how names and selectors map.
import {
  isFinishedPod,
  isWorkloadPod,
  kubernetesNodeToNode,
  type KubernetesNode,
  type Node,
  nodeToKubernetesNode,
  parseWorkloadEndpointName,
  type Pod,
  podHasAddress,
  podToWorkloadEndpoint,
  type KindName,
} from '../../model/mod.ts';
import type { ListOptions, ObjectName } from '../types.ts';
import type { StoredObject } from './resources.ts';

type Selection = Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>;

export type View = {
  readonly source: KindName;
  /** The view of a source; undefined when there is none (any more). */
  show(source: StoredObject): StoredObject | undefined;
  /** The view by which a source that has none any more was known, if it can have had one. */
  gone(source: StoredObject): StoredObject | undefined;
  /** Where to look for a view; undefined when no source can have that name. */
  sourceName(name: ObjectName): ObjectName | undefined;
  selection<S extends Selection>(selection: S): S;
  /** The source with what the view says; absent when the view cannot be written. */
  readonly write?: (view: StoredObject, source: StoredObject) => StoredObject;
  /** Why create, delete and (without `write`) update are refused, and what to do instead. */
  readonly readOnly: string;
};

const nodeView: View = {
  source: 'KubernetesNode',
  show: (source) => as(kubernetesNodeToNode(source as unknown as KubernetesNode)),
  gone: (source) => as(kubernetesNodeToNode(source as unknown as KubernetesNode)),
  sourceName: (name) => name,
  selection: (selection) => selection,
  write: (view, source) =>
    as(nodeToKubernetesNode(view as unknown as Node, source as unknown as KubernetesNode)),
  readOnly: 'Nodes are created and deleted in Kubernetes.',
};

const workloadEndpointView: View = {
  source: 'Pod',
  show: (source) => {
    const pod = source as unknown as Pod;
    return isWorkloadPod(pod) && podHasAddress(pod) && !isFinishedPod(pod) ? endpointOf(pod) : undefined;
  },
  gone: (source) => {
    const pod = source as unknown as Pod;
    return isWorkloadPod(pod) ? endpointOf(pod) : undefined;
  },
  sourceName: ({ name, namespace }) => {
    const ids = parseWorkloadEndpointName(name);
    if (!ids.ok || ids.value.orchestrator !== 'k8s' || !ids.value.pod) return undefined;
    return { name: ids.value.pod, ...(namespace === undefined ? {} : { namespace }) };
  },
  selection: (selection) => {
    if (selection.fieldSelector === undefined) return selection;
    const fieldSelector = selection.fieldSelector.replaceAll(/(^|,)spec\.node(?==|!)/g, '$1spec.nodeName');
    return { ...selection, fieldSelector };
  },
  readOnly: 'Workload endpoints are views of pods; change the pod.',
};

export const viewOf = (kind: KindName): View | undefined =>
  kind === 'Node' ? nodeView : kind === 'WorkloadEndpoint' ? workloadEndpointView : undefined;

/** A pod whose annotations do not parse has no endpoint: it is reported where it is made, not at every look. */
function endpointOf(pod: Pod): StoredObject | undefined {
  const endpoint = podToWorkloadEndpoint(pod);
  return endpoint.ok ? as(endpoint.value) : undefined;
}

const as = (object: object): StoredObject => object as unknown as StoredObject;
