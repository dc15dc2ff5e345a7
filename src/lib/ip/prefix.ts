// Prefixes: parsing (strict or masking), containment, overlap, enumeration by ordinal.
import { err, failure, ok, type Failure, type Result } from '../result.ts';
import {
  addressBits,
  addressFromBigInt,
  addressFromBytes,
  addressToBigInt,
  addressToBytes,
  compareAddresses,
  familyOf,
  parseAddress,
} from './address.ts';
import type { Address, Family, InterfaceAddress, Prefix } from './types.ts';

export type PrefixError = Failure<'BadPrefix'>;

const bad = (text: string, why: string): PrefixError =>
  failure('BadPrefix', `"${text}" is not a CIDR: ${why}.`);

/** Parses `address/length`, host bits kept. */
export function parseInterfaceAddress(text: string): Result<InterfaceAddress, PrefixError> {
  const slash = text.indexOf('/');
  if (slash < 0) return err(bad(text, 'the prefix length is missing'));
  const parsed = parseAddress(text.slice(0, slash));
  if (!parsed.ok) return err(bad(text, 'the address does not parse'));
  const lengthText = text.slice(slash + 1);
  const length = /^(0|[1-9][0-9]{0,2})$/.test(lengthText) ? Number(lengthText) : -1;
  const bits = addressBits(familyOf(parsed.value));
  if (length < 0 || length > bits) return err(bad(text, `the prefix length must be 0 to ${bits}`));
  return ok({ address: parsed.value, length });
}

/** Parses a prefix and refuses host bits that are not zero (as Calico does for pools). */
export function parsePrefix(text: string): Result<Prefix, PrefixError> {
  const parsed = parseInterfaceAddress(text);
  if (!parsed.ok) return parsed;
  const prefix = prefixOf(parsed.value.address, parsed.value.length);
  if (prefixAddress(prefix) !== parsed.value.address) {
    return err(failure('BadPrefix', `"${text}" has host bits set.`, `Did you mean ${prefix}?`));
  }
  return ok(prefix);
}

/** Parses a prefix and zeroes its host bits; a bare address becomes /32 or /128. */
export function parseNetwork(text: string): Result<Prefix, PrefixError> {
  if (!text.includes('/')) {
    const a = parseAddress(text);
    return a.ok ? ok(hostPrefix(a.value)) : err(bad(text, 'the address does not parse'));
  }
  const parsed = parseInterfaceAddress(text);
  return parsed.ok ? ok(prefixOf(parsed.value.address, parsed.value.length)) : parsed;
}

/** For constants and already validated text: throws when it is not a canonical prefix. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed.ok) throw new Error(parsed.error.message);
  return parsed.value;
}

/** The prefix of `length` bits that contains the address. */
export function prefixOf(a: Address, length: number): Prefix {
  const bytes = addressToBytes(a);
  for (let i = 0; i < bytes.length; i++) {
    const keep = Math.min(8, Math.max(0, length - i * 8));
    bytes[i] = (bytes[i] ?? 0) & (0xff << (8 - keep)) & 0xff;
  }
  return `${addressFromBytes(bytes)}/${length}` as Prefix;
}

export const hostPrefix = (a: Address): Prefix => `${a}/${addressBits(familyOf(a))}` as Prefix;
export const prefixAddress = (p: Prefix): Address => p.slice(0, p.indexOf('/')) as Address;
export const prefixLength = (p: Prefix): number => Number(p.slice(p.indexOf('/') + 1));
export const prefixFamily = (p: Prefix): Family => familyOf(p);
/** True for /32 and /128. */
export const isSingleAddress = (p: Prefix): boolean => prefixLength(p) === addressBits(prefixFamily(p));
/** Number of addresses: 2^(bits - length). */
export const prefixSize = (p: Prefix): bigint => 1n << BigInt(addressBits(prefixFamily(p)) - prefixLength(p));

export function containsAddress(p: Prefix, a: Address): boolean {
  if (prefixFamily(p) !== familyOf(a)) return false;
  const n = addressToBytes(prefixAddress(p));
  const x = addressToBytes(a);
  let left = prefixLength(p);
  for (let i = 0; left > 0; i++, left -= 8) {
    const mask = left >= 8 ? 0xff : (0xff << (8 - left)) & 0xff;
    if ((((n[i] ?? 0) ^ (x[i] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** True when every address of `inner` is in `outer` (equal prefixes too). */
export const containsPrefix = (outer: Prefix, inner: Prefix): boolean =>
  prefixLength(outer) <= prefixLength(inner) && containsAddress(outer, prefixAddress(inner));

export const prefixesOverlap = (a: Prefix, b: Prefix): boolean =>
  containsPrefix(a, b) || containsPrefix(b, a);

/** The address at `ordinal` from the first one of the prefix. Throws when outside. */
export function addressAt(p: Prefix, ordinal: number | bigint): Address {
  const n = BigInt(ordinal);
  if (n < 0n || n >= prefixSize(p)) throw new Error(`ordinal ${n} is outside ${p}`);
  return addressFromBigInt(addressToBigInt(prefixAddress(p)) + n, prefixFamily(p));
}

/** Ordinal of the address within the prefix; undefined when it is outside. */
export function ordinalOf(p: Prefix, a: Address): bigint | undefined {
  return containsAddress(p, a) ? addressToBigInt(a) - addressToBigInt(prefixAddress(p)) : undefined;
}

/** The `index`-th sub-prefix of `length` bits. Throws when outside. */
export function subPrefixAt(p: Prefix, length: number, index: number | bigint): Prefix {
  const bits = addressBits(prefixFamily(p));
  const step = 1n << BigInt(bits - length);
  const start = addressToBigInt(prefixAddress(p)) + BigInt(index) * step;
  const sub = `${addressFromBigInt(start, prefixFamily(p))}/${length}` as Prefix;
  if (length < prefixLength(p) || !containsPrefix(p, sub))
    throw new Error(`sub-prefix ${index} is outside ${p}`);
  return sub;
}

/** IPv4 before IPv6, then by address, then shorter first. */
export const comparePrefixes = (a: Prefix, b: Prefix): number =>
  compareAddresses(prefixAddress(a), prefixAddress(b)) || prefixLength(a) - prefixLength(b);
