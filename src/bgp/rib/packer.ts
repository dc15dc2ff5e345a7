// A batch as UPDATE messages in one buffer that all receivers share. Each receiver gets the buffer but for its own routes:
// messages that hold only those are skipped, a message that mixes them with others is written again without them.
import { headerLength, messageType, writeHeader, writeNlri } from '../packet/mod.ts';
import type { Batch } from './batch.ts';
import type { ByteSets } from './byte-sets.ts';
import type { PeerId } from './types.ts';
import type { PrefixTable } from './prefix-table.ts';

type Message = { readonly start: number; readonly end: number; readonly from: number; readonly to: number };
/** Entries [from, to) of one source, as a flat list. */
type Stretches = Map<PeerId, number[]>;

export type PackOptions = { readonly addPath: boolean; readonly messageLimit: number };

/** Up to here the space for header, lengths and the MP_UNREACH_NLRI stub always suffices. */
const overhead = 40;
const longestNlri = 21;

export class Packer {
  readonly #outgoing: ByteSets;
  #scratch = new Uint8Array(1 << 16);
  #at = 0;

  constructor(outgoing: ByteSets) {
    this.#outgoing = outgoing;
  }

  /** The batch must be sorted; `own` are the receivers whose own routes have to be left out. */
  pack(batch: Batch, prefixes: PrefixTable, options: PackOptions, own: ReadonlySet<PeerId>): Packed {
    this.#at = 0;
    const messages: Message[] = [];
    const stretches: Stretches = new Map();
    for (let i = 0; i < batch.count; ) {
      let end = i + 1;
      while (end < batch.count && batch.out[end] === batch.out[i]) end++;
      this.#packSet(batch, prefixes, options, i, end, messages);
      noteStretches(batch, i, end, own, stretches);
      i = end;
    }
    const buffer = this.#scratch.slice(0, this.#at);
    return new Packed(this, batch, prefixes, options, buffer, messages, stretches);
  }

  /** One message again, without the entries in [skipFrom, skipTo). */
  repack(
    batch: Batch,
    prefixes: PrefixTable,
    options: PackOptions,
    message: Message,
    skip: readonly [number, number],
  ): Uint8Array {
    this.#at = 0;
    this.#write(batch, prefixes, options, message.from, message.to, skip);
    return this.#scratch.slice(0, this.#at);
  }

