// The table of sets, chains and hooks towards the kernel: read by iptables-save and ipset save, written by one ipset restore
// and one iptables-restore per family, in an order in which nothing leads into the void:
//
//   sets made, members put in and out  ─►  chains and hooks, each table at once  ─►  sets no chain asks for any more
//
// A line that the kernel refuses fails its row alone: the restore is done again without it. A new chain whose rules are
// refused is there with a denial in it, so that what leads to it is closed; one that was there stays as it was.
import { err, failure, ok, type Result } from '../../../lib/result.ts';
import type { Family } from '../../../lib/ip/mod.ts';
import type { Operations } from '../types.ts';
import { toolFailure, type CommandRunner } from './commands.ts';
import { parseSave, parseSets, unreadTable } from './listings.ts';
import { isRuleChain, temporarySetName } from './names.ts';
import { hashesOf, isSameHook, type TableChange } from './restore.ts';
import { applyTables, type Outcome, type Outcomes } from './tables.ts';
import { type Actual, type Row, rowKey } from './types.ts';

export type Variant = 'legacy' | 'nft';

export type OperationOptions = {
  readonly runner: CommandRunner;
  readonly variant: Variant;
  readonly families: readonly Family[];
  /** Rows as they are wanted: a set that is made anew needs all its members. */
  readonly rows: () => ReadonlyMap<string, Row>;
  /** Seconds to wait for the lock that all users of legacy iptables share. */
  readonly lockTimeoutSeconds?: () => number;
  /** Where that lock is; the programs know when absent. */
  readonly lockFile?: () => string;
  /** The kernel was written, or a write failed because it is not as believed: read it again. */
  readonly onWritten?: (isStale: boolean) => void;
};

