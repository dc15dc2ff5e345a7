// Public face of the lab. Every entry loads its part when it is called: most processes of a lab need one of them only.
export type {
  LabError,
  LabErrorCode,
  LabOptions,
  LabRecord,
  LabStatus,
  MachineStatus,
  ProcessStatus,
} from './types.ts';
export { type BackendName, backendNames } from './backends.ts';
export type { LabPaths } from './state.ts';
export type { RunningLab, UpOptions } from './launcher.ts';
export type { RunnerCommandOptions } from './runner/start.ts';
export type { CapturePlace, LessonOptions } from './lessons/mod.ts';
export type { DemoOptions } from './demo/demo.ts';
export type { Runner, RunnerOptions } from './runner/runner.ts';
export type { EdgePaths } from './runner/start.ts';
export type { ProxyOptions, ServiceProxy } from './proxy/mod.ts';
import type { Datastore } from '../datastore/mod.ts';
import type { Logger } from '../lib/log.ts';
import type { Failure, Result } from '../lib/result.ts';
import type { CapturePlace, LessonOptions } from './lessons/mod.ts';
import type { DemoOptions } from './demo/demo.ts';
import type { Identity } from './ask-server.ts';
import type { RunningLab, UpOptions } from './launcher.ts';
import type { EdgePaths, RunnerCommandOptions } from './runner/start.ts';
import type { Runner, RunnerOptions } from './runner/runner.ts';
import type { ProxyOptions, ServiceProxy } from './proxy/mod.ts';
import type { LabPaths } from './state.ts';
import type { LabError, LabOptions, LabRecord, LabStatus } from './types.ts';

/** Brings a lab up and waits until its nodes are ready. */
export const labUp = async (options: UpOptions): Promise<Result<RunningLab, LabError>> =>
  (await import('./launcher.ts')).labUp(options);

/** Ends a lab and everything in it; false when there was none. */
export const labDown = async (name: string): Promise<Result<boolean, LabError>> =>
  (await import('./launcher.ts')).labDown(name);

export const labStatus = async (
  name: string,
): Promise<Result<{ lab: LabStatus; record: LabRecord; paths: LabPaths }, LabError>> =>
  (await import('./launcher.ts')).labStatus(name);

/** Another BGP design for a running lab. */
export const labDesign = async (name: string, design: string): Promise<Result<LabStatus, LabError>> =>
  (await import('./launcher.ts')).labDesign(name, design);

/** Another routing mode for the pools of a running lab. */
export const labMode = async (name: string, mode: string): Promise<Result<void, LabError>> =>
  (await import('./launcher.ts')).labMode(name, mode);

/** Runs a command on a node or router with this terminal; gives its exit code. */
export const labExec = async (
  name: string,
  machine: string,
  command: readonly string[],
): Promise<Result<number, LabError>> => (await import('./enter.ts')).execIn(name, machine, command);

/** What a command prints on one machine, or in the network of a pod: `pod/NAMESPACE/NAME`. */
export const labOutput = async (
  name: string,
  machine: string,
  command: readonly string[],
): Promise<Result<{ readonly code: number; readonly out: string }, LabError>> =>
  (await import('./enter.ts')).outputAt(name, machine, command);

/** What a command prints on each node. */
export const labOutputs = async (
  name: string,
  command: readonly string[],
): Promise<Result<readonly { readonly machine: string; readonly out: string }[], LabError>> =>
  (await import('./enter.ts')).outputsOf(name, command);

export const labShell = async (
  name: string,
  machine: string | undefined,
): Promise<Result<number, LabError>> => (await import('./enter.ts')).shellIn(name, machine);

/** One line per lesson. */
export const labLessons = async (): Promise<readonly string[]> =>
  (await import('./lessons/mod.ts')).listLessons();

/** A walk through a BGP design or routing mode, with what one ping met at every hop. */
export const labLesson = async (
  options: LessonOptions,
): Promise<Result<{ readonly lines: readonly string[]; readonly asExpected: boolean }, LabError>> =>
  (await import('./lessons/mod.ts')).teach(options);

/** Inside of the lab: listens to machines and pods until standard input ends. */
export const runCapture = async (places: readonly CapturePlace[]): Promise<Result<void, Failure>> =>
  (await import('./lessons/mod.ts')).runCapture(places);

/** The lab's main show: up, pods, proof, report. Gives the exit code. */
export const labStart = async (options: DemoOptions): Promise<number> =>
  (await import('./demo/demo.ts')).runDemo(options);

/** Inside of the lab: its supervisor; returns when the lab is to end. */
export const superviseLab = async (options: {
  readonly state: string;
  readonly options: LabOptions;
  readonly tied: boolean;
}): Promise<number> => (await import('./supervisor/supervise.ts')).supervise(options);

/** Inside of the lab: scheduler and controllers, until the signal aborts. */
export const runControl = async (
  datastore: Datastore,
  options: LabOptions,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> => (await import('./supervisor/control.ts')).runControl(datastore, options, logger, signal);

/** The certificate in a kubeconfig that the lab wrote. */
export const readLabIdentity = async (kubeconfig: string): Promise<Identity> =>
  (await import('./ask-server.ts')).readIdentity(kubeconfig);

/** On a node of the lab: what a kubelet does. */
export const startNodeRunner = async (options: RunnerCommandOptions): Promise<Runner> =>
  (await import('./runner/start.ts')).startNodeRunner(options);

/** On a node of the lab: what kube-proxy does. */
export const startServiceProxy = async (options: ProxyOptions): Promise<ServiceProxy> =>
  (await import('./proxy/mod.ts')).startServiceProxy(options);

/** A runner on given edges, and the real ones of this host: for tests of the runner alone. */
export const startRunner = async (options: RunnerOptions): Promise<Runner> =>
  (await import('./runner/runner.ts')).startRunner(options);
export const nodeRunnerEdges = async (
  paths: EdgePaths,
): Promise<Omit<RunnerOptions, 'datastore' | 'logger' | 'facts' | 'networkReady'>> =>
  (await import('./runner/start.ts')).nodeRunnerEdges(paths);

/** The whole content of a container's process. */
export const runPodProgram = async (argv: readonly string[]): Promise<number> =>
  (await import('./pod-program.ts')).runPodProgram(argv);
