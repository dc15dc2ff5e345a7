// The data types of nftables: their numbers in set definitions, their lengths, and values as text and as bytes.
// Bytes here are always in network order. The kernel keeps marks, states and the like in the machine's order; who writes a
// register or a set element converts (`toHostOrder`).
import { addressFromBytes, parseAddressBytes } from '../../lib/ip/mod.ts';
import { macToBytes } from '../netlink/message.ts';

export type NftDataType = {
  readonly name: string;
  readonly id: number;
  /** Bytes. */
  readonly length: number;
  readonly order: 'network' | 'host' | 'text';
  /** undefined when the text is no value of the type. */
  parse(text: string): Uint8Array | undefined;
  format(bytes: Uint8Array): string;
};

type Names = Readonly<Record<string, number>>;

const number = (text: string, length: number): Uint8Array | undefined => {
  if (!numeric.test(text)) return undefined;
  const value = Number(text);
  return value < 2 ** (8 * length) ? numberToBytes(value, length) : undefined;
};

const numeric = /^(0x[0-9a-fA-F]+|0|[1-9][0-9]*)$/;

export function numberToBytes(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

export function bytesToNumber(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}

function named(
  name: string,
  id: number,
  length: number,
  order: NftDataType['order'],
  names: Names = {},
  otherwise: (value: number) => string = String,
): NftDataType {
  const byNumber = new Map(Object.entries(names).map(([text, value]) => [value, text]));
  return {
    name,
    id,
    length,
    order,
    parse: (text) => {
      const known = Object.hasOwn(names, text) ? names[text] : undefined;
      return known === undefined ? number(text, length) : numberToBytes(known, length);
    },
    format: (bytes) => {
      const value = bytesToNumber(bytes);
      return byNumber.get(value) ?? otherwise(value);
    },
  };
}

const address = (name: string, id: number, length: 4 | 16): NftDataType => ({
  name,
  id,
  length,
  order: 'network',
  parse: (text) => {
    const bytes = parseAddressBytes(text);
    return bytes?.length === length ? bytes : undefined;
  },
  format: addressFromBytes,
});

export const ifnameLength = 16;
const ifname: NftDataType = {
  name: 'ifname',
  id: 41,
  length: ifnameLength,
  order: 'text',
  parse: (text) => {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length === 0 || bytes.length >= ifnameLength || /[\s/*]/.test(text)) return undefined;
    const padded = new Uint8Array(ifnameLength);
    padded.set(bytes);
    return padded;
  },
  format: (bytes) => {
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  },
};

const etherAddress: NftDataType = {
  name: 'ether_addr',
  id: 9,
  length: 6,
  order: 'network',
  parse: macToBytes,
  format: (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(':'),
};

const protocols = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
};
const icmpTypes = {
  'echo-reply': 0,
  'destination-unreachable': 3,
  'source-quench': 4,
  redirect: 5,
  'echo-request': 8,
  'router-advertisement': 9,
  'router-solicitation': 10,
  'time-exceeded': 11,
  'parameter-problem': 12,
  'timestamp-request': 13,
  'timestamp-reply': 14,
};
const icmpv6Types = {
  'destination-unreachable': 1,
  'packet-too-big': 2,
  'time-exceeded': 3,
  'parameter-problem': 4,
  'echo-request': 128,
  'echo-reply': 129,
  'mld-listener-query': 130,
  'mld-listener-report': 131,
  'mld-listener-done': 132,
  'nd-router-solicit': 133,
  'nd-router-advert': 134,
  'nd-neighbor-solicit': 135,
  'nd-neighbor-advert': 136,
  'nd-redirect': 137,
  'mld2-listener-report': 143,
};
export const icmpCodes: Names = {
  'net-unreachable': 0,
  'host-unreachable': 1,
  'prot-unreachable': 2,
  'port-unreachable': 3,
  'frag-needed': 4,
  'net-prohibited': 9,
  'host-prohibited': 10,
  'admin-prohibited': 13,
};
export const icmpv6Codes: Names = {
  'no-route': 0,
  'admin-prohibited': 1,
  'addr-unreachable': 3,
  'port-unreachable': 4,
  'policy-fail': 5,
  'reject-route': 6,
};
export const icmpxCodes: Names = {
  'no-route': 0,
  'port-unreachable': 1,
  'host-unreachable': 2,
  'admin-prohibited': 3,
};
const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ecn: 64, cwr: 128 };
const states = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 };
const statuses = { expected: 1, 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 };
const addressTypes = {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
};
const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

const all: readonly NftDataType[] = [
  named('nf_proto', 2, 1, 'host', { ipv4: 2, ipv6: 10 }),
  address('ipv4_addr', 7, 4),
  address('ipv6_addr', 8, 16),
  etherAddress,
  named('inet_proto', 12, 1, 'network', protocols),
  named('inet_service', 13, 2, 'network'),
  named('icmp_type', 14, 1, 'network', icmpTypes),
  named('tcp_flag', 15, 1, 'network', tcpFlags),
  named('mark', 19, 4, 'host', {}, hex),
  named('iface_index', 20, 4, 'host'),
  named('ct_state', 26, 4, 'host', states),
  named('ct_dir', 27, 1, 'host', { original: 0, reply: 1 }),
  named('ct_status', 28, 4, 'host', statuses),
  named('icmpv6_type', 29, 1, 'network', icmpv6Types),
  named('pkt_type', 31, 1, 'host', { host: 0, unicast: 0, broadcast: 1, multicast: 2, other: 3 }),
  named('icmp_code', 32, 1, 'network', icmpCodes),
  named('icmpv6_code', 33, 1, 'network', icmpv6Codes),
  named('fib_addrtype', 38, 4, 'host', addressTypes),
  ifname,
];

const byName = new Map(all.map((type) => [type.name, type]));
const byId = new Map(all.map((type) => [type.id, type]));

export const dataType = (name: string): NftDataType | undefined => byName.get(name);
export const dataTypeOf = (id: number): NftDataType | undefined => byId.get(id);

/** For names that the module itself writes. */
export function knownType(name: string): NftDataType {
  const type = byName.get(name);
  if (type === undefined) throw new Error(`unknown nftables data type ${name}`);
  return type;
}

/** The name of a protocol as elements are read back, or its number. */
export const nftProtocolName = (protocol: number): string =>
  knownType('inet_proto').format(Uint8Array.of(protocol));

/** A value as the kernel holds it in a register: host-order types reversed. */
export const toHostOrder = (type: NftDataType, bytes: Uint8Array): Uint8Array =>
  type.order === 'host' ? bytes.slice().reverse() : bytes;

/** Values of `ip dscp set`. */
export const dscpNames: Names = {
  ...Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`cs${i}`, i * 8])),
  ...Object.fromEntries(
    [1, 2, 3, 4].flatMap((c) => [1, 2, 3].map((drop) => [`af${c}${drop}`, c * 8 + drop * 2])),
  ),
  be: 0,
  df: 0,
  lephb: 1,
  va: 0x2c,
  ef: 0x2e,
};

/** Both ends included. */
export type Range = { readonly from: Uint8Array; readonly to: Uint8Array };

/** `10.0.0.0/8`, `10.0.0.1-10.0.0.9`, `80-90` or a single value. */
export function parseRange(type: NftDataType, text: string): Range | undefined {
  const single = type.parse(text);
  if (single !== undefined) return { from: single, to: single };
  const slash = /^(.+)\/([0-9]{1,3})$/.exec(text);
  if (slash !== null && (type.name === 'ipv4_addr' || type.name === 'ipv6_addr')) {
    const from = type.parse(slash[1] ?? '');
    const length = Number(slash[2]);
    if (from === undefined || length > type.length * 8) return undefined;
    const mask = prefixMask(type.length, length);
    // Host bits would silently widen or narrow what the author meant.
    if (from.some((byte, i) => (byte & ~(mask[i] ?? 0) & 0xff) !== 0)) return undefined;
    return { from, to: from.map((byte, i) => byte | (~(mask[i] ?? 0) & 0xff)) };
  }
  const dash = text.indexOf('-', 1);
  if (dash < 0 || type.order === 'text') return undefined;
  const from = type.parse(text.slice(0, dash));
  const to = type.parse(text.slice(dash + 1));
  return from === undefined || to === undefined || compareBytes(from, to) > 0 ? undefined : { from, to };
}

/** The shortest text of a range: one value, a prefix, or both ends. */
export function formatRange(type: NftDataType, range: Range): string {
  if (compareBytes(range.from, range.to) === 0) return type.format(range.from);
  const length = prefixLengthOf(range);
  if (length !== undefined && (type.name === 'ipv4_addr' || type.name === 'ipv6_addr'))
    return `${type.format(range.from)}/${length}`;
  return `${type.format(range.from)}-${type.format(range.to)}`;
}

export function prefixMask(bytes: number, length: number): Uint8Array {
  const mask = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) {
    const keep = Math.min(8, Math.max(0, length - i * 8));
    mask[i] = (0xff << (8 - keep)) & 0xff;
  }
  return mask;
}

/** Bits of the prefix that covers exactly the range. */
export function prefixLengthOf(range: Range): number | undefined {
  const { from, to } = range;
  let length = 0;
  while (length < from.length * 8 && bit(from, length) === bit(to, length)) length++;
  for (let i = length; i < from.length * 8; i++) if (bit(from, i) !== 0 || bit(to, i) !== 1) return undefined;
  return length;
}

const bit = (bytes: Uint8Array, i: number): number => ((bytes[i >> 3] ?? 0) >> (7 - (i & 7))) & 1;

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** `bytes + 1`; undefined when all bits are set. */
export function successor(bytes: Uint8Array): Uint8Array | undefined {
  const next = bytes.slice();
  for (let i = next.length - 1; i >= 0; i--) {
    next[i] = ((next[i] ?? 0) + 1) & 0xff;
    if (next[i] !== 0) return next;
  }
  return undefined;
}

export function predecessor(bytes: Uint8Array): Uint8Array {
  const before = bytes.slice();
  for (let i = before.length - 1; i >= 0; i--) {
    before[i] = ((before[i] ?? 0) + 255) & 0xff;
    if (before[i] !== 255) break;
  }
  return before;
}
