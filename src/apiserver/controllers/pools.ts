// Deleted pools: they give no new addresses and stay until the last one is given back (RS-030). Blocks without addresses
// go at once, with their affinities.
import { ok } from '../../lib/result.ts';
import type { Api } from '../api.ts';
import { textAt } from '../json.ts';
import {
  affinityResource,
  blockResource,
  blocksOf,
  isInUse,
  poolFinalizer,
  poolResource,
} from '../kinds/calico-admission.ts';
import type { Change, Transaction } from '../store/types.ts';
import type { ApiObject } from '../types.ts';
import { replaceIn } from '../verbs/write.ts';

const waits = ({ metadata }: ApiObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(poolFinalizer);

export class PoolController {
  readonly #api: Api;
  #running: Promise<void> | undefined;
  #again = false;
  /** Pools that wait: blocks matter only while there are some. */
  readonly #waiting = new Set<string>();

  constructor(api: Api) {
    this.#api = api;
    api.store.onChanges((changes) => this.#notice(changes));
  }

  /** Takes up what a stop interrupted. */
  start(): void {
    for (const { name, object } of this.#api.store.list(poolResource))
      if (waits(object)) this.#waiting.add(name);
    this.#run();
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  #notice(changes: readonly Change[]): void {
    let relevant = false;
    for (const { current, type } of changes) {
      if (current.resource === poolResource) {
        if (type !== 'DELETED' && waits(current.object)) this.#waiting.add(current.name);
        else this.#waiting.delete(current.name);
        relevant = true;
      } else if (current.resource === blockResource) relevant = true;
    }
    if (relevant) this.#run();
  }

  #run(): void {
    if (this.#waiting.size === 0 || this.#api.stopping.aborted) return;
    this.#again = true;
    this.#running ??= this.#work();
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#api.stopping.aborted) {
      this.#again = false;
      const names = [...this.#waiting];
      try {
        await this.#api.store.write((tx) => {
          for (const name of names) this.#settle(tx, name);
          return ok(undefined);
        });
      } catch (cause) {
        this.#api.logger.error('Settling deleted pools failed', {
          error: cause instanceof Error ? cause.message : String(cause),
        });
      }
    }
    // In the same step as the last look: what comes later begins anew.
    this.#running = undefined;
  }

  #settle(tx: Transaction, name: string): void {
    const kind = this.#api.registry.byKey(poolResource);
    const pool = tx.get({ resource: poolResource, namespace: '', name });
    if (kind === undefined || pool === undefined || !waits(pool.object)) return;
    const blocks = blocksOf(pool.object, tx);
    for (const block of blocks.filter((one) => !isInUse(one))) {
      tx.remove({ resource: blockResource, namespace: '', name: block.metadata.name });
      const cidr = textAt(block, 'spec', 'cidr');
      const affinities = Array.from(tx.objects(affinityResource), ({ metadata, ...rest }) => ({
        name: metadata.name,
        cidr: textAt(rest, 'spec', 'cidr'),
      }));
      for (const one of affinities)
        if (one.cidr === cidr) tx.remove({ resource: affinityResource, namespace: '', name: one.name });
    }
    if (blocks.some(isInUse)) return;
    const { finalizers = [], ...metadata } = pool.object.metadata;
    const left = finalizers.filter((one) => one !== poolFinalizer);
    const freed = {
      ...pool.object,
      metadata: { ...metadata, ...(left.length > 0 ? { finalizers: left } : {}) },
    };
    replaceIn(tx, kind, pool, freed, 'server');
  }
}
