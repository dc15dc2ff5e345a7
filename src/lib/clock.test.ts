// Virtual time against the obvious: a list that is sorted whenever it is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from './clock.ts';

test('timers fire by due time, those of one time as they were set; cancelled ones do not', () => {
  const step = fc.oneof(
    fc.record({ set: fc.integer({ min: -5, max: 50 }), again: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ cancel: fc.nat(50) }),
    fc.record({ advance: fc.integer({ min: 0, max: 30 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const clock = new VirtualClock(1000);
      const fired: string[] = [];
      const model: { due: number; order: number; name: string; again: number }[] = [];
      const expected: string[] = [];
      const cancels: { cancel: () => void; name: string }[] = [];
      let now = 1000;
      let order = 0;
      const set = (delay: number, again: number, name: string): void => {
        const timer = clock.after(delay, () => {
          fired.push(`${name} at ${clock.now()}`);
          if (again > 0) clock.after(again, () => fired.push(`${name} again at ${clock.now()}`));
        });
        cancels.push({ name, cancel: () => timer.cancel() });
        model.push({ due: now + Math.max(0, delay), order: order++, name, again });
      };
      for (const [i, s] of steps.entries()) {
        if ('set' in s) set(s.set, s.again, `t${i}`);
        else if ('cancel' in s) {
          const one = cancels[s.cancel];
          one?.cancel();
          const at = model.findIndex((m) => m.name === one?.name);
          if (at >= 0) model.splice(at, 1);
        } else {
          const end = now + s.advance;
          for (;;) {
            model.sort((a, b) => a.due - b.due || a.order - b.order);
            const first = model[0];
            if (first === undefined || first.due > end) break;
            model.shift();
            now = Math.max(now, first.due);
            expected.push(`${first.name} at ${now}`);
            if (first.again > 0)
              model.push({ due: now + first.again, order: order++, name: `${first.name} again`, again: 0 });
          }
          now = end;
          clock.advance(s.advance);
        }
        assert.equal(clock.now(), now);
      }
      assert.deepEqual(fired, expected);
    }),
    { numRuns: 200 },
  );
});
