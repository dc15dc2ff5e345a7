// Assignment. The order of writes makes every crash harmless: first the handle, with all blocks of both families at once,
// then the blocks side by side. An address is held from the write of its block on, and its handle leads to it by then.
import { type Address, type Family, prefixOf } from '../lib/ip/mod.ts';
import type { Prefix } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { assignGiven, assignNext, type Block, holderOf, ordinalIn, strictMismatch } from './block.ts';
import type { Claims } from './claims.ts';
import { contention, fail, ipamError, maxAttempts } from './errors.ts';
import type { Finder, Source, Ticket } from './find.ts';
import type { Counts, Handles } from './handles.ts';
import { cleanHandleId, type Owner } from './names.ts';
import { allowsUse, isEnabled, type Pool, poolOf, selectPools } from './pools.ts';
import { blockLimit, type Reader } from './read.ts';
import type { Releaser } from './release.ts';
import type { BlockSessions } from './session.ts';
import type {
  AssignRequest,
  Assignment,
  Assignments,
  AutoAssignRequest,
  HostReservation,
  IntendedUse,
  IpamError,
} from './types.ts';

export type AssignContext = {
  readonly sessions: BlockSessions;
  readonly claims: Claims;
  readonly reader: Reader;
  readonly finder: Finder;
  readonly handles: Handles;
  readonly releaser: Releaser;
  readonly pause: (attempt: number) => Promise<void>;
};

export type SourceQuery = {
  readonly owner: Owner;
  readonly family: Family;
  readonly requested: readonly string[];
  readonly namespace?: string | undefined;
  readonly namespaceLabels?: Readonly<Record<string, string>> | undefined;
  readonly intendedUse: IntendedUse;
  readonly maxBlocksPerHost?: number | undefined;
  readonly keep?: HostReservation | undefined;
};
type Taken = { readonly assignments: readonly Assignment[]; readonly error: IpamError | undefined };

export const ownerFor = (nodeName: string, use: IntendedUse): Owner => ({
  type: use === 'LoadBalancer' ? 'virtual' : 'host',
  name: nodeName,
});

export class Assigner {
  readonly #context: AssignContext;

  constructor(context: AssignContext) {
    this.#context = context;
  }

  async autoAssign(request: AutoAssignRequest): Promise<Result<Assignments, IpamError>> {
    const wanted = [
      { family: 4, count: request.num4, requested: request.pools4 },
      { family: 6, count: request.num6, requested: request.pools6 },
    ] as const;
    const sources: { source: Source; count: number }[] = [];
    const found = await Promise.all(
      wanted
        .filter(({ count }) => count > 0)
        .map(async ({ family, count, requested }) => ({
          count,
          source: await this.#sourceOf(request, family, requested ?? []),
        })),
    );
    for (const { source, count } of found) {
      if (!source.ok) return source;
      sources.push({ source: source.value, count });
    }
    return this.#assign(request, sources);
  }

