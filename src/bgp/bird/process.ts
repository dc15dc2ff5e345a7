// The bird process: started as our child, watched, started again after an end that nobody asked for. It dies with us
// (its parent-death signal), so that there is one tree of processes and never two BIRDs on one control socket.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { backoff } from '../../lib/wait.ts';
import { askBird } from './control-client.ts';
import type { BirdError } from './errors.ts';

export type BirdProcessOptions = {
  readonly program: string;
  readonly configFile: string;
  readonly socket: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where BIRD's own log goes; to our standard error when absent. */
  readonly log?: 'inherit' | 'ignore';
};

const firstRestartMs = 500;
const lastRestartMs = 30_000;
/** After so long a run earlier ends are forgotten. */
const stableMs = 60_000;
const startTimeoutMs = 10_000;
const stopTimeoutMs = 3_000;
const setpriv = '/usr/bin/setpriv';

export class BirdProcess {
  readonly #options: BirdProcessOptions;
  #child: ChildProcess | undefined;
  #restartTimer: Timer | undefined;
  #startedAt = 0;
  #failures = 0;
  #restarts = 0;
  #stopped = false;
  #lastEnd: string | undefined;

  constructor(options: BirdProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }
  get restarts(): number {
    return this.#restarts;
  }
  /** How it ended the last time, while it is down. */
  get lastEnd(): string | undefined {
    return this.#child === undefined ? this.#lastEnd : undefined;
  }

  /** Starts it and waits until its control socket answers. */
  async start(): Promise<Result<void, BirdError>> {
    this.#stopped = false;
    await this.#endPredecessor();
    this.#spawn();
    const { clock, socket } = this.#options;
    const end = clock.monotonic() + startTimeoutMs;
    for (;;) {
      if ((await askBird(socket, 'show status', 1000)).ok) return ok(undefined);
      if (this.#child === undefined)
        return err(failure('NoBird', `BIRD does not start: ${this.#lastEnd ?? 'it ended at once'}.`));
      if (clock.monotonic() > end) return err(failure('NoAnswer', `BIRD does not answer at ${socket}.`));
      await new Promise<void>((resolve) => void clock.after(20, resolve));
    }
  }

  /** Ends it so that routes stay in the kernel and neighbours keep ours until it is back (RFC 4724). */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#restartTimer?.cancel();
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
    const asked = await askBird(this.#options.socket, 'graceful restart', stopTimeoutMs);
    const timer = this.#options.clock.after(asked.ok ? stopTimeoutMs : 0, () => child.kill('SIGKILL'));
    if (this.#child !== undefined) await gone;
    timer.cancel();
  }

  /** One that outlived an earlier run of ours still has the socket. */
  async #endPredecessor(): Promise<void> {
    const { socket, clock, logger } = this.#options;
    if (!existsSync(socket)) return;
    const asked = await askBird(socket, 'graceful restart', 1000);
    if (!asked.ok) return;
    logger.warn('a BIRD of an earlier run was there, it ends', { socket });
    const end = clock.monotonic() + stopTimeoutMs;
    while (clock.monotonic() < end && (await askBird(socket, 'show status', 500)).ok)
      await new Promise<void>((resolve) => void clock.after(50, resolve));
  }

  #spawn(): void {
    const { program, configFile, socket, clock, logger } = this.#options;
    // -R: routes of an earlier run stay until the neighbours have told theirs.
    const argv = [program, '-f', '-R', '-c', configFile, '-s', socket];
    const [command = program, ...rest] = existsSync(setpriv)
      ? [setpriv, '--pdeathsig', 'KILL', '--', ...argv]
      : argv;
    const child = spawn(command, rest, { stdio: ['ignore', 'ignore', this.#options.log ?? 'inherit'] });
    this.#child = child;
    this.#startedAt = clock.monotonic();
    let isOver = false;
    const over = (how: string): void => {
      if (isOver) return;
      isOver = true;
      this.#child = undefined;
      this.#lastEnd = how;
      if (this.#stopped) return;
      if (clock.monotonic() - this.#startedAt > stableMs) this.#failures = 0;
      const waitMs = backoff(this.#failures++, firstRestartMs, lastRestartMs);
      logger.error('BIRD has ended, it is started again', { how, waitMs });
      this.#restartTimer = clock.after(waitMs, () => {
        this.#restarts++;
        this.#spawn();
      });
    };
    child.once('error', (error) => over(error.message));
    child.once('exit', (code, signal) => over(signal === null ? `exit code ${code}` : `signal ${signal}`));
    if (child.pid !== undefined) logger.info('BIRD started', { pid: child.pid });
  }
}
