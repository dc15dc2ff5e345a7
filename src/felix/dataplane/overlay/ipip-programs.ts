// IP in IP (RFC 2003) where the kernel has no ipip module: two eBPF programs that make an ordinary device behave as tunl0.
// Pure: addresses in, machine code out. Both may also be used under the MIT licence or the GPL, as the kernel demands of
// programs that look routes up.
//
//   out   pod ─► route "via NODE dev tunl0 onlink" ─► egress of tunl0:  which gateway has the route? ─► outer header
//                in front ─► out of the device that leads to the gateway
//   in    underlay ─► its ingress: protocol 4, for us, from a known node? ─► outer header off ─► ingress of tunl0
//
// Routes alone say where packets go, as with the kernel's own tunl0: whoever writes them (Felix, a BGP engine, a person)
// needs to know nothing of this. Packets that the kernel will cut later (GSO) pass whole; the kernel repeats the outer
// header on every piece. Protocol 4 from strangers, in fragments or with options is dropped.
import { addressToBytes, type Address } from '../../../lib/ip/mod.ts';
import { Assembler, helpers, type Register } from '../../../kernel/mod.ts';

export const programLicence = 'Dual MIT/GPL';

const headerBytes = 20;
const ethernetBytes = 14;
const protocolIpip = 4;
const ttl = 64;

/** Fields of struct __sk_buff, of which a program gets the pointer in register 1. */
const skb = { length: 0, protocol: 16, interfaceIndex: 40 } as const;
/** ETH_P_IP as it lies in memory. */
const ethernetIpv4 = 0x0008;
const verdict = { next: -1, drop: 2 } as const;
/** struct bpf_fib_lookup */
const fib = { bytes: 64, family: 0, protocol: 1, interfaceIndex: 8, source: 16, destination: 32 } as const;
const FIB_OUTPUT = 2;
const fibSuccess = 0;
const fibNoNeighbour = 7;
const fibTooBig = 8;
const AF_INET = 2;
const AT_MAC = 1;
const FIXED_GSO = 1;
const ENCAPSULATE_V4 = 2;
const DECAPSULATE_V4 = 128;
const TO_INGRESS = 1;

const frame: Register = 10;
const context: Register = 6;

/** The address as a register holds it after a load from a packet. */
const packed = (address: Address): number =>
  new DataView(addressToBytes(address).buffer.slice(0)).getUint32(0, true);
const ordered = (address: Address): number =>
  new DataView(addressToBytes(address).buffer.slice(0)).getUint32(0, false);

/** For the egress of tunl0. `local` is the source of the outer header. */
export function encapsulationProgram(local: Address): Uint8Array {
  const inner = -24;
  const lookup = -88;
  const outer = -112;
  const nextHop = -136;
  const a = new Assembler();
  const clearLookup = (): void => {
    for (let at = 0; at < fib.bytes; at += 8) a.store(64, frame, lookup + at, 0);
    a.store(8, frame, lookup + fib.family, AF_INET);
    a.load(32, 1, context, skb.interfaceIndex).store(32, frame, lookup + fib.interfaceIndex, { register: 1 });
  };
  const look = (flags: number, found: string): void => {
    a.compute('mov', 1, { register: context });
    a.compute('mov', 2, { register: frame }).compute('add', 2, lookup);
    a.compute('mov', 3, fib.bytes).compute('mov', 4, flags).call(helpers.fibLookup);
    for (const answer of [fibSuccess, fibNoNeighbour, fibTooBig]) a.jumpIf('eq', 0, answer, found);
    a.jump('drop').label(found);
  };

  a.compute('mov', context, { register: 1 });
  a.load(32, 1, context, skb.protocol).jumpIf('ne', 1, ethernetIpv4, 'drop');
  loadBytes(a, ethernetBytes, inner, headerBytes, 'drop');

  // The gateway of the packet's route is the node to send to.
  clearLookup();
  a.load(32, 1, frame, inner + 12).store(32, frame, lookup + fib.source, { register: 1 });
  a.load(32, 1, frame, inner + 16).store(32, frame, lookup + fib.destination, { register: 1 });
  look(FIB_OUTPUT, 'routed');
  a.load(32, 7, frame, lookup + fib.destination);

  // How is that node reached?
  clearLookup();
  a.store(8, frame, lookup + fib.protocol, protocolIpip);
  a.store(32, frame, lookup + fib.source, packed(local));
  a.store(32, frame, lookup + fib.destination, { register: 7 });
  look(0, 'reachable');
  a.load(32, 8, frame, lookup + fib.interfaceIndex);
  a.load(32, 1, context, skb.interfaceIndex).jumpIf('eq', 8, { register: 1 }, 'drop');
  for (let at = 0; at < 24; at += 8) a.store(64, frame, nextHop + at, 0);
  a.store(32, frame, nextHop, AF_INET);
  a.load(32, 1, frame, lookup + fib.destination).store(32, frame, nextHop + 4, { register: 1 });

  // TOS, identification and "don't fragment" are the packet's own, as the kernel's tunl0 has it.
  a.store(8, frame, outer, 0x45)
    .load(8, 1, frame, inner + 1)
    .store(8, frame, outer + 1, { register: 1 });
  a.load(32, 1, context, skb.length)
    .compute('add', 1, headerBytes - ethernetBytes)
    .toBigEndian(1, 16);
  a.store(16, frame, outer + 2, { register: 1 });
  a.load(16, 1, frame, inner + 4).store(16, frame, outer + 4, { register: 1 });
  a.load(16, 1, frame, inner + 6)
    .compute('and', 1, 0x0040)
    .store(16, frame, outer + 6, { register: 1 });
  a.store(8, frame, outer + 8, ttl).store(8, frame, outer + 9, protocolIpip);
  a.store(16, frame, outer + 10, 0).store(32, frame, outer + 12, packed(local));
  a.store(32, frame, outer + 16, { register: 7 });
  a.compute('mov', 1, 0).compute('mov', 2, 0);
  a.compute('mov', 3, { register: frame }).compute('add', 3, outer);
  a.compute('mov', 4, headerBytes).compute('mov', 5, 0).call(helpers.checksumDifference);
  for (let fold = 0; fold < 2; fold++) {
    a.compute('mov', 1, { register: 0 }).compute('shr', 1, 16);
    a.compute('and', 0, 0xffff).compute('add', 0, { register: 1 });
  }
  a.compute('xor', 0, 0xffff).store(16, frame, outer + 10, { register: 0 });

  adjustRoom(a, headerBytes, FIXED_GSO | ENCAPSULATE_V4);
  storeBytes(a, ethernetBytes, outer, headerBytes);
  a.compute('mov', 1, { register: 8 });
  a.compute('mov', 2, { register: frame }).compute('add', 2, nextHop);
  a.compute('mov', 3, headerBytes).compute('mov', 4, 0).call(helpers.redirectNeighbour).exit();
  a.label('drop').compute('mov', 0, verdict.drop).exit();
  return a.assemble();
}

