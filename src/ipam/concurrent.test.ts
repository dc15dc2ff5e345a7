// Several allocators on one store, with latency, so that their requests interleave: no address is ever given to two.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FaultPlan } from '../datastore/mod.ts';
import { storeError } from '../datastore/mod.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { sleep } from '../lib/wait.ts';
import type { Ipam } from './mod.ts';
import { pool, Stage, workload } from './stage.test.ts';

/** Gives control away before some calls, as fast-check decides: that is what mixes the allocators. */
const interleave = (chances: Iterator<number>) => async (): Promise<void> => {
  for (let n: number = chances.next().value ?? 0; n > 0; n--) await sleep(0);
};

/** Follows who holds what, and notices at once when an address is given while somebody has it. */
class Ledger {
  readonly holders = new Map<string, string>();
  readonly held = new Map<string, Set<string>>();

  took(handle: string, addresses: readonly string[]): void {
    const own = this.held.get(handle) ?? new Set();
    this.held.set(handle, own);
    for (const address of addresses) {
      assert.equal(this.holders.get(address), undefined, `${address} went to ${handle} while it was held`);
      this.holders.set(address, handle);
      own.add(address);
    }
  }

  /** Before the release: from here on anybody may get them. */
  gives(handle: string): void {
    for (const address of this.held.get(handle) ?? []) this.holders.delete(address);
    this.held.delete(handle);
  }
}

const action = fc.record({
  node: fc.nat(2),
  act: fc.constantFrom('assign', 'assign', 'assign', 'release'),
  count: fc.integer({ min: 1, max: 3 }),
});

test('RS-050: two allocators on one block', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 2, maxLength: 30 }),
      fc.infiniteStream(fc.nat(3)),
      async (actions, chances) => {
        const stage = new Stage({ pools: [pool('v4', '10.0.0.0/28', { blockSize: 28 })], nodes: ['a'] });
        const pause = interleave(chances);
        const allocators = [stage.ipam({ latencyMs: 0.01 }), stage.ipam(), stage.ipam({ latencyMs: 0.01 })];
        const ledger = new Ledger();
        await Promise.all(
          actions.map(async ({ node, act, count }, i) => {
            await pause();
            await run(allocators[node] as Ipam, 'a', act, count, `h${i}`, ledger);
          }),
        );
        assert.deepEqual(stage.held(), ledger.holders);
        await stage.audit(new Set(ledger.held.keys()));
      },
    ),
    { numRuns: 40 },
  );
});

test('RS-050: several nodes with few blocks: claiming, borrowing, reclaiming', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 2, maxLength: 40 }),
      fc.infiniteStream(fc.nat(3)),
      async (actions, chances) => {
        const stage = new Stage({ pools: [pool('v4', '10.0.0.0/28', { blockSize: 30 })] });
        const pause = interleave(chances);
        const allocators = [stage.ipam({ latencyMs: 0.01 }), stage.ipam(), stage.ipam({ latencyMs: 0.01 })];
        const ledger = new Ledger();
        await Promise.all(
          actions.map(async ({ node, act, count }, i) => {
            await pause();
            await run(allocators[node] as Ipam, ['a', 'b', 'c'][node] as string, act, count, `h${i}`, ledger);
          }),
        );
        assert.deepEqual(stage.held(), ledger.holders);
        await stage.audit(new Set(ledger.held.keys()));
      },
    ),
    { numRuns: 40 },
  );
});

test('a store that fails now and then loses nothing', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { minLength: 2, maxLength: 20 }),
      fc.infiniteStream(fc.nat(19)),
      async (actions, chances) => {
        const stage = new Stage({ pools: [pool('v4', '10.0.0.0/28', { blockSize: 30 })] });
        let stable = false;
        const faults: FaultPlan = () => {
          const chance = stable ? 9 : chances.next().value;
          if (chance > 1) return undefined;
          return {
            do: 'fail',
            when: chance === 0 ? 'before' : 'after',
            error: storeError('Timeout', 'injected'),
          };
        };
        const allocators = ['a', 'b', 'c'].map(() => stage.ipam({ faults }));
        const handles = actions.map((_, i) => `h${i}`);
        await Promise.all(
          actions.map(({ node, count }, i) =>
            (allocators[node] as Ipam).autoAssign(
              workload(['a', 'b', 'c'][node] as string, handles[i] as string, count),
            ),
          ),
        );
        stable = true;
        // Whatever was answered: the DEL of each container frees everything.
        for (const [i, handle] of handles.entries())
          assert.ok((await (allocators[actions[i]?.node ?? 0] as Ipam).releaseByHandle(handle)).ok);
        assert.equal(stage.held().size, 0);
        assert.equal(stage.store.all('IPAMHandle').length, 0);
      },
    ),
    { numRuns: 40 },
  );
});

async function run(
  ipam: Ipam,
  node: string,
  act: string,
  count: number,
  handle: string,
  ledger: Ledger,
): Promise<void> {
  if (act === 'release') {
    const [victim] = ledger.held.keys();
    if (victim === undefined) return;
    ledger.gives(victim);
    const released = await ipam.releaseByHandle(victim);
    assert.ok(released.ok, released.ok ? '' : released.error.message);
    return;
  }
  const assigned = await ipam.autoAssign(workload(node, handle, count));
  if (assigned.ok)
    ledger.took(
      handle,
      assigned.value.v4.map(({ address }) => address),
    );
  else assert.equal(assigned.error.code, 'NoAddresses', assigned.error.message);
}

test('RS-050: who loses every time gives up after a hundred attempts', async () => {
  const impatient: Clock = {
    ...systemClock,
    after: (_delayMs, run) => {
      queueMicrotask(run);
      return { cancel: () => {} };
    },
  };
  const stage = new Stage({ clock: impatient });
  const held = await stage.ipam().autoAssign(workload('a', 'old'));
  assert.ok(held.ok);
  let attempts = 0;
  const ipam = stage.ipam({
    faults: ({ verb, kind }) => {
      if (verb !== 'update' || kind !== 'IPAMBlock') return undefined;
      attempts++;
      return { do: 'fail', when: 'before', error: storeError('Conflict', 'another was faster') };
    },
  });
  const result = await ipam.autoAssign(workload('a', 'h'));
  assert.equal(result.ok ? 'ok' : result.error.code, 'TooMuchContention');
  assert.equal(attempts, 100);
  await stage.audit(new Set(['old']));
});

test('RS-050: many nodes at once fill a pool to the last address', async () => {
  const nodes = Array.from({ length: 16 }, (_, i) => `n${i}`);
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/23', { blockSize: 28 })], nodes });
  const results = await Promise.all(
    nodes.map(async (node) => {
      const ipam = stage.ipam({ latencyMs: 1 });
      return Promise.all(
        Array.from({ length: 32 }, (_, i) => ipam.autoAssign(workload(node, `${node}-${i}`))),
      );
    }),
  );
  const failed = results.flat().filter((r) => !r.ok);
  assert.deepEqual(failed, []);
  assert.equal(stage.held().size, 512);
  await stage.audit(new Set(nodes.flatMap((node) => Array.from({ length: 32 }, (_, i) => `${node}-${i}`))));
});
