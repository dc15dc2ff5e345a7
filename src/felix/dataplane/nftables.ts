// nftables tables as rows: table, sets, elements, chains. What is written at once is one transaction, all or nothing; a row
// the kernel refuses is taken out and the rest tried again, and a chain that says how it is closed is closed meanwhile.
// Everything in the tables named here is ours: what no row asks for goes. A rule is recognised by the hash in its comment,
// so that a read-back needs no decoding of expressions (FX-018); a chain whose rules are right keeps its counters.
import { hash } from 'node:crypto';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Kernel, NftChain, NftCommand, NftElement, NftSet, NftTableName } from '../../kernel/mod.ts';
import { baseOf, dividedStage, type NftChange, parseKey, transactionsOf } from './transactions.ts';
import type { ApplyFailure, Closing, Operations } from './types.ts';

export type NftTableFamily = 'ip' | 'ip6';
export const nftTableName = 'calico';

/** A rule in nft's syntax, and words for people that follow the hash in its comment. */
export type NftRuleText = { readonly expression: string; readonly note?: string };

export type NftRow =
  | { readonly kind: 'table'; readonly family: NftTableFamily }
  | { readonly kind: 'set'; readonly family: NftTableFamily; readonly set: NftSet }
  | {
      readonly kind: 'element';
      readonly family: NftTableFamily;
      readonly set: string;
      readonly element: NftElement;
      /** Of lookups that packets meet one after the other, how late this one comes; see transactions.ts. */
      readonly rank?: number;
    }
  | {
      readonly kind: 'chain';
      readonly family: NftTableFamily;
      readonly chain: NftChain;
      readonly rules: readonly (string | NftRuleText)[];
      /** The rules in their place when the kernel refuses them. */
      readonly closed?: readonly string[];
    };

/** A text that is equal exactly when the kernel's object is. */
export type NftActual = string;

const text = (parts: string | readonly string[]): string =>
  typeof parts === 'string' ? parts : parts.join(' . ');

function fieldsOf(text: string): string | string[] {
  const fields = text.split(' . ');
  return fields.length === 1 ? text : fields;
}

export function nftKey(row: NftRow): string {
  if (row.kind === 'table') return `${row.family} table`;
  if (row.kind === 'set') return `${row.family} set ${row.set.name}`;
  if (row.kind === 'element') return `${row.family} element ${row.set} ${text(row.element.key)}`;
  return `${row.family} chain ${row.chain.name}`;
}

