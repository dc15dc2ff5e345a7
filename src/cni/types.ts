// What a CNI request is made of, and what the agent's side needs of the rest of the agent.
import type { Address, Prefix } from '../lib/ip/mod.ts';
import type { Logger } from '../lib/log.ts';
import type { Result } from '../lib/result.ts';
import type { Datastore } from '../datastore/mod.ts';
import type { Ipam } from '../ipam/mod.ts';
import type { Kernel, KernelError } from '../kernel/mod.ts';
import type { WorkloadEndpoint } from '../model/mod.ts';
import type { EndpointStore, OpenKubernetes } from './endpoint-store.ts';
import type { EndpointRecords } from './records.ts';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'VERSION' | 'STATUS' | 'GC';

/** One execution of the plugin, as the forwarder hands it over. */
export type CniRequest = {
  /** Name the executable was called by: `calico`, `calico-ipam`. */
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly input: string;
};

export type CniResponse = { readonly exitCode: number; readonly output: string };

/** The container of a request, from CNI_* variables and CNI_ARGS. */
export type ContainerIdentity = {
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  /** Where delegated plugins are found, in order. */
  readonly path: readonly string[];
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid?: string };
};

/** The parts of a network configuration that this plugin reads (CN-005); `raw` is the whole document. */
export type NetworkConfiguration = {
  readonly name: string;
  readonly cniVersion: string;
  readonly mtu: number;
  readonly ipam: {
    readonly type: string;
    readonly assignIpv4: boolean;
    readonly assignIpv6: boolean;
    readonly ipv4Pools: readonly string[];
    readonly ipv6Pools: readonly string[];
  };
  readonly featureControl: { readonly ipAddrsNoIpam: boolean; readonly floatingIps: boolean };
  readonly allowIpForwarding: boolean;
  readonly includeDefaultRoutes: boolean;
  readonly readinessGates: readonly string[];
  /** ADD waits this long for Felix's word that the endpoint is up; 0: no longer than it does anyway. */
  readonly policySetupTimeoutSeconds: number;
  readonly endpointStatusDirectory: string;
  readonly validAttachments?: readonly { readonly containerID: string; readonly ifname: string }[];
  /** `datastore_type`; empty when nothing is said of it. */
  readonly datastoreType: string;
  /** `policy.type`; empty for networks whose profile the plugin makes. */
  readonly policyType: string;
  /** `kubernetes.kubeconfig`. */
  readonly kubeconfig: string;
  readonly prevResult?: unknown;
  readonly raw: Readonly<Record<string, unknown>>;
};

/** What a finished ADD left in the kernel and in the datastore: kept on the node, so that DEL, CHECK, GC and a restarted
 *  agent need nobody's memory but this. */
export type EndpointRecord = {
  readonly containerId: string;
  readonly ifName: string;
  readonly netns: string;
  readonly network: string;
  readonly hostInterface: string;
  readonly mac: string;
  readonly addresses: readonly Address[];
  readonly handleId: string;
  readonly ipamType: string;
  readonly endpoint: WorkloadEndpoint;
};

/** Felix as ADD and DEL see it. */
export interface EndpointProgrammer {
  /** Resolves when everything the endpoint needs is in the kernel. */
  program(endpoint: WorkloadEndpoint): Promise<Result<void>>;
  /** An endpoint that an earlier agent programmed and that only this node knows: kept, nobody waits. */
  restore(endpoint: WorkloadEndpoint): void;
  /** Withdraws what `program` added; the endpoint's rows go unless the datastore still has it. */
  remove(endpoint: WorkloadEndpoint): Promise<void>;
}

export type CniServerOptions = {
  /** `/var/run/calico/cni.sock` on a node. */
  readonly socketPath: string;
  /** Where endpoint records are kept: `/var/run/calico/cni-endpoints`. */
  readonly stateDirectory: string;
  readonly nodeName: string;
  readonly datastore: Datastore;
  readonly ipam: Ipam;
  /** The node's own network namespace. */
  readonly kernel: Kernel;
  readonly openNamespace: (netns: string) => Promise<Result<Kernel, KernelError>>;
  readonly endpoints: EndpointProgrammer;
  /** First entry of InterfacePrefix. */
  readonly interfacePrefix: () => string;
  /** MTU of pods when the configuration says 0 (FX-093). */
  readonly podMtu: () => number;
  /** undefined when the agent can serve; else why not (datastore not ready, first sync not done). */
  readonly notReady: () => string | undefined;
  /** ClusterInformation says that nobody is to change anything: an upgrade of the data is under way. */
  readonly isLocked: () => boolean;
  /** The datastore is etcd, which keeps WorkloadEndpoints and knows no pods. */
  readonly onEtcd: boolean;
  /** Opens the Kubernetes of a kubeconfig, for pods while the datastore is etcd. */
  readonly openKubernetes?: OpenKubernetes;
  readonly logger: Logger;
};

/** What every request is served with. */
export type Context = CniServerOptions & {
  readonly records: EndpointRecords;
  readonly stored: EndpointStore;
};

export interface CniServer {
  stop(): Promise<void>;
}

/** The result of address assignment, whoever did it. */
export type AssignedAddresses = { readonly addresses: readonly Address[]; readonly handleId: string };

export type PodSettings = {
  readonly requestedAddresses: readonly Address[];
  readonly addressesWithoutIpam: readonly Address[];
  readonly ipv4Pools?: readonly string[];
  readonly ipv6Pools?: readonly string[];
  readonly families?: readonly (4 | 6)[];
  readonly mac?: string;
  readonly allowedSourcePrefixes: readonly Prefix[];
  /** Of the pod's namespace. */
  readonly namespaceLabels?: Readonly<Record<string, string>>;
};
