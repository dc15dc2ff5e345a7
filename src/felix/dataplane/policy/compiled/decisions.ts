// The chains of rules that elements go to, counted by the planes that name them: asked for once, given back with the last.
import type { Family } from '../../../../lib/ip/mod.ts';
import type { ProgramDecision, RuleChains } from '../types.ts';

export class DecisionChains {
  readonly #family: Family;
  readonly #chains: RuleChains;
  readonly #entries = new Map<
    string,
    { readonly decision: ProgramDecision; readonly name: string; users: number }
  >();
  readonly #keys = new WeakMap<ProgramDecision, string>();

  constructor(family: Family, chains: RuleChains) {
    this.#family = family;
    this.#chains = chains;
  }

  get size(): number {
    return this.#entries.size;
  }

  use(decision: ProgramDecision): string {
    const key = this.#key(decision);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { decision, name: this.#chains.use(this.#family, decision), users: 0 };
      this.#entries.set(key, entry);
    }
    entry.users++;
    return entry.name;
  }

  release(decision: ProgramDecision): void {
    const key = this.#key(decision);
    const entry = this.#entries.get(key);
    if (entry === undefined || --entry.users > 0) return;
    this.#entries.delete(key);
    this.#chains.release(this.#family, entry.decision);
  }

  #key(decision: ProgramDecision): string {
    let key = this.#keys.get(decision);
    if (key === undefined) this.#keys.set(decision, (key = JSON.stringify(decision)));
    return key;
  }
}
