// Where addresses come from, in the order of RS-048: the owner's blocks, a block nobody has, a block somebody left empty,
// and at last (unless affinity is strict) free addresses in other owners' blocks. The answer is a ticket: a promise of
// addresses in one block that other requests of this process respect; only the write of the block makes it true.
import { type Family, type Prefix, prefixAddress, prefixFamily, prefixOf } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { type Block, freeCount, isEmpty } from './block.ts';
import { type AffinityState, type Claims, ownerOfBlock } from './claims.ts';
import type { KeyedLock } from './concurrency.ts';
import { fail } from './errors.ts';
import { blockName, type Owner, ownerText } from './names.ts';
import { blockWalk, type Pool, poolOf } from './pools.ts';
import type { Configuration, Reader } from './read.ts';
import type { ReservedAddresses } from './reservations.ts';
import type { BlockSession, BlockSessions } from './session.ts';
import type { HostReservation, IpamError } from './types.ts';

/** Nobody takes an empty block from its owner before it is this old: two nodes would take it from each other for ever. */
const emptyBlockAgeMs = 60_000;
/** Before a new block is claimed, own blocks that were full this long ago are looked at again: others release as well. */
const fullBlockAgeMs = 5_000;

export type Source = {
  readonly family: Family;
  readonly owner: Owner;
  /** Pools that the request may use, in order of preference. */
  readonly pools: readonly Pool[];
  readonly reserved: ReservedAddresses;
  readonly configuration: Configuration;
  readonly blockLimit: number;
  readonly keep: HostReservation | undefined;
};
export type Ticket = {
  readonly session: BlockSession;
  readonly count: number;
  readonly pool: Pool;
  readonly borrowed: boolean;
};
export type Found = { readonly tickets: readonly Ticket[]; readonly error?: IpamError };

export type FinderContext = {
  readonly sessions: BlockSessions;
  readonly claims: Claims;
  readonly reader: Reader;
  readonly lock: KeyedLock;
  readonly nowMs: () => number;
  readonly random: () => number;
};

export class Finder {
  readonly #context: FinderContext;
  /** Blocks claimed here: a view learns of them later. */
  readonly #claimed = new Map<string, Set<Prefix>>();
  /** Blocks of an owner and family as last seen, for those who waited behind a claim and need no newer news. */
  readonly #seen = new Map<string, Map<Prefix, AffinityState>>();

  constructor(context: FinderContext) {
    this.#context = context;
  }

