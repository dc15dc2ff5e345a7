// The kernel as Margay sees it: one face, spoken by the real implementation (rtnetlink, nfnetlink, /proc/sys, setns) and
// by the fake (an in-memory kernel with the same rules). A Kernel is bound to one network namespace. Everything is data in
// and data out; batches report one outcome per item, so that a failed row does not hide the others.
import type { Address, Family, InterfaceAddress, Prefix } from '../lib/ip/mod.ts';
import type { Failure, Result } from '../lib/result.ts';
import type { WireGuards } from './wireguard/types.ts';

/** `errno` is the kernel's number (positive), `NoSuchObject`… name the ones callers act on. */
export type KernelErrorCode =
  | 'AlreadyExists'
  | 'NoSuchObject'
  | 'NotPermitted'
  | 'NetworkUnreachable'
  | 'NetworkDown'
  | 'Busy'
  | 'InvalidArgument'
  | 'NotSupported'
  | 'NoBufferSpace'
  | 'RootNamespaceRefused'
  | 'KernelError';
export type KernelError = Failure<KernelErrorCode> & { readonly errno?: number };
export type Outcome = Result<void, KernelError>;

export type Mac = string; // lower case, `ee:ee:ee:ee:ee:ee`

// ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────
export type LinkKind =
  | 'veth'
  | 'vxlan'
  | 'bridge'
  | 'tun'
  | 'ipip'
  | 'dummy'
  | 'ifb'
  | 'wireguard'
  | 'loopback'
  | 'physical'
  | 'other';

export type VxlanParameters = {
  readonly vni: number;
  readonly port: number;
  readonly local?: Address;
  readonly parentIndex?: number;
  readonly learning: boolean;
};

export type Link = {
  readonly index: number;
  readonly name: string;
  readonly kind: LinkKind;
  readonly mac?: Mac;
  readonly mtu: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Carrier and admin state both up (IFF_RUNNING). */
  readonly running: boolean;
  readonly masterIndex?: number;
  /** veth: ifindex of the other end, in its own namespace. */
  readonly peerIndex?: number;
  readonly group: number;
  readonly alias?: string;
  readonly vxlan?: VxlanParameters;
};

/** Where the other end of a new veth goes: a namespace file (`/var/run/netns/x`, `/proc/PID/ns/net`) or this namespace. */
export type VethPeer = {
  readonly name: string;
  readonly mac?: Mac;
  readonly netns?: string;
};

export type LinkSpec = {
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly up?: boolean;
  readonly group?: number;
} & (
  | { readonly kind: 'veth'; readonly peer: VethPeer }
  | { readonly kind: 'vxlan'; readonly vxlan: VxlanParameters }
  | { readonly kind: 'bridge' }
  | { readonly kind: 'tun' }
  | { readonly kind: 'dummy' }
  /** An "intermediate functional block": to be had where `dummy` is not, and like it a device that leads nowhere. */
  | { readonly kind: 'ifb' }
  | { readonly kind: 'ipip'; readonly local?: Address }
  /** The kernel's own; see `Kernel.wireguard` for what it is set to, and where the kernel has none. */
  | { readonly kind: 'wireguard' }
);

export type LinkChange = {
  readonly name?: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly up?: boolean;
  readonly group?: number;
  readonly alias?: string;
  /** Bridge index; null takes the link out of its bridge. */
  readonly masterIndex?: number | null;
  /** Namespace file to move the link to. */
  readonly netns?: string;
};

export interface Links {
  list(): Promise<Result<Link[], KernelError>>;
  get(name: string): Promise<Result<Link | undefined, KernelError>>;
  /** AlreadyExists when the name is taken. A veth's two ends come into being in one kernel operation. */
  create(spec: LinkSpec): Promise<Result<Link, KernelError>>;
  change(index: number, change: LinkChange): Promise<Outcome>;
  /** Waits for the kernel's RCU grace period off the main thread; deletes of one call are grouped. Missing = ok. */
  delete(indexes: readonly number[]): Promise<Outcome[]>;
}

// ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────
export type LinkAddress = InterfaceAddress & {
  readonly linkIndex: number;
  readonly scope?: 'global' | 'link' | 'host';
  /** IPv6: skip duplicate address detection (IFA_F_NODAD). */
  readonly noDad?: boolean;
};

export interface Addresses {
  list(): Promise<Result<LinkAddress[], KernelError>>;
  /** Adding what is there and deleting what is not are both ok. */
  apply(
    changes: readonly { readonly op: 'add' | 'delete'; readonly address: LinkAddress }[],
  ): Promise<Outcome[]>;
}

// ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
/** rtm_protocol: 2 kernel, 3 boot, 4 static, 12 bird, 80 Calico's Felix. */
export type RouteProtocol = number;
export const routeProtocols = { kernel: 2, boot: 3, static: 4, bird: 12, felix: 80 } as const;
export const mainTable = 254;

export type NextHop = {
  readonly gateway?: Address;
  readonly linkIndex?: number;
  readonly onlink?: boolean;
  /** 1 when absent. */
  readonly weight?: number;
};

export type Route = {
  readonly dst: Prefix;
  readonly type:
    | 'unicast'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    /** Looks on in the table of the next rule. */
    | 'throw'
    | 'local'
    | 'broadcast'
    | 'anycast'
    | 'multicast';
  readonly table: number;
  readonly protocol: RouteProtocol;
  readonly scope: 'global' | 'link' | 'host' | 'nowhere';
  /** Metric; 0 when the route has none (IPv6: the kernel's 1024 is shown as 1024). */
  readonly priority: number;
  readonly source?: Address;
  /** Empty for blackhole and friends; several for ECMP. */
  readonly nextHops: readonly NextHop[];
};

/** A route's place in the kernel's table: what `replace` replaces and `delete` deletes. */
export type RouteKey = Pick<Route, 'dst' | 'table' | 'priority'>;
export type RouteFilter = {
  readonly family?: Family;
  readonly table?: number;
  readonly protocol?: RouteProtocol;
  readonly linkIndex?: number;
};

export type RouteChange =
  | { readonly op: 'add' | 'replace'; readonly route: Route }
  /** With `protocol` only a route of that owner is removed. Missing = ok. */
  | {
      readonly op: 'delete';
      readonly key: RouteKey;
      readonly protocol?: RouteProtocol;
      readonly type?: Route['type'];
      readonly linkIndex?: number;
    };

export interface Routes {
  list(filter?: RouteFilter): Promise<Result<Route[], KernelError>>;
  /** In order, batched; one outcome per change. `aside`: on a thread of libuv's pool, for tables so large that the kernel
   *  may rearrange them for a tenth of a second. Other calls and events then come in between, and events do not say that
   *  the changes were own. */
  apply(changes: readonly RouteChange[], options?: { readonly aside?: boolean }): Promise<Outcome[]>;
  /** The kernel's decision for a destination (RTM_GETROUTE), optionally as forwarded from `inLinkIndex`. */
  lookup(
    dst: Address,
    options?: { readonly source?: Address; readonly inLinkIndex?: number },
  ): Promise<Result<Route, KernelError>>;
}

// ── neighbours, forwarding database, rules ───────────────────────────────────────────────────────────────────────────
export type Neighbour = {
  readonly address: Address;
  readonly linkIndex: number;
  readonly mac?: Mac;
  readonly state:
    | 'permanent'
    | 'noarp'
    | 'reachable'
    | 'stale'
    | 'delay'
    | 'probe'
    | 'incomplete'
    | 'failed'
    | 'none';
  /** A proxy entry (NTF_PROXY): this host answers ARP or NDP for the address on the link. It has no MAC. */
  readonly proxy?: boolean;
  /** Who made a proxy entry, in the numbers of `routeProtocols`. */
  readonly protocol?: RouteProtocol;
};
export interface Neighbours {
  list(filter?: {
    readonly family?: Family;
    readonly linkIndex?: number;
    readonly proxy?: boolean;
  }): Promise<Result<Neighbour[], KernelError>>;
  apply(
    changes: readonly { readonly op: 'replace' | 'delete'; readonly neighbour: Neighbour }[],
  ): Promise<Outcome[]>;
}

