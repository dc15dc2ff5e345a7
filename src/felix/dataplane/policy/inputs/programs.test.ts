import assert from 'node:assert/strict';
import { test } from 'node:test';
import { policyKey, type PolicyChange } from '../../../calc/mod.ts';
import type { CompiledPolicy, PolicyId } from '../../../../policy/mod.ts';
import { PolicyMirror } from './mirror.ts';
import { editedProgram, type ProgramPlan, programOf } from './programs.ts';

const id = (name: string): PolicyId => ({ kind: 'GlobalNetworkPolicy', name });
const ids = ['a', 'b', 'c'].map(id);
const plan: ProgramPlan = {
  stage: 'normal',
  direction: 'ingress',
  tiers: [
    { name: 'first', exists: true, endAction: 'pass', policies: ids.slice(0, 2) },
    { name: 'lost', exists: false, endAction: 'deny', policies: [id('d')] },
    { name: 'default', exists: true, endAction: 'deny', policies: ids.slice(2) },
  ],
  profiles: [],
  otherwise: 'deny',
  key: 'k',
};
const policy = (of: PolicyId, protocol: number): PolicyChange => ({
  type: 'policy',
  policy: {
    id: of,
    ingress: [{ action: 'allow', protocol, source: {}, destination: {} }],
    egress: [],
  } as unknown as CompiledPolicy,
});

test('a program of which single policies were edited reads as one made anew', () => {
  const mirror = new PolicyMirror();
  mirror.take(ids.map((one) => policy(one, 6)));
  const before = programOf(plan, mirror);
  mirror.take([
    policy(id('b'), 17),
    policy(id('d'), 17),
    { type: 'policy-removed', id: id('c') },
    policy(id('stranger'), 1),
  ]);
  const edited = ['b', 'd', 'c', 'stranger'].map((name) => policyKey(id(name)));
  const { program, edits } = editedProgram(before, plan, edited, mirror);
  assert.deepEqual(program, programOf(plan, mirror));
  assert.equal(edits.length, 3);
  assert.equal(program.tiers[0]?.policies[0], before.tiers[0]?.policies[0], 'what nobody edited stays');
  assert.equal(before.tiers[0]?.policies[1]?.rules[0]?.protocol, 6, 'the former program stays what it was');
});
