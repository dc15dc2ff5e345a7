import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { SyncUpdate } from '../../datastore/mod.ts';
import { HeldUpdates } from './held-updates.ts';
import { Cluster, object, pod } from './testing.ts';

type Update = SyncUpdate<'ClusterInformation' | 'Node'>;
const information = (datastoreReady: boolean): Update => ({
  type: 'set',
  kind: 'ClusterInformation',
  object: object('ClusterInformation', 'default', { datastoreReady }),
});
const set = (name: string, spec: object = {}): Update => ({
  type: 'set',
  kind: 'Node',
  object: object('Node', name, spec),
});
const gone = (name: string): Update => ({ type: 'delete', kind: 'Node', name: { name } });
const inSync: Update = { type: 'status', status: 'in-sync' };

test('news wait while the datastore is not ready, the newest of each object, and go on when it is', () => {
  const held = new HeldUpdates<'ClusterInformation' | 'Node'>(silentLogger);
  assert.deepEqual(held.pass([set('a'), information(false), set('b'), inSync]), [
    set('a'),
    information(false),
    inSync,
  ]);
  assert.deepEqual(held.pass([gone('a'), set('b', { new: 1 }), information(false)]), [information(false)]);
  assert.deepEqual(held.pass([gone('b'), set('c'), gone('c'), set('b', { new: 2 })]), []);
  assert.deepEqual(held.pass([set('d'), information(true), set('e')]), [
    // One that was made again is seen to go first.
    gone('b'),
    set('b', { new: 2 }),
    gone('a'),
    gone('c'),
    set('d'),
    information(true),
    set('e'),
  ]);
  assert.deepEqual(held.pass([gone('a')]), [gone('a')]);
});

test('no ClusterInformation at all means that the datastore is ready', () => {
  const held = new HeldUpdates<'ClusterInformation' | 'Node'>(silentLogger);
  held.pass([information(false), set('a')]);
  const deleted: Update = { type: 'delete', kind: 'ClusterInformation', name: { name: 'default' } };
  assert.deepEqual(held.pass([deleted]), [set('a'), deleted]);
});

test('RS-181: a datastore that is no longer ready changes nothing on a node until it is again', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.link('calia');
  cluster.store.put('ClusterInformation', object('ClusterInformation', 'default', { datastoreReady: true }));
  cluster.store.put('WorkloadEndpoint', pod('a', '10.244.1.2'));
  const agent = cluster.start();
  try {
    expect(await agent.ready, 'ready');
    const has = async (wanted: boolean): Promise<true | undefined> =>
      (await cluster.routes()).includes('10.244.1.2/32') === wanted ? true : undefined;
    assert.ok(await until(() => has(true), { timeoutMs: 30_000 }));
    const store = cluster.store.open();
    const say = async (datastoreReady: boolean, clusterType = 'k8s'): Promise<void> => {
      const now = expect(await store.get('ClusterInformation', { name: 'default' }), 'get');
      expect(
        await store.update('ClusterInformation', {
          ...now,
          spec: { ...now.spec, datastoreReady, clusterType },
        }),
        'update',
      );
    };
    await say(false);
    assert.ok(
      await until(() => (agent.status().calc.datastoreReady ? undefined : true), { timeoutMs: 30_000 }),
    );
    expect(await store.delete('WorkloadEndpoint', { name: 'a', namespace: 'default' }), 'delete');
    // What passes and comes later shows that the deletion has been heard of.
    const { updates } = agent.status().calc;
    await say(false, 'k8s,bgp');
    assert.ok(
      await until(() => (agent.status().calc.updates > updates ? true : undefined), { timeoutMs: 30_000 }),
    );
    assert.ok(await has(true));
    await say(true);
    assert.ok(await until(() => has(false), { timeoutMs: 30_000 }));
  } finally {
    await agent.stop();
  }
});
