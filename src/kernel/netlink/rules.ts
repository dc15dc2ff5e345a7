// Policy routing rules: RTM_*RULE messages from and to `PolicyRule`. Pure.
//
//   fib_rule_hdr  family u8 · dst length u8 · src length u8 · tos u8 · table u8 · res u8 · res u8 · action u8 · flags u32
import { prefixAddress, prefixLength, type Address, type Family, type Prefix } from '../../lib/ip/mod.ts';
import type { PolicyRule } from '../types.ts';
import * as c from './constants.ts';
import { addressAt, attributes, stringAt, type MessageHeader, type MessageWriter } from './message.ts';

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FR_ACT_TO_TBL = 1;
const FIB_RULE_INVERT = 2;
export const fullMarkMask = 0xffffffff;

export function encodeRuleDump(w: MessageWriter, family: Family): void {
  w.u8(c.addressFamily(family)).u8(0).u16(0).u32(0).u32(0);
}

export function encodeRule(w: MessageWriter, rule: PolicyRule): void {
  w.u8(c.addressFamily(rule.family))
    .u8(rule.destination === undefined ? 0 : prefixLength(rule.destination))
    .u8(rule.source === undefined ? 0 : prefixLength(rule.source))
    .u8(0)
    .u8(rule.table < 256 ? rule.table : 0)
    .u8(0)
    .u8(0)
    .u8(FR_ACT_TO_TBL)
    .u32(rule.invert === true ? FIB_RULE_INVERT : 0);
  w.attributeU32(FRA_PRIORITY, rule.priority).attributeU32(FRA_TABLE, rule.table);
  if (rule.source !== undefined && prefixLength(rule.source) > 0)
    w.attributeAddress(FRA_SRC, prefixAddress(rule.source));
  if (rule.destination !== undefined && prefixLength(rule.destination) > 0)
    w.attributeAddress(FRA_DST, prefixAddress(rule.destination));
  if (rule.mark !== undefined) {
    w.attributeU32(FRA_FWMARK, rule.mark);
    w.attributeU32(FRA_FWMASK, rule.markMask ?? fullMarkMask);
  }
  if (rule.inLink !== undefined) w.attributeString(FRA_IIFNAME, rule.inLink);
}

/** Rules that do something else than look into a table are none of ours and left out. */
export function decodeRule(view: DataView, message: MessageHeader): PolicyRule | undefined {
  if (message.type !== c.RTM_NEWRULE && message.type !== c.RTM_DELRULE) return undefined;
  const start = message.start;
  const familyNumber = view.getUint8(start);
  if (familyNumber !== c.AF_INET && familyNumber !== c.AF_INET6) return undefined;
  if (view.getUint8(start + 7) !== FR_ACT_TO_TBL) return undefined;
  let priority = 0;
  let table = view.getUint8(start + 4);
  let source: Address | undefined;
  let destination: Address | undefined;
  let mark: number | undefined;
  let markMask: number | undefined;
  let inLink: string | undefined;
  attributes(view, start + 12, message.end, (type, offset, length) => {
    if (type === FRA_PRIORITY) priority = view.getUint32(offset, true);
    else if (type === FRA_TABLE) table = view.getUint32(offset, true);
    else if (type === FRA_SRC) source = addressAt(view, offset, length);
    else if (type === FRA_DST) destination = addressAt(view, offset, length);
    else if (type === FRA_FWMARK) mark = view.getUint32(offset, true);
    else if (type === FRA_FWMASK) markMask = view.getUint32(offset, true);
    else if (type === FRA_IIFNAME) inLink = stringAt(view, offset, length);
  });
  const withMark = mark !== undefined || (markMask !== undefined && markMask !== 0);
  return {
    family: familyNumber === c.AF_INET ? 4 : 6,
    priority,
    table,
    ...(source === undefined ? {} : { source: `${source}/${view.getUint8(start + 2)}` as Prefix }),
    ...(destination === undefined
      ? {}
      : { destination: `${destination}/${view.getUint8(start + 1)}` as Prefix }),
    ...(withMark ? { mark: mark ?? 0 } : {}),
    ...(withMark && markMask !== undefined && markMask !== fullMarkMask ? { markMask } : {}),
    ...((view.getUint32(start + 8, true) & FIB_RULE_INVERT) !== 0 ? { invert: true } : {}),
    ...(inLink === undefined ? {} : { inLink }),
  };
}
