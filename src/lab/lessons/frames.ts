// From the bytes of a frame to what a lesson shows of it. Pure.
//
//   Ethernet ─► IPv4 ─► ICMP                                     no encapsulation
//   Ethernet ─► IPv4 (protocol 4) ─► IPv4 ─► ICMP                IP in IP
//   Ethernet ─► IPv4 ─► UDP 4789 ─► VXLAN ─► Ethernet ─► IPv4    VXLAN
//   Ethernet ─► IPv4 ─► UDP 51820 ─► WireGuard ─► (encrypted)    WireGuard: the echo is known by its size
import type { Addresses, Macs, RawFrame, Sighting } from './types.ts';

const ethernetLength = 14;
const etherTypeV4 = 0x0800;
const protocols = { icmp: 1, ipip: 4, udp: 17 } as const;
const vxlanPort = 4789;
const wireguardPort = 51820;
/** UDP header, WireGuard's (type 4, receiver, counter), an echo of 84 bytes filled up to 96, and what proves it whole. */
const encryptedEchoBytes = 8 + 16 + 96 + 16;
const transportMessage = 4;
const icmp = { echoReply: 0, unreachable: 3, echoRequest: 8, timeExceeded: 11 } as const;

type Packet = Addresses & { readonly protocol: number; readonly payload: Uint8Array };

/** Of the nodes that the pods are on: what they say to each other may be encrypted. */
export type NodeAddresses = { readonly from: string; readonly to: string };

/** undefined: not an echo between the two addresses, nor an error about one. */
export function sightingOf(
  frame: RawFrame,
  from: string,
  to: string,
  nodes?: NodeAddresses,
): Sighting | undefined {
  const bytes = fromHex(frame.bytes);
  const macs = frame.ethernet ? macsOf(bytes) : undefined;
  const packet = readIp(frame.ethernet ? networkPart(bytes) : bytes);
  if (packet === undefined) return undefined;
  const place = {
    machine: frame.machine,
    device: frame.device,
    direction: frame.direction,
    ...(macs === undefined ? {} : { macs }),
  };
  if (nodes !== undefined && isEncryptedEcho(packet)) {
    const isForth = packet.source === nodes.from && packet.destination === nodes.to;
    const isBack = packet.source === nodes.to && packet.destination === nodes.from;
    if (!isForth && !isBack) return undefined;
    const outer = { ...addressesOf(packet), how: 'wireguard' as const };
    return { ...place, outer, kind: isForth ? 'request' : 'reply' };
  }
  const tunnel = unwrap(packet);
  const inner = tunnel?.inner ?? packet;
  const kind = kindOf(inner, from, to);
  if (kind === undefined) return undefined;
  return {
    ...place,
    ...(tunnel === undefined
      ? {}
      : {
          outer: {
            ...addressesOf(packet),
            how: tunnel.how,
            ...(tunnel.vni === undefined ? {} : { vni: tunnel.vni }),
          },
        }),
    ...(tunnel?.innerMacs === undefined ? {} : { innerMacs: tunnel.innerMacs }),
    inner: addressesOf(inner),
    kind,
  };
}

const addressesOf = ({ source, destination, ttl }: Packet): Addresses => ({ source, destination, ttl });

const isEncryptedEcho = ({ protocol, payload }: Packet): boolean =>
  protocol === protocols.udp &&
  payload.length === encryptedEchoBytes &&
  word(payload, 2) === wireguardPort &&
  payload[8] === transportMessage;

type Tunnel = {
  readonly how: 'ipip' | 'vxlan';
  readonly inner: Packet;
  readonly vni?: number;
  readonly innerMacs?: Macs;
};

function unwrap(packet: Packet): Tunnel | undefined {
  const { payload } = packet;
  if (packet.protocol === protocols.ipip) {
    const inner = readIp(payload);
    return inner === undefined ? undefined : { how: 'ipip', inner };
  }
  if (packet.protocol !== protocols.udp || payload.length < 16 || word(payload, 2) !== vxlanPort)
    return undefined;
  const frame = payload.subarray(16);
  const inner = readIp(networkPart(frame));
  if (inner === undefined) return undefined;
  const vni = (payload[12]! << 16) | (payload[13]! << 8) | payload[14]!;
  return { how: 'vxlan', inner, vni, innerMacs: macsOf(frame) };
}

function kindOf(packet: Packet, from: string, to: string): Sighting['kind'] | undefined {
  if (packet.protocol !== protocols.icmp || packet.payload.length < 8) return undefined;
  const type = packet.payload[0];
  const isForth = packet.source === from && packet.destination === to;
  const isBack = packet.source === to && packet.destination === from;
  if (type === icmp.echoRequest && isForth) return 'request';
  if (type === icmp.echoReply && isBack) return 'reply';
  if (type !== icmp.unreachable && type !== icmp.timeExceeded) return undefined;
  const about = readIp(packet.payload.subarray(8));
  return about?.source === from && about.destination === to ? 'unreachable' : undefined;
}

function readIp(bytes: Uint8Array | undefined): Packet | undefined {
  if (bytes === undefined || bytes.length < 20 || bytes[0]! >> 4 !== 4) return undefined;
  const header = (bytes[0]! & 15) * 4;
  const text = (at: number): string => [...bytes.subarray(at, at + 4)].join('.');
  return {
    ttl: bytes[8]!,
    protocol: bytes[9]!,
    source: text(12),
    destination: text(16),
    payload: bytes.subarray(header),
  };
}

/** What follows the Ethernet header, when it is IPv4. */
function networkPart(frame: Uint8Array): Uint8Array | undefined {
  return frame.length >= ethernetLength && word(frame, 12) === etherTypeV4
    ? frame.subarray(ethernetLength)
    : undefined;
}

const macsOf = (frame: Uint8Array): Macs => ({ destination: macText(frame, 0), source: macText(frame, 6) });
const macText = (bytes: Uint8Array, at: number): string =>
  [...bytes.subarray(at, at + 6)].map((b) => b.toString(16).padStart(2, '0')).join(':');
const word = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

const fromHex = (text: string): Uint8Array =>
  Uint8Array.from({ length: text.length >> 1 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
