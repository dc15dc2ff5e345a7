// Kubernetes' kinds that pods refer to or that hold them: nodes, namespaces, accounts, configuration, events.
// Unknown fields are kept and not judged: these objects belong to Kubernetes, and only what this project reads or writes is
// described.
import { defineKind } from '../kind-definition.ts';
import { array, integer, openObject, optional, string, unknown } from '../schema.ts';
import { condition, count, flag, text, textMap, texts } from './kubernetes-fields.ts';

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

export const objectReference = openObject({
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
