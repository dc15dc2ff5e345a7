// What every node is at its end of an overlay, VXLAN (FX-090) or WireGuard (FX-092), and which of these ends changed.
import type { NodeFacts } from './types.ts';

export class EndResolver<End> {
  readonly #endOf: (facts: NodeFacts) => End | undefined;
  readonly #known = new Map<string, End>();
  readonly #told = new Map<string, End>();
  readonly #dirty = new Set<string>();

  constructor(endOf: (facts: NodeFacts) => End | undefined) {
    this.#endOf = endOf;
  }

  get ends(): ReadonlyMap<string, End> {
    return this.#told;
  }

  setNode(name: string, facts: NodeFacts | undefined): void {
    const end = facts === undefined ? undefined : this.#endOf(facts);
    if (end === undefined) this.#known.delete(name);
    else this.#known.set(name, end);
    this.#dirty.add(name);
  }

  flush(): { readonly set: readonly End[]; readonly deleted: readonly string[] } {
    const set: End[] = [];
    const deleted: string[] = [];
    for (const name of this.#dirty) {
      const now = this.#known.get(name);
      const before = this.#told.get(name);
      if (now === undefined) {
        if (this.#told.delete(name)) deleted.push(name);
      } else if (before === undefined || JSON.stringify(before) !== JSON.stringify(now)) {
        this.#told.set(name, now);
        set.push(now);
      }
    }
    this.#dirty.clear();
    return { set, deleted };
  }
}
