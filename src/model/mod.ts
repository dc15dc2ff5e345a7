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
  Job,
  CronJob,
  StatefulSet,
  ControllerRevision,
  KubernetesNetworkPolicy,
  KubernetesEvent,
  NetworkPolicy,
  GlobalNetworkPolicy,
  StagedNetworkPolicy,
  StagedGlobalNetworkPolicy,
  StagedKubernetesNetworkPolicy,
  Tier,
  NetworkSet,
  GlobalNetworkSet,
  HostEndpoint,
  Profile,
  KubeControllersConfiguration,
  CalicoNodeStatus,
  ClusterNetworkPolicy,
} from './kinds/mod.ts';
export type { Condition } from './kinds/conditions.ts';
export { maxRules, type PolicyRule } from './kinds/policy-rule.ts';
export { builtInTiers } from './kinds/tier.ts';
export { applyDefaults } from './defaults.ts';
export { isShapeIssue, validate, validateChange } from './validate.ts';
export { formatDuration, parseDurationMs } from './values/duration.ts';
export { isCommunity } from './values/community.ts';
export { allKinds, kindByResource, kindDefinition } from './registry.ts';
export {
  allowedSourcePrefixes,
  isFinishedPod,
  isWorkloadPod,
  podHasAddress,
  podToWorkloadEndpoint,
} from './conversion/pod.ts';
export {
  kubernetesNodeToNode,
  nodeAnnotationKeys,
  nodeAnnotations,
  nodeToKubernetesNode,
} from './conversion/node.ts';
export { badLimitEvent, qosControlsOf, type QosControls } from './conversion/qos.ts';
export { calicoLabels, podAnnotations, type ConversionError } from './conversion/types.ts';
export {
  defaultInterfacePrefix,
  derivedUid,
  interfaceNameFor,
  namespaceOfProfile,
  namespaceProfileName,
  parseWorkloadEndpointName,
  serviceAccountOfProfile,
  serviceAccountProfileName,
  workloadEndpointName,
  workloadEndpointNameMatches,
  workloadEndpointNamePrefix,
  type NameError,
  type WorkloadEndpointIdentifiers,
} from './names.ts';
export { parseAsNumber } from './values/as-number.ts';
export { dscpNumber, normaliseDscp, type Dscp } from './values/dscp.ts';
export {
  formatPort,
  isPortName,
  parsePort,
  simplifyPorts,
  type ParsedPort,
  type Port,
} from './values/port.ts';
export {
  normaliseProtocol,
  protocolHasPorts,
  protocolNames,
  protocolNumber,
  type Protocol,
} from './values/protocol.ts';
export { parseQuantity } from './values/quantity.ts';
export { namespaceToProfile, serviceAccountToProfile } from './conversion/profile.ts';
export { networkPolicyToCalico, peerToEntity } from './conversion/network-policy.ts';
export { clusterNetworkPolicyToCalico } from './conversion/cluster-policy.ts';
export {
  namespaceSelectorText,
  podSelectorText,
  type KubernetesSelector,
} from './conversion/selector.ts';
export { customResourceDefinition, isStoredIn, pluralIn, type CrdGroup } from './crd.ts';
export { documentedKinds, referenceIndex, referencePage } from './reference-page.ts';
