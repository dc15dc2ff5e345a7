// What another back end, another variant or Calico before us left in iptables and ipset goes when our own rules stand (FX-006).
import { ok, type Result } from '../../../lib/result.ts';
import type { Kernel } from '../../../kernel/mod.ts';
import { presentVariants } from './choice.ts';
import type { CommandRunner } from './commands.ts';
import { destroySets, isLeftover, readSets, readTables, tool, type Variant } from './operations.ts';
import type { TableChange } from './restore.ts';
import { applyTables, type Outcomes } from './tables.ts';

export type Leftovers = {
  readonly runner: CommandRunner;
  readonly kernel: Pick<Kernel, 'nftables'>;
  /** The variant that is in use; the sets are, too, then. */
  readonly kept: Variant | undefined;
};

/** Gives how many chains, hooks and sets there were. */
export async function removeAll({ runner, kernel, kept }: Leftovers): Promise<Result<number>> {
  const present = await presentVariants(kernel, runner);
  if (!present.ok) return present;
  let count = 0;
  for (const variant of present.value) {
    if (variant === kept) continue;
    const removed = await removeTables(runner, variant);
    if (!removed.ok) return removed;
    count += removed.value;
  }
  if (kept !== undefined || present.value.length === 0) return ok(count);
  const sets = await removeSets(runner);
  return sets.ok ? ok(count + sets.value) : sets;
}

/** Everything of ours in a variant's tables, each of them at once. */
async function removeTables(runner: CommandRunner, variant: Variant): Promise<Result<number>> {
  let count = 0;
  for (const family of [4, 6] as const) {
    const found = await readTables(runner, variant, family);
    // What is not installed has left nothing.
    if (!found.ok && found.error.code === 'ToolMissing') continue;
    if (!found.ok) return found;
    const changes = [...found.value].flatMap(([key, actual]): readonly TableChange[] =>
      isLeftover(actual) ? [{ op: 'remove', key, actual }] : [],
    );
    const outcomes: Outcomes = new Map();
    await applyTables(changes, outcomes, (input) =>
      runner.run(tool(family, variant, 'restore'), ['--noflush', '--wait', '10'], input),
    );
    for (const outcome of outcomes.values()) if (!outcome.ok) return outcome;
    count += changes.length;
  }
  return ok(count);
}

/** Takes all sets of ours away. */
async function removeSets(runner: CommandRunner): Promise<Result<number>> {
  const found = await readSets(runner);
  if (!found.ok) return found.error.code === 'ToolMissing' ? ok(0) : found;
  const changes = [...found.value].flatMap(([key, actual]): readonly TableChange[] =>
    actual.kind === 'set' ? [{ op: 'remove', key, actual }] : [],
  );
  const outcomes: Outcomes = new Map();
  await destroySets(changes, outcomes, runner);
  for (const outcome of outcomes.values()) if (!outcome.ok) return outcome;
  return ok(changes.length);
}
