import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../lib/clock.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { Reconciler } from './reconciler.ts';
import { Table } from './table.ts';
import type { Change, Closing, Operations, OrphanVerdict } from './types.ts';

const compareText = (a: string, b: string): number => (a < b ? -1 : 1);

type Row = { readonly key: string; readonly value: number };

/** A kernel of key and value: orphans below `own:` are ours. Changes by others can be announced by `events`. */
class TinyKernel implements Operations<Row, number> {
  readonly name = 'tiny';
  readonly state = new Map<string, number>();
  readonly writes: string[] = [];
  readonly events: { key: string; actual: number | undefined }[] = [];
  readonly refuse = new Set<string>();
  readonly absent = new Set<string>();
  dumpFails = false;
  grace: number | undefined;

  keyOf(row: Row): string {
    return row.key;
  }
  dump(): Promise<Result<ReadonlyMap<string, number>>> {
    if (this.dumpFails) return Promise.resolve(err(failure('KernelError', 'no answer')));
    return Promise.resolve(ok(new Map(this.state)));
  }
  equal(row: Row, actual: number): boolean {
    return row.value === actual;
  }
  blocked(row: Row): string | undefined {
    return this.absent.has(row.key) ? 'not there' : undefined;
  }
  orphan(key: string): OrphanVerdict {
    if (!key.startsWith('own:')) return 'leave';
    return this.grace === undefined ? 'remove' : { removeAfterMs: this.grace };
  }
  apply(changes: readonly Change<Row, number>[]): Promise<readonly Result<number | undefined>[]> {
    return Promise.resolve(
      changes.map((change) => {
        if (this.refuse.has(change.key)) return err(failure('Refused', 'no'));
        this.writes.push(change.op === 'put' ? `${change.key}=${change.row.value}` : `-${change.key}`);
        const value = change.op === 'put' ? change.row.value : undefined;
        this.foreign(change.key, value);
        return ok(value);
      }),
    );
  }
  foreign(key: string, value: number | undefined): void {
    if (value === undefined) this.state.delete(key);
    else this.state.set(key, value);
    this.events.push({ key, actual: value });
  }
}

function setUp(kernel = new TinyKernel(), auditIntervalMs = 0) {
  const clock = new VirtualClock();
  const table = new Table<Row>('tiny', (row) => row.key, clock);
  const reconciler = new Reconciler(table, kernel, { clock, auditIntervalMs });
  /** Delivers the events the kernel has queued. */
  const deliver = (): void => {
    for (const event of kernel.events.splice(0)) reconciler.observe({ type: 'actual', ...event });
  };
  const advance = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 10) {
      deliver();
      clock.advance(Math.min(10, ms - passed));
      await reconciler.idle();
    }
    deliver();
    await reconciler.idle();
  };
  return { clock, table, kernel, reconciler, deliver, advance };
}

test('the first sync removes own orphans, leaves what is right and what is others’', async () => {
  const { table, kernel, reconciler } = setUp();
  kernel.state.set('own:old', 1).set('own:right', 2).set('own:wrong', 3).set('other', 4);
  table.set({ key: 'own:right', value: 2 });
  table.set({ key: 'own:wrong', value: 30 });
  table.set({ key: 'own:new', value: 5 });
  await reconciler.idle();
  assert.deepEqual(kernel.writes, [], 'nothing is written before the start');
  reconciler.start();
  await reconciler.idle();
  assert.deepEqual(kernel.writes.toSorted(compareText), ['-own:old', 'own:new=5', 'own:wrong=30']);
  assert.deepEqual(table.counts(), { rows: 3, done: 3, pending: 0, errors: 0 });
  assert.equal(reconciler.synced, true);
});

test('steady state writes deltas only, and own events are no drift', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  reconciler.start();
  table.set({ key: 'a', value: 1 });
  table.set({ key: 'b', value: 1 });
  await advance(100);
  table.set({ key: 'a', value: 1 });
  table.set({ key: 'b', value: 2 });
  table.delete('b');
  table.set({ key: 'b', value: 3 });
  await advance(100);
  table.delete('a');
  await advance(100);
  assert.deepEqual(kernel.writes, ['a=1', 'b=1', 'b=3', '-a']);
  assert.equal(reconciler.counters.drifted, 0);
  assert.equal(reconciler.counters.dumps, 1);
});

