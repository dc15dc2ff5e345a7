// Changes to be told to the members of a group: columns, sorted by attribute set and then by source peer, so that what a
// peer must not hear (its own routes) is one stretch of each set.
import { grown } from './byte-sets.ts';

/** Largest number of entries: sorting packs set, source and position into one 53-bit number. */
export const batchLimit = 32768;

export class Batch {
  dest = new Int32Array(256);
  /** 0 on sessions without ADD-PATH. */
  pathId = new Int32Array(256);
  /** Encoded attribute set; 0 = withdraw. */
  out = new Int32Array(256);
  /** The peer that is not told; -1 = everybody is. */
  source = new Int32Array(256);
  count = 0;

  add(dest: number, pathId: number, out: number, source: number): void {
    if (this.count === this.dest.length) {
      const size = this.count * 2;
      this.dest = grown(this.dest, size);
      this.pathId = grown(this.pathId, size);
      this.out = grown(this.out, size);
      this.source = grown(this.source, size);
    }
    const at = this.count++;
    this.dest[at] = dest;
    this.pathId[at] = pathId;
    this.out[at] = out;
    this.source[at] = source;
  }

  clear(): void {
    this.count = 0;
  }

  /** By set (withdrawals first), then source; order of arrival within. */
  sort(): void {
    const { count, out, source } = this;
    let sorted = true;
    for (let i = 1; i < count && sorted; i++) {
      if (out[i]! < out[i - 1]! || (out[i] === out[i - 1] && source[i]! < source[i - 1]!)) sorted = false;
    }
    if (sorted) return;
    const keys = new Float64Array(count);
    for (let i = 0; i < count; i++) keys[i] = (out[i]! * 16384 + source[i]! + 1) * batchLimit + i;
    keys.sort();
    const order = new Int32Array(count);
    for (let i = 0; i < count; i++) order[i] = keys[i]! % batchLimit;
    this.dest = reordered(this.dest, order);
    this.pathId = reordered(this.pathId, order);
    this.out = reordered(this.out, order);
    this.source = reordered(this.source, order);
  }
}

function reordered(column: Int32Array<ArrayBuffer>, order: Int32Array): Int32Array<ArrayBuffer> {
  const next = new Int32Array(Math.max(order.length, 256));
  for (let i = 0; i < order.length; i++) next[i] = column[order[i]!]!;
  return next;
}