export type FdbEntry = {
  readonly mac: Mac;
  readonly linkIndex: number;
  readonly remote?: Address;
  readonly permanent: boolean;
};
export interface ForwardingDatabase {
  list(linkIndex?: number): Promise<Result<FdbEntry[], KernelError>>;
  apply(
    changes: readonly { readonly op: 'replace' | 'delete'; readonly entry: FdbEntry }[],
  ): Promise<Outcome[]>;
}

// ── traffic filters ──────────────────────────────────────────────────────────────────────────────────────────────────
/** An eBPF program at the ingress or egress of a link (clsact). One per link, direction and priority. */
export type TrafficFilter = {
  readonly linkIndex: number;
  readonly direction: 'ingress' | 'egress';
  readonly priority: number;
  /** Free text the kernel keeps with the filter, by which programs are told apart: up to 250 characters. */
  readonly name: string;
};
/** Machine code of type sched_cls, and the licence the kernel asks for. */
export type FilterProgram = { readonly code: Uint8Array; readonly licence: string };
export type TrafficFilterChange =
  /** In one step: packets meet the old program or the new one, never none. */
  | { readonly op: 'replace'; readonly filter: TrafficFilter; readonly program: FilterProgram }
  | { readonly op: 'delete'; readonly filter: TrafficFilter };
export interface TrafficFilters {
  list(linkIndex: number): Promise<Result<TrafficFilter[], KernelError>>;
  /** One outcome per change; deleting what is not there is ok. */
  apply(changes: readonly TrafficFilterChange[]): Promise<Outcome[]>;
}

// ── queueing ─────────────────────────────────────────────────────────────────────────────────────────────────────────
/** How fast packets leave a link: a token bucket (tbf). */
export type TokenBucket = {
  readonly rateBytesPerSecond: number;
  /** What may leave at once after a rest; no packet may be larger. The kernel keeps it as a time, in steps of 64 ns, of which
   *  it tells up to 274 s: it reads back rounded (`sameBucket`). */
  readonly burstBytes: number;
  /** What may wait; what comes beyond is dropped. */
  readonly queueBytes: number;
  /** How fast the burst itself leaves, above `rateBytesPerSecond`; `burstBytes` is that of one step, at least a packet. */
  readonly peak?: { readonly rateBytesPerSecond: number; readonly burstBytes: number };
};
export type Qdisc = {
  readonly linkIndex: number;
  readonly kind: string;
  /** `0x10000` is what tc writes as `1:`. */
  readonly handle: number;
  /** Of the packets that leave, and not of filters (clsact) or of a part of them. */
  readonly isRoot: boolean;
  readonly bucket?: TokenBucket;
};
/** The handle of buckets that are made here. */
export const bucketHandle = 0x1_0000;
export type BucketChange =
  /** A bucket in place of whatever is at the root. One that is there already is changed, with what waits in it. */
  | { readonly op: 'replace'; readonly linkIndex: number; readonly bucket: TokenBucket }
  /** The root is again as the kernel makes it. */
  | { readonly op: 'delete'; readonly linkIndex: number };
export interface Qdiscs {
  /** Of all links when none is given. */
  list(linkIndex?: number): Promise<Result<Qdisc[], KernelError>>;
  /** One outcome per change; deleting what is not there is ok. */
  applyBuckets(changes: readonly BucketChange[]): Promise<Outcome[]>;
}

/** What comes in by a link goes out by another instead (clsact, u32, mirred). An `ifb` there gives it back, as if it had just
 *  come in, once it has left its queue. */
export type Redirect = {
  readonly linkIndex: number;
  readonly priority: number;
  /** 0: that link is gone, and what comes in is dropped. */
  readonly targetIndex: number;
};
export interface Redirects {
  list(linkIndex: number): Promise<Result<Redirect[], KernelError>>;
  /** One per link and priority, replaced in one step. One outcome per change; deleting what is not there is ok. */
  apply(
    changes: readonly { readonly op: 'replace' | 'delete'; readonly redirect: Redirect }[],
  ): Promise<Outcome[]>;
}

