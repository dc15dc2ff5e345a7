// Work that brings something in step with what is known: asked for as often as one likes, done once at a time, and once more
// when it was asked for meanwhile. What fails is tried again, later and later.
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Failure, Result } from '../../lib/result.ts';
import { backoff } from '../../lib/wait.ts';

export type RetriedWorkOptions = {
  readonly work: () => Promise<Result<void, Failure>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the log says when it failed. */
  readonly failed: string;
  readonly firstDelayMs: number;
};

const longestDelayMs = 30_000;

export class RetriedWork {
  readonly #options: RetriedWorkOptions;
  #working: Promise<void> | undefined;
  #again = false;
  #attempts = 0;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: RetriedWorkOptions) {
    this.#options = options;
  }

  /** There may be something to do. */
  ask(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#retry?.cancel();
    this.#working ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    await this.#working;
  }

  async #run(): Promise<void> {
    const { work, clock, logger, failed, firstDelayMs } = this.#options;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      const done = await work();
      if (done.ok) {
        this.#attempts = 0;
        continue;
      }
      const delayMs = backoff(this.#attempts++, firstDelayMs, longestDelayMs);
      logger.warn(failed, { reason: done.error.message, delayMs });
      this.#retry = clock.after(delayMs, () => this.ask());
    }
    // In the same step as the last look: what comes later begins anew.
    this.#working = undefined;
  }
}
