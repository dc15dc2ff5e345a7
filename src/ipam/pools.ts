// Which pools an assignment may use (RS-048, RS-055) and in which order their blocks are tried.
import { fnv1 } from '../lib/hash.ts';
import {
  type Address,
  addressBits,
  containsAddress,
  type Family,
  parseNetwork,
  type Prefix,
  prefixFamily,
  prefixLength,
  subPrefixAt,
} from '../lib/ip/mod.ts';
import { ok, type Result } from '../lib/result.ts';
import type { IPPool } from '../model/mod.ts';
import { matches, parseSelector } from '../selector/mod.ts';
import { fail } from './errors.ts';
import type { HostReservation, IntendedUse, IpamError } from './types.ts';

/** A pool with its numbers at hand. */
export type Pool = {
  readonly name: string;
  readonly cidr: Prefix;
  /** Prefix length of its blocks. */
  readonly blockLength: number;
  readonly resource: IPPool;
};
export type PoolQuery = {
  readonly family: Family;
  /** CIDRs; empty: every pool that fits. */
  readonly requested: readonly string[];
  readonly nodeLabels: Readonly<Record<string, string>>;
  /** undefined: the address is for no namespace. */
  readonly namespaceLabels: Readonly<Record<string, string>> | undefined;
  readonly hostReservation?: HostReservation;
};

/** A store may hold what no API server checked: a pool without a range counts as absent. */
export function hasRange(pool: IPPool): boolean {
  const { spec } = pool as { readonly spec?: { readonly cidr?: unknown } | null };
  return typeof spec?.cidr === 'string';
}

/** All pools that parse, in order of their names. */
export function poolsOf(resources: readonly IPPool[]): Pool[] {
  const pools: Pool[] = [];
  for (const resource of resources) {
    if (!hasRange(resource)) continue;
    const cidr = parseNetwork(resource.spec.cidr);
    if (!cidr.ok) continue;
    const blockLength = resource.spec.blockSize ?? (prefixFamily(cidr.value) === 4 ? 26 : 122);
    if (blockLength < prefixLength(cidr.value) || blockLength > addressBits(prefixFamily(cidr.value)))
      continue;
    pools.push({ name: resource.metadata.name, cidr: cidr.value, blockLength, resource });
  }
  return pools.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Disabled pools and pools that are being deleted give no new addresses. */
export const isEnabled = (pool: Pool): boolean =>
  pool.resource.spec.disabled !== true && pool.resource.metadata.deletionTimestamp === undefined;

/** Pools asked for are taken whatever their selectors say; they must exist and be enabled. */
export function selectPools(all: readonly Pool[], query: PoolQuery): Result<readonly Pool[], IpamError> {
  const kept = query.hostReservation;
  const needed = kept === undefined ? 1 : kept.startOfBlock + kept.endOfBlock + 1;
  const usable = all.filter(
    (pool) =>
      prefixFamily(pool.cidr) === query.family &&
      isEnabled(pool) &&
      2 ** (addressBits(query.family) - pool.blockLength) >= needed,
  );
  if (usable.length === 0)
    return fail('NoPools', `There is no enabled IPv${query.family} pool.`, 'Create an IPPool.');
  if (query.requested.length > 0) return requestedPools(usable, query);
  const fitting: Pool[] = [];
  for (const pool of usable) {
    const { assignmentMode, nodeSelector, namespaceSelector } = pool.resource.spec;
    if ((assignmentMode ?? 'Automatic') !== 'Automatic') continue;
    const node = selects(pool, 'nodeSelector', nodeSelector, query.nodeLabels);
    if (!node.ok) return node;
    const namespace = selects(pool, 'namespaceSelector', namespaceSelector, query.namespaceLabels ?? {});
    if (!namespace.ok) return namespace;
    if (node.value && namespace.value) fitting.push(pool);
  }
  return ok(fitting);
}

function requestedPools(usable: readonly Pool[], query: PoolQuery): Result<readonly Pool[], IpamError> {
  const chosen: Pool[] = [];
  for (const text of query.requested) {
    const cidr = parseNetwork(text);
    const pool = cidr.ok ? usable.find((p) => p.cidr === cidr.value) : usable.find((p) => p.name === text);
    if (pool === undefined) {
      return fail(
        'PoolUnknown',
        `The requested pool ${text} does not exist, is disabled, or is not an IPv${query.family} pool.`,
      );
    }
    if (!chosen.includes(pool)) chosen.push(pool);
  }
  return ok(chosen);
}

/** Whether the pool's node selector takes the node; a selector that does not parse takes none. */
export const selectsNode = (pool: Pool, labels: Readonly<Record<string, string>>): boolean => {
  const result = selects(pool, 'nodeSelector', pool.resource.spec.nodeSelector, labels);
  return result.ok && result.value;
};

function selects(
  pool: Pool,
  field: string,
  text: string | undefined,
  labels: Readonly<Record<string, string>>,
): Result<boolean, IpamError> {
  if (text === undefined || text === '' || text === 'all()') return ok(true);
  const parsed = parseSelector(text);
  if (!parsed.ok)
    return fail('BadSelector', `IPPool "${pool.name}" has a bad ${field}: ${parsed.error.message}`);
  return ok(matches(parsed.value, labels));
}

export const allowsUse = (pool: Pool, use: IntendedUse): boolean =>
  (pool.resource.spec.allowedUses ?? ['Workload', 'Tunnel']).includes(use);

export const poolOf = (pools: readonly Pool[], address: Address): Pool | undefined =>
  pools.find((pool) => containsAddress(pool.cidr, address));

/** A walk over every block of a pool ends after this many: pools of IPv6 have more blocks than there are seconds. */
const longestWalk = 1 << 20;

/** The pool's blocks from a start that depends on the node, so that nodes do not compete, then one after the other. */
export function* blockWalk(pool: Pool, nodeName: string, random: () => number): Generator<Prefix> {
  const bits = BigInt(pool.blockLength - prefixLength(pool.cidr));
  const count = 1n << bits;
  // Blocks of one address are never affine to much: a random start saves reading those that others just took.
  const isSingle = pool.blockLength === addressBits(prefixFamily(pool.cidr));
  const seed = isSingle ? Math.floor(random() * 0x1_0000_0000) : scatter(fnv1(nodeName));
  const start = BigInt(seed) % count;
  const limit = count < BigInt(longestWalk) ? Number(count) : longestWalk;
  for (let i = 0; i < limit; i++) yield subPrefixAt(pool.cidr, pool.blockLength, (start + BigInt(i)) % count);
}

/** Spreads neighbouring hashes (worker1, worker2) over the whole pool: the finishing step of MurmurHash3. */
function scatter(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
