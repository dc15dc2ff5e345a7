// The Kubernetes driver against the embedded API server: the drivers' conformance suite, then what only this driver has.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startApiServer } from '../../src/apiserver/mod.ts';
import { datastoreConformance } from '../../src/datastore/conformance.ts';
import { type Datastore, openDatastore, startSyncer, type StoreError } from '../../src/datastore/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { Result } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import type { KubernetesNode, Pod } from '../../src/model/mod.ts';

const directory = await mkdtemp(join(tmpdir(), 'datastore-'));
const kubeconfig = join(directory, 'kubeconfig');
const historyEvents = 100;
const started = await startApiServer({
  listen: ['127.0.0.1:0'],
  data: ':memory:',
  limits: { historyEvents },
  logger: silentLogger,
});
assert.ok(started.ok, started.ok ? '' : started.error.message);
const server = started.value;
await writeKubeconfig(server.addresses[0] ?? '');

after(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});

async function writeKubeconfig(address: string): Promise<void> {
  const text = `apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: test } }]
clusters: [{ name: test, cluster: { server: "${address}" } }]
users: [{ name: test, user: {} }]
`;
  await writeFile(kubeconfig, text);
}

async function open(): Promise<Datastore> {
  const opened = await openDatastore({ kubeconfig }, {});
  assert.ok(opened.ok, opened.ok ? '' : opened.error.message);
  return opened.value;
}
const value = <T>(result: Result<T, StoreError>): T => {
  assert.ok(result.ok, result.ok ? '' : `${result.error.code}: ${result.error.message}`);
  return result.value;
};
const code = (result: Result<unknown, StoreError>): string => (result.ok ? 'ok' : result.error.code);

/** More changes than the server keeps. */
async function compact(): Promise<void> {
  const store = await open();
  const configMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'noise', namespace: 'default' },
  } as const;
  value(await store.create('ConfigMap', configMap));
  for (let i = 0; i < historyEvents * 2; i++) {
    const body = { data: { change: `${i}` } };
    value(await store.patch('ConfigMap', { name: 'noise', namespace: 'default' }, { type: 'merge', body }));
  }
  await store.close();
}

datastoreConformance('kubernetes', () => Promise.resolve({ open, compact }));

const kubernetesNode = (name: string): KubernetesNode => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { rack: '1' } },
});

test("RS-061, RS-062: Calico's Node is a view of the Kubernetes Node", async () => {
  const store = await open();
  value(await store.create('KubernetesNode', kubernetesNode('viewed')));
  const node = value(await store.get('Node', { name: 'viewed' }));
  assert.equal(node.metadata.labels?.['rack'], '1');
  const spec = { ...node.spec, bgp: { ...node.spec.bgp, ipv4Address: '10.0.0.11/24', asNumber: 64513 } };
  const updated = value(await store.update('Node', { ...node, spec }));
  assert.equal(updated.spec.bgp?.ipv4Address, '10.0.0.11/24');
  const source = value(await store.get('KubernetesNode', { name: 'viewed' }));
  assert.equal(source.metadata.annotations?.['projectcalico.org/IPv4Address'], '10.0.0.11/24');
  assert.equal(source.metadata.annotations?.['projectcalico.org/ASNumber'], '64513');
  assert.equal(code(await store.update('Node', { ...node, spec })), 'Conflict');
  const patched = await store.patch(
    'Node',
    { name: 'viewed' },
    { type: 'merge', body: { spec: { bgp: { asNumber: null } } } },
  );
  assert.equal(value(patched).spec.bgp?.asNumber, undefined);
  assert.equal(value(patched).spec.bgp?.ipv4Address, '10.0.0.11/24');
  assert.equal(code(await store.create('Node', node)), 'NotSupported');
  assert.equal(code(await store.delete('Node', { name: 'viewed' })), 'NotSupported');
  assert.deepEqual(
    value(await store.list('Node', { labelSelector: 'rack=1' })).items.map((n) => n.metadata.name),
    ['viewed'],
  );
  await store.close();
});

test('RS-072, RS-073: a WorkloadEndpoint is a pod while it has an address', async () => {
  const store = await open();
  const { revision } = value(await store.list('WorkloadEndpoint'));
  const abort = new AbortController();
  const events: string[] = [];
  const watching = (async () => {
    for await (const event of store.watch(
      'WorkloadEndpoint',
      revision,
      { fieldSelector: 'spec.node=n1' },
      abort.signal,
    )) {
      if (event.type !== 'bookmark')
        events.push(
          event.type === 'error' ? event.error.code : `${event.type} ${event.object.metadata.name}`,
        );
    }
  })();
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'default' },
    spec: { nodeName: 'n1', containers: [{ name: 'main', image: 'x' }] },
  };
  const created = value(await store.create('Pod', pod));
  const name = { name: 'n1-k8s-web-eth0', namespace: 'default' };
  assert.equal(code(await store.get('WorkloadEndpoint', name)), 'NotFound');
  const running = value(
    await store.updateStatus('Pod', {
      ...created,
      status: { phase: 'Running', podIP: '10.1.2.3', podIPs: [{ ip: '10.1.2.3' }] },
    }),
  );
  const endpoint = value(await store.get('WorkloadEndpoint', name));
  assert.deepEqual(endpoint.spec.ipNetworks, ['10.1.2.3/32']);
  assert.equal(endpoint.metadata.resourceVersion, running.metadata.resourceVersion);
  assert.deepEqual(
    value(await store.list('WorkloadEndpoint', { fieldSelector: 'spec.node=n1' })).items.length,
    1,
  );
  assert.deepEqual(value(await store.list('WorkloadEndpoint', { fieldSelector: 'spec.node=n2' })).items, []);
  value(await store.updateStatus('Pod', { ...running, status: { ...running.status, phase: 'Succeeded' } }));
  assert.equal(code(await store.get('WorkloadEndpoint', name)), 'NotFound');
  await until(() => (events.length >= 3 ? true : undefined), { timeoutMs: 60_000 });
  // The first one is the pod without an address: nothing for who follows the state.
  assert.deepEqual(events, [
    'deleted n1-k8s-web-eth0',
    'modified n1-k8s-web-eth0',
    'deleted n1-k8s-web-eth0',
  ]);
  abort.abort();
  await watching;
  assert.equal(code(await store.create('WorkloadEndpoint', endpoint)), 'NotSupported');
  value(await store.delete('Pod', { name: 'web', namespace: 'default' }, { gracePeriodSeconds: 0 }));
  await store.close();
});

