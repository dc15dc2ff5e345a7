// BGPConfiguration: BGP of the cluster (`default`) and deviations of one node (`node.<name>`).
import { defineKind } from '../kind-definition.ts';
import { array, boolean, duration, integer, object, oneOf, optional, string } from '../schema.ts';
import { bgpPassword } from './bgp-fields.ts';

const cidrList = (description: string) =>
  optional(array(object({ cidr: string({ format: 'network' }) }), { description }));

export const bgpconfiguration = defineKind({
  kind: 'BGPConfiguration',
  plural: 'bgpconfigurations',
  shortNames: ['bgpconfig', 'bgpconfigs'],
  description: 'BGP of the cluster (`default`) or of one node (`node.<name>`).',
  fields: {
    spec: object({
      logSeverityScreen: optional(
        oneOf(['Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal'], {
          description: 'What the speaker logs.',
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
        array(string({ format: 'interface-glob' }), { description: 'Interfaces whose routes are not read.' }),
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
    }),
  },
});
