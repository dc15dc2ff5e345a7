// Order and outcome of rules, policies, tiers and profiles.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, evaluate } from './evaluate.ts';
import { MemorySets } from './sets.ts';
import { packet, program, rule, tier, udp } from './testing.ts';
import type { PolicyProgram } from './types.ts';

const sets = new MemorySets();
const given = packet('10.0.0.1', '10.0.0.2');
const verdict = (one: PolicyProgram) => evaluate(one, sets, given);
const everything = rule('allow');
const nothing = rule('allow', { protocol: udp });

test('RS-100: the first rule that matches decides', () => {
  const result = verdict(program([tier('default', { p: [nothing, rule('deny'), everything] })]));
  assert.equal(result.action, 'deny');
  assert.deepEqual(result.decision, {
    by: 'rule',
    tier: 'default',
    policy: { kind: 'GlobalNetworkPolicy', name: 'p' },
    rule: 1,
  });
});

test('RS-090: Log does not decide', () => {
  const result = verdict(program([tier('default', { p: [rule('log'), everything] })]));
  assert.equal(result.action, 'allow');
  assert.deepEqual(
    result.trace.tiers[0]?.policies[0]?.rules.map(({ action, outcome }) => [action, outcome]),
    [
      ['log', 'matched'],
      ['allow', 'matched'],
    ],
  );
});

test('RS-090: Pass leaves the tier, from the last one to the profiles', () => {
  const passing = tier('a', { p: [rule('pass'), rule('deny')], q: [rule('deny')] });
  assert.equal(verdict(program([passing, tier('b', { p: [everything] })])).action, 'allow');
  assert.equal(verdict(program([passing])).action, 'deny', 'there are no profiles');
  assert.equal(
    verdict(program([passing], { profiles: [{ name: 'p', rules: [everything] }] })).action,
    'allow',
  );
});

test('FX-048: at the end of a tier its default action decides', () => {
  const profiles = [{ name: 'p', rules: [everything] }];
  const denied = verdict(program([tier('a', { p: [nothing] })], { profiles }));
  assert.equal(denied.action, 'deny');
  assert.deepEqual(denied.decision, { by: 'tier', tier: 'a' });
  assert.equal(denied.trace.tiers[0]?.outcome, 'end-deny');
  const passed = verdict(program([tier('a', { p: [nothing] }, 'pass')], { profiles }));
  assert.equal(passed.action, 'allow');
  assert.deepEqual(passed.decision, { by: 'profile', profile: 'p', rule: 0 });
});

test('FX-049: a tier without policies is not there', () => {
  const profiles = [{ name: 'p', rules: [everything] }];
  const result = verdict(program([tier('a', {})], { profiles }));
  assert.equal(result.action, 'allow');
  assert.deepEqual(result.trace.tiers, []);
});

test('FX-050: profiles come last and in order; when none matches, the packet is dropped', () => {
  const profiles = [
    { name: 'first', rules: [nothing] },
    { name: 'second', rules: [rule('deny')] },
    { name: 'third', rules: [everything] },
  ];
  assert.deepEqual(verdict(program([], { profiles })).decision, {
    by: 'profile',
    profile: 'second',
    rule: 0,
  });
  const dropped = verdict(program([], { profiles: profiles.slice(0, 1) }));
  assert.deepEqual([dropped.action, dropped.decision], ['deny', { by: 'nothing' }]);
});

test('RS-080: Pass in a profile goes on to the next profile', () => {
  const profiles = [
    { name: 'a', rules: [rule('pass'), rule('deny')] },
    { name: 'b', rules: [everything] },
  ];
  assert.equal(verdict(program([], { profiles })).action, 'allow');
});

test('FX-051: where nothing denies by default, an undecided packet goes on', () => {
  const result = verdict(program([tier('a', { p: [nothing] }, 'pass')], { otherwise: 'none' }));
  assert.equal(result.action, 'none');
});

test('FX-008: a rule that cannot be resolved never allows, and denies where it would have denied or passed', () => {
  const lost = { unresolved: ['its set is lost'] };
  assert.equal(verdict(program([tier('a', { p: [rule('allow', lost)] })])).action, 'deny');
  assert.equal(verdict(program([tier('a', { p: [rule('allow', lost), everything] })])).action, 'allow');
  assert.equal(verdict(program([tier('a', { p: [rule('log', lost), everything] })])).action, 'allow');
  for (const action of ['deny', 'pass'] as const) {
    const result = verdict(program([tier('a', { p: [rule(action, lost), everything] })]));
    assert.equal(result.action, 'deny');
    assert.equal(result.decision.by === 'rule' && result.decision.unresolved, 'its set is lost');
  }
  assert.equal(
    verdict(program([tier('a', { p: [rule('deny', { ...lost, protocol: udp }), everything] })])).action,
    'allow',
    'what certainly does not match does not deny',
  );
});

test('the verdict without a trace is the verdict with one', () => {
  const one = program([tier('a', { p: [rule('pass')] }), tier('b', { p: [nothing] })]);
  const { trace, ...rest } = verdict(one);
  assert.deepEqual(decide(one, sets, given), rest);
  assert.deepEqual(
    trace.tiers.map(({ name, outcome }) => [name, outcome]),
    [
      ['a', 'pass'],
      ['b', 'end-deny'],
    ],
  );
});

test('numbers of what decided are kept in order', () => {
  const one = program([
    tier('a', { p: [rule('pass', { id: 6 })] }),
    { ...tier('b', { p: [nothing] }, 'pass'), endId: 7 },
  ]);
  assert.deepEqual(evaluate({ ...one, otherwiseId: 8 }, sets, given).trace.decidedIds, [6, 7, 8]);
});
