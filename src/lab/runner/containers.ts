// Containers as processes: each in the pod's network namespace and in mount, host name and process namespaces of its own.
//
//   runner ── unshare (--kill-child) ── sh, process 1 of the container ── the program
//
// They are not tied to the runner: when it dies they go on, and the next runner finds them by pid and start time. What it
// could no longer learn as their parent, they leave in files: `.ready` when the program does its work, `.exit` with its
// code at the end.
import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { err, failure, ok } from '../../lib/result.ts';
import { programFor } from '../images.ts';
import { identify, isAlive } from '../state.ts';
import type { ContainerRecord, Containers, ContainerSpec } from './types.ts';

/** $1 host name, $2 hosts file, $3 exit file; the rest is the program. */
const containerScript = `
hostname "$1"
mount -n -t sysfs sysfs /sys
mount -n --bind "$2" /etc/hosts
exit_file=$3
shift 3
trap 'kill -TERM $program 2>/dev/null' TERM
"$@" &
program=$!
wait $program; code=$?
while kill -0 $program 2>/dev/null; do wait $program; code=$?; done
echo $code > "$exit_file.new" && mv "$exit_file.new" "$exit_file"
exit $code
`;

export type ContainersOptions = {
  /** On the node, e.g. `/run/margay/pods`: hosts, ready and exit files. */
  readonly directory: string;
  /** `/var/log/pods`. */
  readonly logDirectory: string;
  /** Starts a built-in program: `[node, main.ts, pod]`. */
  readonly launcher: readonly string[];
  readonly nodeName: string;
  readonly hostAddress: string;
};

export function processContainers(options: ContainersOptions): Containers {
  mkdirSync(options.directory, { recursive: true });
  const fileOf = (uid: string, name: string, attempt: number, kind: string): string =>
    join(options.directory, `${uid}.${name}.${attempt}.${kind}`);
  return {
    start: async (spec) => {
      const program = programFor(spec.container);
      if (!program.ok) return program;
      const uid = spec.pod.metadata.uid ?? '';
      const { name } = spec.container;
      const ready = fileOf(uid, name, spec.attempt, 'ready');
      const exit = fileOf(uid, name, spec.attempt, 'exit');
      rmSync(ready, { force: true });
      rmSync(exit, { force: true });
      const hosts = join(options.directory, `${uid}.hosts`);
      writeFileSync(hosts, hostsText(spec));
      const host = spec.pod.spec.hostNetwork === true ? options.nodeName : hostNameOf(spec);
      const enter = spec.netns === undefined ? [] : ['nsenter', `--net=${spec.netns}`];
      const isolate = 'unshare --mount --uts --pid --fork --kill-child --mount-proc --propagation private';
      const [command = '', ...argv] = [
        ...enter,
        ...isolate.split(' '),
        'sh',
        '-c',
        containerScript,
        'margay-container',
        host,
        hosts,
        exit,
        ...options.launcher,
        program.value.name,
        ...program.value.args,
      ];
      const log = openLog(options.logDirectory, spec);
      const child = spawn(command, argv, {
        cwd: '/',
        detached: true,
        env: { ...environment(spec, options), MARGAY_READY: ready },
        stdio: ['ignore', log, log],
      });
      closeSync(log);
      // Its end is learnt from the process table and the exit file, as for containers of an earlier runner.
      child.on('error', () => undefined);
      child.unref();
      const identity = child.pid === undefined ? undefined : identify(child.pid);
      return identity === undefined
        ? err(failure('StartFailed', `Cannot start ${name}: ${command} does not run.`))
        : ok(identity);
    },
    inspect: (pod, name, record) => {
      if (isAlive(record.process))
        return { type: 'running', ready: exists(fileOf(pod.uid, name, record.attempt, 'ready')) };
      const file = fileOf(pod.uid, name, record.attempt, 'exit');
      const code = readCode(file);
      // Without a file even its process 1 was killed.
      const exitCode = code ?? 137;
      return {
        type: 'ended',
        exitCode,
        ...(exitCode > 128 && exitCode <= 128 + 64 ? { signal: exitCode - 128 } : {}),
        finishedAt: timeOf(file),
      };
    },
    signal: (record, signal) => signalContainer(record, signal),
    forget: (uid) => {
      for (const file of readdirSync(options.directory))
        if (file.startsWith(`${uid}.`)) rmSync(join(options.directory, file), { force: true });
    },
  };
}

/** SIGTERM goes to process 1 of the container, which passes it on; SIGKILL of the parent takes process 1 with it. */
function signalContainer(record: ContainerRecord, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (!isAlive(record.process)) return;
  const { pid } = record.process;
  let target = pid;
  if (signal === 'SIGTERM') {
    try {
      const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      if (child !== undefined && child !== '') target = Number(child);
    } catch {
      // It ended meanwhile.
    }
  }
  try {
    process.kill(target, signal);
  } catch {
    // It ended meanwhile.
  }
}

const hostNameOf = (spec: ContainerSpec): string => spec.pod.spec.hostname ?? spec.pod.metadata.name;

function hostsText(spec: ContainerSpec): string {
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];
  for (const address of spec.addresses) lines.push(`${address} ${hostNameOf(spec)}`);
  return `${lines.join('\n')}\n`;
}

/** The pod's own variables and those of its image; `valueFrom` knows the fields a runner can answer. */
function environment(spec: ContainerSpec, options: ContainersOptions): Record<string, string> {
  const { pod } = spec;
  const fields: Readonly<Record<string, string | undefined>> = {
    'metadata.name': pod.metadata.name,
    'metadata.namespace': pod.metadata.namespace,
    'metadata.uid': pod.metadata.uid,
    'spec.nodeName': options.nodeName,
    'spec.serviceAccountName': pod.spec.serviceAccountName,
    'status.podIP': spec.addresses[0],
    'status.podIPs': spec.addresses.join(','),
    'status.hostIP': options.hostAddress,
  };
  const own: Record<string, string> = {};
  for (const variable of spec.container.env ?? []) {
    const path = fieldPath(variable.valueFrom);
    const value = variable.value ?? (path === undefined ? undefined : fields[path]);
    if (value !== undefined) own[variable.name] = value;
  }
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOSTNAME: hostNameOf(spec),
    POD_NAME: pod.metadata.name,
    POD_NAMESPACE: pod.metadata.namespace ?? 'default',
    ...(spec.addresses[0] === undefined ? {} : { POD_IP: spec.addresses[0] }),
    NODE_NAME: options.nodeName,
    ...own,
  };
}

function fieldPath(source: unknown): string | undefined {
  const reference = (source as { readonly fieldRef?: { readonly fieldPath?: string } } | null | undefined)
    ?.fieldRef;
  return reference?.fieldPath;
}

function openLog(root: string, spec: ContainerSpec): number {
  const { metadata } = spec.pod;
  const folder = join(
    root,
    `${metadata.namespace ?? 'default'}_${metadata.name}_${metadata.uid ?? ''}`,
    spec.container.name,
  );
  mkdirSync(folder, { recursive: true });
  return openSync(join(folder, `${spec.attempt}.log`), 'a');
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

function readCode(path: string): number | undefined {
  try {
    const code = Number(readFileSync(path, 'utf8').trim());
    return Number.isInteger(code) ? code : undefined;
  } catch {
    return undefined;
  }
}

function timeOf(path: string): string {
  try {
    return statSync(path).mtime.toISOString();
  } catch {
    return new Date().toISOString();
  }
}
