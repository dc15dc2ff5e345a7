// Links: RTM_*LINK messages from and to `Link`, `LinkSpec` and `LinkChange`. Pure.
//
//   ifinfomsg  family u8 · pad u8 · type u16 · index s32 · flags u32 · change mask u32
import type { Address } from '../../lib/ip/mod.ts';
import type { Link, LinkChange, LinkKind, LinkSpec, VxlanParameters } from '../types.ts';
import * as c from './constants.ts';
import {
  addressAt,
  attributes,
  macAt,
  macToBytes,
  stringAt,
  type MessageHeader,
  type MessageWriter,
} from './message.ts';

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 8;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;
const IFLA_IPTUN_LOCAL = 2;
const ARPHRD_LOOPBACK = 772;
const ifinfomsgLength = 16;

const kinds: Readonly<Record<string, LinkKind>> = {
  veth: 'veth',
  vxlan: 'vxlan',
  bridge: 'bridge',
  tun: 'tun',
  ipip: 'ipip',
  dummy: 'dummy',
  ifb: 'ifb',
  wireguard: 'wireguard',
};

/** Interface names the kernel takes: 1 to 15 bytes without slash, colon or white space. */
export const isLinkName = (name: string): boolean =>
  /^[^\s/:]{1,15}$/.test(name) && name !== '.' && name !== '..';

function ifinfomsg(w: MessageWriter, index: number, flags = 0, change = 0): MessageWriter {
  return w.u8(c.AF_UNSPEC).u8(0).u16(0).u32(index).u32(flags).u32(change);
}

export function encodeLinkDump(w: MessageWriter): void {
  ifinfomsg(w, 0).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

export function encodeLinkGet(w: MessageWriter, name: string): void {
  ifinfomsg(w, 0).attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).attributeString(IFLA_IFNAME, name);
}

/** RTM_NEWLINK for a spec; for a veth `peerNamespaceFd` puts the other end into its namespace in the same operation. */
export function encodeLinkCreate(w: MessageWriter, spec: LinkSpec, peerNamespaceFd?: number): void {
  ifinfomsg(w, 0, spec.up === true ? c.IFF_UP : 0, spec.up === true ? c.IFF_UP : 0);
  w.attributeString(IFLA_IFNAME, spec.name);
  putMac(w, spec.mac);
  if (spec.mtu !== undefined) w.attributeU32(IFLA_MTU, spec.mtu);
  if (spec.group !== undefined) w.attributeU32(IFLA_GROUP, spec.group);
  const info = w.nest(IFLA_LINKINFO);
  w.attributeString(IFLA_INFO_KIND, spec.kind);
  switch (spec.kind) {
    case 'veth': {
      const data = w.nest(IFLA_INFO_DATA);
      const peer = w.nest(VETH_INFO_PEER);
      ifinfomsg(w, 0).attributeString(IFLA_IFNAME, spec.peer.name);
      putMac(w, spec.peer.mac);
      if (spec.mtu !== undefined) w.attributeU32(IFLA_MTU, spec.mtu);
      if (peerNamespaceFd !== undefined) w.attributeU32(IFLA_NET_NS_FD, peerNamespaceFd);
      w.endNest(peer).endNest(data);
      break;
    }
    case 'vxlan': {
      const data = w.nest(IFLA_INFO_DATA);
      putVxlan(w, spec.vxlan);
      w.endNest(data);
      break;
    }
    case 'ipip':
      if (spec.local !== undefined) {
        const data = w.nest(IFLA_INFO_DATA);
        w.attributeAddress(IFLA_IPTUN_LOCAL, spec.local);
        w.endNest(data);
      }
      break;
    case 'bridge':
    case 'tun':
    case 'dummy':
    case 'ifb':
    case 'wireguard':
      break;
  }
  w.endNest(info);
}

function putVxlan(w: MessageWriter, vxlan: VxlanParameters): void {
  w.attributeU32(IFLA_VXLAN_ID, vxlan.vni);
  if (vxlan.local !== undefined)
    w.attributeAddress(vxlan.local.includes(':') ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, vxlan.local);
  if (vxlan.parentIndex !== undefined) w.attributeU32(IFLA_VXLAN_LINK, vxlan.parentIndex);
  w.attributeU8(IFLA_VXLAN_LEARNING, vxlan.learning ? 1 : 0);
  w.attributeU16be(IFLA_VXLAN_PORT, vxlan.port);
}

function putMac(w: MessageWriter, mac: string | undefined): void {
  const bytes = mac === undefined ? undefined : macToBytes(mac);
  if (bytes !== undefined) w.attribute(IFLA_ADDRESS, bytes);
}

