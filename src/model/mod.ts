// Public face of the resource model: kinds with their schemas, names, rules and conversions. See docs/model.md.
export type { Issue, ObjectMeta, OwnerReference, Resource } from './types.ts';
export type { Column, KindDefinition } from './kind-definition.ts';
export type { SchemaNode } from './schema.ts';
export type {
  KindName,
  Kinds,
  ResourceOf,
  IPPool,
  IPReservation,
  IPAMConfiguration,
  IPAMBlock,
  BlockAffinity,
  IPAMHandle,
  Node,
  WorkloadEndpoint,
  BGPConfiguration,
  BGPPeer,
  BGPFilter,
  FelixConfiguration,
  ClusterInformation,
  KubernetesNode,
  Pod,
  Namespace,
  ServiceAccount,
  Secret,
  ConfigMap,
  Service,
  EndpointSlice,
  Deployment,
  ReplicaSet,
  DaemonSet,
  KubernetesNetworkPolicy,
  KubernetesEvent,
} from './kinds/mod.ts';
export { allKinds, kindByResource, kindDefinition } from './registry.ts';
