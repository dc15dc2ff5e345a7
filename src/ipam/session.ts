// One block as this process works on it. Everything that changes the block in this process goes through its session, which
// writes all waiting changes at once: a hundred assignments that arrive together cost a handful of writes, not a hundred
// conflicts. The last written state is kept, so that the next change needs no read; a conflict drops it.
import type { Clock } from '../lib/clock.ts';
import type { Prefix } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { IPAMBlock } from '../model/mod.ts';
import { type Block, blockOf, blockSpec, freeRested, isEmpty, withNextSequence } from './block.ts';
import { contention, maxAttempts, storeFailed } from './errors.ts';
import { blockName } from './names.ts';
import type { IpamError, IpamStore } from './types.ts';

/** A change of a block: the next block and what the caller wanted to know. The same block: nothing is written. */
export type Step<T> = Result<{ readonly block: Block | undefined; readonly value: T }, IpamError>;
/** `block` undefined: it does not exist (and a step cannot make it: claims do). */
export type Change<T> = (block: Block | undefined) => Step<T>;

type Job = {
  readonly change: Change<unknown>;
  readonly resolve: (result: Result<unknown, IpamError>) => void;
  readonly reject: (bug: unknown) => void;
};
type Loaded = { readonly object: IPAMBlock; readonly block: Block; readonly atMs: number };

export type SessionContext = {
  readonly store: IpamStore;
  readonly clock: Clock;
  readonly cooldownSeconds: () => number;
  /** Yields between attempts that met conflicts. */
  readonly pause: (attempt: number) => Promise<void>;
};

export class BlockSession {
  readonly cidr: Prefix;
  readonly name: string;
  /** Addresses of this block that requests of this process have picked and not yet taken. */
  promised = 0;
  readonly #context: SessionContext;
  #known: Loaded | undefined;
  #queue: Job[] = [];
  #running = false;

  constructor(cidr: Prefix, context: SessionContext) {
    this.cidr = cidr;
    this.name = blockName(cidr);
    this.#context = context;
  }

  get idle(): boolean {
    return !this.#running && this.promised === 0;
  }

  /** The state known without asking; it may be old. */
  get known(): Block | undefined {
    return this.#known?.block;
  }

  /** True when what is known was read or written here within the time. */
  isFresh(maxAgeMs: number): boolean {
    return this.#known !== undefined && this.#nowMs() - this.#known.atMs <= maxAgeMs;
  }

