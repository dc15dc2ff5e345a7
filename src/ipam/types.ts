// The face of address management: what callers ask for, what they get, and the narrow store it works on.
import type { Clock } from '../lib/clock.ts';
import type { Address, Family, Prefix } from '../lib/ip/mod.ts';
import type { Logger } from '../lib/log.ts';
import type { Failure, Result } from '../lib/result.ts';
import type {
  BlockAffinity,
  IPAMBlock,
  IPAMConfiguration,
  IPPool,
  IPReservation,
  Namespace,
  Node,
  ResourceOf,
} from '../model/mod.ts';

// ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────────
export type IpamKind =
  | 'IPAMBlock'
  | 'BlockAffinity'
  | 'IPAMHandle'
  | 'IPAMConfiguration'
  | 'IPPool'
  | 'IPReservation'
  | 'Node'
  | 'Namespace';

/** Codes are those of the datastore; Conflict, NotFound, AlreadyExists, Unavailable and Timeout mean something here. */
export type StoreFailure = Failure;
type Name = { readonly name: string; readonly namespace?: string };
type Listed<T> = { readonly items: readonly T[]; readonly continue?: string };

/** What address management needs of a datastore; every Datastore satisfies it. Updates and deletes are compare-and-swap. */
export interface IpamStore {
  get<K extends IpamKind>(kind: K, name: Name): Promise<Result<ResourceOf<K>, StoreFailure>>;
  list<K extends IpamKind>(
    kind: K,
    options?: { readonly labelSelector?: string; readonly limit?: number; readonly continue?: string },
  ): Promise<Result<Listed<ResourceOf<K>>, StoreFailure>>;
  create<K extends IpamKind>(kind: K, object: ResourceOf<K>): Promise<Result<ResourceOf<K>, StoreFailure>>;
  update<K extends IpamKind>(kind: K, object: ResourceOf<K>): Promise<Result<ResourceOf<K>, StoreFailure>>;
  delete(
    kind: IpamKind,
    name: Name,
    options?: { readonly resourceVersion?: string; readonly uid?: string },
  ): Promise<Result<unknown, StoreFailure>>;
}

/** A warm copy of what assignment reads, fed by a syncer: with it, an assignment lists nothing. What it says may be old:
 *  every write is compare-and-swap, and what turns out wrong is read again. */
export interface IpamView {
  /** False until everything was seen once: until then the store is read. */
  readonly ready: boolean;
  pools(): readonly IPPool[];
  reservations(): readonly IPReservation[];
  configuration(): IPAMConfiguration | undefined;
  node(name: string): Node | undefined;
  namespace(name: string): Namespace | undefined;
  /** Claims of all owners, in any state. */
  affinities(): readonly BlockAffinity[];
  block(name: string): IPAMBlock | undefined;
}

// ── requests and answers ─────────────────────────────────────────────────────────────────────────────────────────────
export type IntendedUse = 'Workload' | 'Tunnel' | 'LoadBalancer';

/** Attribute keys that Calico uses: pod, namespace, node, type, service, timestamp, vmi-name … (RS-043). */
export type AllocationAttributes = Readonly<Record<string, string>>;

/** Addresses that a node keeps back in each of its blocks; Windows needs the first three and the last (RS-056). */
export type HostReservation = { readonly startOfBlock: number; readonly endOfBlock: number };
export const windowsReservation: HostReservation = { startOfBlock: 3, endOfBlock: 1 };

export type AutoAssignRequest = {
  readonly nodeName: string;
  readonly num4: number;
  readonly num6: number;
  readonly handleId: string;
  readonly attributes: AllocationAttributes;
  /** CIDRs of pools: only these, whatever their selectors say. Empty or absent: every pool that fits. */
  readonly pools4?: readonly string[];
  readonly pools6?: readonly string[];
  /** Name of the pod's namespace, for pools with a namespace selector. */
  readonly namespace?: string;
  /** Of the namespace, where they are known; read from the store otherwise. */
  readonly namespaceLabels?: Readonly<Record<string, string>>;
  readonly intendedUse: IntendedUse;
  /** Further bound on blocks of the node per family; the configuration's bound holds as well. */
  readonly maxBlocksPerHost?: number;
  readonly hostReservation?: HostReservation;
  /** Gives what could be got instead of failing when there are too few addresses. */
  readonly allowPartial?: boolean;
  /** Whatever the handle holds from an earlier, interrupted request is given back first. Costs nothing when it holds nothing. */
  readonly replaceHandle?: boolean;
};

export type Assignment = {
  readonly address: Address;
  readonly block: Prefix;
  /** Name of the pool. */
  readonly pool: string;
};
export type Assignments = { readonly v4: readonly Assignment[]; readonly v6: readonly Assignment[] };

export type AssignRequest = {
  readonly address: Address;
  readonly nodeName: string;
  readonly handleId?: string;
  readonly attributes: AllocationAttributes;
  /** When given, the address's pool must allow this use. */
  readonly intendedUse?: IntendedUse;
  readonly hostReservation?: HostReservation;
  /** For handles that outlive their holder (virtual machines): already assigned to this handle counts as success. */
  readonly keepForSameHandle?: boolean;
};