  /** Tickets for up to `count` addresses; fewer when there are no more, with the error that says why when it is one. */
  async find(source: Source, count: number): Promise<Result<Found, IpamError>> {
    const tickets: Ticket[] = [];
    const missing = (): number => count - tickets.reduce((sum, ticket) => sum + ticket.count, 0);
    const own = await this.#fromOwn(source, missing(), tickets, 'fresh');
    if (!own.ok) return this.#giveUp(tickets, own.error);
    if (missing() > 0) {
      const claimed = await this.#context.lock.hold(`${ownerText(source.owner)} ${source.family}`, () =>
        this.#fromNew(source, missing, tickets),
      );
      if (!claimed.ok)
        return claimed.error.code === 'BlockLimit'
          ? ok({ tickets, error: claimed.error })
          : this.#giveUp(tickets, claimed.error);
    }
    if (missing() > 0 && !source.configuration.strictAffinity) {
      const borrowed = await this.#fromOthers(source, missing, tickets);
      if (!borrowed.ok) return this.#giveUp(tickets, borrowed.error);
    }
    return ok({ tickets });
  }

  #giveUp(tickets: readonly Ticket[], error: IpamError): Result<Found, IpamError> {
    for (const ticket of tickets) ticket.session.promised -= ticket.count;
    return err(error);
  }

  async #fromOwn(
    source: Source,
    count: number,
    tickets: Ticket[],
    how: 'fresh' | 'seen',
  ): Promise<Result<number, IpamError>> {
    const own = await this.#ownBlocks(source, how);
    if (!own.ok) return own;
    let missing = count;
    for (const { cidr, pool } of own.value) {
      if (missing === 0) break;
      const session = this.#session(cidr);
      const block = await this.#ownState(source, session);
      if (!block.ok) return block;
      if (block.value !== undefined)
        missing -= take(source, session, block.value, pool, missing, false, tickets);
    }
    return ok(own.value.length);
  }

  /** The owner's blocks inside the usable pools, unfinished claims completed. */
  async #ownBlocks(
    source: Source,
    how: 'fresh' | 'seen',
  ): Promise<Result<{ readonly cidr: Prefix; readonly pool: Pool }[], IpamError>> {
    const states = await this.#states(source, how);
    if (!states.ok) return states;
    const blocks: { cidr: Prefix; pool: Pool }[] = [];
    for (const [cidr, state] of states.value) {
      const pool = poolOf(source.pools, prefixAddress(cidr));
      if (pool === undefined) continue;
      if (state !== 'confirmed') {
        const claimed = await this.#claim(source, cidr, 'complete');
        if (!claimed.ok) return claimed;
        if (!claimed.value) continue;
      }
      blocks.push({ cidr, pool });
    }
    return ok(blocks);
  }

  async #states(
    source: Source,
    how: 'fresh' | 'seen',
  ): Promise<Result<Map<Prefix, AffinityState>, IpamError>> {
    const owner = ownerText(source.owner);
    const key = `${owner} ${source.family}`;
    let states = how === 'seen' ? this.#seen.get(key) : undefined;
    if (states === undefined) {
      const claims = await this.#context.reader.claimsOf(source.owner, source.family);
      if (!claims.ok) return claims;
      states = new Map(claims.value.map(({ cidr, state }) => [cidr, state]));
      this.#seen.set(key, states);
    }
    const mine = this.#claimed.get(owner) ?? new Set<Prefix>();
    for (const cidr of mine) {
      if (how === 'fresh' && states.get(cidr) === 'confirmed') mine.delete(cidr);
      else if (prefixFamily(cidr) === source.family) states.set(cidr, 'confirmed');
    }
    return ok(states);
  }

  /** The block behind a confirmed claim; undefined when the claim turned out to be stale (it is deleted then). */
  async #ownState(source: Source, session: BlockSession): Promise<Result<Block | undefined, IpamError>> {
    const block = await session.current();
    if (!block.ok || block.value?.affinity === ownerText(source.owner)) return block;
    session.forget();
    const claimed = await this.#claim(source, session.cidr, 'complete');
    if (!claimed.ok) return claimed;
    return claimed.value ? session.current() : ok(undefined);
  }

  /** Claims a block that is thought to be free or the owner's own; false when it is somebody else's. `complete`: only
   *  when a claim of the owner exists, however far it has come. */
  async #claim(source: Source, cidr: Prefix, how: 'claim' | 'complete'): Promise<Result<boolean, IpamError>> {
    const mine = this.#claimed.get(ownerText(source.owner)) ?? new Set<Prefix>();
    this.#claimed.set(ownerText(source.owner), mine);
    const { claims, lock } = this.#context;
    const claimed = await lock.hold(`claim ${cidr}`, () => claims[how](source.owner, cidr, source.keep));
    if (claimed.ok && claimed.value === 'claimed') mine.add(cidr);
    else {
      mine.delete(cidr);
      this.#seen.get(`${ownerText(source.owner)} ${source.family}`)?.delete(cidr);
    }
    return claimed.ok ? ok(claimed.value === 'claimed') : claimed;
  }

  /** New blocks, one after the other, until the request is served. The caller holds the owner's lock. */
  async #fromNew(source: Source, missing: () => number, tickets: Ticket[]): Promise<Result<void, IpamError>> {
    // Who waited for the lock may find that the one before made room.
    let again = await this.#fromOwn(source, missing(), tickets, 'seen');
    if (again.ok && missing() > 0 && (await this.#forgetOld(source)))
      again = await this.#fromOwn(source, missing(), tickets, 'seen');
    if (!again.ok) return again;
    let owned = again.value;
    const tried = new Set<Prefix>();
    while (missing() > 0) {
      if (owned >= source.blockLimit) {
        return fail(
          'BlockLimit',
          `${source.owner.name} has ${owned} IPv${source.family} blocks, and ${source.blockLimit} is the limit.`,
          'Raise maxBlocksPerHost in IPAMConfiguration "default".',
        );
      }
      if (!source.configuration.autoAllocateBlocks) return ok(undefined);
      const cidr = await this.#newBlock(source, tried);
      if (!cidr.ok) return cidr;
      if (cidr.value === undefined) return ok(undefined);
      tried.add(cidr.value);
      const claimed = await this.#claim(source, cidr.value, 'claim');
      if (!claimed.ok) return claimed;
      const pool = poolOf(source.pools, prefixAddress(cidr.value));
      if (!claimed.value || pool === undefined) continue;
      owned++;
      const session = this.#session(cidr.value);
      const block = await session.current();
      if (!block.ok) return block;
      if (block.value !== undefined) take(source, session, block.value, pool, missing(), false, tickets);
    }
    return ok(undefined);
  }

  /** True when some own block has to be read again. */
  async #forgetOld(source: Source): Promise<boolean> {
    const own = await this.#ownBlocks(source, 'seen');
    if (!own.ok) return false;
    const old = own.value
      .map(({ cidr }) => this.#context.sessions.of(cidr))
      .filter((session) => !session.isFresh(fullBlockAgeMs));
    for (const session of old) session.forget();
    return old.length > 0;
  }

  /** A block nobody has, else one that was empty for a while and was taken from its owner just now. */
  async #newBlock(
    source: Source,
    tried: ReadonlySet<Prefix>,
  ): Promise<Result<Prefix | undefined, IpamError>> {
    const claimed = await this.#context.reader.claimedBlocks();
    if (!claimed.ok) return claimed;
    const unclaimed = this.#walk(source, (cidr) => !claimed.value.has(cidr) && !tried.has(cidr));
    if (unclaimed !== undefined) return ok(unclaimed);
    const blocks = await this.#context.reader.blocks();
    if (!blocks.ok) return blocks;
    const existing = new Map(blocks.value.map((block) => [block.cidr, block]));
    // A claim without a block: its owner died in between, or is about to write it. Whoever makes the block has it.
    const missing = this.#walk(source, (cidr) => !existing.has(cidr) && !tried.has(cidr));
    if (missing !== undefined) return ok(missing);
    const old = this.#context.nowMs() - emptyBlockAgeMs;
    const emptied = (cidr: Prefix): boolean => {
      const block = existing.get(cidr);
      if (
        block === undefined ||
        tried.has(cidr) ||
        !isEmpty(block) ||
        freeCount(block, source.reserved) === 0
      )
        return false;
      return block.affinity !== ownerText(source.owner) && !(Date.parse(block.affinityClaimTime ?? '') > old);
    };
    for (const cidr of this.#allBlocks(source)) {
      if (!emptied(cidr)) continue;
      const block = existing.get(cidr) as Block;
      const freed = await this.#reclaim(block);
      if (!freed.ok) return freed;
      if (freed.value) return ok(cidr);
    }
    return ok(undefined);
  }

  /** Takes an empty block from its owner, if it is still as it was seen. */
  async #reclaim(block: Block): Promise<Result<boolean, IpamError>> {
    const owner = ownerOfBlock(block);
    const { sequenceNumber } = block;
    if (owner !== undefined)
      return this.#context.claims.release(owner, block.cidr, { requireEmpty: true, sequenceNumber });
    const session = this.#context.sessions.of(block.cidr);
    return session.submit((current) =>
      current === undefined
        ? ok({ block: current, value: true })
        : current.affinity !== undefined || !isEmpty(current)
          ? ok({ block: current, value: false })
          : ok({ block: { ...current }, value: true }),
    );
  }

  async #fromOthers(
    source: Source,
    missing: () => number,
    tickets: Ticket[],
  ): Promise<Result<void, IpamError>> {
    const blocks = await this.#context.reader.blocks();
    if (!blocks.ok) return blocks;
    const candidates = new Map(blocks.value.map((block) => [block.cidr, block]));
    const held = new Set(tickets.map((ticket) => ticket.session));
    for (const pool of source.pools) {
      for (const block of inWalkOrder(pool, candidates, source.owner.name, this.#context.random)) {
        if (missing() === 0) return ok(undefined);
        const session = this.#context.sessions.of(block.cidr);
        if (held.has(session)) continue;
        take(source, session, block, pool, missing(), block.affinity !== ownerText(source.owner), tickets);
      }
    }
    return ok(undefined);
  }

  #walk(source: Source, fits: (cidr: Prefix) => boolean): Prefix | undefined {
    for (const cidr of this.#allBlocks(source)) if (fits(cidr) && !source.reserved.covers(cidr)) return cidr;
    return undefined;
  }

  *#allBlocks(source: Source): Generator<Prefix> {
    for (const pool of source.pools) yield* blockWalk(pool, source.owner.name, this.#context.random);
  }

  #session(cidr: Prefix): BlockSession {
    const session = this.#context.sessions.of(cidr);
    const viewed = this.#context.reader.viewedBlock(blockName(cidr));
    if (viewed !== undefined) session.offer(viewed);
    return session;
  }
}

