// A node's claim on a block, in two phases (RS-047), so that a crash at any point leaves something a later run understands:
//
//   (nothing) ──► affinity pending ──► block made with the node as owner ──► affinity confirmed
//   affinity pendingDeletion ──► block deleted, or left to nobody when it holds addresses ──► affinity deleted
//
// Who finds a pending or half-deleted claim of its own goes through the same steps again; each is idempotent. Only a
// confirmed claim counts for routes. Who owns a block is decided by the block alone: whoever created it.
import type { Prefix } from '../lib/ip/mod.ts';
import type { Logger } from '../lib/log.ts';
import { ok, type Result } from '../lib/result.ts';
import type { BlockAffinity, IPAMBlock } from '../model/mod.ts';
import { type Block, blockOf, blockSpec, isEmpty, newBlock, withoutAffinity } from './block.ts';
import { contention, maxAttempts, storeFailed } from './errors.ts';
import { affinityLabels, affinityName, blockName, type Owner, ownerOf, ownerText } from './names.ts';
import { type BlockSessions, isLostRace, preconditions, type SessionContext } from './session.ts';
import type { HostReservation, IpamError } from './types.ts';

export type ClaimContext = SessionContext & { readonly logger: Logger; readonly random: () => number };
/** `taken`: the block belongs to somebody else, or to nobody while it holds addresses. */
export type ClaimResult = 'claimed' | 'taken';
export type AffinityState = 'pending' | 'confirmed' | 'pendingDeletion';
type Claim = { readonly owner: Owner; readonly cidr: Prefix; readonly keep: HostReservation | undefined };
/** What a step found: go on, or look again from the start. */
type Again = 'again';

export class Claims {
  readonly #context: ClaimContext;
  readonly #sessions: BlockSessions;

  constructor(context: ClaimContext, sessions: BlockSessions) {
    this.#context = context;
    this.#sessions = sessions;
  }

