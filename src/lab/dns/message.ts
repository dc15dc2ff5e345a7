// Messages of DNS (RFC 1035) as bytes: one question in, an answer out. Only what a server for a zone of addresses, names
// and services needs.
import { addressToBytes, type Address } from '../../lib/ip/mod.ts';

export type Question = {
  readonly id: number;
  /** In lower case, without the last dot. */
  readonly name: string;
  /** The name as it was asked: answers repeat its letters. */
  readonly asked: string;
  readonly type: number;
  readonly class: number;
  readonly recursionDesired: boolean;
  /** How many bytes the client takes by UDP. */
  readonly maxBytes: number;
  readonly hasExtension: boolean;
};

export const recordTypes = {
  A: 1,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  ANY: 255,
} as const;
export const codes = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
} as const;

export type DnsRecord = { readonly name: string; readonly ttl: number } & (
  | { readonly type: 'A' | 'AAAA'; readonly address: Address }
  | { readonly type: 'CNAME' | 'PTR'; readonly target: string }
  | { readonly type: 'TXT'; readonly text: string }
  | {
      readonly type: 'SRV';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: 'SOA'; readonly server: string; readonly mailbox: string; readonly serial: number }
);

export type Answer = {
  readonly code: number;
  readonly answers: readonly DnsRecord[];
  readonly authority: readonly DnsRecord[];
  readonly additional: readonly DnsRecord[];
};

const headerBytes = 12;
const plainLimit = 512;

/** The question of a message, or the code to refuse it with; undefined for what is no question at all. */
export function readQuestion(
  bytes: Uint8Array,
): Question | { readonly refuse: number; readonly id: number } | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const id = view.getUint16(0);
  const flags = view.getUint16(2);
  if ((flags & 0x8000) !== 0) return undefined;
  if (((flags >> 11) & 15) !== 0) return { refuse: codes.notImplemented, id };
  if (view.getUint16(4) !== 1) return { refuse: codes.formatError, id };
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = bytes[at];
    // A question comes first: there is nothing yet that a pointer could point to.
    if (length === undefined || length > 63) return { refuse: codes.formatError, id };
    at++;
    if (length === 0) break;
    if (at + length > bytes.length || at > headerBytes + 255) return { refuse: codes.formatError, id };
    labels.push(String.fromCharCode(...bytes.subarray(at, at + length)));
    at += length;
  }
  if (at + 4 > bytes.length) return { refuse: codes.formatError, id };
  const asked = labels.join('.');
  const extension = readExtension(view, at + 4);
  return {
    id,
    name: asked.toLowerCase(),
    asked,
    type: view.getUint16(at),
    class: view.getUint16(at + 2),
    recursionDesired: (flags & 0x0100) !== 0,
    maxBytes: Math.max(plainLimit, extension ?? plainLimit),
    hasExtension: extension !== undefined,
  };
}

/** The size an OPT record behind the question offers (RFC 6891). */
function readExtension(view: DataView, at: number): number | undefined {
  const additional = view.getUint16(10);
  if (view.getUint16(6) !== 0 || view.getUint16(8) !== 0 || additional === 0) return undefined;
  if (at + 11 > view.byteLength || view.getUint8(at) !== 0) return undefined;
  return view.getUint16(at + 1) === recordTypes.OPT ? view.getUint16(at + 3) : undefined;
}

