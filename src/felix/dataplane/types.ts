// The reconciler contract: what a table of desired rows, and the operations that bring the kernel to it, look like.
// One contract serves routes, sysctls, nftables and whatever comes later; reconciler.ts is its only engine.
import type { Failure, Result } from '../../lib/result.ts';

/** `pending`: not in the kernel yet, `reason` when it waits for something (an interface to appear).
 *  `error`: the kernel refused it; tried again at `retryAtMs` (monotonic clock). */
export type RowStatus =
  | { readonly state: 'pending'; readonly reason?: string }
  | { readonly state: 'done' }
  | {
      readonly state: 'error';
      readonly error: Failure;
      readonly attempts: number;
      readonly retryAtMs: number;
    };

/** One write. `actual` is what the kernel is believed to hold under the key. */
export type Change<Row, Actual> =
  | { readonly op: 'put'; readonly key: string; readonly row: Row; readonly actual: Actual | undefined }
  | { readonly op: 'remove'; readonly key: string; readonly actual: Actual };

/** What to do with something found in the kernel that no row asks for. */
export type OrphanVerdict = 'remove' | 'leave' | { readonly removeAfterMs: number };

/** What an event of the kernel says about rows of this table. */
export type Observation<Actual> =
  /** The kernel now holds `actual` under the key (undefined: nothing). Compared with the row: an own write is no drift. */
  | { readonly type: 'actual'; readonly key: string; readonly actual: Actual | undefined }
  /** The rows' surroundings changed (interface came, went, was replaced): forget what was believed, apply again. */
  | { readonly type: 'forget'; readonly keys: readonly string[] }
  /** Read everything again. */
  | { readonly type: 'resync'; readonly reason: string };

/** The edge of one table: how its rows are read from, compared with, and written to the kernel. */
export interface Operations<Row, Actual> {
  readonly name: string;
  /** Rows with equal keys take the same place in the kernel. */
  keyOf(row: Row): string;
  /** Everything of this table's kind, under the keys rows would have. `rows` for tables that can only be read row by row. */
  dump(rows: ReadonlyMap<string, Row>): Promise<Result<ReadonlyMap<string, Actual>>>;
  equal(row: Row, actual: Actual): boolean;
  /** Why the row cannot be applied now, or undefined. Asked before every attempt. */
  blocked?(row: Row): string | undefined;
  /** `firstSync`: state of an earlier run may still be there. Default: leave. */
  orphan?(key: string, actual: Actual, firstSync: boolean): OrphanVerdict;
  /** One outcome per change, in order: what the kernel holds afterwards, or why it refused. */
  apply(
    changes: readonly Change<Row, Actual>[],
  ): Promise<readonly Result<Actual | undefined, ApplyFailure>[]>;
  /** How rows that look at others are kept from meaning something else while one of those is refused. */
  readonly closing?: Closing<Row>;
}

/** `isWhole`: nothing of what was written at once is in the kernel, which holds what it held before. */
export type ApplyFailure = Failure & { readonly isWhole?: true };

/** A set that lacks a member allows what it should deny: chains that look into it are closed until it has it. */
export type Closing<Row> = {
  /** What is incomplete while the row under the key is refused (a set); undefined: nothing. */
  scopeOf(key: string): string | undefined;
  looksInto(row: Row, scope: string): boolean;
  /** The row closed; undefined: it cannot be. */
  closed(row: Row): Row | undefined;
};

/** Numbers of one table, for metrics and health. */
export type TableCounts = {
  readonly rows: number;
  readonly done: number;
  readonly pending: number;
  readonly errors: number;
};

export type ReconcilerCounters = {
  /** Full reads of the kernel. */
  readonly dumps: number;
  readonly dumpFailures: number;
  readonly dumpMs: number;
  /** Batches of rows that were written at once, and what they took. */
  readonly applies: number;
  readonly applyMs: number;
  /** Rows written and removed with success. */
  readonly puts: number;
  readonly removes: number;
  readonly failures: number;
  /** Rows found changed by somebody else. */
  readonly drifted: number;
};
