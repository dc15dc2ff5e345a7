// BGP over TCP by node:net. One listener per address with a deep backlog: a thousand clients that dial at once must not
// wait for SYN retransmissions.
import { connect, createServer, type Socket } from 'node:net';
import { familyOf, isAddress, type Address } from '../../lib/ip/mod.ts';
import { err, failure, ok } from '../../lib/result.ts';
import type { DownReason } from '../fsm/mod.ts';
import type { Dial, Transport, Wire, WireHandlers } from './transport.ts';

const backlog = 4096;
/** A peer that does not take our last bytes (a NOTIFICATION) holds the socket no longer than this. */
const lingerMs = 2_000;

export const tcpTransport: Transport = {
  listen: (address, port, onWire) =>
    new Promise((resolve) => {
      const sockets = new Set<Socket>();
      const server = createServer({ noDelay: true }, (socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        onWire(new TcpWire(socket));
      });
      server.once('error', (error: NodeJS.ErrnoException) => {
        const why = listenProblem(error, address, port);
        resolve(err({ ...why, transient: error.code === 'EADDRNOTAVAIL' || error.code === 'EADDRINUSE' }));
      });
      server.listen({ host: address, port, backlog, ipv6Only: familyOf(address) === 6 }, () =>
        resolve(ok({ close: () => new Promise((closed) => void server.close(() => closed())) })),
      );
    }),

  dial: (options, onWire, onFailure): Dial => {
    const { remote, port, source } = options;
    const socket = connect({
      host: remote,
      port,
      family: familyOf(remote),
      noDelay: true,
      ...(source === undefined ? {} : { localAddress: source }),
    });
    const failed = (error: NodeJS.ErrnoException): void => onFailure(dialProblem(error, source));
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      onWire(new TcpWire(socket));
    });
    return { cancel: () => void socket.removeAllListeners().on('error', ignore).destroy() };
  },

  refuses: ({ password, ttlHops }) =>
    password !== undefined
      ? 'the session has a password (TCP MD5), which this speaker cannot set yet'
      : ttlHops !== undefined
        ? 'the session asks for TTL security (GTSM), which this speaker cannot set yet'
        : undefined,
};

const ignore = (): void => {};

class TcpWire implements Wire {
  readonly #socket: Socket;
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  #over = false;

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
    socket.on('data', (chunk: Uint8Array) => {
      if (!this.#over) handlers.data(chunk);
    });
    socket.on('drain', () => {
      if (!this.#over) handlers.drained();
    });
    socket.on('end', () => this.#ended(handlers, problem));
    socket.on('close', () => this.#ended(handlers, problem));
    if (socket.destroyed) this.#ended(handlers, 'connection reset by the peer');
    else socket.resume();
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

function dialProblem(error: NodeJS.ErrnoException, source: Address | undefined): DownReason {
  switch (error.code) {
    case 'ECONNREFUSED':
      return { kind: 'refused' };
    case 'ETIMEDOUT':
      return { kind: 'connect-timeout' };
    case 'EHOSTUNREACH':
      return { kind: 'unreachable', detail: 'the host does not answer' };
    case 'ENETUNREACH':
      return { kind: 'unreachable', detail: 'there is no route to the peer' };
    case 'EADDRNOTAVAIL':
      return { kind: 'unreachable', detail: `the source address ${source ?? ''} is not on this host` };
    default:
      return { kind: 'unreachable', detail: error.message };
  }
}

function listenProblem(error: NodeJS.ErrnoException, address: Address, port: number) {
  const where = `${address} port ${port}`;
  if (error.code === 'EADDRINUSE')
    return failure(
      'CannotListen' as const,
      `Another program listens on ${where}.`,
      'Stop it (ss -ltnp shows it) or choose another port.',
    );
  if (error.code === 'EACCES')
    return failure('CannotListen' as const, `No permission to listen on ${where}.`, 'Run as root.');
  if (error.code === 'EADDRNOTAVAIL')
    return failure('CannotListen' as const, `The address ${address} is not on this host (yet).`);
  return failure('CannotListen' as const, `Cannot listen on ${where}: ${error.message}.`);
}
