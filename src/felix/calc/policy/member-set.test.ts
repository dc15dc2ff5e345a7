import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { prefix } from '../../../lib/ip/mod.ts';
import { outermost } from '../rows.ts';
import { MemberSet } from './member-set.ts';

const nets = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.2.0/24',
  '10.1.2.3/32',
  '10.1.3.1/32',
  '192.0.2.1/32',
];
const nets6 = ['fd00::/8', 'fd00:1::/48', 'fd00:1::/64', 'fd00:1::1/128', 'fd00:2::1/128'];
const members = [...nets, ...nets6, '10.1.2.3,tcp:80'];

test('counts members, hides what lies in a network, and tells the difference to the last flush (FX-005)', () => {
  const operation = fc.record({ add: fc.boolean(), member: fc.constantFrom(...members), flush: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
      const set = new MemberSet();
      const counts = new Map<string, number>();
      const told = new Set<string>();
      for (const { add, member, flush } of operations) {
        const count = counts.get(member) ?? 0;
        if (add) set.add(member);
        else set.remove(member);
        counts.set(member, Math.max(0, count + (add ? 1 : -1)));
        const present = [...counts].flatMap(([name, n]) => (n > 0 ? [name] : []));
        const shown = [
          ...outermost(present.filter((name) => !name.includes(',')).map(prefix)),
          ...present.filter((name) => name.includes(',')),
        ].toSorted();
        assert.deepEqual([...set.members()].toSorted(), shown);
        assert.equal(set.size, shown.length);
        if (flush > 0) continue;
        const { added, removed } = set.flush();
        for (const name of added) assert.ok(!told.has(name) && told.add(name));
        for (const name of removed) assert.ok(told.delete(name));
        assert.deepEqual([...told].toSorted(), shown);
      }
    }),
    { numRuns: 300 },
  );
});
