// Set definitions and elements between text and the kernel's form.
//
// A plain set keeps keys. An interval set keeps the first key of an interval and, as an element with the flag
// INTERVAL_END, the first key behind it. A concatenation pads every field to four bytes; with intervals each element has
// two keys, the lowest and the highest value of every field.
import { ok, type Result } from '../../lib/result.ts';
import { invalid } from '../errors.ts';
import type { KernelError, NftElement, NftSet } from '../types.ts';
import {
  compareBytes,
  dataType,
  dataTypeOf,
  formatRange,
  parseRange,
  predecessor,
  successor,
  toHostOrder,
  type NftDataType,
  type Range,
} from './data-types.ts';
import { formatVerdict, parseVerdict, type Verdict } from './verdicts.ts';

export type ElementData = { readonly verdict: Verdict } | { readonly value: Uint8Array };
export type RawElement = {
  readonly key: Uint8Array;
  readonly keyEnd?: Uint8Array;
  readonly intervalEnd?: boolean;
  readonly data?: ElementData;
  readonly comment?: string;
};

/** A set whose types are known; `data` empty for a set, 'verdict' for a verdict map. */
export type SetShape = {
  readonly name: string;
  readonly key: readonly NftDataType[];
  readonly data: readonly NftDataType[] | 'verdict' | undefined;
  readonly interval: boolean;
};

const padded = (length: number): number => (length + 3) & ~3;
/** Bytes of a key or of data: the type's own length, or padded fields when there are several. */
export const keyLength = (types: readonly NftDataType[]): number =>
  types.length === 1 ? (types[0]?.length ?? 0) : types.reduce((sum, type) => sum + padded(type.length), 0);

const typeBits = 6;
/** The number of a type, or of a concatenation: six bits for each field. */
export const typeNumber = (types: readonly NftDataType[]): number =>
  types.reduce((number, type) => number * 2 ** typeBits + type.id, 0);

export function typesOfNumber(number: number): NftDataType[] | undefined {
  const types: NftDataType[] = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 2 ** typeBits)) {
    const type = dataTypeOf(rest % 2 ** typeBits);
    if (type === undefined) return undefined;
    types.unshift(type);
  }
  return types.length > 0 ? types : undefined;
}

export function shapeOf(set: NftSet): Result<SetShape, KernelError> {
  const key = typesOf(set.name, set.key);
  if (!key.ok) return key;
  const common = { name: set.name, key: key.value, interval: set.interval === true };
  if (set.data === undefined) return ok({ ...common, data: undefined });
  if (set.data.length === 1 && set.data[0] === 'verdict') return ok({ ...common, data: 'verdict' });
  const data = typesOf(set.name, set.data);
  return data.ok ? ok({ ...common, data: data.value }) : data;
}

function typesOf(set: string, names: readonly string[]): Result<NftDataType[], KernelError> {
  const types: NftDataType[] = [];
  for (const name of names) {
    const type = dataType(name);
    if (type === undefined) return invalid(`Set ${set}: "${name}" is not a data type that can be encoded.`);
    types.push(type);
  }
  if (types.length === 0) return invalid(`Set ${set} has no key type.`);
  return ok(types);
}

