import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { ProcessKeeper, type Start } from './processes.ts';

const spec = { machine: 'worker1', name: 'agent', argv: ['agent'], logFile: '/dev/null' };

test('a process that ends is started again, later each time, and the reason is kept', () => {
  const clock = new VirtualClock(1_000_000);
  const ends: Parameters<Start>[1][] = [];
  const keeper = new ProcessKeeper({
    clock,
    start: (_, onEnd) => {
      ends.push(onEnd);
      return { pid: ends.length, kill: () => undefined };
    },
  });
  keeper.keep(spec);
  ends[0]?.({ code: null, signal: 'SIGKILL' });
  assert.deepEqual(
    keeper.status().map((s) => [s.running, s.lastEnd, s.restarts]),
    [[false, 'signal SIGKILL', 0]],
  );
  clock.advance(130);
  assert.equal(ends.length, 2);
  assert.equal(keeper.status()[0]?.running, true);
  ends[1]?.({ code: 1, signal: null });
  clock.advance(130);
  assert.equal(ends.length, 2, 'the second wait is longer');
  clock.advance(130);
  assert.equal(ends.length, 3);
  // After a quiet time the delay is small again.
  clock.advance(20_000);
  ends[2]?.({ code: 1, signal: null });
  clock.advance(130);
  assert.equal(ends.length, 4);
  assert.equal(keeper.status()[0]?.restarts, 3);
});

test('nothing is started after stop', () => {
  const clock = new VirtualClock();
  const ends: Parameters<Start>[1][] = [];
  let killed = 0;
  const keeper = new ProcessKeeper({
    clock,
    start: (_, onEnd) => {
      ends.push(onEnd);
      return { pid: 1, kill: () => void killed++ };
    },
  });
  keeper.keep(spec);
  keeper.stop();
  assert.equal(killed, 1);
  ends[0]?.({ code: null, signal: 'SIGKILL' });
  clock.advance(60_000);
  assert.equal(ends.length, 1);
});

test('a real process: its end and the last line of its log', async () => {
  const keeper = await new Promise<ProcessKeeper>((resolve) => {
    const made = new ProcessKeeper({ onEnd: () => resolve(made) });
    made.keep({ ...spec, argv: ['margay-no-such-program'] });
  });
  keeper.stop();
  assert.match(keeper.status()[0]?.lastEnd ?? '', /ENOENT/);
});
