// What must hold of single labels for a selector to match: an index uses it to look only at objects that can match.
// Necessary, never sufficient; saying less than could be said is allowed.
import { sortedSet } from './parser.ts';
import type { Selector, SelectorNode } from './types.ts';

export type LabelRestriction = {
  readonly mustBePresent?: true;
  readonly mustBeAbsent?: true;
  /** Only these values can match; empty when none can. */
  readonly mustHaveOneOfValues?: readonly string[];
};
type Restrictions = ReadonlyMap<string, LabelRestriction>;

export const labelRestrictions = (selector: Selector): Restrictions => restrictionsOf(selector.root);

const none: Restrictions = new Map();

function restrictionsOf(node: SelectorNode): Restrictions {
  switch (node.kind) {
    case 'equals':
      return present(node.label, [node.value]);
    case 'in':
      return present(node.label, node.values);
    case 'has':
    case 'contains':
    case 'starts-with':
    case 'ends-with':
      return present(node.label);
    case 'not':
      return node.operand.kind === 'has' ? new Map([[node.operand.label, { mustBeAbsent: true }]]) : none;
    case 'and':
      return node.operands.map(restrictionsOf).reduce(both);
    case 'or':
      return node.operands.map(restrictionsOf).reduce(either);
    default:
      return none;
  }
}

const present = (label: string, values?: readonly string[]): Restrictions =>
  new Map([
    [
      label,
      values === undefined
        ? { mustBePresent: true as const }
        : { mustBePresent: true as const, mustHaveOneOfValues: values },
    ],
  ]);

/** All that either side demands. */
function both(a: Restrictions, b: Restrictions): Restrictions {
  const merged = new Map(a);
  for (const [label, restriction] of b) {
    const other = a.get(label);
    const values = intersection(other?.mustHaveOneOfValues, restriction.mustHaveOneOfValues);
    merged.set(label, {
      ...other,
      ...restriction,
      ...(values === undefined ? {} : { mustHaveOneOfValues: values }),
    });
  }
  return merged;
}

/** Only what both sides demand. */
function either(a: Restrictions, b: Restrictions): Restrictions {
  const merged = new Map<string, LabelRestriction>();
  for (const [label, x] of a) {
    const y = b.get(label);
    if (y === undefined) continue;
    const isPresent = x.mustBePresent && y.mustBePresent;
    const isAbsent = x.mustBeAbsent && y.mustBeAbsent;
    const values =
      x.mustHaveOneOfValues && y.mustHaveOneOfValues
        ? sortedSet([...x.mustHaveOneOfValues, ...y.mustHaveOneOfValues])
        : undefined;
    if (!isPresent && !isAbsent && values === undefined) continue;
    merged.set(label, {
      ...(isPresent ? { mustBePresent: true } : {}),
      ...(isAbsent ? { mustBeAbsent: true } : {}),
      ...(values === undefined ? {} : { mustHaveOneOfValues: values }),
    });
  }
  return merged;
}

function intersection(
  a: readonly string[] | undefined,
  b: readonly string[] | undefined,
): readonly string[] | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.filter((value) => b.includes(value));
}
