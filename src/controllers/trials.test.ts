// Changes on trial: what agents take them for, and what becomes of them in the datastore.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { until } from '../lib/wait.ts';
import { MemoryStore, type SyncUpdate } from '../datastore/mod.ts';
import type { GlobalNetworkPolicy } from '../model/mod.ts';
import { confirmed, onTrial, startTrials, TrialFilter, trialOf } from './mod.ts';

const policy = (name: string, order: number): GlobalNetworkPolicy =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name },
    spec: { order, selector: 'all()' },
  }) as GlobalNetworkPolicy;
type Update = SyncUpdate<'GlobalNetworkPolicy'>;
const set = (object: GlobalNetworkPolicy): Update =>
  ({ type: 'set', kind: 'GlobalNetworkPolicy', object }) as Update;
const shown = (update: Update | undefined): string =>
  update === undefined
    ? 'nothing'
    : update.type === 'set'
      ? `order ${update.object.spec.order}`
      : update.type;

test('an agent goes back by itself when nobody confirms, and stays when somebody does', () => {
  const clock = new VirtualClock();
  const expired: Update[] = [];
  const filter = new TrialFilter<'GlobalNetworkPolicy'>(clock, silentLogger, (updates) =>
    expired.push(...updates),
  );
  const time = { untilMs: clock.now() + 60_000, lastsMs: 60_000 };
  const changed = onTrial(policy('p', 2), policy('p', 1), time);
  const created = onTrial(policy('q', 2), undefined, time);
  const kept = onTrial(policy('r', 2), policy('r', 1), time);
  assert.deepEqual(filter.pass([set(changed), set(created), set(kept)]).map(shown), [
    'order 2',
    'order 2',
    'order 2',
  ]);
  clock.advance(30_000);
  assert.deepEqual(filter.pass([set(confirmed(kept))]).map(shown), ['order 2']);
  assert.deepEqual(expired, []);
  clock.advance(30_001);
  assert.deepEqual(expired.map(shown), ['order 1', 'delete']);
  // What the datastore still says after that is not believed, nor by an agent that starts anew.
  assert.deepEqual(filter.pass([set(changed)]).map(shown), ['order 1']);
  const other = new TrialFilter<'GlobalNetworkPolicy'>(clock, silentLogger, () => undefined);
  assert.deepEqual(other.pass([set(changed), set(created)]).map(shown), ['order 1', 'delete']);
});

test('a clock that is behind does not lengthen a trial; a second one goes back to what was before the first', () => {
  const clock = new VirtualClock();
  const expired: Update[] = [];
  const filter = new TrialFilter<'GlobalNetworkPolicy'>(clock, silentLogger, (updates) =>
    expired.push(...updates),
  );
  const first = onTrial(policy('p', 2), policy('p', 1), {
    untilMs: clock.now() + 3_600_000,
    lastsMs: 60_000,
  });
  filter.pass([set(first)]);
  clock.advance(50_000);
  const second = onTrial(policy('p', 3), first, { untilMs: clock.now() + 60_000, lastsMs: 60_000 });
  assert.deepEqual(filter.pass([set(second)]).map(shown), ['order 3']);
  clock.advance(59_000);
  assert.deepEqual(expired, []);
  clock.advance(1_001);
  assert.deepEqual(expired.map(shown), ['order 1']);
});

test('an annotation that nobody can read puts nothing on trial', () => {
  for (const text of ['', '{', '{"until":"soon","lastsMs":1}', '[]']) {
    const odd = policy('p', 1);
    const annotations = { 'margay.projectcalico.org/trial': text };
    assert.equal(trialOf({ ...odd, metadata: { ...odd.metadata, annotations } }), undefined, text);
  }
});

test('the datastore follows: changed back, deleted, or kept', async () => {
  const clock = new VirtualClock();
  const store = new MemoryStore();
  const time = { untilMs: clock.now() + 60_000, lastsMs: 60_000 };
  const kept = onTrial(policy('kept', 2), policy('kept', 1), time);
  store.put(
    'GlobalNetworkPolicy',
    onTrial(policy('changed', 2), policy('changed', 1), time),
    onTrial(policy('new', 2), undefined, time),
    kept,
  );
  const controller = startTrials({ datastore: store.open(), logger: silentLogger, clock });
  const orders = () =>
    Object.fromEntries(
      store.all('GlobalNetworkPolicy').map(({ metadata, spec }) => [metadata.name, spec.order]),
    );
  try {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const writer = store.open();
    const current = await writer.get('GlobalNetworkPolicy', { name: 'kept' });
    assert.ok(current.ok);
    assert.ok((await writer.update('GlobalNetworkPolicy', confirmed(current.value))).ok);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(orders(), { changed: 2, new: 2, kept: 2 });
    clock.advance(63_000);
    await until(
      () => Promise.resolve(orders()['new'] === undefined && orders()['changed'] === 1 ? true : undefined),
      { timeoutMs: 5000, everyMs: 5 },
    );
    assert.deepEqual(orders(), { changed: 1, kept: 2 });
    const back = store.all('GlobalNetworkPolicy').find(({ metadata }) => metadata.name === 'changed');
    assert.ok(back !== undefined && trialOf(back) === undefined);
  } finally {
    await controller.stop();
  }
});
