// Starting and ending a lab from the machine's own namespaces. The launcher plans, checks, opens the API server's port on
// loopback, and starts process 1 of the lab inside new namespaces; it changes nothing else outside of them.
//
//   launcher ── unshare --net --mount --uts --pid --kill-child ── sh (process 1, reaps) ── margay lab supervise
//       fd 3: the listening socket for kubectl outside       fd 4: progress, JSON lines
//
// Ending process 1 ends every process of the lab; with the last one its namespaces, links and mounts are gone.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import type { Datastore } from '../datastore/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import { until } from '../lib/wait.ts';
import { ask } from './control-socket.ts';
import { initScript } from './init-script.ts';
import { onInterrupt } from './interrupt.ts';
import { LabKeys } from './keys.ts';
import { mainFile } from './main-file.ts';
import { awaitReadyNodes } from './readiness.ts';
import { checkMemory, checkPermission, checkTools, labPath } from './requirements.ts';
import {
  createState,
  identify,
  isAlive,
  type LabPaths,
  labPaths,
  readRecord,
  removeState,
  stateRefused,
  writeRecord,
} from './state.ts';
import { type BackendName, modeFor } from './backends.ts';
import { isMode, modeNames } from './modes.ts';
import { nodesOf, planTopology, type ReflectorKind, type Topology } from './topology/mod.ts';
import type { LabError, LabOptions, LabRecord, LabStatus, ProcessIdentity, ProgressLine } from './types.ts';

export const defaultPort = 16443;

export type UpOptions = Pick<LabOptions, 'name' | 'dualStack' | 'fabricBgp'> & {
  readonly topology: string;
  /** As many as the topology has of its own when absent. */
  readonly nodes?: number;
  /** mesh when absent. */
  readonly design?: string;
  readonly reflectors?: ReflectorKind;
  /** bird when absent. */
  readonly backend?: BackendName;
  /** Of the pools; what suits the backend when absent. */
  readonly mode?: string;
  readonly engine?: 'native' | 'bird';
  readonly typha?: boolean;
  /** A port asked for must be free; without one the lab takes the default, or any other when that is taken. */
  readonly port?: number;
  readonly onStep?: (text: string) => void;
  /** The lab ends when the launcher does, even by SIGKILL. */
  readonly tied?: boolean;
};

export type RunningLab = {
  readonly record: LabRecord;
  readonly paths: LabPaths;
  readonly tookMs: number;
};

const startDeadlineMs = 180_000;
const readyDeadlineMs = 300_000;

/** Everything that can be found wrong before anything is started. */
async function prepare(options: UpOptions): Promise<Result<Prepared, LabError>> {
  const topology = planTopology({ ...options, name: options.topology });
  if (!topology.ok) return topology;
  const { backend = 'bird' } = options;
  if (options.mode !== undefined && !isMode(options.mode)) return badMode(options.mode);
  const mode = modeFor(backend, options.mode);
  if (!mode.ok) return mode;
  if (backend !== 'bird' && options.engine !== undefined)
    return err(
      failure('BadDesign', `With the backend ${backend} nobody speaks BGP: there is no engine to choose.`),
    );
  const paths = labPaths(options.name);
  if (!paths.ok) return paths;
  const tools = checkTools(backend, options.engine);
  if (!tools.ok) return tools;
  const permission = checkPermission();
  if (!permission.ok) return permission;
  const existing = await readRecord(paths.value);
  if (existing === 'stale') await removeState(paths.value);
  else if (existing !== 'none')
    return err(
      failure(
        'AlreadyUp',
        `The lab "${options.name}" is already up.`,
        'Look at it with: margay lab status. End it with: margay lab down',
      ),
    );
  const { machines } = topology.value;
  const speakers = backend === 'bird' ? machines.filter((m) => m.role === 'node' || m.bgp).length : 0;
  const memory = checkMemory(2 + 2 * nodesOf(topology.value).length + speakers);
  if (!memory.ok) return memory;
  const listener = await openPort(options.port);
  if (!listener.ok) return listener;
  const state = await createState(paths.value);
  if (!state.ok) {
    listener.value.server.close();
    return state;
  }
  return ok({
    paths: paths.value,
    topology: topology.value,
    ...listener.value,
    ...permission.value,
    options: {
      name: options.name,
      topology: topology.value.name,
      nodes: nodesOf(topology.value).length,
      dualStack: options.dualStack,
      fabricBgp: topology.value.fabricBgp,
      design: topology.value.design,
      reflectors: options.reflectors ?? 'nodes',
      backend,
      mode: mode.value,
      ...(options.engine === undefined ? {} : { engine: options.engine }),
      ...(options.typha === undefined ? {} : { typha: options.typha }),
    },
  });
}

