// The BGP plan: everything a BGP speaker on one node has to do, computed from Calico resources. Plain JSON in canonical
// order, so that it can be printed, hashed, compared and handed to any engine. Secrets are referred to, never contained.
import type { Address, Family, InterfaceAddress, Prefix } from '../../lib/ip/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';

export type BgpPlan = {
  readonly local: PlanLocal;
  /** Sorted by name. */
  readonly peers: readonly PlanPeer[];
  /** Prefixes this node originates. */
  readonly origins: readonly PlanOrigin[];
  /** Own blocks, for aggregation: exact prefix out, more specifics suppressed. */
  readonly ownBlocks: readonly Prefix[];
  /** Host routes to peers reached through a gateway (BGPPeer.reachableBy). */
  readonly staticRoutes: readonly { readonly prefix: Prefix; readonly gateway: Address }[];
  readonly pools: readonly PlanPool[];
  /** Programs by key; peers and the kernel refer to them. Equal programs share one key. */
  readonly policies: Readonly<Record<string, PolicyProgram>>;
  /** What of the BGP table goes into the kernel, per family: keys of `policies`. */
  readonly kernelPolicy: { readonly 4: string; readonly 6: string };
  /** Device networks of these interfaces are no candidates (globs). */
  readonly excludedInterfaces: readonly string[];
  /** Kernel metric of an ordinary route; lower means elevated (live migration). */
  readonly normalPriority: { readonly 4: number; readonly 6: number };
  readonly logSeverity: string;
};

export type PlanLocal = {
  readonly nodeName: string;
  readonly as: number;
  /** undefined when the node has neither an IPv4 address nor CALICO_ROUTER_ID: no session can run. */
  readonly routerId?: Address;
  readonly listen: { readonly port: number; readonly addresses: readonly Address[] };
  readonly addresses: { readonly 4?: InterfaceAddress; readonly 6?: InterfaceAddress };
  /** Route reflector cluster id of this node. */
  readonly clusterId?: Address;
};

export type PlanPeerType = 'nodeMesh' | 'globalPeer' | 'nodePeer' | 'localWorkload';

export type PlanPeer = {
  /** Mesh_10_0_0_21, Global_…, Node_…, Local_Workload_…, with _port_N when the port is not 179. Unique. */
  readonly name: string;
  readonly type: PlanPeerType;
  readonly address: Address;
  readonly port: number;
  readonly as: number;
  readonly localAs: number;
  readonly peerType: 'ibgp' | 'ebgp';
  /** Family of the session and of the routes it carries. */
  readonly family: Family;
  readonly sourceAddress?: Address;
  /** We wait for the other side to dial. */
  readonly passive: boolean;
  /** Present when the peer is a reflector client of this node. */
  readonly rrClient?: { readonly clusterId: Address };
  readonly nextHopMode: 'auto' | 'self' | 'keep';
  /** Hops allowed (GTSM); undefined = off. */
  readonly ttlSecurityHops?: number;
  readonly keepaliveTimeSeconds?: number;
  readonly gracefulRestartTimeSeconds: number;
  /** True when the resources set it. */
  readonly gracefulRestartTimeSet: boolean;
  readonly allowLocalAs: number;
  readonly password?: PasswordReference;
  /** Names of the BGPFilters that apply, in order. */
  readonly importFilters: readonly string[];
  readonly exportFilters: readonly string[];
  /** Keys of BgpPlan.policies. */
  readonly importPolicy: string;
  readonly exportPolicy: string;
  readonly addPath: boolean;
};

/** `revision` changes when the secret changes, so that a new password is a difference of plans. */
export type PasswordReference = {
  readonly secretName: string;
  readonly secretKey: string;
  readonly revision?: string;
};

export type PlanOrigin = {
  readonly prefix: Prefix;
  readonly kind: 'block' | 'service';
  /** Blocks of one address are originated, but get no blackhole route. */
  readonly blackhole: boolean;
};

export type PlanPool = {
  readonly prefix: Prefix;
  readonly encapsulation: 'none' | 'ipip' | 'vxlan';
  readonly crossSubnet: boolean;
  readonly exported: boolean;
  readonly disabled: boolean;
};

