// A plane of decisions as elements of the lookups: a rest for the class, a rest for each protocol that differs from it, and
// what differs from that. Ports stand one by one in a hash; only what would be too many becomes an interval.
import { hasPorts } from '../../../../policy/mod.ts';
import { nftProtocolName } from '../../../../kernel/mod.ts';
import type { ProgramDecision } from '../types.ts';
import { isIcmp, isWide, type Cell, type DecisionPlane } from './plane.ts';
import { lastPort } from './ranges.ts';
import { rangeText } from './rows.ts';

/** The lookups in order. `port` and `range` ask for protocol and port, `icmp` for type and code in place of the port. */
export const lookups = ['port', 'range', 'icmp', 'proto', 'class'] as const;
export type Lookup = (typeof lookups)[number];

export type PlaneElement = {
  readonly lookup: Lookup;
  /** Lookup and fields as one text. */
  readonly text: string;
  /** The fields behind the class. */
  readonly fields: readonly string[];
  readonly decision: ProgramDecision;
  /** Of `icmp`. */
  readonly protocol?: number;
};

/** More ports than these are an interval. */
const portsListed = 16;

export function elementsOf({ other, protocols }: DecisionPlane): PlaneElement[] {
  const elements: PlaneElement[] = [];
  for (const [protocol, cells] of protocols) {
    const rest = restOf(cells, other);
    const name = nftProtocolName(protocol);
    for (const cell of cells) if (cell.decision !== rest) addCell(elements, protocol, name, cell);
    if (rest !== other) elements.push(elementOf('proto', [name], rest));
  }
  elements.push(elementOf('class', [], other));
  return elements;
}

/** The same for a class of which nothing need be said that holds for addresses of no class, too: where no lookup of other
 *  classes lies between, they meet the same. undefined when more than single protocols differ. */
export function differencesOf(plane: DecisionPlane, any: DecisionPlane): PlaneElement[] | undefined {
  if (plane.other !== any.other) return undefined;
  const elements: PlaneElement[] = [];
  for (const protocol of new Set([...plane.protocols.keys(), ...any.protocols.keys()])) {
    const name = nftProtocolName(protocol);
    const cells = cellsOf(plane, protocol);
    const differing: PlaneElement[] = [];
    for (const cell of differingCells(cells, cellsOf(any, protocol)))
      addCell(differing, protocol, name, cell);
    const whole: PlaneElement[] = [];
    const rest = restOf(cells, plane.other);
    for (const cell of cells) if (cell.decision !== rest) addCell(whole, protocol, name, cell);
    whole.push(elementOf('proto', [name], rest));
    elements.push(...(whole.length < differing.length ? whole : differing));
  }
  return elements;
}

const cellsOf = ({ other, protocols }: DecisionPlane, protocol: number): readonly Cell[] =>
  protocols.get(protocol) ?? [{ first: 0, last: isWide(protocol) ? lastPort : 0, decision: other }];

/** Those parts of the one in which the other decides differently. Both are in order and without gaps. */
function* differingCells(cells: readonly Cell[], others: readonly Cell[]): Generator<Cell> {
  let j = 0;
  for (const { first, last, decision } of cells) {
    while ((others[j] as Cell).last < first) j++;
    for (let at = first; at <= last; ) {
      const other = others[j] as Cell;
      const end = Math.min(last, other.last);
      if (other.decision !== decision) yield { first: at, last: end, decision };
      if (other.last <= last) j++;
      at = end + 1;
    }
  }
}

function addCell(elements: PlaneElement[], protocol: number, name: string, cell: Cell): void {
  const { first, last, decision } = cell;
  if (isIcmp(protocol))
    elements.push({ ...elementOf('icmp', [name, rangeText(first, last)], decision), protocol });
  else if (!hasPorts(protocol)) elements.push(elementOf('proto', [name], decision));
  else if (last - first >= portsListed)
    elements.push(elementOf('range', [name, rangeText(first, last)], decision));
  else
    for (let port = first; port <= last; port++)
      elements.push(elementOf('port', [name, String(port)], decision));
}

const elementOf = (lookup: Lookup, fields: readonly string[], decision: ProgramDecision): PlaneElement => ({
  lookup,
  text: `${lookup} ${fields.join(' . ')}`,
  fields,
  decision,
});

/** What most of the values meet; of equals, what needs no element. */
function restOf(cells: readonly Cell[], other: ProgramDecision): ProgramDecision {
  const sizes = new Map<ProgramDecision, number>();
  for (const { first, last, decision } of cells)
    sizes.set(decision, (sizes.get(decision) ?? 0) + last - first + 1);
  let best = other;
  for (const [decision, size] of sizes) if (size > (sizes.get(best) ?? 0)) best = decision;
  return best;
}
