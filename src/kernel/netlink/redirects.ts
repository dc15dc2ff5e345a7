// Redirects: a u32 filter that takes every packet, with the action mirred. RTM_*TFILTER messages. Pure.
//
//   tc_u32_sel   flags u8 · offset shift u8 · keys u8 · pad u8 · offset mask u16 · offset u16 · its offset s16 · hash offset s16 ·
//                hash mask u32 · per key: mask u32 · value u32 · offset s32 · offset mask s32
//   tc_mirred    index u32 · capabilities u32 · verdict u32 · references u32 · binds u32 · what u32 · link u32
//
// u32 because a filter of it can be changed in its place (matchall cannot), and mirred because an ifb drops what came to it in
// another way: an eBPF program's bpf_redirect does not mark packets as redirected.
import type { Redirect } from '../types.ts';
import * as c from './constants.ts';
import { attributes, stringAt, type MessageHeader, type MessageWriter } from './message.ts';
import { filterInfo, filterParents, TCA_KIND, TCA_OPTIONS, tcmsg, tcmsgLength } from './tc.ts';

const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TC_U32_TERMINAL = 1;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;

/** `handle`: of the filter to be replaced; 0 for a new one. */
export function encodeRedirect(w: MessageWriter, redirect: Redirect, handle: number): void {
  const { linkIndex, priority, targetIndex } = redirect;
  tcmsg(w, linkIndex, handle, filterParents.ingress, filterInfo(priority)).attributeString(TCA_KIND, 'u32');
  const options = w.nest(TCA_OPTIONS);
  const actions = w.nest(TCA_U32_ACT);
  const first = w.nest(1);
  w.attributeString(TCA_ACT_KIND, 'mirred');
  const mirred = w.nest(TCA_ACT_OPTIONS);
  w.u16(4 + 28).u16(TCA_MIRRED_PARMS);
  w.u32(0).u32(0).u32(TC_ACT_STOLEN).u32(0).u32(0).u32(TCA_EGRESS_REDIR).u32(targetIndex);
  w.endNest(mirred).endNest(first).endNest(actions);
  w.u16(4 + 32).u16(TCA_U32_SEL);
  w.u8(TC_U32_TERMINAL).u8(0).u8(1).u8(0).u16(0).u16(0).u16(0).u16(0).u32(0);
  // The one key: nothing of the first four bytes.
  w.u32(0).u32(0).u32(0).u32(0);
  w.endNest(options);
}

/** All of u32 at the priority. */
export function encodeRedirectDelete(w: MessageWriter, linkIndex: number, priority: number): void {
  tcmsg(w, linkIndex, 0, filterParents.ingress, filterInfo(priority)).attributeString(TCA_KIND, 'u32');
}

export function encodeRedirectDump(w: MessageWriter, linkIndex: number): void {
  tcmsg(w, linkIndex, 0, filterParents.ingress);
}

/** Filters of other kinds and with other actions, and u32's own tables, are nothing here. */
export function decodeRedirect(
  view: DataView,
  message: MessageHeader,
): (Redirect & { readonly handle: number }) | undefined {
  if (message.type !== c.RTM_NEWTFILTER) return undefined;
  const { start } = message;
  let kind = '';
  let targetIndex: number | undefined;
  attributes(view, start + tcmsgLength, message.end, (type, offset, length) => {
    if (type === TCA_KIND) kind = stringAt(view, offset, length);
    else if (type === TCA_OPTIONS)
      attributes(view, offset, offset + length, (option, at, size) => {
        if (option === TCA_U32_ACT) targetIndex = redirectTarget(view, at, size);
      });
  });
  if (kind !== 'u32' || targetIndex === undefined) return undefined;
  return {
    linkIndex: view.getInt32(start + 4, true),
    handle: view.getUint32(start + 8, true),
    priority: view.getUint32(start + 16, true) >>> 16,
    targetIndex,
  };
}

/** Where the first redirecting action of a list leads to. */
function redirectTarget(view: DataView, start: number, length: number): number | undefined {
  let target: number | undefined;
  attributes(view, start, start + length, (_order, offset, size) => {
    let kind = '';
    attributes(view, offset, offset + size, (type, at, bytes) => {
      if (type === TCA_ACT_KIND) kind = stringAt(view, at, bytes);
      else if (type === TCA_ACT_OPTIONS && kind === 'mirred')
        attributes(view, at, at + bytes, (option, parameters, parametersSize) => {
          const isRedirect =
            option === TCA_MIRRED_PARMS &&
            parametersSize >= 28 &&
            view.getUint32(parameters + 20, true) === TCA_EGRESS_REDIR;
          if (isRedirect) target ??= view.getUint32(parameters + 24, true);
        });
    });
  });
  return target;
}
