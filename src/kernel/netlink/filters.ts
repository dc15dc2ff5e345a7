// Traffic filters: eBPF classifiers on a device's ingress and egress (clsact). RTM_*TFILTER messages. Pure.
import type { TrafficFilter } from '../types.ts';
import * as c from './constants.ts';
import { attributes, stringAt, type MessageHeader, type MessageWriter } from './message.ts';
import { filterInfo, filterParents as parents, TCA_KIND, TCA_OPTIONS, tcmsg, tcmsgLength } from './tc.ts';

const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const directAction = 1;
/** One filter per priority, so any fixed handle will do. */
const handle = 1;

export function encodeFilter(w: MessageWriter, filter: TrafficFilter, programFd: number): void {
  tcmsg(w, filter.linkIndex, handle, parents[filter.direction], filterInfo(filter.priority));
  w.attributeString(TCA_KIND, 'bpf');
  const options = w.nest(TCA_OPTIONS);
  w.attributeU32(TCA_BPF_FD, programFd)
    .attributeString(TCA_BPF_NAME, filter.name)
    .attributeU32(TCA_BPF_FLAGS, directAction)
    .endNest(options);
}

export function encodeFilterDelete(w: MessageWriter, filter: TrafficFilter): void {
  tcmsg(w, filter.linkIndex, handle, parents[filter.direction], filterInfo(filter.priority)).attributeString(
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
