// From tokens to the syntax tree:
//
//   or        = and  { "||" and }
//   and       = term { "&&" term }
//   term      = { "!" } ( "all()" | "global()" | "has(" label ")" | "(" or ")" | label comparison )
//   comparison = ( "==" | "!=" | "contains" | "starts with" | "ends with" ) literal | ( "in" | "not in" ) set
//   set       = "{" [ literal { "," literal } [ "," ] ] "}"
import { err, ok, type Result } from '../lib/result.ts';
import { canonicalText } from './canonical.ts';
import { badSelector, tokenize, type Token, type TokenKind } from './lexer.ts';
import type { LabelOperator, Selector, SelectorError, SelectorNode } from './types.ts';

/** Deeper nesting is refused, so that no text can exhaust the stack. */
const maxDepth = 500;

const comparisons: Partial<Record<TokenKind, LabelOperator>> = {
  Eq: 'equals',
  Ne: 'not-equals',
  Contains: 'contains',
  StartsWith: 'starts-with',
  EndsWith: 'ends-with',
};

/** Parses; the empty text means `all()`. */
export function parseSelector(text: string): Result<Selector, SelectorError> {
  const tokens = tokenize(text);
  if (!tokens.ok) return tokens;
  if (tokens.value.length === 1) return ok(selectorOf({ kind: 'all' }));
  const cursor: Cursor = { text, tokens: tokens.value, next: 0, depth: 0 };
  try {
    const root = parseOr(cursor);
    if (peek(cursor).kind !== 'EOF') refuse(cursor, 'nothing can follow here but && or ||');
    return ok(selectorOf(root));
  } catch (refusal) {
    if (refusal instanceof Refusal) return err(refusal.error);
    throw refusal;
  }
}

/** For constants and already validated text: throws when it does not parse. */
export function selector(text: string): Selector {
  const parsed = parseSelector(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
}

export const selectorOf = (root: SelectorNode): Selector =>
  Object.freeze({ root, text: canonicalText(root) });

type Cursor = { readonly text: string; readonly tokens: readonly Token[]; next: number; depth: number };

/** Unwinds the recursive descent; never leaves this file. */
class Refusal extends Error {
  readonly error: SelectorError;
  constructor(error: SelectorError) {
    super(error.message);
    this.error = error;
  }
}

function refuse(cursor: Cursor, why: string): never {
  throw new Refusal(badSelector(cursor.text, peek(cursor).at, why));
}

const peek = (cursor: Cursor): Token => cursor.tokens[cursor.next] ?? { kind: 'EOF', at: cursor.text.length };

function take(cursor: Cursor): Token {
  const token = peek(cursor);
  cursor.next++;
  return token;
}

function takeIf(cursor: Cursor, kind: TokenKind): boolean {
  if (peek(cursor).kind !== kind) return false;
  cursor.next++;
  return true;
}

const parseOr = (cursor: Cursor): SelectorNode => parseChain(cursor, 'or', 'Or', parseAnd);
const parseAnd = (cursor: Cursor): SelectorNode => parseChain(cursor, 'and', 'And', parseTerm);

function parseChain(
  cursor: Cursor,
  kind: 'and' | 'or',
  sign: TokenKind,
  parse: (cursor: Cursor) => SelectorNode,
): SelectorNode {
  const first = parse(cursor);
  if (peek(cursor).kind !== sign) return first;
  const operands = [first];
  while (takeIf(cursor, sign)) operands.push(parse(cursor));
  return { kind, operands };
}

function parseTerm(cursor: Cursor): SelectorNode {
  let isNegated = false;
  while (takeIf(cursor, 'Not')) isNegated = !isNegated;
  const operand = parsePositiveTerm(cursor);
  return isNegated ? { kind: 'not', operand } : operand;
}

function parsePositiveTerm(cursor: Cursor): SelectorNode {
  const token = peek(cursor);
  switch (token.kind) {
    case 'All':
      cursor.next++;
      return { kind: 'all' };
    case 'Global':
      cursor.next++;
      return { kind: 'global' };
    case 'Has':
      cursor.next++;
      return { kind: 'has', label: token.value ?? '' };
    case 'Label':
      cursor.next++;
      return parseComparison(cursor, token.value ?? '');
    case 'LParen':
      return parseParenthesis(cursor);
    default:
      return refuse(cursor, 'a label, has(), all(), global() or a parenthesis must stand here');
  }
}

function parseParenthesis(cursor: Cursor): SelectorNode {
  if (++cursor.depth > maxDepth) refuse(cursor, `parentheses go deeper than ${maxDepth}`);
  cursor.next++;
  const inner = parseOr(cursor);
  if (!takeIf(cursor, 'RParen')) refuse(cursor, 'a parenthesis must close here');
  cursor.depth--;
  return inner;
}

function parseComparison(cursor: Cursor, label: string): SelectorNode {
  const operator = take(cursor);
  const comparison = comparisons[operator.kind];
  if (comparison !== undefined) return { kind: comparison, label, value: parseLiteral(cursor) };
  if (operator.kind === 'In') return { kind: 'in', label, values: parseSet(cursor) };
  if (operator.kind === 'NotIn') return { kind: 'not-in', label, values: parseSet(cursor) };
  cursor.next--;
  return refuse(cursor, 'an operator must follow the label');
}

function parseLiteral(cursor: Cursor): string {
  const token = peek(cursor);
  if (token.kind !== 'StringLiteral') refuse(cursor, 'a value in quotes must stand here');
  cursor.next++;
  return token.value ?? '';
}

function parseSet(cursor: Cursor): readonly string[] {
  if (!takeIf(cursor, 'LBrace')) refuse(cursor, 'a set like {"a", "b"} must stand here');
  const values = new Set<string>();
  while (peek(cursor).kind === 'StringLiteral') {
    values.add(take(cursor).value ?? '');
    if (!takeIf(cursor, 'Comma')) break;
  }
  if (!takeIf(cursor, 'RBrace')) refuse(cursor, 'the set must close here with }');
  return sortedSet(values);
}

/** Sorted by code units, without repetition: the form in which sets of selectors are kept and printed. */
export const sortedSet = (values: Iterable<string>): readonly string[] =>
  [...new Set(values)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
