// The overlay's doorkeeper: an eBPF program at the ingress of the device that has the node's addresses (FX-044). Overlay
// packets to this node are taken from known nodes only; where the kernel has no ipip module it unpacks IP in IP, too. Pure.
//
//   to our address, protocol 4 ─► known source? ─► outer header off, on as received by tunl0 (or on to the kernel's tunl0)
//   to our address, ICMP error about protocol 4 of ours to a known node ─► on, to the inner sender (icmp-errors.ts)
//   to our address, UDP to the VXLAN port ─► known source? ─► on to the kernel
//   the same from anybody else ─► dropped                       everything else ─► on, untouched
//
// Known sources are a binary search in code, so that the program is all there is to compare and to replace. Of protocol 4,
// fragments and headers with options are dropped where the program unpacks: a node sends none.
import { addressToBytes, type Address } from '../../../lib/ip/mod.ts';
import { Assembler, helpers, type Register } from '../../../kernel/mod.ts';
import { protocolIcmp, readIcmpError, relayIcmpError } from './icmp-errors.ts';
import {
  adjustRoom,
  context,
  endings,
  foldSum,
  ethernetBytes,
  ethernetIpv4,
  ethernetIpv6,
  frame,
  headerBytes,
  loadBytes,
  packed,
  packedWords,
  protocolIpip,
  roomFlags,
  skb,
  storeBytes,
} from './program-parts.ts';

/** First and last of a run of IPv4 addresses, as numbers. */
export type AddressRange = readonly [first: number, last: number];

export type Doorkeeping = {
  readonly v4?: {
    /** Other destinations are none of ours. */
    readonly local: Address;
    readonly sources: readonly AddressRange[];
    /** tunl0 of a kernel without the module; `guard`: the kernel unpacks itself. */
    readonly ipip?: { readonly index: number; readonly mac: Uint8Array } | 'guard';
    readonly vxlanPort?: number;
  };
  readonly v6?: {
    readonly local: Address;
    readonly sources: readonly Address[];
    readonly vxlanPort: number;
  };
};

const protocolUdp = 17;
const TO_INGRESS = 1;
const header = -48;
const scratch = -56;
/** What to do with a packet of a known source is kept here. */
const task: Register = 8;
const tasks = { pass: 0, unpack: 1, relay: 2 } as const;

export function ingressProgram({ v4, v6 }: Doorkeeping): Uint8Array {
  const a = new Assembler();
  a.compute('mov', context, { register: 1 });
  a.load(32, 1, context, skb.protocol);
  if (v4 !== undefined) a.jumpIf('eq', 1, ethernetIpv4, 'v4');
  if (v6 !== undefined) a.jumpIf('eq', 1, ethernetIpv6, 'v6');
  a.jump('next');
  if (v4 !== undefined) v4Part(a, v4);
  if (v6 !== undefined) v6Part(a, v6);
  endings(a, 'next', 'drop');
  return a.assemble();
}

function v4Part(a: Assembler, { local, sources, ipip, vxlanPort }: NonNullable<Doorkeeping['v4']>): void {
  const own = ipip !== undefined && ipip !== 'guard' ? ipip : undefined;
  a.label('v4');
  loadBytes(a, ethernetBytes, header, headerBytes, 'next');
  a.load(32, 1, frame, header + 16).jumpIf('ne', 1, packed(local), 'next');
  a.load(8, 1, frame, header + 9);
  if (ipip !== undefined) a.jumpIf('eq', 1, protocolIpip, 'ipip');
  if (own !== undefined) a.jumpIf('eq', 1, protocolIcmp, 'icmp');
  if (vxlanPort !== undefined) a.jumpIf('eq', 1, protocolUdp, 'udp');
  a.jump('next');
  if (vxlanPort !== undefined) {
    a.label('udp').compute('mov', task, tasks.pass);
    // The port is in the first fragment, without which the others are nothing.
    a.load(16, 1, frame, header + 6)
      .compute('and', 1, 0xff1f)
      .jumpIf('ne', 1, 0, 'next');
    a.load(8, 7, frame, header).compute('and', 7, 0x0f).compute('shl', 7, 2);
    a.compute('add', 7, ethernetBytes + 2);
    loadBytes(a, { register: 7 }, scratch, 2, 'next');
    a.load(16, 1, frame, scratch).toBigEndian(1, 16).jumpIf('ne', 1, vxlanPort, 'next');
    a.jump('source');
  }
  if (own !== undefined) {
    a.label('icmp').compute('mov', task, tasks.relay);
    readIcmpError(a, header, local);
    a.jump('search');
  }
  if (ipip !== undefined) {
    a.label('ipip').compute('mov', task, own === undefined ? tasks.pass : tasks.unpack);
    if (own !== undefined) {
      a.load(8, 1, frame, header).jumpIf('ne', 1, 0x45, 'drop');
      // More fragments, or not the first one.
      a.load(16, 1, frame, header + 6)
        .compute('and', 1, 0xff3f)
        .jumpIf('ne', 1, 0, 'drop');
      // The stack will not see this header any more: its checksum is ours to verify (RFC 1122 section 3.2.1.2).
      a.compute('mov', 1, 0).compute('mov', 2, 0);
      a.compute('mov', 3, { register: frame }).compute('add', 3, header);
      a.compute('mov', 4, headerBytes).compute('mov', 5, 0).call(helpers.checksumDifference);
      foldSum(a);
      a.jumpIf('ne', 0, 0xffff, 'drop');
    }
  }
  a.label('source')
    .load(32, 1, frame, header + 12)
    .toBigEndian(1, 32);
  if (own !== undefined) a.label('search');
  const ranges = merged(sources);
  searchRanges(a, 1, ranges, 's');
  // The kernel takes no code that nothing leads to.
  if (ranges.length === 0) return;
  a.label('known').jumpIf('eq', task, tasks.pass, 'next');
  if (own === undefined) {
    a.jump('next');
    return;
  }
  a.jumpIf('eq', task, tasks.relay, 'relay');
  unpackIpip(a, own);
  a.label('relay');
  relayIcmpError(a, header);
}

