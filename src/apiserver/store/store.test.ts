import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { err, ok } from '../../lib/result.ts';
import { refuse } from '../status.ts';
import type { ApiObject } from '../types.ts';
import { Store } from './store.ts';
import type { ChangeLog } from './log.ts';
import type { Change, Key } from './types.ts';

function open(data: string, limits: { historyEvents?: number; historyBytes?: number } = {}): Store {
  const store = Store.open({
    data,
    durability: 'process',
    historyEvents: 1000,
    historyBytes: 1e7,
    ...limits,
    clock: systemClock,
    logger: silentLogger,
  });
  assert.ok(store.ok, store.ok ? '' : store.error.message);
  return store.value;
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'margay-store-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const key = (name: string, namespace = 'n'): Key => ({ resource: 'things', namespace, name });
const thing = (name: string, value: number): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, uid: `u-${name}` },
  value,
});

const put = (store: Store, name: string, value: number): Promise<unknown> =>
  store.write((tx) => ok(tx.put(key(name), thing(name, value))));
const remove = (store: Store, name: string): Promise<unknown> =>
  store.write((tx) => ok(tx.remove(key(name))));

const stateOf = (store: Store): unknown =>
  store
    .list('things')
    .map((stored) => [
      stored.name,
      stored.revision,
      stored.object['value'],
      stored.object.metadata.resourceVersion,
    ]);

test('writes get one revision each, later writes of a batch see earlier ones, refused ones leave no trace', async () => {
  const store = open(':memory:');
  const results = await Promise.all([
    store.write((tx) => ok(tx.put(key('a'), thing('a', 1)).revision)),
    store.write((tx) => {
      tx.put(key('b'), thing('b', 1));
      return refuse('BadRequest', 'no');
    }),
    store.write((tx) => ok(tx.get(key('a'))?.object['value'])),
    store.write((tx) => ok(tx.put(key('a'), thing('a', 2)).revision)),
  ]);
  assert.deepEqual(
    results.map((result) => (result.ok ? result.value : result.error.reason)),
    [1, 'BadRequest', 1, 2],
  );
  assert.deepEqual(stateOf(store), [['a', 2, 2, '2']]);
  assert.equal(store.revision, 2);
  await store.close();
});

test('an exception in a write rejects that write alone', async () => {
  const store = open(':memory:');
  const bug = store.write(() => {
    throw new Error('bug');
  });
  const fine = store.write((tx) => ok(tx.put(key('a'), thing('a', 1)).revision));
  await assert.rejects(bug, /bug/);
  assert.deepEqual(await fine, ok(1));
  await store.close();
});

test('after a restart everything has the revisions it had, and the next one follows', async (t) => {
  const data = directory(t);
  const store = open(data);
  for (let i = 0; i < 20; i++) await put(store, `x${i % 7}`, i);
  await remove(store, 'x3');
  const before = stateOf(store);
  await store.close();
  const again = open(data);
  assert.deepEqual(stateOf(again), before);
  assert.equal(again.revision, 21);
  await put(again, 'new', 1);
  assert.equal(again.get(key('new'))?.revision, 22);
  await again.close();
});

test('a second process cannot open the database, and is told why', async (t) => {
  const data = directory(t);
  const store = open(data);
  await put(store, 'a', 1);
  const second = Store.open({
    data,
    durability: 'process',
    historyEvents: 10,
    historyBytes: 1e6,
    clock: systemClock,
    logger: silentLogger,
  });
  assert.ok(!second.ok && second.error.code === 'DataInUse', JSON.stringify(second));
  await store.close();
});

test('a directory that cannot be, and a file that is no database, are named', (t) => {
  const place = directory(t);
  writeFileSync(join(place, 'file'), '');
  mkdirSync(join(place, 'full'));
  writeFileSync(join(place, 'full', 'margay.db'), 'this is not a database, whatever its name says');
  for (const data of [
    join(place, 'file'),
    join(place, 'file', 'below'),
    '/proc/nowhere/at/all',
    join(place, 'full'),
  ]) {
    const store = Store.open({
      data,
      durability: 'process',
      historyEvents: 10,
      historyBytes: 1e6,
      clock: systemClock,
      logger: silentLogger,
    });
    assert.ok(!store.ok && store.error.code === 'DataUnusable', data);
    assert.ok(store.error.message.includes(data) && store.error.hint !== undefined, store.error.message);
  }
});

test('a row that cannot be read is a refusal, not a crash', async (t) => {
  const data = directory(t);
  const store = open(data);
  await put(store, 'a', 1);
  await store.close();
  const db = new DatabaseSync(join(data, 'margay.db'));
  db.exec(`UPDATE change SET body = '{'`);
  db.close();
  const again = Store.open({
    data,
    durability: 'process',
    historyEvents: 10,
    historyBytes: 1e6,
    clock: systemClock,
    logger: silentLogger,
  });
  assert.ok(!again.ok && again.error.code === 'DataUnusable');
});

