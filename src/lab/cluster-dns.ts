// Cluster DNS as resources: what kubeadm sets up, with one replica. Pure.
import type { Deployment, Service } from '../model/mod.ts';

/** The tenth address of the range of services, as everywhere. */
export const clusterDnsAddress = '10.96.0.10';

const labels = { 'k8s-app': 'kube-dns' };
const namespace = 'kube-system';

/** `kubeconfig`: a file of the nodes by which the server reaches the API. */
export function clusterDnsObjects(kubeconfig: string): {
  readonly deployment: Deployment;
  readonly service: Service;
} {
  return {
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
            containers: [
              {
                name: 'coredns',
                image: 'registry.k8s.io/coredns/coredns',
                env: [{ name: 'KUBECONFIG', value: kubeconfig }],
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
