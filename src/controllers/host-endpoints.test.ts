// Automatic host endpoints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../datastore/mod.ts';
import { silentLogger } from '../lib/log.ts';
import { until } from '../lib/wait.ts';
import type { HostEndpoint, KubeControllersConfiguration, Node } from '../model/mod.ts';
import { desiredHostEndpoints } from './host-endpoints.ts';
import { startHostEndpoints } from './mod.ts';

const node = (name: string, address: string, labels: Record<string, string> = {}): Node =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'Node',
    metadata: { name, labels },
    spec: {
      bgp: { ipv4Address: `${address}/24`, ipv4IPIPTunnelAddr: '10.9.0.1' },
      interfaces: [
        { name: 'eth0', addresses: [address] },
        { name: 'eth1', addresses: ['192.168.7.1'] },
      ],
    },
  }) as Node;
const configuration = (hostEndpoint: object): KubeControllersConfiguration =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'KubeControllersConfiguration',
    metadata: { name: 'default' },
    spec: { controllers: { node: { hostEndpoint } } },
  }) as KubeControllersConfiguration;

test('RS-144: a node’s host endpoint has its labels and all its addresses, and allows until a policy selects it', () => {
  const [endpoint, ...others] = desiredHostEndpoints([node('n1', '10.0.0.1', { zone: 'a' })], {
    autoCreate: 'Enabled',
  }).values();
  assert.deepEqual(others, []);
  assert.deepEqual(endpoint, {
    apiVersion: 'projectcalico.org/v3',
    kind: 'HostEndpoint',
    metadata: {
      name: 'n1-auto-hep',
      labels: { zone: 'a', 'projectcalico.org/created-by': 'calico-kube-controllers' },
    },
    spec: {
      node: 'n1',
      interfaceName: '*',
      expectedIPs: ['10.0.0.1', '10.9.0.1'],
      profiles: ['projectcalico-default-allow'],
    },
  });
  assert.equal(desiredHostEndpoints([node('n1', '10.0.0.1')], {}).size, 0, 'Disabled is the default');
});

test('templates make further ones: by ranges of addresses, by interfaces, for some nodes', () => {
  const made = desiredHostEndpoints([node('n1', '10.0.0.1', { zone: 'a' }), node('n2', '10.0.0.2')], {
    autoCreate: 'Enabled',
    createDefaultHostEndpoint: 'Disabled',
    templates: [
      { generateName: 'inner', interfaceCIDRs: ['10.0.0.0/24'], labels: { side: 'inner' } },
      { generateName: 'by', interfacePattern: '^eth', nodeSelector: 'zone == "a"' },
      { generateName: 'none', interfacePattern: '(' },
    ],
  });
  const shown = [...made.values()].map(({ metadata, spec }) => [
    metadata.name,
    spec.interfaceName,
    spec.expectedIPs,
    metadata.labels?.['side'],
  ]);
  assert.deepEqual(shown, [
    ['n1-inner', undefined, ['10.0.0.1'], 'inner'],
    ['n1-by-eth0', 'eth0', ['10.0.0.1'], undefined],
    ['n1-by-eth1', 'eth1', ['192.168.7.1'], undefined],
    ['n2-inner', undefined, ['10.0.0.2'], 'inner'],
  ]);
});

test('RS-144, OT-005: they come with the switch, follow their node, leave others’ alone, and go with node or switch', async () => {
  const store = new MemoryStore();
  const own = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'HostEndpoint',
    metadata: { name: 'mine' },
    spec: { node: 'n1', interfaceName: 'eth0' },
  } as HostEndpoint;
  store.put('Node', node('n1', '10.0.0.1'), node('n2', '10.0.0.2'));
  store.put('HostEndpoint', own);
  const controller = startHostEndpoints({ datastore: store.open(), logger: silentLogger });
  const writer = store.open();
  const names = () =>
    store
      .all('HostEndpoint')
      .map(({ metadata }) => metadata.name)
      .toSorted();
  const become = async (...wanted: readonly string[]) => {
    await until(() => Promise.resolve(names().join() === wanted.join() ? true : undefined), {
      timeoutMs: 5000,
      everyMs: 5,
    });
    assert.deepEqual(names(), wanted);
  };
  try {
    await become('mine');
    assert.ok(
      (await writer.create('KubeControllersConfiguration', configuration({ autoCreate: 'Enabled' }))).ok,
    );
    await become('mine', 'n1-auto-hep', 'n2-auto-hep');
    const before = await writer.get('Node', { name: 'n1' });
    assert.ok(before.ok);
    const moved = { ...before.value, spec: { ...before.value.spec, bgp: { ipv4Address: '10.0.0.7/24' } } };
    assert.ok((await writer.update('Node', moved)).ok);
    const isMoved = await until(
      () =>
        Promise.resolve(
          store.all('HostEndpoint').some(({ spec }) => spec.expectedIPs?.includes('10.0.0.7'))
            ? true
            : undefined,
        ),
      { timeoutMs: 5000, everyMs: 5 },
    );
    assert.ok(isMoved, 'the address follows');
    assert.ok((await writer.delete('HostEndpoint', { name: 'n1-auto-hep' })).ok);
    await become('mine', 'n1-auto-hep', 'n2-auto-hep');
    assert.ok((await writer.delete('Node', { name: 'n2' })).ok);
    await become('mine', 'n1-auto-hep');
    assert.ok((await writer.delete('KubeControllersConfiguration', { name: 'default' })).ok);
    await become('mine');
  } finally {
    await controller.stop();
  }
});
