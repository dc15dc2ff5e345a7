// Arithmetic of one block: pure functions from a block and a request to the next block. Nothing here knows of stores.
//
//   allocations[ordinal] ──► index into attributes (who holds it) or null (free)
//   unallocated          ──► free ordinals, first in first out: an address rests as long as the others can serve
//   sequences[ordinal]   ──► sequenceNumber of the block when the address was given out; a release that names another
//                            one means an earlier holder and is refused
//
// An ordinal is either null in allocations and once in unallocated, or the opposite. Parsing restores that where older
// data broke it, so that no address is lost and none given twice.
import {
  type Address,
  addressAt,
  addressBits,
  ordinalOf,
  parsePrefix,
  type Prefix,
  prefixFamily,
  prefixLength,
} from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { IPAMBlock } from '../model/mod.ts';
import { fail, ipamError } from './errors.ts';
import { cleanHandleId, type Owner, ownerText, windowsReservedHandle } from './names.ts';
import type { ReservedAddresses } from './reservations.ts';
import type {
  AllocationAttributes,
  AllocationDetail,
  HostReservation,
  IpamError,
  ReleaseRequest,
} from './types.ts';

type Spec = IPAMBlock['spec'];
/** As stored: fields this version does not know survive. */
export type Attribute = Spec['attributes'][number];

export type Block = {
  readonly cidr: Prefix;
  readonly affinity: string | undefined;
  readonly affinityClaimTime: string | undefined;
  readonly allocations: readonly (number | null)[];
  readonly unallocated: readonly number[];
  readonly attributes: readonly Attribute[];
  readonly sequenceNumber: bigint;
  readonly sequences: ReadonlyMap<number, bigint>;
  /** Its deletion has begun: it counts as absent. */
  readonly deleted: boolean;
};

export type Holder = { readonly handleId: string | undefined; readonly attributes: AllocationAttributes };
/** When released addresses may be given out again. */
export type Rest = { readonly nowMs: number; readonly cooldownSeconds: number };

const largestBlockBits = 16;

export function newBlock(
  cidr: Prefix,
  owner: Owner,
  nowMs: number,
  fraction: number,
  keep?: HostReservation,
): Block {
  const size = 2 ** (addressBits(prefixFamily(cidr)) - prefixLength(cidr));
  const first = keep?.startOfBlock ?? 0;
  const last = size - (keep?.endOfBlock ?? 0);
  const ordinals = Array.from({ length: size }, (_, ordinal) => ordinal);
  const isKept = (ordinal: number): boolean => ordinal < first || ordinal >= last;
  return {
    cidr,
    affinity: ownerText(owner),
    affinityClaimTime: timestamp(nowMs),
    allocations: ordinals.map((ordinal) => (isKept(ordinal) ? 0 : null)),
    unallocated: ordinals.filter((ordinal) => !isKept(ordinal)),
    attributes:
      keep === undefined
        ? []
        : [{ handle_id: windowsReservedHandle, secondary: { note: 'windows host rsvd' } }],
    // Nanoseconds of its creation: a block made again never repeats the numbers of its predecessor.
    sequenceNumber: BigInt(Math.floor(nowMs)) * 1_000_000n + BigInt(Math.floor(fraction * 1e6)),
    sequences: new Map(),
    deleted: false,
  };
}

export function parseBlock(spec: Spec): Result<Block, IpamError> {
  const cidr = parsePrefix(spec.cidr);
  if (!cidr.ok) return fail('BadData', `A block has the CIDR "${spec.cidr}": ${cidr.error.message}`);
  const bits = addressBits(prefixFamily(cidr.value)) - prefixLength(cidr.value);
  if (bits > largestBlockBits || spec.allocations.length !== 2 ** bits) {
    return fail(
      'BadData',
      `Block ${spec.cidr} has ${spec.allocations.length} allocations.`,
      'It was not written by address management; see docs/ipam.md.',
    );
  }
  const listed = new Set(spec.unallocated.filter((ordinal) => spec.allocations[ordinal] === null));
  spec.allocations.forEach((index, ordinal) => {
    if (index === null) listed.add(ordinal); // A free address that no list names comes last.
  });
  return ok({
    cidr: cidr.value,
    affinity: spec.affinity ?? undefined,
    affinityClaimTime: spec.affinityClaimTime ?? undefined,
    allocations: spec.allocations,
    unallocated: [...listed],
    attributes: spec.attributes,
    sequenceNumber: BigInt(spec.sequenceNumber ?? 0),
    sequences: new Map(
      Object.entries(spec.sequenceNumberForAllocation ?? {}).map(([ordinal, n]) => [
        Number(ordinal),
        BigInt(n),
      ]),
    ),
    deleted: spec.deleted ?? false,
  });
}

