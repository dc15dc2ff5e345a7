// Structured logs, one JSON object per line on standard error. Levels follow Calico's names (Debug, Info, Warning,
// Error, Fatal); the message is a fixed phrase, what varies is in the fields, so that logs can be searched.
import pino from 'pino';

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
}

const ranks: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
};
/** The least that is written; shared by a logger and those made of it. */
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

/** Level from MARGAY_LOG, which then stays; else as given, `info` by default. Writes synchronously: a crash loses no line. */
export function createLogger(component: string, level: LogLevel = 'info'): AdjustableLogger {
  const fixed = process.env['MARGAY_LOG'] as LogLevel | undefined;
  const threshold = { rank: ranks[fixed ?? level] ?? ranks.info };
  const logger = wrap(
    pino(
      { level: 'trace', base: { component }, timestamp: pino.stdTimeFunctions.isoTime },
      pino.destination({ dest: 2, sync: true }),
    ),
    threshold,
  );
  const setLevel = (to: LogLevel): void => {
    if (fixed === undefined) threshold.rank = ranks[to];
  };
  return { ...logger, setLevel };
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
