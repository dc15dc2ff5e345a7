// Block arithmetic against a slow obvious model: a queue of free addresses and a map of who holds which.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Address, addressAt, prefix } from '../lib/ip/mod.ts';
import {
  assignGiven,
  assignNext,
  type Block,
  blockSpec,
  freeCount,
  holderOf,
  isEmpty,
  newBlock,
  ordinalsOfHandle,
  parseBlock,
  releaseGiven,
  releaseHandle,
  withNextSequence,
} from './block.ts';
import { nothingReserved } from './reservations.ts';
import { parseJson, stringifyJson } from '../lib/json.ts';

const cidr = prefix('10.0.0.0/29');
const owner = { type: 'host', name: 'a' } as const;
const rest = { nowMs: 0, cooldownSeconds: 0 };

type Model = { free: Address[]; readonly held: Map<Address, string> };

const command = fc.oneof(
  fc.record({
    op: fc.constant('next' as const),
    count: fc.integer({ min: 0, max: 4 }),
    handle: fc.constantFrom('x', 'y', 'z'),
  }),
  fc.record({
    op: fc.constant('given' as const),
    ordinal: fc.nat(7),
    handle: fc.constantFrom('x', 'y', 'z'),
  }),
  fc.record({ op: fc.constant('release' as const), ordinals: fc.uniqueArray(fc.nat(7), { maxLength: 3 }) }),
  fc.record({ op: fc.constant('handle' as const), handle: fc.constantFrom('x', 'y', 'z') }),
);
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

function step(block: Block, model: Model, c: Command): Block {
  switch (c.op) {
    case 'next': {
      const got = assignNext(
        block,
        c.count,
        { handleId: c.handle, attributes: { by: c.handle } },
        nothingReserved,
      );
      const wanted = model.free.slice(0, c.count);
      assert.deepEqual(got.addresses, wanted);
      model.free = model.free.slice(c.count);
      for (const address of wanted) model.held.set(address, c.handle);
      return got.block;
    }
    case 'given': {
      const address = addressAt(cidr, c.ordinal);
      const got = assignGiven(block, address, { handleId: c.handle, attributes: {} });
      assert.equal(got.ok, model.free.includes(address));
      if (!got.ok) return block;
      model.free = model.free.filter((free) => free !== address);
      model.held.set(address, c.handle);
      return got.value;
    }
    case 'release': {
      const addresses = c.ordinals.map((ordinal) => addressAt(cidr, ordinal));
      const got = releaseGiven(
        block,
        addresses.map((address) => ({ address })),
        rest,
      );
      assert.ok(got.ok);
      assert.deepEqual(
        got.value.unallocated,
        addresses.filter((address) => !model.held.has(address)),
      );
      for (const address of got.value.released) {
        assert.ok(model.held.delete(address));
        model.free.push(address);
      }
      return got.value.block;
    }
    default: {
      const got = releaseHandle(block, c.handle, rest);
      const wanted = [...model.held].filter(([, handle]) => handle === c.handle).map(([address]) => address);
      assert.deepEqual([...got.released].sort(), [...wanted].sort());
      for (const address of got.released) {
        model.held.delete(address);
        model.free.push(address);
      }
      return got.block;
    }
  }
}

test('any sequence of changes agrees with the model, and survives being stored', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const model: Model = {
        free: Array.from({ length: 8 }, (_, ordinal) => addressAt(cidr, ordinal)),
        held: new Map(),
      };
      let block = newBlock(cidr, owner, Date.parse('2026-01-01T00:00:00Z'), 0.5);
      for (const c of commands) {
        const next = step(block, model, c);
        const stored = parseJson(stringifyJson(blockSpec(withNextSequence(next))));
        const parsed = parseBlock(stored as Parameters<typeof parseBlock>[0]);
        assert.ok(parsed.ok);
        assert.deepEqual(parsed.value, withNextSequence(next));
        block = parsed.value;
        block.allocations.forEach((_, ordinal) => {
          assert.equal(holderOf(block, ordinal)?.handleId, model.held.get(addressAt(cidr, ordinal)));
          assert.equal(block.sequences.has(ordinal), model.held.has(addressAt(cidr, ordinal)));
        });
        assert.equal(freeCount(block, nothingReserved), model.free.length);
        assert.equal(isEmpty(block), model.held.size === 0);
        for (const handle of ['x', 'y', 'z'])
          assert.equal(
            ordinalsOfHandle(block, handle).length,
            [...model.held.values()].filter((h) => h === handle).length,
          );
        assert.equal(
          block.attributes.length,
          new Set(block.allocations.filter((index) => index !== null)).size,
          'no attribute is left over',
        );
      }
    }),
    { numRuns: 150 },
  );
});

test('a block that is not one is refused', () => {
  const spec = blockSpec(newBlock(cidr, owner, 0, 0));
  for (const bad of [
    { ...spec, cidr: '10.0.0.1/29' },
    { ...spec, cidr: 'x' },
    { ...spec, allocations: [null] },
    { ...spec, cidr: '10.0.0.0/8' },
  ]) {
    const parsed = parseBlock(bad);
    assert.equal(parsed.ok ? 'ok' : parsed.error.code, 'BadData');
  }
});
