// nftables tables as rows: table, sets, elements, chains. One transaction per batch, all or nothing; a row the kernel
// refuses is taken out and the rest tried again. Everything in the tables named here is ours: what no row asks for goes.
// A rule is recognised by the hash in its comment, so that a read-back needs no decoding of expressions (FX-018).
import { createHash } from 'node:crypto';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Kernel, NftChain, NftCommand, NftElement, NftSet, NftTableName } from '../../kernel/mod.ts';
import type { Change, Operations } from './types.ts';

export type NftTableFamily = 'ip' | 'ip6';
export const nftTableName = 'calico';

export type NftRow =
  | { readonly kind: 'table'; readonly family: NftTableFamily }
  | { readonly kind: 'set'; readonly family: NftTableFamily; readonly set: NftSet }
  | {
      readonly kind: 'element';
      readonly family: NftTableFamily;
      readonly set: string;
      readonly element: NftElement;
    }
  | {
      readonly kind: 'chain';
      readonly family: NftTableFamily;
      readonly chain: NftChain;
      readonly rules: readonly string[];
    };

/** A text that is equal exactly when the kernel's object is. */
export type NftActual = string;

const text = (parts: string | readonly string[]): string =>
  typeof parts === 'string' ? parts : parts.join(' . ');

export function nftKey(row: NftRow): string {
  if (row.kind === 'table') return `${row.family} table`;
  if (row.kind === 'set') return `${row.family} set ${row.set.name}`;
  if (row.kind === 'element') return `${row.family} element ${row.set} ${text(row.element.key)}`;
  return `${row.family} chain ${row.chain.name}`;
}

export const ruleComment = (chain: string, expression: string): string =>
  `cali:${createHash('sha256').update(`${chain}\n${expression}`).digest('base64url').slice(0, 16)}`;

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

const signature = (row: NftRow): NftActual => {
  if (row.kind === 'table') return 'table';
  if (row.kind === 'set') return setSignature(row.set);
  if (row.kind === 'element') return elementSignature(row.element);
  const comments = row.rules.map((rule) => ruleComment(row.chain.name, rule));
  return chainSignature(row.chain, comments);
};

const families: readonly NftTableFamily[] = ['ip', 'ip6'];
const tableOf = (family: NftTableFamily): NftTableName => ({ family, name: nftTableName });

export function nftOperations(kernel: Kernel): Operations<NftRow, NftActual> {
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
      // Each turn takes one refused row out; a kernel that refuses without saying what ends it.
      for (let turn = 0; turn <= changes.length; turn++) {
        const { commands, keys } = compile(changes.filter((change) => !refused.has(change.key)));
        const applied = commands.length === 0 ? ok(undefined) : await kernel.nftables.apply(commands);
        if (applied.ok) break;
        const culprit = keys[applied.error.commandIndex ?? -1];
        if (culprit === undefined) return changes.map((change) => refused.get(change.key) ?? applied);
        refused.set(culprit, err(failure(applied.error.code, applied.error.message)));
      }
      return changes.map(
        (change) => refused.get(change.key) ?? ok(change.op === 'put' ? signature(change.row) : undefined),
      );
    },
  };
}

type NftChange = Change<NftRow, NftActual>;

/** Commands in the order the kernel needs: what is referred to comes first and goes last. `keys[i]` caused command i. */
function compile(changes: readonly NftChange[]): { commands: NftCommand[]; keys: string[] } {
  const commands: NftCommand[] = [];
  const keys: string[] = [];
  const add = (change: NftChange, ...added: readonly NftCommand[]): void => {
    for (const command of added) {
      commands.push(command);
      keys.push(change.key);
    }
  };
  const puts = changes.flatMap((change) => (change.op === 'put' ? [change] : []));
  const removals = changes.flatMap((change) =>
    change.op === 'remove' ? [{ change, ...parseKey(change.key) }] : [],
  );
  const ordered = <K extends NftRow['kind']>(kind: K) =>
    puts.flatMap((change) =>
      change.row.kind === kind ? [{ change, row: change.row as Extract<NftRow, { kind: K }> }] : [],
    );

  for (const { change, row } of ordered('table'))
    add(change, { op: 'add-table', table: tableOf(row.family) });
  for (const { change, row } of ordered('set')) {
    const table = tableOf(row.family);
    if (change.actual !== undefined) add(change, { op: 'delete-set', table, set: row.set.name });
    add(change, { op: 'add-set', table, set: row.set });
  }
  for (const { change, row } of ordered('element')) {
    const table = tableOf(row.family);
    const { set, element } = row;
    if (change.actual !== undefined)
      add(change, { op: 'delete-elements', table, set, elements: [{ key: element.key }] });
    add(change, { op: 'add-elements', table, set, elements: [element] });
  }
  for (const { change, row } of ordered('chain')) {
    const table = tableOf(row.family);
    const { chain, rules } = row;
    // The base of a chain cannot be changed; a chain whose rules differ keeps its place.
    if (change.actual !== undefined) {
      add(change, { op: 'flush-chain', table, chain: chain.name });
      if (baseOf(change.actual) !== baseOf(signature(row)))
        add(change, { op: 'delete-chain', table, chain: chain.name });
    }
    add(change, { op: 'add-chain', table, chain });
    for (const expression of rules) {
      const rule = { expression, comment: ruleComment(chain.name, expression) };
      add(change, { op: 'add-rule', table, chain: chain.name, rule });
    }
  }
  const dropped = new Set(removals.filter((r) => r.kind === 'table').map((r) => r.family));
  const gone = (kind: NftRow['kind']) => removals.filter((r) => r.kind === kind && !dropped.has(r.family));
  for (const { change, family, name } of gone('chain')) {
    const table = tableOf(family);
    add(change, { op: 'flush-chain', table, chain: name }, { op: 'delete-chain', table, chain: name });
  }
  const droppedSets = new Set(gone('set').map((r) => `${r.family} ${r.name}`));
  for (const { change, family, name, element } of gone('element')) {
    if (droppedSets.has(`${family} ${name}`)) continue;
    add(change, { op: 'delete-elements', table: tableOf(family), set: name, elements: [{ key: element }] });
  }
  for (const { change, family, name } of gone('set'))
    add(change, { op: 'delete-set', table: tableOf(family), set: name });
  for (const { change, family } of removals.filter((r) => r.kind === 'table')) {
    add(change, { op: 'delete-table', table: tableOf(family) });
  }
  return { commands, keys };
}

const baseOf = (actual: NftActual): string => JSON.stringify((JSON.parse(actual) as unknown[])[0]);

function parseKey(key: string): {
  kind: NftRow['kind'];
  family: NftTableFamily;
  name: string;
  element: string | string[];
} {
  const [family = 'ip', kind = 'table', name = '', ...rest] = key.split(' ');
  const parts = rest.join(' ').split(' . ');
  return {
    family: family as NftTableFamily,
    kind: kind as NftRow['kind'],
    name,
    element: parts.length === 1 ? (parts[0] ?? '') : parts,
  };
}
