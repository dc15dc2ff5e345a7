// The kernel's expressions: small instructions on 16 data registers of 4 bytes. Registers 1 to 4 name groups of four; 8 to
// 23 name single ones (8 and 1 begin at the same place); 0 takes verdicts.
import type { MessageWriter } from '../netlink/message.ts';
import { verdictNumbers, type Verdict } from './verdicts.ts';

export type Comparison = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte';

export type Expression =
  | {
      readonly op: 'payload';
      readonly base: 'network' | 'transport';
      readonly offset: number;
      readonly length: number;
      readonly register: number;
    }
  | {
      readonly op: 'write';
      readonly offset: number;
      readonly length: number;
      readonly register: number;
      /** Where the checksum of the header lies, if it has one. */
      readonly checksumAt?: number;
    }
  | { readonly op: 'load'; readonly from: 'meta' | 'ct'; readonly key: number; readonly register: number }
  | { readonly op: 'store'; readonly to: 'meta' | 'ct'; readonly key: number; readonly register: number }
  | { readonly op: 'numgen'; readonly modulus: number; readonly register: number }
  | {
      readonly op: 'hash';
      readonly from: number;
      readonly length: number;
      readonly modulus: number;
      readonly seed: number;
      readonly register: number;
    }
  | { readonly op: 'fib'; readonly result: number; readonly flags: number; readonly register: number }
  | {
      readonly op: 'cmp';
      readonly register: number;
      readonly comparison: Comparison;
      readonly data: Uint8Array;
    }
  | {
      readonly op: 'range';
      readonly register: number;
      readonly outside: boolean;
      readonly from: Uint8Array;
      readonly to: Uint8Array;
    }
  | {
      readonly op: 'bitwise';
      readonly register: number;
      readonly mask: Uint8Array;
      readonly flip: Uint8Array;
    }
  | { readonly op: 'to-network-order'; readonly register: number; readonly length: number }
  | {
      readonly op: 'lookup';
      readonly set: string;
      readonly setId?: number;
      readonly register: number;
      readonly into?: number;
      readonly invert?: boolean;
    }
  | { readonly op: 'immediate'; readonly register: number; readonly data: Uint8Array }
  | { readonly op: 'verdict'; readonly verdict: Verdict }
  | { readonly op: 'counter' }
  | { readonly op: 'log'; readonly prefix?: string; readonly level?: number; readonly group?: number }
  | {
      readonly op: 'limit';
      readonly over: boolean;
      readonly rate: number;
      readonly unitSeconds: number;
      readonly burst: number;
    }
  | { readonly op: 'connlimit'; readonly count: number; readonly over: boolean }
  | {
      readonly op: 'masq' | 'redir';
      readonly flags: number;
      readonly portMin?: number;
      readonly portMax?: number;
    }
  | {
      readonly op: 'nat';
      readonly direction: 'snat' | 'dnat';
      readonly family: 4 | 6;
      readonly flags: number;
      readonly addressMin?: number;
      readonly addressMax?: number;
      readonly portMin?: number;
      readonly portMax?: number;
    }
  | { readonly op: 'reject'; readonly type: 0 | 1 | 2; readonly code: number }
  | { readonly op: 'notrack' };

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
export const NFTA_DATA_VALUE = 1;
export const NFTA_DATA_VERDICT = 2;
const comparisons = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;

const names: Readonly<Partial<Record<Expression['op'], string>>> = {
  'to-network-order': 'byteorder',
  verdict: 'immediate',
  write: 'payload',
};

/** One element of NFTA_RULE_EXPRESSIONS. */
export function encodeExpression(w: MessageWriter, e: Expression): void {
  const element = w.nest(NFTA_LIST_ELEM);
  const name = e.op === 'load' ? e.from : e.op === 'store' ? e.to : (names[e.op] ?? e.op);
  w.attributeString(NFTA_EXPR_NAME, name);
  const data = w.nest(NFTA_EXPR_DATA);
  encodeAttributes(w, e);
  w.endNest(data).endNest(element);
}

