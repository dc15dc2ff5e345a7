// Rows of policy on their way into the nftables table of the dataplane, and the words both sides share.
import { isSingleAddress, prefixAddress, type Family, type Prefix } from '../../../../lib/ip/mod.ts';
import type { NftRow, NftTableFamily } from '../../nftables.ts';

/** Takes rows into the table and out of it. */
export type RowSink = {
  /** Gives the row's key, or takes it from who has it at hand. An equal row changes nothing. */
  put(row: NftRow, key?: string): string;
  drop(key: string): void;
};

export const nftFamily = (family: Family): NftTableFamily => (family === 4 ? 'ip' : 'ip6');
export const addressType = (family: Family): string => (family === 4 ? 'ipv4_addr' : 'ipv6_addr');

/** As an element of a set is written. */
export const elementText = (net: Prefix): string => (isSingleAddress(net) ? prefixAddress(net) : net);

/** Rows by who wants them: `replace` puts the new ones and drops those that are no longer wanted. */
export class OwnedRows {
  readonly #sink: RowSink;
  readonly #keys = new Map<string, readonly string[]>();

  constructor(sink: RowSink) {
    this.#sink = sink;
  }

  replace(owner: string, rows: readonly NftRow[]): void {
    const before = this.#keys.get(owner) ?? [];
    const after = rows.map((row) => this.#sink.put(row));
    const kept = new Set(after);
    for (const key of before) if (!kept.has(key)) this.#sink.drop(key);
    if (after.length === 0) this.#keys.delete(owner);
    else this.#keys.set(owner, after);
  }

  keysOf(owner: string): readonly string[] {
    return this.#keys.get(owner) ?? [];
  }

  *owners(): Generator<string> {
    yield* this.#keys.keys();
  }
}
