// ICMP errors from the middle of a tunnel's way, told to whom they are about. A router between two nodes answers the node, as
// the outer header is its; the error quotes that header and, behind it, the pod's packet. Part of the doorkeeper. Pure.
//
//   before   Ethernet │ IP: router ─► node │ ICMP │ quoted: IP in IP header │ the pod's packet, as much as is quoted
//   after    Ethernet │ IP: router ─► pod  │ ICMP │                           the pod's packet, as much as is quoted
//
// "Fragmentation needed" gets the MTU that is left inside; everything else becomes "host unreachable", as the pod knows nothing
// of the hops outside (RFC 2003 section 4). What the routers do not quote (RFC 1812 has them quote 576 bytes) is told to nobody.
// Whether a pod really sent what is quoted, connection tracking says on the packet's further way.
import type { Address } from '../../../lib/ip/mod.ts';
import { type Assembler, helpers } from '../../../kernel/mod.ts';
import {
  adjustRoom,
  ethernetBytes,
  foldSum,
  frame,
  headerBytes,
  loadBytes,
  packed,
  protocolIpip,
  RECOMPUTE_SUM,
  storeBytes,
} from './program-parts.ts';

export const protocolIcmp = 1;
const icmpBytes = 8;
const unreachable = 3;
const timeExceeded = 11;
const codes = { host: 1, fragmentationNeeded: 4 } as const;
/** Of a link (RFC 791). */
const leastMtu = 68;

/** On the stack: ICMP header and quoted outer header; the quoted inner one; both new headers. */
const error = -96;
const outer = error + icmpBytes;
const inner = -120;
const fresh = -152;
const freshIcmp = fresh + headerBytes;

/** Whether the packet is such an error: on with the node that the quoted packet was for in register 1, in host order; else to
 *  `next`. `header` is where the packet's IP header is on the stack. */
export function readIcmpError(a: Assembler, header: number, local: Address): void {
  a.load(8, 1, frame, header).jumpIf('ne', 1, 0x45, 'next');
  a.load(16, 1, frame, header + 6)
    .compute('and', 1, 0xff3f)
    .jumpIf('ne', 1, 0, 'next');
  loadBytes(a, ethernetBytes + headerBytes, error, icmpBytes + headerBytes, 'next');
  a.load(8, 1, frame, error).jumpIf('eq', 1, unreachable, 'error').jumpIf('ne', 1, timeExceeded, 'next');
  a.label('error').load(8, 1, frame, outer).jumpIf('ne', 1, 0x45, 'next');
  a.load(8, 1, frame, outer + 9).jumpIf('ne', 1, protocolIpip, 'next');
  a.load(32, 1, frame, outer + 12).jumpIf('ne', 1, packed(local), 'next');
  loadBytes(a, ethernetBytes + 2 * headerBytes + icmpBytes, inner, headerBytes, 'next');
  a.load(8, 1, frame, inner).compute('and', 1, 0xf0).jumpIf('ne', 1, 0x40, 'next');
  a.load(32, 1, frame, outer + 16).toBigEndian(1, 32);
}

/** Makes the packet one for the sender of the inner packet, and lets it go on. */
export function relayIcmpError(a: Assembler, header: number): void {
  for (const at of [0, 4, 8, 12])
    a.load(32, 1, frame, header + at).store(32, frame, fresh + at, { register: 1 });
  a.load(16, 1, frame, header + 2)
    .toBigEndian(1, 16)
    .compute('sub', 1, headerBytes)
    .toBigEndian(1, 16);
  a.store(16, frame, fresh + 2, { register: 1 }).store(16, frame, fresh + 10, 0);
  a.load(32, 1, frame, inner + 12).store(32, frame, fresh + 16, { register: 1 });
  a.compute('mov', 1, 0).compute('mov', 2, 0);
  a.compute('mov', 3, { register: frame }).compute('add', 3, fresh);
  a.compute('mov', 4, headerBytes).compute('mov', 5, 0).call(helpers.checksumDifference);
  foldSum(a);
  a.compute('xor', 0, 0xffff).store(16, frame, fresh + 10, { register: 0 });

  a.store(8, frame, freshIcmp, unreachable).store(8, frame, freshIcmp + 1, codes.host);
  a.store(16, frame, freshIcmp + 2, 0).store(32, frame, freshIcmp + 4, 0);
  a.load(8, 1, frame, error).jumpIf('ne', 1, unreachable, 'told');
  a.load(8, 1, frame, error + 1).jumpIf('ne', 1, codes.fragmentationNeeded, 'told');
  a.store(8, frame, freshIcmp + 1, codes.fragmentationNeeded);
  a.load(16, 1, frame, error + 6)
    .toBigEndian(1, 16)
    .jumpIf('lt', 1, leastMtu + headerBytes, 'drop');
  a.compute('sub', 1, headerBytes)
    .toBigEndian(1, 16)
    .store(16, frame, freshIcmp + 6, { register: 1 });
  // What is quoted stays in the sum as it is, right or wrong; only what goes and what comes is counted.
  a.label('told')
    .load(16, 5, frame, error + 2)
    .compute('xor', 5, 0xffff)
    .store(16, frame, error + 2, 0);
  a.compute('mov', 1, { register: frame })
    .compute('add', 1, error)
    .compute('mov', 2, icmpBytes + headerBytes);
  a.compute('mov', 3, { register: frame }).compute('add', 3, freshIcmp).compute('mov', 4, icmpBytes);
  a.call(helpers.checksumDifference);
  foldSum(a);
  a.compute('xor', 0, 0xffff).store(16, frame, freshIcmp + 2, { register: 0 });
  adjustRoom(a, -headerBytes, 0);
  storeBytes(a, ethernetBytes, fresh, headerBytes + icmpBytes, RECOMPUTE_SUM);
  a.jump('next');
}
