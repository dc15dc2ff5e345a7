// Whatever came and went before, the rows are those of a node that knows only what is there now, but for the names of
// programs; and whatever leads somewhere leads to a chain that is there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NftRow } from '../../nftables.ts';
import { type NftChange, transactionsOf } from '../../transactions.ts';
import { PolicyNode, rule, started } from './testing.ts';

type Step =
  | {
      readonly op: 'policy';
      readonly name: string;
      readonly selector: string;
      readonly rules: readonly number[];
    }
  | { readonly op: 'endpoint'; readonly name: string; readonly variant: number }
  | { readonly op: 'set'; readonly name: string; readonly variant: number }
  | { readonly op: 'remove'; readonly kind: 'policy' | 'endpoint' | 'set'; readonly name: string }
  | { readonly op: 'flush' };

const policies = ['p', 'q', 'r'] as const;
const endpoints = ['a', 'b', 'c', 'd'] as const;
const sets = ['m', 'n'] as const;
const ruleNumber = fc.nat(40);
const arbitraryStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('policy' as const),
      name: fc.constantFrom(...policies),
      selector: fc.constantFrom('all()', 'app == "a"', 'app in { "b", "c" }', 'app != "d"'),
      rules: fc.array(ruleNumber, { maxLength: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('endpoint' as const),
      name: fc.constantFrom(...endpoints),
      variant: fc.nat(1),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('set' as const),
      name: fc.constantFrom(...sets),
      variant: fc.nat(2),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.oneof(
      fc.constantFrom(...policies).map((name) => ({ op: 'remove' as const, kind: 'policy' as const, name })),
      fc
        .constantFrom(...endpoints)
        .map((name) => ({ op: 'remove' as const, kind: 'endpoint' as const, name })),
      fc.constantFrom(...sets).map((name) => ({ op: 'remove' as const, kind: 'set' as const, name })),
    ),
  },
  { weight: 5, arbitrary: fc.constant({ op: 'flush' as const }) },
);

function apply(node: PolicyNode, step: Step): void {
  if (step.op === 'flush') node.flush();
  else if (step.op === 'policy')
    node.set('NetworkPolicy', step.name, {
      selector: step.selector,
      order: policies.indexOf(step.name as (typeof policies)[number]),
      types: ['Ingress', 'Egress'],
      ingress: step.rules.map(rule),
      egress: step.rules.map((i) => rule(i + 1)),
    });
  else if (step.op === 'endpoint')
    node.endpoint(step.name, `10.0.${step.variant}.${endpoints.indexOf(step.name as 'a')}`);
  else if (step.op === 'set')
    node.set(
      'GlobalNetworkSet',
      step.name,
      {
        nets:
          step.variant === 0 ? [] : step.variant === 1 ? ['172.16.0.0/12', '10.1.1.1/32'] : ['10.0.0.2/32'],
      },
      { app: step.name === 'm' ? 'a' : 'b' },
    );
  else
    node.remove(
      { policy: 'NetworkPolicy', endpoint: 'WorkloadEndpoint', set: 'GlobalNetworkSet' }[step.kind],
      step.name,
    );
}

test('after any history the rows are those of a fresh node, and nothing leads into the void', () => {
  fc.assert(
    fc.property(fc.array(arbitraryStep, { minLength: 10, maxLength: 40 }), (steps) => {
      const node = started();
      const living = new Map<string, Step>();
      for (const step of [...steps, { op: 'flush' } as const]) {
        apply(node, step);
        if (step.op === 'remove') living.delete(`${step.kind} ${step.name}`);
        else if (step.op !== 'flush') living.set(`${step.op} ${step.name}`, step);
        else {
          for (const [key, row] of node.rows) {
            if (row.kind !== 'element') continue;
            const chain = /^goto (\S+)/.exec(String(row.element.data))?.[1];
            if (chain !== undefined)
              assert.ok(node.rows.has(`${row.family} chain ${chain}`), `${key}: ${chain}`);
          }
        }
      }
      const fresh = started();
      // What the first two endpoints became counts, or that they went.
      for (const name of ['a', 'b'])
        if (!living.has(`endpoint ${name}`) && gone(steps, name)) fresh.remove('WorkloadEndpoint', name);
      for (const step of living.values()) apply(fresh, step);
      fresh.flush();
      assert.deepEqual(node.texts(), fresh.texts());
    }),
    { numRuns: 25 },
  );
});