/** The message; cut after whole records where it is longer than `limit` bytes, which TC tells. */
export function writeAnswer(question: Question, answer: Answer, limit: number): Uint8Array {
  const writer = new Writer();
  const isAuthoritative = answer.code !== codes.refused;
  writer.u16(question.id).u16(0).u16(1).u16(0).u16(0).u16(0);
  writer.name(question.asked).u16(question.type).u16(question.class);
  const optionBytes = question.hasExtension ? 11 : 0;
  const counts = [0, 0, 0];
  let isCut = false;
  for (const [section, records] of [answer.answers, answer.authority, answer.additional].entries())
    for (const record of records) {
      if (isCut) break;
      const before = writer.length;
      writer.record(record);
      if (writer.length + optionBytes > limit) {
        writer.cut(before);
        // What is additional may be missing; the rest must be asked for by TCP.
        isCut = section < 2;
        break;
      }
      counts[section] = (counts[section] ?? 0) + 1;
    }
  if (question.hasExtension) {
    writer.u8(0).u16(recordTypes.OPT).u16(1232).u16(0).u16(0).u16(0);
    counts[2] = (counts[2] ?? 0) + 1;
  }
  const flags =
    0x8000 |
    (isAuthoritative ? 0x0400 : 0) |
    (isCut ? 0x0200 : 0) |
    (question.recursionDesired ? 0x0100 : 0) |
    answer.code;
  return writer.finish(flags, counts);
}

/** A refusal of something that could not be read as a question. */
export function writeRefusal(id: number, code: number): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  new DataView(bytes.buffer).setUint16(0, id);
  new DataView(bytes.buffer).setUint16(2, 0x8000 | code);
  return bytes;
}

class Writer {
  #bytes: number[] = [];
  /** Where names, and their ends, stand already (RFC 1035 section 4.1.4). */
  readonly #names = new Map<string, number>();

  get length(): number {
    return this.#bytes.length;
  }

  u8(value: number): this {
    this.#bytes.push(value & 255);
    return this;
  }

  u16(value: number): this {
    return this.u8(value >> 8).u8(value);
  }

  name(text: string): this {
    let rest = text;
    while (rest !== '') {
      const at = this.#names.get(rest);
      if (at !== undefined) return this.u16(0xc000 | at);
      if (this.length < 0x4000) this.#names.set(rest, this.length);
      const dot = rest.indexOf('.');
      const label = dot < 0 ? rest : rest.slice(0, dot);
      this.u8(label.length);
      for (let i = 0; i < label.length; i++) this.u8(label.charCodeAt(i));
      rest = dot < 0 ? '' : rest.slice(dot + 1);
    }
    return this.u8(0);
  }

  record(record: DnsRecord): void {
    this.name(record.name).u16(recordTypes[record.type]).u16(1);
    this.u16(record.ttl >> 16).u16(record.ttl);
    const lengthAt = this.length;
    this.u16(0);
    this.#data(record);
    const length = this.length - lengthAt - 2;
    this.#bytes[lengthAt] = length >> 8;
    this.#bytes[lengthAt + 1] = length & 255;
  }

  #data(record: DnsRecord): void {
    switch (record.type) {
      case 'A':
      case 'AAAA':
        for (const byte of addressToBytes(record.address)) this.u8(byte);
        return;
      case 'CNAME':
      case 'PTR':
        this.name(record.target);
        return;
      case 'TXT':
        this.u8(record.text.length);
        for (let i = 0; i < record.text.length; i++) this.u8(record.text.charCodeAt(i));
        return;
      case 'SRV':
        this.u16(record.priority).u16(record.weight).u16(record.port);
        // Targets are not compressed (RFC 2782).
        for (const label of record.target.split('.')) {
          this.u8(label.length);
          for (let i = 0; i < label.length; i++) this.u8(label.charCodeAt(i));
        }
        this.u8(0);
        return;
      case 'SOA': {
        this.name(record.server).name(record.mailbox);
        const [refresh, retry, expire, minimum] = [7200, 1800, 86_400, record.ttl];
        for (const value of [record.serial, refresh, retry, expire, minimum])
          this.u16(value >>> 16).u16(value & 0xffff);
      }
    }
  }

  cut(length: number): void {
    this.#bytes.length = length;
    for (const [name, at] of this.#names) if (at >= length) this.#names.delete(name);
  }

  finish(flags: number, counts: readonly number[]): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes);
    const view = new DataView(bytes.buffer);
    view.setUint16(2, flags);
    for (const [i, count] of counts.entries()) view.setUint16(6 + 2 * i, count);
    return bytes;
  }
}
