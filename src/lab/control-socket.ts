// The supervisor's Unix socket: one line of JSON asks, one line answers. Unix sockets by path work across network
// namespaces, so the commands outside of the lab talk to it directly.
import { createServer, type Server } from 'node:net';
import { askLine } from '../lib/json-line.ts';
import { LineCutter } from '../lib/lines.ts';
import { err, failure, type Result } from '../lib/result.ts';
import type { LabError } from './types.ts';

export type ControlRequest =
  | { readonly op: 'status' }
  /** The routers' side of another BGP design. */
  | { readonly op: 'design'; readonly design: string };

const longestLine = 1 << 20;

/** Sends one request; the answer is whatever JSON the supervisor gives. */
export async function ask<T>(
  socketPath: string,
  request: ControlRequest,
  timeoutMs = 30_000,
): Promise<Result<T, LabError>> {
  const answer = await askLine<T>(socketPath, request, timeoutMs);
  if (answer.ok) return answer;
  const message = `The lab's supervisor does not answer: ${answer.error.message}`;
  return err(failure('NoAnswer', message, 'End it with: margay lab down'));
}

/** Serves requests until closed. An unknown request is answered, never fatal. */
export function serveControl(
  socketPath: string,
  answer: (request: ControlRequest) => unknown,
): Promise<Server> {
  const server = createServer((socket) => {
    const lines = new LineCutter(longestLine);
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      const [line] = lines.take(chunk);
      if (line === undefined) return;
      if (!line.ok) {
        socket.destroy();
        return;
      }
      let reply: unknown;
      try {
        reply = answer(JSON.parse(line.value) as ControlRequest);
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