export type PolicyRule = {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly mark?: number;
  readonly markMask?: number;
  readonly invert?: boolean;
  readonly inLink?: string;
};
export interface PolicyRules {
  list(family?: Family): Promise<Result<PolicyRule[], KernelError>>;
  apply(changes: readonly { readonly op: 'add' | 'delete'; readonly rule: PolicyRule }[]): Promise<Outcome[]>;
}

// ── nftables ─────────────────────────────────────────────────────────────────────────────────────────────────────────
export type NftFamily = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';
export type NftTableName = { readonly family: NftFamily; readonly name: string };

/** One transaction: all or nothing. Sets come before the rules that use them. */
export type NftCommand =
  | { readonly op: 'add-table' | 'delete-table' | 'flush-table'; readonly table: NftTableName }
  | { readonly op: 'add-chain'; readonly table: NftTableName; readonly chain: NftChain }
  | { readonly op: 'delete-chain' | 'flush-chain'; readonly table: NftTableName; readonly chain: string }
  | { readonly op: 'add-rule'; readonly table: NftTableName; readonly chain: string; readonly rule: NftRule }
  | { readonly op: 'add-set'; readonly table: NftTableName; readonly set: NftSet }
  | { readonly op: 'delete-set' | 'flush-set'; readonly table: NftTableName; readonly set: string }
  | {
      readonly op: 'add-elements' | 'delete-elements';
      readonly table: NftTableName;
      readonly set: string;
      readonly elements: readonly NftElement[];
    };

export type NftChain = {
  readonly name: string;
  readonly base?: {
    readonly type: 'filter' | 'nat' | 'route';
    readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress';
    readonly priority: number;
    readonly policy?: 'accept' | 'drop';
  };
};

/** A rule in nft's own syntax, without family, table and chain: `ip saddr @masq-pools ip daddr != @all-pools masquerade`.
 *  The kernel module parses the subset it can encode (docs/kernel.md lists it) and refuses the rest by name. */
export type NftRule = { readonly expression: string; readonly comment?: string };
/** What the kernel holds: `comment` and `handle` are read back, which is enough to detect drift by hash. */
export type NftRuleState = { readonly handle: bigint; readonly comment?: string };

export type NftSet = {
  readonly name: string;
  /** nft type names; several for a concatenation: `['ipv4_addr', 'inet_proto', 'inet_service']`. */
  readonly key: readonly string[];
  /** A map when present; `verdict` for a verdict map. */
  readonly data?: readonly string[];
  readonly interval?: boolean;
};
/** Key and data as nft text: `10.0.0.0/8`, `caliabc`, `accept`, `goto x`. Concatenations are arrays in key order. */
export type NftElement = {
  readonly key: string | readonly string[];
  readonly data?: string | readonly string[];
  readonly comment?: string;
};

export type NftTableState = {
  readonly chains: readonly { readonly chain: NftChain; readonly rules: readonly NftRuleState[] }[];
  readonly sets: readonly NftSet[];
};

export interface Nftables {
  /** One atomic transaction; the error names the command (index) that the kernel refused. */
  apply(
    commands: readonly NftCommand[],
  ): Promise<Result<void, KernelError & { readonly commandIndex?: number }>>;
  tables(): Promise<Result<NftTableName[], KernelError>>;
  /** undefined when the table does not exist. */
  read(table: NftTableName): Promise<Result<NftTableState | undefined, KernelError>>;
  elements(table: NftTableName, set: string): Promise<Result<NftElement[], KernelError>>;
}

// ── conntrack, sysctl ────────────────────────────────────────────────────────────────────────────────────────────────
/** A connection that is tracked. After translation `reply` is not the mirror image of `original`. */
export type Connection = {
  readonly protocol: number;
  readonly original: ConnectionSide;
  readonly reply: ConnectionSide;
  /** Of ICMP and ICMPv6. */
  readonly icmpType?: number;
  readonly icmpCode?: number;
};
export type ConnectionSide = {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
};

