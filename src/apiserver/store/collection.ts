// The objects of one resource by namespace and name, with the order lists are given in (namespace, name; by code unit).
import type { Stored } from './types.ts';

const byName = (a: Stored, b: Stored): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

class Folder {
  readonly objects = new Map<string, Stored>();
  #sorted: readonly Stored[] | undefined;

  set(stored: Stored): void {
    this.objects.set(stored.name, stored);
    this.#sorted = undefined;
  }

  delete(name: string): void {
    this.objects.delete(name);
    this.#sorted = undefined;
  }

  sorted(): readonly Stored[] {
    this.#sorted ??= [...this.objects.values()].sort(byName);
    return this.#sorted;
  }
}

export class Collection {
  readonly #folders = new Map<string, Folder>();

  get(namespace: string, name: string): Stored | undefined {
    return this.#folders.get(namespace)?.objects.get(name);
  }

  set(stored: Stored): void {
    let folder = this.#folders.get(stored.namespace);
    if (folder === undefined) {
      folder = new Folder();
      this.#folders.set(stored.namespace, folder);
    }
    folder.set(stored);
  }

  delete(namespace: string, name: string): void {
    const folder = this.#folders.get(namespace);
    folder?.delete(name);
    if (folder?.objects.size === 0) this.#folders.delete(namespace);
  }

  count(namespace: string): number {
    return this.#folders.get(namespace)?.objects.size ?? 0;
  }

  /** In order; of one namespace when given. */
  list(namespace?: string): readonly Stored[] {
    if (namespace !== undefined) return this.#folders.get(namespace)?.sorted() ?? [];
    if (this.#folders.size === 1) for (const folder of this.#folders.values()) return folder.sorted();
    return [...this.#folders.keys()].sort().flatMap((name) => this.#folders.get(name)?.sorted() ?? []);
  }
}
