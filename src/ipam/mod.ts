// Public face of address management (IPAM): blocks, claims, handles and what is given out of them. See docs/ipam.md.
export type {
  AllocationAttributes,
  AllocationDetail,
  AssignRequest,
  Assignment,
  Assignments,
  AutoAssignRequest,
  BlockUse,
  ClaimAnswer,
  EnsureBlockRequest,
  HostReservation,
  IntendedUse,
  Ipam,
  IpamError,
  IpamErrorCode,
  IpamKind,
  IpamOptions,
  IpamProblem,
  IpamProblemCode,
  IpamStore,
  IpamView,
  PoolUse,
  ReleaseAnswer,
  ReleaseRequest,
} from './types.ts';
export { windowsReservation } from './types.ts';
export { createIpam } from './ipam.ts';
export { IpamCache, viewKinds, type CacheUpdate } from './cache.ts';
export { affinityLabels, affinityName, blockName, handleName, type Owner } from './names.ts';
export { type Block, detailAt, freeCount, holderOf, isEmpty, parseBlock } from './block.ts';
export { hasRange, poolsOf, selectPools, type Pool, type PoolQuery } from './pools.ts';
export { reservedAddresses, type ReservedAddresses } from './reservations.ts';
