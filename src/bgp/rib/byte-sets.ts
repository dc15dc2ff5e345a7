// Interned byte strings: equal contents share one number. Contents live in one arena. Users of a number are counted; one
// without users stays findable until `sweep`, so that a set which comes back at once costs nothing, and a number is never
// given to other contents between two sweeps.
export class ByteSets {
  #arena = new Uint8Array(1 << 14);
  // An entry's end is never 0: 0 there says that the number is free.
  #arenaUsed = 1;
  #arenaLive = 0;
  #start = new Int32Array(64);
  #end = new Int32Array(64);
  #hash = new Int32Array(64);
  /** Users per number. Number 0 is never used. */
  refs = new Int32Array(64);
  #slots = new Int32Array(128);
  #free: number[] = [];
  #used = 1;
  #dead = 0;

  /** Numbers below this may be in use. */
  get bound(): number {
    return this.#used;
  }

  get size(): number {
    return this.#used - 1 - this.#free.length;
  }

  /** Entries that a sweep would free (an upper bound). */
  get dead(): number {
    return this.#dead;
  }

  /** The number of the contents, without counting a user. Negative when it is new: -number. */
  intern(bytes: Uint8Array): number {
    const hash = hashBytes(bytes);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const id = this.#slots[slot]!;
      if (id === 0) break;
      if (this.#hash[id] === hash && this.#equals(id, bytes)) return id;
      slot = (slot + 1) & mask;
    }
    return -this.#add(bytes, hash);
  }

  acquire(id: number): void {
    if (this.refs[id]!++ === 0) this.#dead--;
  }

  release(id: number): void {
    if (--this.refs[id]! === 0) this.#dead++;
  }

  /** A view into the arena: valid until the next `intern` or `sweep`. */
  bytes(id: number): Uint8Array {
    return this.#arena.subarray(this.#start[id], this.#end[id]);
  }

  /** Frees every entry without users. `onFree` is told each number before it goes. */
  sweep(onFree: (id: number) => void): void {
    for (let id = 1; id < this.#used; id++) {
      if (this.refs[id] !== 0 || this.#end[id] === 0) continue;
      onFree(id);
      this.#arenaLive -= this.#end[id]! - this.#start[id]!;
      this.#end[id] = 0;
      this.#free.push(id);
    }
    this.#dead = 0;
    this.#rebuildSlots(this.#slots.length);
  }

  #equals(id: number, bytes: Uint8Array): boolean {
    const start = this.#start[id]!;
    if (this.#end[id]! - start !== bytes.length) return false;
    for (let i = 0; i < bytes.length; i++) if (this.#arena[start + i] !== bytes[i]) return false;
    return true;
  }

  #add(bytes: Uint8Array, hash: number): number {
    if (this.#arenaUsed + bytes.length > this.#arena.length) this.#growArena(bytes.length);
    const id = this.#free.pop() ?? this.#used++;
    if (id >= this.refs.length) this.#growColumns();
    this.#arena.set(bytes, this.#arenaUsed);
    this.#start[id] = this.#arenaUsed;
    this.#arenaUsed += bytes.length;
    this.#arenaLive += bytes.length;
    this.#end[id] = this.#arenaUsed;
    this.#hash[id] = hash;
    this.refs[id] = 0;
    this.#dead++;
    if (this.size * 2 > this.#slots.length) this.#rebuildSlots(this.#slots.length * 2);
    else this.#place(id);
    return id;
  }

  #place(id: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hash[id]! & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = id;
  }

  #rebuildSlots(size: number): void {
    this.#slots = new Int32Array(size);
    for (let id = 1; id < this.#used; id++) if (this.#end[id] !== 0) this.#place(id);
  }

  #growColumns(): void {
    const size = this.refs.length * 2;
    this.refs = grown(this.refs, size);
    this.#start = grown(this.#start, size);
    this.#end = grown(this.#end, size);
    this.#hash = grown(this.#hash, size);
  }

  /** Moves the living contents to a new arena, twice the size when less than half of the old one was garbage. */
  #growArena(wanted: number): void {
    let size = this.#arena.length;
    while (this.#arenaLive + wanted > size / 2) size *= 2;
    const next = new Uint8Array(size);
    let at = 1;
    for (let id = 1; id < this.#used; id++) {
      if (this.#end[id] === 0) continue;
      const start = this.#start[id]!;
      const length = this.#end[id]! - start;
      next.set(this.#arena.subarray(start, start + length), at);
      this.#start[id] = at;
      at += length;
      this.#end[id] = at;
    }
    this.#arena = next;
    this.#arenaUsed = at;
  }
}

/** A copy of the column with room for `size`. */
export function grown(column: Int32Array<ArrayBuffer>, size: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(size);
  next.set(column);
  return next;
}

export function grownBytes(column: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(size);
  next.set(column);
  return next;
}

/** FNV-1a with a final mix, 32 bits signed. */
function hashBytes(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h ^ (h >>> 15);
}
