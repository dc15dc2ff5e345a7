// Policy in the kernel; see docs/policy-dataplane.md.
export { NftPolicy } from './nftables/nft-policy.ts';
export { policySettings } from './inputs/mod.ts';
export type { RowSink } from './nftables/rows.ts';
