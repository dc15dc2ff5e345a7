// Messages on a socket: one JSON text per line, none longer than agreed.
import type { Socket } from 'node:net';
import { parseJson, stringifyJson } from '../lib/json.ts';
import { LineCutter, type LinesError } from '../lib/lines.ts';
import { longestLine } from './types.ts';

/** Calls `take` with each message, in order, and `bad` once with what cannot be one. All that one read brought is given in one
 *  go, so that what arrived together is handled together. */
export function readMessages(
  socket: Socket,
  take: (message: object) => void,
  bad: (why: string) => void,
): void {
  const cutter = new LineCutter(longestLine);
  let ended = false;
  const fail = (why: string): void => {
    ended = true;
    bad(why);
  };
  socket.on('data', (chunk: Buffer) => {
    for (const line of cutter.take(chunk)) {
      if (ended) return;
      if (!line.ok) return fail(problemOf(line.error));
      const message = parse(line.value);
      if (message === undefined) return fail(`a line that is no message: ${line.value.slice(0, 100)}`);
      take(message);
    }
  });
}

const problemOf = ({ code }: LinesError): string =>
  code === 'LineTooLong' ? `a line of more than ${longestLine} bytes` : 'a line that is not UTF-8';

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
