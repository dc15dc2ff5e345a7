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

const wrap = (p: pino.Logger): Logger => ({
  debug: (message, fields) => p.debug(fields ?? {}, message),
  info: (message, fields) => p.info(fields ?? {}, message),
  warn: (message, fields) => p.warn(fields ?? {}, message),
  error: (message, fields) => p.error(fields ?? {}, message),
  with: (fields) => wrap(p.child(fields)),
});

/** Level from MARGAY_LOG when not given; `info` by default. Writes synchronously: a crash loses no line. */
export function createLogger(component: string, level?: LogLevel): Logger {
  const chosen = level ?? (process.env['MARGAY_LOG'] as LogLevel | undefined) ?? 'info';
  return wrap(
    pino(
      { level: chosen, base: { component }, timestamp: pino.stdTimeFunctions.isoTime },
      pino.destination({ dest: 2, sync: true }),
    ),
  );
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
