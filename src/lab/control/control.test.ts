import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../datastore/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { until } from '../../lib/wait.ts';
import type { DaemonSet, Deployment, KubernetesNode, Pod } from '../../model/mod.ts';
import { bindByPatch, startControlLoop } from './mod.ts';
import { isActive } from './pods.ts';
import { leastUseful } from './replicas.ts';
import { place } from './schedule.ts';
import { matches } from './selectors.ts';

const node = (name: string, labels: Record<string, string> = {}): KubernetesNode => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels },
  status: { conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: new Date().toISOString() }] },
});
const deployment = (replicas: number, image = 'demo:1'): Deployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }] } },
  },
});
const pod = (name: string, spec: Partial<Pod['spec']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: { containers: [{ name: 'a', image: 'x' }], ...spec },
});

/** Plays the nodes: bound pods become ready, deleted ones go. */
async function withCluster(
  run: (cluster: { store: MemoryStore; settle: (check: () => boolean) => Promise<void> }) => Promise<void>,
): Promise<void> {
  const store = new MemoryStore();
  for (const name of ['master1', 'worker1', 'worker2', 'worker3']) store.put('KubernetesNode', node(name));
  const loop = startControlLoop({
    datastore: store.open(),
    logger: silentLogger,
    bind: bindByPatch(store.open()),
  });
  const kubelet = store.open();
  const step = async (): Promise<void> => {
    for (const one of store.all('Pod')) {
      const name = { name: one.metadata.name, namespace: 'default' };
      if (one.metadata.deletionTimestamp !== undefined) await kubelet.delete('Pod', name);
      else if (one.spec.nodeName !== undefined && one.status?.phase !== 'Running')
        await kubelet.updateStatus('Pod', {
          ...one,
          status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
        });
    }
  };
  const settle = async (check: () => boolean): Promise<void> => {
    const done = await until(
      async () => {
        await step();
        return check() ? true : undefined;
      },
      { timeoutMs: 10_000, everyMs: 5 },
    );
    assert.equal(
      done,
      true,
      JSON.stringify(store.all('Pod').map((p) => [p.metadata.name, p.spec.nodeName, p.status?.phase])),
    );
  };
  try {
    await run({ store, settle });
  } finally {
    await loop.stop();
  }
}

const ready = (store: MemoryStore): readonly Pod[] =>
  store.all('Pod').filter((p) => isActive(p) && p.status?.phase === 'Running');

test('a deployment gets its pods, spread over the nodes, and follows its scale', async () => {
  await withCluster(async ({ store, settle }) => {
    const client = store.open();
    await client.create('Deployment', deployment(6));
    await settle(() => store.all('Deployment')[0]?.status?.availableReplicas === 6);
    const perNode = Object.values(Object.groupBy(ready(store), (p) => p.spec.nodeName ?? '')).map(
      (l) => l?.length,
    );
    assert.deepEqual(
      perNode.sort((a, b) => (a ?? 0) - (b ?? 0)),
      [1, 1, 2, 2],
    );
    const scale = (replicas: number): Promise<unknown> =>
      client.patch(
        'Deployment',
        { name: 'web', namespace: 'default' },
        { type: 'merge', body: { spec: { replicas } } },
      );
    await scale(2);
    await settle(() => store.all('Pod').length === 2 && store.all('Deployment')[0]?.status?.replicas === 2);
    await scale(0);
    await settle(() => store.all('Pod').length === 0);
    await client.delete('Deployment', { name: 'web', namespace: 'default' });
    await settle(() => store.all('ReplicaSet').length === 0);
  });
});

test('a new image rolls out without falling below what must stay available', async () => {
  await withCluster(async ({ store, settle }) => {
    const client = store.open();
    await client.create('Deployment', deployment(4));
    await settle(() => store.all('Deployment')[0]?.status?.availableReplicas === 4);
    let least = 4;
    let most = 0;
    await client.patch(
      'Deployment',
      { name: 'web', namespace: 'default' },
      {
        type: 'merge',
        body: { spec: { template: { spec: { containers: [{ name: 'web', image: 'demo:2' }] } } } },
      },
    );
    await settle(() => {
      least = Math.min(least, ready(store).length);
      most = Math.max(most, store.all('Pod').filter(isActive).length);
      const pods = store.all('Pod');
      return (
        pods.length === 4 &&
        pods.every((p) => p.spec.containers[0]?.image === 'demo:2' && p.status?.phase === 'Running')
      );
    });
    assert.ok(least >= 3, `only ${least} ready`);
    assert.ok(most <= 5, `${most} pods at once`);
    assert.equal(store.all('ReplicaSet').length, 2);
  });
});

test('a daemon set has one pod per fitting node, also on a node that comes later', async () => {
  await withCluster(async ({ store, settle }) => {
    const set: DaemonSet = {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'd', namespace: 'default' },
      spec: {
        selector: { matchLabels: { app: 'd' } },
        template: { metadata: { labels: { app: 'd' } }, spec: { containers: [{ name: 'd', image: 'x' }] } },
      },
    };
    await store.open().create('DaemonSet', set);
    await settle(() => store.all('DaemonSet')[0]?.status?.numberReady === 4);
    store.put('KubernetesNode', node('worker4'));
    await settle(() => ready(store).some((p) => p.spec.nodeName === 'worker4'));
    assert.equal(new Set(ready(store).map((p) => p.spec.nodeName)).size, 5);
  });
});

