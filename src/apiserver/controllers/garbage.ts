// Owner references: dependents of a deleted owner are deleted (background), before it (foreground) or let go (orphan).
// What is to be done is written in the objects as finalizers, so that a restart takes it up again.
import { ok } from '../../lib/result.ts';
import type { Api } from '../api.ts';
import type { Change, Stored, Transaction } from '../store/types.ts';
import type { ApiObject } from '../types.ts';
import { deleteIn, type Propagation } from '../verbs/delete.ts';
import { replaceIn } from '../verbs/write.ts';

const waitsFor = (object: ApiObject, finalizer: string): boolean =>
  object.metadata.deletionTimestamp !== undefined && (object.metadata.finalizers ?? []).includes(finalizer);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class GarbageCollector {
  readonly #api: Api;
  /** Objects to look at, by their full name. */
  readonly #pending = new Map<string, Stored>();
  #running: Promise<void> | undefined;

  constructor(api: Api) {
    this.#api = api;
    api.store.onChanges((changes) => this.#notice(changes));
  }

  /** Looks at everything once: what a stop interrupted goes on. */
  start(): void {
    for (const stored of this.#api.store.allObjects()) this.#consider(stored);
    this.#run();
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  #consider(stored: Stored): void {
    const { object } = stored;
    const owned = (object.metadata.ownerReferences ?? []).length > 0;
    if (owned || waitsFor(object, 'orphan') || waitsFor(object, 'foregroundDeletion')) this.#add(stored);
  }

  #add(stored: Stored): void {
    this.#pending.set(`${stored.resource}/${stored.namespace}/${stored.name}`, stored);
  }

  #notice(changes: readonly Change[]): void {
    const { store } = this.#api;
    for (const { type, current } of changes) {
      if (type === 'ADDED') this.#consider(current);
      else if (type === 'MODIFIED') {
        if (current.object.metadata.deletionTimestamp !== undefined) this.#consider(current);
      } else {
        for (const dependent of store.dependentsOf(current.object.metadata.uid ?? '')) this.#add(dependent);
        // Owners that wait for this one to go.
        for (const owner of current.object.metadata.ownerReferences ?? []) {
          const kind = this.#api.registry.byKind(owner.apiVersion, owner.kind);
          if (kind === undefined) continue;
          const key = {
            resource: kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`,
            namespace: kind.namespaced ? current.namespace : '',
            name: owner.name,
          };
          const stored = store.get(key);
          if (stored !== undefined && waitsFor(stored.object, 'foregroundDeletion')) this.#add(stored);
        }
      }
    }
    this.#run();
  }

  #run(): void {
    if (this.#pending.size === 0 || this.#running !== undefined || this.#api.stopping.aborted) return;
    this.#running = this.#work().finally(() => {
      this.#running = undefined;
      this.#run();
    });
  }

  async #work(): Promise<void> {
    const work = [...this.#pending.values()].slice(0, 256);
    for (const stored of work) this.#pending.delete(`${stored.resource}/${stored.namespace}/${stored.name}`);
    try {
      await this.#api.store.write((tx) => {
        for (const stored of work) this.#settle(tx, stored);
        return ok(undefined);
      });
    } catch (cause) {
      this.#api.logger.error('Garbage collection failed', {
        error: cause instanceof Error ? cause.message : String(cause),
      });
    }
  }

  #settle(tx: Transaction, stored: Stored): void {
    const current = tx.get(stored);
    if (current === undefined) return;
    const { object } = current;
    if (waitsFor(object, 'orphan')) this.#orphan(tx, current);
    else if (waitsFor(object, 'foregroundDeletion')) this.#foreground(tx, current);
    else this.#collect(tx, current);
  }

  #replace(tx: Transaction, stored: Stored, metadata: ApiObject['metadata']): void {
    const kind = this.#api.registry.byKey(stored.resource);
    const kept: Mutable<ApiObject['metadata']> = { ...metadata };
    if (kept.finalizers?.length === 0) delete kept.finalizers;
    if (kept.ownerReferences?.length === 0) delete kept.ownerReferences;
    if (kind !== undefined) replaceIn(tx, kind, stored, { ...stored.object, metadata: kept }, 'server');
  }

  #delete(tx: Transaction, stored: Stored, propagation: Propagation): void {
    const kind = this.#api.registry.byKey(stored.resource);
    const current = tx.get(stored);
    if (
      kind !== undefined &&
      current !== undefined &&
      current.object.metadata.deletionTimestamp === undefined
    ) {
      deleteIn(tx, kind, current, { propagation, dryRun: false });
    }
  }

  #dependents(tx: Transaction, owner: Stored): readonly Stored[] {
    const all = this.#api.store.dependentsOf(owner.object.metadata.uid ?? '');
    return all.map((stored) => tx.get(stored)).filter((stored) => stored !== undefined);
  }

  #finish(tx: Transaction, stored: Stored, finalizer: string): void {
    const { metadata } = stored.object;
    this.#replace(tx, stored, {
      ...metadata,
      finalizers: (metadata.finalizers ?? []).filter((one) => one !== finalizer),
    });
  }

  #orphan(tx: Transaction, owner: Stored): void {
    const { uid } = owner.object.metadata;
    for (const dependent of this.#dependents(tx, owner)) {
      const { metadata } = dependent.object;
      this.#replace(tx, dependent, {
        ...metadata,
        ownerReferences: (metadata.ownerReferences ?? []).filter((one) => one.uid !== uid),
      });
    }
    this.#finish(tx, owner, 'orphan');
  }

  #foreground(tx: Transaction, owner: Stored): void {
    const { uid } = owner.object.metadata;
    let blocked = false;
    for (const dependent of this.#dependents(tx, owner)) {
      const reference = dependent.object.metadata.ownerReferences?.find((one) => one.uid === uid);
      this.#delete(tx, dependent, 'Foreground');
      if (reference?.blockOwnerDeletion === true && tx.get(dependent) !== undefined) blocked = true;
    }
    if (!blocked) this.#finish(tx, owner, 'foregroundDeletion');
  }

  /** Deletes an object all of whose owners are gone; drops the references to the ones that are when others remain. */
  #collect(tx: Transaction, stored: Stored): void {
    const { metadata } = stored.object;
    const owners = metadata.ownerReferences ?? [];
    if (owners.length === 0 || metadata.deletionTimestamp !== undefined) return;
    const living = owners.filter((owner) => this.#lives(tx, owner, stored.namespace));
    if (living.length === owners.length) return;
    if (living.length === 0) this.#delete(tx, stored, 'Background');
    else this.#replace(tx, stored, { ...metadata, ownerReferences: living });
  }

  #lives(
    tx: Transaction,
    owner: NonNullable<ApiObject['metadata']['ownerReferences']>[number],
    namespace: string,
  ): boolean {
    const kind = this.#api.registry.byKind(owner.apiVersion, owner.kind);
    // An owner of a kind that is not served here cannot be judged: its dependents stay.
    if (kind === undefined) return true;
    const resource = kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
    const found = tx.get({ resource, namespace: kind.namespaced ? namespace : '', name: owner.name });
    return found !== undefined && found.object.metadata.uid === owner.uid;
  }
}
