// SPDY/3.1, the server's half: how kubectl up to 1.30 carries exec and attach, and every kubectl carries port-forward.
// Streams are opened by the client only. Flow control is TCP's: Kubernetes' clients ignore windows, so a stream that
// nobody reads stops the session instead of growing in memory.
//
//   control   1 version(15) type(16) · flags(8) length(24) · payload
//   data      0 stream(31)           · flags(8) length(24) · payload
//
// Headers come compressed, in one zlib stream per direction that starts with a dictionary. What this side sends is
// zlib's stored form: the few bytes are not worth a compressor.
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { createInflate, constants, type Inflate } from 'node:zlib';
import { spdyDictionary } from './spdy-dictionary.ts';

const type = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;
const version = 3;
const flagFin = 1;
const protocolError = 1;
const refusedStream = 3;
const longestControlBytes = 64 * 1024;
const longestDataBytes = 4 * 1024 * 1024;
const mostHeaderBytes = 64 * 1024;
const mostStreams = 1024;
const pieceBytes = 64 * 1024;

export type SpdyHeaders = Readonly<Record<string, string>>;

/** One stream: read what the client sends, write what it gets; ending the writable side is the stream's FIN. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #session: SpdySession;
  #wantsMore: (() => void) | undefined;

  constructor(session: SpdySession, id: number, headers: SpdyHeaders) {
    super({ allowHalfOpen: true });
    this.#session = session;
    this.id = id;
    this.headers = headers;
    this.on('error', () => undefined);
  }

  override _read(): void {
    this.#wantsMore?.();
    this.#wantsMore = undefined;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#session.sendData(this.id, chunk, false, done);
  }

  override _final(done: () => void): void {
    this.#session.sendData(this.id, Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this._read();
    this.#session.forget(this.id, !this.writableFinished);
    done(error);
  }

  /** Hands bytes to the reader; resolves when it has room again. */
  async deliver(bytes: Buffer): Promise<void> {
    if (this.destroyed || this.readableEnded || this.push(bytes)) return;
    await new Promise<void>((resolve) => {
      this.#wantsMore = resolve;
    });
  }
}

export class SpdySession {
  readonly #transport: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #inflate: Inflate;
  #inflated: Buffer[] = [];
  #inflatedBytes = 0;
  #sentHeaders = false;
  #closed = false;
  /** Fulfilled when the session is over. */
  readonly closed: Promise<void>;

