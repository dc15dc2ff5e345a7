// Questions about the state of address management: who holds what, how full pools are, what does not fit together.
import {
  type Address,
  addressAt,
  containsAddress,
  containsPrefix,
  prefixAddress,
  type Prefix,
  prefixSize,
} from '../lib/ip/mod.ts';
import { ok, type Result } from '../lib/result.ts';
import {
  type Block,
  blockOf,
  detailAt,
  freeCount,
  holderOf,
  isResting,
  ordinalIn,
  ordinalsOfHandle,
  sizeOf,
} from './block.ts';
import { ownerOfAffinity, stateOf } from './claims.ts';
import type { Handles } from './handles.ts';
import { cleanHandleId, ownerText } from './names.ts';
import { poolOf } from './pools.ts';
import type { Reader } from './read.ts';
import type { ReservedAddresses } from './reservations.ts';
import type { BlockSessions } from './session.ts';
import type {
  AllocationDetail,
  BlockUse,
  IpamError,
  IpamProblem,
  IpamProblemCode,
  PoolUse,
} from './types.ts';

export type InspectContext = {
  readonly reader: Reader;
  readonly handles: Handles;
  readonly sessions: BlockSessions;
};

export async function addressesOfHandle(
  context: InspectContext,
  handleId: string,
): Promise<Result<readonly AllocationDetail[], IpamError>> {
  const handle = await context.handles.find(handleId, true);
  if (!handle.ok) return handle;
  const details: AllocationDetail[] = [];
  for (const cidr of handle.value?.counts.keys() ?? []) {
    const block = await readBlock(context, cidr);
    if (!block.ok) return block;
    if (block.value === undefined) continue;
    for (const ordinal of ordinalsOfHandle(block.value, handleId)) {
      const detail = detailAt(block.value, ordinal);
      if (detail !== undefined) details.push(detail);
    }
  }
  return ok(details);
}

export async function detailOf(
  context: InspectContext,
  address: Address,
): Promise<Result<AllocationDetail | undefined, IpamError>> {
  const blocks = await context.reader.blocks();
  if (!blocks.ok) return blocks;
  const block = blocks.value.find((b) => containsAddress(b.cidr, address));
  const ordinal = block && ordinalIn(block, address);
  return ok(block === undefined || ordinal === undefined ? undefined : detailAt(block, ordinal));
}

/** Fresh from the store, past what this process remembers. */
const readBlock = (context: InspectContext, cidr: Prefix): Promise<Result<Block | undefined, IpamError>> =>
  context.sessions.of(cidr).submit((block) => ok({ block, value: block }));

export async function utilisation(reader: Reader): Promise<Result<readonly PoolUse[], IpamError>> {
  const [basics, blocks] = await Promise.all([reader.basics(), reader.blocks()]);
  if (!basics.ok) return basics;
  if (!blocks.ok) return blocks;
  const { reserved } = basics.value;
  return ok(
    basics.value.pools.map((pool): PoolUse => {
      const uses = blocks.value
        .filter((block) => containsPrefix(pool.cidr, block.cidr))
        .map((block) => useOf(block, reserved));
      const sum = (pick: (use: BlockUse) => number): bigint =>
        uses.reduce((total, use) => total + BigInt(pick(use)), 0n);
      const total = prefixSize(pool.cidr);
      const inUse = sum((use) => use.inUse);
      const resting = sum((use) => use.resting);
      // Reserved addresses that are in use all the same count as in use.
      const outside = uses.reduce(
        (rest, use) => rest - reserved.countIn(use.block),
        reserved.countIn(pool.cidr),
      );
      const unused = outside + sum((use) => use.reserved);
      return {
        pool: pool.name,
        cidr: pool.cidr,
        total,
        inUse,
        resting,
        reserved: unused,
        free: total - inUse - resting - unused,
        blocks: uses,
      };
    }),
  );
}

function useOf(block: Block, reserved: ReservedAddresses): BlockUse {
  const ordinals = block.allocations.map((_, ordinal) => ordinal);
  const free = freeCount(block, reserved);
  return {
    block: block.cidr,
    ...(block.affinity === undefined ? {} : { affinity: block.affinity }),
    total: sizeOf(block),
    inUse: ordinals.filter((ordinal) => holderOf(block, ordinal) !== undefined).length,
    resting: ordinals.filter((ordinal) => isResting(block, ordinal)).length,
    reserved: block.unallocated.length - free,
    free,
  };
}

