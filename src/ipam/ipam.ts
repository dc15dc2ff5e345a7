// Puts the parts of address management together behind one face.
import {
  containsPrefix,
  type Prefix,
  prefixAddress,
  prefixLength,
  prefixSize,
  subPrefixAt,
} from '../lib/ip/mod.ts';
import { ok, type Result } from '../lib/result.ts';
import { Assigner, ownerFor } from './assign.ts';
import { Claims } from './claims.ts';
import { KeyedLock } from './concurrency.ts';
import { fail } from './errors.ts';
import { Finder } from './find.ts';
import { Handles } from './handles.ts';
import { addressesOfHandle, check, detailOf, utilisation } from './inspect.ts';
import { handleName, type Owner } from './names.ts';
import { poolOf } from './pools.ts';
import { Reader } from './read.ts';
import { Releaser } from './release.ts';
import { BlockSessions } from './session.ts';
import type {
  AutoAssignRequest,
  ClaimAnswer,
  EnsureBlockRequest,
  Ipam,
  IpamError,
  IpamOptions,
  IpamStore,
} from './types.ts';

/** Most blocks that one call of `claimBlocks` looks at. */
const claimBlocksLimit = 65_536n;

export function createIpam(store: IpamStore, options: IpamOptions): Ipam {
  const { clock, logger, view } = options;
  const random = options.random ?? Math.random;
  /** The first attempts follow at once; later ones spread out, so that who competes does not stay in step. */
  const pause = (attempt: number): Promise<void> =>
    attempt <= 2
      ? Promise.resolve()
      : new Promise((resolve) => {
          clock.after(Math.min(50, attempt * 2) * (0.5 + random()), resolve);
        });
  const reader = new Reader(store, view, logger);
  const context = { store, clock, logger, random, pause, cooldownSeconds: () => reader.cooldownSeconds };
  const sessions = new BlockSessions(context);
  const claims = new Claims(context, sessions);
  const handles = new Handles(store, pause);
  const lock = new KeyedLock();
  const finder = new Finder({ sessions, claims, reader, lock, random, nowMs: () => clock.now() });
  const releaser = new Releaser({ ...context, sessions, claims, reader, handles });
  const assigner = new Assigner({ sessions, claims, reader, finder, handles, releaser, pause });
  const inspection = { reader, handles, sessions };

  /** The time that released addresses rest is asked for where it matters: before a release. */
  const withCooldown = async <T>(
    work: () => Promise<Result<T, IpamError>>,
  ): Promise<Result<T, IpamError>> => {
    const current = await reader.refreshConfiguration();
    return current.ok ? work() : current;
  };
  /** Requests for one handle do not overtake each other: a release waits for the assignment it undoes. */
  const perHandle = <T>(handleId: string, work: () => Promise<T>): Promise<T> =>
    lock.hold(`handle ${handleName(handleId)}`, work);
  const host = (nodeName: string): Owner => ({ type: 'host', name: nodeName });

  return {
    autoAssign: async (request) => {
      const problem = requestProblem(request);
      if (problem !== undefined) return fail('BadRequest', problem);
      return perHandle(request.handleId, () => assigner.autoAssign(request));
    },
    assignAddress: async (request) => {
      const work = () => assigner.assignAddress(request);
      return request.handleId === undefined ? work() : perHandle(request.handleId, work);
    },
    releaseByHandle: (handleId) => perHandle(handleId, () => withCooldown(() => releaser.byHandle(handleId))),
    releaseAddresses: (requests) => withCooldown(() => releaser.addresses(requests)),
    addressesOfHandle: (handleId) => addressesOfHandle(inspection, handleId),
    detailOf: (address) => detailOf(inspection, address),
    ensureBlock: (request) => ensureBlock(request),
    claimBlocks: (prefix, nodeName) => claimBlocks(prefix, host(nodeName)),
    releaseBlock: (block, nodeName, how) =>
      claims.release(host(nodeName), block, { requireEmpty: how?.requireEmpty ?? false }),
    releaseHost: (nodeName) => releaser.host(host(nodeName)),
    releasePool: (cidr) => releaser.pool(cidr),
    utilisation: () => utilisation(reader),
    check: () => check(reader),
  };

  async function ensureBlock(request: EnsureBlockRequest): Promise<Result<Prefix, IpamError>> {
    const intendedUse = request.intendedUse ?? 'Workload';
    const owner = ownerFor(request.nodeName, intendedUse);
    const { family, pools, hostReservation } = request;
    const source = await assigner.source({
      owner,
      family,
      requested: pools ?? [],
      intendedUse,
      keep: hostReservation,
    });
    if (!source.ok) return source;
    // A ticket that nobody redeems: it makes sure of a block and takes nothing from it.
    const strict = {
      ...source.value,
      configuration: { ...source.value.configuration, strictAffinity: true },
    };
    const found = await finder.find(strict, 1);
    if (!found.ok) return found;
    const [ticket] = found.value.tickets;
    if (ticket === undefined)
      return fail('NoAddresses', `No IPv${family} block is left for ${request.nodeName}.`);
    ticket.session.promised -= ticket.count;
    return ok(ticket.session.cidr);
  }

  async function claimBlocks(prefix: Prefix, owner: Owner): Promise<Result<ClaimAnswer, IpamError>> {
    const basics = await reader.basics();
    if (!basics.ok) return basics;
    const pool = poolOf(basics.value.pools, prefixAddress(prefix));
    if (pool === undefined || !containsPrefix(pool.cidr, prefix))
      return fail('NotInPool', `${prefix} is in no pool.`);
    if (prefixLength(prefix) > pool.blockLength)
      return fail('BadRequest', `${prefix} is smaller than a block of pool "${pool.name}".`);
    const blocks = prefixSize(prefix) / prefixSize(subPrefixAt(prefix, pool.blockLength, 0));
    if (blocks > claimBlocksLimit)
      return fail('BadRequest', `${prefix} has ${blocks} blocks, and ${claimBlocksLimit} is the limit.`);
    const claimed: Prefix[] = [];
    const failed: Prefix[] = [];
    for (let i = 0n; i < blocks; i++) {
      const cidr = subPrefixAt(prefix, pool.blockLength, i);
      const result = await claims.claim(owner, cidr);
      if (!result.ok) return result;
      (result.value === 'claimed' ? claimed : failed).push(cidr);
    }
    return ok({ claimed, failed });
  }
}

const mostAddresses = 4096;

function requestProblem(request: AutoAssignRequest): string | undefined {
  for (const n of [request.num4, request.num6]) {
    if (!Number.isInteger(n) || n < 0 || n > mostAddresses)
      return `A request is for 0 to ${mostAddresses} addresses of a family, not ${n}.`;
  }
  if (request.handleId === '') return 'A request needs a handle.';
  return request.nodeName === '' ? 'A request needs the name of a node.' : undefined;
}
