// What a node must enforce, and how changes of it are told: in an order that never leaves something pointing into the void.
import type { Prefix } from '../../../lib/ip/mod.ts';
import type { QosControls } from '../../../model/mod.ts';
import type { CompiledPolicy, CompiledProfile, PolicyId, SetDefinition, SetId } from '../../../policy/mod.ts';
import type { NetworkRoute, Vtep, WireGuardEnd } from '../network/types.ts';

/** Kinds that the policy part of the calculation reads beside those of `calcKinds`. */
export const policyKinds = [
  'Namespace',
  'ServiceAccount',
  'Profile',
  'HostEndpoint',
  'NetworkSet',
  'GlobalNetworkSet',
  'EndpointSlice',
  'Tier',
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'KubernetesNetworkPolicy',
  'ClusterNetworkPolicy',
  'IPAMBlock',
] as const;
export type PolicyKindName = (typeof policyKinds)[number];

/** A tier as it concerns one endpoint: its policies for the endpoint, in the order of evaluation. */
export type TierOrder = {
  readonly tier: string;
  /** False: the tier does not exist, and the endpoint is closed to what its policies would decide (fail closed). */
  readonly exists: boolean;
  readonly defaultAction: 'deny' | 'pass';
  readonly ingress: readonly PolicyId[];
  readonly egress: readonly PolicyId[];
};

/** The policy of a local endpoint. Policies and profiles are named here; what they say is told on its own. */
export type EndpointPolicy = {
  /** `workload <namespace>/<name>` or `host <name>`. */
  readonly key: string;
  readonly type: 'workload' | 'host';
  readonly name: string;
  readonly namespace?: string;
  /** A workload's interface; a host's interface, or `*`. Absent: a host's interface is found by its addresses. */
  readonly interfaceName?: string;
  readonly addresses: readonly Prefix[];
  /** In order; one that does not exist is told as a profile that denies. */
  readonly profiles: readonly string[];
  /** Foreign source addresses that a workload asks to send from (FX-138). */
  readonly foreignSources?: readonly Prefix[];
  /** Limits of a workload (RS-190). */
  readonly limits?: QosControls;
  readonly normal: readonly TierOrder[];
  /** Of host endpoints only. */
  readonly forward: readonly TierOrder[];
  readonly untracked: readonly TierOrder[];
  readonly preDnat: readonly TierOrder[];
};

/** One change. A flush tells them in this order: sets, policies, profiles, endpoints; then what goes, in reverse order; then
 *  routes that go, VTEPs and ends of WireGuard that go, those that come or change, routes (FX-004). */
export type PolicyChange =
  /** A set from nothing: its members as `memberText` writes them. */
  | { readonly type: 'set'; readonly set: SetDefinition; readonly members: readonly string[] }
  | {
      readonly type: 'set-members';
      readonly id: SetId;
      readonly added: readonly string[];
      readonly removed: readonly string[];
    }
  | { readonly type: 'policy'; readonly policy: CompiledPolicy }
  | { readonly type: 'profile'; readonly profile: CompiledProfile }
  | { readonly type: 'endpoint'; readonly endpoint: EndpointPolicy }
  | { readonly type: 'endpoint-removed'; readonly key: string }
  | { readonly type: 'profile-removed'; readonly name: string }
  | { readonly type: 'policy-removed'; readonly id: PolicyId }
  | { readonly type: 'set-removed'; readonly id: SetId }
  | { readonly type: 'route-removed'; readonly dst: Prefix }
  | { readonly type: 'vtep-removed'; readonly node: string }
  | { readonly type: 'wireguard-removed'; readonly node: string }
  | { readonly type: 'vtep'; readonly vtep: Vtep }
  | { readonly type: 'wireguard'; readonly end: WireGuardEnd }
  | { readonly type: 'route'; readonly route: NetworkRoute };

/** Everything at once: what all changes told so far add up to, and what a slow model computes anew. */
export type PolicyState = {
  readonly sets: ReadonlyMap<SetId, { readonly set: SetDefinition; readonly members: ReadonlySet<string> }>;
  /** By `policyKey`. */
  readonly policies: ReadonlyMap<string, CompiledPolicy>;
  readonly profiles: ReadonlyMap<string, CompiledProfile>;
  readonly endpoints: ReadonlyMap<string, EndpointPolicy>;
  readonly routes: ReadonlyMap<Prefix, NetworkRoute>;
  readonly vteps: ReadonlyMap<string, Vtep>;
  readonly wireguard: ReadonlyMap<string, WireGuardEnd>;
};

export const policyKey = ({ kind, namespace, name }: PolicyId): string =>
  `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;

/** For metrics. */
export type PolicyStats = {
  readonly endpoints: number;
  readonly localEndpoints: number;
  readonly policies: number;
  readonly activePolicies: number;
  readonly activeSets: number;
  readonly members: number;
  readonly routes: number;
  readonly workloads: number;
  readonly hostEndpoints: number;
  readonly profiles: number;
  /** Beside those that every cluster has. */
  readonly tiers: number;
};
