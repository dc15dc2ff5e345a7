// Attributes as a group's peers get them, rewritten byte by byte: the way of nearly every route, where neither policy nor
// a two-octet session asks for more. `export-group.ts` has the same rules over decoded attributes; a test compares both.
import { attributeCode as codes, attributeFlag } from '../packet/mod.ts';

export type Rewrite = {
  readonly family: 4 | 6;
  readonly ibgp: boolean;
  readonly localAs: number;
  /** 4, 16 or 32 bytes. */
  readonly nextHop: Uint8Array;
  readonly localPref: number;
  /** Present when the route is reflected. */
  readonly reflection: { readonly originatorId: number; readonly clusterId: number } | undefined;
  readonly keepMed: boolean;
};

const scratch = new Uint8Array(65536 + 512);
/** Attributes this speaker understands; all others are marked partial when they are passed on. */
const known: ReadonlySet<number> = new Set(Object.values(codes));

/** The encoded attributes, as `encodeAttributes` would order them: MP_REACH_NLRI first, then by ascending code. A view of a
 *  scratch buffer, valid until the next call. undefined when the attributes do not stand in ascending order. */
export function rewriteAttributes(bytes: Uint8Array, to: Rewrite): Uint8Array | undefined {
  let at = to.family === 6 ? writeMpReach(to.nextHop) : 0;
  let previous = 0;
  // Attributes to be put in on the way, each before the first one with a higher code.
  let pending = pendingOf(to);
  for (let from = 0; from + 3 <= bytes.length; ) {
    const flags = bytes[from]!;
    const code = bytes[from + 1]!;
    const extended = (flags & attributeFlag.extendedLength) !== 0;
    const value = from + (extended ? 4 : 3);
    const length = extended ? (bytes[from + 2]! << 8) | bytes[from + 3]! : bytes[from + 2]!;
    const end = value + length;
    if (code !== codes.mpReach) {
      if (code <= previous) return undefined;
      previous = code;
      while (pending.length > 0 && pending[0]! < code) {
        at = writeOwn(pending[0]!, at, to);
        pending = pending.slice(1);
      }
      if (pending[0] === code) {
        pending = pending.slice(1);
        at = writeMerged(code, bytes, value, length, at, to);
      } else if (!isDropped(code, flags, to)) at = copy(bytes, from, end, code, at);
    }
    from = end;
  }
  for (const code of pending) at = writeOwn(code, at, to);
  return scratch.subarray(0, at);
}

/** Codes that this speaker sets, ascending. */
function pendingOf({ family, ibgp, reflection }: Rewrite): readonly number[] {
  const nextHop = family === 4 ? [codes.nextHop] : [];
  if (!ibgp) return [codes.asPath, ...nextHop];
  if (reflection === undefined) return [...nextHop, codes.localPref];
  return [...nextHop, codes.localPref, codes.originatorId, codes.clusterList];
}

function isDropped(code: number, flags: number, { ibgp, keepMed }: Rewrite): boolean {
  switch (code) {
    case codes.nextHop:
    case codes.mpReach:
    case codes.mpUnreach:
      return true;
    case codes.localPref:
    case codes.originatorId:
    case codes.clusterList:
      return !ibgp;
    case codes.med:
      return !ibgp && !keepMed;
    default:
      return !known.has(code) && (flags & attributeFlag.transitive) === 0;
  }
}

function copy(bytes: Uint8Array, from: number, end: number, code: number, at: number): number {
  scratch.set(bytes.subarray(from, end), at);
  if (!known.has(code)) scratch[at]! |= attributeFlag.partial;
  return at + end - from;
}

/** An attribute that is not in the received ones. */
function writeOwn(code: number, at: number, to: Rewrite): number {
  return writeMerged(code, none, 0, 0, at, to);
}

const none = new Uint8Array(0);

/** An attribute that this speaker sets, given what was received of it. */
function writeMerged(
  code: number,
  bytes: Uint8Array,
  value: number,
  length: number,
  at: number,
  to: Rewrite,
): number {
  const received = bytes !== none;
  switch (code) {
    case codes.nextHop:
      return writeBytes(attributeFlag.transitive, code, to.nextHop, 0, 4, at);
    case codes.localPref:
      return received
        ? writeBytes(attributeFlag.transitive, code, bytes, value, 4, at)
        : writeWord(attributeFlag.transitive, code, to.localPref, at);
    case codes.originatorId:
      return received
        ? writeBytes(attributeFlag.optional, code, bytes, value, 4, at)
        : writeWord(attributeFlag.optional, code, to.reflection?.originatorId ?? 0, at);
    case codes.clusterList: {
      const start = writeHeader(attributeFlag.optional, code, length + 4, at);
      putWord(start, to.reflection?.clusterId ?? 0);
      scratch.set(bytes.subarray(value, value + length), start + 4);
      return start + 4 + length;
    }
    default:
      return writeAsPath(bytes, value, length, at, to.localAs);
  }
}

/** The received path with the own AS in front. */
function writeAsPath(bytes: Uint8Array, value: number, length: number, at: number, as: number): number {
  const joins = length > 0 && bytes[value] === 2 && bytes[value + 1]! < 255;
  const start = writeHeader(attributeFlag.transitive, codes.asPath, length + (joins ? 4 : 6), at);
  scratch[start] = 2;
  scratch[start + 1] = joins ? bytes[value + 1]! + 1 : 1;
  putWord(start + 2, as);
  const rest = joins ? value + 2 : value;
  scratch.set(bytes.subarray(rest, value + length), start + 6);
  return start + 6 + value + length - rest;
}

function writeMpReach(nextHop: Uint8Array): number {
  scratch.set([0x90, codes.mpReach, 0, 5 + nextHop.length, 0, 2, 1, nextHop.length]);
  scratch.set(nextHop, 8);
  scratch[8 + nextHop.length] = 0;
  return 9 + nextHop.length;
}

function writeHeader(flags: number, code: number, length: number, at: number): number {
  const extended = length > 255;
  scratch[at] = extended ? flags | attributeFlag.extendedLength : flags;
  scratch[at + 1] = code;
  if (extended) scratch[at + 2] = length >> 8;
  scratch[extended ? at + 3 : at + 2] = length;
  return extended ? at + 4 : at + 3;
}

function writeWord(flags: number, code: number, word: number, at: number): number {
  const start = writeHeader(flags, code, 4, at);
  putWord(start, word);
  return start + 4;
}

function writeBytes(
  flags: number,
  code: number,
  bytes: Uint8Array,
  from: number,
  length: number,
  at: number,
): number {
  const start = writeHeader(flags, code, length, at);
  for (let i = 0; i < length; i++) scratch[start + i] = bytes[from + i]!;
  return start + length;
}

function putWord(at: number, word: number): void {
  scratch[at] = word >>> 24;
  scratch[at + 1] = word >>> 16;
  scratch[at + 2] = word >>> 8;
  scratch[at + 3] = word;
}
