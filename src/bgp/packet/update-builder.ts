// Writing UPDATEs: one attribute set and as many prefixes as a message takes, or withdrawals only. IPv4 uses the message's
// own fields, IPv6 uses MP_REACH_NLRI (first of the attributes) and MP_UNREACH_NLRI.
import { prefixLength, type Family } from '../../lib/ip/mod.ts';
import { writeHeader } from './header.ts';
import { nlriSize, wordsOfPrefix, writeNlri } from './nlri.ts';
import { afi, attributeCode, attributeFlag, headerLength, messageType, safi, type Nlri } from './types.ts';

/** Builds one UPDATE at a time in its own buffer. Begin it, add prefixes until `add` says that it is full, finish it. */
export class UpdateBuilder {
  readonly #bytes: Uint8Array;
  readonly #limit: number;
  #at = 0;
  /** What follows the prefixes: the attributes behind MP_REACH_NLRI. */
  #rest: Uint8Array = new Uint8Array(0);
  #kind: 'announce' | 'withdraw' = 'announce';
  #family: Family = 4;
  #prefixesStart = 0;
  #addPath = false;

  /** `limit`: 4096, or 65535 with the extended message capability. */
  constructor(limit: number) {
    this.#limit = limit;
    this.#bytes = new Uint8Array(limit);
  }

  /** `attributes` are those of `encodeAttributes`: with NEXT_HOP for IPv4, with `mp-reach` for IPv6. False when they
   *  alone fill a message: such a route cannot be sent. */
  beginAnnounce(family: Family, attributes: Uint8Array, addPath: boolean): boolean {
    this.#begin('announce', family, addPath);
    // Room for one prefix of full length must be left.
    if (headerLength + 4 + attributes.length + 21 > this.#limit) return false;
    const bytes = this.#bytes;
    bytes[headerLength] = 0;
    bytes[headerLength + 1] = 0;
    this.#at = headerLength + 4;
    if (family === 4) {
      bytes.set(attributes, this.#at);
      this.#at += attributes.length;
      this.#rest = attributes.subarray(0, 0);
    } else {
      const stub = 4 + (((attributes[2] ?? 0) << 8) | (attributes[3] ?? 0));
      bytes.set(attributes.subarray(0, stub), this.#at);
      this.#at += stub;
      this.#rest = attributes.subarray(stub);
    }
    this.#prefixesStart = this.#at;
    return true;
  }

  beginWithdraw(family: Family, addPath: boolean): void {
    this.#begin('withdraw', family, addPath);
    const bytes = this.#bytes;
    this.#at = headerLength + 2;
    if (family === 6) {
      bytes[headerLength] = 0;
      bytes[headerLength + 1] = 0;
      const at = headerLength + 4;
      bytes[at] = attributeFlag.optional | attributeFlag.extendedLength;
      bytes[at + 1] = attributeCode.mpUnreach;
      bytes[at + 4] = afi.ipv6 >> 8;
      bytes[at + 5] = afi.ipv6;
      bytes[at + 6] = safi.unicast;
      this.#at = at + 7;
    }
    this.#rest = bytes.subarray(0, 0);
    this.#prefixesStart = this.#at;
  }

  /** False when the message is full; the prefix was not taken. */
  add(word0: number, word1: number, word2: number, word3: number, length: number, pathId: number): boolean {
    // The withdrawn form of IPv4 is followed by two octets of attribute length.
    const tail = this.#rest.length + 2;
    if (this.#at + nlriSize(length, this.#addPath) + tail > this.#limit) return false;
    const id = this.#addPath ? pathId : -1;
    this.#at = writeNlri(this.#bytes, this.#at, word0, word1, word2, word3, length, id);
    return true;
  }

  get isEmpty(): boolean {
    return this.#at === this.#prefixesStart;
  }

  /** A copy of the finished message. */
  finish(): Uint8Array {
    const bytes = this.#bytes;
    const attributes = headerLength + 4;
    if (this.#kind === 'withdraw' && this.#family === 4) {
      this.#put16(headerLength, this.#at - this.#prefixesStart);
      this.#put16(this.#at, 0);
      this.#at += 2;
    } else if (this.#family === 4) {
      this.#put16(headerLength + 2, this.#prefixesStart - attributes);
    } else {
      this.#put16(attributes + 2, this.#at - attributes - 4);
      bytes.set(this.#rest, this.#at);
      this.#at += this.#rest.length;
      this.#put16(headerLength + 2, this.#at - attributes);
    }
    writeHeader(bytes, 0, this.#at, messageType.update);
    return bytes.slice(0, this.#at);
  }

  #begin(kind: 'announce' | 'withdraw', family: Family, addPath: boolean): void {
    this.#kind = kind;
    this.#family = family;
    this.#addPath = addPath;
  }

  #put16(at: number, value: number): void {
    this.#bytes[at] = value >> 8;
    this.#bytes[at + 1] = value;
  }
}

export type UpdateContent = {
  readonly family: Family;
  /** As `beginAnnounce` takes them; not needed when only withdrawing. */
  readonly attributes?: Uint8Array;
  readonly announced?: readonly Nlri[];
  readonly withdrawn?: readonly Nlri[];
};

/** The UPDATEs for lists of prefixes: withdrawals first. Prefixes whose attributes fill a message are left out. */
export function encodeUpdates(
  content: UpdateContent,
  options: { readonly addPath: boolean; readonly limit: number },
): Uint8Array[] {
  const { family, attributes, announced = [], withdrawn = [] } = content;
  const builder = new UpdateBuilder(options.limit);
  const messages: Uint8Array[] = [];
  const fill = (list: readonly Nlri[], begin: () => void): void => {
    if (list.length === 0) return;
    begin();
    for (const { prefix, pathId } of list) {
      const [w0, w1, w2, w3] = wordsOfPrefix(prefix);
      const length = prefixLength(prefix);
      if (builder.add(w0, w1, w2, w3, length, pathId)) continue;
      messages.push(builder.finish());
      begin();
      builder.add(w0, w1, w2, w3, length, pathId);
    }
    messages.push(builder.finish());
  };
  fill(withdrawn, () => builder.beginWithdraw(family, options.addPath));
  if (attributes !== undefined && builder.beginAnnounce(family, attributes, options.addPath))
    fill(announced, () => void builder.beginAnnounce(family, attributes, options.addPath));
  return messages;
}

/** The marker that the first transfer of a family's table is complete (RFC 4724). */
export function encodeEndOfRib(family: Family): Uint8Array {
  const builder = new UpdateBuilder(64);
  builder.beginWithdraw(family, false);
  return builder.finish();
}
