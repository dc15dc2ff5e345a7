// Two small tools for callers that share work inside one process.

/** One at a time per key, in the order of arrival. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  async hold<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    let free: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      free = resolve;
    });
    this.#tails.set(key, held);
    try {
      await before;
      return await work();
    } finally {
      free();
      if (this.#tails.get(key) === held) this.#tails.delete(key);
    }
  }
}

/** Callers share one run of the work. Who comes while it runs shares the next: nobody gets an answer older than his call. */
export class SharedWork<T> {
  readonly #work: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(work: () => Promise<T>) {
    this.#work = work;
  }

  run(): Promise<T> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  #start(): Promise<T> {
    this.#next = undefined;
    const run = this.#work().finally(() => {
      if (this.#running === run) this.#running = undefined;
    });
    this.#running = run;
    return run;
  }
}