const badMode = (mode: string): Result<never, LabError> =>
  err(failure('BadMode', `There is no mode "${mode}".`, `Modes: ${modeNames.join(', ')}.`));

type Prepared = {
  readonly paths: LabPaths;
  readonly topology: Topology;
  readonly options: LabOptions;
  readonly server: Server;
  readonly port: number;
  readonly userNamespace: boolean;
};

/** An interrupt while the lab comes up takes it down again and ends the process. */
export async function labUp(options: UpOptions): Promise<Result<RunningLab, LabError>> {
  const prepared = await prepare(options);
  if (!prepared.ok) return prepared;
  const stopListening = onInterrupt(async () => void (await labDown(options.name)));
  try {
    return await bringUp(prepared.value, options.onStep ?? (() => undefined), options.tied ?? false);
  } catch (error) {
    const { paths, server } = prepared.value;
    const refused = stateRefused(paths, error);
    server.close();
    await labDown(options.name);
    return refused;
  } finally {
    stopListening();
  }
}

async function bringUp(
  lab: Prepared,
  onStep: (text: string) => void,
  tied: boolean,
): Promise<Result<RunningLab, LabError>> {
  const { paths, port, userNamespace, server } = lab;
  const started = performance.now();
  const keys = LabKeys.open(paths.directory, lab.options.name);
  const admin = keys.userKubeconfig(`https://127.0.0.1:${port}`, 'kubernetes-admin');
  await writeFile(paths.kubeconfig, admin, { mode: 0o600 });
  const child = spawnLab(paths, lab.options, server, { userNamespace, tied });
  server.close();
  const result = await followStart(child, { paths, labOptions: lab.options, port, userNamespace, onStep });
  if (!result.ok) {
    child.kill('SIGKILL');
    await until(() => (child.exitCode !== null || child.signalCode !== null ? true : undefined), {
      timeoutMs: 10_000,
    });
    await removeState(paths);
    return result;
  }
  if (!tied) child.unref();
  const names = nodesOf(lab.topology).map(({ name }) => name);
  const ready = await awaitReadyNodes(paths, names, readyDeadlineMs, onStep);
  if (!ready.ok) return ready;
  return ok({ record: result.value, paths, tookMs: performance.now() - started });
}

async function openPort(
  asked: number | undefined,
): Promise<Result<{ readonly server: Server; readonly port: number }, LabError>> {
  const listen = (port: number): Promise<Server | NodeJS.ErrnoException> =>
    new Promise((resolve) => {
      const server = createServer();
      server.once('error', resolve);
      server.listen({ host: '127.0.0.1', port }, () => resolve(server));
    });
  let server = await listen(asked ?? defaultPort);
  if (server instanceof Error && asked === undefined && server.code === 'EADDRINUSE')
    server = await listen(0);
  if (server instanceof Error)
    return err(
      failure(
        'PortTaken',
        server.code === 'EADDRINUSE'
          ? `Port ${asked} of 127.0.0.1 is in use.`
          : `Cannot listen on 127.0.0.1:${asked ?? defaultPort}: ${server.message}.`,
        'Choose another with --port, or leave it out to get a free one.',
      ),
    );
  const bound = server.address();
  return ok({ server, port: typeof bound === 'object' && bound !== null ? bound.port : 0 });
}

