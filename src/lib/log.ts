// Structured logs, one JSON object per line on standard error. Levels follow Calico's names (Debug, Info, Warning,
// Error, Fatal); the message is a fixed phrase, what varies is in the fields, so that logs can be searched.
import pino from 'pino';
import { RotatingFile } from './rotating-file.ts';

export type Fields = Readonly<Record<string, unknown>>;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';

export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A logger that adds the fields to every line. */
  with(fields: Fields): Logger;
}

/** Its level can be changed, and with it that of all loggers made of it. */
export interface AdjustableLogger extends Logger {
  setLevel(level: LogLevel): void;
  /** Writes to a file besides, from a level of its own on; undefined: to none. */
  setFile(path: string | undefined, level: LogLevel): void;
  /** Lines that could not be written to the file. */
  errors(): number;
}

const ranks: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
};
const pinoMetadata = Symbol.for('pino.metadata');
/** The least that is written anywhere; shared by a logger and those made of it. */
type Threshold = { rank: number };

function wrap(p: pino.Logger, threshold: Threshold): Logger {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields?: Fields): void => {
      if (ranks[level] >= threshold.rank) p[level](fields ?? {}, message);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => wrap(p.child(fields), threshold),
  };
}

/** Lines go to standard error, and to a file where there is one; each from its own level on. */
class Outputs {
  // Asks pino for the level of each line.
  readonly [pinoMetadata] = true;
  lastLevel = 0;
  errors = 0;
  screenRank: number;
  readonly #screen = pino.destination({ dest: 2, sync: true });
  #file: { readonly file: RotatingFile; readonly rank: number } | undefined;

  constructor(screenRank: number) {
    this.screenRank = screenRank;
  }

  get leastRank(): number {
    return Math.min(this.screenRank, this.#file?.rank ?? Number.POSITIVE_INFINITY);
  }

  setFile(path: string | undefined, rank: number): void {
    if (path === undefined) this.#file = undefined;
    else {
      const known = this.#file?.file;
      this.#file = { file: known?.path === path ? known : new RotatingFile(path), rank };
    }
  }

  write(line: string): void {
    if (this.lastLevel >= this.screenRank) this.#screen.write(line);
    if (this.#file === undefined || this.lastLevel < this.#file.rank) return;
    try {
      this.#file.file.write(line);
    } catch (error) {
      this.errors++;
      const { path } = this.#file.file;
      this.#file = undefined;
      const time = new Date().toISOString();
      const msg = 'Cannot write the log file, it is left out from now on';
      this.#screen.write(`${JSON.stringify({ level: ranks.warn, time, path, error: String(error), msg })}\n`);
    }
  }
}

/** Level from MARGAY_LOG, which then stays; else as given, `info` by default. Writes synchronously: a crash loses no line. */
export function createLogger(component: string, level: LogLevel = 'info'): AdjustableLogger {
  const fixed = process.env['MARGAY_LOG'] as LogLevel | undefined;
  const outputs = new Outputs(ranks[fixed ?? level] ?? ranks.info);
  const threshold = { rank: outputs.leastRank };
  const logger = wrap(
    pino({ level: 'trace', base: { component }, timestamp: pino.stdTimeFunctions.isoTime }, outputs),
    threshold,
  );
  return {
    ...logger,
    setLevel(to) {
      if (fixed === undefined) outputs.screenRank = ranks[to];
      threshold.rank = outputs.leastRank;
    },
    setFile(path, to) {
      outputs.setFile(path, ranks[to]);
      threshold.rank = outputs.leastRank;
    },
    errors: () => outputs.errors,
  };
}

const nothing = (): void => {};
/** Drops everything: for tests and benchmarks. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  with: () => silentLogger,
};