/** Compares blocks, handles and claims with one another. What pods exist is for those to compare who know pods. */
export async function check(reader: Reader): Promise<Result<readonly IpamProblem[], IpamError>> {
  const [basics, objects, handles, affinities] = await Promise.all([
    reader.basics(),
    reader.listAll('IPAMBlock'),
    reader.listAll('IPAMHandle'),
    reader.listAll('BlockAffinity'),
  ]);
  if (!basics.ok) return basics;
  if (!objects.ok) return objects;
  if (!handles.ok) return handles;
  if (!affinities.ok) return affinities;
  const problems: IpamProblem[] = [];
  const report = (code: IpamProblemCode, object: string, message: string): void =>
    void problems.push({ code, object, message });

  const blocks = new Map<string, Block>();
  for (const object of objects.value) {
    const block = blockOf(object);
    if (!block.ok) report('BadBlock', object.metadata.name, block.error.message);
    else if (!block.value.deleted) blocks.set(block.value.cidr, block.value);
  }

  const held = heldByHandle(blocks.values());
  const named = new Map<string, Readonly<Record<string, number>>>();
  for (const { spec } of handles.value)
    if (!spec.deleted) named.set(cleanHandleId(spec.handleID), spec.block ?? {});
  for (const [handleId, counts] of held) {
    for (const [cidr, { count, first }] of counts) {
      const says = named.get(handleId)?.[cidr];
      if (says === undefined)
        report(
          'HandleMissing',
          handleId,
          `${first}${count > 1 ? ` and ${count - 1} more` : ''} of ${cidr} cannot be released by its handle.`,
        );
      else if (says !== count)
        report(
          'HandleWrongCount',
          handleId,
          `The handle counts ${says} addresses in ${cidr}; there are ${count}.`,
        );
    }
  }
  for (const [handleId, counts] of named) {
    const empty = Object.keys(counts).filter((cidr) => !held.get(handleId)?.has(cidr));
    if (empty.length > 0)
      report(
        'HandleWithoutAddresses',
        handleId,
        `The handle names ${empty.join(', ')}, where it holds nothing.`,
      );
  }

  const claimed = new Set<string>();
  for (const affinity of affinities.value) {
    const { name } = affinity.metadata;
    const { cidr } = affinity.spec;
    const owner = ownerText(ownerOfAffinity(affinity));
    const block = blocks.get(cidr);
    if (block?.affinity === owner) claimed.add(cidr);
    if (stateOf(affinity) !== 'confirmed')
      report('AffinityUnfinished', name, `The claim is ${stateOf(affinity)}.`);
    else if (block === undefined) report('AffinityWithoutBlock', name, `There is no block ${cidr}.`);
    else if (block.affinity !== owner)
      report('AffinityOfForeignBlock', name, `Block ${cidr} belongs to ${block.affinity ?? 'nobody'}.`);
  }
  for (const block of blocks.values()) {
    if (block.affinity !== undefined && !claimed.has(block.cidr))
      report('BlockWithoutAffinity', block.cidr, `Its owner ${block.affinity} has no claim on it.`);
    if (poolOf(basics.value.pools, prefixAddress(block.cidr)) === undefined)
      report('OutsideOfPools', block.cidr, 'The block is in no pool.');
  }
  return ok(problems);
}

type Held = Map<string, Map<string, { count: number; readonly first: Address }>>;

/** Handle → block → how many addresses it really holds there. */
function heldByHandle(blocks: Iterable<Block>): Held {
  const held: Held = new Map();
  for (const block of blocks) {
    block.allocations.forEach((_, ordinal) => {
      const handleId = holderOf(block, ordinal)?.handleId;
      // Addresses kept back on Windows nodes have a handle by name only.
      if (handleId === undefined || handleId.toLowerCase() === 'windows-reserved-ipam-handle') return;
      const counts = held.get(handleId) ?? new Map<string, { count: number; readonly first: Address }>();
      held.set(handleId, counts);
      const known = counts.get(block.cidr);
      if (known === undefined) counts.set(block.cidr, { count: 1, first: addressAt(block.cidr, ordinal) });
      else known.count++;
    });
  }
  return held;
}
