// Public face of the selector language (RS-007). See docs/model.md.
export type { LabelLookup, Labels, Selector, SelectorError, SelectorNode } from './types.ts';
export { canonicalText, hashedId, selectorId } from './canonical.ts';
export { matches, matchesLookup } from './evaluate.ts';
export { LabelIndex, type LabelIndexWork, type MatchListener } from './label-index.ts';
export { tokenize, type Token, type TokenKind } from './lexer.ts';
export { parseSelector, selector, selectorOf, sortedSet } from './parser.ts';
export { labelRestrictions, type LabelRestriction } from './restrictions.ts';
export { labelsOf, prefixLabels, usesGlobal } from './transform.ts';
