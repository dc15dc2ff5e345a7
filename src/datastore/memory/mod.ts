// Public face of the memory driver: a store that many clients share, for tests and for single-process use.
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { MemoryClient, type MemoryClientOptions } from './client.ts';
import { MemoryState, type MemoryStateOptions, nameOf, untyped } from './store.ts';

export {
  faultAt,
  isWrite,
  SimulatedCrash,
  type Fault,
  type FaultPlan,
  type StoreCall,
  type StoreVerb,
} from './faults.ts';
export type { MemoryClient, MemoryClientOptions } from './client.ts';

export class MemoryStore {
  readonly #state: MemoryState;

  constructor(options: MemoryStateOptions = {}) {
    this.#state = new MemoryState(options);
  }

  /** A client of its own: with its own faults, latency and watches. */
  open(options: MemoryClientOptions = {}): MemoryClient {
    return new MemoryClient(this.#state, options);
  }

  /** Creates or replaces objects as they are, status included: how tests set the stage. */
  put<K extends KindName>(kind: K, ...objects: readonly ResourceOf<K>[]): void {
    for (const object of objects.map((o) => untyped(o))) {
      const stored = this.#state.get(kind, nameOf(object));
      if (stored === undefined) this.#state.create(kind, object, false);
      else {
        const { uid: _uid, ...metadata } = object.metadata;
        const resourceVersion = stored.metadata.resourceVersion ?? '';
        this.#state.update(kind, { ...object, metadata: { ...metadata, resourceVersion } }, 'all', false);
      }
    }
  }

  /** All objects of a kind, read without a client (and without its faults). */
  all<K extends KindName>(kind: K): readonly ResourceOf<K>[] {
    return this.#state.list(kind) as unknown as readonly ResourceOf<K>[];
  }

  get revision(): number {
    return this.#state.revision;
  }

  /** Forgets the history: watches from earlier revisions are told TooOld. */
  compact(): void {
    this.#state.compact();
  }

  /** Sends every watcher a bookmark. */
  bookmark(): void {
    this.#state.bookmark();
  }
}
