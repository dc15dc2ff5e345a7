// Tables, chains, sets and rules in memory: a transaction is tried on a copy and kept when every command was accepted.
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError } from '../errors.ts';
import { compileRule } from '../nftables/compile.ts';
import { compareBytes } from '../nftables/data-types.ts';
import { parseRule, referencesOf } from '../nftables/parser.ts';
import { canonicalElement, elementRanges, shapeOf, type SetShape } from '../nftables/sets.ts';
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

type Rule = {
  readonly handle: bigint;
  readonly rule: NftRule;
  readonly sets: ReadonlySet<string>;
  readonly chains: ReadonlySet<string>;
};
type Chain = { readonly chain: NftChain; readonly rules: readonly Rule[] };
type KeptSet = {
  readonly set: NftSet;
  readonly shape: SetShape;
  readonly elements: ReadonlyMap<string, NftElement>;
};
type Table = {
  readonly name: NftTableName;
  readonly chains: ReadonlyMap<string, Chain>;
  readonly sets: ReadonlyMap<string, KeptSet>;
};
type Fault = { readonly errno: number; readonly text?: string; readonly error?: KernelError };
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
        return err({
          ...(fault.error ?? kernelError(`apply nftables command ${command.op}`, fault.errno, fault.text)),
          commandIndex,
        });
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
        const rule = keptRule(table, command.rule, this.#nextHandle);
        if ('errno' in rule) return rule;
        this.#nextHandle++;
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

function withSet(table: Table, name: string, change: (set: KeptSet) => KeptSet): Table | Fault {
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
    if (!same) return is === undefined ? table : { errno: errno.EOPNOTSUPP };
    // Without a policy the one that is there stays.
    if (is !== undefined && is.policy === undefined) return table;
  }
  const base =
    chain.base === undefined ? {} : { base: { ...chain.base, policy: chain.base.policy ?? 'accept' } };
  const kept = { chain: { name: chain.name, ...base }, rules: present?.rules ?? [] };
  return { ...table, chains: new Map(table.chains).set(chain.name, kept) };
}

function deleteChain(table: Table, name: string): Table | Fault {
  if (!table.chains.has(name)) return { errno: errno.ENOENT };
  for (const { rules } of table.chains.values())
    if (rules.some((rule) => rule.chains.has(name))) return { errno: errno.EBUSY };
  for (const { elements } of table.sets.values())
    for (const element of elements.values()) if (targetOf(element) === name) return { errno: errno.EBUSY };
  const chains = new Map(table.chains);
  chains.delete(name);
  return { ...table, chains };
}

const targetOf = (element: NftElement): string | undefined =>
  typeof element.data === 'string' ? /^(?:jump|goto) (\S+)$/.exec(element.data)?.[1] : undefined;

function addSet(table: Table, set: NftSet): Table | Fault {
  const shape = shapeOf(set);
  if (!shape.ok) return refused(shape.error);
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
  return {
    ...table,
    sets: new Map(table.sets).set(set.name, {
      set: kept,
      shape: shape.value,
      elements: new Map(),
    }),
  };
}

function deleteSet(table: Table, name: string): Table | Fault {
  if (!table.sets.has(name)) return { errno: errno.ENOENT };
  for (const { rules } of table.chains.values())
    if (rules.some((rule) => rule.sets.has(name))) return { errno: errno.EBUSY };
  const sets = new Map(table.sets);
  sets.delete(name);
  return { ...table, sets };
}

/** The same element again is welcome; another value for its key, or an interval across another, is not. */
function addElements(table: Table, name: string, elements: readonly NftElement[]): Table | Fault {
  const set = table.sets.get(name);
  if (set === undefined) return { errno: errno.ENOENT };
  const next = new Map(set.elements);
  for (const wanted of elements) {
    const canonical = canonicalElement(set.set, wanted);
    if (!canonical.ok) return refused(canonical.error);
    const element = canonical.value;
    const present = next.get(elementKey(element));
    if (present !== undefined && String(present.data) !== String(element.data))
      return { errno: errno.EEXIST };
    const target = targetOf(element);
    if (target !== undefined && !table.chains.has(target)) return { errno: errno.ENOENT };
    if (present !== undefined) continue;
    if (
      set.shape.interval &&
      next.size <= overlapCheckedUpTo &&
      [...next.values()].some((other) => overlaps(set.shape, element, other))
    )
      return { errno: errno.EEXIST };
    next.set(elementKey(element), element);
  }
  return withSet(table, name, (old) => ({ ...old, elements: next }));
}

/** The check is quadratic; larger sets are taken on trust. */
const overlapCheckedUpTo = 2000;

/** Two elements share a key when their ranges meet in every field. */
function overlaps(shape: SetShape, a: NftElement, b: NftElement): boolean {
  const x = elementRanges(shape, a.key);
  const y = elementRanges(shape, b.key);
  if (!x.ok || !y.ok) return false;
  return x.value.every((range, i) => {
    const other = y.value[i] ?? range;
    return compareBytes(range.from, other.to) <= 0 && compareBytes(other.from, range.to) <= 0;
  });
}

function deleteElements(table: Table, name: string, elements: readonly NftElement[]): Table | Fault {
  const set = table.sets.get(name);
  if (set === undefined) return { errno: errno.ENOENT };
  const next = new Map(set.elements);
  const { data: _, ...keys } = set.set;
  for (const unwanted of elements) {
    const canonical = canonicalElement(keys, { key: unwanted.key });
    if (!canonical.ok) return refused(canonical.error);
    if (!next.delete(elementKey(canonical.value))) return { errno: errno.ENOENT };
  }
  return withSet(table, name, (old) => ({ ...old, elements: next }));
}

/** Rules are compiled as for the kernel, so that what it would refuse is refused here. */
function keptRule(table: Table, rule: NftRule, handle: bigint): Rule | Fault {
  const parsed = parseRule(rule.expression);
  if (!parsed.ok) return refused(parsed.error);
  let nextSetId = 1;
  const compiled = compileRule(parsed.value, {
    family: table.name.family,
    resolve: (set) => table.sets.get(set)?.shape,
    nextSetId: () => nextSetId++,
  });
  if (!compiled.ok) return refused(compiled.error);
  const { sets, chains } = referencesOf(parsed.value);
  for (const chain of chains) if (!table.chains.has(chain)) return { errno: errno.ENOENT };
  return { handle, rule, sets, chains };
}

const refused = (error: KernelError): Fault => ({ errno: error.errno ?? errno.EINVAL, error });