  #nowMs(): number {
    return this.#context.clock.monotonic();
  }

  /** Takes over a state seen elsewhere, when it is newer than the own. */
  offer(object: IPAMBlock): void {
    if (this.#known !== undefined && this.#known.object.metadata.uid === object.metadata.uid) {
      if (this.#known.block.sequenceNumber >= BigInt(object.spec.sequenceNumber ?? 0)) return;
    }
    if (this.#running) return;
    const parsed = blockOf(object);
    if (parsed.ok) this.#known = { object, block: parsed.value, atMs: this.#nowMs() };
  }

  /** Forgets what is known: the next use reads. */
  forget(): void {
    this.#known = undefined;
  }

  /** The known state, else the stored one; undefined when the block does not exist. */
  async current(): Promise<Result<Block | undefined, IpamError>> {
    const loaded = this.#known === undefined ? await this.#load() : ok(this.#known);
    if (!loaded.ok) return loaded;
    return ok(loaded.value && freeRested(loaded.value.block, this.#rest()));
  }

  /** Applies the change to the stored block, together with all others that wait. */
  submit<T>(change: Change<T>): Promise<Result<T, IpamError>> {
    return new Promise<Result<T, IpamError>>((resolve, reject) => {
      this.#queue.push({ change, resolve: resolve as (result: Result<unknown, IpamError>) => void, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0) {
      const jobs = this.#queue;
      this.#queue = [];
      try {
        const results = await this.#commit(jobs);
        jobs.forEach((job, i) => job.resolve(results[i] ?? contention(`Block ${this.cidr}`)));
      } catch (bug) {
        this.#known = undefined;
        for (const job of jobs) job.reject(bug);
      }
    }
    this.#running = false;
  }

  async #commit(jobs: readonly Job[]): Promise<Result<unknown, IpamError>[]> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await this.#context.pause(attempt);
      const remembered = this.#known !== undefined;
      const loaded = remembered ? ok(this.#known) : await this.#load();
      if (!loaded.ok) return jobs.map(() => loaded);
      const { results, next, changed } = applyAll(
        jobs,
        loaded.value && freeRested(loaded.value.block, this.#rest()),
      );
      if (!changed) {
        // "Not assigned" or "full" from memory may be yesterday's news: only the store's word counts.
        if (!remembered) return results;
        this.#known = undefined;
        continue;
      }
      const written = await this.#write(loaded.value, next);
      if (written === 'conflict') continue;
      return written.ok ? results : jobs.map(() => written);
    }
    return jobs.map(() => contention(`Block ${this.cidr}`));
  }

  async #load(): Promise<Result<Loaded | undefined, IpamError>> {
    const { store } = this.#context;
    const read = await store.get('IPAMBlock', { name: this.name });
    if (!read.ok) {
      if (read.error.code !== 'NotFound') return storeFailed(`Reading block ${this.cidr}`, read.error);
      this.#known = undefined;
      return ok(undefined);
    }
    const block = blockOf(read.value);
    if (!block.ok) return block;
    if (block.value.deleted) {
      // Somebody began to delete it: from then on it is gone, whoever finishes.
      const finished = await store.delete('IPAMBlock', { name: this.name }, preconditions(read.value));
      if (!finished.ok && finished.error.code !== 'NotFound')
        return storeFailed(`Deleting block ${this.cidr}`, finished.error);
      return ok(undefined);
    }
    this.#known = { object: read.value, block: block.value, atMs: this.#nowMs() };
    return ok(this.#known);
  }

  /** A block of nobody that holds nothing is deleted (RS-052); every other change is an update. */
  async #write(
    loaded: Loaded | undefined,
    next: Block | undefined,
  ): Promise<Result<void, IpamError> | 'conflict'> {
    if (loaded === undefined || next === undefined) return ok(undefined);
    const { store } = this.#context;
    this.#known = undefined;
    if (next.affinity === undefined && isEmpty(next)) {
      const deleted = await store.delete('IPAMBlock', { name: this.name }, preconditions(loaded.object));
      if (deleted.ok) return ok(undefined);
      return isLostRace(deleted.error.code)
        ? 'conflict'
        : storeFailed(`Deleting block ${this.cidr}`, deleted.error);
    }
    const block = withNextSequence(next);
    const updated = await store.update('IPAMBlock', { ...loaded.object, spec: blockSpec(block) });
    if (!updated.ok)
      return isLostRace(updated.error.code)
        ? 'conflict'
        : storeFailed(`Writing block ${this.cidr}`, updated.error);
    this.#known = { object: updated.value, block, atMs: this.#nowMs() };
    return ok(undefined);
  }

  #rest(): { readonly nowMs: number; readonly cooldownSeconds: number } {
    return { nowMs: this.#context.clock.now(), cooldownSeconds: this.#context.cooldownSeconds() };
  }
}

/** Who changed it, or deleted it, was faster. */
export const isLostRace = (code: string): boolean => code === 'Conflict' || code === 'NotFound';

export function preconditions(object: {
  readonly metadata: { readonly resourceVersion?: string; readonly uid?: string };
}): {
  readonly resourceVersion?: string;
  readonly uid?: string;
} {
  const { resourceVersion, uid } = object.metadata;
  return {
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(uid === undefined ? {} : { uid }),
  };
}

function applyAll(
  jobs: readonly Job[],
  start: Block | undefined,
): { results: Result<unknown, IpamError>[]; next: Block | undefined; changed: boolean } {
  let next = start;
  const results = jobs.map((job): Result<unknown, IpamError> => {
    const step = job.change(next);
    if (!step.ok) return err(step.error);
    next = step.value.block;
    return ok(step.value.value);
  });
  return { results, next, changed: next !== start };
}

const rememberedSessions = 512;

/** All sessions of this process; idle ones are forgotten when there are many. */
export class BlockSessions {
  readonly #context: SessionContext;
  readonly #sessions = new Map<Prefix, BlockSession>();

  constructor(context: SessionContext) {
    this.#context = context;
  }

  of(cidr: Prefix): BlockSession {
    const existing = this.#sessions.get(cidr);
    if (existing !== undefined) return existing;
    if (this.#sessions.size >= rememberedSessions) this.#forgetIdle();
    const session = new BlockSession(cidr, this.#context);
    this.#sessions.set(cidr, session);
    return session;
  }

  #forgetIdle(): void {
    for (const [cidr, session] of this.#sessions) {
      if (this.#sessions.size < rememberedSessions / 2) return;
      if (session.idle) this.#sessions.delete(cidr);
    }
  }
}
