// The elements of sets that stand inside a rule: `{ 80, 100-200 }`, `{ new : goto x }`.
import { compareBytes, successor, toHostOrder, type NftDataType, type Range } from './data-types.ts';
import { NftSyntaxError } from './lexer.ts';
import { keyLength, type RawElement, type SetShape } from './sets.ts';
import type { InlineSet } from './syntax.ts';

/** Overlapping intervals become one, as nft merges them; in a map they are an error. */
export function anonymousElements(shape: SetShape, inline: InlineSet): RawElement[] {
  if (shape.key.length > 1) {
    return inline.elements.map(({ key, verdict }) => ({
      key: joined(shape, key, 'from'),
      ...(shape.interval ? { keyEnd: joined(shape, key, 'to') } : {}),
      ...(verdict === undefined ? {} : { data: { verdict } }),
    }));
  }
  const type = shape.key[0] as NftDataType;
  const elements = inline.elements.map(({ key, verdict }) => ({
    range: key[0] as Range,
    ...(verdict === undefined ? {} : { data: { verdict } }),
  }));
  if (!shape.interval)
    return elements.map(({ range, ...rest }) => ({ key: toHostOrder(type, range.from), ...rest }));
  if (type.order === 'text') throw new NftSyntaxError('names have no intervals');
  const sorted = elements.sort((a, b) => compareBytes(a.range.from, b.range.from));
  const merged: typeof elements = [];
  for (const element of sorted) {
    const last = merged.at(-1);
    const touches = last !== undefined && compareBytes(element.range.from, last.range.to) <= 0;
    if (!touches) merged.push(element);
    else if ('data' in element) throw new NftSyntaxError('intervals of a map overlap');
    else if (compareBytes(element.range.to, last.range.to) > 0)
      merged[merged.length - 1] = { range: { from: last.range.from, to: element.range.to } };
  }
  return merged.flatMap(({ range, ...rest }) => {
    const behind = successor(range.to);
    const start: RawElement = { key: range.from, ...rest };
    return behind === undefined ? [start] : [start, { key: behind, intervalEnd: true }];
  });
}

function joined(shape: SetShape, ranges: readonly Range[], end: 'from' | 'to'): Uint8Array {
  const key = new Uint8Array(keyLength(shape.key));
  let at = 0;
  for (const [i, type] of shape.key.entries()) {
    const bytes = ranges[i]?.[end] ?? new Uint8Array(type.length);
    key.set(shape.interval ? bytes : toHostOrder(type, bytes), at);
    at += (type.length + 3) & ~3;
  }
  return key;
}
