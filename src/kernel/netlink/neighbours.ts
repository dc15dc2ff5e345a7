// Neighbours, proxy entries and forwarding databases: RTM_*NEIGH messages. Pure.
//
//   ndmsg  family u8 · pad u8 · pad u16 · index s32 · state u16 · flags u8 · type u8
import { familyOf, type Address, type Family } from '../../lib/ip/mod.ts';
import type { FdbEntry, Neighbour } from '../types.ts';
import * as c from './constants.ts';
import {
  addressAt,
  attributes,
  macAt,
  macToBytes,
  type MessageHeader,
  type MessageWriter,
} from './message.ts';

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NDA_PROTOCOL = 12;
const NTF_SELF = 0x02;
const NTF_PROXY = 0x08;
const NUD_REACHABLE = 0x02;
const NUD_PERMANENT = 0x80;
const ndmsgLength = 12;

const states = {
  none: 0,
  incomplete: 0x01,
  reachable: NUD_REACHABLE,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: NUD_PERMANENT,
} as const satisfies Record<Neighbour['state'], number>;
const stateNames = new Map<number, Neighbour['state']>(
  Object.entries(states).map(([name, number]) => [number, name as Neighbour['state']]),
);

function ndmsg(w: MessageWriter, family: number, index: number, state: number, flags: number): MessageWriter {
  return w.u8(family).u8(0).u16(0).u32(index).u16(state).u8(flags).u8(0);
}

export function encodeNeighbourDump(
  w: MessageWriter,
  family: Family,
  options: { readonly proxy: boolean; readonly linkIndex?: number },
): void {
  ndmsg(w, c.addressFamily(family), 0, 0, options.proxy ? NTF_PROXY : 0);
  // The kernel refuses a device filter for proxy entries.
  if (options.linkIndex !== undefined && !options.proxy) w.attributeU32(NDA_IFINDEX, options.linkIndex);
}

export function encodeNeighbour(w: MessageWriter, n: Neighbour): void {
  const proxy = n.proxy === true;
  const state = proxy ? NUD_PERMANENT : states[n.state];
  ndmsg(w, c.addressFamily(familyOf(n.address)), n.linkIndex, state, proxy ? NTF_PROXY : 0);
  w.attributeAddress(NDA_DST, n.address);
  const mac = n.mac === undefined || proxy ? undefined : macToBytes(n.mac);
  if (mac !== undefined) w.attribute(NDA_LLADDR, mac);
  if (n.protocol !== undefined && proxy) w.attribute(NDA_PROTOCOL, Uint8Array.of(n.protocol));
}

export function encodeNeighbourDelete(w: MessageWriter, n: Neighbour): void {
  ndmsg(w, c.addressFamily(familyOf(n.address)), n.linkIndex, 0, n.proxy === true ? NTF_PROXY : 0);
  w.attributeAddress(NDA_DST, n.address);
}

export function decodeNeighbour(view: DataView, message: MessageHeader): Neighbour | undefined {
  if (message.type !== c.RTM_NEWNEIGH && message.type !== c.RTM_DELNEIGH) return undefined;
  const family = view.getUint8(message.start);
  if (family !== c.AF_INET && family !== c.AF_INET6) return undefined;
  const entry = readEntry(view, message);
  if (entry.dst === undefined) return undefined;
  const proxy = (view.getUint8(message.start + 10) & NTF_PROXY) !== 0;
  const state = stateNames.get(view.getUint16(message.start + 8, true)) ?? 'none';
  return {
    address: entry.dst,
    linkIndex: view.getInt32(message.start + 4, true),
    ...(entry.mac === undefined || proxy ? {} : { mac: entry.mac }),
    state: proxy ? 'permanent' : state,
    ...(proxy ? { proxy } : {}),
    ...(proxy && entry.protocol !== undefined ? { protocol: entry.protocol } : {}),
  };
}

export function encodeFdbDump(w: MessageWriter, linkIndex: number | undefined): void {
  ndmsg(w, c.AF_BRIDGE, linkIndex ?? 0, 0, 0);
}

/** An entry in the device's own table (NTF_SELF): for a VXLAN device the VTEP behind a MAC address. */
export function encodeFdbEntry(w: MessageWriter, entry: FdbEntry): void {
  ndmsg(w, c.AF_BRIDGE, entry.linkIndex, entry.permanent ? NUD_PERMANENT : NUD_REACHABLE, NTF_SELF);
  const mac = macToBytes(entry.mac);
  if (mac !== undefined) w.attribute(NDA_LLADDR, mac);
  if (entry.remote !== undefined) w.attributeAddress(NDA_DST, entry.remote);
}

export function decodeFdbEntry(view: DataView, message: MessageHeader): FdbEntry | undefined {
  if (message.type !== c.RTM_NEWNEIGH && message.type !== c.RTM_DELNEIGH) return undefined;
  if (view.getUint8(message.start) !== c.AF_BRIDGE) return undefined;
  const entry = readEntry(view, message);
  if (entry.mac === undefined) return undefined;
  return {
    mac: entry.mac,
    linkIndex: view.getInt32(message.start + 4, true),
    ...(entry.dst === undefined ? {} : { remote: entry.dst }),
    permanent: (view.getUint16(message.start + 8, true) & NUD_PERMANENT) !== 0,
  };
}

type Entry = { dst?: Address; mac?: string; protocol?: number };

function readEntry(view: DataView, message: MessageHeader): Entry {
  const entry: Entry = {};
  attributes(view, message.start + ndmsgLength, message.end, (type, offset, length) => {
    if (type === NDA_DST) {
      const dst = addressAt(view, offset, length);
      if (dst !== undefined) entry.dst = dst;
    } else if (type === NDA_LLADDR && length === 6) entry.mac = macAt(view, offset);
    else if (type === NDA_PROTOCOL && view.getUint8(offset) !== 0) entry.protocol = view.getUint8(offset);
  });
  return entry;
}
