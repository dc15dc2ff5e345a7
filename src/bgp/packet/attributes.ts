// Attributes between their three forms: as received in an UPDATE, as canonical bytes, as plain data.
//
// Canonical bytes are what a table interns: a sequence of path attributes that means the same in every session. AS numbers
// are four-octet, duplicates and discarded attributes are gone, and the next hop is either NEXT_HOP or an MP_REACH_NLRI
// without prefixes that stands first:
//
//   [ 90 0e ][ length: 2 ][ AFI: 2 ][ SAFI: 1 ][ next hop length: 1 ][ next hop: 16 or 32 ][ 00 ] [ other attributes … ]
import { addressFromBytes, addressToBytes, familyOf } from '../../lib/ip/mod.ts';
import { decodeAsPath, encodeAsPath, mergeAs4Path, needsAs4Path, withoutConfederation } from './as-path.ts';
import {
  afi,
  asTrans,
  attributeCode as codes,
  attributeFlag,
  safi,
  type Aggregator,
  type AsPathSegment,
  type Attributes,
  type EncodeContext,
  type LargeCommunity,
  type Origin,
  type PathAttribute,
  type UpdatePart,
  type UpdateView,
} from './types.ts';

const scratch = new Uint8Array(65536);
const noBytes = new Uint8Array(0);

/** The canonical bytes of what a part of an UPDATE announces. The result stands in the message or in a scratch buffer:
 *  it is valid until the next call; copy it to keep it. */
export function attributeBytes(view: UpdateView, part: UpdatePart): Uint8Array {
  if (!view.rewrite && part === 'body') return view.bytes.subarray(view.attributesStart, view.attributesEnd);
  let at = 0;
  if (part === 'mp') at = writeMpStub(scratch, 0, view);
  const list = received(view);
  for (const attribute of view.as4 ? list : widened(list)) {
    const { code } = attribute;
    if (code === codes.mpReach || code === codes.mpUnreach) continue;
    if (code === codes.nextHop && part === 'mp') continue;
    at = writeAttribute(scratch, at, attribute);
  }
  return scratch.subarray(0, at);
}

function writeMpStub(bytes: Uint8Array, at: number, view: UpdateView): number {
  const nextHop = view.bytes.subarray(view.mpNextHopStart, view.mpNextHopEnd);
  return writeMpReach(bytes, at, view.mpReachFamily === 4 ? afi.ipv4 : afi.ipv6, nextHop);
}

function writeMpReach(bytes: Uint8Array, start: number, family: number, nextHop: Uint8Array): number {
  const length = 5 + nextHop.length;
  bytes[start] = attributeFlag.optional | attributeFlag.extendedLength;
  bytes[start + 1] = codes.mpReach;
  bytes[start + 2] = length >> 8;
  bytes[start + 3] = length;
  bytes[start + 4] = family >> 8;
  bytes[start + 5] = family;
  bytes[start + 6] = safi.unicast;
  bytes[start + 7] = nextHop.length;
  bytes.set(nextHop, start + 8);
  bytes[start + 8 + nextHop.length] = 0;
  return start + 4 + length;
}

/** The attributes of an UPDATE that were not discarded. */
function received(view: UpdateView): PathAttribute[] {
  return splitAttributes(view.bytes, view.attributesStart, view.attributesEnd, view.discarded);
}

/** The attributes of a block, values in place. Stops where one runs over the end. */
export function splitAttributes(
  bytes: Uint8Array,
  start: number,
  end: number,
  without?: readonly number[],
): PathAttribute[] {
  const list: PathAttribute[] = [];
  let at = start;
  while (at + 3 <= end) {
    const flags = bytes[at] ?? 0;
    const extended = (flags & attributeFlag.extendedLength) !== 0;
    const value = at + (extended ? 4 : 3);
    const length = extended ? u16(bytes, at + 2) : (bytes[at + 2] ?? 0);
    if (value + length > end) break;
    if (without === undefined || !without.includes(at))
      list.push({ flags, code: bytes[at + 1] ?? 0, value: bytes.subarray(value, value + length) });
    at = value + length;
  }
  return list;
}

