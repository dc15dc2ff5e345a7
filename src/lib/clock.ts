// Time as an edge: whatever waits or stamps takes a Clock, so that tests run on virtual time.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
  after(delayMs: number, run: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, run) => {
    const handle = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Virtual time: nothing happens until `advance` is called; timers fire in order of their due time. */
export class VirtualClock implements Clock {
  #now: number;
  #next = 0;
  readonly #timers = new Map<number, { dueMs: number; run: () => void }>();

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): Timer {
    const id = this.#next++;
    this.#timers.set(id, { dueMs: this.#now + Math.max(0, delayMs), run });
    return { cancel: () => void this.#timers.delete(id) };
  }

  /** Moves time forward and runs what became due, including timers set by those that ran. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let due: [number, { dueMs: number; run: () => void }] | undefined;
      for (const entry of this.#timers) {
        if (entry[1].dueMs <= end && (due === undefined || entry[1].dueMs < due[1].dueMs)) due = entry;
      }
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].dueMs);
      due[1].run();
    }
    this.#now = end;
  }
}
