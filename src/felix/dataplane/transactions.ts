// Which of a table's changes are written together, and in which order. A transaction takes effect as a whole, but not for a
// packet that is under way meanwhile: that one keeps to the rules of the generation in which it entered its hook, and looks
// into sets as they are when it gets there; and what is in intervals appears a moment after the rules that ask for it.
//
//   new       what nothing in the kernel leads to yet: chains with their rules, sets with their elements
//   ranks     elements of maps that are there already, those of each rank for themselves: what is asked first comes first
//   switch    chains that change, and all else
//   after     what goes: elements of maps and sets, then what nobody leads to any more
//
// So for a packet under way
//  - no element leads to a chain that to it is empty still (an empty chain lets it pass);
//  - rules never find intervals missing that they rely on;
//  - of lookups asked one after the other, none that is asked later changes before one that is asked earlier, so that a
//    packet past the earlier one meets what was behind it before;
//  - what an element told (an address's class, say) is in the maps still, which keep what goes until all else is done;
//  - where a table goes with its sets, it misses nothing: hooks go before.
// Where one kind is not there, or needs no order, it goes along with the next. Elements that go make way for others of the same
// lookup in one transaction, where that is all.
//
// The first time, what stands in the kernel was made by another run: a program of the same name may be another endpoint's
// there. Then all that is led to by such names changes in one transaction, with the elements of maps that come and go.
import type { NftRow } from './nftables.ts';
import type { Change } from './types.ts';

export type NftChange = Change<NftRow, string>;

/** `intervals`: sets that hold intervals, by family and name. `isFirst`: nothing was written by this run yet. */
export function transactionsOf(
  changes: readonly NftChange[],
  intervals: ReadonlySet<string>,
  isFirst = false,
): readonly (readonly NftChange[])[] {
  const losesTable = changes.some(({ op, key }) => op === 'remove' && key.endsWith(' table'));
  if (losesTable)
    return [changes.filter(losesHook), changes.filter((change) => !losesHook(change))].filter(isAny);
  const { fresh, ranks, main, after } = stagesOf(changes, intervals, isFirst);
  const stages = [...ranks, main].filter(isAny);
  if (fresh.length === 0 && isOfOneLookup(stages, after)) return [[...stages.flat(), ...after]];
  const [first, ...others] = stages;
  // New rules may stand in one transaction with what they ask for, unless that is late; elements lead to what is there.
  const isAlone = first === undefined || ranks.length > 0 || main.some(leadsOn) || fresh.some(isInterval);
  const begun = isAlone ? [fresh, ...stages] : [[...fresh, ...first], ...others];
  // Hooks that go take along what they look into.
  const onlyGoes = begun.flat().every(({ op }) => op === 'remove');
  return (onlyGoes ? [[...begun.flat(), ...after]] : [...begun, after]).filter(isAny);

  function isInterval(change: NftChange): boolean {
    return (
      change.op === 'put' &&
      change.row.kind === 'set' &&
      intervals.has(`${change.row.family} ${change.row.set.name}`)
    );
  }
}

type Stages = {
  readonly fresh: NftChange[];
  readonly ranks: readonly (readonly NftChange[])[];
  readonly main: NftChange[];
  readonly after: NftChange[];
};

function stagesOf(changes: readonly NftChange[], intervals: ReadonlySet<string>, isFirst: boolean): Stages {
  const newSets = new Set<string>();
  const goingSets = new Set<string>();
  /** Sets into which something comes. */
  const filled = new Set<string>();
  for (const change of changes) {
    if (change.op === 'remove') {
      const { kind, family, name } = parseKey(change.key);
      if (kind === 'set') goingSets.add(`${family} ${name}`);
      continue;
    }
    if (change.row.kind === 'set' && change.actual === undefined)
      newSets.add(`${change.row.family} ${change.row.set.name}`);
    if (change.row.kind === 'element') filled.add(`${change.row.family} ${change.row.set}`);
  }
  const fresh: NftChange[] = [];
  const main: NftChange[] = [];
  const after: NftChange[] = [];
  const ranked = new Map<number, NftChange[]>();
  const atRank = (rank: number): NftChange[] => {
    const known = ranked.get(rank);
    if (known !== undefined) return known;
    const made: NftChange[] = [];
    ranked.set(rank, made);
    return made;
  };
  /** By set, where its intervals are written: those that go make room for those that come. */
  const places = new Map<string, NftChange[]>();
  for (const change of changes) {
    if (change.op === 'remove') continue;
    const { row } = change;
    if (row.kind === 'element') {
      const set = `${row.family} ${row.set}`;
      const stage = newSets.has(set) ? fresh : row.rank === undefined || isFirst ? main : atRank(row.rank);
      places.set(set, stage);
      stage.push(change);
    } else if (change.actual !== undefined) main.push(change);
    else if (row.kind === 'chain' && row.chain.base !== undefined) main.push(change);
    else fresh.push(change);
  }
  for (const change of changes) {
    if (change.op !== 'remove') continue;
    const { kind, family, name } = parseKey(change.key);
    const set = `${family} ${name}`;
    if (kind === 'element' && filled.has(set) && intervals.has(set)) places.get(set)?.push(change);
    else if (losesHook(change) || (isFirst && kind === 'element' && !goingSets.has(set))) main.push(change);
    else after.push(change);
  }
  const ranks = [...ranked].sort(([a], [b]) => a - b).map(([, stage]) => stage);
  return { fresh, ranks, main, after };
}

