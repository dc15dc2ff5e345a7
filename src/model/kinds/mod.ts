// All kinds, and the types that follow from their schemas.
import { bgpconfiguration } from './bgpconfiguration.ts';
import { bgpfilter } from './bgpfilter.ts';
import { bgppeer } from './bgppeer.ts';
import { blockaffinity } from './blockaffinity.ts';
import { clusterinformation } from './clusterinformation.ts';
import { felixconfiguration } from './felixconfiguration.ts';
import { ipamblock } from './ipamblock.ts';
import { ipamconfiguration } from './ipamconfiguration.ts';
import { ipamhandle } from './ipamhandle.ts';
import { ippool } from './ippool.ts';
import { ipreservation } from './ipreservation.ts';
import { configMap, event, kubernetesNode, namespace, secret, serviceAccount } from './kubernetes-core.ts';
import {
  clusterNetworkPolicy,
  endpointSlice,
  kubernetesNetworkPolicy,
  service,
} from './kubernetes-network.ts';
import { pod } from './kubernetes-pod.ts';
import {
  controllerRevision,
  cronJob,
  daemonSet,
  deployment,
  job,
  replicaSet,
  statefulSet,
} from './kubernetes-workloads.ts';
import { node } from './node.ts';
import { caliconodestatus } from './caliconodestatus.ts';
import { globalnetworkpolicy } from './globalnetworkpolicy.ts';
import { hostendpoint } from './hostendpoint.ts';
import { kubecontrollersconfiguration } from './kubecontrollersconfiguration.ts';
import { networkpolicy } from './networkpolicy.ts';
import { networkset, globalnetworkset } from './networksets.ts';
import { profile } from './profile.ts';
import {
  stagednetworkpolicy,
  stagedglobalnetworkpolicy,
  stagedkubernetesnetworkpolicy,
} from './stagedpolicies.ts';
import { tier } from './tier.ts';
import { workloadendpoint } from './workloadendpoint.ts';

export const definitions = {
  IPPool: ippool,
  IPReservation: ipreservation,
  IPAMConfiguration: ipamconfiguration,
  IPAMBlock: ipamblock,
  BlockAffinity: blockaffinity,
  IPAMHandle: ipamhandle,
  Node: node,
  WorkloadEndpoint: workloadendpoint,
  BGPConfiguration: bgpconfiguration,
  BGPPeer: bgppeer,
  BGPFilter: bgpfilter,
  FelixConfiguration: felixconfiguration,
  ClusterInformation: clusterinformation,
  NetworkPolicy: networkpolicy,
  GlobalNetworkPolicy: globalnetworkpolicy,
  StagedNetworkPolicy: stagednetworkpolicy,
  StagedGlobalNetworkPolicy: stagedglobalnetworkpolicy,
  StagedKubernetesNetworkPolicy: stagedkubernetesnetworkpolicy,
  Tier: tier,
  NetworkSet: networkset,
  GlobalNetworkSet: globalnetworkset,
  HostEndpoint: hostendpoint,
  Profile: profile,
  KubeControllersConfiguration: kubecontrollersconfiguration,
  CalicoNodeStatus: caliconodestatus,
  KubernetesNode: kubernetesNode,
  Pod: pod,
  Namespace: namespace,
  ServiceAccount: serviceAccount,
  Secret: secret,
  ConfigMap: configMap,
  Service: service,
  EndpointSlice: endpointSlice,
  Deployment: deployment,
  ReplicaSet: replicaSet,
  DaemonSet: daemonSet,
  StatefulSet: statefulSet,
  ControllerRevision: controllerRevision,
  Job: job,
  CronJob: cronJob,
  Event: event,
  KubernetesNetworkPolicy: kubernetesNetworkPolicy,
  ClusterNetworkPolicy: clusterNetworkPolicy,
} as const;

/** Name of a kind in this project → the type of its objects. */
export type Kinds = { [K in keyof typeof definitions]: NonNullable<(typeof definitions)[K]['type']> };
export type KindName = keyof Kinds;
export type ResourceOf<K extends KindName> = Kinds[K];

export type IPPool = Kinds['IPPool'];
export type IPReservation = Kinds['IPReservation'];
export type IPAMConfiguration = Kinds['IPAMConfiguration'];
export type IPAMBlock = Kinds['IPAMBlock'];
export type BlockAffinity = Kinds['BlockAffinity'];
export type IPAMHandle = Kinds['IPAMHandle'];
export type Node = Kinds['Node'];
export type WorkloadEndpoint = Kinds['WorkloadEndpoint'];
export type BGPConfiguration = Kinds['BGPConfiguration'];
export type BGPPeer = Kinds['BGPPeer'];
export type BGPFilter = Kinds['BGPFilter'];
export type FelixConfiguration = Kinds['FelixConfiguration'];
export type ClusterInformation = Kinds['ClusterInformation'];
export type KubernetesNode = Kinds['KubernetesNode'];
export type Pod = Kinds['Pod'];
export type Namespace = Kinds['Namespace'];
export type ServiceAccount = Kinds['ServiceAccount'];
export type Secret = Kinds['Secret'];
export type ConfigMap = Kinds['ConfigMap'];
export type Service = Kinds['Service'];
export type EndpointSlice = Kinds['EndpointSlice'];
export type Deployment = Kinds['Deployment'];
export type ReplicaSet = Kinds['ReplicaSet'];
export type DaemonSet = Kinds['DaemonSet'];
export type StatefulSet = Kinds['StatefulSet'];
export type ControllerRevision = Kinds['ControllerRevision'];
export type Job = Kinds['Job'];
export type CronJob = Kinds['CronJob'];
export type KubernetesNetworkPolicy = Kinds['KubernetesNetworkPolicy'];
export type KubernetesEvent = Kinds['Event'];
export type NetworkPolicy = Kinds['NetworkPolicy'];
export type GlobalNetworkPolicy = Kinds['GlobalNetworkPolicy'];
export type StagedNetworkPolicy = Kinds['StagedNetworkPolicy'];
export type StagedGlobalNetworkPolicy = Kinds['StagedGlobalNetworkPolicy'];
export type StagedKubernetesNetworkPolicy = Kinds['StagedKubernetesNetworkPolicy'];
export type Tier = Kinds['Tier'];
export type NetworkSet = Kinds['NetworkSet'];
export type GlobalNetworkSet = Kinds['GlobalNetworkSet'];
export type HostEndpoint = Kinds['HostEndpoint'];
export type Profile = Kinds['Profile'];
export type KubeControllersConfiguration = Kinds['KubeControllersConfiguration'];
export type CalicoNodeStatus = Kinds['CalicoNodeStatus'];
export type ClusterNetworkPolicy = Kinds['ClusterNetworkPolicy'];