test('a syncer lives through the end and the loss of the API server', async () => {
  const data = join(directory, 'restarted');
  const first = await startApiServer({ listen: ['127.0.0.1:0'], data, logger: silentLogger });
  assert.ok(first.ok);
  const address = first.value.addresses[0] ?? '';
  const listen = [address.replace('http://', '')];
  const path = join(directory, 'restarted-kubeconfig');
  const cluster = { name: 'c', cluster: { server: address } };
  const context = { name: 'c', context: { cluster: 'c' } };
  await writeFile(path, JSON.stringify({ 'current-context': 'c', contexts: [context], clusters: [cluster] }));
  const opened = await openDatastore({ kubeconfig: path }, {});
  assert.ok(opened.ok);
  const store = opened.value;
  const make = (name: string, cidr: string) =>
    store.create('IPPool', {
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name },
      spec: { cidr },
    });
  value(await make('kept', '10.1.0.0/16'));
  const heard: string[] = [];
  const syncer = startSyncer(store, {
    kinds: ['IPPool'],
    onUpdates: (updates) => {
      for (const u of updates)
        heard.push(
          u.type === 'set'
            ? `set ${u.object.metadata.name}`
            : u.type === 'delete'
              ? `delete ${u.name.name}`
              : u.status,
        );
    },
    logger: silentLogger,
    backoffMs: { first: 10, max: 50 },
  });
  await syncer.inSync();
  const heardAfter = (n: number, what: string) =>
    until(() => (heard.lastIndexOf(what) >= n ? true : undefined), { timeoutMs: 60_000 });

  // It comes back with its data: what was known is not told again.
  await first.value.stop();
  assert.ok(await heardAfter(1, 'waiting'));
  const second = await startApiServer({ listen, data, logger: silentLogger });
  assert.ok(second.ok);
  let mark = heard.length;
  value(await make('new', '10.2.0.0/16'));
  assert.ok(await heardAfter(mark - 1, 'set new'));
  assert.ok(!heard.slice(2).includes('set kept'), heard.join(', '));

  // It comes back empty: what is gone is told.
  await second.value.stop();
  const third = await startApiServer({ listen, data: ':memory:', logger: silentLogger });
  assert.ok(third.ok);
  mark = heard.length;
  assert.ok(await heardAfter(mark - 1, 'delete kept'), heard.join(', '));
  assert.ok(heard.includes('delete new'));
  await syncer.stop();
  await store.close();
  await third.value.stop();
});

test('failures say what to do', async () => {
  const closedPort = join(directory, 'closed');
  await writeFile(
    closedPort,
    JSON.stringify({
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c' } }],
      clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:9' } }],
    }),
  );
  const opened = await openDatastore({ kubeconfig: closedPort }, {});
  assert.ok(opened.ok);
  const read = await opened.value.get('IPPool', { name: 'x' });
  assert.ok(!read.ok && read.error.code === 'Unavailable' && /API server/.test(read.error.hint ?? ''));
  await opened.value.close();
  const refused = async (
    config: Parameters<typeof openDatastore>[0],
    env: NodeJS.ProcessEnv = {},
  ): Promise<string> => {
    const result = await openDatastore(config, env);
    return result.ok ? 'ok' : result.error.code;
  };
  assert.equal(await refused({ type: 'etcdv3' }), 'BadConfig');
  assert.equal(await refused({}, { DATASTORE_TYPE: 'paper' }), 'BadConfig');
  assert.equal(await refused({ apiGroup: 'example.org/v1', kubeconfig }), 'BadConfig');
  assert.equal(await refused({}), 'NoKubeconfig');
  assert.equal(await refused({ kubeconfig: join(directory, 'missing') }), 'NoKubeconfig');
  assert.equal(await refused({ kubeconfig, context: 'other' }), 'BadKubeconfig');
});

test('an invalid object is refused with field and reason', async () => {
  const store = await open();
  const bad = await store.create('IPPool', {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name: 'bad' },
    spec: { cidr: '10.0.0.1/8', blockSize: 99 },
  });
  assert.ok(!bad.ok && bad.error.code === 'Invalid');
  assert.ok(
    (bad.error.issues ?? []).some((issue) => issue.field.startsWith('spec.')),
    JSON.stringify(bad.error),
  );
  await store.close();
});