function spawnLab(
  paths: LabPaths,
  options: LabOptions,
  listener: Server,
  how: { readonly userNamespace: boolean; readonly tied: boolean },
): ChildProcess {
  const log = openSync(join(paths.logs, 'supervisor.log'), 'a');
  const fd = (listener as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;
  const namespaces = '--net --mount --uts --pid --fork --kill-child --mount-proc --propagation private';
  const supervise = [process.execPath, mainFile(), 'lab', 'supervise'];
  const argv = [
    ...(how.userNamespace ? ['--user', '--map-root-user'] : []),
    ...namespaces.split(' '),
    'sh',
    '-c',
    initScript,
    'margay-lab',
    paths.directory,
    ...supervise,
    '--state',
    paths.directory,
    '--options',
    JSON.stringify(options),
    ...(how.tied ? ['--tied'] : []),
  ];
  const child = spawn('unshare', argv, {
    cwd: '/',
    detached: true,
    env: { ...process.env, PATH: labPath(), NODE_OPTIONS: '' },
    stdio: ['ignore', log, log, fd, 'pipe'],
  });
  closeSync(log);
  return child;
}

async function followStart(
  child: ChildProcess,
  lab: {
    readonly paths: LabPaths;
    readonly labOptions: LabOptions;
    readonly port: number;
    readonly userNamespace: boolean;
    readonly onStep: (text: string) => void;
  },
): Promise<Result<LabRecord, LabError>> {
  const failed = (message: string, hint?: string): Result<never, LabError> =>
    err(failure('StartFailed', message, hint));
  const parent = child.pid === undefined ? undefined : identify(child.pid);
  if (parent === undefined) return failed('Cannot start unshare.', lastLines(lab.paths));
  const init = await until(() => firstChildOf(parent.pid), { timeoutMs: 60_000, everyMs: 5 });
  if (init === undefined) return failed('The lab could not make its namespaces.', lastLines(lab.paths));
  const record: LabRecord = {
    options: lab.labOptions,
    port: lab.port,
    init,
    parent,
    userNamespace: lab.userNamespace,
  };
  await writeRecord(lab.paths, record);
  const pipe = child.stdio[4] as Socket;
  return new Promise((resolve) => {
    const deadline = setTimeout(
      () => finish(failed(`The lab was not up after ${startDeadlineMs / 1000} s.`, lastLines(lab.paths))),
      startDeadlineMs,
    );
    const lines = createInterface({ input: pipe });
    const finish = (result: Result<LabRecord, LabError>): void => {
      clearTimeout(deadline);
      lines.removeAllListeners();
      (pipe as Socket & { unref(): void }).unref();
      resolve(result);
    };
    lines.on('line', (line) => {
      const progress = JSON.parse(line) as ProgressLine;
      if (progress.type === 'step') lab.onStep(progress.text);
      else if (progress.type === 'ready') finish(ok(record));
      else finish(failed(progress.message, progress.hint ?? `Logs: ${lab.paths.logs}`));
    });
    lines.on('close', () => finish(failed('The lab ended while starting.', lastLines(lab.paths))));
  });
}

/** The last lines of the supervisor's log, since the directory goes away with a failed start. */
function lastLines(paths: LabPaths): string {
  try {
    return readFileSync(join(paths.logs, 'supervisor.log'), 'utf8').trim().split('\n').slice(-3).join(' | ');
  } catch {
    return '';
  }
}

function firstChildOf(pid: number): ProcessIdentity | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return child === undefined || child === '' ? undefined : identify(Number(child));
  } catch {
    return undefined;
  }
}

/** Finds a running lab, or says what is there instead. */
export async function findLab(
  name: string,
): Promise<Result<{ record: LabRecord; paths: LabPaths }, LabError>> {
  const paths = labPaths(name);
  if (!paths.ok) return paths;
  const inside = process.env['MARGAY_LAB_STATE'];
  const record =
    inside === paths.value.directory ? await readInside(paths.value) : await readRecord(paths.value);
  if (record === 'none' || record === 'stale')
    return err(failure('NotUp', `There is no lab "${name}" up.`, 'Start one with: margay lab up'));
  return ok({ record, paths: paths.value });
}