/** Elements of maps of one rank, or of one set, come and go, and nothing else changes: of those a packet asks each program
 *  for one, which is there as before or as after. */
function isOfOneLookup(stages: readonly (readonly NftChange[])[], after: readonly NftChange[]): boolean {
  const [stage, ...others] = stages;
  if (stage === undefined || others.length > 0) return false;
  const lookups = new Set<number | string>();
  const sets = new Set<string>();
  for (const change of stage) {
    if (change.op !== 'put' || change.row.kind !== 'element') return false;
    const { family, set, rank } = change.row;
    lookups.add(rank ?? set);
    sets.add(`${family} ${set}`);
  }
  return (
    lookups.size === 1 &&
    after.every(({ key }) => {
      const { kind, family, name } = parseKey(key);
      return kind === 'element' && sets.has(`${family} ${name}`);
    })
  );
}

const isAny = (stage: readonly NftChange[]): boolean => stage.length > 0;

/** An element that tells where packets go, or what they are. */
const leadsOn = (change: NftChange): boolean =>
  change.op === 'put' && change.row.kind === 'element' && change.row.element.data !== undefined;

const losesHook = ({ op, key, actual }: NftChange): boolean =>
  op === 'remove' && actual !== undefined && parseKey(key).kind === 'chain' && baseOf(actual) !== 'null';

const elementsPerPart = 4_000;

/** One stage in several transactions, where the kernel takes no large ones: sets that are new are filled before anything
 *  looks at them. */
export function dividedStage(changes: readonly NftChange[]): readonly (readonly NftChange[])[] {
  const newSets = new Set<string>();
  const early: NftChange[] = [];
  for (const change of changes) {
    if (change.op !== 'put' || change.actual !== undefined) continue;
    if (change.row.kind === 'table') early.push(change);
    if (change.row.kind !== 'set') continue;
    early.push(change);
    newSets.add(`${change.row.family} ${change.row.set.name}`);
  }
  const bulk = changes.filter(
    (change) =>
      change.op === 'put' &&
      change.row.kind === 'element' &&
      change.row.element.data === undefined &&
      newSets.has(`${change.row.family} ${change.row.set}`),
  );
  const taken = new Set([...early, ...bulk]);
  const parts: NftChange[][] = [early];
  for (let at = 0; at < bulk.length; at += elementsPerPart) parts.push(bulk.slice(at, at + elementsPerPart));
  parts.push(changes.filter((change) => !taken.has(change)));
  return parts.filter(isAny);
}

/** The hook of a chain, of its signature (`null`: none). */
export const baseOf = (actual: string | undefined): string =>
  JSON.stringify((JSON.parse(actual ?? '[null]') as unknown[])[0]);

/** `element`: of elements, their key as rows write it, joined. */
export function parseKey(key: string): {
  readonly kind: NftRow['kind'];
  readonly family: NftRow['family'];
  readonly name: string;
  readonly element: string;
} {
  const kindAt = key.indexOf(' ') + 1;
  const kindEnd = wordEnd(key, kindAt);
  const nameEnd = wordEnd(key, kindEnd + 1);
  return {
    family: key.slice(0, kindAt - 1) as NftRow['family'],
    kind: key.slice(kindAt, kindEnd) as NftRow['kind'],
    name: key.slice(kindEnd + 1, nameEnd),
    element: key.slice(nameEnd + 1),
  };
}

function wordEnd(text: string, from: number): number {
  const at = text.indexOf(' ', from);
  return at < 0 ? text.length : at;
}
