// What goes into the calculation of a node's desired state, and what comes out of it.
import type { Address, Family, Prefix } from '../../lib/ip/mod.ts';
import type { ResourceOf } from '../../model/mod.ts';
import type { FelixConfig } from './configuration.ts';
import type { PolicyChange } from './policy/types.ts';

/** Kinds the calculation reads. `startSyncer` of the datastore delivers them; see `CalcUpdate`. */
export const calcKinds = [
  'IPPool',
  'BlockAffinity',
  'Node',
  'WorkloadEndpoint',
  'FelixConfiguration',
  'ClusterInformation',
  'BGPConfiguration',
  'BGPPeer',
  'Service',
] as const;
export type CalcKind = (typeof calcKinds)[number];

/** One change of the datastore; a SyncUpdate of these kinds is one. */
export type CalcUpdate =
  | {
      readonly [K in CalcKind]: { readonly type: 'set'; readonly kind: K; readonly object: ResourceOf<K> };
    }[CalcKind]
  | {
      readonly type: 'delete';
      readonly kind: CalcKind;
      readonly name: { readonly name: string; readonly namespace?: string };
    }
  | { readonly type: 'status'; readonly status: 'waiting' | 'syncing' | 'in-sync' };

/** An interface of the host, as far as the MTU depends on it. */
export type HostInterface = { readonly name: string; readonly mtu: number; readonly up: boolean };

// ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
/** A route of this node, main table. */
export type RouteRow = {
  readonly dst: Prefix;
  readonly target:
    | { readonly type: 'endpoint'; readonly interfaceName: string; readonly source?: Address }
    | { readonly type: 'blackhole' };
  /** Metric; blackholes have none in IPv4. */
  readonly priority: number;
  readonly protocol: number;
};

/** A host-side interface of a local endpoint: gets the settings that let packets of the workload pass. */
export type InterfaceRow = {
  readonly interfaceName: string;
  readonly ipv6: boolean;
  /** The workload may send from addresses that lie elsewhere (FX-138). */
  readonly foreignSources?: true;
};

/** An address of the node at a workload's interface, which the workload peers by BGP with (BG-021). */
export type PeeringRow = { readonly interfaceName: string; readonly address: Address };

export const memberSets = ['masq-pools', 'all-pools', 'all-hosts'] as const;
/** A prefix in a set that nat-outgoing looks at. Members of one set never overlap. */
export type SetMemberRow = {
  readonly set: (typeof memberSets)[number];
  readonly family: Family;
  readonly prefix: Prefix;
};

/** nat-outgoing of one family; all fields but `family` say how, `enabled` whether any pool asks for it. */
export type NatRow = {
  readonly family: Family;
  readonly enabled: boolean;
  readonly toAddress?: Address;
  readonly ports?: { readonly first: number; readonly last: number };
  readonly excludeHosts: boolean;
  readonly outInterface?: string;
};

/** A floating address of a local endpoint: what is sent to it is for the endpoint's own (FX-067). */
export type FloatingRow = {
  readonly family: Family;
  readonly external: Address;
  readonly internal: Address;
};

/** Ranges of service addresses that are announced: what nobody took care of before is not sent back to where it came from
 *  (FX-068). */
export type ServiceLoopRow = {
  readonly family: Family;
  readonly action: 'drop' | 'reject';
  readonly ranges: readonly Prefix[];
};

/** An address that lies in the nodes' own subnet, and that this node answers ARP or NDP for (FX-086). `ofService`: a load
 *  balancer's, which is on no interface and leads to none. */
export type AnsweredRow = { readonly address: Address; readonly ofService: boolean };

/** What holds for the node as a whole. */
export type NodeRow = {
  readonly ipForwarding: boolean;
  readonly ipv6: boolean;
  readonly interfacePrefixes: readonly string[];
  readonly removeExternalRoutes: boolean;
  readonly deviceRouteProtocol: number;
  readonly blackholeProtocol: number;
};

export type Encapsulation = {
  readonly ipip: boolean;
  readonly vxlan: boolean;
  readonly vxlanV6: boolean;
  readonly noEncapNeeded: boolean;
  /** Names of WireGuard's devices, of the families that are encrypted. */
  readonly wireguard?: { readonly [F in Family]?: string };
};

/** `pod` goes to /var/lib/calico/mtu; `wire` is what a pod's largest packet becomes on the wire; the rest is the tunnel devices'. */
export type Mtus = {
  readonly host: number;
  readonly pod: number;
  readonly wire: number;
  readonly ipip: number;
  readonly vxlan: number;
  readonly vxlanV6: number;
  readonly wireguard: number;
  readonly wireguardV6: number;
};

// ── output ────────────────────────────────────────────────────────────────────────────────────────────────────────────
export type RowTables = {
  readonly routes: RouteRow;
  readonly interfaces: InterfaceRow;
  readonly members: SetMemberRow;
  readonly nat: NatRow;
  readonly floating: FloatingRow;
  readonly serviceLoops: ServiceLoopRow;
  readonly answered: AnsweredRow;
  readonly peerings: PeeringRow;
};
export type TableName = keyof RowTables;

export const rowKeys: { readonly [T in TableName]: (row: RowTables[T]) => string } = {
  routes: (row) => row.dst,
  interfaces: (row) => row.interfaceName,
  members: (row) => `${row.set} ${row.prefix}`,
  nat: (row) => String(row.family),
  floating: (row) => row.external,
  serviceLoops: (row) => String(row.family),
  answered: (row) => row.address,
  peerings: (row) => `${row.interfaceName} ${row.address}`,
};

export type RowDelta<Row> = { readonly set: readonly Row[]; readonly deleted: readonly string[] };
/** What changed since the last flush. `node`, `config`, `mtus` and `encapsulation` only when they did. */
export type CalcDelta = {
  readonly tables: { readonly [T in TableName]: RowDelta<RowTables[T]> };
  readonly node?: NodeRow;
  readonly config?: FelixConfig;
  readonly mtus?: Mtus;
  readonly encapsulation?: Encapsulation;
  /** What policy demands, in the order in which it is safe to apply; empty unless `CalcOptions.policy`. */
  readonly policy: readonly PolicyChange[];
};

/** Everything at once: what a slow model computes and an incremental graph must equal. */
export type DesiredState = {
  readonly tables: { readonly [T in TableName]: ReadonlyMap<string, RowTables[T]> };
  readonly node: NodeRow;
  readonly mtus: Mtus;
};

export type CalcOptions = {
  readonly nodeName: string;
  /** FELIX_* variables and felix.cfg as parameter texts. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly file?: Readonly<Record<string, string>>;
  /** rtm_protocol of blackholes: 12 when BGP is done by us in BIRD's place, else 80. */
  readonly blackholeProtocol?: number;
  /** Works out policy, too. Needs the updates of `policyKinds` and of all nodes' endpoints. */
  readonly policy?: boolean;
};

/** Counted for metrics. */
export type CalcStats = {
  readonly localEndpoints: number;
  readonly pools: number;
  readonly nodes: number;
  readonly updates: number;
  readonly datastoreReady: boolean;
};
