import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '../lib/log.ts';
import { sleep, until } from '../lib/wait.ts';
import type { IPPool } from '../model/mod.ts';
import { type FaultPlan, MemoryStore, startSyncer, storeError, type SyncUpdate } from './mod.ts';

type PoolUpdate = SyncUpdate<'IPPool'>;
const pool = (name: string, cidr = '10.0.0.0/16', labels?: Record<string, string>): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name, ...(labels === undefined ? {} : { labels }) },
  spec: { cidr },
});
const quick = { first: 1, max: 5 };

/** A consumer that keeps the state it was told and everything it heard. */
function consumer(delayMs = 0) {
  const heard: PoolUpdate[] = [];
  const state = new Map<string, IPPool>();
  const onUpdates = async (updates: readonly PoolUpdate[]): Promise<void> => {
    for (const update of updates) {
      heard.push(update);
      if (update.type === 'set') state.set(update.object.metadata.name, update.object);
      if (update.type === 'delete')
        assert.ok(state.delete(update.name.name), 'only known objects are deleted');
    }
    if (delayMs > 0) await sleep(delayMs);
  };
  return { heard, state, onUpdates };
}

const text = (u: PoolUpdate): string =>
  u.type === 'status'
    ? u.status
    : u.type === 'set'
      ? `set ${u.object.metadata.name}`
      : `delete ${u.name.name}`;

test('what exists comes first, then in-sync, then changes', async () => {
  const store = new MemoryStore();
  store.put('IPPool', pool('a'), pool('b'));
  const client = store.open();
  const { heard, onUpdates } = consumer();
  const syncer = startSyncer(client, { kinds: ['IPPool'], onUpdates, logger: silentLogger });
  assert.equal(await syncer.inSync(), true);
  assert.deepEqual(heard.map(text), ['set a', 'set b', 'in-sync']);
  await client.create('IPPool', pool('c'));
  await client.delete('IPPool', { name: 'a' });
  await until(() => (heard.length >= 5 ? true : undefined), { timeoutMs: 2000 });
  assert.deepEqual(heard.slice(3).map(text), ['set c', 'delete a']);
  await syncer.stop();
  assert.deepEqual(await syncer.done, { ok: true, value: undefined });
});

test('after compaction only differences are reported', async () => {
  const store = new MemoryStore();
  store.put('IPPool', pool('a'), pool('b'), pool('c'));
  let down = false;
  const faults: FaultPlan = (call) =>
    down && (call.verb === 'watch' || call.verb === 'list')
      ? { do: 'fail', when: 'before', error: storeError('Unavailable', 'down') }
      : undefined;
  // A tiny watch queue: a burst overflows it, which ends the watch with TooOld.
  const watched = store.open({ faults, watchQueueLimit: 2 });
  const { heard, state, onUpdates } = consumer();
  const syncer = startSyncer(watched, {
    kinds: ['IPPool'],
    onUpdates,
    logger: silentLogger,
    backoffMs: quick,
  });
  await syncer.inSync();
  down = true;
  store.put('IPPool', pool('a', '10.1.0.0/16'), pool('d'), pool('e'), pool('f'));
  await store.open().delete('IPPool', { name: 'b' });
  store.compact();
  await until(() => (heard.map(text).lastIndexOf('waiting') > 0 ? true : undefined), { timeoutMs: 2000 });
  const before = heard.length;
  down = false;
  await until(() => (syncer.status === 'in-sync' && state.size === 5 ? true : undefined), {
    timeoutMs: 2000,
  });
  assert.ok(!heard.slice(before).map(text).includes('set c'), 'c did not change');
  assert.deepEqual([...state.keys()].sort(), ['a', 'c', 'd', 'e', 'f']);
  assert.equal(state.get('a')?.spec.cidr, '10.1.0.0/16');
  await syncer.stop();
});

test('an object made again under its name is seen to go first', async () => {
  const store = new MemoryStore();
  store.put('IPPool', pool('a'));
  const client = store.open();
  const { heard, onUpdates } = consumer(20);
  const syncer = startSyncer(client, { kinds: ['IPPool'], onUpdates, logger: silentLogger });
  await syncer.inSync();
  await client.delete('IPPool', { name: 'a' });
  await client.create('IPPool', pool('a', '10.9.0.0/16'));
  await until(() => (heard.length >= 4 ? true : undefined), { timeoutMs: 2000 });
  assert.deepEqual(heard.slice(2).map(text), ['delete a', 'set a']);
  await syncer.stop();
});

