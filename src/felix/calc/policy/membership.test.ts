import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { address } from '../../../lib/ip/mod.ts';
import { serviceSet } from '../../../policy/mod.ts';
import { serviceMembers, type ServicePart } from './facts.ts';
import { Membership } from './membership.ts';

test('sets of services follow their slices, which may overlap, change and move to another service', () => {
  const part = fc.record({
    service: fc.constantFrom('red/web', 'red/db'),
    addresses: fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1').map(address)),
    ports: fc.constantFrom(
      [],
      [{ protocol: 6, port: 80 }],
      [
        { protocol: 6, port: 80 },
        { protocol: 17, port: 53 },
      ],
    ),
  });
  const sets = [
    serviceSet('red', 'web', true),
    serviceSet('red', 'web', false),
    serviceSet('red', 'db', true),
  ];
  const step = fc.oneof(
    fc.tuple(
      fc.constant('slice' as const),
      fc.constantFrom('a', 'b', 'c'),
      fc.option(part, { nil: undefined }),
    ),
    fc.tuple(fc.constantFrom('use' as const, 'release' as const), fc.constantFrom(...sets)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const membership = new Membership();
      const parts = new Map<string, ServicePart>();
      const users = new Map(sets.map((set) => [set, 0]));
      for (const one of steps) {
        if (one[0] === 'slice') {
          membership.setServicePart(one[1], one[2]);
          if (one[2] === undefined) parts.delete(one[1]);
          else parts.set(one[1], one[2]);
        } else {
          const count = users.get(one[1]) ?? 0;
          if (one[0] === 'use') membership.use(one[1]);
          else if (count > 0) membership.release(one[1].id);
          users.set(one[1], Math.max(0, count + (one[0] === 'use' ? 1 : -1)));
        }
        if (one[0] === 'slice') continue;
        membership.flush();
        for (const [set, count] of users) {
          assert.ok(set.kind === 'service');
          const name = `${set.namespace}/${set.name}`;
          const wanted = [...parts.values()]
            .filter(({ service }) => service === name)
            .flatMap((of) => serviceMembers(of, set.withPorts));
          const held = membership.sets.get(set.id);
          assert.equal(held !== undefined, count > 0);
          if (held !== undefined)
            assert.deepEqual([...held.members.members()].toSorted(), [...new Set(wanted)].toSorted());
        }
      }
    }),
    { numRuns: 200 },
  );
});