function unpackIpip(a: Assembler, tunnel: { readonly index: number; readonly mac: Uint8Array }): void {
  a.load(8, 7, frame, header + 1).compute('and', 7, 3);
  loadBytes(a, ethernetBytes + headerBytes, scratch, 1, 'drop');
  a.load(8, 1, frame, scratch).compute('and', 1, 0xf0).jumpIf('ne', 1, 0x40, 'drop');
  adjustRoom(a, -headerBytes, roomFlags.fixedGso | roomFlags.decapsulateV4);
  // Congestion met on the way under the outer header is told to the inner one. Whose sender would not understand the mark is
  // told by its loss (RFC 6040 section 4.2).
  a.jumpIf('ne', 7, 3, 'uncongested');
  a.compute('mov', 1, { register: context }).call(helpers.skbSetCongestion).jumpIf('eq', 0, 0, 'drop');
  a.label('uncongested');
  tunnel.mac.forEach((byte, i) => a.store(8, frame, scratch + i, byte));
  storeBytes(a, 0, scratch, 6);
  a.compute('mov', 1, tunnel.index).compute('mov', 2, TO_INGRESS).call(helpers.redirect).exit();
}

function v6Part(a: Assembler, { local, sources, vxlanPort }: NonNullable<Doorkeeping['v6']>): void {
  const fixedBytes = 40;
  a.label('v6');
  loadBytes(a, ethernetBytes, header, fixedBytes, 'next');
  a.load(8, 1, frame, header + 6).jumpIf('ne', 1, protocolUdp, 'next');
  packedWords(local).forEach((word, i) =>
    a.load(32, 1, frame, header + 24 + i * 4).jumpIf('ne', 1, word, 'next'),
  );
  loadBytes(a, ethernetBytes + fixedBytes + 2, scratch, 2, 'next');
  a.load(16, 1, frame, scratch).toBigEndian(1, 16).jumpIf('ne', 1, vxlanPort, 'next');
  // Nodes differ in the last word, mostly: that is searched, and the others compared.
  const byLastWord = new Map<number, Address[]>();
  for (const source of [...new Set(sources)].sort()) {
    const last = lastWord(source);
    byLastWord.set(last, [...(byLastWord.get(last) ?? []), source]);
  }
  const words = [...byLastWord.keys()].sort((x, y) => x - y);
  a.load(32, 1, frame, header + 20).toBigEndian(1, 32);
  search(a, 1, words, (word) => `v6 ${word}`, 't');
  for (const [word, addresses] of byLastWord) {
    a.label(`v6 ${word}`);
    addresses.forEach((address, i) => {
      const otherwise = i + 1 < addresses.length ? `v6 ${word} ${i + 1}` : 'drop';
      if (i > 0) a.label(`v6 ${word} ${i}`);
      packedWords(address)
        .slice(0, 3)
        .forEach((part, j) => a.load(32, 1, frame, header + 8 + j * 4).jumpIf('ne', 1, part, otherwise));
      a.jump('next');
    });
  }
}

function lastWord(address: Address): number {
  const bytes = addressToBytes(address);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(bytes.length - 4);
}

/** Sorted, and joined where they touch. */
function merged(ranges: readonly AddressRange[]): AddressRange[] {
  const out: [number, number][] = [];
  for (const [first, last] of ranges.toSorted((x, y) => x[0] - y[0])) {
    const before = out.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else out.push([first, last]);
  }
  return out;
}

/** Jumps to `known` when the register's value is in one of the sorted ranges, else to `drop`. */
function searchRanges(a: Assembler, register: Register, ranges: readonly AddressRange[], path: string): void {
  if (ranges.length <= 2) {
    for (const [i, [first, last]] of ranges.entries()) {
      if (first === last) {
        a.jumpIf('eq', register, first, 'known');
        continue;
      }
      a.jumpIf('lt', register, first, `${path}${i}`)
        .jumpIf('le', register, last, 'known')
        .label(`${path}${i}`);
    }
    a.jump('drop');
    return;
  }
  const middle = ranges.length >> 1;
  a.jumpIf('ge', register, ranges[middle]?.[0] ?? 0, `${path}h`);
  searchRanges(a, register, ranges.slice(0, middle), `${path}l`);
  a.label(`${path}h`);
  searchRanges(a, register, ranges.slice(middle), `${path}h`);
}

/** Jumps to the label of the value that the register has, or to `drop`. */
function search(
  a: Assembler,
  register: Register,
  sorted: readonly number[],
  label: (value: number) => string,
  path: string,
): void {
  if (sorted.length <= 3) {
    for (const value of sorted) a.jumpIf('eq', register, value, label(value));
    a.jump('drop');
    return;
  }
  const middle = sorted.length >> 1;
  a.jumpIf('ge', register, sorted[middle] ?? 0, `${path}h`);
  search(a, register, sorted.slice(0, middle), label, `${path}l`);
  a.label(`${path}h`);
  search(a, register, sorted.slice(middle), label, `${path}h`);
}
