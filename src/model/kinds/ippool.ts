// IPPool: a range that addresses of pods and tunnels come from, and how packets between its addresses travel.
import { defineKind } from '../kind-definition.ts';
import { array, boolean, integer, object, oneOf, optional, string } from '../schema.ts';

const modes = ['Never', 'Always', 'CrossSubnet'] as const;

export const ippool = defineKind({
  kind: 'IPPool',
  plural: 'ippools',
  shortNames: ['ipp', 'pool'],
  description: 'A range of addresses for pods and tunnels, and how packets between its addresses travel.',
  fields: {
    spec: object({
      cidr: string({ format: 'cidr', description: 'The range. Cannot be changed.' }),
      blockSize: optional(
        integer({
          description:
            'Prefix length of the blocks that nodes take from the pool: 20 to 32, or 116 to 128 for IPv6. 26 and 122 when absent. Cannot be changed.',
        }),
      ),
      ipipMode: optional(
        oneOf(modes, { default: 'Never', description: 'When packets between nodes travel inside IPIP.' }),
      ),
      vxlanMode: optional(
        oneOf(modes, { default: 'Never', description: 'When packets between nodes travel inside VXLAN.' }),
      ),
      natOutgoing: optional(
        boolean({
          description:
            'Whether traffic from the pool to addresses in no pool leaves with the node’s address.',
        }),
      ),
      disabled: optional(boolean({ description: 'No new addresses are given out.' })),
      disableBGPExport: optional(boolean({ description: 'Routes of the pool are not announced by BGP.' })),
      nodeSelector: optional(
        string({ format: 'selector', default: 'all()', description: 'The nodes that may use the pool.' }),
      ),
      namespaceSelector: optional(
        string({
          format: 'selector',
          description: 'The namespaces whose pods may use the pool; all when absent.',
        }),
      ),
      allowedUses: optional(
        array(oneOf(['Workload', 'Tunnel', 'LoadBalancer']), {
          default: ['Workload', 'Tunnel'],
          description: 'What addresses of the pool may be used for.',
        }),
      ),
      assignmentMode: optional(
        oneOf(['Automatic', 'Manual'], {
          default: 'Automatic',
          description: 'Manual: only when the pool or the address is asked for.',
        }),
      ),
    }),
    status: optional(
      object({
        conditions: optional(
          array(
            object({
              type: string(),
              status: oneOf(['True', 'False', 'Unknown']),
              reason: string(),
              message: string(),
              lastTransitionTime: string(),
              observedGeneration: optional(integer()),
            }),
          ),
        ),
      }),
    ),
  },
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr' },
    { name: 'VXLAN', type: 'string', path: '.spec.vxlanMode' },
    { name: 'IPIP', type: 'string', path: '.spec.ipipMode' },
    { name: 'NAT', type: 'boolean', path: '.spec.natOutgoing' },
    { name: 'Allocatable', type: 'string', path: '.status.conditions[?(@.type=="Allocatable")].status' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});
