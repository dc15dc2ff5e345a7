// Calico's Node: what Calico knows of a node beyond Kubernetes. With the Kubernetes datastore it is a view of the
// Kubernetes Node, whose annotations carry these fields: see conversion/node.ts.
import { defineKind } from '../kind-definition.ts';
import { array, integer, object, oneOf, optional, string } from '../schema.ts';

export const node = defineKind({
  kind: 'Node',
  plural: 'nodes',
  storedAs: 'view',
  classic: false,
  description: 'A node: its addresses for BGP and tunnels.',
  fields: {
    spec: object({
      bgp: optional(
        object({
          asNumber: optional(
            integer({ format: 'as-number', description: 'AS of the node; the cluster’s when absent.' }),
          ),
          ipv4Address: optional(
            string({
              format: 'interface-v4',
              description: 'Address and length of its network, e.g. 10.0.0.11/24.',
            }),
          ),
          ipv6Address: optional(string({ format: 'interface-v6', description: 'The same for IPv6.' })),
          ipv4IPIPTunnelAddr: optional(string({ format: 'ipv4', description: 'Address of `tunl0`.' })),
          routeReflectorClusterID: optional(
            string({
              format: 'ipv4',
              description: 'Makes the node a route reflector and takes it out of the mesh.',
            }),
          ),
        }),
      ),
      ipv4VXLANTunnelAddr: optional(string({ format: 'ipv4', description: 'Address of `vxlan.calico`.' })),
      vxlanTunnelMACAddr: optional(string({ format: 'mac', description: 'MAC of `vxlan.calico`.' })),
      ipv6VXLANTunnelAddr: optional(string({ format: 'ipv6', description: 'Address of `vxlan-v6.calico`.' })),
      vxlanTunnelMACAddrV6: optional(string({ format: 'mac', description: 'MAC of `vxlan-v6.calico`.' })),
      orchRefs: optional(
        array(
          object({
            nodeName: optional(string({ description: 'Name of the node there.' })),
            orchestrator: string({ description: 'e.g. `k8s`.' }),
          }),
          { description: 'The node in the eyes of orchestrators.' },
        ),
      ),
      wireguard: optional(
        object({
          interfaceIPv4Address: optional(
            string({ format: 'ipv4', description: 'Address of `wireguard.cali`.' }),
          ),
          interfaceIPv6Address: optional(string({ format: 'ipv6', description: 'Address of `wg-v6.cali`.' })),
        }),
      ),
      addresses: optional(
        array(
          object({
            address: string({ description: 'An address, or address and length.' }),
            type: optional(oneOf(['CalicoNodeIP', 'InternalIP', 'ExternalIP'])),
          }),
          { description: 'All addresses of the node.' },
        ),
      ),
      interfaces: optional(
        array(
          object({
            name: optional(string()),
            addresses: optional(array(string())),
          }),
          { description: 'Interfaces of the node with their addresses.' },
        ),
      ),
    }),
    status: optional(
      object({
        wireguardPublicKey: optional(string({ format: 'wireguard-key' })),
        wireguardPublicKeyV6: optional(string({ format: 'wireguard-key' })),
        podCIDRs: optional(array(string())),
      }),
    ),
  },
  rules: [
    ({ spec }) =>
      spec.bgp !== undefined && Object.values(spec.bgp).every((value) => value === undefined || value === '')
        ? [{ field: 'spec.bgp', value: spec.bgp, reason: 'must not be empty' }]
        : [],
  ],
  columns: [
    { name: 'ASN', type: 'integer', path: '.spec.bgp.asNumber' },
    { name: 'IPv4', type: 'string', path: '.spec.bgp.ipv4Address' },
    { name: 'IPv6', type: 'string', path: '.spec.bgp.ipv6Address' },
  ],
});
