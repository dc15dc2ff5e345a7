// Cluster DNS as resources: what kubeadm sets up, with one replica. Pure.
import type { Deployment, Service, ServiceAccount } from '../model/mod.ts';

/** The tenth address of the range of services, as everywhere. */
export const clusterDnsAddress = '10.96.0.10';

const labels = { 'k8s-app': 'kube-dns' };
const namespace = 'kube-system';

const rbac = 'rbac.authorization.k8s.io';

export function clusterDnsObjects(): {
  readonly account: ServiceAccount;
  /** What the account may read, as bodies for the paths they are created at. */
  readonly access: readonly { readonly path: string; readonly body: unknown }[];
  readonly deployment: Deployment;
  readonly service: Service;
} {
  const of = (kind: string) => ({ apiVersion: `${rbac}/v1`, kind, metadata: { name: 'system:coredns' } });
  const verbs = ['list', 'watch', 'get'];
  return {
    account: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'coredns', namespace } },
    access: [
      {
        path: `/apis/${rbac}/v1/clusterroles`,
        body: {
          ...of('ClusterRole'),
          rules: [
            { apiGroups: [''], resources: ['services'], verbs },
            { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs },
          ],
        },
      },
      {
        path: `/apis/${rbac}/v1/clusterrolebindings`,
        body: {
          ...of('ClusterRoleBinding'),
          roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'system:coredns' },
          subjects: [{ kind: 'ServiceAccount', name: 'coredns', namespace }],
        },
      },
    ],
    deployment: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'coredns', namespace, labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'coredns',
            containers: [
              {
                name: 'coredns',
                image: 'registry.k8s.io/coredns/coredns',
                ports: [
                  { name: 'dns', containerPort: 53, protocol: 'UDP' },
                  { name: 'dns-tcp', containerPort: 53, protocol: 'TCP' },
                ],
              },
            ],
          },
        },
      },
    },
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'kube-dns',
        namespace,
        labels: { ...labels, 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
      },
      spec: {
        clusterIP: clusterDnsAddress,
        selector: labels,
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
          { name: 'dns-tcp', port: 53, protocol: 'TCP', targetPort: 53 },
        ],
      },
    },
  };
}
