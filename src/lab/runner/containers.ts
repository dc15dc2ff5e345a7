// Containers as processes: each in the pod's network namespace and in mount, host name and process namespaces of its own.
//
//   runner ── unshare (--kill-child) ── sh, process 1 of the container ── the program
//
// They are not tied to the runner: when it dies they go on, and the next runner finds them by pid and start time. What it
// could no longer learn as their parent, they leave in files: `.ready` when the program does its work, `.exit` with its
// code at the end. Those with a console (`stdin`, `tty`) are the exception: the runner holds it, and they end with it.
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
import { type Program, programFor } from '../images.ts';
import { identify, isAlive } from '../state.ts';
import { checkProbe } from './probe-checks.ts';
import { Console } from './streams/consoles.ts';
import { onPipes, onTerminal } from './streams/execution.ts';
import { LogTimes } from './streams/log-times.ts';
import type { ContainerRecord, Containers, ContainerSpec } from './types.ts';
import type { Mount } from './volumes/mod.ts';

/** $1 host name, $2 exit file, $3 a directory of its own, $4 working directory, $5 how many mounts
 *  follow: source, target, `ro` or `rw` of each; the rest is the program.
 *
 *  The container's root is a layer of its own over the node's, with the node's other file systems in it: what it writes stays
 *  with it, and mount points can be made anywhere. Of /run what is mounted below it stays away: a network namespace lives as
 *  long as somebody has it mounted. Where the kernel allows no such layer it has the node's root. A program
 *  in the background would lose its standard input, hence descriptor 3. */
const containerScript = `
trap 'stop=1; [ -n "$program" ] && kill -TERM $program 2>/dev/null' TERM
hostname "$1"; exit_file=$2; layer=$3; work_dir=$4; mounts=$5; shift 5
end() {
  echo $1 > "$exit_file.new" && mv "$exit_file.new" "$exit_file"
  exit $1
}
# In the node's own network it is there.
mount -n -t sysfs sysfs /sys 2>/dev/null
root=$layer/root; old=
mkdir -p $layer/upper $layer/work $root
if mount -n -t overlay -o lowerdir=/,upperdir=$layer/upper,workdir=$layer/work margay-container $root 2>/dev/null; then
  while read -r id _ _ _ point _; do [ "$point" = / ] && base=$id; done < /proc/self/mountinfo
  seen=' '
  while read -r _ parent _ _ point _; do
    [ "$parent" = "$base" ] && [ "$point" != / ] || continue
    case $seen in *" $point "*) continue ;; esac
    seen="$seen$point "
    how=--rbind; [ "$point" = /run ] && how=--bind
    mount -n $how "$point" "$root$point" 2>/dev/null
  done < /proc/self/mountinfo
  mkdir -p $root/.node && pivot_root $root $root/.node && old=/.node
fi
cd /
while [ $mounts -gt 0 ]; do
  if [ -d "$old$1" ]; then mkdir -p "$2"
  else mkdir -p "\${2%/*}/" && { [ -e "$2" ] || : > "$2"; }
  fi
  mount -n --rbind "$old$1" "$2" || { echo "cannot mount $1 at $2" >&2; end 128; }
  [ $3 = rw ] || mount -n -o remount,bind,ro "$2"
  shift 3; mounts=$((mounts - 1))
done
[ -z "$old" ] || { umount -n -l $old && rmdir $old; }
mkdir -p "$work_dir" && cd "$work_dir" || end 128
exec 3<&0
"$@" <&3 3<&- &
program=$!
[ -n "$stop" ] && kill -TERM $program
wait $program; code=$?
while kill -0 $program 2>/dev/null; do wait $program; code=$?; done
end $code
`;

export type ContainersOptions = {
  /** On the node, e.g. `/run/margay/pods`: hosts, ready and exit files. */
  readonly directory: string;
  /** `/var/log/pods`. */
  readonly logDirectory: string;
  /** Starts a built-in program: `[node, main.ts, pod]`. */
  readonly launcher: readonly string[];
  readonly nodeName: string;
  /** Where pods ask for names of services. */
  readonly clusterDns: string;
};