  #sourceOf(
    request: AutoAssignRequest,
    family: Family,
    requested: readonly string[],
  ): Promise<Result<Source, IpamError>> {
    return this.source({
      owner: ownerFor(request.nodeName, request.intendedUse),
      family,
      requested,
      namespace: request.namespace,
      namespaceLabels: request.namespaceLabels,
      intendedUse: request.intendedUse,
      maxBlocksPerHost: request.maxBlocksPerHost,
      keep: request.hostReservation,
    });
  }

  /** Rounds of finding, writing the handle, writing the blocks, until all is there or nothing more is to be had. */
  async #assign(
    request: AutoAssignRequest,
    sources: readonly { source: Source; count: number }[],
  ): Promise<Result<Assignments, IpamError>> {
    const got: Record<Family, Assignment[]> = { 4: [], 6: [] };
    let isFirstWrite = request.replaceHandle === true;
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const tickets: Ticket[] = [];
      let shortage: IpamError | undefined;
      for (const { source, count } of sources) {
        const missing = count - got[source.family].length;
        if (missing === 0) continue;
        const found = await this.#context.finder.find(source, missing);
        if (!found.ok) {
          giveBack(tickets);
          return this.#undo(request, got, found.error);
        }
        tickets.push(...found.value.tickets);
        const promised = found.value.tickets.reduce((sum, ticket) => sum + ticket.count, 0);
        if (promised < missing) shortage ??= found.value.error ?? noAddresses(source);
      }
      if (shortage !== undefined && (!request.allowPartial || tickets.length === 0)) {
        giveBack(tickets);
        return this.#short(request, got, shortage);
      }
      const written = await this.#writeHandle(request, tickets, isFirstWrite);
      if (!written.ok) {
        giveBack(tickets);
        return this.#undo(request, got, written.error);
      }
      isFirstWrite = false;
      const taken = await this.#take(request, tickets, sources);
      for (const assignment of taken.assignments)
        got[assignment.address.includes(':') ? 6 : 4].push(assignment);
      if (taken.error !== undefined) return this.#undo(request, got, taken.error);
      if (sources.every(({ source, count }) => got[source.family].length === count))
        return ok({ v4: got[4], v6: got[6] });
      if (attempt > 2) await this.#context.pause(attempt);
    }
    return this.#undo(request, got, contention(`The addresses for ${request.handleId}`).error);
  }

  /** Too few addresses: what there is when the caller takes that, else nothing. */
  #short(
    request: AutoAssignRequest,
    got: Record<Family, Assignment[]>,
    shortage: IpamError,
  ): Promise<Result<Assignments, IpamError>> {
    if (!request.allowPartial) return this.#undo(request, got, shortage);
    const assigned = { v4: got[4], v6: got[6] };
    const isError = shortage.code !== 'NoAddresses';
    return Promise.resolve(isError ? err({ ...shortage, assigned }) : ok(assigned));
  }

  async #writeHandle(
    request: AutoAssignRequest,
    tickets: readonly Ticket[],
    replace: boolean,
  ): Promise<Result<void, IpamError>> {
    const { handles, releaser } = this.#context;
    const counts = countsOf(tickets);
    const added = await handles.add(request.handleId, counts, replace);
    if (!added.ok) return added;
    if (added.value) return ok(undefined);
    const released = await releaser.byHandle(request.handleId);
    if (!released.ok) return released;
    const again = await handles.add(request.handleId, counts);
    return again.ok ? ok(undefined) : again;
  }

  /** Writes all blocks of the tickets at the same time. What a block could not give is taken off the handle. */
  async #take(
    request: AutoAssignRequest,
    tickets: readonly Ticket[],
    sources: readonly { source: Source }[],
  ): Promise<Taken> {
    const results = await Promise.all(tickets.map((ticket) => this.#takeOne(request, ticket, sources)));
    const assignments: Assignment[] = [];
    const surplus = new Map<Prefix, number>();
    let error: IpamError | undefined;
    results.forEach((result, i) => {
      const ticket = tickets[i] as Ticket;
      if (result.ok) assignments.push(...result.value);
      else error ??= result.error;
      // A write that may have happened keeps its count on the handle: too high is harmless, too low loses an address.
      const certain = result.ok || result.error.code !== 'StoreFailed';
      const missing = ticket.count - (result.ok ? result.value.length : 0);
      if (certain && missing > 0)
        surplus.set(ticket.session.cidr, (surplus.get(ticket.session.cidr) ?? 0) + missing);
    });
    if (surplus.size > 0) {
      const corrected = await this.#context.handles.subtract(request.handleId, surplus);
      if (!corrected.ok) error ??= corrected.error;
    }
    return { assignments, error };
  }

  async #takeOne(
    request: AutoAssignRequest,
    ticket: Ticket,
    sources: readonly { source: Source }[],
  ): Promise<Result<readonly Assignment[], IpamError>> {
    const { session, count, pool, borrowed } = ticket;
    const source = sources.find(({ source }) => source.pools.includes(pool))?.source as Source;
    const holder = { handleId: request.handleId, attributes: request.attributes };
    const none: readonly Address[] = [];
    const taken = await session.submit((block) => {
      // The block may have gone, or to somebody else, since it was picked: then this ticket is void.
      const isOwn = block !== undefined && strictMismatch(block, source.owner) === undefined;
      if (block === undefined || (!isOwn && (source.configuration.strictAffinity || !borrowed)))
        return ok({ block, value: none });
      const { block: next, addresses } = assignNext(block, count, holder, source.reserved);
      return ok({ block: next, value: addresses });
    });
    session.promised -= count;
    return taken.ok
      ? ok(taken.value.map((address) => ({ address, block: session.cidr, pool: pool.name })))
      : taken;
  }

  /** Releases what this request got so far (RS-057), and nothing else the handle may hold. */
  async #undo(
    request: AutoAssignRequest,
    got: Record<Family, readonly Assignment[]>,
    error: IpamError,
  ): Promise<Result<Assignments, IpamError>> {
    const assigned = [...got[4], ...got[6]];
    if (assigned.length === 0) return err(error);
    const released = await this.#context.releaser.addresses(
      assigned.map(({ address }) => ({ address, handleId: request.handleId })),
    );
    return err(
      released.ok
        ? error
        : ipamError(
            error.code,
            `${error.message} Releasing what was assigned failed as well: ${released.error.message}`,
          ),
    );
  }

  /** Pools, limits and reservations for one family of a request. */
  async source(query: SourceQuery): Promise<Result<Source, IpamError>> {
    const { reader } = this.#context;
    const { owner, family } = query;
    const [basics, nodeLabels, namespaceLabels] = await Promise.all([
      reader.basics(),
      owner.type === 'virtual' ? ok({}) : reader.nodeLabels(owner.name),
      query.namespace === undefined || query.namespaceLabels !== undefined
        ? ok(query.namespaceLabels)
        : reader.namespaceLabels(query.namespace),
    ]);
    if (!basics.ok) return basics;
    if (!nodeLabels.ok) return nodeLabels;
    if (!namespaceLabels.ok) return namespaceLabels;
    const selected = selectPools(basics.value.pools, {
      family,
      requested: query.requested,
      nodeLabels: nodeLabels.value,
      namespaceLabels: namespaceLabels.value,
      ...(query.keep === undefined ? {} : { hostReservation: query.keep }),
    });
    if (!selected.ok) return selected;
    if (selected.value.length === 0) {
      return fail(
        'NoPools',
        `No IPv${family} pool is for node ${owner.name}${query.namespace === undefined ? '' : ` and namespace ${query.namespace}`}.`,
        'Look at nodeSelector, namespaceSelector and assignmentMode of the pools.',
      );
    }
    const pools = selected.value.filter((pool) => allowsUse(pool, query.intendedUse));
    if (pools.length === 0)
      return fail('PoolUnsuitable', `No fitting IPv${family} pool allows the use ${query.intendedUse}.`);
    return ok({
      family,
      owner,
      pools,
      reserved: basics.value.reserved,
      configuration: basics.value.configuration,
      blockLimit: blockLimit(basics.value.configuration.maxBlocksPerHost, query.maxBlocksPerHost),
      keep: query.keep,
    });
  }

  /** RS-051. */
  async assignAddress(request: AssignRequest): Promise<Result<Assignment, IpamError>> {
    const basics = await this.#context.reader.basics();
    if (!basics.ok) return basics;
    const { address, intendedUse } = request;
    const pool = poolOf(basics.value.pools.filter(isEnabled), address);
    if (pool === undefined) return fail('NotInPool', `${address} is in no enabled pool.`);
    if (intendedUse !== undefined && !allowsUse(pool, intendedUse))
      return fail(
        'PoolUnsuitable',
        `Pool "${pool.name}" of ${address} does not allow the use ${intendedUse}.`,
      );
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 1) await this.#context.pause(attempt);
      const done = await this.#tryAssign(request, pool, basics.value.configuration.strictAffinity);
      if (done !== 'again') return done;
    }
    return contention(`Address ${address}`);
  }

  async #tryAssign(
    request: AssignRequest,
    pool: Pool,
    strict: boolean,
  ): Promise<Result<Assignment, IpamError> | 'again'> {
    const { address, handleId } = request;
    const { sessions, claims, handles } = this.#context;
    const owner = ownerFor(request.nodeName, request.intendedUse ?? 'Workload');
    const cidr = prefixOf(address, pool.blockLength);
    const session = sessions.of(cidr);
    const state = await session.current();
    if (!state.ok) return state;
    if (state.value === undefined) {
      const claimed = await claims.claim(owner, cidr, request.hostReservation);
      return claimed.ok ? 'again' : claimed;
    }
    const assignment: Assignment = { address, block: cidr, pool: pool.name };
    const allowed = judge(state.value, request, owner, strict);
    // What memory forbids may have changed; the session asks the store before it says no.
    if (allowed !== 'free') {
      const verdict = await session.submit((block) =>
        ok({ block, value: block === undefined ? undefined : judge(block, request, owner, strict) }),
      );
      if (!verdict.ok) return verdict;
      if (verdict.value === 'held') return ok(assignment);
      return verdict.value === undefined || verdict.value === 'free' ? 'again' : err(verdict.value);
    }
    if (handleId !== undefined) {
      const added = await handles.add(handleId, new Map([[cidr, 1]]));
      if (!added.ok) return added;
    }
    const taken = await session.submit((block) => {
      if (block === undefined) return ok({ block, value: false });
      if (judge(block, request, owner, strict) !== 'free') return ok({ block, value: false });
      const given = assignGiven(block, address, { handleId, attributes: request.attributes });
      return given.ok ? ok({ block: given.value, value: true }) : given;
    });
    if (taken.ok && taken.value) return ok(assignment);
    if (handleId !== undefined && (taken.ok || taken.error.code !== 'StoreFailed')) {
      const corrected = await handles.subtract(handleId, new Map([[cidr, 1]]));
      if (!corrected.ok) return corrected;
    }
    return taken.ok ? 'again' : taken;
  }
}

