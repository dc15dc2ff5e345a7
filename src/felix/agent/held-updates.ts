// While ClusterInformation says that the datastore is not ready, its data is being moved (RS-181): what is deleted may be there
// again in a moment. The node keeps what it has, and news wait here, the newest of each object, until the datastore is ready.
import type { Logger } from '../../lib/log.ts';
import type { SyncUpdate } from '../../datastore/mod.ts';
import type { KindName } from '../../model/mod.ts';

export class HeldUpdates<K extends KindName> {
  readonly #logger: Logger;
  /** By object: its news in order, which are a deletion, a state, or a deletion with the state of a new object. */
  readonly #held = new Map<string, readonly SyncUpdate<K>[]>();
  #isLocked = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** What is to be acted on now: all of it, or only ClusterInformation and how the datastore is. */
  pass(updates: readonly SyncUpdate<K>[]): readonly SyncUpdate<K>[] {
    const passed: SyncUpdate<K>[] = [];
    for (const update of updates) {
      if (isClusterInformation(update)) {
        this.#setLocked(update.type === 'set' && saysNotReady(update.object));
        if (!this.#isLocked) passed.push(...this.#release());
        passed.push(update);
      } else if (update.type === 'status' || !this.#isLocked) passed.push(update);
      else this.#hold(update);
    }
    return passed;
  }

  #setLocked(isLocked: boolean): void {
    if (isLocked && !this.#isLocked)
      this.#logger.warn('The datastore is not ready, the node keeps what it has');
    if (!isLocked && this.#isLocked)
      this.#logger.info('The datastore is ready again', { objects: this.#held.size });
    this.#isLocked = isLocked;
  }

  #release(): readonly SyncUpdate<K>[] {
    const held = [...this.#held.values()].flat();
    this.#held.clear();
    return held;
  }

  #hold(update: SyncUpdate<K>): void {
    if (update.type === 'status') return;
    const { name, namespace = '' } = update.type === 'set' ? update.object.metadata : update.name;
    const key = `${update.kind} ${namespace}/${name}`;
    const [before] = this.#held.get(key) ?? [];
    this.#held.set(key, update.type === 'set' && before?.type === 'delete' ? [before, update] : [update]);
  }
}

function isClusterInformation<K extends KindName>(update: SyncUpdate<K>): boolean {
  if (update.type === 'status' || update.kind !== 'ClusterInformation') return false;
  return (update.type === 'set' ? update.object.metadata : update.name).name === 'default';
}

const saysNotReady = (object: object): boolean =>
  (object as { readonly spec?: { readonly datastoreReady?: boolean } }).spec?.datastoreReady === false;
