// A table of desired rows with the status of each: the one place where what should be and how far it got are written
// down. Whoever computes rows calls set and delete; the table's reconciler reads them and reports back; whoever needs
// rows in the kernel (CNI ADD) waits with whenDone.
import { type Clock, systemClock } from '../../lib/clock.ts';
import { type Failure, type Result, err, failure, ok } from '../../lib/result.ts';
import type { RowStatus, TableCounts } from './types.ts';

const pending: RowStatus = { state: 'pending' };
const done: RowStatus = { state: 'done' };

type Waiter = { readonly missing: Set<string>; readonly finish: () => void };

export class Table<Row> {
  readonly #rows = new Map<string, Row>();
  /** A removed row keeps its status until the kernel has let go of it. */
  readonly #status = new Map<string, RowStatus>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  #onChange: (key: string) => void = () => undefined;

  readonly name: string;
  readonly keyOf: (row: Row) => string;
  readonly #clock: Clock;

  constructor(name: string, keyOf: (row: Row) => string, clock: Clock = systemClock) {
    this.name = name;
    this.keyOf = keyOf;
    this.#clock = clock;
  }

  get rows(): ReadonlyMap<string, Row> {
    return this.#rows;
  }

  /** Makes the row desired, or replaces it. */
  set(row: Row, key = this.keyOf(row)): void {
    this.#rows.set(key, row);
    this.#status.set(key, pending);
    this.#onChange(key);
  }

  delete(key: string): void {
    if (!this.#rows.delete(key)) return;
    this.#status.set(key, pending);
    this.#onChange(key);
  }

  /** undefined: nothing is known under the key, neither desired nor left in the kernel. */
  status(key: string): RowStatus | undefined {
    return this.#status.get(key);
  }

  counts(): TableCounts {
    let finished = 0;
    let errors = 0;
    for (const status of this.#status.values()) {
      if (status.state === 'done') finished++;
      else if (status.state === 'error') errors++;
    }
    return { rows: this.#rows.size, done: finished, errors, pending: this.#status.size - finished - errors };
  }

  /** Rows that are not done, with their status. */
  *unfinished(): Generator<[string, RowStatus]> {
    for (const entry of this.#status) if (entry[1].state !== 'done') yield entry;
  }

  /** Resolves when every key is settled: a desired row is in the kernel, a removed one is out of it. An error does not
   *  settle a row, it is tried again; the deadline ends the wait with the rows that are missing and why. */
  async whenDone(keys: Iterable<string>, deadlineMs: number): Promise<Result<void>> {
    const missing = new Set<string>();
    for (const key of keys) if (!this.#settled(key)) missing.add(key);
    if (missing.size > 0) await this.#wait(missing, deadlineMs);
    if (missing.size === 0) return ok(undefined);
    return err(this.#lateFailure(missing, deadlineMs));
  }

  #wait(missing: Set<string>, deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        missing,
        finish: () => {
          timer.cancel();
          for (const key of missing) this.#unregister(key, waiter);
          resolve();
        },
      };
      const timer = this.#clock.after(deadlineMs, waiter.finish);
      for (const key of missing) {
        const waiters = this.#waiters.get(key) ?? new Set();
        this.#waiters.set(key, waiters.add(waiter));
      }
    });
  }

  #unregister(key: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(key);
    if (waiters?.delete(waiter) && waiters.size === 0) this.#waiters.delete(key);
  }

  #lateFailure(missing: ReadonlySet<string>, deadlineMs: number): Failure {
    const reasons = [...missing].slice(0, 3).map((key) => {
      const status = this.#status.get(key);
      if (status?.state === 'error') return `${key}: ${status.error.message}`;
      if (status?.state === 'pending' && status.reason !== undefined) return `${key}: ${status.reason}`;
      return `${key}: not applied yet`;
    });
    return failure(
      'DeadlineExceeded',
      `${missing.size} row(s) of table ${this.name} were not in the kernel after ${deadlineMs} ms (${reasons.join('; ')}).`,
    );
  }

  #settled(key: string): boolean {
    const status = this.#status.get(key);
    return status === undefined ? !this.#rows.has(key) : status.state === 'done';
  }

  // ── for the reconciler ──

  /** Called after each change of a desired row. One reconciler per table. */
  onChange(listener: (key: string) => void): void {
    this.#onChange = listener;
  }

  /** The kernel agrees with the table about this key. */
  markDone(key: string): void {
    if (this.#rows.has(key)) this.#status.set(key, done);
    else this.#status.delete(key);
    const waiters = this.#waiters.get(key);
    this.#waiters.delete(key);
    for (const waiter of waiters ?? []) {
      waiter.missing.delete(key);
      if (waiter.missing.size === 0) waiter.finish();
    }
  }

  mark(key: string, status: RowStatus): void {
    this.#status.set(key, status);
  }
}

/** Rows are small data: equal text is an equal row. */
export function setIfOther<Row>(table: Table<Row>, key: string, row: Row): void {
  const before = table.rows.get(key);
  if (before === undefined || JSON.stringify(before) !== JSON.stringify(row)) table.set(row, key);
}
