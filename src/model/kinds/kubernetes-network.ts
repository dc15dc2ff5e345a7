// Kubernetes' kinds of networking: services, their endpoints, policies.
// Unknown fields are kept and not judged: these objects belong to Kubernetes, and only what this project reads or writes is
// described.
import { defineKind } from '../kind-definition.ts';
import { array, integer, numberOrString, openObject, optional, string } from '../schema.ts';
import { condition, count, flag, text, textMap, texts } from './kubernetes-fields.ts';
import { clusterPolicyFields, kubernetesPolicyFields } from './kubernetes-policy.ts';

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
