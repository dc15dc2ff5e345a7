// The log on disk: one SQLite table of changes, one row per revision. The newest row of a name is the object.
// A batch of changes is one transaction and one fsync. SQLite writes the transaction to its write-ahead log without
// waiting for the disk (synchronous = NORMAL); `flush` then syncs that file on a thread of its own, so that requests are
// read, and the next batch gathers, while the disk works. The frames of the file carry checksums: what was not synced when
// the power went is not there after it. Rows that are neither an object nor kept history are
// deleted with a later batch. Nothing is read after start: the store keeps the state in memory.
//
//   change(revision PRIMARY KEY, resource, namespace, name, deleted 0|1, body)
//   meta(key PRIMARY KEY, value)     format, compacted (the newest revision whose history is gone)
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { ServerError } from '../types.ts';
import type { Change } from './types.ts';

const format = 1;

export type LogRow = {
  readonly revision: number;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly deleted: number;
  readonly body: string;
};

export interface ChangeLog {
  readonly compacted: number;
  rows(): Iterable<LogRow>;
  /** All or nothing: appends the changes, removes the rows, notes the compaction. Throws when the disk refuses. */
  append(changes: readonly Change[], removeRevisions: readonly number[], compacted: number): void;
  /** Resolves when everything appended survives what it is meant to survive. */
  flush(): Promise<void>;
  close(): void;
}

export function openLog(data: string, durability: 'power' | 'process'): Result<ChangeLog, ServerError> {
  const path = data === ':memory:' ? data : join(data, 'margay.db');
  let db: DatabaseSync;
  try {
    if (data !== ':memory:') makeDirectory(resolve(data));
    db = new DatabaseSync(path);
  } catch (cause) {
    return err(unusable(path, cause));
  }
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE');
    db.exec('PRAGMA journal_mode = WAL');
    db.exec('PRAGMA synchronous = NORMAL');
    db.exec('PRAGMA wal_autocheckpoint = 1500');
    db.exec(
      'CREATE TABLE IF NOT EXISTS change (revision INTEGER PRIMARY KEY, resource TEXT NOT NULL, ' +
        'namespace TEXT NOT NULL, name TEXT NOT NULL, deleted INTEGER NOT NULL, body TEXT NOT NULL)',
    );
    db.exec('CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL)');
    db.exec(`INSERT INTO meta VALUES ('format', ${format}) ON CONFLICT DO NOTHING`);
    db.exec(`INSERT INTO meta VALUES ('compacted', 0) ON CONFLICT DO NOTHING`);
    const stored = db.prepare(`SELECT value FROM meta WHERE key = 'format'`).get()?.['value'];
    if (stored !== format) {
      db.close();
      return err(
        failure('DataUnusable', `${path} has format ${String(stored)}; this program reads format ${format}.`),
      );
    }
    return ok(new SqliteLog(db, data === ':memory:' || durability === 'process' ? undefined : `${path}-wal`));
  } catch (cause) {
    db.close();
    return err(unusable(path, cause));
  }
}

/** As mkdir -p. Node's own recursive mode never returns where the parent takes no directories (/proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

/** What to say of a database that cannot be opened or read. */
export function unusable(path: string, cause: unknown): ServerError {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (/locked|busy/i.test(message)) {
    return failure(
      'DataInUse',
      `Another process uses the database ${path}.`,
      'Stop it, or choose another --data directory.',
    );
  }
  return failure(
    'DataUnusable',
    `The database ${path} cannot be opened: ${message}.`,
    'Check the directory and its permissions.',
  );
}

/** Room for the write-ahead log between two checkpoints (1500 pages of 4 kB, and what a large batch adds). */
const reservedBytes = 8 * 1024 * 1024;

/** Opens the write-ahead log and lets it have its full length at once: syncing a file that does not grow takes a tenth
 *  of the time, as no metadata has to be journaled. SQLite takes zeros after its last frame for the end of the log. */
function openReserved(path: string): number {
  const descriptor = openSync(path, 'r+');
  const { size } = fstatSync(descriptor);
  if (size < reservedBytes) {
    writeSync(descriptor, new Uint8Array(reservedBytes - size), 0, reservedBytes - size, size);
    fsyncSync(descriptor);
  }
  return descriptor;
}

class SqliteLog implements ChangeLog {
  compacted: number;
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #remove: StatementSync;
  readonly #compact: StatementSync;
  readonly #syncedFile: string | undefined;
  #descriptor: number | undefined;

  constructor(db: DatabaseSync, syncedFile: string | undefined) {
    this.#db = db;
    this.#syncedFile = syncedFile;
    this.#insert = db.prepare('INSERT INTO change VALUES (?, ?, ?, ?, ?, ?)');
    this.#remove = db.prepare('DELETE FROM change WHERE revision = ?');
    this.#compact = db.prepare(`UPDATE meta SET value = ? WHERE key = 'compacted'`);
    this.compacted = Number(
      db.prepare(`SELECT value FROM meta WHERE key = 'compacted'`).get()?.['value'] ?? 0,
    );
  }

  rows(): Iterable<LogRow> {
    const all = this.#db.prepare(
      'SELECT revision, resource, namespace, name, deleted, body FROM change ORDER BY revision',
    );
    return all.iterate() as Iterable<unknown> as Iterable<LogRow>;
  }

  append(changes: readonly Change[], removeRevisions: readonly number[], compacted: number): void {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      for (const { type, current } of changes) {
        this.#insert.run(
          current.revision,
          current.resource,
          current.namespace,
          current.name,
          type === 'DELETED' ? 1 : 0,
          current.text,
        );
      }
      for (const revision of removeRevisions) this.#remove.run(revision);
      if (compacted !== this.compacted) this.#compact.run(compacted);
      this.#db.exec('COMMIT');
      this.compacted = compacted;
    } catch (cause) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw cause;
    }
  }

  flush(): Promise<void> {
    if (this.#syncedFile === undefined) return Promise.resolve();
    // SQLite keeps the file until the database is closed: one descriptor serves for the whole time.
    this.#descriptor ??= openReserved(this.#syncedFile);
    const descriptor = this.#descriptor;
    return new Promise((resolve, reject) => {
      fdatasync(descriptor, (cause) => (cause ? reject(cause) : resolve()));
    });
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#db.close();
  }
}
