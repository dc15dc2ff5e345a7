// Packets byte by byte, each with a number in it by which it is known again wherever it arrives. First packets of
// connections: a TCP SYN, a UDP datagram, an SCTP INIT, ICMP of any type, and protocols that nobody knows.
import { addressToBytes, familyOf, type Address } from '../../src/lib/ip/mod.ts';

export type PacketFields = {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
};

const TCP = 6;
const UDP = 17;
const DCCP = 33;
const SCTP = 132;
const UDP_LITE = 136;
const ICMP = 1;
const ICMP6 = 58;
const dontFragment = 0x4000;
const hopLimit = 64;

/** The IP packet. */
export function packetBytes(fields: PacketFields, id: number): Uint8Array {
  const body = bodyBytes(fields, id);
  const source = addressToBytes(fields.source);
  const destination = addressToBytes(fields.destination);
  if (familyOf(fields.source) === 4) {
    const packet = new Uint8Array(20 + body.length);
    const view = new DataView(packet.buffer);
    packet[0] = 0x45;
    view.setUint16(2, packet.length);
    view.setUint16(6, dontFragment);
    packet[8] = hopLimit;
    packet[9] = fields.protocol;
    packet.set(source, 12);
    packet.set(destination, 16);
    view.setUint16(10, checksum(packet.subarray(0, 20)));
    packet.set(body, 20);
    return packet;
  }
  const packet = new Uint8Array(40 + body.length);
  packet[0] = 0x60;
  new DataView(packet.buffer).setUint16(4, body.length);
  packet[6] = fields.protocol;
  packet[7] = hopLimit;
  packet.set(source, 8);
  packet.set(destination, 24);
  packet.set(body, 40);
  return packet;
}

/** Where the number stands behind the IP header. */
const idOffset = (protocol: number): number => {
  if (protocol === TCP) return 4;
  if (protocol === SCTP) return 16;
  return [UDP, UDP_LITE, DCCP, ICMP, ICMP6].includes(protocol) ? 8 : 0;
};

function bodyBytes(fields: PacketFields, id: number): Uint8Array {
  const { protocol, sourcePort = 0, destinationPort = 0 } = fields;
  const body = new Uint8Array(bodyLength(protocol));
  const view = new DataView(body.buffer);
  if (protocol === ICMP || protocol === ICMP6) {
    body[0] = fields.icmpType ?? 8;
    body[1] = fields.icmpCode ?? 0;
    view.setUint16(4, id & 0xffff);
  } else if (bodyLength(protocol) > 16) {
    view.setUint16(0, sourcePort);
    view.setUint16(2, destinationPort);
  }
  if (protocol === TCP) {
    body[12] = 5 << 4;
    body[13] = 2;
    view.setUint16(14, 0xffff);
  } else if (protocol === UDP) view.setUint16(4, body.length);
  else if (protocol === DCCP) body[4] = 3;
  else if (protocol === SCTP) {
    body[12] = 1;
    view.setUint16(14, 20);
    view.setUint32(20, 0x10000);
    view.setUint16(24, 1);
    view.setUint16(26, 1);
    view.setUint32(28, 1);
  }
  view.setUint32(idOffset(protocol), id);
  const at = checksumOffset(protocol);
  if (at !== undefined) view.setUint16(at, checksum(body, pseudoHeader(fields, body.length)) || 0xffff);
  if (protocol === SCTP) view.setUint32(8, crc32c(body), true);
  return body;
}

/** Longer than 16 bytes: begins with ports. */
const bodyLength = (protocol: number): number =>
  protocol === SCTP
    ? 32
    : protocol === ICMP || protocol === ICMP6
      ? 16
      : [TCP, UDP, UDP_LITE, DCCP].includes(protocol)
        ? 20
        : 12;

const checksumOffset = (protocol: number): number | undefined =>
  protocol === TCP
    ? 16
    : protocol === ICMP || protocol === ICMP6
      ? 2
      : [UDP, UDP_LITE, DCCP].includes(protocol)
        ? 6
        : undefined;

function pseudoHeader({ source, destination, protocol }: PacketFields, length: number): Uint8Array {
  if (protocol === ICMP) return new Uint8Array();
  const ends = [...addressToBytes(source), ...addressToBytes(destination)];
  return new Uint8Array([...ends, 0, protocol, length >> 8, length & 255]);
}

function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** The number of a packet as it arrived; undefined for what is none of ours. */
export function idOfPacket(packet: Uint8Array): number | undefined {
  const version = (packet[0] ?? 0) >> 4;
  const header = version === 4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
  const protocol = packet[version === 4 ? 9 : 6] ?? 0;
  return idOfBody(packet.subarray(header), protocol);
}

/** The same behind the IP header: what a raw IPv6 socket gives. */
export function idOfBody(body: Uint8Array, protocol: number): number | undefined {
  const at = idOffset(protocol);
  return body.length < at + 4 ? undefined : new DataView(body.buffer, body.byteOffset).getUint32(at);
}
