// What a rule looks at, as text: single fields with bit operations, concatenations, fib lookups; and verdicts.
import { NftSyntaxError } from './lexer.ts';
import type { RuleReader } from './reader.ts';
import {
  fibSelector,
  hashSelector,
  randomSelector,
  selectorHeads,
  selectorOf,
  shortSelector,
  type Selector,
} from './selectors.ts';
import type { BitOperation, Key } from './syntax.ts';
import { parseVerdict, type Verdict } from './verdicts.ts';

/** One selector, with bit operations; or several joined by dots. */
export function parseKey(reader: RuleReader): Key {
  return parseFields(reader, [parseSelector(reader)]);
}

/** A key of a match or a verdict map: its first field may be what a map has for a selector. */
export function parseMatchKey(reader: RuleReader): Key {
  const first = parseSelector(reader);
  if (!reader.take('map')) return parseFields(reader, [first]);
  const map = reader.next();
  if (map.kind !== 'set') throw new NftSyntaxError(`"map" takes a named map, not "${map.text}"`);
  return { ...parseFields(reader, [first]), through: { kind: 'named', name: map.text } };
}

function parseFields(reader: RuleReader, selectors: Selector[]): Key {
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
  if (head.text === 'numgen') return parseRandom(reader);
  if (head.text === 'jhash') return parseHash(reader);
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

function parseRandom(reader: RuleReader): Selector {
  if (!reader.take('random')) throw new NftSyntaxError('"numgen" is supported as "numgen random mod N"');
  return randomSelector(parseModulus(reader));
}

function parseHash(reader: RuleReader): Selector {
  const of = parseSelector(reader);
  if (of.source.from !== 'payload') throw new NftSyntaxError(`"jhash ${of.text}" is not supported`);
  const modulus = parseModulus(reader);
  reader.need('seed');
  return hashSelector(of, modulus, reader.number());
}

function parseModulus(reader: RuleReader): number {
  reader.need('mod');
  const modulus = reader.number();
  if (modulus < 1) throw new NftSyntaxError('"mod" takes a number from 1');
  return modulus;
}

const allOnes = 0xffffffff;

/** `and A or B xor C` folded into one mask and one flip, from left to right as nft evaluates it. */
function parseBits(reader: RuleReader, selector: Selector): BitOperation | undefined {
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

export function readVerdict(reader: RuleReader): Verdict {
  const head = reader.word();
  const text = head === 'jump' || head === 'goto' ? `${head} ${reader.word()}` : head;
  const verdict = parseVerdict(text);
  if (verdict === undefined) throw new NftSyntaxError(`"${text}" is not a verdict`);
  return verdict;
}