  constructor(transport: Duplex, head: Buffer, onStream: (stream: SpdyStream) => void) {
    this.#transport = transport;
    this.#onStream = onStream;
    this.#inflate = createInflate({ dictionary: spdyDictionary(), finishFlush: constants.Z_SYNC_FLUSH });
    this.#inflate.on('data', (chunk: Buffer) => {
      this.#inflatedBytes += chunk.length;
      if (this.#inflatedBytes <= mostHeaderBytes) this.#inflated.push(chunk);
    });
    this.#inflate.on('error', () => undefined);
    if (head.length > 0) transport.unshift(head);
    transport.on('error', () => undefined);
    this.closed = this.#run();
  }

  /** Ends the session when what was written has left. */
  close(): void {
    if (this.#closed) return;
    const body = Buffer.alloc(8);
    this.#sendControl(type.goAway, 0, body);
    this.#transport.end();
    setTimeout(() => this.#transport.destroy(), 2_000).unref();
  }

  async #run(): Promise<void> {
    const frames = new FrameReader(this.#transport);
    try {
      for (;;) {
        const frame = await frames.next();
        if (frame === undefined) break;
        await this.#handle(frame);
      }
    } catch {
      // The client broke the protocol or the connection broke: either way the session is over.
    }
    this.#closed = true;
    this.#transport.destroy();
    this.#inflate.destroy();
    for (const stream of this.#streams.values()) stream.destroy();
    this.#streams.clear();
  }

  async #handle(frame: Frame): Promise<void> {
    if (!frame.control) {
      const stream = this.#streams.get(frame.id);
      if (stream === undefined) return;
      if (frame.payload.length > 0) await stream.deliver(frame.payload);
      if ((frame.flags & flagFin) !== 0) stream.push(null);
      return;
    }
    const { payload } = frame;
    switch (frame.id) {
      case type.synStream:
        await this.#open(payload, frame.flags);
        return;
      case type.headers:
        // The compression's state must follow even where the content does not matter.
        await this.#readHeaders(payload.subarray(4));
        return;
      case type.rstStream:
        this.#streams.get(payload.readUInt32BE(0) & 0x7fffffff)?.destroy();
        return;
      case type.ping:
        // Odd ids are the client's questions.
        if ((payload.readUInt32BE(0) & 1) === 1) this.#sendControl(type.ping, 0, payload.subarray(0, 4));
        return;
      case type.goAway:
        if (this.#streams.size === 0) this.close();
        return;
      default:
        return;
    }
  }

  async #open(payload: Buffer, flags: number): Promise<void> {
    const id = payload.readUInt32BE(0) & 0x7fffffff;
    const headers = await this.#readHeaders(payload.subarray(10));
    if (this.#streams.has(id) || id % 2 === 0) return this.#reset(id, protocolError);
    if (this.#streams.size >= mostStreams) return this.#reset(id, refusedStream);
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    const reply = Buffer.alloc(4);
    reply.writeUInt32BE(id);
    this.#sendControl(type.synReply, 0, Buffer.concat([reply, this.#noHeaders()]));
    if ((flags & flagFin) !== 0) stream.push(null);
    this.#onStream(stream);
  }

  #reset(id: number, status: number): void {
    const body = Buffer.alloc(8);
    body.writeUInt32BE(id);
    body.writeUInt32BE(status, 4);
    this.#sendControl(type.rstStream, 0, body);
  }

  /** A block that says "no headers", in zlib's stored form, and an empty one: readers hand on what is before that. */
  #noHeaders(): Buffer {
    const block = Buffer.from([0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0xff, 0xff]);
    if (this.#sentHeaders) return block;
    this.#sentHeaders = true;
    return Buffer.concat([Buffer.from([0x78, 0x01]), block]);
  }

  async #readHeaders(block: Buffer): Promise<SpdyHeaders> {
    this.#inflated = [];
    this.#inflatedBytes = 0;
    await new Promise<void>((resolve, reject) => {
      this.#inflate.once('error', reject);
      this.#inflate.write(block, () => {
        this.#inflate.removeListener('error', reject);
        resolve();
      });
    });
    if (this.#inflatedBytes > mostHeaderBytes) throw new Error('the headers are too long');
    return readNameValues(Buffer.concat(this.#inflated));
  }

  sendData(id: number, chunk: Buffer, fin: boolean, done: () => void): void {
    if (this.#closed || !this.#transport.writable) return done();
    let at = 0;
    do {
      const piece = chunk.subarray(at, at + pieceBytes);
      at += piece.length;
      const last = at >= chunk.length;
      const head = Buffer.alloc(8);
      head.writeUInt32BE(id);
      head.writeUInt32BE(piece.length, 4);
      head[4] = fin && last ? flagFin : 0;
      this.#transport.write(Buffer.concat([head, piece]), last ? () => done() : undefined);
    } while (at < chunk.length);
  }

  forget(id: number, reset: boolean): void {
    if (!this.#streams.delete(id) || this.#closed) return;
    if (reset) this.#reset(id, 5);
  }

  #sendControl(kind: number, flags: number, payload: Buffer): void {
    if (!this.#transport.writable) return;
    const head = Buffer.alloc(8);
    head.writeUInt16BE(0x8000 | version);
    head.writeUInt16BE(kind, 2);
    head.writeUInt32BE(payload.length, 4);
    head[4] = flags;
    this.#transport.write(Buffer.concat([head, payload]));
  }
}

type Frame = {
  readonly control: boolean;
  /** The type of a control frame, the stream of a data frame. */
  readonly id: number;
  readonly flags: number;
  readonly payload: Buffer;
};

class FrameReader {
  readonly #transport: Duplex;
  #rest: Buffer = Buffer.alloc(0);

  constructor(transport: Duplex) {
    this.#transport = transport;
  }

  /** undefined at the end of the connection. */
  async next(): Promise<Frame | undefined> {
    const head = await this.#take(8);
    if (head === undefined) return undefined;
    const first = head.readUInt32BE(0);
    const length = head.readUInt32BE(4) & 0xffffff;
    const control = (first & 0x80000000) !== 0;
    if (length > (control ? longestControlBytes : longestDataBytes)) throw new Error('the frame is too long');
    if (control && ((first >>> 16) & 0x7fff) !== version) throw new Error('not SPDY/3');
    const payload = await this.#take(length);
    if (payload === undefined) return undefined;
    return { control, id: control ? first & 0xffff : first, flags: head[4] ?? 0, payload };
  }

  async #take(length: number): Promise<Buffer | undefined> {
    if (length === 0) return Buffer.alloc(0);
    const parts: Buffer[] = [];
    let size = this.#rest.length;
    if (size > 0) parts.push(this.#rest);
    while (size < length) {
      const chunk = this.#transport.read() as Buffer | null;
      if (chunk === null) {
        if (this.#transport.readableEnded || this.#transport.destroyed) return undefined;
        await Promise.race([
          once(this.#transport, 'readable'),
          once(this.#transport, 'end'),
          once(this.#transport, 'close'),
        ]);
        continue;
      }
      parts.push(chunk);
      size += chunk.length;
    }
    const all = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    this.#rest = all.subarray(length);
    return all.subarray(0, length);
  }
}

/** count(32), then per header: length(32) name, length(32) value. */
function readNameValues(block: Buffer): SpdyHeaders {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  let at = 0;
  const text = (): string => {
    const length = block.readUInt32BE(at);
    if (length > block.length - at - 4) throw new Error('a header is cut off');
    const value = block.toString('latin1', at + 4, at + 4 + length);
    at += 4 + length;
    return value;
  };
  if (block.length < 4) return headers;
  const count = block.readUInt32BE(at);
  at += 4;
  for (let i = 0; i < count; i++) headers[text().toLowerCase()] = text();
  return headers;
}
