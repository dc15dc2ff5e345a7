// Next hops have changed: every path that uses one is looked at again, a slice of the table at a time, within the budget of
// a flush.
import type { RibContext } from './context.ts';
import type { FamilyTable } from './family-table.ts';
import type { Importer } from './import.ts';
import { pathFlags } from './path-table.ts';

const families = [4, 6] as const;
/** Most paths use another next hop: looking at one costs far less than deciding for a prefix. */
const pathsPerPrefix = 8;

export class NextHopScan {
  readonly #context: RibContext;
  readonly #importer: Importer;
  #changed = new Set<number>();
  /** Paths below have been looked at; undefined when there is nothing to do. */
  readonly #cursor: { 4: number | undefined; 6: number | undefined } = { 4: undefined, 6: undefined };

  constructor(context: RibContext, importer: Importer) {
    this.#context = context;
    this.#importer = importer;
  }

  get pending(): boolean {
    return this.#cursor[4] !== undefined || this.#cursor[6] !== undefined;
  }

  /** A scan that is under way begins anew for all of them. */
  begin(hops: readonly number[]): void {
    if (hops.length === 0) return;
    for (const hop of hops) this.#changed.add(hop);
    for (const family of families) this.#cursor[family] = 0;
  }

  step(table: FamilyTable, prefixes: number): void {
    const from = this.#cursor[table.family];
    if (from === undefined) return;
    const { attributes, peers } = this.#context;
    const { paths } = table;
    const end = Math.min(paths.bound, from + prefixes * pathsPerPrefix);
    for (let path = from; path < end; path++) {
      const peer = peers[paths.peer[path]!];
      const set = paths.attributesIn[path]!;
      if (peer === undefined || set === 0 || !this.#changed.has(attributes.nextHop[set]!)) continue;
      if ((paths.flags[path]! & pathFlags.removed) !== 0) continue;
      // Policies may look at the interface behind the next hop.
      this.#importer.evaluate(table, path, peer);
      paths.flags[path]! |= pathFlags.changed;
      table.markDirty(paths.dest[path]!);
    }
    this.#cursor[table.family] = end < paths.bound ? end : undefined;
    if (!this.pending) this.#changed.clear();
  }
}
