// The server's half of WebSocket (RFC 6455), as much of it as Kubernetes' streaming protocols use: binary messages both
// ways, ping and pong, close. Bytes come and go through a socket that Node has upgraded already.
//
//   byte 0   FIN · RSV1-3 · opcode     byte 1   MASK · length (126: 16 bits follow, 127: 64 bits)
//   [mask key, 4 bytes: clients always mask]   payload
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';

const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const closeCode = { normal: 1000, protocolError: 1002, tooLarge: 1009 } as const;
/** A message is handed on whole, so it must fit into memory. */
const longestMessageBytes = 4 * 1024 * 1024;

export type WebSocketHandlers = {
  readonly onMessage: (payload: Buffer) => void;
  /** Once, whoever closed and however. */
  readonly onClose: () => void;
};

/** The protocols that the client offers, in its order. */
export const offeredProtocols = (request: IncomingMessage): readonly string[] =>
  (request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

/** The answer that makes the connection a WebSocket; undefined when the request is not a proper handshake. */
export function handshake(request: IncomingMessage, protocol: string): string | undefined {
  const key = request.headers['sec-websocket-key'];
  if (key === undefined || request.headers['sec-websocket-version'] !== '13') return undefined;
  const accept = createHash('sha1')
    .update(key + acceptSuffix)
    .digest('base64');
  return (
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`
  );
}

export class WebSocketConnection {
  readonly #socket: Duplex;
  readonly #handlers: WebSocketHandlers;
  #rest: Buffer = Buffer.alloc(0);
  #fragments: Buffer[] = [];
  #fragmentBytes = 0;
  #closeSent = false;
  #closed = false;

  constructor(socket: Duplex, head: Buffer, handlers: WebSocketHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => this.#end());
    socket.on('end', () => this.#end());
    socket.on('close', () => this.#end());
    if (head.length > 0) this.#take(head);
  }

  /** Calls back when the bytes have left, or the connection is gone. */
  send(payload: Uint8Array, done: () => void = () => undefined): void {
    if (this.#closed || this.#closeSent) done();
    else this.#write(opcode.binary, payload, done);
  }

  /** Nothing is read from the client until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(code: number = closeCode.normal): void {
    if (this.#closeSent || this.#closed) return;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#write(opcode.close, payload);
    this.#closeSent = true;
    // The client answers with its own close; one that does not is not waited for.
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 2_000).unref();
  }

  #write(code: number, payload: Uint8Array, done?: () => void): void {
    const { length } = payload;
    const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
    head[0] = 0x80 | code;
    if (length < 126) head[1] = length;
    else if (length < 65536) {
      head[1] = 126;
      head.writeUInt16BE(length, 2);
    } else {
      head[1] = 127;
      head.writeBigUInt64BE(BigInt(length), 2);
    }
    this.#socket.write(Buffer.concat([head, payload]), () => done?.());
  }

  #take(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (!this.#closed) {
      const frame = this.#nextFrame();
      if (frame === undefined) return;
      this.#handle(frame.code, frame.final, frame.payload);
    }
  }

  #nextFrame(): { code: number; final: boolean; payload: Buffer } | undefined {
    const data = this.#rest;
    if (data.length < 2) return undefined;
    const [first = 0, second = 0] = data;
    let length = second & 0x7f;
    let at = 2;
    if (length === 126) {
      if (data.length < 4) return undefined;
      length = data.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (data.length < 10) return undefined;
      length = Number(data.readBigUInt64BE(2));
      at = 10;
    }
    if ((first & 0x70) !== 0 || (second & 0x80) === 0) return this.#refuse(closeCode.protocolError);
    if (length > longestMessageBytes) return this.#refuse(closeCode.tooLarge);
    if (data.length < at + 4 + length) return undefined;
    const mask = data.subarray(at, at + 4);
    const payload = Buffer.from(data.subarray(at + 4, at + 4 + length));
    for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
    this.#rest = data.subarray(at + 4 + length);
    return { code: first & 0x0f, final: (first & 0x80) !== 0, payload };
  }

  #refuse(code: number): undefined {
    this.close(code);
    this.#end();
    return undefined;
  }

  #handle(code: number, final: boolean, payload: Buffer): void {
    switch (code) {
      case opcode.ping:
        if (!this.#closeSent) this.#write(opcode.pong, payload);
        return;
      case opcode.pong:
        return;
      case opcode.close:
        this.close();
        this.#end();
        return;
      case opcode.text:
      case opcode.binary:
      case opcode.continuation:
        this.#fragments.push(payload);
        this.#fragmentBytes += payload.length;
        if (this.#fragmentBytes > longestMessageBytes) {
          this.#refuse(closeCode.tooLarge);
          return;
        }
        if (!final) return;
        {
          const message = this.#fragments.length === 1 ? payload : Buffer.concat(this.#fragments);
          this.#fragments = [];
          this.#fragmentBytes = 0;
          this.#handlers.onMessage(message);
        }
        return;
      default:
        this.#refuse(closeCode.protocolError);
    }
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#closeSent) this.#socket.destroy();
    this.#handlers.onClose();
  }
}

/** The messages of a WebSocket as a stream of bytes, for protocols that are carried inside of one. */
export function webSocketBytes(socket: Duplex, head: Buffer): Duplex {
  const stream: Duplex = new Duplex({
    read: () => connection.resume(),
    write: (chunk: Buffer, _encoding, done: () => void) => connection.send(chunk, done),
    final: (done) => {
      connection.close();
      done();
    },
    destroy: (error, done) => {
      connection.close();
      done(error);
    },
  });
  const connection = new WebSocketConnection(socket, head, {
    onMessage: (payload) => {
      if (!stream.destroyed && !stream.push(payload)) connection.pause();
    },
    onClose: () => {
      if (!stream.destroyed) stream.push(null);
    },
  });
  return stream;
}
