// The Kubernetes Node of this machine, as a kubelet registers and reports it. Pure.
import type { KubernetesNode } from '../../model/mod.ts';

export type NodeFacts = {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly version: string;
  /** Where pods' addresses come from ranges of nodes: this one's, IPv4 first. */
  readonly podRanges?: readonly string[];
  /** Where the API server reaches this runner for logs, exec and port-forward. */
  readonly streamPort?: number;
};

export function nodeObject(facts: NodeFacts): KubernetesNode {
  const { podRanges = [] } = facts;
  const [podRange] = podRanges;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: facts.name,
      labels: {
        'kubernetes.io/hostname': facts.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': facts.architecture,
        ...facts.labels,
      },
      annotations: facts.annotations,
    },
    spec: podRange === undefined ? {} : { podCIDR: podRange, podCIDRs: podRanges },
  };
}

export type NodeReadiness = { readonly ready: true } | { readonly ready: false; readonly message: string };

export function nodeStatus(
  facts: NodeFacts,
  readiness: NodeReadiness,
  before: KubernetesNode['status'],
  now: string,
): NonNullable<KubernetesNode['status']> {
  const resources = {
    cpu: String(facts.cpus),
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: '110',
    'ephemeral-storage': '1Gi',
  };
  const condition = (
    type: string,
    status: 'True' | 'False',
    reason: string,
    message: string,
  ): NonNullable<NonNullable<KubernetesNode['status']>['conditions']>[number] => {
    const old = before?.conditions?.find((c) => c.type === type);
    return {
      type,
      status,
      reason,
      message,
      lastHeartbeatTime: now,
      lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
    };
  };
  const others = (before?.conditions ?? []).filter(
    (c) => !['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'].includes(c.type),
  );
  return {
    addresses: [
      ...facts.addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: facts.name },
    ],
    capacity: resources,
    allocatable: resources,
    conditions: [
      // Others (the agent) report here too.
      ...others,
      condition('MemoryPressure', 'False', 'RunnerHasSufficientMemory', 'enough memory'),
      condition('DiskPressure', 'False', 'RunnerHasNoDiskPressure', 'enough disk'),
      condition('PIDPressure', 'False', 'RunnerHasSufficientPID', 'enough process ids'),
      readiness.ready
        ? condition('Ready', 'True', 'RunnerReady', 'the runner is posting ready status')
        : condition('Ready', 'False', 'NetworkPluginNotReady', readiness.message),
    ],
    ...(facts.streamPort === undefined
      ? {}
      : { daemonEndpoints: { kubeletEndpoint: { Port: facts.streamPort } } }),
    nodeInfo: {
      machineID: '',
      systemUUID: '',
      bootID: '',
      kernelVersion: facts.kernelVersion,
      osImage: facts.osImage,
      containerRuntimeVersion: `margay://${facts.version}`,
      kubeletVersion: `v1.34.0-margay.${facts.version}`,
      kubeProxyVersion: '',
      operatingSystem: 'linux',
      architecture: facts.architecture,
    },
  };
}
