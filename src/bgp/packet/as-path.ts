// AS_PATH in its two sizes: segments on the wire, their validation in place, and the merge of AS4_PATH on sessions with
// two-octet peers (RFC 6793).
//
//   segment: [ type: 1 ] [ count: 1 ] [ AS: 2 or 4 ] × count
import { asTrans, type AsPathSegment } from './types.ts';

const typeNames = ['set', 'sequence', 'confed-sequence', 'confed-set'] as const;
const wireType: Readonly<Record<AsPathSegment['type'], number>> = {
  set: 1,
  sequence: 2,
  'confed-sequence': 3,
  'confed-set': 4,
};

/** Why the range is not an AS_PATH, or undefined when it is one. AS 0 is refused (RFC 7607). */
export function asPathProblem(
  bytes: Uint8Array,
  start: number,
  end: number,
  as4: boolean,
  allowConfederation: boolean,
): string | undefined {
  const size = as4 ? 4 : 2;
  let at = start;
  while (at < end) {
    if (at + 2 > end) return 'a segment header is cut off';
    const type = bytes[at] ?? 0;
    const count = bytes[at + 1] ?? 0;
    if (type < 1 || type > 4) return `unknown segment type ${type}`;
    if (type > 2 && !allowConfederation) return 'a confederation segment from outside of a confederation';
    if (count === 0) return 'an empty segment';
    at += 2;
    if (at + count * size > end) return 'a segment is longer than the attribute';
    for (let i = 0; i < count; i++, at += size) if (asnAt(bytes, at, as4) === 0) return 'AS 0 in the path';
  }
  return undefined;
}

function asnAt(bytes: Uint8Array, at: number, as4: boolean): number {
  const high = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  return as4 ? ((high << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0 : high;
}

/** The segments of a valid range. */
export function decodeAsPath(bytes: Uint8Array, start: number, end: number, as4: boolean): AsPathSegment[] {
  const segments: AsPathSegment[] = [];
  const size = as4 ? 4 : 2;
  let at = start;
  while (at + 2 <= end) {
    const type = typeNames[(bytes[at] ?? 0) - 1] ?? 'sequence';
    const count = bytes[at + 1] ?? 0;
    at += 2;
    const asns: number[] = [];
    for (let i = 0; i < count; i++, at += size) asns.push(asnAt(bytes, at, as4));
    segments.push({ type, asns });
  }
  return segments;
}

/** Segments of more than 255 AS numbers are split, as the count is one octet. Two-octet paths carry AS_TRANS where a
 *  number does not fit. */
export function encodeAsPath(segments: readonly AsPathSegment[], as4: boolean): Uint8Array {
  const pieces = segments.flatMap((s) => split(s));
  const size = as4 ? 4 : 2;
  const bytes = new Uint8Array(pieces.reduce((n, s) => n + 2 + s.asns.length * size, 0));
  let at = 0;
  for (const { type, asns } of pieces) {
    bytes[at++] = wireType[type];
    bytes[at++] = asns.length;
    for (const asn of asns) {
      const value = !as4 && asn > 0xffff ? asTrans : asn;
      if (as4) {
        bytes[at++] = value >>> 24;
        bytes[at++] = value >>> 16;
      }
      bytes[at++] = value >>> 8;
      bytes[at++] = value;
    }
  }
  return bytes;
}

function split(segment: AsPathSegment): AsPathSegment[] {
  const pieces: AsPathSegment[] = [];
  for (let i = 0; i < segment.asns.length; i += 255)
    pieces.push({ type: segment.type, asns: segment.asns.slice(i, i + 255) });
  return pieces;
}

/** Length as best-path selection counts it: a set is one, confederation segments are nothing. */
export const asPathLength = (segments: readonly AsPathSegment[]): number =>
  segments.reduce((n, s) => n + (s.type === 'sequence' ? s.asns.length : s.type === 'set' ? 1 : 0), 0);

/** True when the path needs AS4_PATH beside it on a two-octet session. */
export const needsAs4Path = (segments: readonly AsPathSegment[]): boolean =>
  segments.some((s) => s.asns.some((asn) => asn > 0xffff));

export const withoutConfederation = (segments: readonly AsPathSegment[]): AsPathSegment[] =>
  segments.filter((s) => s.type === 'sequence' || s.type === 'set');

/** The four-octet path from AS_PATH and AS4_PATH: the part of AS_PATH that is longer comes first. An AS4_PATH longer than
 *  the path itself is ignored. */
export function mergeAs4Path(path: readonly AsPathSegment[], as4: readonly AsPathSegment[]): AsPathSegment[] {
  const known = withoutConfederation(as4);
  let lead = asPathLength(path) - asPathLength(known);
  if (lead < 0 || known.length === 0) return [...path];
  const merged: AsPathSegment[] = [];
  for (const segment of path) {
    if (lead === 0) break;
    const counts = segment.type === 'sequence' ? segment.asns.length : segment.type === 'set' ? 1 : 0;
    const whole = counts <= lead;
    merged.push(whole ? segment : { type: segment.type, asns: segment.asns.slice(0, lead) });
    lead -= whole ? counts : lead;
  }
  const last = merged.at(-1);
  const [first, ...rest] = known;
  if (last?.type === 'sequence' && first?.type === 'sequence') {
    merged[merged.length - 1] = { type: 'sequence', asns: [...last.asns, ...first.asns] };
    return [...merged, ...rest];
  }
  return [...merged, ...known];
}

/** `65001 65002 {65003 65004}`, as routers print it. */
export function formatAsPath(segments: readonly AsPathSegment[]): string {
  return segments
    .map(({ type, asns }) =>
      type === 'sequence'
        ? asns.join(' ')
        : type === 'set'
          ? `{${asns.join(' ')}}`
          : type === 'confed-sequence'
            ? `(${asns.join(' ')})`
            : `[${asns.join(' ')}]`,
    )
    .join(' ');
}
