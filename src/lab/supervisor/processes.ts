// Keeps the lab's processes running: starts each one inside its machine's namespaces, notes why it ended, starts it again
// with a growing delay. What a process prints goes to a log file of its own.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readSync, fstatSync } from 'node:fs';
import { systemClock, type Clock, type Timer } from '../../lib/clock.ts';
import { backoff } from '../../lib/wait.ts';
import type { ProcessStatus } from '../types.ts';

export type ProcessSpec = {
  readonly machine: string;
  readonly name: string;
  /** The whole command line; the first word is found through PATH. */
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** Descriptors of this process for 3, 4, … of the child; they stay open here for the next start. */
  readonly inherit?: readonly number[];
};

/** A running process as the keeper needs it: node:child_process or a fake. */
export type Handle = { readonly pid: number | undefined; kill(signal: NodeJS.Signals): void };
export type Start = (
  spec: ProcessSpec,
  onEnd: (end: {
    readonly code: number | null;
    readonly signal: string | null;
    readonly error?: string;
  }) => void,
) => Handle;

const firstDelayMs = 100;
const longestDelayMs = 10_000;
/** After this long without an end the delay starts small again. */
const settledMs = 10_000;

type Entry = {
  spec: ProcessSpec;
  handle: Handle | undefined;
  running: boolean;
  attempt: number;
  restarts: number;
  startedAt: number;
  lastEnd: string | undefined;
  timer: Timer | undefined;
};

export class ProcessKeeper {
  readonly #entries = new Map<string, Entry>();
  readonly #start: Start;
  readonly #clock: Clock;
  readonly #onEnd: (status: ProcessStatus) => void;
  #stopped = false;

  constructor(options: { start?: Start; clock?: Clock; onEnd?: (status: ProcessStatus) => void } = {}) {
    this.#start = options.start ?? startProcess;
    this.#clock = options.clock ?? systemClock;
    this.#onEnd = options.onEnd ?? (() => undefined);
  }

  keep(spec: ProcessSpec): void {
    const entry: Entry = {
      spec,
      handle: undefined,
      running: false,
      attempt: 0,
      restarts: 0,
      startedAt: 0,
      lastEnd: undefined,
      timer: undefined,
    };
    this.#entries.set(`${spec.machine}/${spec.name}`, entry);
    this.#run(entry);
  }

  #run(entry: Entry): void {
    if (this.#stopped) return;
    entry.startedAt = this.#clock.now();
    entry.running = true;
    entry.handle = this.#start(entry.spec, (end) => {
      entry.running = false;
      entry.handle = undefined;
      entry.lastEnd = describeEnd(end, entry.spec.logFile);
      if (this.#stopped) return;
      if (this.#clock.now() - entry.startedAt >= settledMs) entry.attempt = 0;
      this.#onEnd(this.#statusOf(entry));
      entry.timer = this.#clock.after(backoff(entry.attempt, firstDelayMs, longestDelayMs), () => {
        entry.restarts++;
        this.#run(entry);
      });
      entry.attempt++;
    });
  }

  #statusOf(entry: Entry): ProcessStatus {
    const pid = entry.handle?.pid;
    return {
      machine: entry.spec.machine,
      name: entry.spec.name,
      running: entry.running,
      restarts: entry.restarts,
      startedAt: new Date(entry.startedAt).toISOString(),
      ...(pid === undefined ? {} : { pid }),
      ...(entry.lastEnd === undefined ? {} : { lastEnd: entry.lastEnd }),
    };
  }

  status(): ProcessStatus[] {
    return [...this.#entries.values()].map((entry) => this.#statusOf(entry));
  }

  /** Tells a running process something; one that is down reads its files when it starts. */
  signal(machine: string, name: string, signal: NodeJS.Signals): void {
    this.#entries.get(`${machine}/${name}`)?.handle?.kill(signal);
  }

  /** Ends everything and starts nothing again. */
  stop(): void {
    this.#stopped = true;
    for (const entry of this.#entries.values()) {
      entry.timer?.cancel();
      entry.handle?.kill('SIGKILL');
    }
  }
}

function describeEnd(
  end: { readonly code: number | null; readonly signal: string | null; readonly error?: string },
  logFile: string,
): string {
  if (end.error !== undefined) return end.error;
  if (end.signal !== null) return `signal ${end.signal}`;
  const last = lastLine(logFile);
  return `exit code ${end.code}${last === '' ? '' : `: ${last}`}`;
}

/** The last line of a log that says something about an error, else its last line, cut to a sentence's length. */
function lastLine(path: string): string {
  try {
    const fd = openSync(path, 'r');
    try {
      const size = fstatSync(fd).size;
      const buffer = Buffer.alloc(Math.min(size, 2000));
      readSync(fd, buffer, 0, buffer.length, size - buffer.length);
      const lines = buffer.toString('utf8').trim().split('\n');
      return (lines.findLast((line) => /error|fatal|cannot/i.test(line)) ?? lines.at(-1) ?? '').slice(0, 300);
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}

const startProcess: Start = (spec, onEnd) => {
  const [command = '', ...argv] = spec.argv;
  const log = openSync(spec.logFile, 'a');
  const child = spawn(command, argv, {
    cwd: '/',
    env: { ...process.env, ...spec.env },
    stdio: ['ignore', log, log, ...(spec.inherit ?? [])],
  });
  closeSync(log);
  let ended = false;
  const end = (value: Parameters<typeof onEnd>[0]): void => {
    if (!ended) onEnd(value);
    ended = true;
  };
  child.on('error', (error) => end({ code: null, signal: null, error: error.message }));
  child.on('exit', (code, signal) => end({ code, signal }));
  return { pid: child.pid, kill: (signal) => void child.kill(signal) };
};
