// What the runner keeps per pod, and its edges: network plugins, namespaces and container processes. The pod worker knows
// only these; cni.ts, namespaces.ts, containers.ts and volumes/ make them real, fake.ts plays them in tests.
import type { Datastore } from '../../datastore/mod.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Failure, Result } from '../../lib/result.ts';
import type { Pod } from '../../model/mod.ts';
import type { ProcessIdentity } from '../types.ts';
import type { Probe } from './probes.ts';
import type { ObjectSources } from './sources.ts';
import type { Console } from './streams/consoles.ts';
import type { Mount, RequestToken, VolumeFiles } from './volumes/mod.ts';

export type RunnerErrorCode =
  | 'NoNetworkConfiguration'
  | 'BadNetworkConfiguration'
  | 'NetworkPluginFailed'
  | 'NamespaceFailed'
  | 'UnknownProgram'
  | 'StartFailed'
  /** Its variables name what is not there. */
  | 'BadConfiguration'
  | 'ListenFailed';
export type RunnerError = Failure<RunnerErrorCode>;

/** One pod's sandbox as it is written to disk: before its namespace is made, and after each step. */
export type SandboxRecord = {
  readonly version: 1;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** CNI_CONTAINERID: new for every attempt, as container runtimes do. */
  readonly containerId: string;
  /** Absent for a pod in the node's own network. */
  readonly netns?: string;
  /** `attaching` until ADD has answered: then nobody knows whether the pod is attached. */
  readonly state: 'attaching' | 'attached';
  readonly addresses: readonly string[];
  /** The last plugin's result, handed back on DEL. */
  readonly result?: unknown;
  readonly containers: Readonly<Record<string, ContainerRecord>>;
  readonly startedAt: string;
};

export type ContainerRecord = {
  readonly attempt: number;
  readonly process: ProcessIdentity;
  readonly startedAt: string;
  /** How the attempt before ended, for `lastState`. */
  readonly previous?: ContainerEnd;
};
export type ContainerEnd = {
  readonly exitCode: number;
  readonly signal?: number;
  readonly startedAt: string;
  readonly finishedAt: string;
};

/** What a plugin is told about the container (CNI_* variables and runtimeConfig). */
export type NetworkContainer = {
  readonly containerId: string;
  readonly netns: string;
  readonly podNamespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly portMappings: readonly PortMapping[];
};
export type PortMapping = {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
  readonly hostIP?: string;
};
export type NetworkResult = { readonly addresses: readonly string[]; readonly raw: unknown };

export interface NetworkPlugins {
  /** All plugins of the node's configuration, in order. */
  attach(container: NetworkContainer): Promise<Result<NetworkResult, RunnerError>>;
  /** All plugins in reverse order; `previous` is the result of the ADD, when it is known. */
  detach(container: NetworkContainer, previous: unknown): Promise<Result<void, RunnerError>>;
}

export interface Namespaces {
  /** Makes `/run/netns/NAME` with its loopback up. */
  create(name: string): Promise<Result<string, RunnerError>>;
  /** Ends every process in it and removes it. Missing = ok. */
  remove(path: string): Promise<Result<void, RunnerError>>;
}

export type ContainerSpec = {
  readonly pod: Pod;
  readonly container: Pod['spec']['containers'][number];
  readonly netns?: string;
  readonly addresses: readonly string[];
  readonly attempt: number;
  readonly variables: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Of an ephemeral container: whose processes it sees. */
  readonly target?: ContainerRecord;
};
export type ContainerState =
  | { readonly type: 'running'; readonly ready: boolean }
  | {
      readonly type: 'ended';
      readonly exitCode: number;
      readonly signal?: number;
      readonly finishedAt: string;
    };

export interface Containers {
  /** One check of a probe: why it failed, undefined when it passed. */
  check(
    probe: Probe,
    target: { readonly spec: Pod['spec']['containers'][number]; readonly address: string | undefined },
    record: ContainerRecord,
    timeoutMs: number,
  ): Promise<string | undefined>;
  start(spec: ContainerSpec): Promise<Result<ProcessIdentity, RunnerError>>;
  /** Works for containers that an earlier runner started, too. */
  inspect(pod: { readonly uid: string }, name: string, record: ContainerRecord): ContainerState;
  /** False: the container has only just begun and would not hear it; ask again. */
  signal(record: ContainerRecord, signal: 'SIGTERM' | 'SIGKILL'): boolean;
  /** Forgets what is kept on disk about the pod's containers. */
  forget(uid: string): void;
  /** Removes what the pod's containers have printed. */
  removeLogs(pod: PodIdentity): void;
  /** Process 1 of the container as this process sees it; undefined when it does not run. */
  initPid(record: ContainerRecord): number | undefined;
  /** Where the logs of its attempts are. */
  logFolder(pod: PodIdentity, container: string): string;
  /** The terminal or pipes of a container that asked for standard input. */
  console(uid: string, container: string, attempt: number): Console | undefined;
  /** Takes note of a container that an earlier runner started. */
  resume(pod: PodIdentity, container: string, attempt: number): void;
}

export type PodIdentity = { readonly namespace: string; readonly name: string; readonly uid: string };

export interface Checkpoints {
  all(): readonly SandboxRecord[];
  save(record: SandboxRecord): void;
  remove(uid: string): void;
}

/** What the worker of a pod acts on. */
export type WorkerEdges = {
  readonly datastore: Datastore;
  readonly network: NetworkPlugins;
  readonly namespaces: Namespaces;
  readonly containers: Containers;
  readonly checkpoints: Checkpoints;
  readonly volumes: VolumeFiles;
  readonly sources: ObjectSources;
  readonly requestToken: RequestToken;
  /** The node as its pods hear of it. */
  readonly host: { readonly nodeName: string; readonly cpus: number; readonly memoryBytes: number };
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hostAddresses: readonly string[];
};
