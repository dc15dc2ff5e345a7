// The canonical text of a selector, and the identifier made of it. Both equal Calico's, so that IP sets and logs of
// both can be compared.
import { base64Url, sha224 } from '../lib/hash.ts';
import type { Selector, SelectorNode } from './types.ts';

const operators = {
  equals: '==',
  'not-equals': '!=',
  contains: 'contains',
  'starts-with': 'starts with',
  'ends-with': 'ends with',
} as const;

export function canonicalText(node: SelectorNode): string {
  switch (node.kind) {
    case 'all':
      return 'all()';
    case 'global':
      return 'global()';
    case 'has':
      return `has(${node.label})`;
    case 'in':
      return `${node.label} in {${node.values.map(quote).join(', ')}}`;
    case 'not-in':
      return `${node.label} not in {${node.values.map(quote).join(', ')}}`;
    case 'not':
      return `!${canonicalText(node.operand)}`;
    case 'and':
      return `(${node.operands.map(canonicalText).join(' && ')})`;
    case 'or':
      return `(${node.operands.map(canonicalText).join(' || ')})`;
    default:
      return `${node.label} ${operators[node.kind]} ${quote(node.value)}`;
  }
}

/** A literal cannot hold both kinds of quotes, for there is no way to write it. */
const quote = (value: string): string => (value.includes('"') ? `'${value}'` : `"${value}"`);

/** Rules name the same selectors again and again, one policy's mostly. */
const knownIds = new Map<string, string>();
const idsKept = 1024;

/** Identifier of the selector: the same for all texts of one canonical form. */
export function selectorId({ text }: Selector): string {
  let id = knownIds.get(text);
  if (id !== undefined) return id;
  id = hashedId('s', text);
  if (knownIds.size >= idsKept) knownIds.clear();
  knownIds.set(text, id);
  return id;
}

/** `<prefix>:` and the unpadded base64url of the SHA-224 of `<prefix>:<text>`. */
export const hashedId = (prefix: string, text: string): string =>
  `${prefix}:${base64Url(sha224(`${prefix}:${text}`))}`;