/** The stored form. Sequence numbers are plain JSON numbers, as Calico writes them, whatever their size. */
export function blockSpec(block: Block): Spec {
  return {
    cidr: block.cidr,
    ...(block.affinity === undefined ? {} : { affinity: block.affinity }),
    ...(block.affinityClaimTime === undefined ? {} : { affinityClaimTime: block.affinityClaimTime }),
    allocations: block.allocations,
    unallocated: block.unallocated,
    attributes: block.attributes,
    sequenceNumber: exact(block.sequenceNumber),
    sequenceNumberForAllocation: Object.fromEntries(
      [...block.sequences].map(([ordinal, n]) => [String(ordinal), exact(n)]),
    ),
    deleted: block.deleted,
    strictAffinity: false, // Without meaning, but required by the classic CRD.
  };
}

/** To be written: every write gets a number of its own. */
export const withNextSequence = (block: Block): Block => ({
  ...block,
  sequenceNumber: block.sequenceNumber + 1n,
});

export const withoutAffinity = ({ ...block }: Block): Block => ({
  ...block,
  affinity: undefined,
  affinityClaimTime: undefined,
});

/** Up to `count` free addresses, longest free first, reserved ones left out. */
export function assignNext(
  block: Block,
  count: number,
  holder: Holder,
  reserved: ReservedAddresses,
): { readonly block: Block; readonly addresses: readonly Address[] } {
  const skip = reserved.overlaps(block.cidr) ? reserved : undefined;
  const taken: number[] = [];
  const left: number[] = [];
  for (const ordinal of block.unallocated) {
    if (taken.length < count && !skip?.has(addressAt(block.cidr, ordinal))) taken.push(ordinal);
    else left.push(ordinal);
  }
  if (taken.length === 0) return { block, addresses: [] };
  return {
    block: give({ ...block, unallocated: left }, taken, holder),
    addresses: taken.map((ordinal) => addressAt(block.cidr, ordinal)),
  };
}

/** One given address; reservations do not apply to it. */
export function assignGiven(block: Block, address: Address, holder: Holder): Result<Block, IpamError> {
  const ordinal = ordinalIn(block, address);
  if (ordinal === undefined) return fail('BadRequest', `${address} is not in block ${block.cidr}.`);
  if (block.allocations[ordinal] !== null) return fail('AlreadyAssigned', `${address} is already assigned.`);
  const unallocated = block.unallocated.filter((free) => free !== ordinal);
  return ok(give({ ...block, unallocated }, [ordinal], holder));
}

function give(block: Block, ordinals: readonly number[], holder: Holder): Block {
  const found = block.attributes.findIndex((attribute) => describes(attribute, holder));
  const index = found < 0 ? block.attributes.length : found;
  const attributes = found < 0 ? [...block.attributes, attributeOf(holder)] : block.attributes;
  const allocations = [...block.allocations];
  const sequences = new Map(block.sequences);
  for (const ordinal of ordinals) {
    allocations[ordinal] = index;
    sequences.set(ordinal, block.sequenceNumber);
  }
  return { ...block, allocations, attributes, sequences };
}

const attributeOf = (holder: Holder): Attribute => ({
  ...(holder.handleId === undefined ? {} : { handle_id: holder.handleId }),
  secondary: holder.attributes,
});

function describes(attribute: Attribute, holder: Holder): boolean {
  if ((attribute.handle_id ?? undefined) !== holder.handleId || attribute.releasedAt) return false;
  const known = Object.entries(attribute.secondary ?? {});
  const other = Object.keys(attribute).some((key) => key !== 'handle_id' && key !== 'secondary');
  return (
    !other &&
    known.length === Object.keys(holder.attributes).length &&
    known.every(([k, v]) => holder.attributes[k] === v)
  );
}

