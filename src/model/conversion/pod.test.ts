import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../kinds/mod.ts';
import { isFinishedPod, isWorkloadPod, podHasAddress, podToWorkloadEndpoint } from './pod.ts';
import { qosControlsOf } from './qos.ts';

const pod = (over: {
  annotations?: Record<string, string>;
  status?: Pod['status'];
  spec?: Partial<Pod['spec']>;
  metadata?: Partial<Pod['metadata']>;
}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'web-1',
    namespace: 'shop',
    resourceVersion: '9',
    ...over.metadata,
    ...(over.annotations === undefined ? {} : { annotations: over.annotations }),
  },
  spec: { nodeName: 'node-1', containers: [], ...over.spec },
  ...(over.status === undefined ? {} : { status: over.status }),
});

const endpoint = (source: Pod) => {
  const result = podToWorkloadEndpoint(source);
  assert.ok(result.ok, result.ok ? '' : result.error.message);
  return result.value;
};
const cni = (name: string) => `cni.projectcalico.org/${name}`;

test('SR-197, RS-009, RS-072: a pod is seen as its endpoint', () => {
  const view = endpoint(
    pod({
      metadata: { labels: { app: 'web' } },
      spec: { serviceAccountName: 'shopper' },
      status: { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] },
    }),
  );
  assert.deepEqual(view, {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      name: 'node--1-k8s-web--1-eth0',
      namespace: 'shop',
      labels: {
        app: 'web',
        'projectcalico.org/namespace': 'shop',
        'projectcalico.org/orchestrator': 'k8s',
        'projectcalico.org/serviceaccount': 'shopper',
      },
      resourceVersion: '9',
    },
    spec: {
      orchestrator: 'k8s',
      node: 'node-1',
      pod: 'web-1',
      endpoint: 'eth0',
      interfaceName: view.spec.interfaceName,
      profiles: ['kns.shop', 'ksa.shop.shopper'],
      ipNetworks: ['10.0.0.1/32', 'fd00::1/128'],
      serviceAccountName: 'shopper',
    },
  });
  assert.match(view.spec.interfaceName ?? '', /^cali[0-9a-f]{11}$/);
});

test('RS-072: where the addresses come from, the first source that has any', () => {
  const annotations = {
    [cni('podIPs')]: '10.0.0.3/32,fd00::3/128',
    [cni('podIP')]: '10.0.0.4',
    'vpc.amazonaws.com/pod-ips': '10.0.0.5',
  };
  const networks = (source: Pod) => endpoint(source).spec.ipNetworks;
  assert.deepEqual(networks(pod({ annotations, status: { podIP: '10.0.0.2' } })), ['10.0.0.2/32']);
  assert.deepEqual(networks(pod({ annotations })), ['10.0.0.3/32', 'fd00::3/128']);
  assert.deepEqual(networks(pod({ annotations: { [cni('podIP')]: '10.0.0.4' } })), ['10.0.0.4/32']);
  assert.deepEqual(networks(pod({ annotations: { 'vpc.amazonaws.com/pod-ips': '10.0.0.5' } })), [
    '10.0.0.5/32',
  ]);
  assert.deepEqual(networks(pod({})), []);
  assert.ok(!podToWorkloadEndpoint(pod({ annotations: { [cni('podIPs')]: 'x' } })).ok);
});

test('RS-072: which pods have an endpoint', () => {
  assert.equal(isWorkloadPod(pod({})), true);
  assert.equal(isWorkloadPod(pod({ spec: { hostNetwork: true } })), false);
  assert.equal(isWorkloadPod(pod({ spec: { nodeName: '' } })), false);
  assert.equal(podHasAddress(pod({})), false);
  assert.equal(podHasAddress(pod({ annotations: { [cni('podIP')]: '10.0.0.4' } })), true);
});

test('RS-073: a finished pod, or a dying one whose address was taken away, has no address', () => {
  const status = { podIP: '10.0.0.1', phase: 'Running' };
  const emptied = { [cni('podIP')]: '' };
  const dying = { deletionTimestamp: '2026-11-21T00:00:00Z' };
  assert.equal(isFinishedPod(pod({ status })), false);
  assert.equal(isFinishedPod(pod({ status, annotations: emptied })), false);
  assert.equal(isFinishedPod(pod({ status, metadata: dying })), false);
  assert.equal(isFinishedPod(pod({ status, metadata: dying, annotations: emptied })), true);
  for (const phase of ['Succeeded', 'Failed'])
    assert.deepEqual(endpoint(pod({ status: { ...status, phase } })).spec.ipNetworks, []);
});

test('RS-074: ports that have a name or a port of the host', () => {
  const view = endpoint(
    pod({
      spec: {
        containers: [
          {
            name: 'c',
            ports: [
              { containerPort: 80 },
              { containerPort: 81, name: 'http' },
              { containerPort: 53, hostPort: 5353, hostIP: '10.0.0.9', protocol: 'UDP' },
              { containerPort: 82, name: 'odd', protocol: 'other' },
            ],
          },
        ],
        initContainers: [{ name: 'i', ports: [{ containerPort: 83, name: 'init', protocol: 'SCTP' }] }],
      },
    }),
  );
  assert.deepEqual(view.spec.ports, [
    { protocol: 'TCP', port: 81, name: 'http' },
    { protocol: 'UDP', port: 53, hostPort: 5353, hostIP: '10.0.0.9' },
    { protocol: 'SCTP', port: 83, name: 'init' },
  ]);
});

