// Brings the kernel to a table of desired rows and keeps it there. One engine for first start, steady state, restart and
// repair: it holds what the kernel is believed to contain, and writes only where that differs from the rows.
//
//   rows (table.ts) ──set, delete──► dirty keys ──► apply (batched) ──► kernel
//                                       ▲                                  │
//                     drift, settle time│◄──── events, dumps (audit) ◄─────┘
//
// Invariants: nothing is written before the first dump; a row equal to the kernel's state is never written; one apply at
// a time; a failed row is tried again with back-off and does not hold up the others, but rows that look at what it belongs
// to (`Operations.closing`) are closed until the kernel takes it. An event sets the believed state,
// whoever caused it: events come in kernel order, so after the last one belief and kernel agree. A difference found that
// way waits `settleMs` before it is repaired, in which the echo of a newer own write arrives and clears it. A busy machine may
// let all of that time pass at once: what the kernel has told meanwhile is read before anything is done.
import { type Clock, type Timer, systemClock } from '../../lib/clock.ts';
import { type Logger, silentLogger } from '../../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { backoff } from '../../lib/wait.ts';
import type { Table } from './table.ts';
import type { ApplyFailure, Change, Observation, Operations, ReconcilerCounters } from './types.ts';

export type ReconcilerOptions = {
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** How long a difference reported by an event may last before it is repaired. */
  readonly settleMs?: number;
  /** Changes per apply. */
  readonly batchSize?: number;
  readonly firstRetryMs?: number;
  readonly maxRetryMs?: number;
  /** Full read and compare this often; 0: never. May be changed later. */
  readonly auditIntervalMs?: number;
};