export const tool = (family: Family, variant: Variant, what: 'save' | 'restore'): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}-${what}`;

/** What all tables of a family hold of ours. */
export async function readTables(
  runner: CommandRunner,
  variant: Variant,
  family: Family,
): Promise<Result<ReadonlyMap<string, Actual>>> {
  const command = tool(family, variant, 'save');
  const result = await runner.run(command, []);
  if (result.code !== 0) return err(toolFailure(command, result));
  const unread = unreadTable(result.stdout);
  if (unread === undefined) return ok(parseSave(result.stdout, family));
  return err(
    failure(
      'ToolFailed',
      `${command} cannot list the table ${unread}: it holds rules that were made by nft.`,
      'Remove those rules, or set nftablesMode to Enabled.',
    ),
  );
}

/** What ipset holds of ours. */
export async function readSets(runner: CommandRunner): Promise<Result<ReadonlyMap<string, Actual>>> {
  const result = await runner.run('ipset', ['save']);
  return result.code === 0 ? ok(parseSets(result.stdout)) : err(toolFailure('ipset save', result));
}

export const isLeftover = (actual: Actual): boolean =>
  actual.kind === 'chain' || (actual.kind === 'hook' && actual.rules.some((rule) => rule !== undefined));

const isOfSet = (key: string): boolean => / (set|member) /.test(key.slice(0, 9));

export function iptablesOperations(options: OperationOptions): Operations<Row, Actual> {
  const { runner, variant } = options;
  const toolArguments = (): readonly string[] => [
    '--noflush',
    '--wait',
    String(options.lockTimeoutSeconds?.() || 10),
  ];

  const toolVariables = (): Readonly<Record<string, string>> => {
    const lockFile = options.lockFile?.() ?? '';
    return lockFile === '' ? {} : { XTABLES_LOCKFILE: lockFile };
  };

  return {
    name: 'iptables',
    keyOf: rowKey,

    async dump() {
      const found = new Map<string, Actual>();
      const listings = await Promise.all([
        ...options.families.map((family) => readTables(runner, variant, family)),
        readSets(runner),
      ]);
      for (const listing of listings) {
        if (!listing.ok) return listing;
        for (const [key, actual] of listing.value) found.set(key, actual);
      }
      return ok(found);
    },

    equal(row, actual) {
      if (row.kind === 'set' && actual.kind === 'set')
        return row.type === actual.type && row.maxSize === actual.maxSize;
      if (row.kind === 'member') return actual.kind === 'member';
      if (row.kind === 'chain' && actual.kind === 'chain') {
        const hashes = hashesOf(row.name, row.rules);
        return hashes.length === actual.hashes.length && hashes.every((hash, i) => hash === actual.hashes[i]);
      }
      return row.kind === 'hook' && actual.kind === 'hook' && isSameHook(row, actual.rules);
    },

    closing: {
      scopeOf: (key) => {
        const [, kind, set = ''] = key.split(' ', 3);
        return kind === 'member' ? set : undefined;
      },
      looksInto: (row, set) =>
        isOfPolicy(row) && row.rules.some((rule) => rule.includes(`--match-set ${set} `)),
      closed: (row) => (isOfPolicy(row) ? { ...row, rules: closedRules } : undefined),
    },

    orphan: (_key, actual) => (actual.kind === 'hook' && !isLeftover(actual) ? 'leave' : 'remove'),

    async apply(changes) {
      const outcomes: Outcomes = new Map();
      await applySets(changes, outcomes, options);
      const families = ([4, 6] as const).map(async (family) => {
        const mine = changes.filter(({ key }) => key.startsWith(`${family} `) && !isOfSet(key));
        await applyTables(mine, outcomes, (input) =>
          runner.run(tool(family, variant, 'restore'), toolArguments(), input, toolVariables()),
        );
      });
      await Promise.all(families);
      await destroySets(changes, outcomes, runner);
      const failed = changes.some(({ key }) => outcomes.get(key)?.ok === false);
      options.onWritten?.(failed);
      return changes.map(({ key }) => outcomes.get(key) ?? ok(undefined));
    },
  };
}

/** Other chains look into sets only to let something pass. */
const isOfPolicy = (row: Row): row is Extract<Row, { readonly kind: 'chain' }> =>
  row.kind === 'chain' && isRuleChain(row.name);

const closedRules: readonly string[] = ['--jump DROP'];

// ── sets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
type SetRow = Extract<Row, { readonly kind: 'set' }>;
type Line = { readonly text: string; readonly key: string };

const createLine = (name: string, { type, family, maxSize }: SetRow): string =>
  `create ${name} ${type} family ${family === 4 ? 'inet' : 'inet6'} maxelem ${maxSize}`;

/** A set that loses more than this, and more than it keeps, is made anew: it goes in one line. */
const manyMembers = 500;

async function applySets(
  changes: readonly TableChange[],
  outcomes: Outcomes,
  { runner, rows }: OperationOptions,
): Promise<void> {
  const created: Line[] = [];
  const members: Line[] = [];
  const removed: Line[] = [];
  const going = new Set(
    changes.flatMap(({ op, key }) => (op === 'remove' && / set /.test(key) ? [key] : [])),
  );
  const renewed = renewedSets(changes, going, rows());
  for (const [i, change] of changes.entries()) {
    const { key } = change;
    if (change.op === 'remove') {
      if (change.actual.kind !== 'member') continue;
      const [family, , set = '', ...member] = key.split(' ');
      const ofSet = `${family} set ${set}`;
      // Members of a set that goes go with it.
      if (!going.has(ofSet) && !renewed.has(ofSet))
        removed.push({ key, text: `del ${set} ${member.join(' ')}` });
      outcomes.set(key, ok(undefined));
    } else if (change.row.kind === 'set') {
      const { row } = change;
      outcomes.set(key, ok({ kind: 'set', type: row.type, maxSize: row.maxSize }));
      if (change.actual === undefined) created.push({ key, text: createLine(row.name, row) });
      else created.push(...rewrite(row, key, i, rows()));
    } else if (change.row.kind === 'member') {
      outcomes.set(key, ok({ kind: 'member' }));
      if (!renewed.has(`${change.row.family} set ${change.row.set}`))
        members.push({ key, text: `add ${change.row.set} ${change.row.member}` });
    }
  }
  for (const [i, [key, row]] of [...renewed].entries())
    created.push(...rewrite(row, key, changes.length + i, rows()));
  // What leaves makes room for what comes.
  await restoreSets([...created, ...removed, ...members], outcomes, runner);
  failMembers(changes, outcomes, renewed);
}

/** Sets that stay and lose most of their members, by their keys. */
function renewedSets(
  changes: readonly TableChange[],
  going: ReadonlySet<string>,
  rows: ReadonlyMap<string, Row>,
): ReadonlyMap<string, SetRow> {
  const losses = new Map<string, number>();
  for (const { op, key } of changes) {
    if (op !== 'remove' || !/^. member /.test(key)) continue;
    const [family, , set = ''] = key.split(' ', 3);
    const ofSet = `${family} set ${set}`;
    losses.set(ofSet, (losses.get(ofSet) ?? 0) + 1);
  }
  const changed = new Set(changes.map(({ key }) => key));
  const renewed = new Map<string, SetRow>();
  for (const [key, lost] of losses) {
    const row = rows.get(key);
    if (lost <= manyMembers || row?.kind !== 'set' || going.has(key) || changed.has(key)) continue;
    if (lost > membersOf(row.name, rows).length) renewed.set(key, row);
  }
  return renewed;
}

const membersOf = (set: string, rows: ReadonlyMap<string, Row>): readonly string[] =>
  [...rows.values()].flatMap((row) => (row.kind === 'member' && row.set === set ? [row.member] : []));

/** What was to become of the members of a set that could not be made anew did not. */
function failMembers(
  changes: readonly TableChange[],
  outcomes: Outcomes,
  renewed: ReadonlyMap<string, SetRow>,
): void {
  for (const key of renewed.keys()) {
    const outcome = outcomes.get(key);
    if (outcome?.ok !== false) continue;
    const start = key.replace(' set ', ' member ');
    for (const change of changes) if (change.key.startsWith(`${start} `)) outcomes.set(change.key, outcome);
  }
}

/** A set of another type or size takes the old one's place with all its members at once. */
function rewrite(row: SetRow, key: string, number: number, rows: ReadonlyMap<string, Row>): readonly Line[] {
  const name = temporarySetName(row.family, number);
  const members = membersOf(row.name, rows).map((member) => `add ${name} ${member}`);
  return [createLine(name, row), ...members, `swap ${name} ${row.name}`, `destroy ${name}`].map((text) => ({
    text,
    key,
  }));
}

/** More refusals than this, and the rest of the lines shares the last one's reason. */
const mostRefusals = 200;
/** A set that took none of so many members is full: the rest is not tried. */
const mostRefusalsOfSet = 3;

async function restoreSets(lines: readonly Line[], outcomes: Outcomes, runner: CommandRunner): Promise<void> {
  let left = lines;
  const bySet = new Map<string, number>();
  for (let refusals = 0; left.length > 0; refusals++) {
    const input = left.map(({ text }) => `${text}\n`).join('');
    const result = await runner.run('ipset', ['restore', '-exist'], input);
    if (result.code === 0) return;
    const error = err(toolFailure('ipset restore', result));
    const number = Number(/in line (\d+)/.exec(result.stderr)?.[1] ?? Number.NaN);
    const culprit = left[number - 1];
    if (culprit === undefined || refusals >= mostRefusals) {
      const whole: Outcome = err({ ...error.error, ...(culprit === undefined ? { isWhole: true } : {}) });
      for (const { key } of left) outcomes.set(key, whole);
      return;
    }
    outcomes.set(culprit.key, error);
    // The rest of a rewriting belongs to its refused line.
    left = left.slice(number).filter(({ key }) => key !== culprit.key);
    const [command, set = ''] = culprit.text.split(' ');
    const count = (bySet.get(set) ?? 0) + 1;
    if (command !== 'add') continue;
    bySet.set(set, count);
    if (count < mostRefusalsOfSet) continue;
    const start = `add ${set} `;
    for (const { key, text } of left) if (text.startsWith(start)) outcomes.set(key, error);
    left = left.filter(({ text }) => !text.startsWith(start));
  }
}

export async function destroySets(
  changes: readonly TableChange[],
  outcomes: Outcomes,
  runner: CommandRunner,
): Promise<void> {
  const lines = changes.flatMap(({ op, key }) => {
    const [, kind, name = ''] = key.split(' ');
    return op === 'remove' && kind === 'set' ? [{ key, text: `destroy ${name}` }] : [];
  });
  for (const { key } of lines) outcomes.set(key, ok(undefined));
  await restoreSets(lines, outcomes, runner);
}
