// Reserved addresses (IPReservation, RS-035): what automatic assignment leaves alone.
import {
  type Address,
  containsAddress,
  containsPrefix,
  parseNetwork,
  type Prefix,
  prefixesOverlap,
  prefixSize,
} from '../lib/ip/mod.ts';
import type { IPReservation } from '../model/mod.ts';

export interface ReservedAddresses {
  has(address: Address): boolean;
  /** Some address of the prefix is reserved. */
  overlaps(prefix: Prefix): boolean;
  /** Every address of the prefix is reserved, by one entry or by several together. */
  covers(prefix: Prefix): boolean;
  /** Number of reserved addresses in the prefix. */
  countIn(prefix: Prefix): bigint;
}

/** Entries that do not parse are left out: validation has refused them where it could. */
export function reservedAddresses(reservations: readonly IPReservation[]): ReservedAddresses {
  const parsed = reservations
    .flatMap((r) => r.spec.reservedCIDRs ?? [])
    .map((text) => parseNetwork(text))
    .flatMap((result) => (result.ok ? [result.value] : []));
  // Entries inside others say nothing more; what is left does not overlap, so sizes can be added.
  const entries = [...new Set(parsed)].filter(
    (p, _, all) => !all.some((other) => other !== p && containsPrefix(other, p)),
  );
  const countIn = (prefix: Prefix): bigint => {
    let count = 0n;
    for (const entry of entries) {
      if (containsPrefix(entry, prefix)) return prefixSize(prefix);
      if (containsPrefix(prefix, entry)) count += prefixSize(entry);
    }
    return count;
  };
  return {
    has: (address) => entries.some((entry) => containsAddress(entry, address)),
    overlaps: (prefix) => entries.some((entry) => prefixesOverlap(entry, prefix)),
    covers: (prefix) => entries.length > 0 && countIn(prefix) === prefixSize(prefix),
    countIn,
  };
}

export const nothingReserved: ReservedAddresses = reservedAddresses([]);