test('a slow consumer gets the latest state of each object, not every change', async () => {
  const store = new MemoryStore();
  const client = store.open();
  const { heard, state, onUpdates } = consumer(30);
  const syncer = startSyncer(client, { kinds: ['IPPool'], onUpdates, logger: silentLogger });
  await syncer.inSync();
  for (let i = 0; i < 200; i++) store.put('IPPool', pool('a', `10.${i}.0.0/16`), pool('b', `10.${i}.0.0/16`));
  await until(() => (state.get('b')?.spec.cidr === '10.199.0.0/16' ? true : undefined), { timeoutMs: 5000 });
  assert.equal(state.get('a')?.spec.cidr, '10.199.0.0/16');
  assert.ok(heard.length < 50, `${heard.length} updates for 400 changes`);
  await syncer.stop();
});

test('a consumer that throws ends the syncer', async () => {
  const store = new MemoryStore();
  const syncer = startSyncer(store.open(), {
    kinds: ['IPPool'],
    onUpdates: () => {
      throw new Error('bug');
    },
    logger: silentLogger,
  });
  const done = await syncer.done;
  assert.ok(!done.ok && done.error.code === 'ConsumerFailed');
  assert.equal(await syncer.inSync(), false);
});

test('selections of one kind are followed apart', async () => {
  const store = new MemoryStore();
  store.put(
    'IPPool',
    pool('a', '10.0.0.0/16', { side: 'left' }),
    pool('b', '10.1.0.0/16', { side: 'right' }),
  );
  const { state, onUpdates } = consumer();
  const syncer = startSyncer(store.open(), {
    kinds: [{ kind: 'IPPool', labelSelector: 'side=left' }],
    onUpdates,
    logger: silentLogger,
  });
  await syncer.inSync();
  assert.deepEqual([...state.keys()], ['a']);
  store.put('IPPool', pool('a', '10.0.0.0/16', { side: 'right' }));
  await until(() => (state.size === 0 ? true : undefined), { timeoutMs: 2000 });
  await syncer.stop();
});

test('any history under any faults ends in the state of the store', async () => {
  const step = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    act: fc.constantFrom('put', 'put', 'delete', 'compact', 'pause'),
    n: fc.nat(255),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.infiniteStream(fc.nat(9)),
      async (steps, chances) => {
        const store = new MemoryStore({ historyLimit: 8 });
        store.put('IPPool', pool('a'));
        let stable = false;
        const faults: FaultPlan = () => {
          const chance = stable ? 9 : chances.next().value;
          if (chance > 2) return undefined;
          return {
            do: 'fail',
            when: 'after',
            error: storeError(chance === 0 ? 'TooOld' : 'Unavailable', 'injected'),
          };
        };
        const { state, onUpdates } = consumer();
        const syncer = startSyncer(store.open({ faults, watchQueueLimit: 3 }), {
          kinds: ['IPPool'],
          onUpdates,
          logger: silentLogger,
          pageSize: 2,
          backoffMs: { first: 0, max: 1 },
        });
        const client = store.open();
        for (const { name, act, n } of steps) {
          if (act === 'put') store.put('IPPool', pool(name, `10.${n}.0.0/16`));
          else if (act === 'delete') await client.delete('IPPool', { name });
          else if (act === 'compact') store.compact();
          else await sleep(0);
        }
        stable = true;
        const want = JSON.stringify(store.all('IPPool'));
        const got = (): string =>
          JSON.stringify([...state.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)));
        await until(() => (syncer.status === 'in-sync' && got() === want ? true : undefined), {
          timeoutMs: 3000,
          everyMs: 1,
        });
        assert.equal(got(), want);
        await syncer.stop();
      },
    ),
    { numRuns: 60 },
  );
});

test('a kind that the server does not have counts as empty where that is allowed', async () => {
  const store = new MemoryStore();
  store.put('IPPool', pool('a'));
  const faults: FaultPlan = (call) =>
    call.kind === 'ClusterNetworkPolicy'
      ? { do: 'fail', when: 'before', error: storeError('NotFound', 'no such kind') }
      : undefined;
  const heard: string[] = [];
  const syncer = startSyncer(store.open({ faults }), {
    kinds: ['IPPool', { kind: 'ClusterNetworkPolicy', mayBeMissing: true }],
    onUpdates: (updates) => void heard.push(...updates.map((u) => u.type)),
    logger: silentLogger,
  });
  assert.equal(await syncer.inSync(), true);
  assert.deepEqual(heard, ['set', 'status']);
  await syncer.stop();
});
