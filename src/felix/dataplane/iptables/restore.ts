// Changes of chains as input for iptables-restore --noflush: one text per family, each table in it one commit. A chain that
// is there is edited line by line, so that rules that stay keep their counters; one that goes is emptied first and removed
// last, when nothing leads to it any more.
import type { Family } from '../../../lib/ip/mod.ts';
import { ruleComment } from '../nftables.ts';
import type { Change } from '../types.ts';
import { hashOf } from './listings.ts';
import { comment, line, type TableName } from './rules.ts';
import type { Actual, Row } from './types.ts';

export type TableChange = Change<Row, Actual>;
type ChainRow = Extract<Row, { readonly kind: 'chain' }>;
type HookRow = Extract<Row, { readonly kind: 'hook' }>;

/** What a removed row was, from its key. */
type Place = {
  readonly family: Family;
  readonly table: TableName;
  readonly kind: string;
  readonly name: string;
};
export function placeOfKey(key: string): Place {
  const [family, table = '', kind = '', ...name] = key.split(' ');
  return { family: family === '6' ? 6 : 4, table: table as TableName, kind, name: name.join(' ') };
}

const ruleText = (text: string, hash: string): string => line(comment(hash), text);

/** Lists of rules never change, and the lists of both families are often one: their hashes are made once. */
const known = new WeakMap<
  readonly string[],
  { readonly chain: string; readonly hashes: readonly string[] }
>();

/** What the comments of the rules of a chain say. */
export function hashesOf(chain: string, rules: readonly string[]): readonly string[] {
  const before = known.get(rules);
  if (before?.chain === chain) return before.hashes;
  const hashes = rules.map((rule) => ruleComment(chain, rule));
  known.set(rules, { chain, hashes });
  return hashes;
}

/** Rules with their hashes, as they are written. */
function ruleTexts(chain: string, rules: readonly string[]): readonly string[] {
  const hashes = hashesOf(chain, rules);
  return rules.map((rule, i) => ruleText(rule, hashes[i] ?? ''));
}

/** What the kernel holds once the row is there. */
export function actualOf(row: ChainRow | HookRow, before: Actual | undefined): Actual {
  if (row.kind === 'chain') return { kind: 'chain', hashes: hashesOf(row.name, row.rules) };
  const foreign = before?.kind === 'hook' ? before.rules.filter((rule) => rule === undefined) : [];
  const own = (rules: readonly string[]) =>
    ruleTexts(row.chain, rules).map((rule) => `-A ${row.chain} ${rule}`);
  const [first, last] = [own(row.first), own(row.last)];
  return {
    kind: 'hook',
    rules: row.place === 'insert' ? [...first, ...foreign, ...last] : [...foreign, ...first, ...last],
  };
}

export function isSameHook(row: HookRow, rules: readonly (string | undefined)[]): boolean {
  const wanted = [row.first, row.last].flatMap((rules) => hashesOf(row.chain, rules));
  const own = rules.flatMap((rule, index) => (rule === undefined ? [] : [{ hash: hashOf(rule), index }]));
  return (
    own.length === wanted.length &&
    own.every(({ hash, index }, i) => {
      const isAtTop = row.place === 'insert' && i < row.first.length;
      return hash === wanted[i] && (!isAtTop || index === i);
    })
  );
}

/** How much of a chain is written anew. */
export type Wording = 'edit' | 'rewrite' | 'closed';

export type RestoreInput = {
  readonly text: string;
  /** The row that line i (from 1) of the text is about. */
  readonly keyOfLine: (number: number) => string | undefined;
  /** The table whose commit the line is. */
  readonly tableOfCommit: (number: number) => TableName | undefined;
  /** The tables whose commit stands before the line: these are in the kernel when the line fails. */
  readonly tablesBefore: (number: number) => ReadonlySet<TableName>;
};

const tableOrder: readonly TableName[] = ['raw', 'mangle', 'nat', 'filter'];

export const tableOf = (change: TableChange): TableName =>
  change.op === 'put' && (change.row.kind === 'chain' || change.row.kind === 'hook')
    ? change.row.table
    : placeOfKey(change.key).table;