export class Reconciler<Row, Actual> {
  readonly #actual = new Map<string, Actual>();
  /** Keys to look at, with the time from which they may be. */
  readonly #dirty = new Map<string, number>();
  readonly #attempts = new Map<string, number>();
  /** Keys events spoke of while a dump or apply was under way: the event may be newer than the answer, and if it is not,
   *  a newer event follows; so for these the event counts. */
  readonly #seen = new Set<string>();
  /** What is incomplete, and the refused rows that it lacks or should have let go. */
  readonly #incomplete = new Map<string, Set<string>>();
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: Required<Omit<ReconcilerOptions, 'clock' | 'logger' | 'auditIntervalMs'>>;
  readonly #counters = {
    dumps: 0,
    dumpFailures: 0,
    dumpMs: 0,
    applies: 0,
    applyMs: 0,
    puts: 0,
    removes: 0,
    failures: 0,
    drifted: 0,
  };
  #auditIntervalMs: number;
  #auditTimer: Timer | undefined;
  #wakeTimer: Timer | undefined;
  #started = false;
  #stopped = false;
  #synced = false;
  #resyncAtMs: number | undefined;
  #dumpAttempts = 0;
  #running: Promise<void> | undefined;
  #scheduled = false;
  #waking: Promise<void> | undefined;
  #dumpError: Failure | undefined;
  #lastProgressMs: number;

  readonly table: Table<Row>;
  readonly operations: Operations<Row, Actual>;

  constructor(table: Table<Row>, operations: Operations<Row, Actual>, options: ReconcilerOptions = {}) {
    this.table = table;
    this.operations = operations;
    this.#clock = options.clock ?? systemClock;
    this.#logger = (options.logger ?? silentLogger).with({ table: operations.name });
    this.#options = {
      settleMs: options.settleMs ?? 20,
      batchSize: options.batchSize ?? 512,
      firstRetryMs: options.firstRetryMs ?? 100,
      maxRetryMs: options.maxRetryMs ?? 30_000,
    };
    this.#auditIntervalMs = options.auditIntervalMs ?? 0;
    this.#lastProgressMs = this.#clock.monotonic();
    table.onChange((key) => this.#touch(key));
  }

  get counters(): ReconcilerCounters {
    return this.#counters;
  }

  /** True once a first dump was compared and every row had its first attempt. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Why the kernel cannot be read, while it cannot. */
  get dumpError(): Failure | undefined {
    return this.#dumpError;
  }

  /** How long an apply or dump has been under way without coming back; 0 when idle. */
  stuckForMs(): number {
    return this.#running === undefined ? 0 : this.#clock.monotonic() - this.#lastProgressMs;
  }

  /** Allows writing. Before it, rows only gather. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#resyncAtMs = this.#clock.monotonic();
    this.#armAudit();
    this.#schedule();
  }

  /** Ends after the apply under way; the kernel stays as it is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#auditTimer?.cancel();
    this.#wakeTimer?.cancel();
    await this.#running;
  }

  setAuditInterval(intervalMs: number): void {
    if (intervalMs === this.#auditIntervalMs) return;
    this.#auditIntervalMs = intervalMs;
    this.#armAudit();
  }

  /** Reads the kernel again, soon, and repairs what differs. */
  resync(reason: string): void {
    if (!this.#started || this.#stopped) return;
    this.#logger.debug('Resync requested', { reason });
    const atMs = this.#clock.monotonic() + this.#options.settleMs;
    this.#resyncAtMs = Math.min(this.#resyncAtMs ?? atMs, atMs);
    this.#schedule();
  }

  /** Looks at rows again whose `blocked` answer may have changed. */
  recheck(keys: Iterable<string>): void {
    for (const key of keys) this.#touch(key);
  }

  /** Takes what an event of the kernel says. */
  observe(observation: Observation<Actual>): void {
    if (!this.#started || this.#stopped) return;
    if (observation.type === 'resync') return this.resync(observation.reason);
    if (observation.type === 'forget') {
      for (const key of observation.keys) {
        this.#seen.add(key);
        this.#actual.delete(key);
        if (this.table.rows.has(key)) this.table.mark(key, { state: 'pending' });
        this.#touch(key);
      }
      return;
    }
    const { key, actual } = observation;
    this.#seen.add(key);
    this.#believe(key, actual);
    if (this.#agrees(key)) {
      // What was waiting to be done about the key is settled; run() reports it.
      if (this.#dirty.has(key)) this.#touch(key);
      return;
    }
    if (actual !== undefined && !this.#wanted(key)) this.#judgeOrphan(key, actual, false);
    else if (!this.#dirty.has(key)) this.#dirty.set(key, this.#clock.monotonic() + this.#options.settleMs);
    this.#schedule();
  }

  /** Resolves when nothing is left to do now (rows that wait or back off excepted). For tests and shutdown. */
  async idle(): Promise<void> {
    for (;;) {
      await this.#running;
      await this.#waking;
      if (this.#running === undefined && this.#waking === undefined && !this.#scheduled) return;
      await Promise.resolve();
    }
  }

  #touch(key: string): void {
    this.#dirty.set(key, 0);
    this.#schedule();
  }

  #believe(key: string, actual: Actual | undefined): void {
    if (actual === undefined) this.#actual.delete(key);
    else this.#actual.set(key, actual);
  }

  /** What the kernel is to hold under the key now. */
  #rowNow(key: string): Row | undefined {
    const row = this.table.rows.get(key);
    return row !== undefined && this.#isClosed(row) ? this.operations.closing?.closed(row) : row;
  }

  #isClosed(row: Row): boolean {
    const { closing } = this.operations;
    if (closing === undefined || this.#incomplete.size === 0) return false;
    const looks = this.#incomplete.keys().some((scope) => closing.looksInto(row, scope));
    return looks && closing.closed(row) !== undefined;
  }

  #agrees(key: string): boolean {
    return this.#isSame(this.#rowNow(key), this.#actual.get(key));
  }

  #isSame(row: Row | undefined, actual: Actual | undefined): boolean {
    if (row === undefined) return actual === undefined;
    return actual !== undefined && this.operations.equal(row, actual);
  }

  #armAudit(): void {
    this.#auditTimer?.cancel();
    if (!this.#started || this.#stopped || this.#auditIntervalMs <= 0) return;
    this.#auditTimer = this.#clock.after(this.#auditIntervalMs, () => {
      this.resync('periodic audit');
      this.#armAudit();
    });
  }

  #schedule(): void {
    if (!this.#started || this.#stopped || this.#scheduled || this.#running !== undefined) return;
    this.#scheduled = true;
    // A microtask: everything set in one go is one batch, and a waiting CNI ADD loses no time.
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#stopped || this.#running !== undefined) return;
      this.#lastProgressMs = this.#clock.monotonic();
      this.#running = this.#run().finally(() => {
        this.#running = undefined;
        this.#sleep();
      });
    });
  }

  /** Wakes up for what is due next. */
  #sleep(): void {
    this.#wakeTimer?.cancel();
    if (this.#stopped) return;
    let nextMs = this.#resyncAtMs ?? Number.POSITIVE_INFINITY;
    // Before the first dump nothing but the dump may happen.
    if (this.#counters.dumps > 0)
      for (const dueMs of this.#dirty.values()) if (dueMs < nextMs) nextMs = dueMs;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const delayMs = nextMs - this.#clock.monotonic();
    if (delayMs <= 0) this.#schedule();
    else this.#wakeTimer = this.#clock.after(delayMs, () => this.#wake());
  }

  /** Timers come before events in a turn of the loop: one that is late would repair what an event that waits explains. */
  #wake(): void {
    this.#waking ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#waking = undefined;
        this.#schedule();
        resolve();
      });
    });
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#resyncAtMs !== undefined && this.#resyncAtMs <= this.#clock.monotonic()) {
        if (!(await this.#dump())) return;
      }
      if (this.#counters.dumps === 0) return;
      const changes = this.#takeChanges();
      if (changes.length === 0) {
        this.#synced = true;
        return;
      }
      await this.#apply(changes);
      this.#lastProgressMs = this.#clock.monotonic();
    }
  }

  async #dump(): Promise<boolean> {
    this.#resyncAtMs = undefined;
    const firstSync = this.#counters.dumps === 0;
    const beganMs = this.#clock.monotonic();
    const result = await this.#guarded(() => this.operations.dump(this.table.rows));
    this.#lastProgressMs = this.#clock.monotonic();
    this.#counters.dumpMs += this.#lastProgressMs - beganMs;
    if (!result.ok) {
      this.#counters.dumpFailures++;
      this.#dumpError = result.error;
      this.#logger.warn('Cannot read the kernel, will try again', { error: result.error });
      this.#resyncAtMs =
        this.#clock.monotonic() +
        backoff(this.#dumpAttempts++, this.#options.firstRetryMs, this.#options.maxRetryMs);
      return false;
    }
    this.#dumpAttempts = 0;
    this.#dumpError = undefined;
    this.#compare(result.value, firstSync);
    this.#counters.dumps++;
    return true;
  }

  #compare(found: ReadonlyMap<string, Actual>, firstSync: boolean): void {
    const nowMs = this.#clock.monotonic();
    const before = new Map(this.#actual);
    this.#actual.clear();
    for (const [key, actual] of found) this.#actual.set(key, actual);
    for (const key of this.#seen) this.#believe(key, before.get(key));
    for (const key of this.table.rows.keys()) {
      if (this.#agrees(key)) {
        this.#settle(key);
        continue;
      }
      if (!firstSync && this.table.status(key)?.state === 'done') {
        this.#counters.drifted++;
        this.#logger.info('Row differs from the kernel, repairing', { key });
        this.table.mark(key, { state: 'pending' });
      }
      // A row in back-off keeps its time.
      if (!this.#attempts.has(key)) this.#dirty.set(key, nowMs);
    }
    for (const [key, actual] of this.#actual) {
      if (this.table.rows.has(key)) continue;
      if (this.#wanted(key)) this.#dirty.set(key, this.#dirty.get(key) ?? nowMs);
      else this.#judgeOrphan(key, actual, firstSync);
    }
    for (const key of before.keys())
      if (!this.#actual.has(key) && !this.table.rows.has(key)) this.#settle(key);
  }

  /** A row asks for the key, or a removed row is still to be taken out of the kernel. */
  #wanted(key: string): boolean {
    return this.table.rows.has(key) || this.table.status(key) !== undefined;
  }

  /** Something in the kernel that no row asks for: the operations say whether it is ours to remove, and when. */
  #judgeOrphan(key: string, actual: Actual, firstSync: boolean): void {
    if (this.#attempts.has(key)) return;
    const verdict = this.operations.orphan?.(key, actual, firstSync) ?? 'leave';
    if (verdict === 'leave') {
      this.#actual.delete(key);
      this.#dirty.delete(key);
      return;
    }
    const delayMs = verdict === 'remove' ? (firstSync ? 0 : this.#options.settleMs) : verdict.removeAfterMs;
    const dueMs = this.#clock.monotonic() + delayMs;
    const already = this.#dirty.get(key);
    if (already === undefined || dueMs < already) this.#dirty.set(key, dueMs);
  }

  #settle(key: string): void {
    this.#dirty.delete(key);
    this.#attempts.delete(key);
    this.#completes(key);
    const row = this.table.rows.get(key);
    if (row === undefined || !this.#isClosed(row)) return this.table.markDone(key);
    const error = failure('Closed', 'Closed until the kernel takes all members of a set it looks into.');
    this.table.mark(key, { state: 'error', error, attempts: 0, retryAtMs: this.#clock.monotonic() });
  }

  /** The row under the key was refused: who looks at what it belongs to is closed. */
  #misses(key: string): void {
    const scope = this.operations.closing?.scopeOf(key);
    if (scope === undefined) return;
    const missing = this.#incomplete.get(scope);
    if (missing !== undefined) return void missing.add(key);
    this.#incomplete.set(scope, new Set([key]));
    const closed = this.#touchThoseWhoLookInto(scope);
    if (closed > 0) this.#logger.error('Closed until the kernel takes what it refused', { scope, closed });
  }

  #completes(key: string): void {
    if (this.#incomplete.size === 0) return;
    const scope = this.operations.closing?.scopeOf(key);
    const missing = scope === undefined ? undefined : this.#incomplete.get(scope);
    if (scope === undefined || missing?.delete(key) !== true || missing.size > 0) return;
    this.#incomplete.delete(scope);
    const opened = this.#touchThoseWhoLookInto(scope);
    if (opened > 0) this.#logger.info('Complete again, and open', { scope, opened });
  }

  #touchThoseWhoLookInto(scope: string): number {
    const { closing } = this.operations;
    let count = 0;
    for (const [key, row] of this.table.rows) {
      if (closing?.looksInto(row, scope) !== true || closing.closed(row) === undefined) continue;
      this.#dirty.set(key, 0);
      this.table.mark(key, { state: 'pending' });
      count++;
    }
    return count;
  }

  /** Takes a batch of due keys that need a write; settles those that need none. */
  #takeChanges(): Change<Row, Actual>[] {
    const nowMs = this.#clock.monotonic();
    const changes: Change<Row, Actual>[] = [];
    for (const [key, dueMs] of this.#dirty) {
      if (changes.length >= this.#options.batchSize) break;
      if (dueMs > nowMs) continue;
      const change = this.#changeFor(key);
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }

  #changeFor(key: string): Change<Row, Actual> | undefined {
    const row = this.#rowNow(key);
    const actual = this.#actual.get(key);
    if (this.#isSame(row, actual)) {
      this.#settle(key);
      return undefined;
    }
    this.#dirty.delete(key);
    if (row === undefined) {
      return actual === undefined ? undefined : { op: 'remove', key, actual };
    }
    const reason = this.operations.blocked?.(row);
    if (reason !== undefined) {
      this.table.mark(key, { state: 'pending', reason });
      return undefined;
    }
    if (this.table.status(key)?.state === 'done') {
      this.#counters.drifted++;
      this.#logger.info('Row was changed by somebody else, repairing', { key });
    }
    return { op: 'put', key, row, actual };
  }

  /** An exception is a bug of the operations; it must not end the reconciler. */
  async #guarded<T>(act: () => Promise<Result<T>>): Promise<Result<T>> {
    this.#seen.clear();
    try {
      return await act();
    } catch (error) {
      this.#logger.error('Unexpected exception', {
        error: error instanceof Error ? error.stack : String(error),
      });
      return err(
        failure('UnexpectedException', `The ${this.operations.name} table failed: ${String(error)}.`),
      );
    }
  }

  async #apply(changes: readonly Change<Row, Actual>[]): Promise<void> {
    const beganMs = this.#clock.monotonic();
    const applied = await this.#guarded(async () => ok(await this.operations.apply(changes)));
    this.#counters.applies++;
    this.#counters.applyMs += this.#clock.monotonic() - beganMs;
    const outcomes = applied.ok ? applied.value : changes.map(() => applied);
    for (const [i, change] of changes.entries()) {
      const outcome: Result<Actual | undefined, ApplyFailure> = outcomes[i] ?? {
        ok: false,
        error: failure('NoOutcome', `The ${this.operations.name} table got no answer for ${change.key}.`),
      };
      if (outcome.ok) this.#succeeded(change, outcome.value);
      else this.#failed(change, outcome.error);
    }
  }

  #succeeded(change: Change<Row, Actual>, actual: Actual | undefined): void {
    if (change.op === 'put') this.#counters.puts++;
    else this.#counters.removes++;
    if (!this.#seen.has(change.key)) this.#believe(change.key, actual);
    this.#attempts.delete(change.key);
    this.#completes(change.key);
    // The row may have changed meanwhile: then it is dirty and stays so.
    if (this.#agrees(change.key)) this.#settle(change.key);
    else if (!this.#dirty.has(change.key)) {
      this.#dirty.set(change.key, this.#clock.monotonic() + this.#options.settleMs);
    }
  }

  #failed(change: Change<Row, Actual>, error: ApplyFailure): void {
    this.#counters.failures++;
    if (error.isWhole !== true) this.#misses(change.key);
    const attempts = (this.#attempts.get(change.key) ?? 0) + 1;
    const retryAtMs =
      this.#clock.monotonic() + backoff(attempts - 1, this.#options.firstRetryMs, this.#options.maxRetryMs);
    this.#attempts.set(change.key, attempts);
    // Changed while it was being written: the new row deserves its own attempt at once.
    if (this.#dirty.has(change.key)) return;
    this.#dirty.set(change.key, retryAtMs);
    this.table.mark(change.key, { state: 'error', error, attempts, retryAtMs });
    this.#logger.warn('The kernel refused a row', { key: change.key, attempts, error });
  }
}
