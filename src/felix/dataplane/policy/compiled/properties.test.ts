// The laws of compiled programs: they say what src/policy says, and however a state came about, it is that of a fresh build.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Rule, SetId, TierRules } from '../../../../policy/mod.ts';
import type { GroupProgram } from '../types.ts';
import { CompiledPrograms } from './compiled-programs.ts';
import { programChain } from './program.ts';
import {
  addressSets,
  arbitraryGroup,
  arbitraryMembers,
  arbitraryPacket,
  arbitraryRule,
  asMadeFirst,
  decisionText,
  definition,
  meantDecision,
  memorySets,
  PlayedTables,
  portSets,
  TellingChains,
} from './testing.ts';

const allSets = [...addressSets, ...portSets];
/** Members of each set; undefined: nobody knows the set. */
const arbitrarySets = fc.record(
  Object.fromEntries(allSets.map((id) => [id, fc.option(arbitraryMembers(id), { freq: 8, nil: undefined })])),
);
const known = (sets: Readonly<Record<string, readonly string[] | undefined>>) => {
  const members = new Map<SetId, readonly string[]>();
  for (const [id, texts] of Object.entries(sets)) if (texts !== undefined) members.set(id as SetId, texts);
  return members;
};

test('RS-092 FX-049: the lookups say of every packet what the program means', () => {
  fc.assert(
    fc.property(
      arbitraryGroup('a').chain((group) =>
        fc.record({
          group: fc.constant(group),
          sets: arbitrarySets,
          packets: fc.array(arbitraryPacket(group), { minLength: 20, maxLength: 20 }),
        }),
      ),
      ({ group, sets, packets }) => {
        const chains = new TellingChains();
        const compiled = new CompiledPrograms(chains);
        const members = known(sets);
        for (const [id, texts] of members) compiled.setSet(definition(id), texts);
        assert.deepEqual(compiled.set(group), { compiled: true, chain: programChain('a') });
        const tables = new PlayedTables();
        tables.apply(compiled.flush());
        const lookup = memorySets(members);
        for (const packet of packets) {
          const chain = tables.decide(group.family, programChain('a'), packet);
          assert.equal(chains.text(chain), decisionText(meantDecision(group, lookup, packet)));
        }
      },
    ),
    { numRuns: 400 },
  );
});

type Step =
  | { readonly op: 'set'; readonly id: SetId; readonly members: readonly string[] }
  | { readonly op: 'change'; readonly id: SetId; readonly members: readonly string[]; readonly keep: number }
  | { readonly op: 'remove-set'; readonly id: SetId }
  | { readonly op: 'program'; readonly group: GroupProgram }
  | {
      /** A policy reads otherwise, or goes, or the tier ends otherwise; all else stays the same objects. */
      readonly op: 'edit';
      readonly key: string;
      readonly how: 'replace' | 'remove' | 'end';
      readonly tier: number;
      readonly policy: number;
      readonly rules: readonly Rule[];
    }
  | { readonly op: 'delete'; readonly key: string }
  | { readonly op: 'flush' };