export function processContainers(options: ContainersOptions): Containers {
  mkdirSync(options.directory, { recursive: true });
  const fileOf = (uid: string, name: string, attempt: number, kind: string): string =>
    join(options.directory, `${uid}.${name}.${attempt}.${kind}`);
  const consoles = new Map<string, Console>();
  const times = new LogTimes();
  const startWithConsole = async (
    spec: ContainerSpec,
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    log: string,
  ): ReturnType<Containers['start']> => {
    const tty = spec.container.tty === true;
    const started = await (tty ? onTerminal(words, { TERM: 'xterm', ...env }) : onPipes(words, env));
    if (!started.ok) return started;
    const identity = identify(started.value.pid);
    if (identity === undefined)
      return err(failure('StartFailed', `Cannot start ${spec.container.name}: it ended at once.`));
    times.follow(log);
    const key = `${spec.pod.metadata.uid ?? ''} ${spec.container.name} ${spec.attempt}`;
    const once = spec.container.stdinOnce === true;
    consoles.set(key, new Console(started.value, log, { stdin: spec.container.stdin === true, once }));
    void started.value.exitCode.then(() => consoles.delete(key));
    return ok(identity);
  };
  return {
    start: async (spec) => {
      const program = programFor(spec.container);
      if (!program.ok) return program;
      const tty = spec.container.tty === true;
      const uid = spec.pod.metadata.uid ?? '';
      const { name } = spec.container;
      const ready = fileOf(uid, name, spec.attempt, 'ready');
      const exit = fileOf(uid, name, spec.attempt, 'exit');
      rmSync(ready, { force: true });
      rmSync(exit, { force: true });
      const host = spec.pod.spec.hostNetwork === true ? options.nodeName : hostNameOf(spec);
      const mounts = [...ownFiles(spec, options), ...spec.mounts];
      const [command = '', ...argv] = [
        ...isolation(spec),
        'sh',
        '-c',
        containerScript,
        'margay-container',
        host,
        exit,
        join(options.directory, `${uid}.${name}.${spec.attempt}.files`),
        spec.container.workingDir ?? '/',
        String(mounts.length),
        ...mounts.flatMap(({ source, target, readOnly }) => [source, target, readOnly ? 'ro' : 'rw']),
        // A terminal makes the program the leader of its session; what runs in a shell's background ignores interrupts.
        ...(tty ? ['setsid', '--ctty', 'env', '--default-signal=INT,QUIT'] : []),
        ...wordsOf(program.value, options.launcher),
      ];
      const env = { ...spec.variables, MARGAY_READY: ready };
      if (tty || spec.container.stdin === true)
        return startWithConsole(spec, [command, ...argv], env, openLog(options.logDirectory, spec));
      const path = openLog(options.logDirectory, spec);
      const log = openSync(path, 'a');
      times.follow(path);
      const child = spawn(command, argv, {
        cwd: '/',
        detached: true,
        env,
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
    check: (probe, { spec, address }, record, timeoutMs) =>
      checkProbe(
        probe,
        {
          address,
          container: spec,
          initPid: isAlive(record.process) ? firstChild(record.process.pid) : undefined,
        },
        timeoutMs,
      ),
    forget: (uid) => {
      for (const file of readdirSync(options.directory))
        if (file.startsWith(`${uid}.`))
          rmSync(join(options.directory, file), { force: true, recursive: true });
    },
    removeLogs: ({ namespace, name, uid }) => {
      const folder = podLogFolder(options.logDirectory, namespace, name, uid);
      times.forgetBelow(folder);
      rmSync(folder, { force: true, recursive: true });
    },
    initPid: (record) => (isAlive(record.process) ? firstChild(record.process.pid) : undefined),
    logFolder: ({ namespace, name, uid }, container) =>
      join(podLogFolder(options.logDirectory, namespace, name, uid), container),
    console: (uid, name, attempt) => consoles.get(`${uid} ${name} ${attempt}`),
    resume: ({ namespace, name, uid }, container, attempt) =>
      times.follow(
        join(podLogFolder(options.logDirectory, namespace, name, uid), container, `${attempt}.log`),
      ),
  };
}

/** The words that make a container's namespaces. One that looks at another's processes is in its process namespace. */
function isolation({ netns, pod, target }: ContainerSpec): readonly string[] {
  const network = netns === undefined ? [] : [`--net=${netns}`];
  const targetPid =
    target !== undefined && isAlive(target.process) ? firstChild(target.process.pid) : undefined;
  const enter = [...network, ...(targetPid === undefined ? [] : [`--pid=/proc/${targetPid}/ns/pid`])];
  const own =
    targetPid !== undefined
      ? '--mount-proc'
      : pod.spec.hostPID === true
        ? '--fork --kill-child'
        : '--pid --fork --kill-child --mount-proc';
  return [
    ...(enter.length === 0 ? [] : ['nsenter', ...enter]),
    ...`unshare --mount --uts ${own} --propagation private`.split(' '),
  ];
}

/** The files that every container has of its pod. */
function ownFiles(spec: ContainerSpec, options: ContainersOptions): readonly Mount[] {
  const uid = spec.pod.metadata.uid ?? '';
  const write = (suffix: string, text: string, target: string): Mount => {
    const source = join(options.directory, `${uid}.${suffix}`);
    writeFileSync(source, text);
    return { source, target, readOnly: false };
  };
  const resolver = resolverText(spec.pod, options.clusterDns);
  return [
    write('hosts', hostsText(spec), '/etc/hosts'),
    ...(resolver === undefined ? [] : [write('resolv', resolver, '/etc/resolv.conf')]),
  ];
}

/** A built-in program, or one of the machine that says itself that it is ready. */
const wordsOf = (program: Program, launcher: readonly string[]): readonly string[] =>
  program.name === 'command'
    ? ['sh', '-c', ': > "$MARGAY_READY"; unset MARGAY_READY; exec "$@"', 'sh', ...program.args]
    : [...launcher, program.name, ...program.args];

const podLogFolder = (root: string, namespace: string, name: string, uid: string): string =>
  join(root, `${namespace}_${name}_${uid}`);

/** SIGTERM goes to process 1 of the container, which passes it on; SIGKILL of the parent takes process 1 with it. */
function signalContainer(record: ContainerRecord, signal: 'SIGTERM' | 'SIGKILL'): boolean {
  if (!isAlive(record.process)) return true;
  const { pid } = record.process;
  const child = firstChild(pid);
  if (signal === 'SIGTERM' && (child === undefined || !hears(child))) return false;
  // One in another's process namespace does not go with its parent.
  const targets = signal === 'SIGTERM' ? [child] : [pid, child];
  for (const target of targets) {
    try {
      if (target !== undefined) process.kill(target, signal);
    } catch {
      // It ended meanwhile.
    }
  }
  return true;
}

/** Whether the process has a handler for SIGTERM: the first of a namespace is deaf to it without. */
function hears(pid: number): boolean {
  const terminate = 1n << 14n;
  try {
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return (BigInt(`0x${caught ?? '0'}`) & terminate) !== 0n;
  } catch {
    // It ended meanwhile.
    return true;
  }
}

/** Process 1 of the container, whose parent this is. */
function firstChild(pid: number): number | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    return child === undefined || child === '' ? undefined : Number(child);
  } catch {
    return undefined;
  }
}

const hostNameOf = (spec: ContainerSpec): string => spec.pod.spec.hostname ?? spec.pod.metadata.name;

function hostsText(spec: ContainerSpec): string {
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];
  for (const address of spec.addresses) lines.push(`${address} ${hostNameOf(spec)}`);
  for (const { ip, hostnames = [] } of spec.pod.spec.hostAliases ?? [])
    lines.push([ip, ...hostnames].join(' '));
  return `${lines.join('\n')}\n`;
}

