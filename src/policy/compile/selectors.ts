// Selectors of policies and rules as one selector over the labels that endpoints have in the end (RS-008): their own, those
// of their namespace under `pcns.`, those of their service account under `pcsa.`.
import { calicoLabels } from '../../model/mod.ts';
import {
  parseSelector,
  prefixLabels,
  selectorOf,
  type Selector,
  type SelectorNode,
} from '../../selector/mod.ts';

export const namespacePrefix = 'pcns.';
export const serviceAccountPrefix = 'pcsa.';

export type ServiceAccountMatch = { readonly names?: readonly string[]; readonly selector?: string };

/** Collects what of an object cannot be made out. */
export type Problems = string[];

/** The selector, or undefined for an absent or empty text; one that does not parse is reported and undefined too. */
export function readSelector(
  text: string | undefined,
  field: string,
  problems: Problems,
): SelectorNode | undefined {
  if (text === undefined || text === null || text === '') return undefined;
  if (typeof text !== 'string') return void problems.push(`${field} is not a text`);
  const parsed = parseSelector(text);
  if (parsed.ok) return parsed.value.root;
  problems.push(`${field}: ${parsed.error.message}`);
  return undefined;
}

/** Over namespaces: `all()` is everything that is in a namespace, `global()` everything that is not. */
export function namespaceNode(root: SelectorNode): SelectorNode {
  const inNamespace: SelectorNode = { kind: 'has', label: calicoLabels.namespace };
  return replaceLeaves(prefixLabels(selectorOf(root), namespacePrefix).root, (leaf) =>
    leaf.kind === 'all' ? inNamespace : leaf.kind === 'global' ? { kind: 'not', operand: inNamespace } : leaf,
  );
}

function replaceLeaves(node: SelectorNode, replace: (leaf: SelectorNode) => SelectorNode): SelectorNode {
  if ('operands' in node)
    return { ...node, operands: node.operands.map((operand) => replaceLeaves(operand, replace)) };
  if ('operand' in node) return { ...node, operand: replaceLeaves(node.operand, replace) };
  return replace(node);
}

/** Over service accounts; names and selector are joined by AND (RS-097). */
export function serviceAccountNode(
  match: ServiceAccountMatch | undefined,
  field: string,
  problems: Problems,
): SelectorNode | undefined {
  const root = readSelector(match?.selector, `${field}.selector`, problems);
  const names = match?.names ?? [];
  return both(
    root === undefined ? undefined : prefixLabels(selectorOf(root), serviceAccountPrefix).root,
    names.length === 0
      ? undefined
      : { kind: 'in', label: calicoLabels.serviceAccount, values: [...new Set(names)].toSorted() },
  );
}

export const inNamespaceNode = (namespace: string): SelectorNode => ({
  kind: 'equals',
  label: calicoLabels.namespace,
  value: namespace,
});

/** Both conditions; an absent one asks for nothing. */
export const both = (a: SelectorNode | undefined, b: SelectorNode | undefined): SelectorNode | undefined =>
  a === undefined ? b : b === undefined ? a : { kind: 'and', operands: [a, b] };

/** The first and not the second. */
export const without = (a: SelectorNode, b: SelectorNode): SelectorNode => ({
  kind: 'and',
  operands: [a, { kind: 'not', operand: b }],
});

export const everything: Selector = selectorOf({ kind: 'all' });
