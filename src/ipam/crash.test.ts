// The allocator dies before or after any of its requests to the store, or the store fails there; then somebody else goes
// on. Nothing may be lost: afterwards the whole pool can be given out. Nothing may be given twice: each address is in one
// block, held once, and every holder can be released by its handle.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fault, faultAt, SimulatedCrash } from '../datastore/mod.ts';
import { VirtualClock } from '../lib/clock.ts';
import { address } from '../lib/ip/mod.ts';
import type { Ipam } from './mod.ts';
import { pool, Stage, workload } from './stage.test.ts';

type Scenario = {
  readonly name: string;
  readonly prepare?: (ipam: Ipam, clock: VirtualClock) => Promise<void>;
  readonly act: (ipam: Ipam) => Promise<unknown>;
  /** Handles that must hold addresses whatever happens. */
  readonly keeps?: readonly string[];
  /** Node whose agent goes on afterwards. */
  readonly next?: string;
  /** What removes a claim that was left half-deleted: the owner's next request, or doing the removal again. */
  readonly tidy?: (ipam: Ipam) => Promise<unknown>;
};

const pools = [pool('v4', '10.0.0.0/29', { blockSize: 30 }), pool('v6', 'fd00::/125', { blockSize: 126 })];
const poolSize = 8;
const fill = async (ipam: Ipam, node: string, handle: string, count: number): Promise<void> => {
  const filled = await ipam.autoAssign(workload(node, handle, count, count));
  assert.ok(filled.ok, filled.ok ? '' : filled.error.message);
};

const scenarios: readonly Scenario[] = [
  {
    name: 'the first assignment of a node, both families',
    act: (ipam) => ipam.autoAssign(workload('a', 'h', 1, 1)),
  },
  {
    name: 'an assignment from a block at hand',
    prepare: (ipam) => fill(ipam, 'a', 'old', 1),
    act: (ipam) => ipam.autoAssign(workload('a', 'h', 1, 1)),
    keeps: ['old'],
  },
  {
    name: 'an assignment that needs a second block',
    prepare: (ipam) => fill(ipam, 'a', 'old', 3),
    act: (ipam) => ipam.autoAssign(workload('a', 'h', 3)),
    keeps: ['old'],
  },
  {
    name: 'an assignment that borrows',
    prepare: async (ipam) => {
      await fill(ipam, 'b', 'old', 3);
      await fill(ipam, 'c', 'older', 3);
    },
    act: (ipam) => ipam.autoAssign(workload('a', 'h', 2, 1)),
    keeps: ['old', 'older'],
  },
  {
    name: 'an assignment that takes an empty block from its owner',
    prepare: async (ipam, clock) => {
      await fill(ipam, 'a', 'old', 4);
      await fill(ipam, 'b', 'gone', 1);
      await ipam.releaseByHandle('gone');
      clock.advance(120_000);
    },
    act: (ipam) => ipam.autoAssign(workload('a', 'h', 2)),
    keeps: ['old'],
    tidy: (ipam) => ipam.autoAssign(workload('b', 'none')),
  },
  {
    name: 'a given address in a block that nobody has',
    act: (ipam) =>
      ipam.assignAddress({ address: address('10.0.0.5'), nodeName: 'a', handleId: 'h', attributes: {} }),
  },
  {
    name: 'an assignment in place of an interrupted one',
    prepare: (ipam) => fill(ipam, 'a', 'h', 2),
    act: (ipam) => ipam.autoAssign({ ...workload('a', 'h', 1, 1), replaceHandle: true }),
  },
  {
    name: 'a release by handle',
    prepare: async (ipam) => {
      await fill(ipam, 'a', 'h', 5);
      await fill(ipam, 'a', 'old', 1);
    },
    act: (ipam) => ipam.releaseByHandle('h'),
    keeps: ['old'],
  },
  {
    name: 'a release of addresses',
    prepare: async (ipam) => {
      await fill(ipam, 'a', 'h', 2);
      await fill(ipam, 'a', 'old', 1);
    },
    act: async (ipam) => {
      const held = await ipam.addressesOfHandle('h');
      return ipam.releaseAddresses(
        (held.ok ? held.value : []).map(({ address }) => ({ address, handleId: 'h' })),
      );
    },
    keeps: ['old'],
  },
  {
    name: 'the removal of a node',
    prepare: async (ipam) => {
      await fill(ipam, 'a', 'old', 5);
      await fill(ipam, 'a', 'gone', 3);
      await ipam.releaseByHandle('gone');
    },
    act: (ipam) => ipam.releaseHost('a'),
    keeps: ['old'],
    next: 'b',
    tidy: (ipam) => ipam.releaseHost('a'),
  },
];

