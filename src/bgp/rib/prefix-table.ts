// Destinations of one family: prefix to number and back. Open addressing over typed arrays; a removal closes the gap it
// leaves, so that no tombstones pile up. Numbers of removed prefixes are used again.
import { addressFromBytes, type Family, type Prefix } from '../../lib/ip/mod.ts';
import { prefixWords } from '../policy/mod.ts';
import { grown, grownBytes } from './byte-sets.ts';

export class PrefixTable {
  readonly family: Family;
  w0 = new Int32Array(64);
  w1: Int32Array<ArrayBuffer>;
  w2: Int32Array<ArrayBuffer>;
  w3: Int32Array<ArrayBuffer>;
  /** Prefix length + 1; 0 = this number is free. */
  #lengths = new Uint8Array(64);
  #slots = new Int32Array(128).fill(-1);
  #free: number[] = [];
  #used = 0;

  constructor(family: Family) {
    this.family = family;
    const size = family === 6 ? 64 : 0;
    this.w1 = new Int32Array(size);
    this.w2 = new Int32Array(size);
    this.w3 = new Int32Array(size);
  }

  get size(): number {
    return this.#used - this.#free.length;
  }

  /** Numbers below this may be in use. */
  get bound(): number {
    return this.#used;
  }

  isUsed(dest: number): boolean {
    return this.#lengths[dest] !== 0;
  }

  length(dest: number): number {
    return this.#lengths[dest]! - 1;
  }

  /** Words signed or unsigned; -1 when the prefix is not there. */
  find(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashWords(w0, w1, w2, w3, length) & mask;
    for (;;) {
      const dest = this.#slots[slot]!;
      if (dest < 0) return -1;
      if (this.#matches(dest, w0 | 0, w1 | 0, w2 | 0, w3 | 0, length)) return dest;
      slot = (slot + 1) & mask;
    }
  }

  add(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const found = this.find(w0, w1, w2, w3, length);
    if (found >= 0) return found;
    const dest = this.#free.pop() ?? this.#used++;
    if (dest >= this.w0.length) this.#growColumns();
    this.w0[dest] = w0;
    if (this.family === 6) {
      this.w1[dest] = w1;
      this.w2[dest] = w2;
      this.w3[dest] = w3;
    }
    this.#lengths[dest] = length + 1;
    if (this.size * 2 > this.#slots.length) this.#rebuildSlots(this.#slots.length * 2);
    else this.#place(dest);
    return dest;
  }

  remove(dest: number): void {
    const mask = this.#slots.length - 1;
    let hole = this.#home(dest) & mask;
    while (this.#slots[hole] !== dest) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = this.#slots[slot]!;
      if (other < 0) break;
      const home = this.#home(other) & mask;
      // `other` may move into the hole unless its home lies behind the hole on the way to its slot.
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        this.#slots[hole] = other;
        hole = slot;
      }
    }
    this.#slots[hole] = -1;
    this.#lengths[dest] = 0;
    this.#free.push(dest);
  }

  findPrefix(p: Prefix): number {
    const [w0, w1, w2, w3] = prefixWords(p);
    return this.find(w0!, w1 ?? 0, w2 ?? 0, w3 ?? 0, Number(p.slice(p.indexOf('/') + 1)));
  }

  addPrefix(p: Prefix): number {
    const [w0, w1, w2, w3] = prefixWords(p);
    return this.add(w0!, w1 ?? 0, w2 ?? 0, w3 ?? 0, Number(p.slice(p.indexOf('/') + 1)));
  }

  text(dest: number): Prefix {
    const w = this.w0[dest]!;
    if (this.family === 4) {
      return `${w >>> 24}.${(w >>> 16) & 255}.${(w >>> 8) & 255}.${w & 255}/${this.length(dest)}` as Prefix;
    }
    const bytes = new Uint8Array(16);
    const view = new DataView(bytes.buffer);
    view.setInt32(0, w);
    view.setInt32(4, this.w1[dest]!);
    view.setInt32(8, this.w2[dest]!);
    view.setInt32(12, this.w3[dest]!);
    return `${addressFromBytes(bytes)}/${this.length(dest)}` as Prefix;
  }

  #matches(dest: number, w0: number, w1: number, w2: number, w3: number, length: number): boolean {
    if (this.w0[dest] !== w0 || this.#lengths[dest] !== length + 1) return false;
    return this.family === 4 || (this.w1[dest] === w1 && this.w2[dest] === w2 && this.w3[dest] === w3);
  }

  #home(dest: number): number {
    const six = this.family === 6;
    return hashWords(
      this.w0[dest]!,
      six ? this.w1[dest]! : 0,
      six ? this.w2[dest]! : 0,
      six ? this.w3[dest]! : 0,
      this.length(dest),
    );
  }

  #place(dest: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#home(dest) & mask;
    while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask;
    this.#slots[slot] = dest;
  }

  #rebuildSlots(size: number): void {
    this.#slots = new Int32Array(size).fill(-1);
    for (let dest = 0; dest < this.#used; dest++) if (this.#lengths[dest] !== 0) this.#place(dest);
  }

  #growColumns(): void {
    const size = this.w0.length * 2;
    this.w0 = grown(this.w0, size);
    this.#lengths = grownBytes(this.#lengths, size);
    if (this.family !== 6) return;
    this.w1 = grown(this.w1, size);
    this.w2 = grown(this.w2, size);
    this.w3 = grown(this.w3, size);
  }
}

function hashWords(w0: number, w1: number, w2: number, w3: number, length: number): number {
  let h = Math.imul(w0 ^ (length * 0x61c88647), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15) ^ w1, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 13) ^ w2, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 15) ^ w3, 0x85ebca6b);
  return h ^ (h >>> 16);
}
