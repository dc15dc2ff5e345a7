// Kubernetes' kinds as far as they are used here. Unknown fields are kept and not judged: these objects belong to
// Kubernetes, and only what this project reads or writes is described.
import { defineKind } from '../kind-definition.ts';
import {
  array,
  boolean,
  integer,
  map,
  numberOrString,
  openObject,
  optional,
  string,
  unknown,
} from '../schema.ts';
import { clusterPolicyFields, kubernetesPolicyFields, labelSelector } from './kubernetes-policy.ts';

const text = () => optional(string());
const flag = () => optional(boolean());
const count = () => optional(integer());
const texts = () => optional(array(string()));
const textMap = () => optional(map(string()));

const condition = openObject({
  type: string(),
  status: string(),
  reason: text(),
  message: text(),
  lastTransitionTime: text(),
  lastProbeTime: text(),
  lastUpdateTime: text(),
  lastHeartbeatTime: text(),
});

const envVar = openObject({ name: string(), value: text(), valueFrom: optional(unknown()) });
const containerPort = openObject({
  name: text(),
  containerPort: integer(),
  hostPort: count(),
  hostIP: text(),
  protocol: text(),
});
const probe = openObject({
  httpGet: optional(
    openObject({
      path: text(),
      port: numberOrString(),
      host: text(),
      scheme: text(),
      httpHeaders: optional(array(openObject({ name: string(), value: text() }))),
    }),
  ),
  tcpSocket: optional(openObject({ port: numberOrString(), host: text() })),
  exec: optional(openObject({ command: texts() })),
  initialDelaySeconds: count(),
  periodSeconds: count(),
  timeoutSeconds: count(),
  successThreshold: count(),
  failureThreshold: count(),
});
const container = openObject({
  name: string(),
  image: text(),
  imagePullPolicy: text(),
  command: texts(),
  args: texts(),
  workingDir: text(),
  stdin: flag(),
  stdinOnce: flag(),
  tty: flag(),
  env: optional(array(envVar)),
  ports: optional(array(containerPort)),
  resources: optional(unknown()),
  restartPolicy: text(),
  startupProbe: optional(probe),
  readinessProbe: optional(probe),
  livenessProbe: optional(probe),
});

const podSpec = openObject({
  nodeName: text(),
  nodeSelector: textMap(),
  hostNetwork: flag(),
  containers: array(container),
  initContainers: optional(array(container)),
  serviceAccountName: text(),
  restartPolicy: text(),
  terminationGracePeriodSeconds: count(),
  activeDeadlineSeconds: count(),
  hostname: text(),
  subdomain: text(),
  dnsPolicy: text(),
  dnsConfig: optional(
    openObject({
      nameservers: texts(),
      searches: texts(),
      options: optional(array(openObject({ name: text(), value: text() }))),
    }),
  ),
  schedulerName: text(),
  priority: count(),
  tolerations: optional(
    array(
      openObject({
        key: text(),
        operator: text(),
        value: text(),
        effect: text(),
        tolerationSeconds: count(),
      }),
    ),
  ),
  affinity: optional(unknown()),
  volumes: optional(unknown()),
});

const containerState = openObject({
  waiting: optional(openObject({ reason: text(), message: text() })),
  running: optional(openObject({ startedAt: text() })),
  terminated: optional(
    openObject({
      exitCode: integer(),
      signal: count(),
      reason: text(),
      message: text(),
      startedAt: text(),
      finishedAt: text(),
      containerID: text(),
    }),
  ),
});
const containerStatus = openObject({
  name: string(),
  image: text(),
  imageID: text(),
  containerID: text(),
  ready: boolean(),
  started: flag(),
  restartCount: integer(),
  state: optional(containerState),
  lastState: optional(containerState),
});

const podStatus = openObject({
  phase: text(),
  reason: text(),
  message: text(),
  podIP: text(),
  podIPs: optional(array(openObject({ ip: string() }))),
  hostIP: text(),
  hostIPs: optional(array(openObject({ ip: string() }))),
  startTime: text(),
  qosClass: text(),
  conditions: optional(array(condition)),
  containerStatuses: optional(array(containerStatus)),
  initContainerStatuses: optional(array(containerStatus)),
});

export const podTemplate = openObject({
  metadata: optional(
    openObject({ name: text(), namespace: text(), labels: textMap(), annotations: textMap() }),
  ),
  spec: podSpec,
});

export const pod = defineKind({
  kind: 'Pod',
  apiVersion: 'v1',
  plural: 'pods',
  shortNames: ['po'],
  namespaced: true,
  description: 'A pod.',
  fields: { spec: podSpec, status: optional(podStatus) },
});

