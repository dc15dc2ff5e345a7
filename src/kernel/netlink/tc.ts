// What messages of traffic control have in common: RTM_*QDISC and RTM_*TFILTER. Pure.
//
//   tcmsg  family u8 · pad u8 · pad u16 · index s32 · handle u32 · parent u32 · info u32 (filters: priority << 16 | ether type)
import * as c from './constants.ts';
import type { MessageHeader, MessageWriter } from './message.ts';

export const TCA_KIND = 1;
export const TCA_OPTIONS = 2;
export const tcmsgLength = 20;
export const rootParent = 0xffffffff;
export const filterParents = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
const clsactHandle = 0xffff0000;
const clsactParent = 0xfffffff1;
/** ETH_P_ALL in network order. */
const allProtocols = 0x0300;

export const tcmsg = (
  w: MessageWriter,
  linkIndex: number,
  handle: number,
  parent: number,
  info = 0,
): MessageWriter => w.u8(c.AF_UNSPEC).u8(0).u16(0).u32(linkIndex).u32(handle).u32(parent).u32(info);

/** Of a filter that takes packets of all protocols. */
export const filterInfo = (priority: number): number => ((priority << 16) | allProtocols) >>> 0;

/** The anchor of ingress and egress filters. */
export function encodeAnchor(w: MessageWriter, linkIndex: number): void {
  tcmsg(w, linkIndex, clsactHandle, clsactParent).attributeString(TCA_KIND, 'clsact');
}

export const linkOfTcMessage = (view: DataView, message: MessageHeader): number =>
  view.getInt32(message.start + 4, true);
