// Reading an UPDATE in place: one walk over its attributes gives ranges and a verdict, without an object per prefix and
// without exceptions. What the attributes say is decoded later and once per distinct set (attributes.ts).
//
//   [ header ] [ withdrawn length: 2 ] [ withdrawn NLRI ] [ attributes length: 2 ] [ attributes ] [ NLRI ]
//   attribute: [ flags: 1 ] [ code: 1 ] [ length: 1, or 2 with the extended length flag ] [ value ]
import { attributeDescriptor, lengthProblem, nextHopProblem } from './attribute-table.ts';
import { notification, notificationCode, subcode } from './errors.ts';
import { nlriIsValid, walkNlri } from './nlri.ts';
import {
  afi,
  attributeCode,
  attributeFlag,
  headerLength,
  safi,
  type DecodeContext,
  type ErrorClass,
  type NlriVisitor,
  type Notification,
  type UpdatePart,
  type UpdateView,
} from './types.ts';
import type { Family } from '../../lib/ip/mod.ts';

const mandatory = [attributeCode.origin, attributeCode.asPath] as const;

/** Reads the UPDATE that stands in `bytes` from `start` (its header) to `end`. Never throws. */
export function parseUpdate(
  bytes: Uint8Array,
  start: number,
  end: number,
  context: DecodeContext,
): UpdateView {
  const view = emptyView(bytes, end, context);
  const withdrawnStart = start + headerLength + 2;
  const withdrawnEnd = withdrawnStart + u16(bytes, start + headerLength);
  if (withdrawnEnd + 2 > end) return reset(view, subcode.update.malformedAttributeList);
  const attributesStart = withdrawnEnd + 2;
  const attributesEnd = attributesStart + u16(bytes, withdrawnEnd);
  if (attributesEnd > end) return reset(view, subcode.update.malformedAttributeList);
  view.withdrawnStart = withdrawnStart;
  view.withdrawnEnd = withdrawnEnd;
  view.attributesStart = attributesStart;
  view.attributesEnd = attributesEnd;
  view.nlriStart = attributesEnd;
  view.nlriEnd = end;
  if (
    !nlriIsValid(bytes, withdrawnStart, withdrawnEnd, 4, context.addPath4) ||
    !nlriIsValid(bytes, attributesEnd, end, 4, context.addPath4)
  )
    return reset(view, subcode.update.invalidNetwork);
  if (withdrawnStart === withdrawnEnd && attributesStart === end) {
    view.endOfRib = 4;
    return view;
  }
  walkAttributes(view, context);
  if (!context.ipv4) {
    // NLRI of a family that was not negotiated: the body carries nothing for us.
    view.withdrawnEnd = withdrawnStart;
    view.nlriEnd = view.nlriStart;
  }
  return view;
}

function walkAttributes(view: UpdateView, context: DecodeContext): void {
  const { bytes, attributesEnd: end } = view;
  // Codes seen, as bits: duplicates are found without a set.
  const seen = new Uint32Array(8);
  let count = 0;
  let at = view.attributesStart;
  while (at < end) {
    const flags = bytes[at] ?? 0;
    const code = bytes[at + 1] ?? 0;
    const extended = (flags & attributeFlag.extendedLength) !== 0;
    const value = at + (extended ? 4 : 3);
    const valueEnd = value + (extended ? u16(bytes, at + 2) : (bytes[at + 2] ?? 0));
    if (value > end || valueEnd > end) {
      problem(view, code, 'withdraw', 'the attribute is longer than the attribute block', at, end);
      discard(view, at);
      break;
    }
    count++;
    const bit = 1 << (code & 31);
    if (((seen[code >> 5] ?? 0) & bit) !== 0) duplicate(view, code, at, valueEnd);
    else {
      seen[code >> 5] = (seen[code >> 5] ?? 0) | bit;
      checkAttribute(view, context, flags, code, at, value, valueEnd);
    }
    if (view.verdict === 'reset') return;
    at = valueEnd;
  }
  checkMandatory(view, seen);
  const only = count === 1 && view.mpUnreachFamily !== 0 && view.mpUnreachStart === view.mpUnreachEnd;
  if (only && view.withdrawnStart === view.withdrawnEnd && view.nlriStart === view.nlriEnd)
    view.endOfRib = view.mpUnreachFamily;
}