export interface Conntrack {
  /** Deletes every entry in which one of the addresses is a source or destination of either direction, and of which
   *  `condition` holds where it is given; gives the count. The kernel's table is walked once per call and family, which takes
   *  milliseconds: many addresses belong into one call. */
  deleteByAddress(
    address: Address | readonly Address[],
    condition?: (connection: Connection) => boolean,
  ): Promise<Result<number, KernelError>>;
}

/** What became of a probe: its echo came back, nothing came, or somebody on the way said that it was too big. */
export type PathAnswer = 'arrived' | 'silent' | 'too-big';
export interface Paths {
  /** Sends one echo request of so many bytes, IP header included, that must not be cut on its way. */
  probe(
    destination: Address,
    bytes: number,
    options?: { readonly timeoutMs?: number },
  ): Promise<Result<PathAnswer, KernelError>>;
}

/** Frames as they are, from nobody's stack: for what no socket sends, such as the announcement of an address. */
export interface Frames {
  /** `frame` begins with its Ethernet header. */
  send(linkIndex: number, frame: Uint8Array): Promise<Outcome>;
}

export interface Sysctls {
  /** `net.ipv4.conf.cali123.proxy_arp` style, but as a path so that interface names may contain dots: `net/ipv4/ip_forward`. */
  read(path: string): Promise<Result<string, KernelError>>;
  write(path: string, value: string): Promise<Outcome>;
}

// ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────
export type KernelEvent =
  | { readonly type: 'link' | 'link-deleted'; readonly link: Link }
  | { readonly type: 'address' | 'address-deleted'; readonly address: LinkAddress }
  /** `own`: this Kernel did it. Such an event may come after it has done something else to the route since. */
  | { readonly type: 'route' | 'route-deleted'; readonly route: Route; readonly own?: boolean }
  | { readonly type: 'neighbour' | 'neighbour-deleted'; readonly neighbour: Neighbour }
  | { readonly type: 'rule' | 'rule-deleted'; readonly rule: PolicyRule }
  /** A forwarding database entry that this kernel tells of (those of VXLAN devices). */
  | { readonly type: 'fdb' | 'fdb-deleted'; readonly entry: FdbEntry }
  /** Filters, redirects or queueing of the link came, changed or went: read them again. `own`: this Kernel did it. */
  | { readonly type: 'filters'; readonly linkIndex: number; readonly own?: boolean }
  /** Somebody committed an nftables transaction: `own` when it went through this Kernel. `pid` is the kernel's number, which
   *  inside a PID namespace is not `process.pid`. `tables` are those in which something changed; nobody looks into one's own
   *  transactions for them. */
  | {
      readonly type: 'nftables';
      readonly pid: number;
      readonly own?: boolean;
      readonly tables: readonly NftTableName[];
    }
  /** Events were lost (ENOBUFS): read everything again. The stream goes on. */
  | { readonly type: 'lost' };

/** `neighbours` includes forwarding database entries. */
export type EventGroup = 'links' | 'addresses' | 'routes' | 'neighbours' | 'rules' | 'filters' | 'nftables';
export interface Subscription {
  close(): void;
}

/** Everything for one network namespace. */
export interface Kernel {
  readonly links: Links;
  readonly addresses: Addresses;
  readonly routes: Routes;
  readonly neighbours: Neighbours;
  readonly fdb: ForwardingDatabase;
  readonly rules: PolicyRules;
  readonly filters: TrafficFilters;
  readonly wireguard: WireGuards;
  readonly paths: Paths;
  readonly frames: Frames;
  readonly qdiscs: Qdiscs;
  readonly redirects: Redirects;
  readonly nftables: Nftables;
  readonly conntrack: Conntrack;
  readonly sysctls: Sysctls;
  /** Events in kernel order; own changes are seen too. */
  subscribe(groups: readonly EventGroup[], onEvent: (event: KernelEvent) => void): Subscription;
  close(): Promise<void>;
}

export type OpenKernelOptions = {
  /** Namespace file; the caller's own namespace when absent. */
  readonly netns?: string;
  /** Writing into the machine's root network namespace is refused unless this is true (docs/kernel.md). */
  readonly allowRootNamespace?: boolean;
};
