// nfnetlink messages of nftables from and to commands and state. Pure.
//
//   nfgenmsg  family u8 · version u8 · resource id u16 (network order); numbers in attributes are in network order
import { attributes, bytesAt, stringAt, type MessageHeader, type MessageWriter } from '../netlink/message.ts';
import type { NftChain, NftFamily, NftRuleState, NftSet, NftTableName } from '../types.ts';
import {
  encodeExpression,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  putValue,
  putVerdict,
  type Expression,
} from './expressions.ts';
import {
  keyLength,
  typeNumber,
  typesOfNumber,
  type ElementData,
  type RawElement,
  type SetShape,
} from './sets.ts';
import { verdictOfNumber } from './verdicts.ts';

const subsystem = 10 << 8;
export const nft = {
  NEWTABLE: subsystem,
  GETTABLE: subsystem | 1,
  DELTABLE: subsystem | 2,
  NEWCHAIN: subsystem | 3,
  GETCHAIN: subsystem | 4,
  DELCHAIN: subsystem | 5,
  NEWRULE: subsystem | 6,
  GETRULE: subsystem | 7,
  DELRULE: subsystem | 8,
  NEWSET: subsystem | 9,
  GETSET: subsystem | 10,
  DELSET: subsystem | 11,
  NEWSETELEM: subsystem | 12,
  GETSETELEM: subsystem | 13,
  DELSETELEM: subsystem | 14,
} as const;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;
export const NFNL_SUBSYS_NFTABLES = 10;

const families: Readonly<Record<NftFamily, number>> = {
  inet: 1,
  ip: 2,
  arp: 3,
  netdev: 5,
  bridge: 7,
  ip6: 10,
};
const familyNames = new Map(Object.entries(families).map(([name, number]) => [number, name as NftFamily]));
const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 } as const;
type Hook = keyof typeof hooks;
const hookNames = new Map<number, Hook>(
  Object.entries(hooks).map(([name, number]) => [number, name as Hook]),
);
const NF_DROP = 0;
const NF_ACCEPT = 1;

const NFTA_LIST_ELEM = 1;
const SET_ANONYMOUS = 1;
const SET_CONSTANT = 2;
const SET_INTERVAL = 4;
const SET_MAP = 8;
const SET_CONCAT = 0x80;
const NFT_DATA_VERDICT = 0xffffff00;
const ELEM_INTERVAL_END = 1;
/** Bytes of one element list: an attribute holds at most 65,535. */
const elementListBytes = 60_000;
export const maxCommentBytes = 128;

export const familyNumber = (family: NftFamily): number => families[family];

export const putFamily = (w: MessageWriter, family: NftFamily | 'unspec', resource = 0): MessageWriter =>
  w
    .u8(family === 'unspec' ? 0 : families[family])
    .u8(0)
    .u16be(resource);

export function encodeTable(w: MessageWriter, table: NftTableName): void {
  putFamily(w, table.family).attributeString(1, table.name);
}

export function encodeChain(w: MessageWriter, table: NftTableName, chain: NftChain): void {
  putFamily(w, table.family).attributeString(1, table.name).attributeString(3, chain.name);
  const base = chain.base;
  if (base === undefined) return;
  const hook = w.nest(4);
  w.attributeU32be(1, hooks[base.hook]).attributeU32be(2, base.priority);
  w.endNest(hook);
  if (base.policy !== undefined) w.attributeU32be(5, base.policy === 'drop' ? NF_DROP : NF_ACCEPT);
  w.attributeString(7, base.type);
}

/** A chain by name: for deleting it, or its rules with NFT_MSG_DELRULE. */
export function encodeChainName(
  w: MessageWriter,
  table: NftTableName,
  chain: string,
  nameAttribute: 2 | 3,
): void {
  putFamily(w, table.family).attributeString(1, table.name).attributeString(nameAttribute, chain);
}

export function encodeRule(
  w: MessageWriter,
  table: NftTableName,
  chain: string,
  expressions: readonly Expression[],
  comment: string | undefined,
): void {
  putFamily(w, table.family).attributeString(1, table.name).attributeString(2, chain);
  const list = w.nest(4);
  for (const expression of expressions) encodeExpression(w, expression);
  w.endNest(list);
  if (comment !== undefined) w.attribute(7, commentData(comment));
}

const utf8 = new TextEncoder();

/** User data as nft writes it: type 0 (comment), length, text with its zero. */
function commentData(comment: string): Uint8Array {
  const text = utf8.encode(comment);
  const bytes = new Uint8Array(text.length + 3);
  bytes.set([0, text.length + 1]);
  bytes.set(text, 2);
  return bytes;
}

function readComment(data: Uint8Array): string | undefined {
  for (let at = 0; at + 2 <= data.length; at += 2 + (data[at + 1] ?? 0)) {
    const length = data[at + 1] ?? 0;
    if (data[at] === 0 && length > 0) return new TextDecoder().decode(data.subarray(at + 2, at + 1 + length));
  }
  return undefined;
}

