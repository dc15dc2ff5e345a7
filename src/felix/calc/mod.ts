// Public face of Felix's calculation: from resources to the desired state of a node. See docs/felix.md.
export {
  configFromEnvironment,
  configFromFile,
  configFromResource,
  type ConfigProblem,
  type ConfigSource,
  FelixConfig,
  kubernetesProvider,
  openstackActive,
  parseFelixParameter,
  programmedRoutes,
  resolveConfig,
  validateSettings,
} from './configuration.ts';
export { findParameter, type Parameter, parameters } from './parameters.ts';
export { type IgnoredParameter, ignoredParameters, unbuiltReason } from './unbuilt.ts';
export { formatGoDuration, parseGoDuration } from './parameter-types.ts';
export { resolveEncapsulation, resolveMtus } from './encapsulation.ts';
export { type Contribution, Contributions } from './contributions.ts';
export { endpointKey, type EndpointKey } from './endpoints.ts';
export { CalculationGraph } from './graph.ts';
export { nodeAddresses } from './rows.ts';
export {
  type AnsweredRow,
  type PeeringRow,
  type CalcDelta,
  type CalcKind,
  calcKinds,
  type CalcOptions,
  type CalcStats,
  type CalcUpdate,
  type DesiredState,
  type Encapsulation,
  type HostInterface,
  type InterfaceRow,
  memberSets,
  type Mtus,
  type FloatingRow,
  type NatRow,
  type ServiceLoopRow,
  type NodeRow,
  type RouteRow,
  type RowDelta,
  rowKeys,
  type RowTables,
  type SetMemberRow,
  type TableName,
} from './types.ts';
export {
  type NetworkRoute,
  type NodeFacts,
  type PoolType,
  type RouteSource,
  type RouteType,
  routeTypes,
  type TunnelType,
  tunnelTypes,
  type Vtep,
  type VtepSide,
  type WireGuardEnd,
  type WireGuardSide,
} from './network/types.ts';
export {
  clusterRouteGaps,
  type ClusterRouteGap,
  routeClasses,
  type RouteClass,
} from './network/cluster-routes.ts';
export { nodeFacts } from './network/node-facts.ts';
export { PolicyGraph, type PolicyInputKind, type PolicyOptions, type PolicyUpdate } from './policy/graph.ts';
export {
  type EndpointPolicy,
  type PolicyChange,
  policyKey,
  policyKinds,
  type PolicyKindName,
  type PolicyState,
  type PolicyStats,
  type TierOrder,
} from './policy/types.ts';