/** Whether two rows under one key ask for the same; when they are written is no part of it. */
export function isSameRow(a: NftRow, b: NftRow): boolean {
  if (a.kind === 'element' && b.kind === 'element')
    return elementSignature(a.element) === elementSignature(b.element);
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The kernel takes no longer comments. */
const longestComment = 127;

export function ruleComment(chain: string, rule: string | NftRuleText): string {
  const { expression, note } = typeof rule === 'string' ? { expression: rule } : rule;
  const digest = hash('sha256', `${chain}\n${expression}`, 'base64url').slice(0, 16);
  return note === undefined ? `cali:${digest}` : clipped(`cali:${digest} ${note}`);
}

/** Names of resources are ASCII; should one not be, no character is cut in two. */
function clipped(text: string): string {
  if (text.length * 3 <= longestComment) return text;
  let end = text.length;
  while (Buffer.byteLength(text.slice(0, end)) > longestComment) end--;
  return text.slice(0, end);
}

const expressionOf = (rule: string | NftRuleText): string =>
  typeof rule === 'string' ? rule : rule.expression;

const setSignature = (set: NftSet): string =>
  JSON.stringify([set.key, set.data ?? [], set.interval === true]);
const elementSignature = (element: NftElement): string =>
  element.data === undefined ? '' : text(element.data);
const chainSignature = (chain: NftChain, comments: readonly string[]): string => {
  const { base } = chain;
  return JSON.stringify([
    base === undefined ? null : [base.type, base.hook, base.priority, base.policy ?? 'accept'],
    comments,
  ]);
};

/** Rows do not change, and their rules are hashed once. */
type ChainRow = Extract<NftRow, { readonly kind: 'chain' }>;
const chainComments = new WeakMap<ChainRow, readonly string[]>();
const chainSignatures = new WeakMap<ChainRow, string>();
function commentsOf(row: ChainRow): readonly string[] {
  let comments = chainComments.get(row);
  if (comments === undefined) {
    comments = row.rules.map((rule) => ruleComment(row.chain.name, rule));
    chainComments.set(row, comments);
  }
  return comments;
}

const signature = (row: NftRow): NftActual => {
  if (row.kind === 'table') return 'table';
  if (row.kind === 'set') return setSignature(row.set);
  if (row.kind === 'element') return elementSignature(row.element);
  let text = chainSignatures.get(row);
  if (text === undefined) {
    text = chainSignature(row.chain, commentsOf(row));
    chainSignatures.set(row, text);
  }
  return text;
};

const families: readonly NftTableFamily[] = ['ip', 'ip6'];
/** `tableName`: the tables of both families that are ours alone. */
export function nftOperations(kernel: Kernel, tableName = nftTableName): Operations<NftRow, NftActual> {
  const tableOf = (family: NftTableFamily): NftTableName => ({ family, name: tableName });
  const dirty = new Set<string>();
  let isFirst = true;
  /** Sets that hold intervals, by family and name. */
  const intervals = new Set<string>();
  const dumpFamily = async (family: NftTableFamily, found: Map<string, NftActual>): Promise<Result<void>> => {
    const table = tableOf(family);
    const state = await kernel.nftables.read(table);
    if (!state.ok) return state;
    if (state.value === undefined) return ok(undefined);
    found.set(`${family} table`, 'table');
    for (const { chain, rules } of state.value.chains) {
      const comments = rules.map((rule) => rule.comment ?? '');
      found.set(`${family} chain ${chain.name}`, chainSignature(chain, comments));
    }
    for (const set of state.value.sets) {
      found.set(`${family} set ${set.name}`, setSignature(set));
      if (set.interval === true) intervals.add(`${family} ${set.name}`);
      const elements = await kernel.nftables.elements(table, set.name);
      if (!elements.ok) return elements;
      for (const element of elements.value) {
        found.set(`${family} element ${set.name} ${text(element.key)}`, elementSignature(element));
      }
    }
    return ok(undefined);
  };

  return {
    name: 'nftables',
    keyOf: nftKey,
    equal: (row, actual) => signature(row) === actual,
    orphan: () => 'remove',
    closing: nftClosing,

    async dump() {
      const found = new Map<string, NftActual>();
      for (const family of families) {
        const done = await dumpFamily(family, found);
        if (!done.ok) return done;
      }
      return ok(found);
    },

    async apply(changes) {
      const refused = new Map<string, Result<NftActual | undefined>>();
      const closed = new Set<string>();
      for (const change of changes)
        if (change.op === 'put' && change.row.kind === 'set' && change.row.set.interval === true)
          intervals.add(`${change.row.family} ${change.row.set.name}`);
      const progress = { refused, closed, dirty, tableOf };
      const written = new Set<string>();
      let failed: Result<never> | undefined;
      for (const stage of transactionsOf(changes, intervals, isFirst)) {
        failed = await applyStage(kernel, stage, progress);
        // In a user namespace a transaction is limited in size.
        if (failed?.ok === false && failed.error.code === 'NoBufferSpace') {
          failed = undefined;
          for (const part of dividedStage(stage)) failed ??= await applyStage(kernel, part, progress);
        }
        if (failed !== undefined) break;
        for (const { key } of stage) written.add(key);
      }
      isFirst &&= failed !== undefined;
      for (const key of written)
        if (closed.has(key)) dirty.add(key);
        else if (!refused.has(key)) dirty.delete(key);
      return changes.map((change) => {
        if (failed !== undefined && !written.has(change.key)) return asWhole(failed);
        return refused.get(change.key) ?? ok(change.op === 'put' ? signature(change.row) : undefined);
      });
    },
  };
}

const asWhole = (failed: Result<never>): Result<never, ApplyFailure> =>
  failed.ok ? failed : err({ ...failed.error, isWhole: true });

/** Chains that look into a set or map which lacks an element. */
const nftClosing: Closing<NftRow> = {
  scopeOf: (key) => {
    const [family = '', kind, name = ''] = key.split(' ', 3);
    return kind === 'element' ? `${family} ${name}` : undefined;
  },
  looksInto: (row, scope) => {
    if (row.kind !== 'chain' || row.closed === undefined) return false;
    const [family, set = ''] = scope.split(' ');
    const mention = `@${set}`;
    return row.family === family && row.rules.some((rule) => mentions(expressionOf(rule), mention));
  },
  closed: (row) =>
    row.kind === 'chain' && row.closed !== undefined ? { ...row, rules: row.closed } : undefined,
};

/** Whether a name stands there as a whole, and not as the beginning of a longer one. */
function mentions(text: string, name: string): boolean {
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1))
    if (!/[\w.-]/.test(text[at + name.length] ?? '')) return true;
  return false;
}

