// The BIRD engine: makes BGP plans real with Debian's BIRD 2. A plan is rendered, checked with `bird -p`, put in place by a
// rename and taken over by the running BIRD with `configure` over its control socket. A plan that gives the same text
// touches nothing; one that BIRD does not take leaves the old one in force.
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { backoff } from '../../lib/wait.ts';
import type { BgpPlan } from '../plan/mod.ts';
import { askBird, type ReplyLine } from './control-client.ts';
import type { BirdError } from './errors.ts';
import { BirdProcess } from './process.ts';
import { renderBird, type Rendered } from './render.ts';

export type BirdEngineOptions = {
  /** Where bird.cfg is written. */
  readonly directory: string;
  /** The control socket; bird6.ctl beside it leads there too, as one BIRD 2 serves both families. */
  readonly socket: string;
  readonly program: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where BIRD's own log goes; to our standard error when absent. */
  readonly log?: 'inherit' | 'ignore';
};

/** Answers of `configure` that mean that the configuration is or will be taken. */
const takenCodes: ReadonlySet<number> = new Set([3, 4, 5, 18]);
const checkTimeoutMs = 20_000;
/** A BIRD that is being started again, a disk that is full. Another text would not be better. */
const passing: ReadonlySet<BirdError['code']> = new Set(['NoAnswer', 'NoDirectory']);
const firstRetryMs = 500;
const lastRetryMs = 30_000;

export class BirdEngine {
  readonly #options: BirdEngineOptions;
  readonly #process: BirdProcess;
  readonly #startedAt: number;
  #configuredAt = 0;
  #plan: BgpPlan | undefined;
  #wanted: BgpPlan | undefined;
  #refused: Rendered['refused'] = [];
  /** What stands in bird.cfg, and whether the running BIRD has taken it. */
  #written: string | undefined;
  #inForce = false;
  #running = false;
  #problem: string | undefined;
  #reloads = 0;
  #queue: Promise<void> = Promise.resolve();
  #retry: Timer | undefined;
  #failures = 0;
  #stopped = false;

  constructor(options: BirdEngineOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#process = new BirdProcess({ ...options, configFile: this.configFile });
  }

  get configFile(): string {
    return join(this.#options.directory, 'bird.cfg');
  }
  /** The plan in force. */
  get plan(): BgpPlan | undefined {
    return this.#plan;
  }
  get refused(): Rendered['refused'] {
    return this.#refused;
  }
  get facts() {
    const { pid, restarts, lastEnd } = this.#process;
    return {
      startedAt: this.#startedAt,
      configuredAt: this.#configuredAt,
      pid,
      restarts,
      reloads: this.#reloads,
      problem: this.#problem ?? lastEnd,
    };
  }

  /** Makes the plan real; plans are taken one after the other. One that BIRD could not take for a reason that passes is tried
   *  again until it, or a newer one, is in force. */
  apply(plan: BgpPlan, passwords: ReadonlyMap<string, string>): Promise<void> {
    this.#wanted = plan;
    this.#failures = 0;
    return this.#enqueue(plan, passwords);
  }

  #enqueue(plan: BgpPlan, passwords: ReadonlyMap<string, string>): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      const { clock, logger } = this.#options;
      const result = await this.#take(plan, renderBird(plan, { passwords }));
      this.#problem = result.ok ? undefined : result.error.message;
      if (result.ok || this.#stopped) return;
      logger.error('the plan is not in force', { reason: this.#problem });
      if (plan !== this.#wanted || !passing.has(result.error.code)) return;
      const waitMs = backoff(this.#failures++, firstRetryMs, lastRetryMs);
      this.#retry = clock.after(waitMs, () => {
        if (plan === this.#wanted) void this.#enqueue(plan, passwords);
      });
    });
    return this.#queue;
  }

  /** Asks the running BIRD. */
  ask(command: string): Promise<Result<readonly ReplyLine[], BirdError>> {
    return askBird(this.#options.socket, command);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    await this.#queue;
    await this.#process.stop();
    rmSync(this.#socket6, { force: true });
  }

  get #socket6(): string {
    return join(dirname(this.#options.socket), 'bird6.ctl');
  }

  async #take(plan: BgpPlan, next: Rendered): Promise<Result<void, BirdError>> {
    const { logger } = this.#options;
    if (next.text === undefined) {
      logger.warn('the node has no address for BGP and no router id: no session can run', {
        node: plan.local.nodeName,
      });
      if (this.#running) await this.#process.stop();
      this.#running = false;
      this.#inForce = false;
      this.#refused = [];
      this.#plan = plan;
      return ok(undefined);
    }
    for (const { peer, reason } of next.refused)
      if (!this.#refused.some((r) => r.peer === peer && r.reason === reason))
        logger.warn('no session is possible', { peer, reason });
    if (!this.#inForce || next.text !== this.#written) {
      const written = await this.#write(next.text);
      if (!written.ok) return written;
      const taken = this.#running ? await this.#configure() : await this.#start();
      if (!taken.ok) return taken;
      this.#inForce = true;
      this.#configuredAt = this.#options.clock.now();
    }
    this.#refused = next.refused;
    this.#plan = plan;
    return ok(undefined);
  }

  /** Checked before it gets its name: what stands in bird.cfg is always good. */
  async #write(text: string): Promise<Result<void, BirdError>> {
    const { directory, program, socket } = this.#options;
    const draft = `${this.configFile}.new`;
    try {
      for (const dir of [directory, dirname(socket)]) mkdirSync(dir, { recursive: true });
      // Passwords stand in it.
      writeFileSync(draft, text, { mode: 0o600 });
      chmodSync(draft, 0o600);
    } catch (error) {
      return err(failure('NoDirectory', `Cannot write ${draft}: ${(error as Error).message}.`));
    }
    const checked = await check(program, draft);
    if (!checked.ok) return checked;
    renameSync(draft, this.configFile);
    this.#written = text;
    this.#inForce = false;
    return ok(undefined);
  }

  async #start(): Promise<Result<void, BirdError>> {
    const started = await this.#process.start();
    // Also a BIRD that failed at first: it is tried again and again with the file that is there.
    this.#running = true;
    if (!started.ok) return started;
    try {
      rmSync(this.#socket6, { force: true });
      symlinkSync(this.#options.socket, this.#socket6);
    } catch (error) {
      this.#options.logger.warn('no second control socket', { reason: (error as Error).message });
    }
    return ok(undefined);
  }

  async #configure(): Promise<Result<void, BirdError>> {
    const answer = await this.ask('configure');
    if (!answer.ok) return answer;
    const last = answer.value.at(-1);
    if (last === undefined || !takenCodes.has(last.code))
      return err(failure('Refused', `BIRD does not take the configuration: ${last?.text ?? ''}.`));
    this.#reloads++;
    return ok(undefined);
  }
}

/** `bird -p`: is this a configuration? */
function check(program: string, file: string): Promise<Result<void, BirdError>> {
  return new Promise((resolve) => {
    const child = spawn(program, ['-p', '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), checkTimeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve(
        err(failure('NoBird', `Cannot run ${program}: ${error.message}.`, 'Debian has it as package bird2.')),
      );
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve(
        code === 0
          ? ok(undefined)
          : err(failure('BadConfiguration', `BIRD does not accept ${file}: ${text.trim()}.`)),
      );
    });
  });
}
