// Traffic filters: eBPF classifiers on a device's ingress and egress (clsact). RTM_*TFILTER and RTM_*QDISC messages. Pure.
//
//   tcmsg  family u8 · pad u8 · pad u16 · index s32 · handle u32 · parent u32 · info u32 (priority << 16 | ether type)
import type { TrafficFilter } from '../types.ts';
import * as c from './constants.ts';
import { attributes, stringAt, type MessageHeader, type MessageWriter } from './message.ts';

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const directAction = 1;
const clsactHandle = 0xffff0000;
const clsactParent = 0xfffffff1;
const parents = { ingress: 0xfffffff2, egress: 0xfffffff3 } as const;
/** ETH_P_ALL in network order. */
const allProtocols = 0x0300;
/** One filter per priority, so any fixed handle will do. */
const handle = 1;
const tcmsgLength = 20;

const tcmsg = (w: MessageWriter, index: number, own: number, parent: number, info: number): MessageWriter =>
  w.u8(c.AF_UNSPEC).u8(0).u16(0).u32(index).u32(own).u32(parent).u32(info);

const infoOf = (filter: TrafficFilter): number => ((filter.priority << 16) | allProtocols) >>> 0;

/** The anchor of ingress and egress filters. */
export function encodeAnchor(w: MessageWriter, linkIndex: number): void {
  tcmsg(w, linkIndex, clsactHandle, clsactParent, 0).attributeString(TCA_KIND, 'clsact');
}

export function encodeFilter(w: MessageWriter, filter: TrafficFilter, programFd: number): void {
  tcmsg(w, filter.linkIndex, handle, parents[filter.direction], infoOf(filter));
  w.attributeString(TCA_KIND, 'bpf');
  const options = w.nest(TCA_OPTIONS);
  w.attributeU32(TCA_BPF_FD, programFd)
    .attributeString(TCA_BPF_NAME, filter.name)
    .attributeU32(TCA_BPF_FLAGS, directAction)
    .endNest(options);
}

export function encodeFilterDelete(w: MessageWriter, filter: TrafficFilter): void {
  tcmsg(w, filter.linkIndex, handle, parents[filter.direction], infoOf(filter)).attributeString(
    TCA_KIND,
    'bpf',
  );
}

export function encodeFilterDump(
  w: MessageWriter,
  linkIndex: number,
  direction: TrafficFilter['direction'],
): void {
  tcmsg(w, linkIndex, 0, parents[direction], 0);
}

/** Filters of other kinds, and the chains' own entries without a handle, are nothing here. */
export function decodeFilter(view: DataView, message: MessageHeader): TrafficFilter | undefined {
  if (message.type !== c.RTM_NEWTFILTER) return undefined;
  const { start } = message;
  const parent = view.getUint32(start + 12, true);
  const direction = parent === parents.ingress ? 'ingress' : parent === parents.egress ? 'egress' : undefined;
  if (direction === undefined || view.getUint32(start + 8, true) === 0) return undefined;
  let kind = '';
  let name = '';
  attributes(view, start + tcmsgLength, message.end, (type, offset, length) => {
    if (type === TCA_KIND) kind = stringAt(view, offset, length);
    else if (type === TCA_OPTIONS)
      attributes(view, offset, offset + length, (option, at, size) => {
        if (option === TCA_BPF_NAME) name = stringAt(view, at, size);
      });
  });
  if (kind !== 'bpf') return undefined;
  return {
    linkIndex: view.getInt32(start + 4, true),
    direction,
    priority: view.getUint32(start + 16, true) >>> 16,
    name,
  };
}

/** The link that a message about filters or their anchors speaks of. */
export const linkOfFilterMessage = (view: DataView, message: MessageHeader): number =>
  view.getInt32(message.start + 4, true);
