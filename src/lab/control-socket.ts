// The supervisor's Unix socket: one line of JSON asks, one line answers. Unix sockets by path work across network
// namespaces, so the commands outside of the lab talk to it directly.
import { createConnection, createServer, type Server } from 'node:net';
import { err, failure, ok, type Result } from '../lib/result.ts';
import type { LabError } from './types.ts';

export type ControlRequest =
  | { readonly op: 'status' }
  /** The routers' side of another BGP design. */
  | { readonly op: 'design'; readonly design: string };

const longestLine = 1 << 20;

/** Sends one request; the answer is whatever JSON the supervisor gives. */
export function ask<T>(
  socketPath: string,
  request: ControlRequest,
  timeoutMs = 30_000,
): Promise<Result<T, LabError>> {
  return new Promise((resolve) => {
    let text = '';
    const noAnswer = (why: string): void => {
      socket.destroy();
      resolve(
        err(
          failure(
            'NoAnswer',
            `The lab's supervisor does not answer (${why}).`,
            'End it with: margay lab down',
          ),
        ),
      );
    };
    const socket = createConnection(socketPath, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.setTimeout(timeoutMs, () => noAnswer(`nothing within ${timeoutMs / 1000} s`));
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) {
        if (text.length > longestLine * 8) noAnswer('its answer is too long');
        return;
      }
      socket.destroy();
      try {
        resolve(ok(JSON.parse(text.slice(0, end)) as T));
      } catch {
        noAnswer('its answer is not JSON');
      }
    });
    socket.on('error', (error) => noAnswer(error.message));
    socket.on('end', () => noAnswer('it closed the connection'));
  });
}

/** Serves requests until closed. An unknown request is answered, never fatal. */
export function serveControl(
  socketPath: string,
  answer: (request: ControlRequest) => unknown,
): Promise<Server> {
  const server = createServer((socket) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > longestLine) {
        socket.destroy();
        return;
      }
      const end = text.indexOf('\n');
      if (end < 0) return;
      let reply: unknown;
      try {
        reply = answer(JSON.parse(text.slice(0, end)) as ControlRequest);
      } catch (error) {
        reply = { error: (error as Error).message };
      }
      socket.end(`${JSON.stringify(reply)}\n`);
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => resolve(server));
  });
}