/** Promises what the block can give, at most `wanted`. */
function take(
  source: Source,
  session: BlockSession,
  block: Block,
  pool: Pool,
  wanted: number,
  borrowed: boolean,
  tickets: Ticket[],
): number {
  const count = Math.min(wanted, Math.max(0, freeCount(block, source.reserved) - session.promised));
  if (count === 0) return 0;
  session.promised += count;
  tickets.push({ session, count, pool, borrowed });
  return count;
}

/** The pool's existing blocks, those after the node's own start first: nodes that borrow do not all begin at one block. */
function inWalkOrder(
  pool: Pool,
  blocks: ReadonlyMap<Prefix, Block>,
  nodeName: string,
  random: () => number,
): Block[] {
  const inside = [...blocks.values()].filter(
    (block) => poolOf([pool], prefixAddress(block.cidr)) !== undefined,
  );
  const first = blockWalk(pool, nodeName, random).next();
  const start = first.done ? prefixOf(prefixAddress(pool.cidr), pool.blockLength) : first.value;
  const sorted = inside.sort((a, b) => (a.cidr < b.cidr ? -1 : 1));
  const at = sorted.findIndex((block) => block.cidr >= start);
  return at <= 0 ? sorted : [...sorted.slice(at), ...sorted.slice(0, at)];
}
