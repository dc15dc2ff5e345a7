// Selectors of policies and rules as one selector over the labels that endpoints have in the end (RS-008): their own, those
// of their namespace under `pcns.`, those of their service account under `pcsa.`.
import { calicoLabels } from '../../model/mod.ts';
import {
  parseSelector,
  prefixLabels,
  selectorOf,
  usesGlobal,
  type Selector,
  type SelectorNode,
} from '../../selector/mod.ts';

export const namespacePrefix = 'pcns.';
export const serviceAccountPrefix = 'pcsa.';

export type ServiceAccountMatch = { readonly names?: readonly string[]; readonly selector?: string };

/** Collects what of an object cannot be made out. */
export type Problems = string[];

/** The selector, or undefined for an absent or empty text; one that does not parse is reported and undefined too. Only
 *  selectors of namespaces may say `global()`. */
export function readSelector(
  text: string | undefined,
  field: string,
  problems: Problems,
  mayBeGlobal = false,
): SelectorNode | undefined {
  if (text === undefined || text === null || text === '') return undefined;
  if (typeof text !== 'string') return void problems.push(`${field} is not a text`);
  const parsed = parseSelector(text);
  if (!parsed.ok) return void problems.push(`${field}: ${parsed.error.message}`);
  if (!mayBeGlobal && usesGlobal(parsed.value))
    return void problems.push(`${field}: global() has no meaning here`);
  return parsed.value.root;
}

/** The list, empty for an absent one; what is no list is reported. */
export function readList<T>(list: readonly T[] | undefined, field: string, problems: Problems): readonly T[] {
  if (list === undefined || list === null) return [];
  if (Array.isArray(list)) return list;
  problems.push(`${field} is not a list`);
  return [];
}

/** The object, empty for an absent one; what is no object is reported. */
export function readObject<T extends object>(
  value: T | undefined,
  field: string,
  problems: Problems,
): Partial<T> {
  if (value === undefined || value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value;
  problems.push(`${field} is not an object`);
  return {};
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
  const { selector, names: list } = readObject(match, field, problems);
  const root = readSelector(selector, `${field}.selector`, problems);
  const names = readList(list, `${field}.names`, problems);
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
