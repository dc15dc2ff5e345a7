// Messages on a socket: one JSON text per line, none longer than agreed.
import type { Socket } from 'node:net';
import { parseJson, stringifyJson } from '../lib/json.ts';
import { longestLine } from './types.ts';

/** Calls `take` with each message, in order, and `bad` once with what cannot be one. All that one read brought is given in one
 *  go, so that what arrived together is handled together. */
export function readMessages(
  socket: Socket,
  take: (message: object) => void,
  bad: (why: string) => void,
): void {
  let kept: Buffer[] = [];
  let keptBytes = 0;
  let ended = false;
  const fail = (why: string): void => {
    ended = true;
    bad(why);
  };
  socket.on('data', (chunk: Buffer) => {
    if (ended) return;
    for (let from = 0; from < chunk.length; ) {
      const end = chunk.indexOf(10, from);
      const part = chunk.subarray(from, end < 0 ? chunk.length : end);
      keptBytes += part.length;
      if (keptBytes > longestLine) return fail(`a line of more than ${longestLine} bytes`);
      kept.push(part);
      if (end < 0) return;
      from = end + 1;
      const line = (kept.length === 1 ? part : Buffer.concat(kept)).toString('utf8');
      kept = [];
      keptBytes = 0;
      const message = parse(line);
      if (message === undefined) return fail(`a line that is no message: ${line.slice(0, 100)}`);
      take(message);
    }
  });
}

/** An object with at least one field, or undefined. */
function parse(line: string): object | undefined {
  try {
    const value: unknown = parseJson(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export const lineOf = (message: object): Buffer => Buffer.from(`${stringifyJson(message)}\n`);