export type Released = {
  readonly block: Block;
  readonly released: readonly Address[];
  /** Asked for, but held by nobody. */
  readonly unallocated: readonly Address[];
  /** Released addresses per handle. */
  readonly byHandle: ReadonlyMap<string, number>;
};

/** All or nothing: a request that names another holder or allocation refuses the whole. */
export function releaseGiven(
  block: Block,
  requests: readonly ReleaseRequest[],
  rest: Rest,
): Result<Released, IpamError> {
  const ordinals = new Set<number>();
  const unallocated: Address[] = [];
  for (const { address, handleId, sequenceNumber } of requests) {
    const ordinal = ordinalIn(block, address);
    if (ordinal === undefined) return fail('BadRequest', `${address} is not in block ${block.cidr}.`);
    if (sequenceNumber !== undefined && sequenceNumber !== (block.sequences.get(ordinal) ?? 0n)) {
      return fail(
        'StaleRelease',
        `${address} was given out again since: its sequence number is not ${sequenceNumber}.`,
      );
    }
    const holder = holderOf(block, ordinal);
    if (holder === undefined) unallocated.push(address);
    else if (handleId !== undefined && cleanHandleId(handleId) !== (holder.handleId ?? '')) {
      return fail(
        'StaleRelease',
        `${address} belongs to ${holder.handleId ?? 'no handle'}, not to ${handleId}.`,
      );
    } else ordinals.add(ordinal);
  }
  return ok({ ...takeBack(block, [...ordinals], rest), unallocated });
}

/** Everything the handle holds in this block. */
export function releaseHandle(block: Block, handleId: string, rest: Rest): Released {
  const ordinals = ordinalsOfHandle(block, handleId);
  return { ...takeBack(block, ordinals, rest), unallocated: [] };
}

function takeBack(block: Block, ordinals: readonly number[], rest: Rest): Omit<Released, 'unallocated'> {
  const byHandle = new Map<string, number>();
  for (const ordinal of ordinals) {
    const handleId = holderOf(block, ordinal)?.handleId;
    if (handleId !== undefined) byHandle.set(handleId, (byHandle.get(handleId) ?? 0) + 1);
  }
  const released = ordinals.map((ordinal) => addressAt(block.cidr, ordinal));
  if (ordinals.length === 0) return { block, released, byHandle };
  return {
    block: rest.cooldownSeconds > 0 ? layToRest(block, ordinals, rest) : setFree(block, ordinals),
    released,
    byHandle,
  };
}

/** Held by nobody, not yet free: an attribute with the time says since when. */
function layToRest(block: Block, ordinals: readonly number[], rest: Rest): Block {
  const allocations = [...block.allocations];
  for (const ordinal of ordinals) allocations[ordinal] = block.attributes.length;
  const attributes: Attribute[] = [...block.attributes, { releasedAt: timestamp(rest.nowMs) }];
  return withoutUnusedAttributes({ ...block, allocations, attributes });
}

function setFree(block: Block, ordinals: readonly number[]): Block {
  const allocations = [...block.allocations];
  const sequences = new Map(block.sequences);
  for (const ordinal of ordinals) {
    allocations[ordinal] = null;
    sequences.delete(ordinal);
  }
  return withoutUnusedAttributes({
    ...block,
    allocations,
    sequences,
    unallocated: [...block.unallocated, ...ordinals],
  });
}

/** Frees the addresses that have rested long enough: done on every load, written with the next write. */
export function freeRested(block: Block, rest: Rest): Block {
  if (!block.attributes.some((attribute) => attribute.releasedAt)) return block;
  const rested = new Set<number>();
  block.attributes.forEach((attribute, index) => {
    const since = attribute.releasedAt ? Date.parse(attribute.releasedAt) : Number.NaN;
    if (since + rest.cooldownSeconds * 1000 <= rest.nowMs) rested.add(index);
  });
  if (rested.size === 0) return block;
  const ordinals = block.allocations.flatMap((index, ordinal) =>
    index !== null && rested.has(index) ? [ordinal] : [],
  );
  return setFree(block, ordinals);
}