/** Runs one scenario with the fault at the n-th request; false when it ended before that. */
async function runOnce(scenario: Scenario, n: number, fault: Fault): Promise<boolean> {
  const clock = new VirtualClock(Date.parse('2026-01-01T00:00:00Z'));
  const stage = new Stage({ pools, clock });
  await scenario.prepare?.(stage.ipam(), clock);
  let met = false;
  const plan = faultAt(n, fault);
  const ipam = stage.ipam({
    faults: (call) => {
      const struck = plan(call);
      met ||= struck !== undefined;
      return struck;
    },
  });
  try {
    await scenario.act(ipam);
  } catch (error) {
    assert.ok(error instanceof SimulatedCrash, String(error));
  }
  const kept = scenario.keeps ?? [];
  for (const handle of kept)
    assert.ok([...stage.held().values()].includes(handle), `${handle} still holds its addresses`);

  // A new agent: the container's DEL comes, then others want addresses, all there are.
  clock.advance(120_000);
  const later = stage.ipam();
  const released = await later.releaseByHandle('h');
  assert.ok(released.ok, released.ok ? '' : released.error.message);
  assert.ok(![...stage.held().values()].includes('h'), 'nothing is left of the handle');
  const held = [...stage.held().keys()];
  const free4 = poolSize - held.filter((a) => !a.includes(':')).length;
  const free6 = poolSize - held.filter((a) => a.includes(':')).length;
  const rest = await later.autoAssign(workload(scenario.next ?? 'a', 'rest', free4, free6));
  assert.ok(rest.ok, rest.ok ? '' : `${rest.error.code}: ${rest.error.message}`);
  assert.equal(stage.held().size, 2 * poolSize, 'no address is lost');
  await scenario.tidy?.(later);
  await stage.audit(new Set([...kept, 'rest']));
  return met;
}

for (const scenario of scenarios) {
  test(`RS-047: all crash points: ${scenario.name}`, async () => {
    for (const how of ['crash', 'fail'] as const) {
      for (const when of ['before', 'after'] as const) {
        let points = 0;
        while (await runOnce(scenario, points, { do: how, when })) {
          points++;
          assert.ok(points < 200, 'the scenario ends');
        }
        assert.ok(points > 0, 'at least one request was made');
      }
    }
  });
}

test('RS-047: a crash in the middle of many requests at once', async () => {
  for (let n = 0; n < 60; n += 3) {
    const clock = new VirtualClock(Date.parse('2026-01-01T00:00:00Z'));
    const stage = new Stage({ pools: [pool('v4', '10.0.0.0/28', { blockSize: 30 })], clock });
    const ipam = stage.ipam({ faults: faultAt(n, { do: 'crash', when: n % 2 === 0 ? 'after' : 'before' }) });
    const handles = Array.from({ length: 12 }, (_, i) => `h${i}`);
    await Promise.allSettled(handles.map((h) => ipam.autoAssign(workload('a', h))));
    clock.advance(120_000);
    const later = stage.ipam();
    for (const h of handles) assert.ok((await later.releaseByHandle(h)).ok);
    assert.equal(stage.held().size, 0);
    assert.ok((await later.autoAssign(workload('b', 'rest', 16))).ok);
    await stage.audit(new Set(['rest']), [
      'AffinityWithoutBlock',
      'AffinityUnfinished',
      'AffinityOfForeignBlock',
    ]);
    // The node that crashed tidies up its own claims when it comes back.
    assert.ok((await later.releaseByHandle('rest')).ok);
    assert.ok((await stage.ipam().autoAssign(workload('a', 'back', 16))).ok);
    await stage.audit(new Set(['back']), ['AffinityOfForeignBlock']);
  }
});
