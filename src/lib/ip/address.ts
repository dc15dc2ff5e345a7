// Parsing, printing and arithmetic of single addresses. Strict: no leading zeros in IPv4 (they are octal elsewhere),
// no zone identifiers, IPv4-mapped IPv6 stays IPv6.
import { err, failure, ok, type Failure, type Result } from '../result.ts';
import type { Address, Family } from './types.ts';

export type AddressError = Failure<'BadAddress'>;

const bad = (text: string, why: string): AddressError =>
  failure('BadAddress', `"${text}" is not an IP address: ${why}.`);

/** Parses and canonicalises. `10.0.0.1`, `2001:DB8::1` → `2001:db8::1`. */
export function parseAddress(text: string): Result<Address, AddressError> {
  const bytes = text.includes(':') ? parseV6(text) : parseV4(text);
  if (bytes === undefined)
    return err(bad(text, 'expected four decimal numbers or colon-separated hexadecimal groups'));
  return ok(addressFromBytes(bytes));
}

export const isAddress = (text: string): boolean =>
  (text.includes(':') ? parseV6(text) : parseV4(text)) !== undefined;

/** For constants and already validated text: throws when it is not an address. */
export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
}

export const familyOf = (a: string): Family => (a.includes(':') ? 6 : 4);
/** Bits of an address of the family: 32 or 128. */
export const addressBits = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** The bytes of a text that is an address, canonical or not. */
export const parseAddressBytes = (text: string): Uint8Array | undefined =>
  text.includes(':') ? parseV6(text) : parseV4(text);

/** 4 or 16 bytes in network order. */
export function addressToBytes(a: Address): Uint8Array {
  const bytes = a.includes(':') ? parseV6(a) : parseV4(a);
  if (bytes === undefined) throw new Error(`not a canonical address: ${a}`);
  return bytes;
}

/** The canonical text of 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Address;
  if (bytes.length !== 16) throw new Error(`an address has 4 or 16 bytes, not ${bytes.length}`);
  return formatV6(bytes) as Address;
}

/** Unsigned integer value of the address. */
export function addressToBigInt(a: Address): bigint {
  let n = 0n;
  for (const b of addressToBytes(a)) n = (n << 8n) | BigInt(b);
  return n;
}

export function addressFromBigInt(n: bigint, family: Family): Address {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  let rest = BigInt.asUintN(addressBits(family), n);
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return addressFromBytes(bytes);
}

/** `a + n`; undefined when it leaves the address space. */
export function addToAddress(a: Address, n: number | bigint): Address | undefined {
  const family = familyOf(a);
  const sum = addressToBigInt(a) + BigInt(n);
  if (sum < 0n || sum >> BigInt(addressBits(family)) !== 0n) return undefined;
  return addressFromBigInt(sum, family);
}

/** IPv4 as an unsigned 32-bit number. */
export function v4ToNumber(a: Address): number {
  const b = addressToBytes(a);
  return (((b[0] ?? 0) << 24) | ((b[1] ?? 0) << 16) | ((b[2] ?? 0) << 8) | (b[3] ?? 0)) >>> 0;
}

export const v4FromNumber = (n: number): Address =>
  `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}` as Address;

/** IPv4 before IPv6, then by value. */
export function compareAddresses(a: Address, b: Address): number {
  const fa = familyOf(a);
  const fb = familyOf(b);
  if (fa !== fb) return fa - fb;
  const x = addressToBytes(a);
  const y = addressToBytes(b);
  for (let i = 0; i < x.length; i++) {
    const d = (x[i] ?? 0) - (y[i] ?? 0);
    if (d !== 0) return d;
  }
  return 0;
}

function parseV4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let part = 0;
  let value = 0;
  let digits = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === dot) {
      if (digits === 0 || part === 3) return undefined;
      bytes[part++] = value;
      value = 0;
      digits = 0;
      continue;
    }
    if (code < zero || code > zero + 9 || (digits > 0 && value === 0)) return undefined;
    value = value * 10 + code - zero;
    digits++;
    if (value > 255) return undefined;
  }
  if (digits === 0 || part !== 3) return undefined;
  bytes[3] = value;
  return bytes;
}
const dot = 0x2e;
const zero = 0x30;

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const present = head.length + tail.length;
  if (halves.length === 1 ? present !== 8 : present > 7) return undefined;
  const bytes = new Uint8Array(16);
  head.forEach((g, i) => writeGroup(bytes, i, g));
  tail.forEach((g, i) => writeGroup(bytes, 8 - tail.length + i, g));
  return bytes;
}

function writeGroup(bytes: Uint8Array, index: number, group: number): void {
  bytes[index * 2] = group >>> 8;
  bytes[index * 2 + 1] = group & 255;
}

/** The 16-bit groups of one side of `::`; a dotted IPv4 tail is allowed at the very end of the address. */
function groupsOf(side: string, mayEndInV4: boolean): number[] | undefined {
  if (side === '') return [];
  const groups: number[] = [];
  const parts = side.split(':');
  for (const [i, part] of parts.entries()) {
    if (mayEndInV4 && i === parts.length - 1 && part.includes('.')) {
      const v4 = parseV4(part);
      if (v4 === undefined) return undefined;
      groups.push(((v4[0] ?? 0) << 8) | (v4[1] ?? 0), ((v4[2] ?? 0) << 8) | (v4[3] ?? 0));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function formatV6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  if (groups.slice(0, 5).every((g) => g === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  }
  const run = longestZeroRun(groups);
  const hex = (list: number[]) => list.map((g) => g.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= 8; i++) {
    if (i < 8 && groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