export const kubernetesNode = defineKind({
  name: 'KubernetesNode',
  kind: 'Node',
  apiVersion: 'v1',
  plural: 'nodes',
  shortNames: ['no'],
  description: 'A node as Kubernetes sees it.',
  fields: {
    spec: optional(
      openObject({
        podCIDR: text(),
        podCIDRs: texts(),
        providerID: text(),
        unschedulable: flag(),
        taints: optional(
          array(openObject({ key: string(), value: text(), effect: string(), timeAdded: text() })),
        ),
      }),
    ),
    status: optional(
      openObject({
        addresses: optional(array(openObject({ type: string(), address: string() }))),
        capacity: textMap(),
        allocatable: textMap(),
        conditions: optional(array(condition)),
        daemonEndpoints: optional(openObject({ kubeletEndpoint: optional(openObject({ Port: integer() })) })),
        nodeInfo: optional(
          openObject({
            machineID: text(),
            systemUUID: text(),
            bootID: text(),
            kernelVersion: text(),
            osImage: text(),
            containerRuntimeVersion: text(),
            kubeletVersion: text(),
            kubeProxyVersion: text(),
            operatingSystem: text(),
            architecture: text(),
          }),
        ),
      }),
    ),
  },
});

export const namespace = defineKind({
  kind: 'Namespace',
  apiVersion: 'v1',
  plural: 'namespaces',
  shortNames: ['ns'],
  description: 'A namespace.',
  fields: {
    spec: optional(openObject({ finalizers: texts() })),
    status: optional(openObject({ phase: text(), conditions: optional(array(condition)) })),
  },
});

export const serviceAccount = defineKind({
  kind: 'ServiceAccount',
  apiVersion: 'v1',
  plural: 'serviceaccounts',
  shortNames: ['sa'],
  namespaced: true,
  description: 'A service account.',
  fields: { automountServiceAccountToken: flag() },
});

export const secret = defineKind({
  kind: 'Secret',
  apiVersion: 'v1',
  plural: 'secrets',
  namespaced: true,
  description: 'A secret; values are base64.',
  fields: { type: text(), data: textMap(), stringData: textMap(), immutable: flag() },
});

export const configMap = defineKind({
  kind: 'ConfigMap',
  apiVersion: 'v1',
  plural: 'configmaps',
  shortNames: ['cm'],
  namespaced: true,
  description: 'A map of texts.',
  fields: { data: textMap(), binaryData: textMap(), immutable: flag() },
});

export const service = defineKind({
  kind: 'Service',
  apiVersion: 'v1',
  plural: 'services',
  shortNames: ['svc'],
  namespaced: true,
  description: 'A service.',
  fields: {
    spec: openObject({
      type: text(),
      clusterIP: text(),
      clusterIPs: texts(),
      externalIPs: texts(),
      externalName: text(),
      externalTrafficPolicy: text(),
      internalTrafficPolicy: text(),
      ipFamilies: texts(),
      ipFamilyPolicy: text(),
      loadBalancerIP: text(),
      loadBalancerClass: text(),
      loadBalancerSourceRanges: texts(),
      publishNotReadyAddresses: flag(),
      selector: textMap(),
      sessionAffinity: text(),
      ports: optional(
        array(
          openObject({
            name: text(),
            protocol: text(),
            appProtocol: text(),
            port: integer(),
            targetPort: optional(numberOrString()),
            nodePort: count(),
          }),
        ),
      ),
    }),
    status: optional(
      openObject({
        loadBalancer: optional(
          openObject({ ingress: optional(array(openObject({ ip: text(), hostname: text() }))) }),
        ),
        conditions: optional(array(condition)),
      }),
    ),
  },
});

export const endpointSlice = defineKind({
  kind: 'EndpointSlice',
  apiVersion: 'discovery.k8s.io/v1',
  plural: 'endpointslices',
  namespaced: true,
  description: 'Endpoints of a service.',
  fields: {
    addressType: string(),
    endpoints: array(
      openObject({
        addresses: array(string()),
        conditions: optional(openObject({ ready: flag(), serving: flag(), terminating: flag() })),
        hostname: text(),
        nodeName: text(),
        zone: text(),
        targetRef: optional(openObject({ kind: text(), namespace: text(), name: text(), uid: text() })),
      }),
    ),
    ports: optional(
      array(openObject({ name: text(), protocol: text(), port: count(), appProtocol: text() })),
    ),
  },
});

const workloadStatus = {
  observedGeneration: count(),
  replicas: count(),
  readyReplicas: count(),
  availableReplicas: count(),
  conditions: optional(array(condition)),
};

export const deployment = defineKind({
  kind: 'Deployment',
  apiVersion: 'apps/v1',
  plural: 'deployments',
  shortNames: ['deploy'],
  namespaced: true,
  description: 'A Deployment: replicas of a pod, replaced step by step.',
  fields: {
    spec: openObject({
      replicas: count(),
      selector: labelSelector,
      template: podTemplate,
      paused: flag(),
      minReadySeconds: count(),
      progressDeadlineSeconds: count(),
      revisionHistoryLimit: count(),
      strategy: optional(
        openObject({
          type: text(),
          rollingUpdate: optional(
            openObject({ maxSurge: optional(numberOrString()), maxUnavailable: optional(numberOrString()) }),
          ),
        }),
      ),
    }),
    status: optional(
      openObject({
        ...workloadStatus,
        updatedReplicas: count(),
        unavailableReplicas: count(),
        collisionCount: count(),
      }),
    ),
  },
});