test('RS-076: the label of a service account with a long name is left out', () => {
  const label = (name: string) =>
    endpoint(pod({ spec: { serviceAccountName: name } })).metadata.labels?.[
      'projectcalico.org/serviceaccount'
    ];
  assert.equal(label('a'.repeat(62)), 'a'.repeat(62));
  assert.equal(label('a'.repeat(64)), undefined);
});

test('floating addresses and foreign sources from annotations', () => {
  const view = endpoint(
    pod({
      status: { podIP: '10.0.0.1' },
      annotations: {
        [cni('floatingIPs')]: '["1.1.1.1","fd00::9"]',
        [cni('allowedSourcePrefixes')]: '["8.8.8.8/24"]',
      },
    }),
  );
  assert.deepEqual(view.spec.ipNATs, [{ internalIP: '10.0.0.1', externalIP: '1.1.1.1' }]);
  assert.deepEqual(view.spec.allowSpoofedSourcePrefixes, ['8.8.8.0/24']);
  for (const bad of ['["gumbo"]', '{', '[1]'])
    assert.ok(!podToWorkloadEndpoint(pod({ annotations: { [cni('allowedSourcePrefixes')]: bad } })).ok, bad);
});

test('a pod that has ended has no floating address: its own may be somebody else’s by now', () => {
  const annotations = { [cni('floatingIPs')]: '["1.1.1.1"]' };
  const view = endpoint(pod({ status: { podIP: '10.0.0.1', phase: 'Succeeded' }, annotations }));
  assert.deepEqual([view.spec.ipNetworks, view.spec.ipNATs], [[], undefined]);
});

test('the status of several networks is told on, no other annotation is', () => {
  const key = 'k8s.v1.cni.cncf.io/network-status';
  const view = endpoint(pod({ annotations: { [key]: '[{"name":"a"}]', other: 'x' } }));
  assert.deepEqual(view.metadata.annotations, { [key]: '[{"name":"a"}]' });
  assert.equal(endpoint(pod({ annotations: { other: 'x' } })).metadata.annotations, undefined);
});

test('NM-054, RS-190: each limit has a least and a most value; what lies beyond becomes the nearest', () => {
  for (const [limit, least, most, beyond, below] of [
    ['Bandwidth', 1000, 1e15, '2P', '999'],
    ['Burst', 1000, 0xffffffff * 8, '1T', '999'],
    ['PacketRate', 1, 10_000, '10001', '0'],
    ['MaxConnections', 1, 2 ** 32 - 1, '4294967296', '0'],
  ] as const)
    for (const direction of ['ingress', 'egress'] as const) {
      const read = (text: string | number) => {
        const base = limit === 'Burst' ? { [`qos.projectcalico.org/${direction}Bandwidth`]: '1M' } : {};
        const annotation = { [`qos.projectcalico.org/${direction}${limit}`]: String(text) };
        const { controls, problems } = qosControlsOf({ ...base, ...annotation });
        return [controls?.[`${direction}${limit}`], problems.length];
      };
      assert.deepEqual(read(least), [least, 0], limit);
      assert.deepEqual(read(most), [most, 0], limit);
      assert.deepEqual(read(beyond), [most, 1], limit);
      assert.deepEqual(read(below), [least, 1], limit);
      assert.deepEqual(read('many'), [limit === 'Burst' ? 4 * 2 ** 30 : undefined, 1], limit);
    }
});

test('RS-190: limits of traffic, their bounds and what they need', () => {
  const qos = (annotations: Record<string, string>) =>
    qosControlsOf(
      Object.fromEntries(
        Object.entries(annotations).map(([k, v]) => [k.includes('/') ? k : `qos.projectcalico.org/${k}`, v]),
      ),
    );
  assert.deepEqual(qos({ ingressBandwidth: '1M', dscp: 'af11' }).controls, {
    ingressBandwidth: 1_000_000,
    ingressBurst: 4 * 2 ** 30,
    dscp: 'AF11',
  });
  assert.deepEqual(qos({ 'kubernetes.io/egress-bandwidth': '10M', egressPacketRate: '2k' }).controls, {
    egressBandwidth: 10_000_000,
    egressBurst: 4 * 2 ** 30,
    egressPacketRate: 2000,
    egressPacketBurst: 5,
  });
  assert.deepEqual(qos({ ingressPacketRate: '1M' }).controls, {
    ingressPacketRate: 10_000,
    ingressPacketBurst: 5,
  });
  for (const lonely of [
    { ingressBurst: '3M' },
    { egressMinburst: '3M' },
    { egressPacketBurst: '3' },
    { dscp: '64' },
  ]) {
    assert.equal(qos(lonely).controls, undefined);
    assert.equal(qos(lonely).problems.length, 1);
  }
});
