// The zone by UDP and TCP. Whoever asks too much or too slowly costs little: bounded connections, bounded time, no state per
// question.
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { readQuestion, writeAnswer, writeRefusal } from './message.ts';
import type { Zone } from './zone.ts';

export type DnsServer = { readonly port: number; stop(): Promise<void> };

const maxConnections = 100;
const idleMs = 10_000;
const streamLimit = 65_535;
const unreadLimit = 1 << 20;

/** What the zone says to a message; undefined where nothing should be said. */
export function respond(zone: Zone, message: Uint8Array, by: 'udp' | 'tcp'): Uint8Array | undefined {
  const question = readQuestion(message);
  if (question === undefined) return undefined;
  if ('refuse' in question) return writeRefusal(question.id, question.refuse);
  return writeAnswer(question, zone.answer(question), by === 'udp' ? question.maxBytes : streamLimit);
}

/** Serves both protocols on one port (0: any) of the host. */
export async function serveDns(
  zone: Zone,
  listen: { readonly host: string; readonly port: number },
): Promise<Result<DnsServer, Failure<'ListenFailed'>>> {
  const failed = (error: Error): Result<never, Failure<'ListenFailed'>> =>
    err(failure('ListenFailed', `Cannot listen on ${listen.host} port ${listen.port}: ${error.message}`));
  const streams = createServer((socket) => serveStream(zone, socket));
  streams.maxConnections = maxConnections;
  const bound = await new Promise<Error | undefined>((resolve) => {
    streams.once('error', resolve).listen(listen.port, listen.host, () => resolve(undefined));
  });
  if (bound !== undefined) return failed(bound);
  const address = streams.address();
  const port = typeof address === 'object' && address !== null ? address.port : listen.port;
  const datagrams = createSocket({ type: listen.host.includes(':') ? 'udp6' : 'udp4', ipv6Only: false });
  datagrams.on('message', (message, from) => {
    const answer = respond(zone, message, 'udp');
    if (answer !== undefined) datagrams.send(answer, from.port, from.address, () => undefined);
  });
  const heard = await new Promise<Error | undefined>((resolve) => {
    datagrams.once('error', resolve).bind(port, listen.host, () => resolve(undefined));
  });
  if (heard !== undefined) {
    streams.close();
    return failed(heard);
  }
  datagrams.on('error', () => undefined);
  return ok({
    port,
    stop: async () => {
      await new Promise<void>((resolve) => {
        datagrams.close(() => resolve());
      });
      await new Promise<void>((resolve) => {
        streams.close(() => resolve());
      });
    },
  });
}

/** Two bytes of length before each message. */
function serveStream(zone: Zone, socket: Socket): void {
  let waiting: Uint8Array = new Uint8Array(0);
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Uint8Array) => {
    waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
    while (waiting.length >= 2) {
      const length = ((waiting[0] ?? 0) << 8) | (waiting[1] ?? 0);
      if (waiting.length < 2 + length) return;
      const answer = respond(zone, waiting.subarray(2, 2 + length), 'tcp');
      waiting = waiting.subarray(2 + length);
      // Whoever asks on without reading the answers is not served further.
      if (answer === undefined || socket.writableLength > unreadLimit) {
        socket.destroy();
        return;
      }
      socket.write(Buffer.concat([Uint8Array.of(answer.length >> 8, answer.length & 255), answer]));
    }
  });
}