/** RTM_SETLINK for a change. */
export function encodeLinkChange(
  w: MessageWriter,
  index: number,
  change: LinkChange,
  namespaceFd?: number,
): void {
  const mask = change.up === undefined ? 0 : c.IFF_UP;
  ifinfomsg(w, index, change.up === true ? c.IFF_UP : 0, mask);
  if (change.name !== undefined) w.attributeString(IFLA_IFNAME, change.name);
  putMac(w, change.mac);
  if (change.mtu !== undefined) w.attributeU32(IFLA_MTU, change.mtu);
  if (change.group !== undefined) w.attributeU32(IFLA_GROUP, change.group);
  if (change.alias !== undefined) w.attributeString(IFLA_IFALIAS, change.alias);
  if (change.masterIndex !== undefined) w.attributeU32(IFLA_MASTER, change.masterIndex ?? 0);
  if (namespaceFd !== undefined) w.attributeU32(IFLA_NET_NS_FD, namespaceFd);
}

export function encodeLinkDelete(w: MessageWriter, index: number): void {
  ifinfomsg(w, index);
}

/** RTM_DELLINK for all links of a group: one grace period for all of them. */
export function encodeGroupDelete(w: MessageWriter, group: number): void {
  ifinfomsg(w, 0).attributeU32(IFLA_GROUP, group);
}

export function decodeLink(view: DataView, message: MessageHeader): Link | undefined {
  if (message.type !== c.RTM_NEWLINK && message.type !== c.RTM_DELLINK) return undefined;
  // Bridge ports also come as AF_BRIDGE messages, which say nothing that the others do not.
  if (view.getUint8(message.start) !== c.AF_UNSPEC) return undefined;
  const deviceType = view.getUint16(message.start + 2, true);
  const flags = view.getUint32(message.start + 8, true);
  let name = '';
  let mtu = 0;
  let group = 0;
  let mac: string | undefined;
  let link: number | undefined;
  let masterIndex: number | undefined;
  let alias: string | undefined;
  let info: LinkInfo = { kind: 'physical' };
  attributes(view, message.start + ifinfomsgLength, message.end, (type, offset, length) => {
    if (type === IFLA_IFNAME) name = stringAt(view, offset, length);
    else if (type === IFLA_ADDRESS && length === 6) mac = macAt(view, offset);
    else if (type === IFLA_MTU) mtu = view.getUint32(offset, true);
    else if (type === IFLA_GROUP) group = view.getUint32(offset, true);
    else if (type === IFLA_LINK) link = view.getUint32(offset, true);
    else if (type === IFLA_MASTER) masterIndex = view.getUint32(offset, true);
    else if (type === IFLA_IFALIAS) alias = stringAt(view, offset, length);
    else if (type === IFLA_LINKINFO) info = decodeLinkInfo(view, offset, length);
  });
  const kind = deviceType === ARPHRD_LOOPBACK ? 'loopback' : info.kind;
  return {
    index: view.getInt32(message.start + 4, true),
    name,
    kind,
    ...(mac === undefined ? {} : { mac }),
    mtu,
    up: (flags & c.IFF_UP) !== 0,
    running: (flags & c.IFF_UP) !== 0 && (flags & c.IFF_RUNNING) !== 0,
    ...(masterIndex === undefined ? {} : { masterIndex }),
    ...(kind === 'veth' && link !== undefined ? { peerIndex: link } : {}),
    group,
    ...(alias === undefined || alias === '' ? {} : { alias }),
    ...(info.vxlan === undefined ? {} : { vxlan: info.vxlan }),
  };
}

type LinkInfo = { readonly kind: LinkKind; readonly vxlan?: VxlanParameters };

function decodeLinkInfo(view: DataView, start: number, length: number): LinkInfo {
  let kindText = '';
  let data: readonly [number, number] | undefined;
  attributes(view, start, start + length, (type, offset, size) => {
    if (type === IFLA_INFO_KIND) kindText = stringAt(view, offset, size);
    else if (type === IFLA_INFO_DATA) data = [offset, size];
  });
  const kind = kinds[kindText] ?? (kindText === '' ? 'physical' : 'other');
  return kind === 'vxlan' && data !== undefined
    ? { kind, vxlan: decodeVxlan(view, data[0], data[1]) }
    : { kind };
}

function decodeVxlan(view: DataView, start: number, length: number): VxlanParameters {
  let vni = 0;
  let port = 0;
  let learning = false;
  let local: Address | undefined;
  let parentIndex: number | undefined;
  attributes(view, start, start + length, (type, offset, size) => {
    if (type === IFLA_VXLAN_ID) vni = view.getUint32(offset, true);
    else if (type === IFLA_VXLAN_PORT) port = view.getUint16(offset);
    else if (type === IFLA_VXLAN_LEARNING) learning = view.getUint8(offset) !== 0;
    else if (type === IFLA_VXLAN_LINK) parentIndex = view.getUint32(offset, true) || undefined;
    else if (type === IFLA_VXLAN_LOCAL || type === IFLA_VXLAN_LOCAL6) local = addressAt(view, offset, size);
  });
  return {
    vni,
    port,
    ...(local === undefined || local === '0.0.0.0' || local === '::' ? {} : { local }),
    ...(parentIndex === undefined ? {} : { parentIndex }),
    learning,
  };
}
