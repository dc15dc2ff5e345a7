// The node's interfaces as last heard of, and which rows hang on which: rows name interfaces, the kernel wants indexes,
// and an interface that goes down or is replaced takes routes and settings with it, mostly without a word.
import type { Link } from '../../kernel/mod.ts';

/** What happened to rows that hang on the interface. */
export type LinkTransition = 'appeared' | 'vanished' | 'up' | 'down' | 'none';

export class LinkMirror {
  readonly #byName = new Map<string, Link>();
  readonly #nameOf = new Map<number, string>();

  byName(name: string): Link | undefined {
    return this.#byName.get(name);
  }

  nameOf(index: number | undefined): string | undefined {
    return index === undefined ? undefined : this.#nameOf.get(index);
  }

  all(): IterableIterator<Link> {
    return this.#byName.values();
  }

  /** Replaces everything; gives the names that changed in a way rows care about. */
  load(links: readonly Link[]): string[] {
    const before = new Map(this.#byName);
    this.#byName.clear();
    this.#nameOf.clear();
    for (const link of links) {
      this.#byName.set(link.name, link);
      this.#nameOf.set(link.index, link.name);
    }
    return [...new Set([...before.keys(), ...this.#byName.keys()])].filter(
      (name) => transition(before.get(name), this.#byName.get(name)) !== 'none',
    );
  }

  /** Takes a link event; gives the names whose rows must be looked at (two when renamed). */
  observe(link: Link, deleted: boolean): string[] {
    const changed = new Set<string>();
    const oldName = this.#nameOf.get(link.index);
    if (oldName !== undefined && (deleted || oldName !== link.name)) {
      this.#byName.delete(oldName);
      this.#nameOf.delete(link.index);
      changed.add(oldName);
    }
    if (deleted) return [...changed];
    if (transition(this.#byName.get(link.name), link) !== 'none') changed.add(link.name);
    this.#byName.set(link.name, link);
    this.#nameOf.set(link.index, link.name);
    return [...changed];
  }
}

function transition(before: Link | undefined, after: Link | undefined): LinkTransition {
  if (after === undefined) return before === undefined ? 'none' : 'vanished';
  if (before === undefined || before.index !== after.index) return 'appeared';
  if (before.up === after.up) return 'none';
  return after.up ? 'up' : 'down';
}

/** Keys of rows by the interface they hang on. */
export class InterfaceIndex {
  readonly #keys = new Map<string, Set<string>>();
  readonly #interfaceOf = new Map<string, string>();

  set(key: string, interfaceName: string | undefined): void {
    this.delete(key);
    if (interfaceName === undefined) return;
    this.#interfaceOf.set(key, interfaceName);
    const keys = this.#keys.get(interfaceName) ?? new Set();
    this.#keys.set(interfaceName, keys.add(key));
  }

  delete(key: string): void {
    const interfaceName = this.#interfaceOf.get(key);
    if (interfaceName === undefined) return;
    this.#interfaceOf.delete(key);
    const keys = this.#keys.get(interfaceName);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(interfaceName);
  }

  on(interfaceName: string): readonly string[] {
    return [...(this.#keys.get(interfaceName) ?? [])];
  }
}
