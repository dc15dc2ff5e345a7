// Prefixes in messages: a length octet and as many address octets as the length needs, before them four octets of path
// identifier on ADD-PATH sessions (RFC 7911).
//
//   [ path id: 4 ]? [ length in bits: 1 ] [ address: ceil(length / 8) ]
import {
  addressFromBytes,
  addressToBytes,
  prefixAddress,
  prefixFamily,
  prefixLength,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import type { Nlri, NlriVisitor } from './types.ts';

/** Bytes of one NLRI. */
export const nlriSize = (length: number, addPath: boolean): number => (addPath ? 5 : 1) + ((length + 7) >> 3);

/** Writes one NLRI and gives the offset after it. Words as in NlriVisitor; a negative `pathId` writes none. */
export function writeNlri(
  bytes: Uint8Array,
  offset: number,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  length: number,
  pathId: number,
): number {
  let at = offset;
  if (pathId >= 0) {
    bytes[at++] = pathId >>> 24;
    bytes[at++] = pathId >>> 16;
    bytes[at++] = pathId >>> 8;
    bytes[at++] = pathId;
  }
  bytes[at++] = length;
  const count = (length + 7) >> 3;
  for (let i = 0; i < count; i++) {
    const word = i < 4 ? word0 : i < 8 ? word1 : i < 12 ? word2 : word3;
    bytes[at++] = word >>> (24 - 8 * (i & 3));
  }
  return at;
}

/** True when the range is a whole number of NLRI with lengths the family allows. */
export function nlriIsValid(
  bytes: Uint8Array,
  start: number,
  end: number,
  family: Family,
  addPath: boolean,
): boolean {
  const bits = family === 4 ? 32 : 128;
  let at = start;
  while (at < end) {
    if (addPath) at += 4;
    if (at >= end) return false;
    const length = bytes[at] ?? 0;
    if (length > bits) return false;
    at += 1 + ((length + 7) >> 3);
  }
  return at === end;
}

/** Calls `visit` for each NLRI of a valid range. Bits behind the prefix length are cleared. */
export function walkNlri(
  bytes: Uint8Array,
  start: number,
  end: number,
  family: Family,
  addPath: boolean,
  visit: NlriVisitor,
): void {
  let at = start;
  while (at < end) {
    let pathId = 0;
    if (addPath) {
      pathId = wordAt(bytes, at) >>> 0;
      at += 4;
    }
    const length = bytes[at++] ?? 0;
    const count = (length + 7) >> 3;
    if (family === 4) {
      visit(4, maskedWord(bytes, at, count, length), 0, 0, 0, length, pathId);
    } else {
      visit(
        6,
        maskedWord(bytes, at, count, length),
        maskedWord(bytes, at + 4, count - 4, length - 32),
        maskedWord(bytes, at + 8, count - 8, length - 64),
        maskedWord(bytes, at + 12, count - 12, length - 96),
        length,
        pathId,
      );
    }
    at += count;
  }
}

const wordAt = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 24) |
  ((bytes[at + 1] ?? 0) << 16) |
  ((bytes[at + 2] ?? 0) << 8) |
  (bytes[at + 3] ?? 0);

/** The word of up to four octets that are there, with the bits behind `length` cleared. */
function maskedWord(bytes: Uint8Array, at: number, count: number, length: number): number {
  if (count <= 0) return 0;
  let word = (bytes[at] ?? 0) << 24;
  if (count > 1) word |= (bytes[at + 1] ?? 0) << 16;
  if (count > 2) word |= (bytes[at + 2] ?? 0) << 8;
  if (count > 3) word |= bytes[at + 3] ?? 0;
  return length >= 32 ? word : word & (-1 << (32 - length));
}

/** The canonical text of a prefix given as words. */
export function prefixFromWords(
  family: Family,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  length: number,
): Prefix {
  if (family === 4)
    return `${word0 >>> 24}.${(word0 >>> 16) & 255}.${(word0 >>> 8) & 255}.${word0 & 255}/${length}` as Prefix;
  const bytes = new Uint8Array(16);
  writeWord(bytes, 0, word0);
  writeWord(bytes, 4, word1);
  writeWord(bytes, 8, word2);
  writeWord(bytes, 12, word3);
  return `${addressFromBytes(bytes)}/${length}` as Prefix;
}

/** The four words of a prefix's address; for IPv4 only the first is used. */
export function wordsOfPrefix(p: Prefix): readonly [number, number, number, number] {
  const bytes = addressToBytes(prefixAddress(p));
  return [wordAt(bytes, 0), wordAt(bytes, 4), wordAt(bytes, 8), wordAt(bytes, 12)];
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

/** The bytes of a list of NLRI of one family. */
export function encodeNlri(list: readonly Nlri[], addPath: boolean): Uint8Array {
  let size = 0;
  for (const n of list) size += nlriSize(prefixLength(n.prefix), addPath);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const n of list) {
    const [w0, w1, w2, w3] = wordsOfPrefix(n.prefix);
    at = writeNlri(bytes, at, w0, w1, w2, w3, prefixLength(n.prefix), addPath ? n.pathId : -1);
  }
  return bytes;
}

/** The NLRI of a valid range as objects: for tests, tools and small messages. */
export function decodeNlri(
  bytes: Uint8Array,
  start: number,
  end: number,
  family: Family,
  addPath: boolean,
): Nlri[] {
  const list: Nlri[] = [];
  walkNlri(bytes, start, end, family, addPath, (f, w0, w1, w2, w3, length, pathId) => {
    list.push({ prefix: prefixFromWords(f, w0, w1, w2, w3, length), pathId });
  });
  return list;
}

export const familyOfNlri = (n: Nlri): Family => prefixFamily(n.prefix);
