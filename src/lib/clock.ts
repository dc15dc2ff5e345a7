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

/** In the order they fire: by due time, and those of one time as they were set. */
type Pending = { readonly dueMs: number; readonly order: number; run: (() => void) | undefined };
const isBefore = (a: Pending, b: Pending): boolean =>
  a.dueMs !== b.dueMs ? a.dueMs < b.dueMs : a.order < b.order;

/** Virtual time: nothing happens until `advance` is called; timers fire in order of their due time. */
export class VirtualClock implements Clock {
  #now: number;
  #next = 0;
  /** A binary heap: tests with thousands of sessions have as many timers. Cancelled ones stay until they are due. */
  readonly #timers: Pending[] = [];

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
    const timer: Pending = { dueMs: this.#now + Math.max(0, delayMs), order: this.#next++, run };
    const timers = this.#timers;
    let at = timers.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, timers[parent]!)) break;
      timers[at] = timers[parent]!;
      at = parent;
    }
    timers[at] = timer;
    return { cancel: () => void (timer.run = undefined) };
  }

  /** Moves time forward and runs what became due, including timers set by those that ran. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let first = this.#timers[0]; first !== undefined && first.dueMs <= end; first = this.#timers[0]) {
      this.#removeFirst();
      const { run } = first;
      if (run === undefined) continue;
      first.run = undefined;
      this.#now = Math.max(this.#now, first.dueMs);
      run();
    }
    this.#now = end;
  }

  #removeFirst(): void {
    const timers = this.#timers;
    const last = timers.pop();
    if (last === undefined || timers.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= timers.length) break;
      if (child + 1 < timers.length && isBefore(timers[child + 1]!, timers[child]!)) child++;
      if (!isBefore(timers[child]!, last)) break;
      timers[at] = timers[child]!;
      at = child;
    }
    timers[at] = last;
  }
}