  #packSet(
    batch: Batch,
    prefixes: PrefixTable,
    options: PackOptions,
    from: number,
    to: number,
    messages: Message[],
  ): void {
    for (let i = from; i < to; ) {
      const start = this.#at;
      const next = this.#write(batch, prefixes, options, i, to, [-1, -1]);
      messages.push({ start, end: this.#at, from: i, to: next });
      i = next;
    }
  }

  /** Writes one message with as many entries of [from, to) as fit; gives the first entry that did not. */
  #write(
    batch: Batch,
    prefixes: PrefixTable,
    { addPath, messageLimit }: PackOptions,
    from: number,
    to: number,
    [skipFrom, skipTo]: readonly [number, number],
  ): number {
    const out = batch.out[from]!;
    const six = prefixes.family === 6;
    const attributes = out === 0 ? undefined : this.#outgoing.bytes(out);
    const start = this.#at;
    this.#reserve((attributes?.length ?? 0) + overhead);
    const bytes = this.#scratch;
    // Positions of the message's parts: IPv4 keeps prefixes in their own fields, IPv6 inside the first attribute.
    let rest: Uint8Array | undefined;
    let at = start + headerLength;
    bytes[at++] = 0;
    bytes[at++] = 0;
    if (out !== 0 || six) {
      bytes[at++] = 0;
      bytes[at++] = 0;
    }
    if (attributes !== undefined) {
      const stub = six ? 4 + ((attributes[2]! << 8) | attributes[3]!) : attributes.length;
      bytes.set(attributes.subarray(0, stub), at);
      rest = attributes.subarray(stub);
      at += stub;
    } else if (six) {
      bytes.set([0x90, 15, 0, 0, 0, 2, 1], at);
      at += 7;
    }
    const prefixesStart = at;
    const limit = start + messageLimit - (rest?.length ?? 0) - 2;
    this.#at = at;
    let entry = from;
    for (; entry < to; entry++) {
      if (entry >= skipFrom && entry < skipTo) continue;
      const dest = batch.dest[entry]!;
      const length = prefixes.length(dest);
      const size = 1 + ((length + 7) >> 3) + (addPath ? 4 : 0);
      if (this.#at + size > limit) break;
      this.#reserve(longestNlri + (rest?.length ?? 0) + 2);
      this.#at = writeNlri(
        this.#scratch,
        this.#at,
        prefixes.w0[dest]!,
        six ? prefixes.w1[dest]! : 0,
        six ? prefixes.w2[dest]! : 0,
        six ? prefixes.w3[dest]! : 0,
        length,
        addPath ? batch.pathId[entry]! : -1,
      );
    }
    this.#finish(start, prefixesStart, out, six, rest);
    return entry;
  }

  #finish(
    start: number,
    prefixesStart: number,
    out: number,
    six: boolean,
    rest: Uint8Array | undefined,
  ): void {
    const bytes = this.#scratch;
    const body = start + headerLength;
    if (out === 0 && !six) {
      put16(bytes, body, this.#at - prefixesStart);
      put16(bytes, this.#at, 0);
      this.#at += 2;
    } else if (six) {
      put16(bytes, body + 6, this.#at - body - 8);
      if (rest !== undefined) {
        bytes.set(rest, this.#at);
        this.#at += rest.length;
      }
      put16(bytes, body + 2, this.#at - body - 4);
    } else put16(bytes, body + 2, prefixesStart - body - 4);
    writeHeader(bytes, start, this.#at - start, messageType.update);
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#scratch.length) return;
    const next = new Uint8Array(this.#scratch.length * 2 + size);
    next.set(this.#scratch);
    this.#scratch = next;
  }
}

/** Messages of one batch, ready to be handed out. */
export class Packed {
  readonly #packer: Packer;
  readonly #batch: Batch;
  readonly #prefixes: PrefixTable;
  readonly #options: PackOptions;
  readonly #buffer: Uint8Array;
  readonly #messages: readonly Message[];
  readonly #stretches: Stretches;

  constructor(
    packer: Packer,
    batch: Batch,
    prefixes: PrefixTable,
    options: PackOptions,
    buffer: Uint8Array,
    messages: readonly Message[],
    stretches: Stretches,
  ) {
    this.#packer = packer;
    this.#batch = batch;
    this.#prefixes = prefixes;
    this.#options = options;
    this.#buffer = buffer;
    this.#messages = messages;
    this.#stretches = stretches;
  }

  get messageCount(): number {
    return this.#messages.length;
  }

  /** The bytes for a receiver, own routes left out. Only while the batch is unchanged. */
  for(peer: PeerId): Uint8Array[] {
    const stretches = this.#stretches.get(peer);
    if (stretches === undefined) return this.#buffer.length === 0 ? [] : [this.#buffer];
    const chunks: Uint8Array[] = [];
    let shared = 0;
    let stretch = 0;
    for (const message of this.#messages) {
      while (stretch < stretches.length && stretches[stretch + 1]! <= message.from) stretch += 2;
      const from = stretches[stretch] ?? Number.POSITIVE_INFINITY;
      if (from >= message.to) continue;
      const to = stretches[stretch + 1]!;
      if (message.start > shared) chunks.push(this.#buffer.subarray(shared, message.start));
      shared = message.end;
      if (from <= message.from && to >= message.to) continue;
      chunks.push(this.#packer.repack(this.#batch, this.#prefixes, this.#options, message, [from, to]));
    }
    if (shared < this.#buffer.length) chunks.push(this.#buffer.subarray(shared));
    return chunks;
  }
}

function noteStretches(
  batch: Batch,
  from: number,
  to: number,
  own: ReadonlySet<PeerId>,
  into: Stretches,
): void {
  for (let i = from; i < to; ) {
    const source = batch.source[i]!;
    let end = i + 1;
    while (end < to && batch.source[end] === source) end++;
    if (source >= 0 && own.has(source)) {
      const list = into.get(source);
      if (list === undefined) into.set(source, [i, end]);
      else list.push(i, end);
    }
    i = end;
  }
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}
