// Whatever came and went before, the rows are those of a node that knows only what is there now, but for the names of
// programs; and whatever leads somewhere leads to a chain that is there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
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