function withoutUnusedAttributes(block: Block): Block {
  const used = new Set(block.allocations);
  if (block.attributes.every((_, index) => used.has(index))) return block;
  const moved = new Map<number, number>();
  const attributes: Attribute[] = [];
  block.attributes.forEach((attribute, index) => {
    if (!used.has(index)) return;
    moved.set(index, attributes.length);
    attributes.push(attribute);
  });
  const allocations = block.allocations.map((index) => (index === null ? null : (moved.get(index) ?? index)));
  return { ...block, attributes, allocations };
}

// ── questions ────────────────────────────────────────────────────────────────────────────────────────────────────────

export const ordinalIn = (block: Block, address: Address): number | undefined => {
  const ordinal = ordinalOf(block.cidr, address);
  return ordinal === undefined ? undefined : Number(ordinal);
};

export const sizeOf = (block: Block): number => block.allocations.length;

/** Addresses that `assignNext` could give. */
export function freeCount(block: Block, reserved: ReservedAddresses): number {
  if (!reserved.overlaps(block.cidr)) return block.unallocated.length;
  if (reserved.covers(block.cidr)) return 0;
  return block.unallocated.filter((ordinal) => !reserved.has(addressAt(block.cidr, ordinal))).length;
}

type CurrentHolder = { readonly handleId: string | undefined; readonly attributes: AllocationAttributes };

/** Who holds the ordinal; undefined when it is free or resting. */
export function holderOf(block: Block, ordinal: number): CurrentHolder | undefined {
  const index = block.allocations[ordinal];
  if (index === null || index === undefined) return undefined;
  const attribute = block.attributes[index];
  if (attribute?.releasedAt) return undefined;
  const handle = attribute?.handle_id ?? undefined;
  return {
    handleId: handle === undefined ? undefined : cleanHandleId(handle),
    attributes: attribute?.secondary ?? {},
  };
}

export const isResting = (block: Block, ordinal: number): boolean => {
  const index = block.allocations[ordinal];
  return index !== null && index !== undefined && Boolean(block.attributes[index]?.releasedAt);
};

export function ordinalsOfHandle(block: Block, handleId: string): number[] {
  const wanted = cleanHandleId(handleId);
  const indexes = new Set<number | null>();
  block.attributes.forEach((attribute, index) => {
    if (attribute.handle_id && cleanHandleId(attribute.handle_id) === wanted && !attribute.releasedAt)
      indexes.add(index);
  });
  if (indexes.size === 0) return [];
  return block.allocations.flatMap((index, ordinal) => (indexes.has(index) ? [ordinal] : []));
}

/** No address is held or resting; those that a Windows node keeps back do not count. */
export const isEmpty = (block: Block): boolean =>
  block.allocations.every(
    (index) => index === null || block.attributes[index]?.handle_id?.toLowerCase() === windowsReservedHandle,
  );

export function detailAt(block: Block, ordinal: number): AllocationDetail | undefined {
  const holder = holderOf(block, ordinal);
  if (holder === undefined) return undefined;
  return {
    address: addressAt(block.cidr, ordinal),
    block: block.cidr,
    ...(holder.handleId === undefined ? {} : { handleId: holder.handleId }),
    attributes: holder.attributes,
    sequenceNumber: block.sequences.get(ordinal) ?? 0n,
  };
}

export const strictMismatch = (block: Block, owner: Owner): IpamError | undefined =>
  block.affinity === ownerText(owner)
    ? undefined
    : ipamError(
        'StrictAffinity',
        `Block ${block.cidr} belongs to ${block.affinity ?? 'nobody'}, and strict affinity forbids borrowing from it.`,
      );

/** As Kubernetes writes times: whole seconds, UTC. */
export const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');

const exact = (n: bigint): number | bigint => (n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n);

/** For callers that need the error as a value of another type. */
export const blockOf = (object: IPAMBlock): Result<Block, IpamError> => {
  const parsed = parseBlock(object.spec);
  return parsed.ok ? parsed : err(parsed.error);
};