export type ReleaseRequest = {
  readonly address: Address;
  /** Refused when the address belongs to another handle. */
  readonly handleId?: string;
  /** Refused when the address was given out again since (RS-042). */
  readonly sequenceNumber?: bigint;
};
export type ReleaseAnswer = {
  readonly released: readonly Address[];
  readonly unallocated: readonly Address[];
};

export type BlockUse = {
  readonly block: Prefix;
  /** `host:<node>`, `virtual:<name>`; absent for a block of nobody. */
  readonly affinity?: string;
  readonly total: number;
  readonly inUse: number;
  /** Released and still resting. */
  readonly resting: number;
  readonly reserved: number;
  readonly free: number;
};
export type PoolUse = {
  readonly pool: string;
  readonly cidr: Prefix;
  readonly total: bigint;
  readonly inUse: bigint;
  readonly resting: bigint;
  readonly reserved: bigint;
  readonly free: bigint;
  readonly blocks: readonly BlockUse[];
};

export type AllocationDetail = {
  readonly address: Address;
  readonly block: Prefix;
  readonly handleId?: string;
  readonly attributes: AllocationAttributes;
  readonly sequenceNumber: bigint;
};

export type IpamProblemCode =
  | 'BadBlock'
  | 'HandleMissing'
  | 'HandleWrongCount'
  | 'HandleWithoutAddresses'
  | 'AffinityWithoutBlock'
  | 'AffinityOfForeignBlock'
  | 'AffinityUnfinished'
  | 'BlockWithoutAffinity'
  | 'OutsideOfPools';
export type IpamProblem = {
  readonly code: IpamProblemCode;
  readonly object: string;
  readonly message: string;
};

export type IpamErrorCode =
  | 'NoPools'
  | 'PoolUnknown'
  | 'PoolUnsuitable'
  | 'BadSelector'
  | 'NodeUnknown'
  | 'BlockLimit'
  | 'NoAddresses'
  | 'NotInPool'
  | 'AlreadyAssigned'
  | 'StrictAffinity'
  | 'StaleRelease'
  | 'BadData'
  | 'BadRequest'
  | 'ConfigurationInvalid'
  /** Others kept winning: 100 attempts were in vain. */
  | 'TooMuchContention'
  | 'StoreFailed';
export type IpamError = Failure<IpamErrorCode> & {
  /** Of a partial answer (allowPartial): what was assigned before it failed. */
  readonly assigned?: Assignments;
  /** The store's code behind StoreFailed. */
  readonly cause?: string;
};

export type IpamOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly view?: IpamView;
  /** For blocks of one address, whose order is random; a number in [0, 1). */
  readonly random?: () => number;
};

export interface Ipam {
  /** All requested addresses or none (unless `allowPartial`). */
  autoAssign(request: AutoAssignRequest): Promise<Result<Assignments, IpamError>>;
  /** One given address, of any pool that is enabled. */
  assignAddress(request: AssignRequest): Promise<Result<Assignment, IpamError>>;
  /** Idempotent; gives the addresses that were released. */
  releaseByHandle(handleId: string): Promise<Result<readonly Address[], IpamError>>;
  /** Idempotent; StaleRelease when a handle or sequence number does not fit, and then nothing of that block is released. */
  releaseAddresses(requests: readonly ReleaseRequest[]): Promise<Result<ReleaseAnswer, IpamError>>;
  addressesOfHandle(handleId: string): Promise<Result<readonly AllocationDetail[], IpamError>>;
  detailOf(address: Address): Promise<Result<AllocationDetail | undefined, IpamError>>;
  /** Makes sure the node owns a block of the family with a free address; gives it. */
  ensureBlock(request: EnsureBlockRequest): Promise<Result<Prefix, IpamError>>;
  /** Claims every block of the prefix for the node. */
  claimBlocks(prefix: Prefix, nodeName: string): Promise<Result<ClaimAnswer, IpamError>>;
  /** Gives back the node's claim on one block: deletes it when empty, else (unless `requireEmpty`) leaves it to nobody. */
  releaseBlock(
    block: Prefix,
    nodeName: string,
    options?: { readonly requireEmpty?: boolean },
  ): Promise<Result<boolean, IpamError>>;
  /** The node is gone: all its claims are given back; addresses in use stay. Gives the number of blocks. */
  releaseHost(nodeName: string): Promise<Result<number, IpamError>>;
  /** The pool goes: claims on its blocks are given back (RS-030). */
  releasePool(cidr: Prefix): Promise<Result<number, IpamError>>;
  utilisation(): Promise<Result<readonly PoolUse[], IpamError>>;
  check(): Promise<Result<readonly IpamProblem[], IpamError>>;
}

export type EnsureBlockRequest = {
  readonly nodeName: string;
  readonly family: Family;
  readonly pools?: readonly string[];
  readonly intendedUse?: IntendedUse;
  readonly hostReservation?: HostReservation;
};
export type ClaimAnswer = { readonly claimed: readonly Prefix[]; readonly failed: readonly Prefix[] };
