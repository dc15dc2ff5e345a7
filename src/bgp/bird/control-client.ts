// BIRD's control protocol, the asking side. One command is a line; its reply is lines that begin with a four-digit code:
//
//   0001 BIRD 2.0.12 ready.          the greeting, once
//   1002-static4   Static …          `-`: more lines follow
//    kernel4       Kernel …          a space instead of a code: the code of the line before
//   0000 ↵                           a space behind the code: the reply is complete
//
// Codes 0xxx are success, 1xxx tables, 2xxx headings, 8xxx and 9xxx errors.
import { connect } from 'node:net';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { BirdError } from './errors.ts';

export type ReplyLine = { readonly code: number; readonly text: string };

const defaultTimeoutMs = 10_000;
/** A table of half a million routes with its attributes. */
const replyLimit = 512 * 1024 * 1024;

/** Collects lines until the reply is complete. */
export class ReplyReader {
  readonly lines: ReplyLine[] = [];
  #pending = '';
  #code = 0;
  #last: ReplyLine | undefined;

  /** True when the last line has come. */
  take(text: string): boolean {
    this.#pending += text;
    let start = 0;
    for (;;) {
      const end = this.#pending.indexOf('\n', start);
      if (end < 0) break;
      this.#line(this.#pending.slice(start, end));
      start = end + 1;
      if (this.#last !== undefined) break;
    }
    this.#pending = this.#pending.slice(start);
    return this.#last !== undefined;
  }

  get size(): number {
    return this.#pending.length;
  }

  #line(line: string): void {
    const match = /^(\d{4})([- ])(.*)$/.exec(line);
    // An asynchronous word (`+`) belongs to no reply.
    if (match === null && line.startsWith('+')) return;
    if (match === null) {
      this.lines.push({ code: this.#code, text: line.slice(1) });
      return;
    }
    this.#code = Number(match[1]);
    const entry = { code: this.#code, text: match[3] ?? '' };
    this.lines.push(entry);
    if (match[2] === ' ') this.#last = entry;
  }
}

/** Opens the socket, asks once, closes. An error reply of BIRD is `Refused` with its text. */
export function askBird(
  path: string,
  command: string,
  timeoutMs: number = defaultTimeoutMs,
): Promise<Result<readonly ReplyLine[], BirdError>> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let reader = new ReplyReader();
    let greeted = false;
    let bytes = 0;
    const end = (result: Result<readonly ReplyLine[], BirdError>): void => {
      socket.destroy();
      resolve(result);
    };
    const silent = (why: string): void =>
      end(err(failure('NoAnswer', `BIRD does not answer at ${path}: ${why}.`)));
    const timer = setTimeout(() => silent(`nothing within ${timeoutMs / 1000} s`), timeoutMs);
    socket.on('close', () => {
      clearTimeout(timer);
      silent('the connection ended');
    });
    socket.on('error', (error) => silent(error.message));
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      bytes += text.length;
      if (bytes > replyLimit) return silent('the reply is too long');
      if (!reader.take(text)) return undefined;
      if (greeted) return end(judge(command, reader.lines));
      greeted = true;
      reader = new ReplyReader();
      return void socket.write(`${command}\n`);
    });
  });
}

function judge(command: string, lines: readonly ReplyLine[]): Result<readonly ReplyLine[], BirdError> {
  const wrong = lines.find(({ code }) => code >= 8000);
  return wrong === undefined
    ? ok(lines)
    : err(failure('Refused', `BIRD refuses "${command}": ${wrong.text} (${wrong.code}).`));
}
