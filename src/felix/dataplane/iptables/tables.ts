// Writes the changes of one family's tables, whatever of them is refused:
//
//   a line is refused     its row is written otherwise (the whole chain in place of an edit; a denial in place of a new chain)
//                         or left out, and the rest is done again
//   a commit is refused   the kernel does not say why: everything new is made closed first, then chains are written in
//                         halves, and halves of halves, until those are alone that it refuses
//
// What is refused is an error of its own row; nothing else waits for it.
import { err, ok, type Failure, type Result } from '../../../lib/result.ts';
import { toolFailure, type CommandResult } from './commands.ts';
import {
  actualOf,
  compileRestore,
  tableOf,
  type RestoreInput,
  type TableChange,
  type Wording,
} from './restore.ts';
import type { ApplyFailure } from '../types.ts';
import type { Actual } from './types.ts';

export type Outcome = Result<Actual | undefined, ApplyFailure>;
/** By key of the row. */
export type Outcomes = Map<string, Outcome>;
type Restore = (input: string) => Promise<CommandResult>;

export async function applyTables(
  changes: readonly TableChange[],
  outcomes: Outcomes,
  restore: Restore,
): Promise<void> {
  const errors = await new Run(restore).apply(changes);
  for (const change of changes) {
    const error = errors.get(change.key);
    if (error !== undefined) outcomes.set(change.key, err(error));
    else if (change.op === 'remove') outcomes.set(change.key, ok(undefined));
    else if (change.row.kind === 'chain' || change.row.kind === 'hook')
      outcomes.set(change.key, ok(actualOf(change.row, change.actual)));
  }
}

type Refusal = { readonly error: Failure; readonly line: number };

class Run {
  readonly #restore: Restore;
  readonly #wording = new Map<string, Wording>();
  readonly #errors = new Map<string, Failure>();

  constructor(restore: Restore) {
    this.#restore = restore;
  }

  async apply(changes: readonly TableChange[]): Promise<ReadonlyMap<string, Failure>> {
    let left = changes;
    while (left.length > 0) {
      const input = compileRestore(left, (key) => this.#wording.get(key) ?? 'edit');
      const refusal = await this.#try(input);
      if (refusal === undefined) break;
      const done = input.tablesBefore(refusal.line);
      left = left.filter((change) => !done.has(tableOf(change)));
      left = await this.#without(left, input, refusal);
    }
    return this.#errors;
  }

  async #try({ text }: RestoreInput): Promise<Refusal | undefined> {
    const result = await this.#restore(text);
    if (result.code === 0) return undefined;
    const line = Number(/line:? (\d+)/.exec(result.stderr)?.[1] ?? Number.NaN);
    return { error: toolFailure('iptables-restore', result), line };
  }

  /** What is still to be done after the refusal. Each call gives up something: a wording, a row, a table. */
  async #without(
    left: readonly TableChange[],
    input: RestoreInput,
    { error, line }: Refusal,
  ): Promise<readonly TableChange[]> {
    const key = input.keyOfLine(line);
    const culprit = left.find((change) => change.key === key);
    if (culprit !== undefined) return this.#reword(culprit, left, error);
    const table = input.tableOfCommit(line);
    if (table === undefined) {
      this.#fail(left, error);
      return [];
    }
    await this.#isolate(left.filter((change) => tableOf(change) === table));
    return left.filter((change) => tableOf(change) !== table);
  }

  #reword(culprit: TableChange, left: readonly TableChange[], error: Failure): readonly TableChange[] {
    const now = this.#wording.get(culprit.key) ?? 'edit';
    const next = nextWording(culprit, now);
    if (next !== 'rewrite') this.#fail([culprit], error);
    if (next === undefined) return left.filter((change) => change !== culprit);
    this.#wording.set(culprit.key, next);
    return left;
  }

  async #isolate(changes: readonly TableChange[]): Promise<void> {
    const isNew = ({ op, actual }: TableChange): boolean => op === 'put' && actual === undefined;
    const isHook = (change: TableChange): boolean => change.op === 'put' && change.row.kind === 'hook';
    const base = changes.filter((change) => isNew(change) || isHook(change));
    const refusal = await this.#try(compileRestore(base, () => 'closed'));
    if (refusal !== undefined) return this.#fail(changes, refusal.error);
    await this.#halves(changes.filter((change) => change.op === 'put' && !isHook(change)));
    const removals = changes.filter(({ op }) => op === 'remove');
    const left = await this.#try(compileRestore(removals));
    if (left !== undefined) this.#fail(removals, left.error);
  }

  async #halves(chains: readonly TableChange[]): Promise<void> {
    if (chains.length === 0) return;
    const refusal = await this.#try(compileRestore(chains, () => 'rewrite'));
    if (refusal === undefined) return;
    if (chains.length === 1) return this.#fail(chains, refusal.error);
    const middle = chains.length >> 1;
    await this.#halves(chains.slice(0, middle));
    await this.#halves(chains.slice(middle));
  }

  #fail(changes: readonly TableChange[], error: Failure): void {
    for (const { key } of changes) this.#errors.set(key, error);
  }
}

/** How to try a refused row again; undefined: not at all. */
function nextWording(change: TableChange, now: Wording): Wording | undefined {
  if (change.op === 'remove' || change.row.kind !== 'chain') return undefined;
  if (change.actual === undefined) return now === 'closed' ? undefined : 'closed';
  return now === 'edit' ? 'rewrite' : undefined;
}
