// nft rule text into statements, for the part of the language that can be encoded (docs/kernel.md has the list). Whatever
// else appears is refused by name.
import { err, ok, type Result } from '../../lib/result.ts';
import type { KernelError } from '../types.ts';
import { parseRange, bytesToNumber, type Range } from './data-types.ts';
import { NftSyntaxError, tokenize, type Token } from './lexer.ts';
import { fibSelector, selectorHeads, selectorOf, shortSelector, type Selector } from './selectors.ts';
import { parseAction } from './actions.ts';
import type { BitOperation, InlineElement, InlineSet, Key, Operand, Relation, Statement } from './syntax.ts';
import { parseVerdict, type Verdict } from './verdicts.ts';

/** The statements of a rule; InvalidArgument names the word that is not understood. */
export function parseRule(text: string): Result<Statement[], KernelError> {
  try {
    const reader = new RuleReader(tokenize(text));
    const statements: Statement[] = [];
    while (!reader.atEnd()) statements.push(parseStatement(reader));
    if (statements.length === 0) throw new NftSyntaxError('the rule is empty');
    return ok(statements);
  } catch (error) {
    if (!(error instanceof NftSyntaxError)) throw error;
    return err({ code: 'InvalidArgument', message: `Cannot encode nft rule "${text}": ${error.message}.` });
  }
}

/** A position in the tokens of a rule. */
export class RuleReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)] as Token;
  }

  atEnd(): boolean {
    return this.peek().kind === 'end';
  }

  next(): Token {
    const token = this.peek();
    this.#at++;
    return token;
  }

  /** Takes the token when it is this word or symbol. */
  take(text: string): boolean {
    const token = this.peek();
    if ((token.kind !== 'word' && token.kind !== 'symbol') || token.text !== text) return false;
    this.#at++;
    return true;
  }

  need(text: string): void {
    if (!this.take(text)) throw new NftSyntaxError(`"${text}" is expected before "${this.peek().text}"`);
  }

  word(): string {
    const token = this.next();
    if (token.kind !== 'word' && token.kind !== 'string') this.refuse(token);
    return token.text;
  }

  number(): number {
    const token = this.next();
    if (token.kind !== 'word' || !/^(0x[0-9a-f]{1,8}|[0-9]{1,10})$/i.test(token.text)) this.refuse(token);
    return Number(token.text);
  }

  refuse(token: Token = this.peek()): never {
    throw new NftSyntaxError(`"${token.text}" is not understood here`);
  }
}

function parseStatement(reader: RuleReader): Statement {
  const action = parseAction(reader);
  if (action !== undefined) return action;
  const key = parseKey(reader);
  if (reader.take('vmap')) return { kind: 'verdict-map', key, map: parseVerdictMap(reader, key) };
  const [selector] = key.selectors;
  if (selector?.source.from === 'fib' && key.selectors.length === 1) {
    if (reader.take('missing')) return { kind: 'present', selector, exists: false };
    if (reader.take('exists')) return { kind: 'present', selector, exists: true };
  }
  return parseMatch(reader, key);
}

/** One selector, with bit operations; or several joined by dots. */
export function parseKey(reader: RuleReader): Key {
  const selectors = [parseSelector(reader)];
  while (reader.take('.')) selectors.push(parseSelector(reader));
  const bits = selectors.length === 1 ? parseBits(reader, selectors[0] as Selector) : undefined;
  return bits === undefined ? { selectors } : { selectors, bits };
}

function parseSelector(reader: RuleReader): Selector {
  const head = reader.next();
  if (head.kind !== 'word') reader.refuse(head);
  const short = shortSelector(head.text);
  if (short !== undefined) return short;
  if (head.text === 'fib') return parseFib(reader);
  const second = reader.peek();
  const selector = selectorOf(head.text, second.text);
  if (selector === undefined) {
    if (selectorHeads.has(head.text))
      throw new NftSyntaxError(`"${head.text} ${second.text}" is not supported`);
    throw new NftSyntaxError(`"${head.text}" is not supported`);
  }
  reader.next();
  return selector;
}

function parseFib(reader: RuleReader): Selector {
  const fields = [reader.word()];
  while (reader.take('.')) fields.push(reader.word());
  const result = reader.word();
  const selector = fibSelector(fields, result);
  if (selector === undefined)
    throw new NftSyntaxError(`"fib ${fields.join(' . ')} ${result}" is not supported`);
  return selector;
}

const allOnes = 0xffffffff;

/** `and A or B xor C` folded into one mask and one flip, from left to right as nft evaluates it. */
export function parseBits(reader: RuleReader, selector: Selector): BitOperation | undefined {
  let mask = allOnes;
  let flip = 0;
  let seen = false;
  for (;;) {
    const isAnd = reader.take('and') || reader.take('&');
    const isOr = !isAnd && (reader.take('or') || reader.take('|'));
    if (!isAnd && !isOr && !reader.take('xor') && !reader.take('^')) break;
    if (selector.type.name !== 'mark')
      throw new NftSyntaxError(`bits of "${selector.text}" cannot be changed`);
    const value = reader.number();
    seen = true;
    if (isAnd) {
      mask = (mask & value) >>> 0;
      flip = (flip & value) >>> 0;
    } else if (isOr) {
      mask = (mask & ~value) >>> 0;
      flip = ((flip & ~value) | value) >>> 0;
    } else flip = (flip ^ value) >>> 0;
  }
  return seen ? { mask, flip } : undefined;
}

