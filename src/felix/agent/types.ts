// What an agent is made of, and what can be asked of it.
import type { Clock } from '../../lib/clock.ts';
import type { Logger, LogLevel } from '../../lib/log.ts';
import type { Failure, Result } from '../../lib/result.ts';
import type { Datastore, WatchSource } from '../../datastore/mod.ts';
import type { LabelIndexWork } from '../../selector/mod.ts';
import type { Kernel, KernelError } from '../../kernel/mod.ts';
import type { CalcStats, FelixConfig, IgnoredParameter, Mtus, PolicyStats } from '../calc/mod.ts';
import type { CommandRunner, DataplaneStatus, Inventory, WireGuardStates } from '../dataplane/mod.ts';
import type { ProgrammingTimes } from './endpoints.ts';
import type { PathMtuStatus } from './path-mtu.ts';
import type { WorkCounts } from './work-counters.ts';

/** Files of a node; in the lab each node has its own below the same names. */
export type AgentPaths = {
  readonly nodename: string;
  readonly mtu: string;
  readonly cniSocket: string;
  readonly cniState: string;
  /** Keys and tunnels of WireGuard, for root alone. */
  readonly wireguard: string;
  /** Where the BGP speaker answers. */
  readonly bgpSocket: string;
  readonly felixConfig: string;
  /** Unless EndpointStatusPathPrefix says otherwise. */
  readonly endpointStatus: string;
};

export const nodePaths: AgentPaths = {
  nodename: '/var/lib/calico/nodename',
  mtu: '/var/lib/calico/mtu',
  cniSocket: '/var/run/calico/cni.sock',
  cniState: '/var/run/calico/cni-endpoints',
  wireguard: '/var/lib/calico/wireguard.json',
  bgpSocket: '/var/run/calico/bgp.sock',
  felixConfig: '/etc/calico/felix.cfg',
  endpointStatus: '/var/run/calico/endpoint-status',
};

/** What of the log can be changed while it is written. */
export type AgentLog = {
  readonly setLevel: (level: LogLevel) => void;
  readonly setFile: (path: string | undefined, level: LogLevel) => void;
  readonly errors: () => number;
};

export type AgentOptions = {
  readonly nodeName: string;
  readonly datastore: Datastore;
  /** What stands between the datastore and many nodes that follow it; the datastore itself when absent. */
  readonly followed?: WatchSource;
  /** The node's own network namespace; the agent does not close it. */
  readonly kernel: Kernel;
  /** Pods' namespaces, for CNI. */
  readonly openNamespace: (netns: string) => Promise<Result<Kernel, KernelError>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly paths: AgentPaths;
  readonly logger: Logger;
  /** Follows what FELIX_LOGSEVERITYSCREEN, FelixConfiguration and their like ask for, at the start and when it changes. */
  readonly log?: AgentLog;
  readonly clock?: Clock;
  /** Runs iptables and ipset in the node's namespace; without it rules are in nftables only. */
  readonly commands?: CommandRunner;
  /** Whether a host is at an address; asked over the network when absent. */
  readonly isHostAt?: (address: string) => Promise<boolean>;
  /** Without it no CNI server is started. */
  readonly serveCni: boolean;
};

export type AgentErrorCode =
  | 'RootNamespaceRefused'
  | 'BadEnvironment'
  | 'AddressConflict'
  | 'DuplicateName'
  | 'NoAddress'
  | 'DatastoreFailed'
  | 'KernelFailed'
  | 'CniServerFailed'
  | 'Stopped';
export type AgentError = Failure<AgentErrorCode>;

/** How far it got: `starting` (datastore, node), `waiting` (first list, datastoreReady), `syncing` (first writes), `ready`. */
export type AgentPhase = 'starting' | 'waiting' | 'syncing' | 'ready' | 'stopped';

export type AgentStatus = {
  readonly phase: AgentPhase;
  readonly nodeName: string;
  readonly datastore: 'waiting' | 'syncing' | 'in-sync';
  readonly calc: CalcStats;
  readonly mtus: Mtus;
  /** Whether traffic to other nodes is encrypted, by family. */
  readonly encryption: WireGuardStates;
  /** What the ways to other nodes carry, as far as it was found to be too little. */
  readonly paths: PathMtuStatus;
  readonly dataplane: DataplaneStatus;
  readonly config: FelixConfig;
  /** Parameters that are set and have no effect. */
  readonly ignored: readonly IgnoredParameter[];
  readonly programming: ProgrammingTimes;
  readonly policy?: PolicyStats;
  readonly labelIndex?: LabelIndexWork;
  /** Objects of the datastore that cannot be read, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
  readonly work: WorkCounts;
  readonly inventory: Inventory;
  /** Lines that could not be written. */
  readonly logErrors: number;
  /** Events of the kernel. */
  readonly observed: { readonly links: number; readonly addresses: number };
};

export interface Agent {
  /** Resolves when everything is in the kernel for the first time, or with why that is impossible. */
  readonly ready: Promise<Result<void, AgentError>>;
  /** Resolves when it cannot go on, with the reason: nothing new is learned any more. Then it should be started anew. */
  readonly ended: Promise<AgentError>;
  status(): AgentStatus;
  /** Ends; the dataplane stays in place. */
  stop(): Promise<void>;
}
