// A TCP connection as the speaker sees it.
import type { Socket } from 'node:net';
import { isAddress, type Address } from '../../lib/ip/mod.ts';
import type { Wire, WireHandlers } from './transport.ts';

/** A peer that does not take our last bytes (a NOTIFICATION) holds the socket no longer than this. */
const lingerMs = 2_000;
const pieceBytes = 8192;
/** What all connections together hand on in one turn takes about so long: a thousand peers may speak at once. */
const turnMs = 12;

const ignore = (): void => {};

let turnEndsMs: number | undefined;

/** The time of this turn is over. */
function isTurnOver(): boolean {
  const now = performance.now();
  if (turnEndsMs === undefined) {
    turnEndsMs = now + turnMs;
    setImmediate(() => {
      turnEndsMs = undefined;
    });
  }
  return now >= turnEndsMs;
}

export class TcpWire implements Wire {
  readonly #socket: Socket;
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  #over = false;
  /** Pieces of a chunk are left. */
  #delivering = false;
  #end: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.localAddress = plainAddress(socket.localAddress);
    this.remoteAddress = plainAddress(socket.remoteAddress);
    // Nobody listens between accept and `open`; an error there shows as a close later.
    socket.on('error', ignore);
    socket.pause();
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  open(handlers: WireHandlers): void {
    const socket = this.#socket;
    let problem: string | undefined;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      problem = error.code === 'ECONNRESET' ? 'connection reset by the peer' : error.message;
    });
    socket.on('data', (chunk: Uint8Array) => this.#deliver(chunk, handlers));
    socket.on('drain', () => {
      if (!this.#over) handlers.drained();
    });
    const ended = (): void => {
      // What was read before the end is handed on before it.
      if (this.#delivering) this.#end = () => this.#ended(handlers, problem);
      else this.#ended(handlers, problem);
    };
    socket.on('end', ended);
    socket.on('close', ended);
    if (socket.destroyed) this.#ended(handlers, 'connection reset by the peer');
    else socket.resume();
  }

  /** What came at once may be thousands of routes: a piece per turn, and nothing is read before the last. */
  #deliver(chunk: Uint8Array, handlers: WireHandlers): void {
    if (this.#over) return;
    let rest = chunk;
    if (!isTurnOver()) {
      handlers.data(chunk.subarray(0, pieceBytes));
      rest = chunk.subarray(pieceBytes);
    }
    if (rest.length > 0) {
      if (!this.#delivering) this.#socket.pause();
      this.#delivering = true;
      setImmediate(() => this.#deliver(rest, handlers));
      return;
    }
    if (!this.#delivering) return;
    this.#delivering = false;
    this.#end?.();
    this.#socket.resume();
  }

  write(chunks: readonly Uint8Array[]): void {
    const socket = this.#socket;
    if (this.#over || !socket.writable) return;
    if (chunks.length > 1) socket.cork();
    for (const chunk of chunks) socket.write(chunk);
    if (chunks.length > 1) socket.uncork();
  }

  close(): void {
    this.#over = true;
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.end();
    socket.resume();
    setTimeout(() => socket.destroy(), lingerMs).unref();
  }

  #ended(handlers: WireHandlers, problem: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket.destroy();
    handlers.closed(problem);
  }
}

/** Without IPv4-mapped form and zone. */
function plainAddress(text: string | undefined): Address {
  const bare = (text ?? '').replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
  return (isAddress(bare) ? bare : '0.0.0.0') as Address;
}
