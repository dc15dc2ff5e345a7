// Tables, chains, sets and rules in memory: a transaction is tried on a copy and kept when every command was accepted.
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError } from '../errors.ts';
import type {
  KernelError,
  NftChain,
  NftCommand,
  NftElement,
  NftRule,
  NftSet,
  NftTableName,
  NftTableState,
} from '../types.ts';

type Rule = { readonly handle: bigint; readonly rule: NftRule };
type Chain = { readonly chain: NftChain; readonly rules: readonly Rule[] };
type Set_ = { readonly set: NftSet; readonly elements: ReadonlyMap<string, NftElement> };
type Table = {
  readonly name: NftTableName;
  readonly chains: ReadonlyMap<string, Chain>;
  readonly sets: ReadonlyMap<string, Set_>;
};
type Fault = { readonly errno: number; readonly text?: string };
type Tables = Map<string, Table>;

const tableKey = (name: NftTableName): string => `${name.family} ${name.name}`;
const elementKey = (element: NftElement): string =>
  typeof element.key === 'string' ? element.key : element.key.join(' . ');

export class FakeNftables {
  #tables: Tables = new Map();
  #nextHandle = 1n;

  apply(commands: readonly NftCommand[]): Result<void, KernelError & { readonly commandIndex?: number }> {
    const tables: Tables = new Map(this.#tables);
    for (const [commandIndex, command] of commands.entries()) {
      const fault = this.#run(tables, command);
      if (fault !== undefined)
        return err({ ...kernelError(`apply ${command.op}`, fault.errno, fault.text), commandIndex });
    }
    this.#tables = tables;
    return ok(undefined);
  }

  tables(): NftTableName[] {
    return [...this.#tables.values()].map((table) => table.name);
  }

  read(name: NftTableName): NftTableState | undefined {
    const table = this.#tables.get(tableKey(name));
    if (table === undefined) return undefined;
    return {
      chains: [...table.chains.values()].map(({ chain, rules }) => ({
        chain,
        rules: rules.map(({ handle, rule }) =>
          rule.comment === undefined ? { handle } : { handle, comment: rule.comment },
        ),
      })),
      sets: [...table.sets.values()].map(({ set }) => set),
    };
  }

  elements(name: NftTableName, set: string): Result<NftElement[], KernelError> {
    const found = this.#tables.get(tableKey(name))?.sets.get(set);
    return found === undefined
      ? err(kernelError(`list set ${set}`, errno.ENOENT))
      : ok([...found.elements.values()]);
  }

  #run(tables: Tables, command: NftCommand): Fault | undefined {
    const key = tableKey(command.table);
    const table = tables.get(key);
    if (command.op === 'add-table') {
      if (table === undefined) tables.set(key, { name: command.table, chains: new Map(), sets: new Map() });
      return undefined;
    }
    if (table === undefined) return { errno: errno.ENOENT };
    const changed = this.#change(table, command);
    if ('errno' in changed) return changed;
    if (command.op === 'delete-table') tables.delete(key);
    else tables.set(key, changed);
    return undefined;
  }

  #change(table: Table, command: NftCommand): Table | Fault {
    switch (command.op) {
      case 'flush-table':
        return { ...table, chains: mapValues(table.chains, (chain) => ({ ...chain, rules: [] })) };
      case 'add-chain':
        return addChain(table, command.chain);
      case 'delete-chain':
        return deleteChain(table, command.chain);
      case 'flush-chain':
        return withChain(table, command.chain, (chain) => ({ ...chain, rules: [] }));
      case 'add-rule': {
        const missing = missingReference(table, command.rule.expression);
        if (missing) return { errno: errno.ENOENT };
        const rule = { handle: this.#nextHandle++, rule: command.rule };
        return withChain(table, command.chain, (chain) => ({ ...chain, rules: [...chain.rules, rule] }));
      }
      case 'add-set':
        return addSet(table, command.set);
      case 'delete-set':
        return deleteSet(table, command.set);
      case 'flush-set':
        return withSet(table, command.set, (set) => ({ ...set, elements: new Map() }));
      case 'add-elements':
        return addElements(table, command.set, command.elements);
      case 'delete-elements':
        return deleteElements(table, command.set, command.elements);
      case 'add-table':
      case 'delete-table':
      default:
        return table;
    }
  }
}

const mapValues = <V>(map: ReadonlyMap<string, V>, change: (value: V) => V): Map<string, V> =>
  new Map([...map].map(([key, value]) => [key, change(value)]));

function withChain(table: Table, name: string, change: (chain: Chain) => Chain): Table | Fault {
  const chain = table.chains.get(name);
  if (chain === undefined) return { errno: errno.ENOENT };
  return { ...table, chains: new Map(table.chains).set(name, change(chain)) };
}

function withSet(table: Table, name: string, change: (set: Set_) => Set_): Table | Fault {
  const set = table.sets.get(name);
  if (set === undefined) return { errno: errno.ENOENT };
  return { ...table, sets: new Map(table.sets).set(name, change(set)) };
}

/** Adding what is there changes the policy of a base chain and nothing else; a different hook is another chain. */
function addChain(table: Table, chain: NftChain): Table | Fault {
  const present = table.chains.get(chain.name);
  if (present !== undefined) {
    const was = present.chain.base;
    const is = chain.base;
    const same = was?.hook === is?.hook && was?.type === is?.type && was?.priority === is?.priority;
    if (!same) return is === undefined ? table : { errno: errno.EEXIST };
  }
  const base =
    chain.base === undefined ? {} : { base: { ...chain.base, policy: chain.base.policy ?? 'accept' } };
  const kept = { chain: { name: chain.name, ...base }, rules: present?.rules ?? [] };
  return { ...table, chains: new Map(table.chains).set(chain.name, kept) };
}

function deleteChain(table: Table, name: string): Table | Fault {
  if (!table.chains.has(name)) return { errno: errno.ENOENT };
  const isTarget = new RegExp(`\\b(?:jump|goto) ${escape(name)}(?![\\w.-])`);
  for (const [other, { rules }] of table.chains)
    if (other !== name && rules.some(({ rule }) => isTarget.test(rule.expression)))
      return { errno: errno.EBUSY };
  for (const { elements } of table.sets.values())
    for (const element of elements.values())
      if (typeof element.data === 'string' && isTarget.test(element.data)) return { errno: errno.EBUSY };
  const chains = new Map(table.chains);
  chains.delete(name);
  return { ...table, chains };
}

function addSet(table: Table, set: NftSet): Table | Fault {
  const present = table.sets.get(set.name);
  const same = (a: readonly string[] | undefined, b: readonly string[] | undefined) =>
    a?.join() === b?.join();
  if (present !== undefined) {
    const unchanged =
      same(present.set.key, set.key) &&
      same(present.set.data, set.data) &&
      (present.set.interval === true) === (set.interval === true);
    return unchanged ? table : { errno: errno.EEXIST };
  }
  const kept: NftSet = {
    name: set.name,
    key: set.key,
    ...(set.data === undefined ? {} : { data: set.data }),
    ...(set.interval === true ? { interval: true } : {}),
  };
  return { ...table, sets: new Map(table.sets).set(set.name, { set: kept, elements: new Map() }) };
}

function deleteSet(table: Table, name: string): Table | Fault {
  if (!table.sets.has(name)) return { errno: errno.ENOENT };
  const use = new RegExp(`@${escape(name)}(?![\\w.-])`);
  for (const { rules } of table.chains.values())
    if (rules.some(({ rule }) => use.test(rule.expression))) return { errno: errno.EBUSY };
  const sets = new Map(table.sets);
  sets.delete(name);
  return { ...table, sets };
}

function addElements(table: Table, name: string, elements: readonly NftElement[]): Table | Fault {
  const set = table.sets.get(name);
  if (set === undefined) return { errno: errno.ENOENT };
  const next = new Map(set.elements);
  for (const element of elements) {
    if (set.set.data !== undefined && element.data === undefined) return { errno: errno.EINVAL };
    const present = next.get(elementKey(element));
    if (present !== undefined && String(present.data) !== String(element.data))
      return { errno: errno.EEXIST };
    const target =
      typeof element.data === 'string' ? /^(?:jump|goto) (\S+)$/.exec(element.data)?.[1] : undefined;
    if (target !== undefined && !table.chains.has(target)) return { errno: errno.ENOENT };
    if (present === undefined) next.set(elementKey(element), element);
  }
  return withSet(table, name, (old) => ({ ...old, elements: next }));
}

function deleteElements(table: Table, name: string, elements: readonly NftElement[]): Table | Fault {
  const set = table.sets.get(name);
  if (set === undefined) return { errno: errno.ENOENT };
  const next = new Map(set.elements);
  for (const element of elements) if (!next.delete(elementKey(element))) return { errno: errno.ENOENT };
  return withSet(table, name, (old) => ({ ...old, elements: next }));
}

/** A rule that names a chain or set which is not there. */
function missingReference(table: Table, expression: string): boolean {
  for (const [, name] of expression.matchAll(/@([\w.-]+)/g)) if (!table.sets.has(name ?? '')) return true;
  for (const [, name] of expression.matchAll(/\b(?:jump|goto) ([\w.-]+)/g))
    if (!table.chains.has(name ?? '')) return true;
  return false;
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
