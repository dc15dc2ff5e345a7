// etcd keeps every value that ever was until somebody compacts it (NM-068). Every period the history from before the last
// one goes: whoever watches has at least that long to come back without a list. Several may do it at once. Other datastores
// see to it themselves.
import { asEtcd, type Datastore } from '../datastore/mod.ts';
import { type Clock, systemClock, type Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { parseDurationMs } from '../model/mod.ts';

export type CompactionOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** COMPACTION_PERIOD, which counts before KubeControllersConfiguration; `0` switches it off. */
  readonly period?: string;
};

const usualPeriodMs = 600_000;

export function startCompaction(options: CompactionOptions): { stop(): Promise<void> } {
  return new Compaction(options);
}

class Compaction {
  readonly #options: CompactionOptions;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  #timer: Timer | undefined;
  /** The revision of the store a period ago. */
  #before: string | undefined;
  #running: Promise<void>;

  constructor(options: CompactionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#running = this.#turn();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  async #turn(): Promise<void> {
    const { datastore, logger } = this.#options;
    const etcd = await asEtcd(datastore);
    if (etcd === undefined) return;
    const periodMs = await this.#periodMs();
    const now = await etcd.keys.revision(this.#abort.signal);
    if (this.#before !== undefined && periodMs > 0) {
      const compacted = await etcd.keys.compact(this.#before, this.#abort.signal);
      // Compacted further by somebody else.
      if (!compacted.ok && compacted.error.code !== 'TooOld' && !this.#abort.signal.aborted)
        logger.warn('Cannot compact etcd', { reason: compacted.error.message });
    }
    this.#before = now.ok ? now.value : this.#before;
    if (this.#abort.signal.aborted) return;
    this.#timer = this.#clock.after(periodMs > 0 ? periodMs : usualPeriodMs, () => {
      this.#running = this.#turn();
    });
  }

  async #periodMs(): Promise<number> {
    const { datastore, period } = this.#options;
    const found = await datastore.get(
      'KubeControllersConfiguration',
      { name: 'default' },
      this.#abort.signal,
    );
    const text = period || (found.ok ? found.value.spec.etcdV3CompactionPeriod : undefined);
    if (text === undefined) return usualPeriodMs;
    return text === '0' ? 0 : (parseDurationMs(text) ?? usualPeriodMs);
  }
}