/** Whether the address can be given: `held` when the same handle keeps it (and may), an error when somebody else has it. */
function judge(
  block: Block,
  request: AssignRequest,
  owner: Owner,
  strict: boolean,
): 'free' | 'held' | IpamError {
  const mismatch = strict ? strictMismatch(block, owner) : undefined;
  if (mismatch !== undefined) return mismatch;
  const ordinal = ordinalIn(block, request.address) ?? -1;
  if (block.allocations[ordinal] === null) return 'free';
  const holder = holderOf(block, ordinal);
  const isSame = request.handleId !== undefined && holder?.handleId === cleanHandleId(request.handleId);
  if (isSame && request.keepForSameHandle) return 'held';
  const by =
    holder === undefined
      ? 'resting after its release'
      : `assigned to ${holder.handleId ?? 'an owner without handle'}`;
  return ipamError('AlreadyAssigned', `${request.address} is ${by}.`);
}

const noAddresses = (source: Source): IpamError =>
  ipamError(
    'NoAddresses',
    `No IPv${source.family} address is free in ${source.pools.map((pool) => pool.cidr).join(', ')}.`,
    source.configuration.strictAffinity
      ? 'Strict affinity forbids borrowing from other nodes’ blocks.'
      : 'Add a pool.',
  );

function giveBack(tickets: readonly Ticket[]): void {
  for (const { session, count } of tickets) session.promised -= count;
}

function countsOf(tickets: readonly Ticket[]): Counts {
  const counts = new Map<Prefix, number>();
  for (const { session, count } of tickets) counts.set(session.cidr, (counts.get(session.cidr) ?? 0) + count);
  return counts;
}
