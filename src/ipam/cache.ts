// A view of what assignment reads, kept warm by a syncer's updates. It holds all claims, pools and reservations, and only
// those nodes, namespaces and blocks the syncer was told to follow; what it does not hold is read from the store.
import type {
  BlockAffinity,
  IPAMBlock,
  IPAMConfiguration,
  IPPool,
  IPReservation,
  KindName,
  Namespace,
  Node,
  ResourceOf,
} from '../model/mod.ts';
import { hasRange } from './pools.ts';
import type { IpamView } from './types.ts';

/** The updates a syncer gives; others than the kinds of this view are ignored. */
export type CacheUpdate =
  | {
      readonly type: 'set';
      readonly kind: KindName;
      readonly object: { readonly metadata: { readonly name: string } };
    }
  | { readonly type: 'delete'; readonly kind: KindName; readonly name: { readonly name: string } }
  | { readonly type: 'status'; readonly status: 'waiting' | 'syncing' | 'in-sync' };

/** What the syncer behind a cache must follow; Node, Namespace and IPAMBlock may be added. */
export const viewKinds = ['IPPool', 'IPReservation', 'IPAMConfiguration', 'BlockAffinity'] as const;

const kept: ReadonlySet<KindName> = new Set<KindName>([...viewKinds, 'Node', 'Namespace', 'IPAMBlock']);

export class IpamCache implements IpamView {
  readonly #tables = new Map<KindName, Map<string, unknown>>();
  readonly #lists = new Map<KindName, readonly unknown[]>();
  #ready = false;

  get ready(): boolean {
    return this.#ready;
  }

  apply(updates: readonly CacheUpdate[]): void {
    for (const update of updates) {
      if (update.type === 'status') {
        // A lost connection makes the view old, not wrong: writes find out.
        this.#ready ||= update.status === 'in-sync';
        continue;
      }
      if (!kept.has(update.kind)) continue;
      const table = this.#tables.get(update.kind) ?? new Map<string, unknown>();
      this.#tables.set(update.kind, table);
      this.#lists.delete(update.kind);
      const isAbsent =
        update.kind === 'IPPool' && update.type === 'set' && !hasRange(update.object as IPPool);
      if (isAbsent) table.delete(update.object.metadata.name);
      else if (update.type === 'set') table.set(update.object.metadata.name, update.object);
      else table.delete(update.name.name);
    }
  }

  pools(): readonly IPPool[] {
    return this.#list('IPPool');
  }

  reservations(): readonly IPReservation[] {
    return this.#list('IPReservation');
  }

  configuration(): IPAMConfiguration | undefined {
    return this.#get('IPAMConfiguration', 'default');
  }

  node(name: string): Node | undefined {
    return this.#get('Node', name);
  }

  namespace(name: string): Namespace | undefined {
    return this.#get('Namespace', name);
  }

  affinities(): readonly BlockAffinity[] {
    return this.#list('BlockAffinity');
  }

  block(name: string): IPAMBlock | undefined {
    return this.#get('IPAMBlock', name);
  }

  #get<K extends KindName>(kind: K, name: string): ResourceOf<K> | undefined {
    return this.#tables.get(kind)?.get(name) as ResourceOf<K> | undefined;
  }

  /** The same array until something of the kind changes, so that what is computed from it can be kept. */
  #list<K extends KindName>(kind: K): readonly ResourceOf<K>[] {
    const known = this.#lists.get(kind) ?? [...(this.#tables.get(kind)?.values() ?? [])];
    this.#lists.set(kind, known);
    return known as readonly ResourceOf<K>[];
  }
}