type Progress = Omit<Mode, 'isPrecise' | 'closed'> & {
  readonly refused: Map<string, Result<NftActual | undefined>>;
  readonly closed: Set<string>;
};

/** One transaction. A refused row is taken out, or closed, and the rest tried again; a kernel that refuses without saying
 *  what ends it, with its answer. */
async function applyStage(
  kernel: Kernel,
  changes: readonly NftChange[],
  { refused, closed, dirty, tableOf }: Progress,
): Promise<Result<never> | undefined> {
  let isPrecise = false;
  for (let turn = 0; turn <= 2 * changes.length + 1; turn++) {
    const wanted = changes.filter((change) => !refused.has(change.key) || closed.has(change.key));
    const { commands, causes } = compile(wanted, { closed, dirty, isPrecise, tableOf });
    const applied = commands.length === 0 ? ok(undefined) : await kernel.nftables.apply(commands);
    if (applied.ok) return undefined;
    const culprits = causes[applied.error.commandIndex ?? -1];
    const [culprit] = culprits ?? [];
    if (culprit === undefined) return applied;
    if (culprits !== undefined && culprits.length > 1) {
      isPrecise = true;
      continue;
    }
    if (isGoneAlready(culprit, applied.error.code)) {
      refused.set(culprit.key, ok(undefined));
      continue;
    }
    refused.set(culprit.key, err(failure(applied.error.code, applied.error.message)));
    if (closed.has(culprit.key)) closed.delete(culprit.key);
    else if (closedRules(culprit) !== undefined) closed.add(culprit.key);
  }
  return undefined;
}

/** An element that somebody else took out before us. */
const isGoneAlready = (change: NftChange, code: string): boolean =>
  change.op === 'remove' && code === 'NotFound' && parseKey(change.key).kind === 'element';

type Mode = {
  /** Chains that are written closed. */
  readonly closed: ReadonlySet<string>;
  /** Chains that may hold rules nobody knows of. */
  readonly dirty: ReadonlySet<string>;
  /** One command for each element, so that a refusal names it. */
  readonly isPrecise: boolean;
  readonly tableOf: (family: NftTableFamily) => NftTableName;
};

const closedRules = (change: NftChange): readonly string[] | undefined =>
  change.op === 'put' && change.row.kind === 'chain' ? change.row.closed : undefined;

type Put<K extends NftRow['kind']> = {
  readonly change: NftChange;
  readonly row: Extract<NftRow, { readonly kind: K }>;
};
type Removal = ReturnType<typeof parseKey> & { readonly change: NftChange };
type WrittenElement = {
  readonly change: NftChange;
  readonly family: NftTableFamily;
  readonly set: string;
  readonly element: NftElement;
};

function byKind(changes: readonly NftChange[]) {
  const tables: Put<'table'>[] = [];
  const sets: Put<'set'>[] = [];
  const chains: Put<'chain'>[] = [];
  const elements: Put<'element'>[] = [];
  const removals: Removal[] = [];
  for (const change of changes) {
    if (change.op === 'remove') {
      removals.push({ change, ...parseKey(change.key) });
      continue;
    }
    const { row } = change;
    if (row.kind === 'table') tables.push({ change, row });
    else if (row.kind === 'set') sets.push({ change, row });
    else if (row.kind === 'chain') chains.push({ change, row });
    else elements.push({ change, row });
  }
  return { tables, sets, chains, elements, removals };
}

