// How a node says unasked that it is the one to send to for an address: a gratuitous ARP request (RFC 5227), or a neighbour
// advertisement to all nodes of the link (RFC 4861, section 7.2.6). Pure: bytes of a frame.
//
//   ARP   Ethernet → ff:ff:ff:ff:ff:ff │ hardware 1 · protocol 0x0800 · 6 · 4 · request │ our MAC, address │ 0, address
//   NDP   Ethernet → 33:33:00:00:00:01 │ IPv6, hop limit 255, to ff02::1 │ ICMPv6 136 · override · address · option 2: our MAC
import { address, addressToBytes, familyOf, type Address } from '../../../lib/ip/mod.ts';

const etherTypes = { arp: 0x0806, ipv6: 0x86dd } as const;
const broadcast = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const allNodes = address('ff02::1');
const allNodesMac = [0x33, 0x33, 0, 0, 0, 1];
const icmpv6 = 58;
/** Ethernet, IPv4, lengths of their addresses, a request. */
const arpHeader = [0, 1, 8, 0, 6, 4, 0, 1];
const noMac = [0, 0, 0, 0, 0, 0];
const neighbourAdvertisement = 136;
const override = 0x20;
const targetLinkLayerAddress = 2;
const advertisementBytes = 32;
const ipv6Header = [0x60, 0, 0, 0, 0, advertisementBytes, icmpv6, 255];
const advertisementHeader = [neighbourAdvertisement, 0, 0, 0, override, 0, 0, 0];

/** `source`: an IPv6 address of the interface, which an advertisement comes from. */
export function announcement(
  announced: Address,
  mac: readonly number[],
  source: Address | undefined,
): Uint8Array | undefined {
  if (familyOf(announced) === 4) return gratuitousArp(announced, mac);
  return source === undefined ? undefined : advertisement(announced, mac, source);
}

function gratuitousArp(announced: Address, mac: readonly number[]): Uint8Array {
  const own = addressToBytes(announced);
  return Uint8Array.from([
    ...ethernet(broadcast, mac, etherTypes.arp),
    ...arpHeader,
    ...mac,
    ...own,
    ...noMac,
    ...own,
  ]);
}

function advertisement(announced: Address, mac: readonly number[], source: Address): Uint8Array {
  const from = addressToBytes(source);
  const to = addressToBytes(allNodes);
  const message = Uint8Array.from([
    ...advertisementHeader,
    ...addressToBytes(announced),
    targetLinkLayerAddress,
    1,
    ...mac,
  ]);
  const pseudoHeader = [...from, ...to, 0, 0, 0, advertisementBytes, 0, 0, 0, icmpv6];
  const sum = checksum([...pseudoHeader, ...message]);
  message[2] = sum >>> 8;
  message[3] = sum & 0xff;
  return Uint8Array.from([
    ...ethernet(allNodesMac, mac, etherTypes.ipv6),
    ...ipv6Header,
    ...from,
    ...to,
    ...message,
  ]);
}

const ethernet = (to: readonly number[], from: readonly number[], type: number): number[] => [
  ...to,
  ...from,
  type >>> 8,
  type & 0xff,
];

/** Ones' complement of the sum of 16-bit words (RFC 1071), of an even number of bytes. */
function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