test('late events of own writes cause no second write', async () => {
  const { table, kernel, reconciler, advance, deliver } = setUp();
  reconciler.start();
  table.set({ key: 'a', value: 1 });
  await reconciler.idle();
  table.set({ key: 'a', value: 2 });
  await reconciler.idle();
  table.delete('a');
  await reconciler.idle();
  deliver(); // a=1, a=2, -a, all late
  await advance(100);
  assert.deepEqual(kernel.writes, ['a=1', 'a=2', '-a']);
});

test('drift is repaired on the event', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  reconciler.start();
  table.set({ key: 'a', value: 1 });
  await advance(100);
  kernel.foreign('a', undefined);
  await advance(100);
  kernel.foreign('a', 9);
  await advance(100);
  assert.deepEqual(kernel.writes, ['a=1', 'a=1', 'a=1']);
  assert.equal(reconciler.counters.drifted, 2);
});

test('FX-085: drift without an event is repaired by the audit; 0 disables it', async () => {
  const { table, kernel, reconciler, advance } = setUp(new TinyKernel(), 1000);
  reconciler.start();
  table.set({ key: 'a', value: 1 });
  await advance(100);
  kernel.state.set('a', 9);
  await advance(1100);
  assert.equal(kernel.state.get('a'), 1);
  reconciler.setAuditInterval(0);
  kernel.state.set('a', 9);
  await advance(5000);
  assert.equal(kernel.state.get('a'), 9);
});

test('a refused row is tried again with back-off and does not hold up others', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  kernel.refuse.add('bad');
  reconciler.start();
  table.set({ key: 'bad', value: 1 });
  table.set({ key: 'good', value: 1 });
  await advance(10);
  assert.equal(table.status('good')?.state, 'done');
  assert.equal(table.status('bad')?.state, 'error');
  await advance(1000);
  assert.ok(reconciler.counters.failures >= 3 && reconciler.counters.failures <= 6, 'back-off grows');
  kernel.refuse.clear();
  await advance(5000);
  assert.equal(table.status('bad')?.state, 'done');
});

test('a row that waits for its surroundings is applied when they appear', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  kernel.absent.add('a');
  reconciler.start();
  table.set({ key: 'a', value: 1 });
  await advance(100);
  assert.deepEqual(table.status('a'), { state: 'pending', reason: 'not there' });
  kernel.absent.clear();
  reconciler.observe({ type: 'forget', keys: ['a'] });
  await advance(10);
  assert.equal(table.status('a')?.state, 'done');
});

test('whenDone resolves when rows are in the kernel, and says at its deadline what is missing', async () => {
  const { table, kernel, reconciler, clock, advance } = setUp();
  kernel.absent.add('b');
  reconciler.start();
  table.set({ key: 'a', value: 1 });
  table.set({ key: 'b', value: 1 });
  assert.equal((await table.whenDone(['a'], 1000)).ok, true);
  const both = table.whenDone(['a', 'b'], 1000);
  clock.advance(1000);
  const late = await both;
  assert.ok(
    !late.ok && late.error.code === 'DeadlineExceeded' && late.error.message.includes('b: not there'),
  );
  table.delete('a');
  assert.equal((await table.whenDone(['a'], 1000)).ok, true);
  assert.equal(kernel.state.has('a'), false);
  kernel.absent.clear();
  reconciler.recheck(['b']);
  await advance(10);
  assert.equal((await table.whenDone(['b', 'unknown'], 1000)).ok, true);
});

test('an orphan in its grace time is left when a row adopts it, removed when not', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  kernel.grace = 10_000;
  kernel.state.set('own:x', 1).set('own:y', 1);
  reconciler.start();
  await advance(5000);
  table.set({ key: 'own:x', value: 1 });
  await advance(6000);
  assert.deepEqual(kernel.writes, ['-own:y']);
});

test('a kernel that cannot be read is asked again, and nothing is written meanwhile', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  kernel.dumpFails = true;
  table.set({ key: 'a', value: 1 });
  reconciler.start();
  await advance(300);
  assert.deepEqual(kernel.writes, []);
  assert.equal(reconciler.dumpError?.code, 'KernelError');
  kernel.dumpFails = false;
  await advance(5000);
  assert.deepEqual(kernel.writes, ['a=1']);
});

