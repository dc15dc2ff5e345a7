// Prefixes that wait to be written, each once, first come first served. Taking costs as much as what is taken, however many
// wait.
import type { Prefix } from '../../../lib/ip/mod.ts';

export class PrefixQueue {
  readonly #waiting = new Set<Prefix>();
  #order: Prefix[] = [];
  #from = 0;

  get size(): number {
    return this.#waiting.size;
  }

  add(prefix: Prefix): void {
    if (this.#waiting.has(prefix)) return;
    this.#waiting.add(prefix);
    this.#order.push(prefix);
  }

  /** The first of them, at most `limit`. */
  take(limit: number): Prefix[] {
    const taken = this.#order.slice(this.#from, this.#from + limit);
    for (const prefix of taken) this.#waiting.delete(prefix);
    this.#from += taken.length;
    if (this.#waiting.size === 0) this.clear();
    else if (this.#from >= 65536) {
      this.#order = this.#order.slice(this.#from);
      this.#from = 0;
    }
    return taken;
  }

  clear(): void {
    this.#waiting.clear();
    this.#order = [];
    this.#from = 0;
  }
}