function encodeAttributes(w: MessageWriter, e: Expression): void {
  switch (e.op) {
    case 'payload':
      w.attributeU32be(1, e.register).attributeU32be(2, e.base === 'network' ? 1 : 2);
      w.attributeU32be(3, e.offset).attributeU32be(4, e.length);
      break;
    case 'write': {
      const csumNone = 0;
      const csumInet = 1;
      w.attributeU32be(5, e.register).attributeU32be(2, 1);
      w.attributeU32be(3, e.offset).attributeU32be(4, e.length);
      w.attributeU32be(6, e.checksumAt === undefined ? csumNone : csumInet);
      w.attributeU32be(7, e.checksumAt ?? 0).attributeU32be(8, 0);
      break;
    }
    case 'load':
      w.attributeU32be(1, e.register).attributeU32be(2, e.key);
      break;
    case 'store':
      w.attributeU32be(2, e.key).attributeU32be(e.to === 'meta' ? 3 : 4, e.register);
      break;
    case 'fib':
      w.attributeU32be(1, e.register).attributeU32be(2, e.result).attributeU32be(3, e.flags);
      break;
    case 'numgen': {
      const random = 1;
      w.attributeU32be(1, e.register).attributeU32be(2, e.modulus).attributeU32be(3, random);
      w.attributeU32be(4, 0);
      break;
    }
    case 'hash': {
      const jenkins = 0;
      w.attributeU32be(1, e.from).attributeU32be(2, e.register).attributeU32be(3, e.length);
      w.attributeU32be(4, e.modulus)
        .attributeU32be(5, e.seed)
        .attributeU32be(6, 0)
        .attributeU32be(7, jenkins);
      break;
    }
    case 'cmp':
      w.attributeU32be(1, e.register).attributeU32be(2, comparisons[e.comparison]);
      putValue(w, 3, e.data);
      break;
    case 'range':
      w.attributeU32be(1, e.register).attributeU32be(2, e.outside ? 1 : 0);
      putValue(w, 3, e.from);
      putValue(w, 4, e.to);
      break;
    case 'bitwise':
      w.attributeU32be(1, e.register).attributeU32be(2, e.register).attributeU32be(3, e.mask.length);
      putValue(w, 4, e.mask);
      putValue(w, 5, e.flip);
      break;
    case 'to-network-order':
      // Values shorter than two bytes are left alone; the instruction is there because listings expect it.
      w.attributeU32be(1, e.register).attributeU32be(2, e.register).attributeU32be(3, 1);
      w.attributeU32be(4, e.length).attributeU32be(5, e.length % 8 === 0 ? 8 : e.length % 4 === 0 ? 4 : 2);
      break;
    case 'lookup':
      w.attributeString(1, e.set).attributeU32be(2, e.register);
      if (e.into !== undefined) w.attributeU32be(3, e.into);
      if (e.setId !== undefined) w.attributeU32be(4, e.setId);
      if (e.invert === true) w.attributeU32be(5, 1);
      break;
    case 'immediate':
      w.attributeU32be(1, e.register);
      putValue(w, 2, e.data);
      break;
    case 'verdict': {
      w.attributeU32be(1, 0);
      const data = w.nest(2);
      putVerdict(w, e.verdict);
      w.endNest(data);
      break;
    }
    default:
      encodeAction(w, e);
  }
}

type Action = Extract<
  Expression,
  { op: 'counter' | 'log' | 'limit' | 'connlimit' | 'masq' | 'redir' | 'nat' | 'reject' | 'notrack' }
>;

function encodeAction(w: MessageWriter, e: Action): void {
  const optional = (type: number, value: number | undefined) => {
    if (value !== undefined) w.attributeU32be(type, value);
  };
  switch (e.op) {
    case 'counter':
      w.attributeU64be(1, 0n).attributeU64be(2, 0n);
      break;
    case 'log':
      if (e.group !== undefined) w.attributeU16be(1, e.group);
      if (e.prefix !== undefined) w.attributeString(2, e.prefix);
      optional(5, e.level);
      break;
    case 'limit':
      w.attributeU64be(1, BigInt(e.rate)).attributeU64be(2, BigInt(e.unitSeconds));
      w.attributeU32be(3, e.burst)
        .attributeU32be(4, 0)
        .attributeU32be(5, e.over ? 1 : 0);
      break;
    case 'connlimit':
      w.attributeU32be(1, e.count).attributeU32be(2, e.over ? 1 : 0);
      break;
    case 'masq':
      if (e.flags !== 0) w.attributeU32be(1, e.flags);
      optional(2, e.portMin);
      optional(3, e.portMax);
      break;
    case 'redir':
      optional(1, e.portMin);
      optional(2, e.portMax);
      if (e.flags !== 0) w.attributeU32be(3, e.flags);
      break;
    case 'nat':
      w.attributeU32be(1, e.direction === 'snat' ? 0 : 1).attributeU32be(2, e.family === 4 ? 2 : 10);
      optional(3, e.addressMin);
      optional(4, e.addressMax);
      optional(5, e.portMin);
      optional(6, e.portMax);
      if (e.flags !== 0) w.attributeU32be(7, e.flags);
      break;
    case 'reject':
      w.attributeU32be(1, e.type).attributeU8(2, e.code);
      break;
    case 'notrack':
      break;
  }
}

export function putValue(w: MessageWriter, type: number, value: Uint8Array): void {
  const nest = w.nest(type);
  w.attribute(NFTA_DATA_VALUE, value);
  w.endNest(nest);
}

export function putVerdict(w: MessageWriter, verdict: Verdict): void {
  const nest = w.nest(NFTA_DATA_VERDICT);
  w.attributeU32be(1, verdictNumbers[verdict.code]);
  if (verdict.chain !== undefined) w.attributeString(2, verdict.chain);
  w.endNest(nest);
}
