// Suite `selector`: parsing, evaluation, canonical form, identifiers, label restrictions.
import {
  labelRestrictions,
  matches,
  parseSelector,
  prefixLabels,
  selectorId,
  sortedSet,
  tokenize,
} from '../../../src/selector/mod.ts';

type Input = {
  readonly op: string;
  readonly selector?: string;
  readonly labels?: Record<string, string>;
  readonly prefix?: string;
  readonly values?: readonly string[];
};

export function answer(input: Input): unknown {
  if (input.op === 'stringSet') return { values: sortedSet(input.values ?? []) };
  if (input.op === 'tokenize') {
    const tokens = tokenize(input.selector ?? '');
    return tokens.ok
      ? { valid: true, tokens: tokens.value.map(({ at: _at, ...token }) => token) }
      : { valid: false };
  }
  const parsed = parseSelector(input.selector ?? '');
  if (!parsed.ok) return { valid: false };
  const selector = parsed.value;
  switch (input.op) {
    case 'parse':
      return { valid: true };
    case 'evaluate':
      return { valid: true, match: matches(selector, input.labels) };
    case 'canonicalise':
      return { valid: true, canonical: selector.text, uid: selectorId(selector) };
    case 'prefixLabels':
      return { canonical: prefixLabels(selector, input.prefix ?? '').text };
    case 'labelRestrictions':
      return { restrictions: Object.fromEntries(labelRestrictions(selector)) };
    default:
      return undefined;
  }
}
