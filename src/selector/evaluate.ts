// Whether labels fulfil a selector. `!=` and `not in` hold for an absent label.
import type { LabelLookup, Labels, Selector, SelectorNode } from './types.ts';

/** True when the labels fulfil the selector. */
export const matches = (selector: Selector, labels: Labels | undefined): boolean =>
  matchesNode(selector.root, (label) =>
    labels !== undefined && Object.hasOwn(labels, label) ? labels[label] : undefined,
  );

/** As `matches`, for labels that are looked up one by one. */
export const matchesLookup = (selector: Selector, lookup: LabelLookup): boolean =>
  matchesNode(selector.root, lookup);

function matchesNode(node: SelectorNode, lookup: LabelLookup): boolean {
  switch (node.kind) {
    case 'all':
    // Whoever gives global() a meaning replaces it before evaluating; elsewhere it selects everything.
    case 'global':
      return true;
    case 'has':
      return lookup(node.label) !== undefined;
    case 'equals':
      return lookup(node.label) === node.value;
    case 'not-equals':
      return lookup(node.label) !== node.value;
    case 'contains':
      return lookup(node.label)?.includes(node.value) ?? false;
    case 'starts-with':
      return lookup(node.label)?.startsWith(node.value) ?? false;
    case 'ends-with':
      return lookup(node.label)?.endsWith(node.value) ?? false;
    case 'in':
      return isIn(node.values, lookup(node.label));
    case 'not-in':
      return !isIn(node.values, lookup(node.label));
    case 'not':
      return !matchesNode(node.operand, lookup);
    case 'and':
      return node.operands.every((operand) => matchesNode(operand, lookup));
    default:
      return node.operands.some((operand) => matchesNode(operand, lookup));
  }
}

const isIn = (values: readonly string[], value: string | undefined): boolean =>
  value !== undefined && values.includes(value);