test('taints: pods leave a node that says so, daemons too unless they tolerate it, and none comes', async () => {
  await withCluster(async ({ store, settle }) => {
    const template: DaemonSet['spec']['template'] = {
      metadata: { labels: { app: 'd' } },
      spec: { containers: [{ name: 'd', image: 'x' }] },
    };
    const daemon = (name: string, spec: Partial<Pod['spec']>): DaemonSet => ({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name, namespace: 'default' },
      spec: {
        selector: { matchLabels: { app: 'd' } },
        template: { ...template, spec: { ...template.spec, ...spec } },
      },
    });
    const client = store.open();
    await client.create('Deployment', deployment(4));
    await client.create('DaemonSet', daemon('frail', {}));
    await client.create('DaemonSet', daemon('tough', { tolerations: [{ operator: 'Exists' }] }));
    await settle(() => ready(store).length === 12);
    const taints = [{ key: 'broken', effect: 'NoExecute' }];
    store.put('KubernetesNode', { ...node('worker1'), spec: { taints } });
    const there = (): readonly string[] =>
      store
        .all('Pod')
        .filter((p) => p.spec.nodeName === 'worker1')
        .map((p) => p.metadata.ownerReferences?.[0]?.name ?? '');
    await settle(() => ready(store).length === 11 && there().join() === 'tough');
  });
});

test('a pod that fits nowhere is told why, and is placed when a node gets its label', async () => {
  await withCluster(async ({ store, settle }) => {
    await store.open().create('Pod', pod('picky', { nodeSelector: { disk: 'ssd' } }));
    await settle(() => store.all('Pod')[0]?.status?.conditions?.[0]?.reason === 'Unschedulable');
    store.put('KubernetesNode', node('worker2', { disk: 'ssd' }));
    await settle(() => store.all('Pod')[0]?.spec.nodeName === 'worker2');
  });
});

test('a node whose heartbeats stop is marked, and gets no more pods', async () => {
  const store = new MemoryStore();
  const silent = node('worker1');
  store.put('KubernetesNode', {
    ...silent,
    status: { conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2020-01-01T00:00:00Z' }] },
  });
  const loop = startControlLoop({
    datastore: store.open(),
    logger: silentLogger,
    bind: bindByPatch(store.open()),
  });
  try {
    const marked = await until(
      () =>
        store.all('KubernetesNode')[0]?.status?.conditions?.[0]?.status === 'Unknown' ? true : undefined,
      { timeoutMs: 5000 },
    );
    assert.equal(marked, true);
  } finally {
    await loop.stop();
  }
});

test('placement', () => {
  const nodes = [node('a'), node('b', { rack: 'rack-2' })];
  assert.deepEqual(place(pod('x'), nodes, []), { node: 'a' });
  assert.deepEqual(place(pod('x'), nodes, [pod('y', { nodeName: 'a' })]), { node: 'b' });
  assert.deepEqual(place(pod('x', { nodeSelector: { rack: 'rack-2' } }), nodes, []), { node: 'b' });
  assert.deepEqual(place(pod('x', { nodeSelector: { rack: 'rack-9' } }), nodes, []), {
    reason: "0/2 nodes are available: 2 didn't match the pod's node selector.",
  });
  assert.deepEqual(place(pod('x'), [], []), { reason: '0/0 nodes are available.' });
  const slow = { ...node('slow'), spec: { taints: [{ key: 'disk', value: 'slow', effect: 'NoSchedule' }] } };
  assert.deepEqual(place(pod('x'), [slow], []), {
    reason: '0/1 nodes are available: 1 had untolerated taint {disk: slow}.',
  });
  const soft = { ...slow, spec: { taints: [{ key: 'disk', effect: 'PreferNoSchedule' }] } };
  assert.deepEqual(place(pod('x'), [soft], []), { node: 'slow' });
  for (const toleration of [
    { key: 'disk', value: 'slow', effect: 'NoSchedule' },
    { key: 'disk', operator: 'Exists' },
    { operator: 'Exists' },
  ])
    assert.deepEqual(place(pod('x', { tolerations: [toleration] }), [slow], []), { node: 'slow' });
  const other = { key: 'disk', value: 'fast', effect: 'NoSchedule' };
  assert.ok('reason' in place(pod('x', { tolerations: [other] }), [slow], []));
});

test('pods that are least useful go first', () => {
  const placedPod = (name: string, nodeName: string): Pod => ({
    ...pod(name, { nodeName }),
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });
  const order = leastUseful([placedPod('a', 'n1'), placedPod('b', 'n2'), placedPod('c', 'n1'), pod('d')]);
  assert.deepEqual(
    order.map((p) => p.metadata.name),
    ['d', 'a', 'c', 'b'],
  );
});

test('label selectors', () => {
  assert.ok(matches({}, {}));
  assert.ok(matches({ matchLabels: { a: '1' } }, { a: '1', b: '2' }));
  assert.ok(!matches({ matchLabels: { a: '1' } }, { a: '2' }));
  const one = (operator: string, labels: Record<string, string>): boolean =>
    matches({ matchExpressions: [{ key: 'a', operator, values: ['1'] }] }, labels);
  assert.deepEqual(
    [
      one('In', { a: '1' }),
      one('In', {}),
      one('NotIn', {}),
      one('Exists', { a: 'x' }),
      one('DoesNotExist', {}),
      one('Odd', { a: '1' }),
    ],
    [true, false, true, true, true, false],
  );
});
