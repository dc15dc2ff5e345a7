// Cuts a selector's text into tokens. Words are labels, except right after a label, where they are operators: so a label
// may be called `contains`.
import { err, ok, type Result } from '../lib/result.ts';
import type { SelectorError } from './types.ts';

export type TokenKind =
  | 'Label'
  | 'StringLiteral'
  | 'LBrace'
  | 'RBrace'
  | 'Comma'
  | 'Eq'
  | 'Ne'
  | 'In'
  | 'Not'
  | 'NotIn'
  | 'Contains'
  | 'StartsWith'
  | 'EndsWith'
  | 'All'
  | 'Has'
  | 'LParen'
  | 'RParen'
  | 'And'
  | 'Or'
  | 'Global'
  | 'EOF';
export type Token = { readonly kind: TokenKind; readonly value?: string; readonly at: number };

const maxLabelLength = 512;

const punctuation: readonly (readonly [string, TokenKind])[] = [
  ['==', 'Eq'],
  ['!=', 'Ne'],
  ['&&', 'And'],
  ['||', 'Or'],
  ['!', 'Not'],
  ['(', 'LParen'],
  [')', 'RParen'],
  ['{', 'LBrace'],
  ['}', 'RBrace'],
  [',', 'Comma'],
];
const afterLabel: readonly (readonly [RegExp, TokenKind])[] = [
  [/contains(?![a-zA-Z0-9_./-])/y, 'Contains'],
  [/starts[ \t]*with(?![a-zA-Z0-9_./-])/y, 'StartsWith'],
  [/ends[ \t]*with(?![a-zA-Z0-9_./-])/y, 'EndsWith'],
  [/not[ \t]*in(?![a-zA-Z0-9_./-])/y, 'NotIn'],
  [/in(?![a-zA-Z0-9_./-])/y, 'In'],
];
const blank = /[ \t]*/y;
const label = /[a-zA-Z0-9_./-]+/y;
const labelTest = /has\([ \t]*([a-zA-Z0-9_./-]+)[ \t]*\)/y;
const nullary = /(all|global)\([ \t]*\)/y;
const openCall = /(has|all|global)\(/y;

export const badSelector = (text: string, at: number, why: string): SelectorError => ({
  code: 'BadSelector',
  message: `The selector "${text}" is wrong at character ${at + 1}: ${why}.`,
  at,
});

/** The tokens, `EOF` last. */
export function tokenize(text: string): Result<readonly Token[], SelectorError> {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    at = matchAt(blank, text, at)?.end ?? at;
    if (at >= text.length) {
      tokens.push({ kind: 'EOF', at });
      return ok(tokens);
    }
    const next = tokenAt(text, at, tokens.at(-1)?.kind === 'Label');
    if (typeof next === 'string') return err(badSelector(text, at, next));
    tokens.push(next.token);
    at = next.end;
  }
}

/** The token at `at` and where it ends, or why there is none. */
function tokenAt(text: string, at: number, isAfterLabel: boolean): { token: Token; end: number } | string {
  const quote = text[at];
  if (quote === '"' || quote === "'") {
    const close = text.indexOf(quote, at + 1);
    if (close < 0) return 'the text in quotes does not end';
    return { token: { kind: 'StringLiteral', value: text.slice(at + 1, close), at }, end: close + 1 };
  }
  for (const [sign, kind] of punctuation) {
    if (text.startsWith(sign, at)) return { token: { kind, at }, end: at + sign.length };
  }
  return isAfterLabel ? operatorAt(text, at) : termAt(text, at);
}

function operatorAt(text: string, at: number): { token: Token; end: number } | string {
  for (const [pattern, kind] of afterLabel) {
    const match = matchAt(pattern, text, at);
    if (match !== undefined) return { token: { kind, at }, end: match.end };
  }
  return 'an operator must follow the label';
}

function termAt(text: string, at: number): { token: Token; end: number } | string {
  const call = matchAt(nullary, text, at);
  if (call !== undefined)
    return { token: { kind: call.group === 'all' ? 'All' : 'Global', at }, end: call.end };
  const has = matchAt(labelTest, text, at);
  if (has?.group !== undefined)
    return has.group.length > maxLabelLength
      ? `a label has at most ${maxLabelLength} characters`
      : { token: { kind: 'Has', value: has.group, at }, end: has.end };
  if (matchAt(openCall, text, at) !== undefined) return 'the parenthesis must close, after a label for has()';
  const word = matchAt(label, text, at);
  if (word === undefined) return `"${text[at]}" cannot stand here`;
  const value = text.slice(at, word.end);
  if (value.length > maxLabelLength) return `a label has at most ${maxLabelLength} characters`;
  return { token: { kind: 'Label', value, at }, end: word.end };
}

function matchAt(pattern: RegExp, text: string, at: number): { end: number; group?: string } | undefined {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const end = at + match[0].length;
  return match[1] === undefined ? { end } : { end, group: match[1] };
}
