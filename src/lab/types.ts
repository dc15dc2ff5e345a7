// What the lab's parts tell each other: errors, the state on disk, the supervisor's answers.
import type { Failure } from '../lib/result.ts';
import type { BackendName } from './backends.ts';
import type { ModeName } from './modes.ts';
import type { DesignName, ReflectorKind, TopologyName } from './topology/mod.ts';

export type LabErrorCode =
  | 'UnknownTopology'
  | 'BadDesign'
  | 'UnknownLesson'
  | 'BadMode'
  | 'BadNodeCount'
  | 'BadName'
  | 'AlreadyUp'
  | 'NotUp'
  | 'PortTaken'
  | 'MissingTool'
  | 'LittleMemory'
  | 'NotPermitted'
  | 'UnknownMachine'
  | 'StateDirectory'
  | 'StartFailed'
  | 'NoAnswer';
export type LabError = Failure<LabErrorCode>;

/** What `lab up` was asked for; the supervisor plans the same topology from it. */
export type LabOptions = {
  readonly name: string;
  readonly topology: TopologyName;
  readonly nodes: number;
  readonly dualStack: boolean;
  readonly fabricBgp: boolean;
  readonly design: DesignName;
  readonly reflectors: ReflectorKind;
  /** bird when absent. */
  readonly backend?: BackendName;
  /** Of the pools at the start; they may have been edited since. */
  readonly mode: ModeName;
  /** Who speaks BGP on the nodes; the native engine when absent. Routers are always native. */
  readonly engine?: 'native' | 'bird';
  /** Agents and speakers follow a fan-out server instead of the API server. */
  readonly typha?: boolean;
};

/** `lab.json` in the state directory. `init` is process 1 of the lab, seen from outside. */
export type LabRecord = {
  readonly options: LabOptions;
  readonly port: number;
  readonly init: ProcessIdentity;
  /** `unshare`, the parent of process 1: the lab is gone when it is. */
  readonly parent: ProcessIdentity;
  /** Whether the lab lives in a user namespace (started without root). */
  readonly userNamespace: boolean;
};

/** A pid is only good together with the moment the process began. */
export type ProcessIdentity = { readonly pid: number; readonly startTicks: string };

export type ProcessStatus = {
  readonly machine: string;
  readonly name: string;
  /** In the lab's own pid namespace; undefined while it is down. */
  readonly pid?: number;
  readonly running: boolean;
  readonly restarts: number;
  readonly startedAt?: string;
  /** Why it ended the last time: `signal SIGKILL`, `exit code 1: <last line of its log>`. */
  readonly lastEnd?: string;
};

export type MachineStatus = {
  readonly name: string;
  readonly role: 'node' | 'router' | 'switch';
  readonly rack?: string;
  readonly addresses: readonly string[];
  /** The process that holds the machine's namespaces, in the lab's pid namespace. */
  readonly holderPid: number;
};

export type LabStatus = {
  readonly name: string;
  readonly topology: TopologyName;
  readonly dualStack: boolean;
  readonly fabricBgp: boolean;
  /** The one in force now. */
  readonly design: DesignName;
  readonly reflectors: ReflectorKind;
  readonly backend?: BackendName;
  readonly startedAt: string;
  readonly machines: readonly MachineStatus[];
  readonly processes: readonly ProcessStatus[];
};

/** One line of JSON on the start-up pipe. */
export type ProgressLine =
  | { readonly type: 'step'; readonly text: string }
  | { readonly type: 'ready'; readonly tookMs: number }
  | { readonly type: 'failed'; readonly message: string; readonly hint?: string };