/** The first of two equal attributes counts; two MP attributes of one kind cannot be told apart (RFC 7606 3g). */
function duplicate(view: UpdateView, code: number, at: number, end: number): void {
  const isMp = code === attributeCode.mpReach || code === attributeCode.mpUnreach;
  problem(view, code, isMp ? 'reset' : 'discard', 'the attribute occurs twice', at, end);
  if (isMp) view.notification = updateError(subcode.update.malformedAttributeList);
  discard(view, at);
}

function checkAttribute(
  view: UpdateView,
  context: DecodeContext,
  flags: number,
  code: number,
  at: number,
  value: number,
  end: number,
): void {
  const row = attributeDescriptor(code);
  if (row === undefined) return unknownAttribute(view, flags, code, at, end);
  if (row.insideAsOnly && context.ebgp) return discard(view, at);
  const kind = attributeFlag.optional | attributeFlag.transitive;
  if ((flags & kind) !== row.flags) {
    problem(view, code, 'withdraw', 'the flags do not fit the attribute', at, end);
    if (row.onError !== 'reset') return;
  }
  if (code === attributeCode.mpReach) return mpReach(view, context, at, value, end);
  if (code === attributeCode.mpUnreach) return mpUnreach(view, context, at, value, end);
  if (code === attributeCode.as4Path || code === attributeCode.as4Aggregator) {
    // Only two-octet peers send them; `attributeBytes` merges them into AS_PATH and AGGREGATOR.
    view.rewrite = true;
    if (context.as4) return discard(view, at);
  }
  const wrong = lengthProblem(row, end - value, context) ?? row.problem?.(view.bytes, value, end, context);
  if (wrong === undefined) return;
  problem(view, code, row.onError, wrong, at, end);
  if (row.onError === 'discard') discard(view, at);
}

function unknownAttribute(view: UpdateView, flags: number, code: number, at: number, end: number): void {
  if ((flags & attributeFlag.optional) === 0) {
    problem(view, code, 'reset', 'a well-known attribute this speaker does not know', at, end);
    view.notification = updateError(subcode.update.unrecognisedWellKnown, view.bytes.slice(at, end));
  } else if ((flags & attributeFlag.transitive) === 0) discard(view, at);
}

/** [ AFI: 2 ] [ SAFI: 1 ] [ next hop length: 1 ] [ next hop ] [ reserved: 1 ] [ NLRI ] */
function mpReach(view: UpdateView, context: DecodeContext, at: number, value: number, end: number): void {
  const { bytes } = view;
  view.rewrite = true;
  if (end - value < 5) return mpBroken(view, attributeCode.mpReach, at, end, 'the attribute is cut off');
  const nextHop = value + 4;
  const nextHopEnd = nextHop + (bytes[value + 3] ?? 0);
  const nlri = nextHopEnd + 1;
  if (nlri > end) return mpBroken(view, attributeCode.mpReach, at, end, 'the next hop is cut off');
  const family = routedFamily(bytes, value, context);
  if (family === 0) return opaque(view, attributeCode.mpReach, value, end);
  const size = nextHopEnd - nextHop;
  const long = size === 16 || size === 32;
  if (family === 4 ? size !== 4 && !(long && context.extendedNextHop) : !long)
    return mpBroken(view, attributeCode.mpReach, at, end, `a next hop of ${size} octets`);
  if (!nlriIsValid(bytes, nlri, end, family, addPathOf(context, family)))
    return mpBroken(view, attributeCode.mpReach, at, end, 'the prefixes do not parse');
  const wrong = nextHopProblem(bytes, nextHop, size === 4 ? 4 : 16);
  if (wrong !== undefined) problem(view, attributeCode.mpReach, 'withdraw', wrong, at, end);
  view.mpReachFamily = family;
  view.mpNextHopStart = nextHop;
  view.mpNextHopEnd = nextHopEnd;
  view.mpReachStart = nlri;
  view.mpReachEnd = end;
}