export function encodeSet(
  w: MessageWriter,
  table: NftTableName,
  shape: SetShape,
  id: number,
  anonymousSize?: number,
): void {
  const isConcatenation = shape.key.length > 1;
  const flags =
    (anonymousSize === undefined ? 0 : SET_ANONYMOUS | SET_CONSTANT) |
    (shape.interval ? SET_INTERVAL : 0) |
    (shape.data === undefined ? 0 : SET_MAP) |
    (shape.interval && isConcatenation ? SET_CONCAT : 0);
  putFamily(w, table.family).attributeString(1, table.name).attributeString(2, shape.name);
  w.attributeU32be(3, flags);
  w.attributeU32be(4, typeNumber(shape.key)).attributeU32be(5, keyLength(shape.key));
  if (shape.data === 'verdict') w.attributeU32be(6, NFT_DATA_VERDICT).attributeU32be(7, 0);
  else if (shape.data !== undefined)
    w.attributeU32be(6, typeNumber(shape.data)).attributeU32be(7, keyLength(shape.data));
  const description = w.nest(9);
  if (anonymousSize !== undefined) w.attributeU32be(1, anonymousSize);
  if (shape.interval && isConcatenation) {
    const fields = w.nest(2);
    for (const type of shape.key) {
      const field = w.nest(NFTA_LIST_ELEM);
      w.attributeU32be(1, type.length);
      w.endNest(field);
    }
    w.endNest(fields);
  }
  w.endNest(description);
  w.attributeU32be(10, id);
  w.attribute(13, byteOrderData(shape));
}

/** User data by which nft knows the byte order of keys and data: 1 host, 2 network. */
function byteOrderData(shape: SetShape): Uint8Array {
  const order = (types: SetShape['key']) => (types.length === 1 && types[0]?.order !== 'network' ? 1 : 2);
  const entries: number[] = [0, 4, order(shape.key), 0, 0, 0];
  if (Array.isArray(shape.data)) entries.push(1, 4, order(shape.data), 0, 0, 0);
  return Uint8Array.from(entries);
}

export function encodeSetName(w: MessageWriter, table: NftTableName, set: string): void {
  putFamily(w, table.family).attributeString(1, table.name).attributeString(2, set);
}

/** Elements from `from` on, as many as fit into one message; gives the index of the first one left out. */
export function encodeElements(
  w: MessageWriter,
  table: NftTableName,
  set: { readonly name: string; readonly id?: number },
  elements: readonly RawElement[],
  from: number,
): number {
  putFamily(w, table.family).attributeString(1, table.name).attributeString(2, set.name);
  if (set.id !== undefined) w.attributeU32be(4, set.id);
  const list = w.nest(3);
  let at = from;
  while (at < elements.length && w.length - list < elementListBytes) {
    encodeElement(w, elements[at] as RawElement);
    at++;
  }
  w.endNest(list);
  return at;
}

