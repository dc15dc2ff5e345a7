// Public face of Felix's dataplane: desired-state tables and the reconcilers that keep the kernel to them.
// See docs/felix.md.
export type { TunnelBootstrap, TunnelMemory } from './wireguard/remembered.ts';
export {
  Dataplane,
  type DataplaneOptions,
  type DataplaneStatus,
  type DataplaneTableName,
  endpointKeys,
  type EndpointKeys,
} from './dataplane.ts';
export { systemRunner, type BackEndChoice, type CommandRunner } from './iptables/mod.ts';
export type { Inventory, RuleCounts } from './inventory.ts';
export { Reconciler, type ReconcilerOptions } from './reconciler.ts';
export { Table } from './table.ts';
export { gatewayAddress, gatewayRoute } from './routes.ts';
export { type Removed, removeDataplane, type RemovalOptions } from './removal.ts';
export { natRules } from './nat.ts';
export {
  nftKey,
  nftOperations,
  nftTableName,
  type NftRow,
  type NftTableFamily,
  ruleComment,
} from './nftables.ts';
export type {
  Change,
  Observation,
  Operations,
  OrphanVerdict,
  ReconcilerCounters,
  RowStatus,
  TableCounts,
} from './types.ts';
export type { WireGuardState, WireGuardStates } from './wireguard/types.ts';
