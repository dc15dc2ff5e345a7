// What the overlay's eBPF programs share: fields of the kernel's structures, and steps that occur in both.
import { addressToBytes, type Address } from '../../../lib/ip/mod.ts';
import { type Assembler, helpers, type Register } from '../../../kernel/mod.ts';

/** The kernel demands the GPL of programs that look routes up; these may be used under the MIT licence as well. */
export const programLicence = 'Dual MIT/GPL';

export const headerBytes = 20;
export const ethernetBytes = 14;
export const protocolIpip = 4;
/** Fields of struct __sk_buff, of which a program gets the pointer in register 1. */
export const skb = { length: 0, protocol: 16, interfaceIndex: 40 } as const;
/** ETH_P_IP and ETH_P_IPV6 as they lie in memory. */
export const ethernetIpv4 = 0x0008;
export const ethernetIpv6 = 0xdd86;
/** `next`: on to other filters, and to the stack. */
export const verdict = { next: -1, drop: 2 } as const;
export const roomFlags = { fixedGso: 1, encapsulateV4: 2, decapsulateV4: 128 } as const;
export const RECOMPUTE_SUM = 1;
const AT_MAC = 1;

export const frame: Register = 10;
/** The pointer to the packet is kept here. */
export const context: Register = 6;

/** Words of an address as registers hold them after a load from a packet. */
export function packedWords(address: Address): number[] {
  const bytes = addressToBytes(address);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4, true));
}
export const packed = (address: Address): number => packedWords(address)[0] ?? 0;

/** Bytes of the packet to the stack; jumps when the packet is shorter. `offset`: a number, or a register. */
export function loadBytes(
  a: Assembler,
  offset: number | { readonly register: Register },
  to: number,
  length: number,
  otherwise: string,
): void {
  a.compute('mov', 1, { register: context }).compute('mov', 2, offset);
  a.compute('mov', 3, { register: frame }).compute('add', 3, to);
  a.compute('mov', 4, length).call(helpers.skbLoadBytes).jumpIf('ne', 0, 0, otherwise);
}

/** Bytes of the stack to the packet; jumps to `drop` when that fails. Network cards may have summed what came in, of which the
 *  stack then wants to know every change behind the Ethernet header. */
export function storeBytes(a: Assembler, offset: number, from: number, length: number, flags = 0): void {
  a.compute('mov', 1, { register: context }).compute('mov', 2, offset);
  a.compute('mov', 3, { register: frame }).compute('add', 3, from);
  a.compute('mov', 4, length).compute('mov', 5, flags).call(helpers.skbStoreBytes).jumpIf('ne', 0, 0, 'drop');
}

/** Makes room behind the Ethernet header, or takes it away; jumps to `drop` when that fails. */
export function adjustRoom(a: Assembler, bytes: number, flags: number): void {
  a.compute('mov', 1, { register: context }).compute('mov', 2, bytes);
  a.compute('mov', 3, AT_MAC).compute('mov', 4, flags).call(helpers.skbAdjustRoom).jumpIf('ne', 0, 0, 'drop');
}

/** Register 0 from 32 bits of a sum in ones' complement to 16. */
export function foldSum(a: Assembler): void {
  for (let fold = 0; fold < 2; fold++) {
    a.compute('mov', 1, { register: 0 }).compute('shr', 1, 16);
    a.compute('and', 0, 0xffff).compute('add', 0, { register: 1 });
  }
}

export function endings(a: Assembler, ...names: readonly (keyof typeof verdict)[]): void {
  for (const name of names) a.label(name).compute('mov', 0, verdict[name]).exit();
}