/** What `dnsPolicy` and `dnsConfig` make of the resolver's file; undefined: the node's own. */
function resolverText(pod: ContainerSpec['pod'], clusterDns: string): string | undefined {
  const { dnsPolicy = 'ClusterFirst', dnsConfig, hostNetwork } = pod.spec;
  const isCluster =
    dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && hostNetwork !== true);
  if (!isCluster && dnsPolicy !== 'None' && dnsConfig === undefined) return undefined;
  const namespace = pod.metadata.namespace ?? 'default';
  const zone = 'cluster.local';
  const servers = [...(isCluster ? [clusterDns] : []), ...(dnsConfig?.nameservers ?? [])];
  const searches = [
    ...(isCluster ? [`${namespace}.svc.${zone}`, `svc.${zone}`, zone] : []),
    ...(dnsConfig?.searches ?? []),
  ];
  const given = (dnsConfig?.options ?? []).map(({ name, value }) => (value ? `${name}:${value}` : name));
  const dots = isCluster && !given.some((one) => one?.startsWith('ndots')) ? ['ndots:5'] : [];
  const settings = [...dots, ...given];
  return [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(settings.length > 0 ? [`options ${settings.join(' ')}`] : []),
    '',
  ].join('\n');
}

/** The path of the container's log, which is there afterwards. */
function openLog(root: string, spec: ContainerSpec): string {
  const { name, namespace = 'default', uid = '' } = spec.pod.metadata;
  const folder = join(podLogFolder(root, namespace, name, uid), spec.container.name);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${spec.attempt}.log`);
  closeSync(openSync(path, 'a'));
  return path;
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
