// The service proxy on the real kernel: connections through services reach their endpoints.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { MemoryStore, type Datastore } from '../../src/datastore/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import type { EndpointSlice, Service } from '../../src/model/mod.ts';
import { startServiceProxy, type ServiceProxy } from '../../src/lab/proxy/mod.ts';
import { TestNode, unable } from './support/felix-node.ts';

const skip = unable('curl', 'nft') ?? false;
const main = join(import.meta.dirname, '../../src/main.ts');
const pods = { a: '10.244.1.2', b: '10.244.1.3', c: '10.244.1.4' };

const service = (name: string, spec: Partial<Service['spec']>): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }], ...spec },
});
const slice = (
  name: string,
  endpoints: readonly (readonly [address: string, node: string])[],
): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-x`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  endpoints: endpoints.map(([address, nodeName]) => ({ addresses: [address], nodeName })),
  ports: [{ port: 8080, protocol: 'TCP' }],
});

async function eventually(holds: () => Promise<boolean> | boolean): Promise<void> {
  const seen = await until(async () => ((await holds()) ? true : undefined), { timeoutMs: 20_000 });
  assert.equal(seen, true, holds.toString());
}

describe('the service proxy', { skip }, () => {
  let node: TestNode;
  let store: Datastore;
  let proxy: ServiceProxy;

  before(async () => {
    node = await TestNode.make();
    node.ip('node', 'addr add 169.254.1.1/32 dev lo');
    node.ip('node', 'route add default via 10.0.0.254');
    node.ip('out', 'route add 10.96.0.0/12 via 10.0.0.1');
    node.ip('out', 'route add 10.244.0.0/16 via 10.0.0.1');
    await node.run('node', ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    for (const [name, address] of Object.entries(pods)) {
      await node.pod(name, address);
      node.ip('node', `route add ${address}/32 dev cali${name}`);
      node.spawn(name, [process.execPath, main, 'pod', 'http-server', '8080']);
    }
    for (const [name, address] of Object.entries(pods))
      await eventually(async () => (await ask('node', `${address}:8080`)).server === name);
    store = new MemoryStore().open();
    proxy = startServiceProxy({
      datastore: store,
      kernel: node.kernel,
      node: 'n1',
      families: [4],
      logger: silentLogger,
    });
  });

  after(async () => {
    await proxy?.stop();
    await node?.[Symbol.asyncDispose]();
  });

  async function ask(from: string, to: string): Promise<{ server?: string; client?: string; code: number }> {
    const { code, output } = await node.run(from, ['curl', '-sS', '-m', '2', `http://${to}/`]);
    const client = /ClientIP: ([^,]+),/.exec(output)?.[1];
    const address = /ServerIP: ([^!]+)!/.exec(output)?.[1];
    const server = Object.entries(pods).find((one) => one[1] === address)?.[0];
    return { code, ...(server === undefined ? {} : { server }), ...(client === undefined ? {} : { client }) };
  }

  /** The pods that a number of connections reach. */
  async function reached(from: string, to: string, count = 12): Promise<string> {
    const names = new Set<string>();
    for (let i = 0; i < count; i++) names.add((await ask(from, to)).server ?? 'none');
    return [...names].toSorted().join(' ');
  }

  const refuses = async (from: string, to: string): Promise<boolean> => (await ask(from, to)).code === 7;

  test('a cluster address leads to every endpoint, from pods and from the node; a pod reaches itself by it', async () => {
    expect(await store.create('Service', service('web', { clusterIP: '10.96.0.20' })), 'service');
    expect(
      await store.create(
        'EndpointSlice',
        slice('web', [
          [pods.a, 'n1'],
          [pods.b, 'n2'],
        ]),
      ),
      'slice',
    );
    await eventually(async () => (await ask('c', '10.96.0.20')).server !== undefined);
    assert.equal(await reached('c', '10.96.0.20'), 'a b');
    assert.equal(await reached('node', '10.96.0.20'), 'a b');
    assert.equal(await reached('a', '10.96.0.20'), 'a b');
    assert.equal((await ask('c', '10.96.0.20')).client, pods.c);
    assert.deepEqual(proxy.unfinished(), []);
  });

  test('an endpoint more, an endpoint less; without any it is refused', async () => {
    const name = { name: 'web-x', namespace: 'shop' };
    const put = async (endpoints: Parameters<typeof slice>[1]): Promise<void> => {
      const current = expect(await store.get('EndpointSlice', name), 'read');
      expect(
        await store.update('EndpointSlice', { ...slice('web', endpoints), metadata: current.metadata }),
        'update',
      );
    };
    await put([
      [pods.a, 'n1'],
      [pods.b, 'n1'],
      [pods.c, 'n1'],
    ]);
    await eventually(async () => (await reached('node', '10.96.0.20', 16)) === 'a b c');
    await put([[pods.b, 'n1']]);
    await eventually(async () => (await reached('node', '10.96.0.20')) === 'b');
    await put([]);
    await eventually(async () => await refuses('c', '10.96.0.20'));
    assert.equal(await refuses('node', '10.96.0.20'), true);
    await put([[pods.b, 'n1']]);
    await eventually(async () => (await ask('c', '10.96.0.20')).server === 'b');
  });

  test('a node port hides the client, but not with traffic policy Local, which uses endpoints of this node only', async () => {
    const ports = [{ port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 30080 }];
    expect(
      await store.create('Service', service('np', { type: 'NodePort', clusterIP: '10.96.0.21', ports })),
      'np',
    );
    expect(
      await store.create(
        'EndpointSlice',
        slice('np', [
          [pods.a, 'n1'],
          [pods.b, 'n2'],
        ]),
      ),
      'slice',
    );
    await eventually(async () => (await ask('out', '10.0.0.1:30080')).server !== undefined);
    assert.equal(await reached('out', '10.0.0.1:30080'), 'a b');
    assert.notEqual((await ask('out', '10.0.0.1:30080')).client, '10.0.0.254');
    const name = { name: 'np', namespace: 'shop' };
    const current = expect(await store.get('Service', name), 'read');
    expect(
      await store.update('Service', {
        ...current,
        spec: { ...current.spec, externalTrafficPolicy: 'Local' },
      }),
      'local',
    );
    await eventually(async () => (await ask('out', '10.0.0.1:30080')).client === '10.0.0.254');
    assert.equal(await reached('out', '10.0.0.1:30080'), 'a');
  });

  test('a load balancer’s address, external addresses, and a client that keeps its endpoint', async () => {
    const spec = {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.22',
      externalIPs: ['10.100.0.1'],
      sessionAffinity: 'ClientIP',
    };
    const created = expect(await store.create('Service', service('lb', spec)), 'lb');
    expect(
      await store.updateStatus('Service', {
        ...created,
        status: { loadBalancer: { ingress: [{ ip: '10.100.0.2' }] } },
      }),
      'status',
    );
    expect(
      await store.create(
        'EndpointSlice',
        slice('lb', [
          [pods.a, 'n1'],
          [pods.b, 'n1'],
        ]),
      ),
      'slice',
    );
    node.ip('out', 'route add 10.100.0.0/24 via 10.0.0.1');
    for (const address of ['10.96.0.22', '10.100.0.1', '10.100.0.2']) {
      await eventually(async () => (await ask('out', address)).server !== undefined);
      const one = await reached('out', address);
      assert.match(one, /^[ab]$/);
      assert.equal(await reached('out', address), one);
    }
  });

  test('rows vanish with their services; nft can list the table; a foreign change is repaired', async () => {
    const listed = (): string =>
      execFileSync('ip', ['netns', 'exec', node.ns('node'), 'nft', 'list', 'table', 'ip', 'margay-proxy'], {
        encoding: 'utf8',
      });
    assert.match(listed(), /numgen random mod 2/);
    await node.run('node', ['nft', 'flush', 'chain', 'ip', 'margay-proxy', 'dispatch']);
    await eventually(async () => (await ask('c', '10.96.0.20')).server === 'b');
    for (const name of ['web', 'np', 'lb']) {
      expect(await store.delete('Service', { name, namespace: 'shop' }), 'delete');
      expect(await store.delete('EndpointSlice', { name: `${name}-x`, namespace: 'shop' }), 'delete slice');
    }
    await eventually(() => !/numgen|jhash|10\.96\.0\.2/.test(listed()));
    assert.deepEqual(proxy.unfinished(), []);
  });
});