/** The attributes of a two-octet session as a four-octet session would carry them (RFC 6793 4.2.3). */
function widened(list: readonly PathAttribute[]): PathAttribute[] {
  const find = (code: number): PathAttribute | undefined => list.find((a) => a.code === code);
  const aggregator = find(codes.aggregator);
  const as4Aggregator = find(codes.as4Aggregator);
  const shortAggregator = aggregator === undefined ? undefined : u16(aggregator.value, 0);
  // A real number beside AS4_AGGREGATOR: a router that knew nothing of the four-octet attributes has aggregated since.
  const trusted = shortAggregator === undefined || shortAggregator === asTrans || as4Aggregator === undefined;
  const as4Path = trusted ? find(codes.as4Path) : undefined;
  const result: PathAttribute[] = [];
  for (const attribute of list) {
    if (attribute.code === codes.as4Path || attribute.code === codes.as4Aggregator) continue;
    if (attribute.code === codes.asPath) {
      const path = decodeAsPath(attribute.value, 0, attribute.value.length, false);
      const long = as4Path === undefined ? [] : decodeAsPath(as4Path.value, 0, as4Path.value.length, true);
      result.push({ ...attribute, value: encodeAsPath(mergeAs4Path(path, long), true) });
    } else if (attribute.code === codes.aggregator && attribute.value.length === 6) {
      const value = new Uint8Array(8);
      value.set([0, 0, ...attribute.value]);
      const long = shortAggregator === asTrans && as4Aggregator !== undefined;
      result.push({ ...attribute, value: long ? as4Aggregator.value : value });
    } else result.push(attribute);
  }
  return result;
}

function writeAttribute(bytes: Uint8Array, start: number, { flags, code, value }: PathAttribute): number {
  let at = start;
  const extended = value.length > 255 || (flags & attributeFlag.extendedLength) !== 0;
  bytes[at++] = extended ? flags | attributeFlag.extendedLength : flags;
  bytes[at++] = code;
  if (extended) bytes[at++] = value.length >> 8;
  bytes[at++] = value.length;
  bytes.set(value, at);
  return at + value.length;
}

// ── canonical bytes → data ───────────────────────────────────────────────────────────────────────────────────────────
type Writable<T> = { -readonly [P in keyof T]: T[P] };

/** The meaning of canonical bytes. Values are copied where they are kept. */
export function decodeAttributes(bytes: Uint8Array): Attributes {
  const attributes: Writable<Attributes> = { origin: 2, asPath: [] };
  const unknown: PathAttribute[] = [];
  for (const attribute of splitAttributes(bytes, 0, bytes.length)) {
    const decode = decoders[attribute.code];
    if (decode === undefined) unknown.push({ ...attribute, value: attribute.value.slice() });
    else decode(attributes, attribute.value);
  }
  if (unknown.length > 0) attributes.unknown = unknown;
  return attributes;
}

const decoders: Readonly<Record<number, (into: Writable<Attributes>, value: Uint8Array) => void>> = {
  [codes.origin]: (into, value) => void (into.origin = Math.min(2, value[0] ?? 2) as Origin),
  [codes.asPath]: (into, value) => void (into.asPath = decodeAsPath(value, 0, value.length, true)),
  [codes.nextHop]: (into, value) => void (into.nextHop = addressFromBytes(value)),
  [codes.med]: (into, value) => void (into.med = u32(value, 0)),
  [codes.localPref]: (into, value) => void (into.localPref = u32(value, 0)),
  [codes.atomicAggregate]: (into) => void (into.atomicAggregate = true),
  [codes.aggregator]: (into, value) => {
    into.aggregator = { asn: u32(value, 0), address: addressFromBytes(value.subarray(4, 8)) };
  },
  [codes.communities]: (into, value) => void (into.communities = words(value)),
  [codes.originatorId]: (into, value) => void (into.originatorId = u32(value, 0)),
  [codes.clusterList]: (into, value) => void (into.clusterList = words(value)),
  [codes.extendedCommunities]: (into, value) => void (into.extendedCommunities = chunks(value)),
  [codes.largeCommunities]: (into, value) => {
    const list: LargeCommunity[] = [];
    for (let i = 0; i + 12 <= value.length; i += 12)
      list.push([u32(value, i), u32(value, i + 4), u32(value, i + 8)]);
    into.largeCommunities = list;
  },
  [codes.mpReach]: (into, value) => {
    const size = value[3] ?? 0;
    if (size !== 4 && size !== 16 && size !== 32) return;
    into.nextHop = addressFromBytes(value.subarray(4, 4 + Math.min(size, 16)));
    if (size === 32) into.linkLocalNextHop = addressFromBytes(value.subarray(20, 36));
  },
};

function words(value: Uint8Array): number[] {
  const list: number[] = [];
  for (let i = 0; i + 4 <= value.length; i += 4) list.push(u32(value, i));
  return list;
}

