// What a restart waits for. The kernel still forwards by the routes of the killed process, and the peers keep its routes
// for the restart time. Two deadlines follow from that:
//
//   deferring  nothing is selected, announced or written until every neighbour has sent its table, or a few seconds are
//              over: peers would take half a table for the whole, and the kernel would flap
//   keeping    kernel routes that nobody has announced again stay until every neighbour has been heard, or the restart time
//              is over
import type { Clock, Timer } from '../../lib/clock.ts';

export type RecoveryPhase = 'deferring' | 'keeping' | 'done';

export type RecoveryOptions = {
  readonly clock: Clock;
  readonly deferMs: number;
  readonly keepMs: number;
  readonly onPhase: (phase: RecoveryPhase) => void;
};

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #awaited = new Set<string>();
  /** Of these, who has restarted too and waits for us. */
  readonly #restarted = new Set<string>();
  #phase: RecoveryPhase;
  #timers: Timer[] = [];

  /** `restarted`: the kernel holds routes of an earlier run. */
  constructor(options: RecoveryOptions, restarted: boolean, neighbours: Iterable<string>) {
    this.#options = options;
    this.#phase = restarted ? 'deferring' : 'done';
    if (!restarted) return;
    for (const name of neighbours) this.#awaited.add(name);
    this.#timers = [
      options.clock.after(options.deferMs, () => this.#enter('keeping')),
      options.clock.after(options.keepMs, () => this.#enter('done')),
    ];
    if (this.#awaited.size === 0) this.#enter('done');
  }

  get phase(): RecoveryPhase {
    return this.#phase;
  }

  get awaiting(): string[] {
    return [...this.#awaited].sort();
  }

  /** The neighbour has sent its table, or is no neighbour any more. */
  heard(name: string): void {
    if (!this.#awaited.delete(name)) return;
    if (this.#awaited.size === 0) this.#enter('done');
    else this.#proceed();
  }

  /** The neighbour has restarted as well: it says its table when we have said ours, so that only what is in the kernel
   *  waits for it (RFC 4724 section 4.1). */
  restarts(name: string): void {
    if (!this.#awaited.has(name)) return;
    this.#restarted.add(name);
    this.#proceed();
  }

  /** Nothing more to wait for before routes are selected. */
  #proceed(): void {
    for (const name of this.#awaited) if (!this.#restarted.has(name)) return;
    this.#enter('keeping');
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers = [];
  }

  #enter(phase: RecoveryPhase): void {
    if (this.#phase === 'done' || this.#phase === phase) return;
    this.#phase = phase;
    if (phase === 'done') this.stop();
    this.#options.onPhase(phase);
  }
}