export type Decapsulation = {
  /** The destination of outer headers: everything else is not for us. */
  readonly local: Address;
  /** From whom protocol 4 is taken. */
  readonly sources: readonly Address[];
  readonly tunnel: { readonly index: number; readonly mac: Uint8Array };
};

/** For the ingress of the device that has the node's address. */
export function decapsulationProgram({ local, sources, tunnel }: Decapsulation): Uint8Array {
  const outer = -24;
  const mac = -32;
  const a = new Assembler();
  a.compute('mov', context, { register: 1 });
  a.load(32, 1, context, skb.protocol).jumpIf('ne', 1, ethernetIpv4, 'next');
  loadBytes(a, ethernetBytes, outer, headerBytes, 'next');
  a.load(8, 1, frame, outer + 9).jumpIf('ne', 1, protocolIpip, 'next');
  a.load(32, 1, frame, outer + 16).jumpIf('ne', 1, packed(local), 'next');
  a.load(8, 1, frame, outer).jumpIf('ne', 1, 0x45, 'drop');
  // More fragments, or not the first one.
  a.load(16, 1, frame, outer + 6)
    .compute('and', 1, 0xff3f)
    .jumpIf('ne', 1, 0, 'drop');
  a.load(32, 1, frame, outer + 12).toBigEndian(1, 32);
  searchTree(
    a,
    1,
    [...new Set(sources.map(ordered))].sort((x, y) => x - y),
  );
  a.label('known');
  a.load(8, 7, frame, outer + 1).compute('and', 7, 3);
  loadBytes(a, ethernetBytes + headerBytes, mac, 1, 'drop');
  a.load(8, 1, frame, mac).compute('and', 1, 0xf0).jumpIf('ne', 1, 0x40, 'drop');
  adjustRoom(a, -headerBytes, FIXED_GSO | DECAPSULATE_V4);
  // Congestion met on the way under the outer header is told to the inner one (RFC 6040).
  a.jumpIf('ne', 7, 3, 'uncongested');
  a.compute('mov', 1, { register: context }).call(helpers.skbSetCongestion).label('uncongested');
  tunnel.mac.forEach((byte, i) => a.store(8, frame, mac + i, byte));
  storeBytes(a, 0, mac, 6);
  a.compute('mov', 1, tunnel.index).compute('mov', 2, TO_INGRESS).call(helpers.redirect).exit();
  a.label('next').compute('mov', 0, verdict.next).exit();
  a.label('drop').compute('mov', 0, verdict.drop).exit();
  return a.assemble();
}

/** Goes on to `known` when the register's value is in the sorted list, else to `drop`: a binary search in code, so that
 *  the program is all there is to compare and to replace. */
function searchTree(a: Assembler, register: Register, sorted: readonly number[], path = 's'): void {
  if (sorted.length <= 3) {
    for (const value of sorted) a.jumpIf('eq', register, value, 'known');
    a.jump('drop');
    return;
  }
  const middle = sorted.length >> 1;
  a.jumpIf('ge', register, sorted[middle] as number, `${path}h`);
  searchTree(a, register, sorted.slice(0, middle), `${path}l`);
  a.label(`${path}h`);
  searchTree(a, register, sorted.slice(middle), `${path}h`);
}

function loadBytes(a: Assembler, offset: number, to: number, length: number, otherwise: string): void {
  a.compute('mov', 1, { register: context }).compute('mov', 2, offset);
  a.compute('mov', 3, { register: frame }).compute('add', 3, to);
  a.compute('mov', 4, length).call(helpers.skbLoadBytes).jumpIf('ne', 0, 0, otherwise);
}

function storeBytes(a: Assembler, offset: number, from: number, length: number): void {
  a.compute('mov', 1, { register: context }).compute('mov', 2, offset);
  a.compute('mov', 3, { register: frame }).compute('add', 3, from);
  a.compute('mov', 4, length).compute('mov', 5, 0).call(helpers.skbStoreBytes).jumpIf('ne', 0, 0, 'drop');
}

function adjustRoom(a: Assembler, bytes: number, flags: number): void {
  a.compute('mov', 1, { register: context }).compute('mov', 2, bytes);
  a.compute('mov', 3, AT_MAC).compute('mov', 4, flags).call(helpers.skbAdjustRoom).jumpIf('ne', 0, 0, 'drop');
}