test('property: whatever happens, in the end the kernel holds the rows and the others’ state', async () => {
  const key = fc.constantFrom('own:a', 'own:b', 'own:c');
  const step = fc.oneof(
    fc.record({ do: fc.constant('set' as const), key, value: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ do: fc.constant('delete' as const), key }),
    fc.record({
      do: fc.constant('foreign' as const),
      key,
      value: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
    }),
    fc.record({ do: fc.constant('silent' as const), key, value: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ do: fc.constant('refuse' as const), key }),
    fc.record({ do: fc.constant('start' as const) }),
    fc.record({ do: fc.constant('deliver' as const) }),
    fc.record({ do: fc.constant('run' as const), ms: fc.constantFrom(0, 5, 25, 200) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { table, kernel, reconciler, clock, deliver, advance } = setUp();
      kernel.state.set('other', 7);
      for (const s of steps) {
        if (s.do === 'set') table.set({ key: s.key, value: s.value });
        else if (s.do === 'delete') table.delete(s.key);
        else if (s.do === 'foreign') kernel.foreign(s.key, s.value);
        else if (s.do === 'silent') kernel.state.set(s.key, s.value);
        else if (s.do === 'refuse') kernel.refuse.add(s.key);
        else if (s.do === 'start') reconciler.start();
        else if (s.do === 'deliver') deliver();
        else {
          clock.advance(s.ms);
          await Promise.resolve();
        }
      }
      kernel.refuse.clear();
      reconciler.start();
      reconciler.resync('end of test');
      await advance(1000);
      const expected = new Map([['other', 7], ...[...table.rows].map(([k, row]) => [k, row.value] as const)]);
      assert.deepEqual(Object.fromEntries(kernel.state), Object.fromEntries(expected));
      assert.equal(table.counts().done, table.rows.size);
      const writes = kernel.writes.length;
      reconciler.resync('once more');
      await advance(1000);
      assert.equal(kernel.writes.length, writes, 'a right kernel is not written');
      await reconciler.stop();
    }),
    { numRuns: 300 },
  );
});

test('FX-008: rows that look into what lacks a refused row are closed until the kernel takes it, or nobody wants it', async () => {
  const { table, kernel, reconciler, advance } = setUp();
  const closed = -1;
  Object.assign(kernel, {
    closing: {
      scopeOf: (key: string) => /^member of (\w+) /.exec(key)?.[1],
      looksInto: (row: Row, scope: string) => row.key.startsWith(`chain on ${scope}`),
      closed: (row: Row) => ({ ...row, value: closed }),
    } satisfies Closing<Row>,
  });
  reconciler.start();
  table.set({ key: 'chain on s', value: 1 });
  table.set({ key: 'chain on t', value: 1 });
  table.set({ key: 'member of s 1', value: 1 });
  await advance(50);
  kernel.refuse.add('member of s 2');
  table.set({ key: 'member of s 2', value: 1 });
  await advance(50);
  assert.deepEqual([kernel.state.get('chain on s'), kernel.state.get('chain on t')], [closed, 1]);
  assert.equal(table.status('chain on s')?.state, 'error', 'it is seen');
  table.set({ key: 'chain on s, too', value: 7 });
  table.set({ key: 'chain on s', value: 2 });
  await advance(50);
  assert.deepEqual([kernel.state.get('chain on s'), kernel.state.get('chain on s, too')], [closed, closed]);
  kernel.refuse.clear();
  await advance(1_000);
  assert.deepEqual([kernel.state.get('chain on s'), kernel.state.get('chain on s, too')], [2, 7]);
  assert.deepEqual(table.counts(), { rows: 5, done: 5, pending: 0, errors: 0 });
  // One that should have gone and did not is as bad.
  kernel.refuse.add('member of s 1');
  table.delete('member of s 1');
  await advance(50);
  assert.equal(kernel.state.get('chain on s'), closed);
  kernel.refuse.clear();
  await advance(1_000);
  assert.equal(kernel.state.get('chain on s'), 2);
  kernel.refuse.add('member of s 3');
  table.set({ key: 'member of s 3', value: 1 });
  await advance(50);
  assert.equal(kernel.state.get('chain on s'), closed);
  table.delete('member of s 3');
  await advance(50);
  assert.equal(kernel.state.get('chain on s'), 2, 'nobody misses it any more');
});