const keys = ['a', 'b', 'c'];
const arbitrarySetStep = fc.constantFrom(...allSets).chain((id) =>
  fc.record({
    op: fc.constantFrom('set', 'change', 'change', 'remove-set'),
    id: fc.constant(id),
    members: arbitraryMembers(id),
    keep: fc.nat(3),
  }),
);
const arbitraryStep = fc.oneof(
  { weight: 6, arbitrary: arbitrarySetStep },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(...keys)
      .chain((key) => arbitraryGroup(key).map((group) => ({ op: 'program', group }))),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('edit'),
      key: fc.constantFrom(...keys),
      how: fc.constantFrom('replace', 'replace', 'remove', 'end'),
      tier: fc.nat(2),
      policy: fc.nat(2),
      rules: fc.array(arbitraryRule('ingress'), { maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom(...keys).map((key) => ({ op: 'delete', key })) },
  { weight: 6, arbitrary: fc.constant({ op: 'flush' }) },
) as fc.Arbitrary<Step>;
/** Something is there from the beginning. */
const arbitraryHistory = fc
  .tuple(
    arbitraryGroup('a').map((group): Step => ({ op: 'program', group })),
    arbitraryMembers('s:a' as SetId).map((members): Step => ({ op: 'set', id: 's:a' as SetId, members })),
    fc.array(arbitraryStep, { maxLength: 40 }),
  )
  .map(([program, set, steps]): readonly Step[] => [set, program, { op: 'flush' }, ...steps]);

test('after any history the rows are those of a fresh build, and nothing is left when all is gone', () => {
  fc.assert(
    fc.property(arbitraryHistory, (steps) => {
      const chains = new TellingChains();
      const compiled = new CompiledPrograms(chains);
      const tables = new PlayedTables();
      const members = new Map<SetId, readonly string[]>();
      const groups = new Map<string, GroupProgram>();
      for (const step of [...steps, { op: 'flush' } as const]) {
        if (step.op === 'set') {
          members.set(step.id, step.members);
          compiled.setSet(definition(step.id), step.members);
        } else if (step.op === 'change') {
          const before = members.get(step.id);
          if (before === undefined) continue;
          const kept = before.slice(0, step.keep);
          const added = step.members.filter((text) => !before.includes(text));
          members.set(step.id, [...kept, ...added]);
          compiled.changeMembers(step.id, added, before.slice(step.keep));
        } else if (step.op === 'remove-set') {
          members.delete(step.id);
          compiled.removeSet(step.id);
        } else if (step.op === 'program') {
          for (const family of [4, 6] as const) compiled.delete(family, step.group.key);
          groups.set(step.group.key, step.group);
          compiled.set(step.group);
        } else if (step.op === 'edit') {
          const group = groups.get(step.key);
          if (group === undefined) continue;
          const after = edited(group, step);
          groups.set(step.key, after);
          compiled.set(after);
        } else if (step.op === 'delete') {
          groups.delete(step.key);
          for (const family of [4, 6] as const) compiled.delete(family, step.key);
        } else {
          tables.apply(compiled.flush());
          const fresh = new CompiledPrograms(chains);
          for (const [id, texts] of members) fresh.setSet(definition(id), texts);
          for (const group of groups.values()) fresh.set(group);
          const wanted = new PlayedTables();
          wanted.apply(fresh.flush());
          assert.deepEqual(sorted(tables), sorted(wanted));
          assert.deepEqual(compiled.stats(), fresh.stats());
          for (const { family, key } of groups.values()) fresh.delete(family, key);
          fresh.flush();
        }
      }
      for (const { family, key } of groups.values()) compiled.delete(family, key);
      tables.apply(compiled.flush());
      assert.equal(tables.rows.size, 0);
      assert.equal(chains.inUse, 0);
      assert.deepEqual(compiled.stats(), new CompiledPrograms(chains).stats());
    }),
    { numRuns: 300 },
  );
});

function edited(group: GroupProgram, step: Extract<Step, { op: 'edit' }>): GroupProgram {
  const tiers = group.program.tiers.map((tier, t): TierRules => {
    if (t !== step.tier) return tier;
    if (step.how === 'end') return { ...tier, endAction: tier.endAction === 'deny' ? 'pass' : 'deny' };
    const policies =
      step.how === 'remove'
        ? tier.policies.filter((_, p) => p !== step.policy)
        : tier.policies.map((policy, p) => (p === step.policy ? { ...policy, rules: step.rules } : policy));
    return { ...tier, policies };
  });
  return { ...group, program: { ...group.program, tiers } };
}

const sorted = (tables: PlayedTables): [string, unknown][] =>
  [...tables.rows]
    .map(([key, row]): [string, unknown] => [asMadeFirst(key), JSON.parse(asMadeFirst(JSON.stringify(row)))])
    .sort(([a], [b]) => (a < b ? -1 : 1));