/** Commands in the order that the kernel needs: chains let go of what they refer to, then what changes is taken out and put
 *  in, and what is no longer referred to goes last. `causes[i]` are the changes behind command i. */
function compile(
  changes: readonly NftChange[],
  { closed, dirty, isPrecise, tableOf }: Mode,
): { commands: NftCommand[]; causes: (readonly NftChange[])[] } {
  const commands: NftCommand[] = [];
  const causes: (readonly NftChange[])[] = [];
  const add = (cause: NftChange | readonly NftChange[], ...added: readonly NftCommand[]): void => {
    for (const command of added) {
      commands.push(command);
      causes.push('key' in cause ? [cause] : cause);
    }
  };
  const { tables, sets, chains, elements, removals } = byKind(changes);
  const dropped = new Set(removals.filter((r) => r.kind === 'table').map((r) => r.family));
  const gone = (kind: NftRow['kind']) => removals.filter((r) => r.kind === kind && !dropped.has(r.family));
  const droppedSets = new Set(gone('set').map((r) => `${r.family} ${r.name}`));

  for (const { change, row } of tables) add(change, { op: 'add-table', table: tableOf(row.family) });

  for (const { change, row } of chains) {
    if (change.actual === undefined) continue;
    const at = { table: tableOf(row.family), chain: row.chain.name };
    add(change, { op: 'flush-chain', ...at });
    // The base of a chain cannot be changed; a chain whose rules differ keeps its place.
    if (baseOf(change.actual) !== baseOf(signature(row))) add(change, { op: 'delete-chain', ...at });
  }
  for (const { change, family, name } of gone('chain'))
    add(change, { op: 'flush-chain', table: tableOf(family), chain: name });

  const taken: WrittenElement[] = [];
  for (const { change, row } of elements)
    if (change.actual !== undefined)
      taken.push({ change, family: row.family, set: row.set, element: { key: row.element.key } });
  for (const { change, family, name, element } of gone('element'))
    if (!droppedSets.has(`${family} ${name}`))
      taken.push({ change, family, set: name, element: { key: fieldsOf(element) } });
  addElements('delete-elements', taken);

  for (const { change, row } of sets) {
    const table = tableOf(row.family);
    if (change.actual !== undefined) add(change, { op: 'delete-set', table, set: row.set.name });
    add(change, { op: 'add-set', table, set: row.set });
  }
  for (const { change, row } of chains) {
    const table = tableOf(row.family);
    add(change, { op: 'add-chain', table, chain: row.chain });
    if (change.actual === undefined && dirty.has(change.key))
      add(change, { op: 'flush-chain', table, chain: row.chain.name });
  }
  addElements(
    'add-elements',
    elements.map(({ change, row }) => ({ change, family: row.family, set: row.set, element: row.element })),
  );
  for (const { change, row } of chains) {
    const { chain } = row;
    const isClosed = closed.has(change.key);
    const comments = commentsOf(row);
    for (const [i, one] of (isClosed ? (row.closed ?? []) : row.rules).entries()) {
      const comment = (isClosed ? undefined : comments[i]) ?? ruleComment(chain.name, one);
      const rule = { expression: expressionOf(one), comment };
      add(change, { op: 'add-rule', table: tableOf(row.family), chain: chain.name, rule });
    }
  }

  // Maps lead to chains.
  for (const { change, family, name } of gone('set'))
    add(change, { op: 'delete-set', table: tableOf(family), set: name });
  for (const { change, family, name } of gone('chain'))
    add(change, { op: 'delete-chain', table: tableOf(family), chain: name });
  for (const { change, family } of removals.filter((r) => r.kind === 'table'))
    add(change, { op: 'delete-table', table: tableOf(family) });
  return { commands, causes };

  function addElements(op: 'add-elements' | 'delete-elements', list: readonly WrittenElement[]): void {
    const groups = isPrecise
      ? list.map((one) => [one])
      : Map.groupBy(list, ({ family, set }) => `${family} ${set}`).values();
    for (const group of groups) {
      const [first] = group;
      if (first === undefined) continue;
      const of = { table: tableOf(first.family), set: first.set, elements: group.map((one) => one.element) };
      add(
        group.map((one) => one.change),
        { op, ...of },
      );
    }
  }
}