export type PlanDiff = {
  /** Nothing differs. */
  readonly same: boolean;
  /** New sessions, ended sessions, sessions that must be opened anew (with the fields that say why). */
  readonly add: readonly string[];
  readonly remove: readonly string[];
  readonly bounce: readonly { readonly peer: string; readonly fields: readonly string[] }[];
  /** Sessions that stay up while their routes are filtered again. */
  readonly refilter: readonly { readonly peer: string; readonly fields: readonly string[] }[];
  /** Sessions whose timers or names change without any effect on routes. */
  readonly adjust: readonly { readonly peer: string; readonly fields: readonly string[] }[];
  readonly originate: readonly Prefix[];
  readonly withdraw: readonly Prefix[];
  /** Kernel programming must be looked at again. */
  readonly kernel: boolean;
  /** Listen address or port, router id, AS: everything starts again. */
  readonly local: readonly (keyof PlanLocal)[];
};

// ── input: the fields that are used, so that any typed or untyped resource fits ───────────────────────────────────────
type Metadata = {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly namespace?: string | undefined;
};
type CidrList = readonly { readonly cidr?: string | undefined }[] | undefined;

export type NodeInput = {
  readonly metadata: Metadata;
  readonly spec?:
    | {
        readonly bgp?:
          | {
              readonly asNumber?: number | string | undefined;
              readonly ipv4Address?: string | undefined;
              readonly ipv6Address?: string | undefined;
              readonly routeReflectorClusterID?: string | undefined;
            }
          | undefined;
      }
    | undefined;
  readonly status?:
    | { readonly wireguardPublicKey?: string | undefined; readonly wireguardPublicKeyV6?: string | undefined }
    | undefined;
};

export type SecretReferenceInput =
  | { readonly secretKeyRef?: { readonly name: string; readonly key: string } | undefined }
  | undefined;

export type BgpConfigurationInput = {
  readonly metadata: Metadata;
  readonly spec?:
    | {
        readonly asNumber?: number | string | undefined;
        readonly nodeToNodeMeshEnabled?: boolean | undefined;
        readonly listenPort?: number | undefined;
        readonly bindMode?: string | undefined;
        readonly logSeverityScreen?: string | undefined;
        readonly ignoredInterfaces?: readonly string[] | undefined;
        readonly serviceClusterIPs?: CidrList;
        readonly serviceExternalIPs?: CidrList;
        readonly serviceLoadBalancerIPs?: CidrList;
        readonly serviceLoadBalancerAggregation?: string | undefined;
        readonly communities?:
          | readonly { readonly name?: string | undefined; readonly value?: string | undefined }[]
          | undefined;
        readonly prefixAdvertisements?:
          | readonly {
              readonly cidr?: string | undefined;
              readonly communities?: readonly string[] | undefined;
            }[]
          | undefined;
        readonly nodeMeshPassword?: SecretReferenceInput;
        readonly nodeMeshMaxRestartTime?: string | undefined;
        readonly programClusterRoutes?: string | undefined;
        readonly ipv4NormalRoutePriority?: number | undefined;
        readonly ipv6NormalRoutePriority?: number | undefined;
        readonly localWorkloadPeeringIPV4?: string | undefined;
        readonly localWorkloadPeeringIPV6?: string | undefined;
      }
    | undefined;
};

export type BgpPeerInput = {
  readonly metadata: Metadata;
  readonly spec?:
    | {
        readonly node?: string | undefined;
        readonly nodeSelector?: string | undefined;
        readonly peerIP?: string | undefined;
        readonly asNumber?: number | string | undefined;
        readonly peerSelector?: string | undefined;
        readonly localWorkloadSelector?: string | undefined;
        readonly localASNumber?: number | string | undefined;
        readonly numAllowedLocalASNumbers?: number | undefined;
        readonly keepOriginalNextHop?: boolean | undefined;
        readonly nextHopMode?: string | undefined;
        readonly password?: SecretReferenceInput;
        readonly sourceAddress?: string | undefined;
        readonly maxRestartTime?: string | undefined;
        readonly keepaliveTime?: string | undefined;
        readonly ttlSecurity?: number | undefined;
        readonly reachableBy?: string | undefined;
        readonly filters?: readonly string[] | undefined;
        readonly reversePeering?: string | undefined;
      }
    | undefined;
};

