// Rows of the compiled form, gathered between two flushes, and the texts in them.
import type { Family } from '../../../../lib/ip/mod.ts';
import type { NftRow, NftTableFamily } from '../../nftables.ts';
import type { RowChanges } from './types.ts';

export const nftFamily = (family: Family): NftTableFamily => (family === 4 ? 'ip' : 'ip6');
export const addressType = (family: Family): string => (family === 4 ? 'ipv4_addr' : 'ipv6_addr');
export const classText = (number: number): string => `0x${number.toString(16).padStart(8, '0')}`;
export const rangeText = (first: number, last: number): string =>
  first === last ? String(first) : `${first}-${last}`;

/** What is put and dropped; the last word about a key counts. */
export class RowCollector {
  #put = new Map<string, NftRow>();
  #dropped = new Set<string>();

  put(key: string, row: NftRow): void {
    this.#dropped.delete(key);
    this.#put.set(key, row);
  }

  drop(key: string): void {
    this.#put.delete(key);
    this.#dropped.add(key);
  }

  take(): RowChanges {
    const changes = { put: this.#put, drop: this.#dropped };
    this.#put = new Map();
    this.#dropped = new Set();
    return changes;
  }
}
