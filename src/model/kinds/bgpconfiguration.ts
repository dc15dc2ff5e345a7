// BGPConfiguration: BGP of the cluster (`default`) and deviations of one node (`node.<name>`).
import { clusterWideValidation, communityValidation, meshValidation } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { array, boolean, duration, integer, object, oneOf, optional, string } from '../schema.ts';
import type { Issue } from '../types.ts';
import { isCommunity } from '../values/community.ts';
import { bgpPassword } from './bgp-fields.ts';

const cidrList = (description: string) =>
  optional(array(object({ cidr: string({ format: 'network' }) }), { description }));

const meshFields = ['nodeMeshPassword', 'nodeMeshMaxRestartTime'] as const;
const clusterWideFields = [
  'nodeToNodeMeshEnabled',
  'asNumber',
  'serviceClusterIPs',
  'serviceExternalIPs',
  'serviceLoadBalancerIPs',
  ...meshFields,
] as const;

export const bgpconfiguration = defineKind({
  kind: 'BGPConfiguration',
  plural: 'bgpconfigurations',
  shortNames: ['bgpconfig', 'bgpconfigs'],
  description: 'BGP of the cluster (`default`) or of one node (`node.<name>`).',
  fields: {
    spec: object(
      {
        logSeverityScreen: optional(
          string({
            format: 'log-level',
            description: 'What the speaker logs: Trace, Debug, Info, Warning, Error or Fatal.',
          }),
        ),
        nodeToNodeMeshEnabled: optional(
          boolean({
            description: 'Whether every node peers with every other. True when absent. Only on `default`.',
          }),
        ),
        asNumber: optional(
          integer({ format: 'as-number', description: 'AS of the nodes. 64512 when absent.' }),
        ),
        serviceLoadBalancerIPs: cidrList('Load balancer addresses in these ranges are announced.'),
        serviceExternalIPs: cidrList('External addresses of services in these ranges are announced.'),
        serviceClusterIPs: cidrList('Ranges of cluster addresses, announced as a whole.'),
        serviceLoadBalancerAggregation: optional(
          oneOf(['Enabled', 'Disabled'], {
            description: 'Announce whole ranges, or each load balancer address.',
          }),
        ),
        communities: optional(
          array(
            object({
              name: string({ format: 'name', description: 'Name for use in prefixAdvertisements.' }),
              value: string({ format: 'community', description: '`aa:nn` or `aa:nn:mm`.' }),
            }),
            { maxItems: 500, description: 'Names for communities.' },
          ),
        ),
        prefixAdvertisements: optional(
          array(
            object({
              cidr: string({ format: 'network', description: 'Routes in this range …' }),
              communities: array(string(), {
                maxItems: 50,
                description: '… are announced with these communities: values, or names from `communities`.',
              }),
            }),
            { maxItems: 500, description: 'Communities of announced routes.' },
          ),
        ),
        listenPort: optional(
          integer({ minimum: 1, maximum: 65535, description: 'TCP port. 179 when absent.' }),
        ),
        bindMode: optional(
          oneOf(['None', 'NodeIP'], { description: 'Listen on all addresses, or on the node’s only.' }),
        ),
        nodeMeshPassword: optional(bgpPassword),
        nodeMeshMaxRestartTime: optional(
          duration({ description: 'Graceful restart time of mesh sessions. Only on `default`.' }),
        ),
        ignoredInterfaces: optional(
          array(string({ format: 'interface-glob', pattern: '[^*]' }), {
            description: 'Interfaces whose routes are not read.',
          }),
        ),
        localWorkloadPeeringIPV4: optional(
          string({
            format: 'ipv4',
            description: 'Address under which the node speaks BGP with its own workloads.',
          }),
        ),
        localWorkloadPeeringIPV6: optional(string({ format: 'ipv6', description: 'The same for IPv6.' })),
        programClusterRoutes: optional(
          oneOf(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'], {
            description:
              'Which routes of pods on other nodes the BGP speaker installs. EnabledNoEncapOnly when absent.',
          }),
        ),
        ipv4NormalRoutePriority: optional(
          integer({
            minimum: 1,
            maximum: 2147483646,
            description: 'Metric of ordinary IPv4 routes. 1024 when absent.',
          }),
        ),
        ipv6NormalRoutePriority: optional(
          integer({
            minimum: 1,
            maximum: 2147483646,
            description: 'Metric of ordinary IPv6 routes. 1024 when absent.',
          }),
        ),
      },
      { validations: [communityValidation, meshValidation(meshFields)] },
    ),
  },
  rules: [communityIssues, meshIssues],
  changeRules: [clusterWideIssues],
  validations: [clusterWideValidation(clusterWideFields)],
});

type Configuration = {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly nodeToNodeMeshEnabled?: boolean;
    readonly communities?: readonly { readonly name: string; readonly value: string }[];
    readonly prefixAdvertisements?: readonly {
      readonly cidr: string;
      readonly communities: readonly string[];
    }[];
  };
};

function communityIssues({ spec }: Configuration): readonly Issue[] {
  const names = (spec.communities ?? []).map(({ name }) => name);
  const advertisements = spec.prefixAdvertisements ?? [];
  if (names.length > 0 && advertisements.length === 0)
    return [
      { field: 'spec.communities', value: names, reason: 'are not used by any of prefixAdvertisements' },
    ];
  return advertisements.flatMap(({ communities }, i) =>
    communities.flatMap((value, j) =>
      isCommunity(value) || names.includes(value)
        ? []
        : [
            {
              field: `spec.prefixAdvertisements[${i}].communities[${j}]`,
              value,
              reason: 'must be a community, or the name of one in spec.communities',
            },
          ],
    ),
  );
}

/** An issue for each of the fields that is given. */
const refuse = (spec: object, fields: readonly string[], reason: string): readonly Issue[] =>
  fields.flatMap((field) => {
    const value = (spec as Record<string, unknown>)[field] ?? undefined;
    return value === undefined ? [] : [{ field: `spec.${field}`, value, reason }];
  });

function meshIssues({ spec }: Configuration): readonly Issue[] {
  return spec.nodeToNodeMeshEnabled === false
    ? refuse(spec, meshFields, 'cannot be set while the mesh is off')
    : [];
}

/** What concerns the whole cluster cannot deviate on one node. */
function clusterWideIssues({ metadata, spec }: Configuration): readonly Issue[] {
  return metadata.name.startsWith('node.')
    ? refuse(spec, clusterWideFields, 'can only be set on the BGPConfiguration named default')
    : [];
}
