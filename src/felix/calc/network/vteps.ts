// Every node's end of the VXLAN overlay (FX-090), and which of them changed.
import type { NodeFacts, Vtep } from './types.ts';

export class VtepResolver {
  readonly #known = new Map<string, Vtep>();
  readonly #told = new Map<string, Vtep>();
  readonly #dirty = new Set<string>();

  get vteps(): ReadonlyMap<string, Vtep> {
    return this.#told;
  }

  setNode(name: string, facts: NodeFacts | undefined): void {
    if (facts?.vtep === undefined) this.#known.delete(name);
    else this.#known.set(name, facts.vtep);
    this.#dirty.add(name);
  }

  flush(): { readonly set: readonly Vtep[]; readonly deleted: readonly string[] } {
    const set: Vtep[] = [];
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
