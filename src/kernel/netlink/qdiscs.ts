// Queueing disciplines, and of their kinds the token bucket (tbf): RTM_*QDISC messages. Pure.
//
//   tc_tbf_qopt  rate, peak rate (tc_ratespec each) · queue u32 · burst u32 · burst at peak u32 (both in ticks of 64 ns)
//   tc_ratespec  cell log u8 · link layer u8 · overhead u16 · cell align s16 · smallest packet u16 · bytes per second u32
//
// Bursts are given in bytes (TCA_TBF_BURST, since Linux 3.14), which take precedence over those in ticks; the answer has
// ticks. Rates of 4 GB/s and more are in attributes of their own. Tables of transmission times are for kernels before 3.8.
import type { Qdisc, TokenBucket } from '../types.ts';
import * as c from './constants.ts';
import { attributes, stringAt, type MessageHeader, type MessageWriter } from './message.ts';
import { rootParent, TCA_KIND, TCA_OPTIONS, tcmsg, tcmsgLength } from './tc.ts';

const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_PRATE64 = 5;
const TCA_TBF_BURST = 6;
const TCA_TBF_PBURST = 7;
const ethernet = 1;
const most32 = 0xffffffff;
/** PSCHED_TICKS2NS. */
const tickNs = 64;

export function encodeBucket(w: MessageWriter, linkIndex: number, handle: number, bucket: TokenBucket): void {
  const { rateBytesPerSecond, burstBytes, queueBytes, peak } = bucket;
  tcmsg(w, linkIndex, handle, rootParent).attributeString(TCA_KIND, 'tbf');
  const options = w.nest(TCA_OPTIONS);
  w.u16(4 + 36).u16(TCA_TBF_PARMS);
  putRate(w, rateBytesPerSecond);
  putRate(w, peak?.rateBytesPerSecond ?? 0);
  w.u32(queueBytes).u32(0).u32(0);
  w.attributeU32(TCA_TBF_BURST, burstBytes);
  putWideRate(w, TCA_TBF_RATE64, rateBytesPerSecond);
  if (peak !== undefined) {
    putWideRate(w, TCA_TBF_PRATE64, peak.rateBytesPerSecond);
    w.attributeU32(TCA_TBF_PBURST, peak.burstBytes);
  }
  w.endNest(options);
}

function putRate(w: MessageWriter, bytesPerSecond: number): void {
  if (bytesPerSecond === 0) w.u32(0).u32(0).u32(0);
  else w.u8(0).u8(ethernet).u16(0).u16(0).u16(0).u32(Math.min(most32, bytesPerSecond));
}

function putWideRate(w: MessageWriter, type: number, bytesPerSecond: number): void {
  if (bytesPerSecond < most32) return;
  const wide = BigInt(bytesPerSecond);
  w.u16(12)
    .u16(type)
    .u32(Number(wide & 0xffffffffn))
    .u32(Number(wide >> 32n));
}

/** Of the root, or with `handle` only if it is that. */
export function encodeRootDelete(w: MessageWriter, linkIndex: number, handle = 0): void {
  tcmsg(w, linkIndex, handle, rootParent);
}

/** All of the namespace: the kernel does not choose by link. */
export function encodeQdiscDump(w: MessageWriter): void {
  tcmsg(w, 0, 0, 0);
}

export function decodeQdisc(view: DataView, message: MessageHeader): Qdisc | undefined {
  if (message.type !== c.RTM_NEWQDISC) return undefined;
  const { start } = message;
  let kind = '';
  let options: readonly [number, number] | undefined;
  attributes(view, start + tcmsgLength, message.end, (type, offset, length) => {
    if (type === TCA_KIND) kind = stringAt(view, offset, length);
    else if (type === TCA_OPTIONS) options = [offset, length];
  });
  return {
    linkIndex: view.getInt32(start + 4, true),
    kind,
    handle: view.getUint32(start + 8, true),
    isRoot: view.getUint32(start + 12, true) === rootParent,
    ...(kind === 'tbf' && options !== undefined ? { bucket: decodeBucket(view, ...options) } : {}),
  };
}

function decodeBucket(view: DataView, start: number, length: number): TokenBucket {
  let rate = 0;
  let peakRate = 0;
  let queueBytes = 0;
  let burstTicks = 0;
  let peakTicks = 0;
  attributes(view, start, start + length, (type, offset, size) => {
    if (type === TCA_TBF_PARMS && size >= 36) {
      rate ||= view.getUint32(offset + 8, true);
      peakRate ||= view.getUint32(offset + 20, true);
      queueBytes = view.getUint32(offset + 24, true);
      burstTicks = view.getUint32(offset + 28, true);
      peakTicks = view.getUint32(offset + 32, true);
    } else if (type === TCA_TBF_RATE64) rate = Number(view.getBigUint64(offset, true));
    else if (type === TCA_TBF_PRATE64) peakRate = Number(view.getBigUint64(offset, true));
  });
  const bytes = (ticks: number, bytesPerSecond: number): number =>
    Math.round((ticks * tickNs * bytesPerSecond) / 1e9);
  return {
    rateBytesPerSecond: rate,
    burstBytes: bytes(burstTicks, rate),
    queueBytes,
    ...(peakRate === 0
      ? {}
      : { peak: { rateBytesPerSecond: peakRate, burstBytes: bytes(peakTicks, peakRate) } }),
  };
}

/** Equal as far as the kernel can tell: bursts are rounded to ticks. */
export function sameBucket(a: TokenBucket, b: TokenBucket): boolean {
  const sameRate = (x: Rate | undefined, y: Rate | undefined): boolean => {
    if (x === undefined || y === undefined) return x === y;
    const inexact = (x.rateBytesPerSecond * 2 * tickNs) / 1e9 + x.burstBytes / 1e6 + 1;
    return x.rateBytesPerSecond === y.rateBytesPerSecond && Math.abs(x.burstBytes - y.burstBytes) <= inexact;
  };
  return sameRate(a, b) && sameRate(a.peak, b.peak) && a.queueBytes === b.queueBytes;
}

type Rate = { readonly rateBytesPerSecond: number; readonly burstBytes: number };
