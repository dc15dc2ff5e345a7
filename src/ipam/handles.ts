// Handles: per owner, how many addresses it holds in which block. A handle is written before the block it names and cut
// back after it: whatever happens in between, no address is held whose handle does not lead to it. Counts may therefore be
// too high after a crash, never too low; releasing by handle goes by the blocks, not by the counts.
import type { Prefix } from '../lib/ip/mod.ts';
import { ok, type Result } from '../lib/result.ts';
import type { IPAMHandle } from '../model/mod.ts';
import { contention, maxAttempts, storeFailed } from './errors.ts';
import { cleanHandleId, handleName } from './names.ts';
import { preconditions } from './session.ts';
import type { IpamError, IpamStore } from './types.ts';

export type Counts = ReadonlyMap<Prefix, number>;
export type KnownHandle = { readonly id: string; readonly counts: Counts; readonly object: IPAMHandle };

const rememberedHandles = 4096;

export class Handles {
  readonly #store: IpamStore;
  readonly #pause: (attempt: number) => Promise<void>;
  /** Handles as last written here: a release soon after needs no read. Compare-and-swap finds out what is old. */
  readonly #known = new Map<string, IPAMHandle>();

  constructor(store: IpamStore, pause: (attempt: number) => Promise<void>) {
    this.#store = store;
    this.#pause = pause;
  }

  /** undefined: there is none. `fresh` asks the store even when the handle is remembered. */
  async find(handleId: string, fresh = false): Promise<Result<KnownHandle | undefined, IpamError>> {
    const name = handleName(handleId);
    const remembered = fresh ? undefined : this.#known.get(name);
    if (remembered !== undefined) return ok(view(remembered));
    const read = await this.#store.get('IPAMHandle', { name });
    if (!read.ok) {
      this.#known.delete(name);
      return read.error.code === 'NotFound'
        ? ok(undefined)
        : storeFailed(`Reading handle ${handleId}`, read.error);
    }
    if (read.value.spec.deleted) {
      const finished = await this.#store.delete('IPAMHandle', { name }, preconditions(read.value));
      if (!finished.ok && finished.error.code !== 'NotFound')
        return storeFailed(`Deleting handle ${handleId}`, finished.error);
      return ok(undefined);
    }
    this.#remember(name, read.value);
    return ok(view(read.value));
  }

  /** Adds to the counts, making the handle when needed. `mustBeNew`: answers false, and writes nothing, when it exists. */
  async add(handleId: string, counts: Counts, mustBeNew = false): Promise<Result<boolean, IpamError>> {
    const name = handleName(handleId);
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 1) await this.#pause(attempt);
      const existing =
        this.#known.has(name) || attempt > 0 ? await this.find(handleId, attempt > 0) : ok(undefined);
      if (!existing.ok) return existing;
      if (existing.value !== undefined) {
        if (mustBeNew) return ok(false);
        const done = await this.#replace(existing.value, plus(existing.value.counts, counts));
        if (done === 'conflict') continue;
        return done.ok ? ok(true) : done;
      }
      const created = await this.#store.create('IPAMHandle', makeHandle(handleId, counts));
      if (created.ok) {
        this.#remember(name, created.value);
        return ok(true);
      }
      if (created.error.code !== 'AlreadyExists')
        return storeFailed(`Creating handle ${handleId}`, created.error);
    }
    return contention(`Handle ${handleId}`);
  }

  /** Takes off the counts; a handle without any left is deleted. */
  async subtract(handleId: string, counts: Counts): Promise<Result<void, IpamError>> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await this.#pause(attempt);
      const existing = await this.find(handleId, attempt > 0);
      if (!existing.ok) return existing;
      if (existing.value === undefined) return ok(undefined);
      const done = await this.#replace(existing.value, minus(existing.value.counts, counts));
      if (done === 'conflict') continue;
      return done;
    }
    return contention(`Handle ${handleId}`);
  }

  /** Removes the blocks from exactly this state of the handle; 'conflict' when it is another one by now. */
  dropBlocks(handle: KnownHandle, blocks: readonly Prefix[]): Promise<Result<void, IpamError> | 'conflict'> {
    return this.#replace(handle, new Map([...handle.counts].filter(([cidr]) => !blocks.includes(cidr))));
  }

  async #replace(handle: KnownHandle, counts: Counts): Promise<Result<void, IpamError> | 'conflict'> {
    const name = handle.object.metadata.name;
    this.#known.delete(name);
    if (counts.size === 0) {
      const deleted = await this.#store.delete('IPAMHandle', { name }, preconditions(handle.object));
      if (deleted.ok) return ok(undefined);
      // Gone already is gone; but a remembered state may hide a newer handle of that name.
      return deleted.error.code === 'Conflict' || deleted.error.code === 'NotFound'
        ? 'conflict'
        : storeFailed(`Deleting handle ${handle.id}`, deleted.error);
    }
    const spec = { ...handle.object.spec, block: Object.fromEntries(counts), deleted: false };
    const updated = await this.#store.update('IPAMHandle', { ...handle.object, spec });
    if (updated.ok) {
      this.#remember(name, updated.value);
      return ok(undefined);
    }
    return updated.error.code === 'Conflict' || updated.error.code === 'NotFound'
      ? 'conflict'
      : storeFailed(`Writing handle ${handle.id}`, updated.error);
  }

  #remember(name: string, object: IPAMHandle): void {
    this.#known.delete(name);
    this.#known.set(name, object);
    if (this.#known.size > rememberedHandles) {
      const oldest = this.#known.keys().next();
      if (!oldest.done) this.#known.delete(oldest.value);
    }
  }
}

const view = (object: IPAMHandle): KnownHandle => ({
  id: cleanHandleId(object.spec.handleID),
  counts: new Map(Object.entries(object.spec.block ?? {}) as [Prefix, number][]),
  object,
});

const makeHandle = (handleId: string, counts: Counts): IPAMHandle => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPAMHandle',
  metadata: { name: handleName(handleId) },
  spec: { handleID: handleId, block: Object.fromEntries(counts), deleted: false },
});

function plus(a: Counts, b: Counts): Counts {
  const sum = new Map(a);
  for (const [cidr, n] of b) sum.set(cidr, (sum.get(cidr) ?? 0) + n);
  return sum;
}

function minus(a: Counts, b: Counts): Counts {
  const rest = new Map(a);
  for (const [cidr, n] of b) {
    const left = (rest.get(cidr) ?? 0) - n;
    if (left > 0) rest.set(cidr, left);
    else rest.delete(cidr);
  }
  return rest;
}