export type BgpFilterRuleInput = {
  readonly action: string;
  readonly cidr?: string | undefined;
  readonly matchOperator?: string | undefined;
  readonly prefixLength?:
    | { readonly min?: number | undefined; readonly max?: number | undefined }
    | undefined;
  readonly source?: string | undefined;
  readonly interface?: string | undefined;
  readonly peerType?: string | undefined;
  readonly communities?: { readonly values?: readonly string[] | undefined } | undefined;
  readonly asPathPrefix?: readonly (number | string)[] | undefined;
  readonly priority?: number | undefined;
  readonly operations?:
    | readonly {
        readonly addCommunity?: { readonly value: string } | undefined;
        readonly prependASPath?: { readonly prefix: readonly (number | string)[] } | undefined;
        readonly setPriority?: { readonly value: number } | undefined;
      }[]
    | undefined;
};
export type BgpFilterInput = {
  readonly metadata: Metadata;
  readonly spec?:
    | {
        readonly exportV4?: readonly BgpFilterRuleInput[] | undefined;
        readonly importV4?: readonly BgpFilterRuleInput[] | undefined;
        readonly exportV6?: readonly BgpFilterRuleInput[] | undefined;
        readonly importV6?: readonly BgpFilterRuleInput[] | undefined;
      }
    | undefined;
};

export type IpPoolInput = {
  readonly metadata: Metadata;
  readonly spec?:
    | {
        readonly cidr: string;
        readonly ipipMode?: string | undefined;
        readonly vxlanMode?: string | undefined;
        readonly disabled?: boolean | undefined;
        readonly disableBGPExport?: boolean | undefined;
      }
    | undefined;
};

/** A block of this or another node. `state`: '' or confirmed count, pending and pendingDeletion do not. */
export type BlockAffinityInput = {
  readonly node: string;
  readonly cidr: string;
  readonly state?: string | undefined;
};

export type ServiceInput = {
  readonly metadata: Metadata;
  readonly spec?:
    | {
        readonly type?: string | undefined;
        readonly clusterIP?: string | undefined;
        readonly clusterIPs?: readonly string[] | undefined;
        readonly externalIPs?: readonly string[] | undefined;
        readonly loadBalancerIP?: string | undefined;
        readonly externalTrafficPolicy?: string | undefined;
      }
    | undefined;
  readonly status?:
    | {
        readonly loadBalancer?:
          | { readonly ingress?: readonly { readonly ip?: string | undefined }[] | undefined }
          | undefined;
      }
    | undefined;
};
export type EndpointSliceInput = {
  readonly metadata: Metadata;
  readonly addressType?: string | undefined;
  readonly endpoints?:
    | readonly {
        readonly addresses?: readonly string[] | null | undefined;
        readonly nodeName?: string | null | undefined;
        readonly conditions?: { readonly ready?: boolean | null | undefined } | undefined;
      }[]
    | null
    | undefined;
};
/** A pod of this node that may be a BGP peer (BGPPeer.localWorkloadSelector). */
export type LocalEndpointInput = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
};
/** Enough of a Secret to refer to it: which keys it has and its revision. */
export type SecretInput = {
  readonly name: string;
  readonly keys: readonly string[];
  readonly revision?: string | undefined;
};

export type PlanInput = {
  readonly nodeName: string;
  readonly nodes: readonly NodeInput[];
  readonly bgpConfigurations?: readonly BgpConfigurationInput[];
  readonly bgpPeers?: readonly BgpPeerInput[];
  readonly bgpFilters?: readonly BgpFilterInput[];
  readonly ipPools?: readonly IpPoolInput[];
  readonly blockAffinities?: readonly BlockAffinityInput[];
  readonly services?: readonly ServiceInput[];
  readonly endpointSlices?: readonly EndpointSliceInput[];
  readonly localEndpoints?: readonly LocalEndpointInput[];
  readonly secrets?: readonly SecretInput[];
  /** CALICO_ROUTER_ID: an address, or `hash`. */
  readonly routerIdSetting?: string | undefined;
  /** CALICO_ADVERTISE_CLUSTER_IPS; wins over serviceClusterIPs. */
  readonly advertiseClusterIPs?: readonly string[] | undefined;
};