const relations: readonly Relation[] = ['==', '!=', '<=', '>=', '<', '>'];

function parseMatch(reader: RuleReader, key: Key): Statement {
  let relation: Relation = 'implicit';
  for (const candidate of relations)
    if (relation === 'implicit' && reader.take(candidate)) relation = candidate;
  for (const [word, meaning] of [
    ['eq', '=='],
    ['ne', '!='],
    ['lt', '<'],
    ['gt', '>'],
    ['le', '<='],
    ['ge', '>='],
  ] as const)
    if (relation === 'implicit' && reader.take(word)) relation = meaning;
  const operand = parseOperand(reader, key, relation);
  const ordered = relation !== 'implicit' && relation !== '==' && relation !== '!=';
  if (ordered && operand.kind !== 'range') reader.refuse();
  return { kind: 'match', key, relation, operand };
}

function parseOperand(reader: RuleReader, key: Key, relation: Relation): Operand {
  const token = reader.peek();
  if (token.kind === 'set') {
    reader.next();
    return { kind: 'named', name: token.text };
  }
  if (token.text === '{' && token.kind === 'symbol') return parseInlineSet(reader, key, 'none');
  const selector = key.selectors[0] as Selector;
  if (key.selectors.length > 1)
    throw new NftSyntaxError(`a concatenation is compared with a set, not with "${token.text}"`);
  if (selector.type.order === 'text' && token.text.endsWith('*')) {
    const prefix = reader.word().slice(0, -1);
    if (prefix === '' || selector.type.parse(prefix) === undefined)
      throw new NftSyntaxError(`"${token.text}" matches any name`);
    return { kind: 'wildcard', prefix };
  }
  const range = parseValue(reader, selector);
  const isFlag = selector.type.name === 'ct_state' || selector.type.name === 'ct_status';
  if (!isFlag) return { kind: 'range', range };
  let bits = bytesToNumber(range.from);
  const several = reader.peek().text === ',';
  while (reader.take(',')) bits |= bytesToNumber(parseValue(reader, selector).from);
  if (relation === 'implicit') return { kind: 'flags', bits };
  if (several) throw new NftSyntaxError(`a list of flags cannot be compared by "${relation}"; use { }`);
  return { kind: 'range', range };
}

function parseValue(reader: RuleReader, selector: Selector): Range {
  const text = reader.word();
  const range = parseRange(selector.type, text);
  if (range === undefined)
    throw new NftSyntaxError(`"${text}" is not a value of type ${selector.type.name} for "${selector.text}"`);
  return range;
}

function parseVerdictMap(reader: RuleReader, key: Key): Operand & { kind: 'named' | 'inline' } {
  const token = reader.peek();
  if (token.kind === 'set') {
    reader.next();
    return { kind: 'named', name: token.text };
  }
  return parseInlineSet(reader, key, 'verdict');
}

function parseInlineSet(reader: RuleReader, key: Key, data: 'none' | 'verdict'): InlineSet {
  reader.need('{');
  const elements: InlineElement[] = [];
  do {
    if (reader.peek().text === '}') break;
    const ranges = key.selectors.map((selector, i) => {
      if (i > 0) reader.need('.');
      return parseValue(reader, selector);
    });
    if (data === 'none') elements.push({ key: ranges });
    else {
      reader.need(':');
      elements.push({ key: ranges, verdict: readVerdict(reader) });
    }
  } while (reader.take(','));
  reader.need('}');
  if (elements.length === 0) throw new NftSyntaxError('the set { } is empty');
  return { kind: 'inline', elements };
}

export function readVerdict(reader: RuleReader): Verdict {
  const head = reader.word();
  const text = head === 'jump' || head === 'goto' ? `${head} ${reader.word()}` : head;
  const verdict = parseVerdict(text);
  if (verdict === undefined) throw new NftSyntaxError(`"${text}" is not a verdict`);
  return verdict;
}

/** Sets and chains that a rule names. */
export function referencesOf(statements: readonly Statement[]): { sets: Set<string>; chains: Set<string> } {
  const sets = new Set<string>();
  const chains = new Set<string>();
  const note = (operand: Operand): void => {
    if (operand.kind === 'named') sets.add(operand.name);
    if (operand.kind === 'inline')
      for (const { verdict } of operand.elements) if (verdict?.chain !== undefined) chains.add(verdict.chain);
  };
  for (const statement of statements) {
    if (statement.kind === 'match') note(statement.operand);
    else if (statement.kind === 'verdict-map') note(statement.map);
    else if (statement.kind === 'verdict' && statement.verdict.chain !== undefined)
      chains.add(statement.verdict.chain);
    else if (statement.kind === 'set-mark' && statement.value.kind === 'map') note(statement.value.map);
    else if (
      'target' in statement &&
      typeof statement.target === 'object' &&
      statement.target.map !== undefined
    )
      note(statement.target.map.map);
  }
  return { sets, chains };
}
