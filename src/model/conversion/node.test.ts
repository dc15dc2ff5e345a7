import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KubernetesNode, Node } from '../kinds/mod.ts';
import { kubernetesNodeToNode, nodeAnnotations, nodeToKubernetesNode } from './node.ts';

const bare: KubernetesNode = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'worker1', resourceVersion: '7', labels: { rack: '1' }, annotations: { other: 'kept' } },
  spec: { podCIDRs: ['10.1.0.0/24'] },
  status: {
    addresses: [
      { type: 'InternalIP', address: '10.0.0.21' },
      { type: 'Hostname', address: 'worker1' },
    ],
  },
};

test('RS-061: annotations of the Kubernetes node become fields of the node', () => {
  const node = kubernetesNodeToNode({
    ...bare,
    metadata: {
      ...bare.metadata,
      annotations: {
        'projectcalico.org/IPv4Address': '10.0.0.21/24',
        'projectcalico.org/ASNumber': '1.10',
        'projectcalico.org/RouteReflectorClusterID': '244.0.0.1',
        'projectcalico.org/IPv4IPIPTunnelAddr': '192.168.1.1',
        'projectcalico.org/VXLANTunnelMACAddr': '66:01:02:03:04:05',
        'projectcalico.org/WireguardPublicKey': 'key',
        'projectcalico.org/labels': '{"own":"1","rack":"shadowed"}',
      },
    },
  });
  assert.deepEqual(node.spec, {
    bgp: {
      asNumber: 65546,
      ipv4Address: '10.0.0.21/24',
      ipv4IPIPTunnelAddr: '192.168.1.1',
      routeReflectorClusterID: '244.0.0.1',
    },
    vxlanTunnelMACAddr: '66:01:02:03:04:05',
    orchRefs: [{ nodeName: 'worker1', orchestrator: 'k8s' }],
    addresses: [
      { address: '10.0.0.21/24', type: 'CalicoNodeIP' },
      { address: '10.0.0.21', type: 'InternalIP' },
    ],
  });
  assert.deepEqual(node.metadata.labels, { own: '1', rack: '1' });
  assert.equal(node.metadata.resourceVersion, '7');
  assert.deepEqual(node.status, { wireguardPublicKey: 'key', podCIDRs: ['10.1.0.0/24'] });
});

test('RS-061: annotations that do not parse count as absent', () => {
  const node = kubernetesNodeToNode({
    ...bare,
    metadata: {
      name: 'n',
      annotations: {
        'projectcalico.org/IPv4Address': 'fd00::1/64',
        'projectcalico.org/ASNumber': 'many',
        'projectcalico.org/Interfaces': '{',
        'projectcalico.org/labels': '[1]',
      },
    },
  });
  assert.equal(node.spec.bgp, undefined);
  assert.equal(node.spec.interfaces, undefined);
  assert.equal(node.metadata.labels, undefined);
});

test('RS-061: what a node no longer has is removed from the annotations, everything else stays', () => {
  const before = kubernetesNodeToNode(bare);
  const withBgp: Node = {
    ...before,
    spec: { ...before.spec, bgp: { ipv4Address: '10.0.0.21/24', asNumber: 64512 } },
  };
  const written = nodeToKubernetesNode(withBgp, bare);
  assert.deepEqual(written.metadata.annotations, {
    other: 'kept',
    'projectcalico.org/IPv4Address': '10.0.0.21/24',
    'projectcalico.org/ASNumber': '64512',
  });
  assert.deepEqual(written.metadata.labels, { rack: '1' });
  const cleared = nodeToKubernetesNode(kubernetesNodeToNode(bare), written);
  assert.deepEqual(cleared.metadata.annotations, { other: 'kept' });
  assert.equal(nodeAnnotations(before)['projectcalico.org/IPv4Address'], null);
});

const octet = fc.integer({ min: 1, max: 254 });
const v4 = fc.tuple(octet, octet).map(([a, b]) => `10.0.${a}.${b}`);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

test('RS-060: a node written to a Kubernetes node reads back as it was', () => {
  const spec = fc.record(
    {
      ipv4VXLANTunnelAddr: maybe(v4),
      bgp: fc.record({ ipv4Address: v4.map((a) => `${a}/24`), asNumber: maybe(fc.nat(2 ** 32 - 1)) }),
      interfaces: fc.constantFrom(undefined, [{ name: 'eth0', addresses: ['10.0.0.1'] }]),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      spec,
      fc.dictionary(fc.constantFrom('x', 'y'), fc.constantFrom('', '1')),
      (fields, labels) => {
        const view = kubernetesNodeToNode(bare);
        const node = JSON.parse(
          JSON.stringify({
            ...view,
            metadata: { ...view.metadata, labels: { ...labels, ...view.metadata.labels } },
            spec: { ...view.spec, ...fields },
          }),
        ) as Node;
        const again = kubernetesNodeToNode(nodeToKubernetesNode(node, bare));
        const { addresses: _a, ...rest } = again.spec;
        const { addresses: _b, ...expected } = node.spec;
        assert.deepEqual(rest, expected);
        assert.deepEqual(again.metadata, node.metadata);
      },
    ),
    { numRuns: 100 },
  );
});
