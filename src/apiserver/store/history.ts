// The changes kept in memory for watches to resume from, oldest first, over all resources and per resource.
import { Deque } from './deque.ts';
import type { Change, ChangeFeed } from './types.ts';

type Line = { readonly changes: Deque<Change>; readonly wakes: Set<() => void> };

export type HistoryLimits = { readonly historyEvents: number; readonly historyBytes: number };

export class History {
  readonly limits: HistoryLimits;
  /** Changes up to this revision are not kept. */
  compacted: number;
  /** Newest revision given to feeds. */
  published: number;
  readonly #all = new Deque<Change>();
  readonly #lines = new Map<string, Line>();
  #bytes = 0;

  constructor(limits: HistoryLimits, start: number) {
    this.limits = limits;
    this.compacted = start;
    this.published = start;
  }

  #line(resource: string): Line {
    let line = this.#lines.get(resource);
    if (line === undefined) {
      line = { changes: new Deque(), wakes: new Set() };
      this.#lines.set(resource, line);
    }
    return line;
  }

  append(change: Change): void {
    this.#all.push(change);
    this.#line(change.current.resource).changes.push(change);
    this.#bytes += change.current.text.length;
    this.published = change.revision;
  }

  /** What to forget so that, with `incoming` more bytes and changes, the limits hold. */
  surplus(incoming: readonly Change[]): readonly Change[] {
    let count = this.#all.end - this.#all.first + incoming.length;
    let bytes = this.#bytes;
    for (const change of incoming) bytes += change.current.text.length;
    const out: Change[] = [];
    for (let position = this.#all.first; position < this.#all.end; position++) {
      const change = this.#all.at(position);
      if (change === undefined || (count <= this.limits.historyEvents && bytes <= this.limits.historyBytes))
        break;
      out.push(change);
      count--;
      bytes -= change.current.text.length;
    }
    return out;
  }

  forget(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#all.shift();
      this.#line(change.current.resource).changes.shift();
      this.#bytes -= change.current.text.length;
      this.compacted = change.revision;
    }
  }

  wake(resources: ReadonlySet<string>): void {
    for (const resource of resources) for (const wake of this.#lines.get(resource)?.wakes ?? []) wake();
  }

  /** Changes of a resource after `revision`, oldest first. */
  *after(resource: string, revision: number): Generator<Change> {
    const { changes } = this.#line(resource);
    for (let position = find(changes, revision); position < changes.end; position++) {
      const change = changes.at(position);
      if (change !== undefined) yield change;
    }
  }

  feed(resource: string, revision: number, onMore: () => void): ChangeFeed {
    const { changes, wakes } = this.#line(resource);
    const published = (): number => this.published;
    let position = find(changes, revision);
    let seen = revision;
    let lost = revision < this.compacted;
    wakes.add(onMore);
    return {
      next() {
        if (lost || position < changes.first) {
          lost = true;
          return 'expired';
        }
        const change = changes.at(position);
        if (change === undefined) {
          seen = Math.max(seen, published());
          return undefined;
        }
        position++;
        seen = change.revision;
        return change;
      },
      get seen() {
        return seen;
      },
      close: () => void wakes.delete(onMore),
    };
  }
}

/** Position of the first change after the revision. */
function find(changes: Deque<Change>, revision: number): number {
  let low = changes.first;
  let high = changes.end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((changes.at(middle)?.revision ?? 0) <= revision) low = middle + 1;
    else high = middle;
  }
  return low;
}
