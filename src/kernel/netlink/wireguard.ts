// WireGuard over generic netlink: devices and peers from and to bytes (include/uapi/linux/wireguard.h). Pure.
//
//   WGDEVICE   1 ifindex · 2 name · 3 private key · 5 flags · 6 port u16 · 7 mark u32 · 8 peers { 0 { WGPEER } … }
//   WGPEER     1 public key · 3 flags · 4 endpoint (sockaddr) · 5 keepalive u16 · 6 last handshake (timespec) · 7, 8 bytes
//              received and sent u64 · 9 allowed addresses { 0 { 1 family u16 · 2 address · 3 length u8 } … }
//
// What does not fit into one message goes on in the next: a peer is then told again by its key, and more is added to it.
import {
  addressFromBytes,
  addressToBytes,
  familyOf,
  prefixAddress,
  prefixFamily,
  prefixLength,
  prefixOf,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { keyFromBytes, keyToBytes } from '../wireguard/keys.ts';
import type {
  WireGuardChange,
  WireGuardDevice,
  WireGuardEndpoint,
  WireGuardPeer,
  WireGuardPeerChange,
} from '../wireguard/types.ts';
import * as c from './constants.ts';
import { genericHeader, genericHeaderLength } from './generic.ts';
import {
  addressAt,
  attributes,
  bytesAt,
  stringAt,
  type MessageHeader,
  type MessageWriter,
} from './message.ts';

export const wireguardFamily = 'wireguard';
const version = 1;
const WG_CMD_GET_DEVICE = 0;
const WG_CMD_SET_DEVICE = 1;
const device = { name: 2, privateKey: 3, port: 6, mark: 7, peers: 8 } as const;
const peerAttribute = {
  publicKey: 1,
  flags: 3,
  endpoint: 4,
  keepalive: 5,
  lastHandshake: 6,
  received: 7,
  sent: 8,
  allowed: 9,
} as const;
const allowedAttribute = { family: 1, address: 2, length: 3 } as const;
const REMOVE_ME = 1;
const REPLACE_ALLOWED = 2;
/** An address takes 44 bytes at the most, and the attribute that holds them no more than 64 KB. */
const allowedPerMessage = 1000;

export function encodeDeviceDump(w: MessageWriter, name: string): void {
  genericHeader(w, WG_CMD_GET_DEVICE, version).attributeString(device.name, name);
}

/** The messages that make the change, each a function that writes one. */
export function encodeDeviceChange(name: string, change: WireGuardChange): ((w: MessageWriter) => void)[] {
  const { privateKey, port, mark, peers = [] } = change;
  const message = (body: (w: MessageWriter) => void) => (w: MessageWriter) => {
    genericHeader(w, WG_CMD_SET_DEVICE, version).attributeString(device.name, name);
    body(w);
  };
  const own = (w: MessageWriter): void => {
    const key = privateKey === undefined ? undefined : keyToBytes(privateKey);
    if (key !== undefined) w.attribute(device.privateKey, key);
    if (port !== undefined) w.attributeU16(device.port, port);
    if (mark !== undefined) w.attributeU32(device.mark, mark);
  };
  const parts = peers.flatMap(peerParts);
  if (parts.length === 0) return [message(own)];
  return parts.map((part, i) =>
    message((w) => {
      if (i === 0) own(w);
      const list = w.nest(device.peers);
      const one = w.nest(0);
      part(w);
      w.endNest(one).endNest(list);
    }),
  );
}

function peerParts(change: WireGuardPeerChange): ((w: MessageWriter) => void)[] {
  const key = (w: MessageWriter): MessageWriter =>
    w.attribute(peerAttribute.publicKey, keyToBytes(change.publicKey) ?? new Uint8Array());
  if (change.op === 'remove') return [(w) => void key(w).attributeU32(peerAttribute.flags, REMOVE_ME)];
  const { allowed, endpoint, keepaliveSeconds } = change;
  const parts: (readonly Prefix[])[] = [];
  for (let at = 0; at < (allowed?.length ?? 0); at += allowedPerMessage)
    parts.push(allowed?.slice(at, at + allowedPerMessage) ?? []);
  const [first = [], ...rest] = parts;
  return [
    (w) => {
      key(w);
      if (endpoint !== undefined) w.attribute(peerAttribute.endpoint, socketAddress(endpoint));
      if (keepaliveSeconds !== undefined) w.attributeU16(peerAttribute.keepalive, keepaliveSeconds);
      if (allowed !== undefined) w.attributeU32(peerAttribute.flags, REPLACE_ALLOWED);
      putAllowed(w, first);
    },
    ...rest.map((more) => (w: MessageWriter) => {
      key(w);
      putAllowed(w, more);
    }),
  ];
}

function putAllowed(w: MessageWriter, prefixes: readonly Prefix[]): void {
  if (prefixes.length === 0) return;
  const list = w.nest(peerAttribute.allowed);
  for (const prefix of prefixes) {
    const one = w.nest(0);
    w.attributeU16(allowedAttribute.family, c.addressFamily(prefixFamily(prefix)));
    w.attributeAddress(allowedAttribute.address, prefixAddress(prefix));
    w.attributeU8(allowedAttribute.length, prefixLength(prefix));
    w.endNest(one);
  }
  w.endNest(list);
}

/** sockaddr_in: family · port · address · 8 zeroes. sockaddr_in6: family · port · flow u32 · address · scope u32. */
function socketAddress({ address, port }: WireGuardEndpoint): Uint8Array {
  const isV4 = familyOf(address) === 4;
  const bytes = new Uint8Array(isV4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, c.addressFamily(familyOf(address)), true);
  view.setUint16(2, port);
  bytes.set(addressToBytes(address), isV4 ? 4 : 8);
  return bytes;
}

/** One message of a dump: the whole device, or a part of it. */
export function decodeDevicePart(view: DataView, message: MessageHeader): WireGuardDevice {
  let name = '';
  let port = 0;
  let mark = 0;
  let privateKey: string | undefined;
  const peers: WireGuardPeer[] = [];
  attributes(view, message.start + genericHeaderLength, message.end, (type, offset, length) => {
    if (type === device.name) name = stringAt(view, offset, length);
    else if (type === device.port) port = view.getUint16(offset, true);
    else if (type === device.mark) mark = view.getUint32(offset, true);
    else if (type === device.privateKey) privateKey = keyFromBytes(bytesAt(view, offset, length));
    else if (type === device.peers)
      attributes(view, offset, offset + length, (_index, at, size) => peers.push(decodePeer(view, at, size)));
  });
  return {
    name,
    driver: 'kernel',
    ...(privateKey === undefined ? {} : { privateKey }),
    port,
    mark,
    peers,
  };
}

function decodePeer(view: DataView, start: number, size: number): WireGuardPeer {
  let publicKey = '';
  let endpoint: WireGuardEndpoint | undefined;
  let keepaliveSeconds = 0;
  let lastHandshake = 0;
  let receivedBytes = 0;
  let sentBytes = 0;
  const allowed: Prefix[] = [];
  attributes(view, start, start + size, (type, offset, length) => {
    if (type === peerAttribute.publicKey) publicKey = keyFromBytes(bytesAt(view, offset, length));
    else if (type === peerAttribute.endpoint) endpoint = decodeEndpoint(view, offset, length);
    else if (type === peerAttribute.keepalive) keepaliveSeconds = view.getUint16(offset, true);
    else if (type === peerAttribute.lastHandshake) lastHandshake = Number(view.getBigInt64(offset, true));
    else if (type === peerAttribute.received) receivedBytes = Number(view.getBigUint64(offset, true));
    else if (type === peerAttribute.sent) sentBytes = Number(view.getBigUint64(offset, true));
    else if (type === peerAttribute.allowed)
      attributes(view, offset, offset + length, (_index, at, n) => {
        const prefix = decodeAllowed(view, at, n);
        if (prefix !== undefined) allowed.push(prefix);
      });
  });
  const common = { publicKey, keepaliveSeconds, lastHandshake, receivedBytes, sentBytes };
  return { ...common, ...(endpoint === undefined ? {} : { endpoint }), allowed: allowed.toSorted() };
}

function decodeEndpoint(view: DataView, offset: number, length: number): WireGuardEndpoint | undefined {
  const isV4 = view.getUint16(offset, true) === c.AF_INET;
  if (length < (isV4 ? 16 : 28)) return undefined;
  const bytes = bytesAt(view, offset + (isV4 ? 4 : 8), isV4 ? 4 : 16);
  return { address: addressFromBytes(bytes), port: view.getUint16(offset + 2) };
}

function decodeAllowed(view: DataView, start: number, size: number): Prefix | undefined {
  let address: ReturnType<typeof addressAt>;
  let bits = 0;
  attributes(view, start, start + size, (type, offset, length) => {
    if (type === allowedAttribute.address) address = addressAt(view, offset, length);
    else if (type === allowedAttribute.length) bits = view.getUint8(offset);
  });
  return address === undefined ? undefined : prefixOf(address, bits);
}

/** The parts of a dump as one device; undefined when there are none. */
export function joinDeviceParts(parts: readonly WireGuardDevice[]): WireGuardDevice | undefined {
  const [first, ...rest] = parts;
  if (first === undefined) return undefined;
  const peers = [...first.peers];
  for (const part of rest)
    for (const peer of part.peers) {
      const last = peers.at(-1);
      if (last?.publicKey === peer.publicKey)
        peers[peers.length - 1] = { ...last, allowed: [...last.allowed, ...peer.allowed].toSorted() };
      else peers.push(peer);
    }
  return { ...first, peers };
}