/** [ AFI: 2 ] [ SAFI: 1 ] [ NLRI ] */
function mpUnreach(view: UpdateView, context: DecodeContext, at: number, value: number, end: number): void {
  view.rewrite = true;
  if (end - value < 3) return mpBroken(view, attributeCode.mpUnreach, at, end, 'the attribute is cut off');
  const family = routedFamily(view.bytes, value, context);
  if (family === 0) return opaque(view, attributeCode.mpUnreach, value, end);
  if (!nlriIsValid(view.bytes, value + 3, end, family, addPathOf(context, family)))
    return mpBroken(view, attributeCode.mpUnreach, at, end, 'the prefixes do not parse');
  view.mpUnreachFamily = family;
  view.mpUnreachStart = value + 3;
  view.mpUnreachEnd = end;
}

function routedFamily(bytes: Uint8Array, at: number, context: DecodeContext): Family | 0 {
  if (bytes[at + 2] !== safi.unicast) return 0;
  const number = u16(bytes, at);
  if (number === afi.ipv4 && context.ipv4) return 4;
  return number === afi.ipv6 && context.ipv6 ? 6 : 0;
}

const addPathOf = (context: { addPath4: boolean; addPath6: boolean }, family: Family): boolean =>
  family === 4 ? context.addPath4 : context.addPath6;

function opaque(view: UpdateView, attribute: number, value: number, end: number): void {
  const entry = {
    attribute,
    afi: u16(view.bytes, value),
    safi: view.bytes[value + 2] ?? 0,
    value: view.bytes.subarray(value + 3, end),
  };
  view.opaque = [...(view.opaque ?? []), entry];
}

function mpBroken(view: UpdateView, attribute: number, at: number, end: number, why: string): void {
  problem(view, attribute, 'reset', why, at, end);
  view.notification = updateError(subcode.update.optionalAttribute, view.bytes.slice(at, end));
}

function checkMandatory(view: UpdateView, seen: Uint32Array): void {
  const body = view.nlriStart !== view.nlriEnd;
  if (!body && view.mpReachFamily === 0) return;
  const missing = (code: number): boolean => ((seen[code >> 5] ?? 0) & (1 << (code & 31))) === 0;
  for (const code of mandatory)
    if (missing(code)) problem(view, code, 'withdraw', 'the mandatory attribute is missing', 0, 0);
  if (body && missing(attributeCode.nextHop))
    problem(view, attributeCode.nextHop, 'withdraw', 'the mandatory attribute is missing', 0, 0);
}

function problem(
  view: UpdateView,
  attribute: number,
  errorClass: ErrorClass,
  reason: string,
  start: number,
  end: number,
): void {
  (view.problems ??= []).push({ attribute, class: errorClass, reason });
  if (errorClass === 'reset') {
    view.verdict = 'reset';
    view.notification ??= updateError(subcode.update.malformedAttributeList, view.bytes.slice(start, end));
  } else if (errorClass === 'withdraw' && view.verdict === 'ok') view.verdict = 'withdraw';
}

function discard(view: UpdateView, at: number): void {
  (view.discarded ??= []).push(at);
  view.rewrite = true;
}

function reset(view: UpdateView, sub: number): UpdateView {
  view.verdict = 'reset';
  view.notification = updateError(sub);
  return view;
}

const updateError = (sub: number, data?: Uint8Array): Notification =>
  notification(notificationCode.update, sub, data);

const u16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

