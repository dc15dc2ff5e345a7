// WorkloadEndpoint: an interface of a workload. With the Kubernetes datastore it is a view of a Pod: see
// conversion/pod.ts.
import { containsAddress, familyOf, isSingleAddress, parseNetwork, prefixAddress } from '../../lib/ip/mod.ts';
import { defineKind } from '../kind-definition.ts';
import { array, integer, number, numberOrString, object, optional, string } from '../schema.ts';
import type { Issue } from '../types.ts';
import { protocolHasPorts } from '../values/protocol.ts';

export const qosControls = object({
  ingressBandwidth: optional(number({ description: 'Bits per second towards the workload.' })),
  egressBandwidth: optional(number({ description: 'Bits per second from the workload.' })),
  ingressBurst: optional(number({ description: 'Bits.' })),
  egressBurst: optional(number({ description: 'Bits.' })),
  ingressPeakrate: optional(number({ description: 'Bits per second.' })),
  egressPeakrate: optional(number({ description: 'Bits per second.' })),
  ingressMinburst: optional(number({ description: 'Bytes.' })),
  egressMinburst: optional(number({ description: 'Bytes.' })),
  ingressPacketRate: optional(number({ description: 'Packets per second.' })),
  egressPacketRate: optional(number({ description: 'Packets per second.' })),
  ingressPacketBurst: optional(number({ description: 'Packets.' })),
  egressPacketBurst: optional(number({ description: 'Packets.' })),
  ingressMaxConnections: optional(number()),
  egressMaxConnections: optional(number()),
  dscp: optional(numberOrString({ description: 'DSCP of packets that leave: 0 to 63 or a name.' })),
});

export const workloadendpoint = defineKind({
  kind: 'WorkloadEndpoint',
  plural: 'workloadendpoints',
  shortNames: ['wep', 'weps'],
  namespaced: true,
  storedAs: 'view',
  classic: false,
  description: 'An interface of a workload: its addresses, labels and profiles.',
  fields: {
    spec: object({
      orchestrator: optional(string({ format: 'name', description: 'e.g. `k8s`.' })),
      workload: optional(
        string({ format: 'name', description: 'Name of the workload outside of Kubernetes.' }),
      ),
      node: optional(string({ format: 'name', description: 'The node it runs on.' })),
      containerID: optional(
        string({ format: 'container-id', description: 'The container, outside of Kubernetes.' }),
      ),
      pod: optional(string({ format: 'name', description: 'The pod.' })),
      endpoint: optional(
        string({ format: 'name', description: 'Name of the interface inside, `eth0` for pods.' }),
      ),
      serviceAccountName: optional(string({ format: 'name', description: 'The pod’s service account.' })),
      ipNetworks: optional(
        array(string({ format: 'network' }), { description: 'Its addresses as /32 and /128.' }),
      ),
      ipNATs: optional(
        array(
          object({
            internalIP: string({ format: 'ip', description: 'The endpoint’s own address.' }),
            externalIP: string({ format: 'ip', description: 'The address seen from outside.' }),
            source: optional(string({ description: 'Who asked for it, e.g. `openstack`.' })),
          }),
          { description: 'Floating addresses.' },
        ),
      ),
      ipv4Gateway: optional(string({ format: 'ipv4', description: 'IPv4 gateway inside the workload.' })),
      ipv6Gateway: optional(string({ format: 'ipv6', description: 'IPv6 gateway inside the workload.' })),
      profiles: optional(array(string({ format: 'name' }), { description: 'Its profiles, in order.' })),
      interfaceName: optional(string({ format: 'interface', description: 'The host’s end.' })),
      mac: optional(string({ format: 'mac', description: 'MAC inside the workload.' })),
      ports: optional(
        array(
          object({
            name: optional(string({ format: 'port-name', description: 'Name, for rules that name ports.' })),
            protocol: numberOrString({ format: 'protocol' }),
            port: integer({ minimum: 1, maximum: 65535, description: 'Port of the workload.' }),
            hostPort: optional(
              integer({ minimum: 0, maximum: 65535, description: 'Port of the host that leads to it.' }),
            ),
            hostIP: optional(
              string({ format: 'network', description: 'Address of the host that leads to it.' }),
            ),
          }),
          { description: 'Its named ports and host ports.' },
        ),
      ),
      allowSpoofedSourcePrefixes: optional(
        array(string({ format: 'any-network' }), {
          description: 'Foreign source addresses it may send from.',
        }),
      ),
      qosControls: optional(qosControls),
    }),
  },
  rules: [interfaceIssues, networkIssues, natIssues, portIssues],
  columns: [
    { name: 'Workload', type: 'string', path: '.spec.pod' },
    { name: 'Node', type: 'string', path: '.spec.node' },
    { name: 'Networks', type: 'string', path: '.spec.ipNetworks' },
    { name: 'Interface', type: 'string', path: '.spec.interfaceName' },
  ],
});

type Port = {
  readonly name?: string;
  readonly protocol: number | string;
  readonly port: number;
  readonly hostPort?: number;
};
type Endpoint = {
  readonly spec: {
    readonly interfaceName?: string;
    readonly ipNetworks?: readonly string[];
    readonly ipNATs?: readonly { readonly internalIP: string; readonly externalIP: string }[];
    readonly ports?: readonly Port[];
  };
};

function interfaceIssues({ spec }: Endpoint): readonly Issue[] {
  return spec.interfaceName ? [] : [{ field: 'spec.interfaceName', reason: 'must be given' }];
}

function networkIssues({ spec }: Endpoint): readonly Issue[] {
  return (spec.ipNetworks ?? []).flatMap((value, i) => {
    const parsed = parseNetwork(value);
    return parsed.ok && isSingleAddress(parsed.value)
      ? []
      : [
          {
            field: `spec.ipNetworks[${i}]`,
            value,
            reason: 'must be a single address: /32, or /128 for IPv6',
          },
        ];
  });
}

function natIssues({ spec }: Endpoint): readonly Issue[] {
  const own = (spec.ipNetworks ?? []).flatMap((text) => {
    const parsed = parseNetwork(text);
    return parsed.ok ? [parsed.value] : [];
  });
  return (spec.ipNATs ?? []).flatMap(({ internalIP, externalIP }, i) => {
    const field = `spec.ipNATs[${i}]`;
    const internal = parseNetwork(internalIP);
    if (familyOf(internalIP) !== familyOf(externalIP))
      return [
        { field: `${field}.externalIP`, value: externalIP, reason: 'must be of the family of internalIP' },
      ];
    return internal.ok && own.some((network) => containsAddress(network, prefixAddress(internal.value)))
      ? []
      : [{ field: `${field}.internalIP`, value: internalIP, reason: 'must be one of ipNetworks' }];
  });
}

function portIssues({ spec }: Endpoint): readonly Issue[] {
  return (spec.ports ?? []).flatMap((port, i) => [
    ...(protocolHasPorts(port.protocol)
      ? []
      : [{ field: `spec.ports[${i}].protocol`, value: port.protocol, reason: 'must be TCP, UDP or SCTP' }]),
    ...(port.name || port.hostPort
      ? []
      : [{ field: `spec.ports[${i}].name`, value: port.name, reason: 'must be given unless hostPort is' }]),
  ]);
}
