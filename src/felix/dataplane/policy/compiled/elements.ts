// A plane of decisions as elements of the lookups: a rest for the class, a rest for each protocol that differs from it, and
// what differs from that. Ports stand one by one in a hash; only what would be too many becomes an interval.
import { hasPorts } from '../../../../policy/mod.ts';
import { nftProtocolName } from '../../../../kernel/mod.ts';
import type { ProgramDecision } from '../types.ts';
import { isIcmp, type Cell, type DecisionPlane } from './plane.ts';
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
  const add = (
    lookup: Lookup,
    fields: readonly string[],
    decision: ProgramDecision,
    protocol?: number,
  ): void => {
    const text = `${lookup} ${fields.join(' . ')}`;
    elements.push({ lookup, text, fields, decision, ...(protocol === undefined ? {} : { protocol }) });
  };
  for (const [protocol, cells] of protocols) {
    const rest = restOf(cells, other);
    const name = nftProtocolName(protocol);
    for (const { first, last, decision } of cells) {
      if (decision === rest) continue;
      if (isIcmp(protocol)) add('icmp', [name, rangeText(first, last)], decision, protocol);
      else if (hasPorts(protocol) && last - first >= portsListed)
        add('range', [name, rangeText(first, last)], decision);
      else for (let port = first; port <= last; port++) add('port', [name, String(port)], decision);
    }
    if (rest !== other) add('proto', [name], rest);
  }
  add('class', [], other);
  return elements;
}

/** What most of the values meet; of equals, what needs no element. */
function restOf(cells: readonly Cell[], other: ProgramDecision): ProgramDecision {
  const sizes = new Map<ProgramDecision, number>();
  for (const { first, last, decision } of cells)
    sizes.set(decision, (sizes.get(decision) ?? 0) + last - first + 1);
  let best = other;
  for (const [decision, size] of sizes) if (size > (sizes.get(best) ?? 0)) best = decision;
  return best;
}
