// Policy in the kernel; see docs/policy-dataplane.md.
export { NftPolicy } from './nftables/nft-policy.ts';
export type { InterfaceAddresses } from './nftables/hosts.ts';
export { ConnectionCutter } from './connections.ts';
export { policySettings } from './inputs/mod.ts';
export type { RowSink } from './nftables/rows.ts';
