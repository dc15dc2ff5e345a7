// How much the agent has worked, for metrics: batches through the calculation, lists of the datastore that began anew, and
// programs that were run.
import type { Clock } from '../../lib/clock.ts';
import type { CalcDelta } from '../calc/mod.ts';
import type { CommandRunner } from '../dataplane/mod.ts';

export type WorkCounts = {
  readonly calculations: number;
  readonly calculationMs: number;
  /** Rows and changes of policy that the calculation told, by type. */
  readonly told: ReadonlyMap<string, number>;
  readonly resyncs: number;
  /** How long it took until the kernel was in step for the first time. */
  readonly firstSyncMs: number | undefined;
  /** By name of the program. */
  readonly programs: ReadonlyMap<string, ProgramRuns>;
};

export type ProgramRuns = {
  readonly runs: number;
  readonly ms: number;
  readonly failures: number;
  /** Given to it on standard input. */
  readonly lines: number;
};

export class WorkCounters implements WorkCounts {
  readonly #clock: Clock;
  readonly programs = new Map<string, ProgramRuns>();
  readonly told = new Map<string, number>();
  calculations = 0;
  calculationMs = 0;
  resyncs = 0;
  firstSyncMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  calculation(work: () => CalcDelta): CalcDelta {
    const began = this.#clock.monotonic();
    const delta = work();
    this.calculations++;
    this.calculationMs += this.#clock.monotonic() - began;
    for (const { type } of delta.policy) this.#tell(type, 1);
    for (const [table, { set, deleted }] of Object.entries(delta.tables)) {
      this.#tell(table, set.length);
      this.#tell(`${table}-removed`, deleted.length);
    }
    return delta;
  }

  #tell(type: string, count: number): void {
    if (count > 0) this.told.set(type, (this.told.get(type) ?? 0) + count);
  }

  /** The runner, watched. */
  watched(runner: CommandRunner): CommandRunner {
    return {
      read: (path) => runner.read(path),
      run: async (command, args, input = '', ...rest) => {
        const began = this.#clock.monotonic();
        const result = await runner.run(command, args, input, ...rest);
        const known = this.programs.get(command) ?? { runs: 0, ms: 0, failures: 0, lines: 0 };
        this.programs.set(command, {
          runs: known.runs + 1,
          ms: known.ms + this.#clock.monotonic() - began,
          failures: known.failures + (result.code === 0 ? 0 : 1),
          lines: known.lines + input.split('\n').filter((line) => line !== '').length,
        });
        return result;
      },
    };
  }
}