export function compileRestore(
  changes: readonly TableChange[],
  wording: (key: string) => Wording = () => 'edit',
): RestoreInput {
  const lines: string[] = [];
  const keys: (string | undefined)[] = [];
  const commits: { readonly at: number; readonly table: TableName }[] = [];
  const add = (key: string | undefined, ...texts: readonly string[]): void => {
    for (const text of texts) {
      lines.push(text);
      keys.push(key);
    }
  };
  for (const table of tableOrder) {
    const mine = changes.filter((change) => tableOf(change) === table);
    if (mine.length === 0) continue;
    add(undefined, `*${table}`);
    for (const change of mine) add(change.key, ...declaration(change, wording(change.key)));
    for (const change of mine) add(change.key, ...contents(change, wording(change.key)));
    for (const change of mine)
      if (change.op === 'remove' && change.actual.kind === 'chain')
        add(change.key, `-X ${placeOfKey(change.key).name}`);
    add(undefined, 'COMMIT');
    commits.push({ at: lines.length, table });
  }
  return {
    text: lines.map((text) => `${text}\n`).join(''),
    keyOfLine: (number) => keys[number - 1],
    tableOfCommit: (number) => commits.find(({ at }) => at === number)?.table,
    tablesBefore: (number) => new Set(commits.filter(({ at }) => at < number).map(({ table }) => table)),
  };
}

/** Makes the chain, or empties it. */
function declaration(change: TableChange, wording: Wording): readonly string[] {
  if (change.op === 'remove')
    return change.actual.kind === 'chain' ? [`:${placeOfKey(change.key).name} - [0:0]`] : [];
  if (change.row.kind !== 'chain') return [];
  return change.actual === undefined || wording !== 'edit' ? [`:${change.row.name} - [0:0]`] : [];
}

function contents(change: TableChange, wording: Wording): readonly string[] {
  if (change.op === 'remove') return change.actual.kind === 'hook' ? deletions(change.actual.rules) : [];
  const { row, actual } = change;
  if (row.kind === 'hook') return hookLines(row, actual?.kind === 'hook' ? actual.rules : []);
  if (row.kind !== 'chain') return [];
  if (wording === 'closed') return [`-A ${row.name} --jump DROP`];
  const rules = ruleTexts(row.name, row.rules);
  if (actual?.kind !== 'chain' || wording === 'rewrite') return rules.map((rule) => `-A ${row.name} ${rule}`);
  return edits(row.name, actual.hashes, hashesOf(row.name, row.rules), rules);
}

function hookLines(row: HookRow, present: readonly (string | undefined)[]): readonly string[] {
  return [
    ...deletions(present),
    ...ruleTexts(row.chain, row.first).map((rule, i) =>
      row.place === 'insert' ? `-I ${row.chain} ${i + 1} ${rule}` : `-A ${row.chain} ${rule}`,
    ),
    ...ruleTexts(row.chain, row.last).map((rule) => `-A ${row.chain} ${rule}`),
  ];
}

/** By their text, not by their number: others write into these chains, too. */
const deletions = (present: readonly (string | undefined)[]): readonly string[] =>
  present.flatMap((rule) => (rule === undefined ? [] : [`-D ${rule.slice('-A '.length)}`]));

/** Leaves what is equal at both ends, replaces in between, then removes or inserts the difference in length. */
function edits(
  chain: string,
  before: readonly string[],
  after: readonly string[],
  rules: readonly string[],
): readonly string[] {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < shorter - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  const oldEnd = before.length - tail;
  const newEnd = after.length - tail;
  const lines: string[] = [];
  for (let i = head; i < newEnd; i++) {
    if (i < oldEnd) lines.push(`-R ${chain} ${i + 1} ${rules[i]}`);
    else lines.push(tail === 0 ? `-A ${chain} ${rules[i]}` : `-I ${chain} ${i + 1} ${rules[i]}`);
  }
  for (let i = newEnd; i < oldEnd; i++) lines.push(`-D ${chain} ${newEnd + 1}`);
  return lines;
}