const gone = (steps: readonly Step[], name: string): boolean =>
  steps.some((step) => step.op === 'remove' && step.kind === 'endpoint' && step.name === name);

type Rows = ReadonlyMap<string, NftRow>;

/** All that a packet to or from an interface meets, without the names of programs. */
function meaningOf(rows: Rows, family: string, chain: string): string {
  const row = rows.get(`${family} chain ${chain}`);
  if (row?.kind !== 'chain') return `no chain ${chain}`;
  const isOfProgram = /(?<![\w-])((?:in|program|out)-[\w.-]+)/g;
  const led = (text: string): string =>
    text.replaceAll(isOfProgram, (_, name: string) => `{ ${meaningOf(rows, family, name)} }`);
  const mapOf = (name: string): string =>
    [...rows]
      .flatMap(([, one]) =>
        one.kind === 'element' && one.family === family && one.set === name
          ? [`${String(one.element.key)} : ${led(String(one.element.data))}`]
          : [],
      )
      .sort()
      .join(', ');
  return row.rules
    .map((one) => (typeof one === 'string' ? one : one.expression))
    .map((text) =>
      led(text).replaceAll(/@((?:own-in|p)-[\w.-]+)/g, (_, name: string) => `[ ${mapOf(name)} ]`),
    )
    .join('; ');
}

test('an agent that starts anew takes over what another run made: between transactions each interface has its policy of before or of after', () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryStep, { minLength: 10, maxLength: 40 }),
      fc.array(arbitraryStep, { maxLength: 6 }),
      (steps, more) => {
        const node = started();
        for (const step of [...steps, { op: 'flush' } as const]) apply(node, step);
        // What changed while nobody ran.
        const next = started();
        const living = new Map<string, Step>();
        for (const step of [...steps, ...more])
          if (step.op === 'remove') living.delete(`${step.kind} ${step.name}`);
          else if (step.op !== 'flush') living.set(`${step.op} ${step.name}`, step);
        for (const name of ['a', 'b'])
          if (!living.has(`endpoint ${name}`) && gone([...steps, ...more], name))
            next.remove('WorkloadEndpoint', name);
        for (const step of living.values()) apply(next, step);
        next.flush();

        const changes: NftChange[] = [];
        for (const [key, row] of next.rows) {
          const actual = node.rows.get(key);
          if (actual === undefined) changes.push({ op: 'put', key, row, actual: undefined });
          else if (JSON.stringify(actual) !== JSON.stringify(row))
            changes.push({ op: 'put', key, row, actual: '[null]' });
        }
        for (const key of node.rows.keys())
          if (!next.rows.has(key)) changes.push({ op: 'remove', key, actual: '[null]' });
        const state = new Map(node.rows);
        const entries = (rows: Rows): readonly (readonly [string, string])[] =>
          [...rows].flatMap(([key, row]) => {
            const isEntry = row.kind === 'element' && /^(to|from)-workload$/.test(row.set);
            const chain = isEntry ? /^goto (\S+)/.exec(String(row.element.data))?.[1] : undefined;
            return chain === undefined ? [] : [[key, meaningOf(rows, row.family, chain)] as const];
          });
        const [before, after] = [new Map(entries(node.rows)), new Map(entries(next.rows))];
        for (const transaction of transactionsOf(changes, new Set(), true)) {
          for (const change of transaction)
            if (change.op === 'remove') state.delete(change.key);
            else state.set(change.key, change.row);
          for (const [key, meaning] of entries(state))
            assert.ok(
              meaning === before.get(key) || meaning === after.get(key),
              `${key}\n${meaning}\nbefore: ${before.get(key)}\nafter: ${after.get(key)}`,
            );
        }
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 40) },
  );
});