/** The kernel's elements for one element; two for an interval that does not reach the end of the key space. */
export function encodeElement(shape: SetShape, element: NftElement): Result<RawElement[], KernelError> {
  const data = encodeData(shape, element);
  if (!data.ok) return data;
  const raw = (key: Uint8Array): Writable<RawElement> => {
    const made: Writable<RawElement> = { key };
    if (data.value !== undefined) made.data = data.value;
    if (element.comment !== undefined) made.comment = element.comment;
    return made;
  };
  const single = shape.interval ? undefined : joinValues(shape.key, fieldsOf(element.key));
  if (single !== undefined) return ok([raw(single)]);
  const ranges = elementRanges(shape, element.key);
  if (!ranges.ok) return ranges;
  const first = ranges.value[0];
  if (first === undefined) return invalid(`Set ${shape.name}: an element without a key.`);
  if (shape.key.length > 1) {
    const joined = raw(joinFields(shape, ranges.value, 'from'));
    if (shape.interval) joined.keyEnd = joinFields(shape, ranges.value, 'to');
    return ok([joined]);
  }
  if (!shape.interval) return ok([raw(toHostOrder(shape.key[0] as NftDataType, first.from))]);
  const behind = successor(first.to);
  const start = raw(first.from);
  return ok(behind === undefined ? [start] : [start, { key: behind, intervalEnd: true }]);
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** As `encodeElement`, for deleting: the key alone names an element. */
export const encodeElementKey = (shape: SetShape, element: NftElement): Result<RawElement[], KernelError> =>
  encodeElement({ ...shape, data: undefined }, { key: element.key });

/** The range of every field of a key. */
export function elementRanges(shape: SetShape, key: NftElement['key']): Result<Range[], KernelError> {
  const texts = fieldsOf(key);
  if (texts.length !== shape.key.length)
    return invalid(`Set ${shape.name}: an element has ${texts.length} fields, the key ${shape.key.length}.`);
  const ranges: Range[] = [];
  for (const [i, type] of shape.key.entries()) {
    const text = texts[i] ?? '';
    const range = parseRange(type, text);
    if (range === undefined)
      return invalid(`Set ${shape.name}: "${text}" is not a value of type ${type.name}.`);
    if (!shape.interval && compareBytes(range.from, range.to) !== 0)
      return invalid(`Set ${shape.name} has no intervals, and "${text}" is one.`);
    ranges.push(range);
  }
  return ok(ranges);
}

/** Concatenations may be given as an array or as nft writes them. */
const fieldsOf = (text: string | readonly string[]): readonly string[] =>
  typeof text === 'string' ? text.split(' . ') : text;

function encodeData(shape: SetShape, element: NftElement): Result<ElementData | undefined, KernelError> {
  if (shape.data === undefined) {
    return element.data === undefined ? ok(undefined) : invalid(`${shape.name} is not a map.`);
  }
  const text = element.data;
  if (text === undefined) return invalid(`Map ${shape.name}: an element without data.`);
  if (shape.data === 'verdict') {
    const verdict = typeof text === 'string' ? parseVerdict(text) : undefined;
    return verdict === undefined
      ? invalid(`Map ${shape.name}: "${String(text)}" is not a verdict.`)
      : ok({ verdict });
  }
  const texts = fieldsOf(text);
  if (texts.length !== shape.data.length)
    return invalid(`Map ${shape.name}: data has ${texts.length} fields, not ${shape.data.length}.`);
  const value = joinValues(shape.data, texts);
  if (value !== undefined) return ok({ value });
  const wrong = shape.data.findIndex((type, i) => type.parse(texts[i] ?? '') === undefined);
  return invalid(`Map ${shape.name}: "${texts[wrong]}" is not a value of type ${shape.data[wrong]?.name}.`);
}

/** Single values one behind the other, as the kernel holds them; undefined when one is none. */
function joinValues(types: readonly NftDataType[], texts: readonly string[]): Uint8Array | undefined {
  if (texts.length !== types.length) return undefined;
  const [type, ...others] = types;
  if (type !== undefined && others.length === 0) return heldValue(type, texts[0] as string);
  const joined = new Uint8Array(keyLength(types));
  let at = 0;
  for (let i = 0; i < types.length; i++) {
    const field = types[i] as NftDataType;
    const bytes = heldValue(field, texts[i] as string);
    if (bytes === undefined) return undefined;
    joined.set(bytes, at);
    at += padded(field.length);
  }
  return joined;
}

/** Ports, protocols and marks come again and again in the elements of a map. Nobody writes into these bytes. */
const heldValues = new Map<NftDataType, Map<string, Uint8Array>>();
const valuesKept = 1024;

function heldValue(type: NftDataType, text: string): Uint8Array | undefined {
  const isRepeated = type.length < 4 || type.order === 'host';
  const known = isRepeated ? heldValues.get(type) : undefined;
  const held = known?.get(text);
  if (held !== undefined) return held;
  const parsed = type.parse(text);
  if (parsed === undefined) return undefined;
  const bytes = toHostOrder(type, parsed);
  if (known !== undefined && known.size < valuesKept) known.set(text, bytes);
  else if (isRepeated) heldValues.set(type, new Map([[text, bytes]]));
  return bytes;
}

function joinFields(shape: SetShape, ranges: readonly Range[], end: 'from' | 'to'): Uint8Array {
  const key = new Uint8Array(keyLength(shape.key));
  let at = 0;
  for (const [i, type] of shape.key.entries()) {
    const bytes = ranges[i]?.[end] ?? new Uint8Array(type.length);
    key.set(shape.interval ? bytes : toHostOrder(type, bytes), at);
    at += padded(type.length);
  }
  return key;
}

/** The elements of a dump as text, in order of their keys for interval sets. */
export function decodeElements(shape: SetShape, raw: readonly RawElement[]): NftElement[] {
  if (shape.interval && shape.key.length === 1) return decodeIntervals(shape, raw);
  return raw.map((element) => ({ key: decodeKey(shape, element), ...decodeExtra(shape, element) }));
}

function decodeKey(shape: SetShape, element: RawElement): string | string[] {
  const fields: string[] = [];
  let at = 0;
  for (const type of shape.key) {
    const field = (bytes: Uint8Array) => {
      const part = bytes.subarray(at, at + type.length);
      return shape.interval ? part : toHostOrder(type, part);
    };
    const from = field(element.key);
    fields.push(formatRange(type, { from, to: element.keyEnd === undefined ? from : field(element.keyEnd) }));
    at += padded(type.length);
  }
  return shape.key.length === 1 ? (fields[0] ?? '') : fields;
}

function decodeExtra(shape: SetShape, element: RawElement): Pick<NftElement, 'data' | 'comment'> {
  const comment = element.comment === undefined ? {} : { comment: element.comment };
  const data = element.data;
  if (data === undefined) return comment;
  if ('verdict' in data) return { data: formatVerdict(data.verdict), ...comment };
  const types = Array.isArray(shape.data) ? (shape.data as readonly NftDataType[]) : [];
  const texts: string[] = [];
  let at = 0;
  for (const type of types) {
    texts.push(type.format(toHostOrder(type, data.value.subarray(at, at + type.length))));
    at += padded(type.length);
  }
  return { data: texts.length === 1 ? (texts[0] ?? '') : texts, ...comment };
}

function decodeIntervals(shape: SetShape, raw: readonly RawElement[]): NftElement[] {
  const type = shape.key[0] as NftDataType;
  // An end sorts before the start of the interval that follows at once.
  const sorted = [...raw].sort(
    (a, b) => compareBytes(a.key, b.key) || Number(b.intervalEnd === true) - Number(a.intervalEnd === true),
  );
  const elements: NftElement[] = [];
  for (const [i, element] of sorted.entries()) {
    if (element.intervalEnd === true) continue;
    const next = sorted[i + 1];
    const to = next === undefined ? new Uint8Array(type.length).fill(255) : predecessor(next.key);
    elements.push({ key: formatRange(type, { from: element.key, to }), ...decodeExtra(shape, element) });
  }
  return elements;
}

/** The element as the kernel gives it back: canonical text for every field. */
export function canonicalElement(set: NftSet, element: NftElement): Result<NftElement, KernelError> {
  const shape = shapeOf(set);
  if (!shape.ok) return shape;
  const raw = encodeElement(shape.value, element);
  if (!raw.ok) return raw;
  const decoded = decodeElements(shape.value, raw.value)[0];
  return decoded === undefined ? invalid(`Set ${set.name}: an empty element.`) : ok(decoded);
}
