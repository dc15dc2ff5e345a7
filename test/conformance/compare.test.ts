import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer } from './answers.ts';
import { at, differences, holds, same, sameMembers } from './compare.ts';
import { judge } from './judge.ts';
import { judgeCalculation } from './judge-calculation.ts';
import { selector, selectorId } from '../../src/selector/mod.ts';

test('answers compare by meaning: zero values, selectors, lengths of time, order of keys', () => {
  assert.ok(same({ a: 0, b: '', c: [], d: 1 }, { d: 1 }));
  assert.ok(same({ a: 1, b: 2 }, { b: 2, a: 1 }));
  assert.ok(same("a=='b'", 'a == "b"', 'selector'));
  assert.ok(!same("a=='b'", 'a == "b"', 'name'));
  assert.ok(same('90s', '1m30s'));
  assert.ok(!same([1, 2], [2, 1]));
  assert.ok(sameMembers([1, { a: 2 }], [{ a: 2 }, 1]));
  assert.ok(!sameMembers([1, 1], [1]));
});

test('members are found by path', () => {
  const value = { spec: { ingress: [{ a: 1 }], labels: { 'x.y/z': 'v' } } };
  assert.equal(at(value, 'spec.ingress[0].a'), 1);
  assert.equal(at(value, "spec.labels['x.y/z']"), 'v');
  assert.equal(at(value, 'spec.egress[0].a'), undefined);
  assert.ok(holds(value, { path: 'spec.ingress', op: 'len', value: 1 }));
  assert.ok(holds(value, { path: 'spec.egress', op: 'nil' }));
  assert.ok(holds(value, { path: 'spec.ingress', op: 'nil', not: true }));
});

test('only expected members count, and an absent truth value is not false', () => {
  assert.deepEqual(differences({ a: 1 }, { a: 1, b: 2 }), []);
  assert.deepEqual(differences({ a: false }, {}), ['.a']);
  assert.deepEqual(differences({ a: { b: 1 } }, { a: { b: 2 } }), ['.a.b']);
});

test('a suite is answered and judged; an unknown one is unsupported', async () => {
  const input = { op: 'evaluate', selector: "a == 'b'", labels: { a: 'b' } };
  const given = await answer('selector', input);
  assert.deepEqual(judge('selector', { id: 'x', input, expected: { valid: true, match: true } }, given), []);
  assert.deepEqual(judge('selector', { id: 'x', input, expected: { valid: true, match: false } }, given), [
    '.match',
  ]);
  assert.deepEqual(await answer('none', {}), { unsupported: true });
});

test('a set without its selector is known by its id, and compared all the same', () => {
  const ours = selector("zone == 'east'");
  const expected = (members: readonly string[]) => ({ ipSets: { [selectorId(ours)]: { members } } });
  const given = { ipSets: [{ selector: ours.text, members: ['10.0.0.1/32'] }] };
  assert.deepEqual(judgeCalculation(expected(['10.0.0.1/32']), given), []);
  assert.deepEqual(judgeCalculation(expected(['10.0.0.2/32']), given), ['ipSets']);
  assert.deepEqual(judgeCalculation({ ipSets: { 's:another': { members: [] } } }, given), ['ipSets']);
});
