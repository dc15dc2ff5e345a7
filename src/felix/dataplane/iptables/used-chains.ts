// Chains of policies, profiles and groups: a table has them as long as an endpoint's chain there leads to them.
import type { Family } from '../../../lib/ip/mod.ts';
import type { PolicyId } from '../../../policy/mod.ts';
import { policyKey } from '../../calc/mod.ts';
import type { PolicyMirror } from '../policy/inputs/mod.ts';
import { chainOf, groupLines, unknownPolicy, type ChainUse } from './chains.ts';
import type { LayoutSettings, RowSink } from './layout.ts';
import { comment, denialOf, line, ruleLines, type TableName } from './rules.ts';
import type { Row } from './types.ts';

export class UsedChains {
  readonly #sink: RowSink;
  readonly #mirror: PolicyMirror;
  readonly #settings: () => LayoutSettings;
  /** With the number of chains that lead there, by table and name. */
  readonly #used = new Map<string, { table: TableName; use: ChainUse; users: number }>();
  /** Selectors of policies, by which they are grouped. */
  readonly #selectors = new Map<string, string>();

  constructor(sink: RowSink, mirror: PolicyMirror, settings: () => LayoutSettings) {
    this.#sink = sink;
    this.#mirror = mirror;
    this.#settings = settings;
  }

  renderAll(): void {
    for (const { table, use } of this.#used.values()) this.#renderUsed(table, use);
  }

  /** Gives the policies whose selector is another one than before: endpoints that have them may be grouped otherwise. */
  update(policies: ReadonlySet<string>, profiles: ReadonlySet<string>): ReadonlySet<string> {
    for (const { table, use } of this.#used.values())
      if (
        (use.kind === 'policy' && policies.has(policyKey(use.id))) ||
        (use.kind === 'profile' && profiles.has(use.name))
      )
        this.#renderUsed(table, use);
    return this.#regrouped(policies);
  }

  use(table: TableName, use: ChainUse): void {
    const key = `${table} ${chainOf(use)}`;
    const known = this.#used.get(key);
    if (known !== undefined) {
      known.users++;
      return;
    }
    this.#used.set(key, { table, use, users: 1 });
    this.#renderUsed(table, use);
    if (use.kind === 'group')
      for (const next of groupLines(use, this.#settings().marks).uses) this.use(table, next);
  }

  release(table: TableName, use: ChainUse): void {
    const key = `${table} ${chainOf(use)}`;
    const known = this.#used.get(key);
    if (known === undefined || --known.users > 0) return;
    this.#used.delete(key);
    this.#sink.put(`chain ${key}`, []);
    if (use.kind === 'group')
      for (const next of groupLines(use, this.#settings().marks).uses) this.release(table, next);
  }

  #renderUsed(table: TableName, use: ChainUse): void {
    const name = chainOf(use);
    const rows = this.#settings().families.map(
      (family): Row => ({ kind: 'chain', family, table, name, rules: this.#linesOf(use, table, family) }),
    );
    this.#sink.put(`chain ${table} ${name}`, rows);
  }

  #linesOf(use: ChainUse, table: TableName, family: Family): readonly string[] {
    const { marks, denial, logPrefix, logRate, logBurst } = this.#settings();
    if (use.kind === 'group') return groupLines(use, marks).lines;
    const { direction } = use;
    const settings = { family, table, direction, marks, denial, logPrefix, logRate, logBurst };
    if (use.kind === 'profile') {
      const profile = this.#mirror.profiles.get(use.name);
      if (profile !== undefined)
        return ruleLines(profile[direction], { ...settings, owner: { profile: use.name } });
      return [line(comment(`profile ${use.name} is not known`), '--jump', denialOf(table, denial))];
    }
    const policy = this.#mirror.policies.get(policyKey(use.id));
    if (policy === undefined) return [unknownPolicy(use.id, denialOf(table, denial))];
    return ruleLines(policy[direction], { ...settings, owner: { tier: policy.tier, policy: use.id } });
  }

  /** Policies whose selector is another one than before. */
  #regrouped(policies: ReadonlySet<string>): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const key of policies) {
      const text = this.#mirror.policies.get(key)?.selector.text;
      if (this.#selectors.get(key) === text) continue;
      if (text === undefined) this.#selectors.delete(key);
      else this.#selectors.set(key, text);
      changed.add(key);
    }
    return changed;
  }

  /** Runs of policies with one selector: an endpoint that has one of them has them all. */
  groups(ids: readonly PolicyId[]): readonly (readonly PolicyId[])[] {
    const groups: PolicyId[][] = [];
    let last: string | undefined;
    for (const id of ids) {
      const text = this.#selectors.get(policyKey(id));
      if (text !== undefined && text === last) groups.at(-1)?.push(id);
      else groups.push([id]);
      last = text;
    }
    return groups;
  }
}