function chunks(value: Uint8Array): string[] {
  const list: string[] = [];
  for (let i = 0; i + 8 <= value.length; i += 8) {
    let text = '';
    for (let k = i; k < i + 8; k++) text += (value[k] ?? 0).toString(16).padStart(2, '0');
    list.push(text);
  }
  return list;
}

// ── data → bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────
/** The attributes as bytes, by ascending code; with `mp-reach` the prefix-less MP_REACH_NLRI comes first. For a four-octet
 *  context the result is canonical: `decodeAttributes` gives the same data back. */
export function encodeAttributes(attributes: Attributes, context: EncodeContext): Uint8Array {
  const list = attributeList(attributes, context);
  let size = 0;
  for (const { value } of list) size += value.length + (value.length > 255 ? 4 : 3);
  const mp = context.nextHop === 'mp-reach' ? mpNextHop(attributes) : undefined;
  const bytes = new Uint8Array(size + (mp === undefined ? 0 : 9 + mp.length));
  let at = 0;
  if (mp !== undefined) at = writeMpReach(bytes, 0, mp.length === 4 ? afi.ipv4 : afi.ipv6, mp);
  for (const attribute of list) at = writeAttribute(bytes, at, attribute);
  return bytes;
}

function mpNextHop(attributes: Attributes): Uint8Array {
  const first = attributes.nextHop === undefined ? noBytes : addressToBytes(attributes.nextHop);
  if (attributes.linkLocalNextHop === undefined) return first;
  const both = new Uint8Array(32);
  both.set(first);
  both.set(addressToBytes(attributes.linkLocalNextHop), 16);
  return both;
}

function attributeList(a: Attributes, context: EncodeContext): PathAttribute[] {
  const { as4 } = context;
  const list: PathAttribute[] = [];
  const add = (code: number, flags: number, value: Uint8Array): void =>
    void list.push({ code, flags, value });
  const { optional, transitive, partial, extendedLength } = attributeFlag;
  add(codes.origin, transitive, Uint8Array.of(a.origin));
  add(codes.asPath, transitive, encodeAsPath(a.asPath, as4));
  if (context.nextHop === 'attribute' && a.nextHop !== undefined && familyOf(a.nextHop) === 4)
    add(codes.nextHop, transitive, addressToBytes(a.nextHop));
  if (a.med !== undefined) add(codes.med, optional, fromWords([a.med]));
  if (a.localPref !== undefined) add(codes.localPref, transitive, fromWords([a.localPref]));
  if (a.atomicAggregate) add(codes.atomicAggregate, transitive, noBytes);
  if (a.aggregator) add(codes.aggregator, optional | transitive, aggregatorValue(a.aggregator, as4));
  if (a.communities?.length) add(codes.communities, optional | transitive, fromWords(a.communities));
  if (a.originatorId !== undefined) add(codes.originatorId, optional, fromWords([a.originatorId]));
  if (a.clusterList?.length) add(codes.clusterList, optional, fromWords(a.clusterList));
  if (a.extendedCommunities?.length)
    add(codes.extendedCommunities, optional | transitive, fromHex(a.extendedCommunities.join('')));
  if (!as4) as4Attributes(a, add);
  if (a.largeCommunities?.length)
    add(codes.largeCommunities, optional | transitive, fromWords(a.largeCommunities.flat()));
  // What this speaker does not know it passes on, marked as partial (RFC 4271 section 5).
  for (const { flags, code, value } of a.unknown ?? [])
    add(code, (flags & ~extendedLength) | ((flags & transitive) === 0 ? 0 : partial), value);
  return list.sort((x, y) => x.code - y.code);
}

function as4Attributes(a: Attributes, add: (code: number, flags: number, value: Uint8Array) => void): void {
  const flags = attributeFlag.optional | attributeFlag.transitive;
  const path: AsPathSegment[] = withoutConfederation(a.asPath);
  if (needsAs4Path(path)) add(codes.as4Path, flags, encodeAsPath(path, true));
  if (a.aggregator && a.aggregator.asn > 0xffff)
    add(codes.as4Aggregator, flags, aggregatorValue(a.aggregator, true));
}

function aggregatorValue({ asn, address }: Aggregator, as4: boolean): Uint8Array {
  const where = addressToBytes(address);
  if (as4) return Uint8Array.of(asn >>> 24, asn >>> 16, asn >>> 8, asn, ...where);
  const short = asn > 0xffff ? asTrans : asn;
  return Uint8Array.of(short >>> 8, short, ...where);
}

function fromWords(list: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(list.length * 4);
  const view = new DataView(bytes.buffer);
  list.forEach((word, i) => view.setUint32(i * 4, word));
  return bytes;
}

function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

const u16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const u32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)) >>>
  0;
