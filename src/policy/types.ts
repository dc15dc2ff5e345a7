// What policy is once it is compiled: rules that name address sets, in policies, in tiers. Nothing here knows resources or
// the datastore. The agent turns these values into kernel tables, evaluate.ts says what they mean: both see the same rules.
import type { Address, Family, Prefix } from '../lib/ip/mod.ts';
import type { Selector } from '../selector/mod.ts';

declare const setBrand: unique symbol;
/** Identifies an address set by what is in it: equal definitions have equal identifiers, everywhere and for ever. */
export type SetId = string & { readonly [setBrand]: true };

/** What is in a set. The identifiers are Calico's, so that listings of both can be compared. */
export type SetDefinition =
  /** Addresses of endpoints and network sets that the selector selects. `s:…` */
  | { readonly kind: 'selector'; readonly id: SetId; readonly selector: Selector }
  /** Address, protocol and number of the ports of that name of the endpoints selected; without a protocol, of all. `n:…` */
  | {
      readonly kind: 'named-port';
      readonly id: SetId;
      readonly selector: Selector;
      readonly port: string;
      readonly protocol?: number;
    }
  /** Endpoints of a service, with their ports (`svc:…`) or as addresses only (`svcnoport:…`). */
  | {
      readonly kind: 'service';
      readonly id: SetId;
      readonly namespace: string;
      readonly name: string;
      readonly withPorts: boolean;
    };

/** A member of a set of ports. */
export type PortMember = { readonly address: Address; readonly protocol: number; readonly port: number };

/** Answers whether something is in a set. Undefined: the set is not known, and nobody may assume what is in it. */
export type SetLookup = {
  hasAddress(id: SetId, address: Address): boolean | undefined;
  hasPort(id: SetId, address: Address, protocol: number, port: number): boolean | undefined;
};

/** `ingress`: towards the endpoint; `egress`: from it. */
export type Direction = 'ingress' | 'egress';
export type Action = 'allow' | 'deny' | 'pass' | 'log';

/** Both ends included. */
export type PortRange = { readonly first: number; readonly last: number };
/** An absent field matches everything. */
export type IcmpMatch = { readonly type?: number; readonly code?: number };
export type PathMatch = { readonly exact: string } | { readonly prefix: string };
export type HttpMatch = { readonly methods?: readonly string[]; readonly paths?: readonly PathMatch[] };

/** One side of a rule. An absent field restricts nothing, and no list is empty. Fields are joined by AND. */
export type SideMatch = {
  /** In one of them. */
  readonly nets?: readonly Prefix[];
  /** In none of them. */
  readonly notNets?: readonly Prefix[];
  /** In all of them. */
  readonly sets?: readonly SetId[];
  /** In none of them. */
  readonly notSets?: readonly SetId[];
  /** `ports` and `portSets` are one list: one of the ranges, or in one of the sets. */
  readonly ports?: readonly PortRange[];
  readonly portSets?: readonly SetId[];
  /** In none of the ranges, and in none of the sets. */
  readonly notPorts?: readonly PortRange[];
  readonly notPortSets?: readonly SetId[];
  /** Address and port in all of them: endpoints of services. */
  readonly serviceSets?: readonly SetId[];
};

/** A rule: everything it says must hold for the packet. */
export type Rule = {
  readonly action: Action;
  readonly ipVersion?: Family;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: IcmpMatch;
  readonly notIcmp?: IcmpMatch;
  readonly source: SideMatch;
  readonly destination: SideMatch;
  readonly http?: HttpMatch;
  /** Annotations of the rule, which become comments. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** What of the rule cannot be made out. Such a rule never allows; if it denies or passes, it denies. */
  readonly unresolved?: readonly string[];
  /** Names the rule in counters and logs, where something needs a number. */
  readonly id?: RuleId;
};
export type RuleId = number | bigint;

/** Names a policy. `kind` is that of the resource; Kubernetes' own policies are `KubernetesNetworkPolicy` and
 *  `KubernetesClusterNetworkPolicy`. */
export type PolicyId = {
  readonly kind: PolicyKind;
  readonly name: string;
  readonly namespace?: string;
};
export type PolicyKind =
  | 'NetworkPolicy'
  | 'GlobalNetworkPolicy'
  | 'KubernetesNetworkPolicy'
  | 'KubernetesClusterNetworkPolicy'
  | 'StagedNetworkPolicy'
  | 'StagedGlobalNetworkPolicy'
  | 'StagedKubernetesNetworkPolicy';

/** The rules of a policy in one direction. The same object stands in the programs of all endpoints it selects. */
export type PolicyRules = { readonly id: PolicyId; readonly rules: readonly Rule[] };
/** The rules of a profile in one direction. */
export type ProfileRules = { readonly name: string; readonly rules: readonly Rule[] };

/** A tier as one endpoint sees it in one direction. */
export type TierRules = {
  readonly name: string;
  /** In order; a tier without policies decides nothing. */
  readonly policies: readonly PolicyRules[];
  /** What becomes of a packet that no rule matched. */
  readonly endAction: 'deny' | 'pass';
  readonly endId?: RuleId;
};

/** What holds for an endpoint at one place in one direction. Endpoints that the same policies select have equal programs. */
export type PolicyProgram = {
  readonly tiers: readonly TierRules[];
  readonly profiles: readonly ProfileRules[];
  /** What becomes of a packet that tiers and profiles left undecided. `none`: it goes on to what comes next. */
  readonly otherwise: 'deny' | 'allow' | 'none';
  readonly otherwiseId?: RuleId;
};

/** A packet as rules see it: the first one of a connection. What is absent is not known; a rule that asks for it cannot be
 *  resolved for this packet. */
export type Packet = {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  /** Whose rules are asked; that of the addresses when absent. */
  readonly ipVersion?: Family;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  /** The request, where a proxy reads it. */
  readonly http?: HttpRequest;
};
export type HttpRequest = { readonly method: string; readonly path: string };
