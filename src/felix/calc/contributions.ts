// Rows that several sources may ask for at once (two pods of one address during a handover, a /32 that is both a block
// and an endpoint): each source contributes, the contribution of the highest rank becomes the row. What a source
// contributed is remembered, so that a change of one object costs what that object touches.

export type Contribution<Row> = {
  readonly row: Row;
  /** Compared as text; the higher wins. Must differ between sources. */
  readonly rank: string;
};

export class Contributions<Row> {
  readonly #keyOf: (row: Row) => string;
  readonly #bySource = new Map<string, readonly Contribution<Row>[]>();
  readonly #byKey = new Map<string, Map<string, Contribution<Row>>>();
  readonly #current = new Map<string, Row>();
  readonly #changed = new Set<string>();

  constructor(keyOf: (row: Row) => string) {
    this.#keyOf = keyOf;
  }

  get rows(): ReadonlyMap<string, Row> {
    return this.#current;
  }

  /** Replaces everything the source asked for. */
  replace(source: string, contributions: readonly Contribution<Row>[]): void {
    for (const old of this.#bySource.get(source) ?? []) {
      const key = this.#keyOf(old.row);
      const rivals = this.#byKey.get(key);
      rivals?.delete(source);
      if (rivals?.size === 0) this.#byKey.delete(key);
      this.#changed.add(key);
    }
    if (contributions.length === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, contributions);
    for (const contribution of contributions) {
      const key = this.#keyOf(contribution.row);
      const rivals = this.#byKey.get(key) ?? new Map<string, Contribution<Row>>();
      this.#byKey.set(key, rivals.set(source, contribution));
      this.#changed.add(key);
    }
  }

  /** The rows that became others since the last call. */
  flush(): { readonly set: readonly Row[]; readonly deleted: readonly string[] } {
    const set: Row[] = [];
    const deleted: string[] = [];
    for (const key of this.#changed) {
      let winner: Contribution<Row> | undefined;
      for (const rival of this.#byKey.get(key)?.values() ?? []) {
        if (winner === undefined || rival.rank > winner.rank) winner = rival;
      }
      const before = this.#current.get(key);
      if (winner === undefined) {
        if (this.#current.delete(key)) deleted.push(key);
      } else if (before === undefined || JSON.stringify(before) !== JSON.stringify(winner.row)) {
        this.#current.set(key, winner.row);
        set.push(winner.row);
      }
    }
    this.#changed.clear();
    return { set, deleted };
  }
}