/** Inside of the lab the recorded pids mean nothing, but whoever asks is the proof that it is up. */
async function readInside(paths: LabPaths): Promise<LabRecord | 'stale'> {
  try {
    return JSON.parse(readFileSync(paths.record, 'utf8')) as LabRecord;
  } catch {
    return 'stale';
  }
}

export async function labStatus(
  name: string,
): Promise<Result<{ lab: LabStatus; record: LabRecord; paths: LabPaths }, LabError>> {
  const found = await findLab(name);
  if (!found.ok) return found;
  const status = await ask<LabStatus>(found.value.paths.socket, { op: 'status' });
  return status.ok ? ok({ lab: status.value, ...found.value }) : status;
}

/** Works on the datastore of a running lab, from outside of it or from one of its shells. */
export async function withLabStore<T>(
  paths: LabPaths,
  work: (store: Datastore) => Promise<Result<T, LabError>>,
): Promise<Result<T, LabError>> {
  const inside = process.env['MARGAY_LAB_STATE'] === paths.directory;
  const { openDatastore } = await import('../datastore/mod.ts');
  const opened = await openDatastore({
    kubeconfig: inside ? paths.insideKubeconfig : paths.kubeconfig,
    userAgent: 'margay-lab',
  });
  if (!opened.ok) return err(failure('NoAnswer', opened.error.message, opened.error.hint));
  try {
    return await work(opened.value);
  } finally {
    await opened.value.close();
  }
}

const noAnswer = (error: Failure): Result<never, LabError> =>
  err(failure('NoAnswer', error.message, error.hint));

/** Edits the pools of a running lab. */
export async function labMode(name: string, mode: string): Promise<Result<void, LabError>> {
  if (!isMode(mode)) return badMode(mode);
  const found = await labStatus(name);
  if (!found.ok) return found;
  const suits = modeFor(found.value.lab.backend ?? 'bird', mode);
  if (!suits.ok) return suits;
  const { applyMode } = await import('./modes.ts');
  return withLabStore(found.value.paths, async (store) => {
    const applied = await applyMode(store, mode);
    return applied.ok ? ok(undefined) : noAnswer(applied.error);
  });
}

/** Changes the BGP design of a running lab: its routers, then the resources of the cluster. */
export async function labDesign(name: string, design: string): Promise<Result<LabStatus, LabError>> {
  const found = await labStatus(name);
  if (!found.ok) return found;
  const { lab, record, paths } = found.value;
  const topology = planTopology({ ...lab, name: lab.topology, nodes: record.options.nodes, design });
  if (!topology.ok) return topology;
  const { applyDesign } = await import('./design.ts');
  return withLabStore(paths, async (store) => {
    const applied = await applyDesign(store, topology.value);
    return applied.ok ? ask<LabStatus>(paths.socket, { op: 'design', design }) : noAnswer(applied.error);
  });
}

/** Ends the lab and removes its directory. `false`: there was none. */
export async function labDown(name: string): Promise<Result<boolean, LabError>> {
  const paths = labPaths(name);
  if (!paths.ok) return paths;
  const record = await readRecord(paths.value);
  if (record === 'none') return ok(false);
  if (record !== 'stale') {
    // Process 1 cannot survive a SIGKILL from outside, and nothing of its namespace survives process 1.
    kill(record.init);
    const gone = await until(() => (isAlive(record.parent) ? undefined : true), {
      timeoutMs: 60_000,
      everyMs: 5,
    });
    if (gone === undefined) {
      kill(record.parent);
      return err(
        failure('NoAnswer', `The lab "${name}" does not end.`, `Look at process ${record.parent.pid}.`),
      );
    }
  }
  await removeState(paths.value);
  return ok(record !== 'stale');
}

function kill(identity: ProcessIdentity): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch {
    // It went by itself.
  }
}