export const replicaSet = defineKind({
  kind: 'ReplicaSet',
  apiVersion: 'apps/v1',
  plural: 'replicasets',
  shortNames: ['rs'],
  namespaced: true,
  description: 'A ReplicaSet: a number of equal pods.',
  fields: {
    spec: openObject({
      replicas: count(),
      selector: labelSelector,
      template: optional(podTemplate),
      minReadySeconds: count(),
    }),
    status: optional(openObject({ ...workloadStatus, fullyLabeledReplicas: count() })),
  },
});

export const daemonSet = defineKind({
  kind: 'DaemonSet',
  apiVersion: 'apps/v1',
  plural: 'daemonsets',
  shortNames: ['ds'],
  namespaced: true,
  description: 'A DaemonSet: one pod on every node.',
  fields: {
    spec: openObject({
      selector: labelSelector,
      template: podTemplate,
      minReadySeconds: count(),
      revisionHistoryLimit: count(),
      updateStrategy: optional(unknown()),
    }),
    status: optional(
      openObject({
        observedGeneration: count(),
        currentNumberScheduled: count(),
        desiredNumberScheduled: count(),
        numberAvailable: count(),
        numberMisscheduled: count(),
        numberReady: count(),
        numberUnavailable: count(),
        updatedNumberScheduled: count(),
        conditions: optional(array(condition)),
      }),
    ),
  },
});

export const statefulSet = defineKind({
  kind: 'StatefulSet',
  apiVersion: 'apps/v1',
  plural: 'statefulsets',
  shortNames: ['sts'],
  namespaced: true,
  description: 'A StatefulSet: pods with names and an order.',
  fields: {
    spec: openObject({
      replicas: count(),
      selector: labelSelector,
      template: podTemplate,
      serviceName: text(),
      podManagementPolicy: text(),
      ordinals: optional(openObject({ start: count() })),
      revisionHistoryLimit: count(),
      updateStrategy: optional(
        openObject({ type: text(), rollingUpdate: optional(openObject({ partition: count() })) }),
      ),
    }),
    status: optional(
      openObject({
        ...workloadStatus,
        updatedReplicas: count(),
        currentReplicas: count(),
        currentRevision: text(),
        updateRevision: text(),
        collisionCount: count(),
      }),
    ),
  },
});

export const job = defineKind({
  kind: 'Job',
  apiVersion: 'batch/v1',
  plural: 'jobs',
  namespaced: true,
  description: 'A Job: pods that run to their end.',
  fields: {
    spec: openObject({
      parallelism: count(),
      completions: count(),
      completionMode: text(),
      backoffLimit: count(),
      activeDeadlineSeconds: count(),
      ttlSecondsAfterFinished: count(),
      suspend: flag(),
      selector: optional(labelSelector),
      template: podTemplate,
    }),
    status: optional(
      openObject({
        active: count(),
        ready: count(),
        succeeded: count(),
        failed: count(),
        startTime: text(),
        completionTime: text(),
        conditions: optional(array(condition)),
      }),
    ),
  },
});

const objectReference = openObject({
  apiVersion: text(),
  kind: text(),
  namespace: text(),
  name: text(),
  uid: text(),
  resourceVersion: text(),
  fieldPath: text(),
});

export const event = defineKind({
  kind: 'Event',
  apiVersion: 'v1',
  plural: 'events',
  shortNames: ['ev'],
  namespaced: true,
  description: 'Something that happened to an object.',
  fields: {
    involvedObject: objectReference,
    type: text(),
    reason: text(),
    message: text(),
    action: text(),
    count: count(),
    firstTimestamp: text(),
    lastTimestamp: text(),
    eventTime: optional(unknown()),
    reportingComponent: text(),
    reportingInstance: text(),
    source: optional(openObject({ component: text(), host: text() })),
  },
});

export const kubernetesNetworkPolicy = defineKind({
  name: 'KubernetesNetworkPolicy',
  kind: 'NetworkPolicy',
  apiVersion: 'networking.k8s.io/v1',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  namespaced: true,
  description: 'A network policy as Kubernetes defines it.',
  fields: { spec: openObject(kubernetesPolicyFields) },
});

export const clusterNetworkPolicy = defineKind({
  kind: 'ClusterNetworkPolicy',
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  plural: 'clusternetworkpolicies',
  shortNames: ['kcnp'],
  description: 'A network policy of the cluster’s administrator, as Kubernetes defines it.',
  fields: { spec: openObject(clusterPolicyFields) },
});
