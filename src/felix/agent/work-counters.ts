// How much the agent has worked, for metrics: batches through the calculation, lists of the datastore that began anew, and
// programs that were run.
import type { Clock } from '../../lib/clock.ts';
import type { CalcDelta } from '../calc/mod.ts';
import type { CommandRunner } from '../dataplane/mod.ts';

export type WorkCounts = {
  readonly calculations: number;
  readonly calculationMs: number;
  /** Rows and changes of policy that the calculation told. */
  readonly told: number;
  readonly resyncs: number;
  /** By name of the program. */
  readonly programs: ReadonlyMap<string, { readonly runs: number; readonly ms: number }>;
};

export class WorkCounters implements WorkCounts {
  readonly #clock: Clock;
  readonly programs = new Map<string, { runs: number; ms: number }>();
  calculations = 0;
  calculationMs = 0;
  told = 0;
  resyncs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  calculation(work: () => CalcDelta): CalcDelta {
    const began = this.#clock.monotonic();
    const delta = work();
    this.calculations++;
    this.calculationMs += this.#clock.monotonic() - began;
    this.told += delta.policy.length;
    for (const { set, deleted } of Object.values(delta.tables)) this.told += set.length + deleted.length;
    return delta;
  }

  /** The runner, watched. */
  watched(runner: CommandRunner): CommandRunner {
    return {
      read: (path) => runner.read(path),
      run: async (command, ...rest) => {
        const began = this.#clock.monotonic();
        const result = await runner.run(command, ...rest);
        const known = this.programs.get(command) ?? { runs: 0, ms: 0 };
        this.programs.set(command, {
          runs: known.runs + 1,
          ms: known.ms + this.#clock.monotonic() - began,
        });
        return result;
      },
    };
  }
}
