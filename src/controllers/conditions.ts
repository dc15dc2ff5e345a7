// Writes one condition into the status of objects, after what a controller found out about them: one object at a time,
// only what changed, again after failures. The time of a condition is that of its last change of status.
import type { Datastore, StoreError } from '../datastore/mod.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { backoff, sleep } from '../lib/wait.ts';
import type { Condition, ResourceOf } from '../model/mod.ts';

type ConditionKind = 'NetworkPolicy' | 'GlobalNetworkPolicy' | 'IPPool';
/** What the condition is to say. */
export type Saying = Pick<Condition, 'status' | 'reason' | 'message'>;
type Known = {
  readonly kind: ConditionKind;
  readonly object: ResourceOf<ConditionKind>;
  readonly saying: Saying;
};

/** The server has no status for the kind: definitions of another make. */
const hopeless: ReadonlySet<StoreError['code']> = new Set(['NotFound', 'NotSupported', 'Forbidden']);
const longestRetryMs = 10_000;

export type ConditionWriterOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Of the condition, e.g. `Allocatable`. */
  readonly type: string;
};

export class ConditionWriter {
  readonly #options: ConditionWriterOptions;
  readonly #known = new Map<string, Known>();
  readonly #waiting = new Set<string>();
  readonly #abort = new AbortController();
  #isOpen = false;
  #running: Promise<void> | undefined;

  constructor(options: ConditionWriterOptions) {
    this.#options = options;
  }

  /** The newest object, and what is to be said of it. */
  set(key: string, kind: ConditionKind, object: ResourceOf<ConditionKind>, saying: Saying): void {
    this.#known.set(key, { kind, object, saying });
    this.#waiting.add(key);
    this.#schedule();
  }

  /** The object is gone, or there is nothing to say of it. */
  delete(key: string): void {
    this.#known.delete(key);
    this.#waiting.delete(key);
  }

  /** Everything is known that is there: what is said from now on may be written. */
  open(): void {
    this.#isOpen = true;
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  #schedule(): void {
    if (!this.#isOpen || this.#running !== undefined || this.#waiting.size === 0) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#schedule();
    });
  }

  async #run(): Promise<void> {
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      await this.#write(key);
    }
  }

  async #write(key: string): Promise<void> {
    const { datastore, logger, type } = this.#options;
    const { signal } = this.#abort;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const known = this.#known.get(key);
      if (known === undefined) return;
      const { kind, object, saying } = known;
      const before = conditionOf(object, type);
      if (before !== undefined && isSame(saying, before)) return;
      const others = (object.status?.conditions ?? []).filter((one) => one.type !== type);
      const status = { conditions: [...others, this.#condition(known, before)] };
      const written = await datastore.updateStatus(kind, { ...object, status } as never, { signal });
      // The watch tells of what is there now; with a conflict, too.
      if (written.ok || written.error.code === 'Conflict' || hopeless.has(written.error.code)) return;
      logger.warn('cannot tell the status yet', { key, condition: type, error: written.error.message });
      await sleep(backoff(attempt, 100, longestRetryMs), signal);
    }
  }

  #condition({ object, saying }: Known, before: Condition | undefined): Condition {
    const { generation } = object.metadata as { readonly generation?: number };
    return {
      type: this.#options.type,
      ...saying,
      lastTransitionTime:
        before?.status === saying.status
          ? before.lastTransitionTime
          : new Date(this.#options.clock.now()).toISOString(),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  }
}

type WithConditions = { readonly status?: { readonly conditions?: readonly Condition[] } };

export const conditionOf = ({ status }: WithConditions, type: string): Condition | undefined =>
  status?.conditions?.find((one) => one.type === type);

const isSame = (a: Saying, b: Saying): boolean =>
  a.status === b.status && a.reason === b.reason && a.message === b.message;