function emptyView(bytes: Uint8Array, end: number, context: DecodeContext): UpdateView {
  return {
    bytes,
    verdict: 'ok',
    notification: undefined,
    problems: undefined,
    endOfRib: 0,
    withdrawnStart: end,
    withdrawnEnd: end,
    attributesStart: end,
    attributesEnd: end,
    nlriStart: end,
    nlriEnd: end,
    mpReachFamily: 0,
    mpReachStart: 0,
    mpReachEnd: 0,
    mpNextHopStart: 0,
    mpNextHopEnd: 0,
    mpUnreachFamily: 0,
    mpUnreachStart: 0,
    mpUnreachEnd: 0,
    addPath4: context.addPath4,
    addPath6: context.addPath6,
    as4: context.as4,
    discarded: undefined,
    rewrite: !context.as4,
    opaque: undefined,
  };
}

const bodyAndMp: readonly UpdatePart[] = ['body', 'mp'];
const bodyOnly: readonly UpdatePart[] = ['body'];
const mpOnly: readonly UpdatePart[] = ['mp'];
const none: readonly UpdatePart[] = [];

/** The parts that announce something; none when the verdict turns the announcements into withdrawals. */
export function announcedParts(view: UpdateView): readonly UpdatePart[] {
  if (view.verdict !== 'ok') return none;
  const body = view.nlriStart < view.nlriEnd;
  const mp = view.mpReachFamily !== 0 && view.mpReachStart < view.mpReachEnd;
  return body ? (mp ? bodyAndMp : bodyOnly) : mp ? mpOnly : none;
}

/** Visits the routes a part announces. */
export function forEachAnnounced(view: UpdateView, part: UpdatePart, visit: NlriVisitor): void {
  if (view.verdict !== 'ok') return;
  visitPart(view, part, visit);
}

/** Visits what the message withdraws: by itself, and with verdict `withdraw` also what it meant to announce. */
export function forEachWithdrawn(view: UpdateView, visit: NlriVisitor): void {
  if (view.verdict === 'reset') return;
  const { bytes } = view;
  if (view.withdrawnStart < view.withdrawnEnd)
    walkNlri(bytes, view.withdrawnStart, view.withdrawnEnd, 4, view.addPath4, visit);
  const family = view.mpUnreachFamily;
  if (family !== 0)
    walkNlri(bytes, view.mpUnreachStart, view.mpUnreachEnd, family, addPathOf(view, family), visit);
  if (view.verdict === 'withdraw') {
    visitPart(view, 'body', visit);
    visitPart(view, 'mp', visit);
  }
}

function visitPart(view: UpdateView, part: UpdatePart, visit: NlriVisitor): void {
  if (part === 'body') {
    walkNlri(view.bytes, view.nlriStart, view.nlriEnd, 4, view.addPath4, visit);
  } else if (view.mpReachFamily !== 0) {
    const family = view.mpReachFamily;
    walkNlri(view.bytes, view.mpReachStart, view.mpReachEnd, family, addPathOf(view, family), visit);
  }
}

/** The family of the routes a part announces. */
export const partFamily = (view: UpdateView, part: UpdatePart): Family =>
  part === 'body' || view.mpReachFamily === 0 ? 4 : view.mpReachFamily;

/** The NLRI a part announces, in wire form and in place; with path identifiers where the session has them. */
export const announcedNlri = (view: UpdateView, part: UpdatePart): Uint8Array =>
  part === 'body'
    ? view.bytes.subarray(view.nlriStart, view.nlriEnd)
    : view.bytes.subarray(view.mpReachStart, view.mpReachEnd);

/** As `forEachWithdrawn`, by ranges of NLRI in wire form. */
export function forEachWithdrawnRange(
  view: UpdateView,
  take: (family: Family, nlri: Uint8Array) => void,
): void {
  if (view.verdict === 'reset') return;
  const { bytes } = view;
  const range = (family: Family | 0, start: number, end: number): void => {
    if (family !== 0 && start < end) take(family, bytes.subarray(start, end));
  };
  range(4, view.withdrawnStart, view.withdrawnEnd);
  range(view.mpUnreachFamily, view.mpUnreachStart, view.mpUnreachEnd);
  if (view.verdict !== 'withdraw') return;
  range(4, view.nlriStart, view.nlriEnd);
  range(view.mpReachFamily, view.mpReachStart, view.mpReachEnd);
}
