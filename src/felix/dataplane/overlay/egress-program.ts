// IP in IP (RFC 2003) where the kernel has no ipip module, outbound: an eBPF program at the egress of the device that stands in
// for tunl0. Pure: an address in, machine code out.
//
//   pod ─► route "via NODE dev tunl0 onlink" ─► egress of tunl0: which gateway has the packet's route? ─► outer header in
//   front ─► out of the device that leads to the gateway
//
// Routes alone say where packets go, as with the kernel's own tunl0: whoever writes them (Felix, a BGP engine, a person)
// needs to know nothing of this. Packets that the kernel will cut later (GSO) pass whole; the kernel repeats the outer
// header on every piece.
import type { Address } from '../../../lib/ip/mod.ts';
import { Assembler, helpers } from '../../../kernel/mod.ts';
import {
  adjustRoom,
  context,
  endings,
  foldSum,
  ethernetBytes,
  ethernetIpv4,
  frame,
  headerBytes,
  loadBytes,
  packed,
  protocolIpip,
  roomFlags,
  skb,
  storeBytes,
} from './program-parts.ts';

const ttl = 64;
/** struct bpf_fib_lookup */
const fib = { bytes: 64, family: 0, protocol: 1, interfaceIndex: 8, source: 16, destination: 32 } as const;
const FIB_OUTPUT = 2;
const fibSuccess = 0;
const fibNoNeighbour = 7;
const fibTooBig = 8;
const AF_INET = 2;

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
  a.compute('mov', 9, { register: 0 });
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
  foldSum(a);
  a.compute('xor', 0, 0xffff).store(16, frame, outer + 10, { register: 0 });

  adjustRoom(a, headerBytes, roomFlags.fixedGso | roomFlags.encapsulateV4);
  storeBytes(a, ethernetBytes, outer, headerBytes);
  a.compute('mov', 1, { register: 8 });
  // A packet that waits for the neighbour's address goes on by the route that it carries. Where no next hop is given, the
  // kernel looks that up anew, for the outer header; else it would be that of tunl0, which brought it here.
  a.compute('mov', 2, 0).compute('mov', 3, 0).compute('mov', 4, 0);
  a.jumpIf('eq', 9, fibNoNeighbour, 'send');
  a.compute('mov', 2, { register: frame }).compute('add', 2, nextHop);
  a.compute('mov', 3, headerBytes);
  a.label('send').call(helpers.redirectNeighbour).exit();
  endings(a, 'drop');
  return a.assemble();
}
