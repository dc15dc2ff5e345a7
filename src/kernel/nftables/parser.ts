// nft rule text into statements, for the part of the language that can be encoded (docs/kernel.md has the list). Whatever
// else appears is refused by name.
import { err, ok, type Result } from '../../lib/result.ts';
import type { KernelError } from '../types.ts';
import { parseAction } from './actions.ts';
import { bytesToNumber, numberToBytes, parseRange, type Range } from './data-types.ts';
import { parseMatchKey, readVerdict } from './keys.ts';
import { NftSyntaxError, tokenize } from './lexer.ts';
import { RuleReader } from './reader.ts';
import type { Selector } from './selectors.ts';
import type { InlineElement, InlineSet, Key, Operand, Relation, Statement } from './syntax.ts';

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

function parseStatement(reader: RuleReader): Statement {
  const action = parseAction(reader);
  if (action !== undefined) return action;
  const key = parseMatchKey(reader);
  if (reader.take('vmap')) return { kind: 'verdict-map', key, map: parseVerdictMap(reader, key) };
  const [selector] = key.selectors;
  if (selector?.source.from === 'fib' && key.selectors.length === 1) {
    if (reader.take('missing')) return { kind: 'present', selector, exists: false };
    if (reader.take('exists')) return { kind: 'present', selector, exists: true };
  }
  return parseMatch(reader, key);
}

const relations: readonly Relation[] = ['==', '!=', '<=', '>=', '<', '>'];

function parseMatch(reader: RuleReader, key: Key): Statement {
  if (key.selectors.length === 1 && key.selectors[0]?.type.name === 'tcp_flag')
    return parseTcpFlags(reader, key);
  const relation = parseRelation(reader);
  const operand = parseOperand(reader, key, relation);
  const ordered = relation !== 'implicit' && relation !== '==' && relation !== '!=';
  if (ordered && operand.kind !== 'range') reader.refuse();
  return { kind: 'match', key, relation, operand };
}

function parseRelation(reader: RuleReader): Relation {
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
  return relation;
}

/** `syn,ack`: one of them is set; `syn / fin,syn,rst,ack`: of the latter exactly the former are. */
function parseTcpFlags(reader: RuleReader, key: Key): Statement {
  const selector = key.selectors[0] as Selector;
  const relation = parseRelation(reader);
  if (relation !== 'implicit' && relation !== '==' && relation !== '!=') reader.refuse();
  const token = reader.peek();
  if (token.kind === 'set' || token.text === '{')
    return { kind: 'match', key, relation, operand: parseOperand(reader, key, relation) };
  const list = (): number => {
    let bits = 0;
    do bits |= bytesToNumber(parseValue(reader, selector).from);
    while (reader.take(','));
    return bits;
  };
  const bits = list();
  if (reader.take('/')) {
    return { kind: 'match', key, relation, operand: { kind: 'masked', bits, mask: list() } };
  }
  if (relation === 'implicit') return { kind: 'match', key, relation, operand: { kind: 'flags', bits } };
  const value = numberToBytes(bits, 1);
  return { kind: 'match', key, relation, operand: { kind: 'range', range: { from: value, to: value } } };
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
    if ('key' in statement && statement.key.through !== undefined) note(statement.key.through);
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
