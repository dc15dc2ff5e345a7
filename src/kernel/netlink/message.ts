// Netlink framing: a writer of messages with nested attributes, and readers for what comes back. Pure: bytes in and out.
//
//   message    length u32 · type u16 · flags u16 · sequence u32 · port u32 · body · attributes, padded to 4
//   attribute  length u16 (header included, padding not) · type u16 (0x8000 nested, 0x4000 network order) · payload
//
// Header fields are in the byte order of the machine; every machine we run on is little-endian.
import { addressFromBytes, addressToBytes, type Address } from '../../lib/ip/mod.ts';

export const headerLength = 16;
export const align4 = (n: number): number => (n + 3) & ~3;

/** Appends messages to one growing buffer; `message`/`end` and `nest`/`endNest` pair up. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;
  #start = 0;

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** The written bytes, valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
  }

  /** Drops everything from `length` on: takes back a message that could not be finished. */
  truncate(length: number): void {
    this.#length = length;
  }

  message(type: number, flags: number, sequence: number): this {
    this.#start = this.#length;
    return this.u32(0).u16(type).u16(flags).u32(sequence).u32(0);
  }

  /** Adds flags to the message that begins at `start`. */
  addFlags(start: number, flags: number): void {
    this.#view.setUint16(start + 6, this.#view.getUint16(start + 6, true) | flags, true);
  }

  end(): this {
    this.#view.setUint32(this.#start, this.#length - this.#start, true);
    return this;
  }

  /** Starts a nested attribute; the value goes to `endNest`. */
  nest(type: number): number {
    const at = this.#length;
    this.u16(0).u16(type | 0x8000);
    return at;
  }

  /** As `nest`, without the flag: for attributes that predate it and whose readers compare the whole type. */
  plainNest(type: number): number {
    const at = this.#length;
    this.u16(0).u16(type);
    return at;
  }

  endNest(at: number): this {
    this.#view.setUint16(at, this.#length - at, true);
    return this;
  }

  attribute(type: number, payload: Uint8Array): this {
    this.u16(4 + payload.length).u16(type);
    return this.raw(payload).pad();
  }

  attributeU8(type: number, value: number): this {
    return this.u16(5).u16(type).u8(value).pad();
  }

  attributeU16(type: number, value: number): this {
    return this.u16(6).u16(type).u16(value).pad();
  }

  attributeU16be(type: number, value: number): this {
    return this.u16(6).u16(type).u16be(value).pad();
  }

  attributeU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  attributeU32be(type: number, value: number): this {
    return this.u16(8).u16(type).u32be(value);
  }

  attributeU64be(type: number, value: bigint): this {
    this.u16(12).u16(type).#reserve(8);
    this.#view.setBigUint64(this.#length, value);
    this.#length += 8;
    return this;
  }

  /** Zero-terminated text. */
  attributeString(type: number, text: string): this {
    const start = this.#length;
    this.u16(5 + text.length)
      .u16(type)
      .#reserve(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) {
        this.#length = start;
        return this.#unicode(type, text);
      }
      this.#bytes[this.#length++] = code;
    }
    return this.u8(0).pad();
  }

  #unicode(type: number, text: string): this {
    const bytes = utf8.encode(text);
    this.u16(5 + bytes.length).u16(type);
    return this.raw(bytes).u8(0).pad();
  }

  attributeAddress(type: number, a: Address): this {
    return this.attribute(type, addressToBytes(a));
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u16be(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  u32be(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  pad(): this {
    while (this.#length & 3) this.u8(0);
    return this;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** One message of a datagram: where it lies and what its header says. */
export type MessageHeader = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  /** Offset of the body, behind the header. */
  readonly start: number;
  /** Offset of the first byte behind the message. */
  readonly end: number;
};

/** Walks the messages of a datagram; stops at the first one that does not fit. */
export function* messages(view: DataView, length: number): Generator<MessageHeader> {
  let at = 0;
  while (at + headerLength <= length) {
    const size = view.getUint32(at, true);
    if (size < headerLength || at + size > length) return;
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      port: view.getUint32(at + 12, true),
      start: at + headerLength,
      end: at + size,
    };
    at += align4(size);
  }
}

/** Calls `visit(type, offset, length)` for every attribute between the offsets; flag bits of the type are cleared. */
export function attributes(
  view: DataView,
  start: number,
  end: number,
  visit: (type: number, offset: number, length: number) => void,
): void {
  let at = start;
  while (at + 4 <= end) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > end) return;
    visit(view.getUint16(at + 2, true) & 0x3fff, at + 4, size - 4);
    at += align4(size);
  }
}

export const bytesAt = (view: DataView, offset: number, length: number): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset + offset, length);

/** Text up to the first zero byte. */
export function stringAt(view: DataView, offset: number, length: number): string {
  const bytes = bytesAt(view, offset, length);
  const zero = bytes.indexOf(0);
  return text.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
}

/** The address of a 4 or 16 byte attribute. */
export function addressAt(view: DataView, offset: number, length: number): Address | undefined {
  if (length === 4) {
    const n = view.getUint32(offset);
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}` as Address;
  }
  return length === 16 ? addressFromBytes(bytesAt(view, offset, 16)) : undefined;
}

export const macAt = (view: DataView, offset: number): string =>
  Array.from(bytesAt(view, offset, 6), (b) => b.toString(16).padStart(2, '0')).join(':');

/** Six bytes; undefined when the text is no MAC address. */
export function macToBytes(mac: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) return undefined;
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}
