// What a container printed: `kubectl logs` with its options, from the files of /var/log/pods. A followed log is read as it
// grows, until its container has ended.
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { sleep } from '../../../lib/wait.ts';
import { logTimes } from './log-times.ts';

export type LogOptions = {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  readonly sinceMs?: number;
};

const whole = (query: URLSearchParams, name: string): number | undefined | 'bad' => {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  return /^\d{1,15}$/.test(text) ? Number(text) : 'bad';
};

/** The options of a request, or what is wrong with them. */
export function readLogOptions(query: URLSearchParams, nowMs: number): LogOptions | string {
  const flag = (name: string): boolean => ['true', '1'].includes(query.get(name) ?? '');
  const tailLines = whole(query, 'tailLines');
  const limitBytes = whole(query, 'limitBytes');
  const sinceSeconds = whole(query, 'sinceSeconds');
  for (const [name, value] of Object.entries({ tailLines, limitBytes, sinceSeconds }))
    if (value === 'bad') return `${name}: must be a whole number, not negative`;
  const sinceTime = query.get('sinceTime');
  const since =
    typeof sinceSeconds === 'number'
      ? nowMs - sinceSeconds * 1000
      : sinceTime === null || sinceTime === ''
        ? undefined
        : Date.parse(sinceTime);
  if (since !== undefined && Number.isNaN(since)) return 'sinceTime: must be a time as in RFC 3339';
  return {
    follow: flag('follow'),
    previous: flag('previous'),
    timestamps: flag('timestamps'),
    ...(typeof tailLines === 'number' ? { tailLines } : {}),
    ...(typeof limitBytes === 'number' ? { limitBytes } : {}),
    ...(since === undefined ? {} : { sinceMs: since }),
  };
}

/** The log file of the newest attempt, or the one before; undefined when there is none. */
export async function logFile(folder: string, previous: boolean): Promise<string | undefined> {
  let attempts: number[];
  try {
    attempts = (await readdir(folder))
      .flatMap((file) => /^(\d+)\.log$/.exec(file)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a);
  } catch {
    return undefined;
  }
  const chosen = attempts[previous ? 1 : 0];
  return chosen === undefined ? undefined : join(folder, `${chosen}.log`);
}

const chunkBytes = 64 * 1024;
const lookEveryMs = 200;
const newline = 10;

type File = Awaited<ReturnType<typeof open>>;

/** Where the last so many lines begin. */
async function tailStart(file: File, lines: number, size: number): Promise<number> {
  if (lines === 0) return size;
  let end = size;
  let left = lines;
  const buffer = Buffer.alloc(chunkBytes);
  while (end > 0) {
    const start = Math.max(0, end - chunkBytes);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      // The newline that ends the file begins no line.
      if (buffer[i] !== newline || start + i === size - 1) continue;
      if (--left === 0) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

/** Writes the log; returns when it is complete, or the signal aborts. */
export async function sendLog(
  path: string,
  options: LogOptions,
  output: Writable,
  isRunning: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const lines = new LineWriter(path, options, output, signal);
    let at = options.tailLines === undefined ? 0 : await tailStart(file, options.tailLines, size);
    const buffer = Buffer.alloc(chunkBytes);
    for (;;) {
      // Asked before reading: what is written before the end is read after it.
      const running = isRunning();
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, chunkBytes, at);
        if (bytesRead === 0) break;
        const more = await lines.take(buffer.subarray(0, bytesRead), at);
        at += bytesRead;
        if (!more) return;
      }
      if (!options.follow || !running) break;
      if (!(await sleep(lookEveryMs, signal))) return;
    }
    await lines.end();
  } finally {
    await file.close();
  }
}

/** Stamps and counts; a line goes out when it is complete. */
class LineWriter {
  readonly #path: string;
  readonly #options: LogOptions;
  readonly #output: Writable;
  readonly #signal: AbortSignal;
  #rest: Buffer = Buffer.alloc(0);
  #restAt = 0;
  #sent = 0;

  constructor(path: string, options: LogOptions, output: Writable, signal: AbortSignal) {
    this.#path = path;
    this.#options = options;
    this.#output = output;
    this.#signal = signal;
  }

  /** False when nothing more is wanted. */
  async take(bytes: Buffer, offset: number): Promise<boolean> {
    const plain = !this.#options.timestamps && this.#options.sinceMs === undefined;
    if (plain) return this.#send(Buffer.from(bytes));
    if (this.#rest.length === 0) this.#restAt = offset;
    const all = Buffer.concat([this.#rest, bytes]);
    const times = logTimes(this.#path);
    const out: Buffer[] = [];
    let start = 0;
    for (let end = all.indexOf(newline); end >= 0; end = all.indexOf(newline, start)) {
      out.push(...this.#stamped(all.subarray(start, end + 1), times(this.#restAt + start)));
      start = end + 1;
    }
    this.#rest = Buffer.from(all.subarray(start));
    this.#restAt += start;
    return out.length === 0 ? !this.#signal.aborted : this.#send(Buffer.concat(out));
  }

  async end(): Promise<void> {
    if (this.#rest.length === 0) return;
    const line = this.#stamped(this.#rest, logTimes(this.#path)(this.#restAt));
    await this.#send(Buffer.concat(line));
  }

  #stamped(line: Buffer, timeMs: number): readonly Buffer[] {
    const { sinceMs, timestamps } = this.#options;
    if (sinceMs !== undefined && timeMs < sinceMs) return [];
    return timestamps ? [Buffer.from(`${stamp(timeMs)} `), line] : [line];
  }

  async #send(bytes: Buffer): Promise<boolean> {
    const { limitBytes } = this.#options;
    const left = limitBytes === undefined ? bytes.length : limitBytes - this.#sent;
    const piece = bytes.subarray(0, Math.max(0, left));
    this.#sent += piece.length;
    if (piece.length > 0 && !this.#output.write(piece)) await this.#drained();
    return !this.#signal.aborted && piece.length === bytes.length;
  }

  async #drained(): Promise<void> {
    if (this.#signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#output.once('drain', resolve);
      this.#signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}

/** Nanoseconds, as kubectl shows them. */
const stamp = (ms: number): string => {
  const wholeMs = Math.floor(ms);
  const rest = String(Math.round((ms - wholeMs) * 1_000_000)).padStart(6, '0');
  return new Date(wholeMs).toISOString().replace('Z', `${rest}Z`);
};