  /** Ends with a confirmed claim on the block, whatever was there before, unless it is somebody else's. */
  async claim(owner: Owner, cidr: Prefix, keep?: HostReservation): Promise<Result<ClaimResult, IpamError>> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await this.#context.pause(attempt);
      const done = await this.#tryClaim({ owner, cidr, keep });
      if (done !== 'again') return done;
    }
    return contention(`The claim on ${cidr}`);
  }

  /** As `claim`, for a claim that was begun; `taken` when there is none. */
  async complete(
    owner: Owner,
    cidr: Prefix,
    keep?: HostReservation,
  ): Promise<Result<ClaimResult, IpamError>> {
    const affinity = await this.#affinity(owner, cidr);
    if (!affinity.ok) return affinity;
    return affinity.value === undefined ? ok('taken') : this.claim(owner, cidr, keep);
  }

  async #tryClaim(claim: Claim): Promise<Result<ClaimResult, IpamError> | Again> {
    const pending = await this.#pendingAffinity(claim);
    if (pending === 'again' || !pending.ok) return pending;
    const owned = await this.#ownBlock(claim, pending.value);
    if (owned === 'again' || !owned.ok) return owned;
    if (owned.value === 'taken') {
      const gone = await this.#deleteAffinity(pending.value);
      return gone === 'again' ? 'again' : gone.ok ? ok('taken') : gone;
    }
    if (stateOf(pending.value) === 'confirmed') return ok('claimed');
    const confirmed = await this.#setState(pending.value, 'confirmed');
    if (confirmed === 'again') return 'again';
    return confirmed.ok ? ok('claimed') : confirmed;
  }

  /** The affinity in state pending, or confirmed when it already was. */
  async #pendingAffinity({ owner, cidr }: Claim): Promise<Result<BlockAffinity, IpamError> | Again> {
    const { store } = this.#context;
    const created = await store.create('BlockAffinity', makeAffinity(owner, cidr));
    if (created.ok) return created;
    if (created.error.code !== 'AlreadyExists') return storeFailed(`Claiming ${cidr}`, created.error);
    const existing = await this.#affinity(owner, cidr);
    if (!existing.ok) return existing;
    if (existing.value === undefined) return 'again';
    return stateOf(existing.value) === 'confirmed'
      ? ok(existing.value)
      : this.#setState(existing.value, 'pending');
  }

  async #ownBlock(
    claim: Claim,
    affinity: BlockAffinity,
  ): Promise<Result<'own' | 'taken', IpamError> | Again> {
    const { store, clock, random } = this.#context;
    const { owner, cidr, keep } = claim;
    const session = this.#sessions.of(cidr);
    // Confirmed claims nearly always have their block; pending ones nearly never.
    if (stateOf(affinity) !== 'confirmed') {
      const block = newBlock(cidr, owner, clock.now(), random(), keep);
      const created = await store.create('IPAMBlock', makeBlock(block));
      if (created.ok) {
        session.offer(created.value);
        return ok('own');
      }
      if (created.error.code !== 'AlreadyExists') return storeFailed(`Creating block ${cidr}`, created.error);
    }
    // A write without a change in content: whoever is about to delete the block on old knowledge now fails.
    const touched = await session.submit((block) =>
      block === undefined
        ? ok({ block, value: 'gone' as const })
        : block.affinity !== ownerText(owner)
          ? ok({ block, value: 'taken' as const })
          : ok({ block: stateOf(affinity) === 'confirmed' ? block : { ...block }, value: 'own' as const }),
    );
    if (!touched.ok) return touched;
    if (touched.value !== 'gone') return ok(touched.value);
    if (stateOf(affinity) !== 'confirmed') return 'again';
    const pending = await this.#setState(affinity, 'pending'); // Its block is missing: made anew in the next attempt.
    return pending === 'again' || pending.ok ? 'again' : pending;
  }

  /** Gives the claim back. False: there was none, or (`requireEmpty`) the block holds addresses or changed since. */
  async release(
    owner: Owner,
    cidr: Prefix,
    options: { readonly requireEmpty: boolean; readonly sequenceNumber?: bigint },
  ): Promise<Result<boolean, IpamError>> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await this.#context.pause(attempt);
      const done = await this.#tryRelease(owner, cidr, options);
      if (done !== 'again') return done;
    }
    return contention(`The claim on ${cidr}`);
  }

  async #tryRelease(
    owner: Owner,
    cidr: Prefix,
    options: { readonly requireEmpty: boolean; readonly sequenceNumber?: bigint },
  ): Promise<Result<boolean, IpamError> | Again> {
    const affinity = await this.#affinity(owner, cidr);
    if (!affinity.ok) return affinity;
    const session = this.#sessions.of(cidr);
    session.forget();
    const block = await session.current();
    if (!block.ok) return block;
    const isOurs = block.value?.affinity === ownerText(owner);
    const mayGo = (b: Block): boolean =>
      (!options.requireEmpty || isEmpty(b)) &&
      (options.sequenceNumber === undefined || b.sequenceNumber === options.sequenceNumber);
    if (block.value !== undefined && isOurs && !mayGo(block.value)) return ok(false);
    if (affinity.value === undefined && !isOurs) return ok(false);
    let marked = affinity.value;
    if (marked !== undefined && isOurs) {
      const result = await this.#setState(marked, 'pendingDeletion');
      if (result === 'again' || !result.ok) return result;
      marked = result.value;
    }
    if (isOurs) {
      const left = await session.submit((b) =>
        b === undefined || b.affinity !== ownerText(owner)
          ? ok({ block: b, value: true })
          : mayGo(b)
            ? ok({ block: withoutAffinity(b), value: true })
            : ok({ block: b, value: false }),
      );
      if (!left.ok) return left;
      if (!left.value) {
        // Somebody took an address meanwhile: the claim stands, and must not stay half-deleted.
        const restored = marked === undefined ? ok(undefined) : await this.#setState(marked, 'confirmed');
        return restored === 'again' || restored.ok ? ok(false) : restored;
      }
    }
    if (marked === undefined) return ok(true);
    const gone = await this.#deleteAffinity(marked);
    return gone === 'again' ? 'again' : gone.ok ? ok(true) : gone;
  }

  /** undefined: there is none (one whose deletion had begun is deleted on the way). */
  async #affinity(owner: Owner, cidr: Prefix): Promise<Result<BlockAffinity | undefined, IpamError>> {
    const read = await this.#context.store.get('BlockAffinity', { name: affinityName(owner, cidr) });
    if (!read.ok)
      return read.error.code === 'NotFound'
        ? ok(undefined)
        : storeFailed(`Reading the claim on ${cidr}`, read.error);
    if (!read.value.spec.deleted) return read;
    const gone = await this.#deleteAffinity(read.value);
    return gone === 'again' || gone.ok ? ok(undefined) : gone;
  }

  async #setState(
    affinity: BlockAffinity,
    state: AffinityState,
  ): Promise<Result<BlockAffinity, IpamError> | Again> {
    const { name } = affinity.metadata;
    const next: BlockAffinity = { ...affinity, spec: { ...affinity.spec, state, deleted: false } };
    const updated = await this.#context.store.update('BlockAffinity', next);
    if (updated.ok) return updated;
    return isLostRace(updated.error.code)
      ? 'again'
      : storeFailed(`Marking claim ${name} ${state}`, updated.error);
  }

  async #deleteAffinity(affinity: BlockAffinity): Promise<Result<void, IpamError> | Again> {
    const { name } = affinity.metadata;
    const deleted = await this.#context.store.delete('BlockAffinity', { name }, preconditions(affinity));
    if (deleted.ok || deleted.error.code === 'NotFound') return ok(undefined);
    return deleted.error.code === 'Conflict' ? 'again' : storeFailed(`Deleting claim ${name}`, deleted.error);
  }
}

/** Old data has no state: it counts as confirmed. */
export const stateOf = (affinity: BlockAffinity): AffinityState => affinity.spec.state || 'confirmed';
export const ownerOfAffinity = (affinity: BlockAffinity): Owner => ({
  type: affinity.spec.type ?? 'host',
  name: affinity.spec.node,
});
export const ownerOfBlock = (block: Block): Owner | undefined => ownerOf(block.affinity);

const makeAffinity = (owner: Owner, cidr: Prefix): BlockAffinity => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'BlockAffinity',
  metadata: { name: affinityName(owner, cidr), labels: affinityLabels(owner, cidr) },
  spec: { state: 'pending', node: owner.name, type: owner.type, cidr, deleted: false },
});

const makeBlock = (block: Block): IPAMBlock => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPAMBlock',
  metadata: { name: blockName(block.cidr) },
  spec: blockSpec(block),
});

/** A stored block that does not parse is left alone and reported. */
export function readableBlocks(objects: readonly IPAMBlock[], logger: Logger): Block[] {
  return objects.flatMap((object) => {
    const block = blockOf(object);
    if (!block.ok)
      logger.warn('A block is not readable', { block: object.metadata.name, reason: block.error.message });
    return block.ok && !block.value.deleted ? [block.value] : [];
  });
}