function encodeElement(w: MessageWriter, element: RawElement): void {
  const nest = w.nest(NFTA_LIST_ELEM);
  if (element.intervalEnd === true) w.attributeU32be(3, ELEM_INTERVAL_END);
  putValue(w, 1, element.key);
  if (element.keyEnd !== undefined) putValue(w, 10, element.keyEnd);
  const data = element.data;
  if (data !== undefined) {
    if ('value' in data) putValue(w, 2, data.value);
    else {
      const wrapped = w.nest(2);
      putVerdict(w, data.verdict);
      w.endNest(wrapped);
    }
  }
  if (element.comment !== undefined) w.attribute(6, commentData(element.comment));
  w.endNest(nest);
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────
const familyOfMessage = (view: DataView, message: MessageHeader): NftFamily | undefined =>
  familyNames.get(view.getUint8(message.start));

export function decodeTable(view: DataView, message: MessageHeader): NftTableName | undefined {
  const family = familyOfMessage(view, message);
  if (message.type !== nft.NEWTABLE || family === undefined) return undefined;
  let name = '';
  each(view, message, (type, offset, length) => {
    if (type === 1) name = stringAt(view, offset, length);
  });
  return { family, name };
}

/** The table that a change of whatever kind belongs to: they all name it first. */
export function decodeTableOf(view: DataView, message: MessageHeader): NftTableName | undefined {
  const family = familyOfMessage(view, message);
  if (family === undefined) return undefined;
  let name: string | undefined;
  each(view, message, (type, offset, length) => {
    if (type === 1) name ??= stringAt(view, offset, length);
  });
  return name === undefined ? undefined : { family, name };
}

export function decodeChain(
  view: DataView,
  message: MessageHeader,
): { table: string; chain: NftChain } | undefined {
  if (message.type !== nft.NEWCHAIN) return undefined;
  let table = '';
  let name = '';
  let hook: Hook | undefined;
  let priority = 0;
  let policy: 'accept' | 'drop' = 'accept';
  let chainType = 'filter';
  each(view, message, (type, offset, length) => {
    if (type === 1) table = stringAt(view, offset, length);
    else if (type === 3) name = stringAt(view, offset, length);
    else if (type === 5) policy = view.getUint32(offset) === NF_DROP ? 'drop' : 'accept';
    else if (type === 7) chainType = stringAt(view, offset, length);
    else if (type === 4)
      attributes(view, offset, offset + length, (inner, at) => {
        if (inner === 1) hook = hookNames.get(view.getUint32(at));
        else if (inner === 2) priority = view.getInt32(at);
      });
  });
  if (hook === undefined) return { table, chain: { name } };
  return { table, chain: { name, base: { type: chainType as 'filter', hook, priority, policy } } };
}

export function decodeRule(
  view: DataView,
  message: MessageHeader,
): { chain: string; rule: NftRuleState } | undefined {
  if (message.type !== nft.NEWRULE) return undefined;
  let chain = '';
  let handle = 0n;
  let comment: string | undefined;
  each(view, message, (type, offset, length) => {
    if (type === 2) chain = stringAt(view, offset, length);
    else if (type === 3) handle = view.getBigUint64(offset);
    else if (type === 7) comment = readComment(bytesAt(view, offset, length));
  });
  return { chain, rule: comment === undefined ? { handle } : { handle, comment } };
}

/** undefined for unnamed sets and for sets of types that are not known here. */
export function decodeSet(
  view: DataView,
  message: MessageHeader,
): { table: string; set: NftSet } | undefined {
  if (message.type !== nft.NEWSET) return undefined;
  let table = '';
  let name = '';
  let flags = 0;
  let keyType = 0;
  let dataType = 0;
  each(view, message, (type, offset, length) => {
    if (type === 1) table = stringAt(view, offset, length);
    else if (type === 2) name = stringAt(view, offset, length);
    else if (type === 3) flags = view.getUint32(offset);
    else if (type === 4) keyType = view.getUint32(offset);
    else if (type === 6) dataType = view.getUint32(offset);
  });
  const key = typesOfNumber(keyType)?.map((type) => type.name);
  const data =
    dataType === NFT_DATA_VERDICT ? ['verdict'] : typesOfNumber(dataType)?.map((type) => type.name);
  if ((flags & SET_ANONYMOUS) !== 0 || key === undefined) return undefined;
  if ((flags & SET_MAP) !== 0 && data === undefined) return undefined;
  return {
    table,
    set: {
      name,
      key,
      ...((flags & SET_MAP) !== 0 && data !== undefined ? { data } : {}),
      ...((flags & SET_INTERVAL) !== 0 ? { interval: true } : {}),
    },
  };
}

export function decodeElementList(view: DataView, message: MessageHeader): RawElement[] | undefined {
  if (message.type !== nft.NEWSETELEM) return undefined;
  const elements: RawElement[] = [];
  each(view, message, (type, offset, length) => {
    if (type !== 3) return;
    attributes(view, offset, offset + length, (_, at, size) => {
      elements.push(decodeRawElement(view, at, size));
    });
  });
  return elements;
}

function decodeRawElement(view: DataView, start: number, size: number): RawElement {
  let key: Uint8Array = new Uint8Array(0);
  let keyEnd: Uint8Array | undefined;
  let intervalEnd = false;
  let data: ElementData | undefined;
  let comment: string | undefined;
  attributes(view, start, start + size, (type, offset, length) => {
    if (type === 1) key = readValue(view, offset, length);
    else if (type === 10) keyEnd = readValue(view, offset, length);
    else if (type === 3) intervalEnd = (view.getUint32(offset) & ELEM_INTERVAL_END) !== 0;
    else if (type === 2) data = readData(view, offset, length);
    else if (type === 6) comment = readComment(bytesAt(view, offset, length));
  });
  return {
    key,
    ...(keyEnd === undefined ? {} : { keyEnd }),
    ...(intervalEnd ? { intervalEnd } : {}),
    ...(data === undefined ? {} : { data }),
    ...(comment === undefined ? {} : { comment }),
  };
}

function readValue(view: DataView, start: number, size: number): Uint8Array {
  let value: Uint8Array = new Uint8Array(0);
  attributes(view, start, start + size, (type, offset, length) => {
    if (type === NFTA_DATA_VALUE) value = bytesAt(view, offset, length).slice();
  });
  return value;
}

function readData(view: DataView, start: number, size: number): ElementData | undefined {
  let data: ElementData | undefined;
  attributes(view, start, start + size, (type, offset, length) => {
    if (type === NFTA_DATA_VALUE) data = { value: bytesAt(view, offset, length).slice() };
    if (type !== NFTA_DATA_VERDICT) return;
    let code = 0;
    let chain: string | undefined;
    attributes(view, offset, offset + length, (inner, at, n) => {
      if (inner === 1) code = view.getInt32(at);
      else if (inner === 2) chain = stringAt(view, at, n);
    });
    const verdict = verdictOfNumber(code, chain);
    if (verdict !== undefined) data = { verdict };
  });
  return data;
}

function each(
  view: DataView,
  message: MessageHeader,
  visit: (type: number, offset: number, length: number) => void,
): void {
  attributes(view, message.start + 4, message.end, visit);
}