test('history is bounded: older feeds expire, newer ones go on, the disk keeps only what is needed', async (t) => {
  const data = directory(t);
  const store = open(data, { historyEvents: 10 });
  const early = store.feed('things', 0, () => undefined);
  for (let i = 0; i < 30; i++) await put(store, `x${i % 3}`, i);
  assert.equal(early.next(), 'expired');
  assert.equal(store.compacted, 20);
  const late = store.feed('things', 20, () => undefined);
  const seen = [];
  for (let change = late.next(); change !== undefined && change !== 'expired'; change = late.next())
    seen.push(change.revision);
  assert.deepEqual(seen, [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  await store.close();
  const again = open(data, { historyEvents: 10 });
  assert.equal(again.compacted, 20);
  const resumed = again.feed('things', 25, () => undefined);
  const change = resumed.next();
  assert.ok(
    change !== undefined &&
      change !== 'expired' &&
      change.revision === 26 &&
      change.previous?.revision === 23,
  );
  await again.close();
});

test('any sequence of writes: lists, earlier lists, feeds and restarts agree with a slow model', async (t) => {
  const operation = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    value: fc.nat(9),
    remove: fc.boolean(),
  });
  const data = directory(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 30 }),
      fc.integer({ min: 1, max: 12 }),
      async (operations, historyEvents) => {
        const where = join(data, String(run++));
        let store = open(where, { historyEvents });
        const states = [new Map<string, number>()];
        for (const { name, value, remove: removes } of operations) {
          const now = new Map(states.at(-1));
          if (removes) {
            if (!now.delete(name)) continue;
            await remove(store, name);
          } else {
            now.set(name, value);
            await put(store, name, value);
          }
          states.push(now);
        }
        for (const restarted of [false, true]) {
          if (restarted) {
            await store.close();
            store = open(where, { historyEvents });
          }
          assert.equal(store.revision, states.length - 1);
          for (let revision = store.compacted; revision < states.length; revision++) {
            const listed = store
              .listAt('things', 'n', revision)
              .map((stored) => [stored.name, stored.object['value']]);
            assert.deepEqual(
              listed,
              [...(states[revision] ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)),
            );
            // A feed from any kept revision leads to the newest state.
            const followed = new Map(states[revision]);
            const feed = store.feed('things', revision, () => undefined);
            for (let change = feed.next(); change !== undefined; change = feed.next()) {
              assert.notEqual(change, 'expired');
              if (change === 'expired') break;
              if (change.type === 'DELETED') followed.delete(change.current.name);
              else followed.set(change.current.name, Number(change.current.object['value']));
            }
            assert.deepEqual(followed, states.at(-1));
          }
        }
        await store.close();
      },
    ),
    { numRuns: 25 },
  );
});

test('integers beyond 2^53 survive a restart', async (t) => {
  const data = directory(t);
  const store = open(data);
  await store.write((tx) => ok(tx.put(key('big'), { ...thing('big', 0), value: 1790000000123456789n })));
  await store.close();
  const again = open(data);
  assert.equal(again.get(key('big'))?.object['value'], 1790000000123456789n);
  assert.match(again.get(key('big'))?.text ?? '', /1790000000123456789/);
  await again.close();
});

test('a closed store refuses', async () => {
  const store = open(':memory:');
  const last = store.write((tx) => ok(tx.put(key('a'), thing('a', 1)).revision));
  const closing = store.close();
  const late = await store.write(() => err(refuse('BadRequest', 'never').error));
  assert.ok(!late.ok && late.error.reason === 'ServiceUnavailable');
  await closing;
  assert.deepEqual(await last, ok(1));
});

/** A log in memory whose next append or flush can be made to fail. */
class FailingLog implements ChangeLog {
  compacted = 0;
  failNext: 'append' | 'flush' | undefined;
  appended = 0;
  rows(): [] {
    return [];
  }
  append(changes: readonly Change[]): void {
    if (this.failNext === 'append') {
      this.failNext = undefined;
      throw new Error('disk full');
    }
    this.appended += changes.length;
  }
  flush(): Promise<void> {
    const fails = this.failNext === 'flush';
    this.failNext = undefined;
    return fails ? Promise.reject(new Error('input/output error')) : Promise.resolve();
  }
  close(): void {
    this.failNext = undefined;
  }
}

function openOver(log: ChangeLog): Store {
  const limits = { historyEvents: 10, historyBytes: 1e6 };
  const store = Store.open({
    data: '',
    durability: 'power',
    ...limits,
    clock: systemClock,
    logger: silentLogger,
    log,
  });
  assert.ok(store.ok);
  return store.value;
}

test('a disk that takes nothing: the writer is told, nothing has happened, the next write works', async () => {
  const log = new FailingLog();
  const store = openOver(log);
  await put(store, 'a', 1);
  log.failNext = 'append';
  const refused = await store.write((tx) => ok(tx.put(key('a'), thing('a', 2))));
  assert.ok(!refused.ok && refused.error.code === 500 && /disk full/.test(refused.error.message));
  assert.deepEqual(stateOf(store), [['a', 1, 1, '1']]);
  await put(store, 'a', 3);
  assert.deepEqual(stateOf(store), [['a', 2, 3, '2']]);
  await store.close();
});

test('a disk that fails to sync: nobody knows what it holds, so no later write is taken', async () => {
  const log = new FailingLog();
  const store = openOver(log);
  await put(store, 'a', 1);
  log.failNext = 'flush';
  for (let i = 0; i < 2; i++) {
    const refused = await store.write((tx) => ok(tx.put(key('a'), thing('a', 2))));
    assert.ok(!refused.ok && refused.error.code === 503, JSON.stringify(refused));
  }
  assert.equal(log.appended, 2);
  assert.deepEqual(stateOf(store), [['a', 1, 1, '1']]);
  await store.close();
});
