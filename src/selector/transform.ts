// Selectors made of selectors.
import { selectorOf } from './parser.ts';
import type { Selector, SelectorNode } from './types.ts';

/** Every label name gets the prefix. */
export const prefixLabels = (selector: Selector, prefix: string): Selector =>
  selectorOf(mapLabels(selector.root, (label) => prefix + label));

function mapLabels(node: SelectorNode, rename: (label: string) => string): SelectorNode {
  if ('operands' in node)
    return { ...node, operands: node.operands.map((operand) => mapLabels(operand, rename)) };
  if ('operand' in node) return { ...node, operand: mapLabels(node.operand, rename) };
  return 'label' in node ? { ...node, label: rename(node.label) } : node;
}

/** Whether global() is anywhere in the selector. */
export const usesGlobal = (selector: Selector): boolean => holdsGlobal(selector.root);

function holdsGlobal(node: SelectorNode): boolean {
  if ('operands' in node) return node.operands.some(holdsGlobal);
  return 'operand' in node ? holdsGlobal(node.operand) : node.kind === 'global';
}

/** The names of all labels that the selector looks at. */
export function labelsOf(selector: Selector): ReadonlySet<string> {
  const found = new Set<string>();
  mapLabels(selector.root, (label) => {
    found.add(label);
    return label;
  });
  return found;
}
