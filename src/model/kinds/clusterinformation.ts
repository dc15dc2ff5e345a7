// ClusterInformation: what the cluster is. The object is named `default`.
import { defineKind } from '../kind-definition.ts';
import { boolean, object, optional, string } from '../schema.ts';

export const clusterinformation = defineKind({
  kind: 'ClusterInformation',
  plural: 'clusterinformations',
  shortNames: ['clusterinfo'],
  description: 'What the cluster is, and whether its datastore is ready. The object is named `default`.',
  fields: {
    spec: object({
      clusterGUID: optional(string({ description: 'Identifies the cluster.' })),
      clusterType: optional(string({ description: 'Comma-separated words, e.g. `k8s,bgp,kdd`.' })),
      calicoVersion: optional(string({ description: 'Version of the software that wrote it.' })),
      datastoreReady: optional(boolean({ description: 'While false, no pods are added and agents wait.' })),
      variant: optional(string({ description: 'Flavour of the product.' })),
    }),
  },
});
