// Running a command inside of a machine of the lab: `lab exec` and `lab shell`. From outside it goes through process 1 of
// the lab (whose pid is known here) to the process that holds the machine's namespaces (whose pid is known there).
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, failure, ok, type Result } from '../lib/result.ts';
import { sandboxesOf } from './inside.ts';
import { labStatus } from './launcher.ts';
import { findTool, labPath } from './requirements.ts';
import type { LabPaths } from './state.ts';
import type { LabError, LabRecord, LabStatus, MachineStatus } from './types.ts';

export type Entrance = {
  readonly machine: MachineStatus;
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
};

export async function findEntrance(name: string, machineName: string): Promise<Result<Entrance, LabError>> {
  const found = await labStatus(name);
  if (!found.ok) return found;
  const { lab, record, paths } = found.value;
  if (machineName.startsWith('pod/')) return entranceOfPod(machineName.slice(4), lab, record, paths);
  const machine = lab.machines.find((m) => m.name === machineName);
  if (machine === undefined)
    return err(
      failure(
        'UnknownMachine',
        `There is no node "${machineName}" in the lab.`,
        `Nodes and routers: ${lab.machines.map((m) => m.name).join(', ')}. Pods: pod/NAME.`,
      ),
    );
  return ok({ machine, argv: entranceTo(machine, record, paths), env: environment(lab, paths) });
}

/** `NAME` or `NAMESPACE/NAME`: the pod's network namespace, with the files and tools of its node. */
function entranceOfPod(
  text: string,
  lab: LabStatus,
  record: LabRecord,
  paths: LabPaths,
): Result<Entrance, LabError> {
  const [name = '', namespace] = text.split('/').reverse();
  const known: string[] = [];
  for (const machine of lab.machines.filter((m) => m.role === 'node'))
    for (const pod of sandboxesOf(record, machine)) {
      if (pod.netns === undefined) continue;
      known.push(pod.name);
      if (pod.name !== name || (namespace !== undefined && pod.namespace !== namespace)) continue;
      const argv = [...entranceTo(machine, record, paths), 'nsenter', `--net=${pod.netns}`, '--'];
      return ok({ machine, argv, env: environment(lab, paths) });
    }
  return err(
    failure(
      'UnknownMachine',
      `There is no pod "${text}" in the lab.`,
      known.length === 0 ? 'No pod runs there.' : `Pods: ${known.slice(0, 20).join(', ')}.`,
    ),
  );
}

/** The words in front of a command that run it inside of the machine. */
function entranceTo(machine: MachineStatus, record: LabRecord, paths: LabPaths): string[] {
  const inner = ['nsenter', `--target=${machine.holderPid}`, '--net', '--mount', '--uts', '--'];
  if (isInside(paths)) return inner;
  return [
    'nsenter',
    `--target=${record.init.pid}`,
    ...(record.userNamespace ? ['--user', '--preserve-credentials'] : []),
    '--net',
    '--mount',
    '--uts',
    '--pid',
    '--',
    ...inner,
  ];
}

export const isInside = (paths: LabPaths): boolean => process.env['MARGAY_LAB_STATE'] === paths.directory;

function environment(lab: LabStatus, paths: LabPaths): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: `${paths.bin}:${labPath()}`,
    KUBECONFIG: paths.insideKubeconfig,
    MARGAY_LAB: lab.name,
    MARGAY_LAB_STATE: paths.directory,
  };
}

/** Runs a command with this terminal; gives its exit code. */
export async function execIn(
  name: string,
  machineName: string,
  command: readonly string[],
): Promise<Result<number, LabError>> {
  const entrance = await findEntrance(name, machineName);
  return entrance.ok ? runInside(entrance.value, command) : entrance;
}

function runInside(entrance: Entrance, command: readonly string[]): Promise<Result<number, LabError>> {
  const [program = '', ...argv] = [...entrance.argv, ...command];
  return new Promise((resolve) => {
    const child = spawn(program, argv, { stdio: 'inherit', env: entrance.env, cwd: '/' });
    // The terminal sends these to the command as well: it decides.
    const ignore = (): void => undefined;
    process.on('SIGINT', ignore);
    process.on('SIGQUIT', ignore);
    child.on('error', (error) =>
      resolve(err(failure('MissingTool', `Cannot run ${program}: ${error.message}.`))),
    );
    child.on('exit', (code, signal) => {
      process.off('SIGINT', ignore);
      process.off('SIGQUIT', ignore);
      resolve(ok(code ?? (signal === null ? 1 : 128)));
    });
  });
}

/** Captures what a command prints; for the report of `lab start` and for tests. */
export async function outputOf(
  entrance: Entrance,
  command: readonly string[],
  timeoutMs = 20_000,
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const [program = '', ...argv] = [...entrance.argv, ...command];
  return new Promise((resolve) => {
    const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'pipe'], env: entrance.env, cwd: '/' });
    let out = '';
    let errors = '';
    const deadline = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk;
    });
    const end = (code: number): void => {
      clearTimeout(deadline);
      resolve({ code, out, err: errors });
    };
    child.on('error', (error) => {
      errors += error.message;
      end(127);
    });
    child.on('close', (code) => end(code ?? 137));
  });
}

/** What a command prints on one machine of a lab, or in the network of a pod. */
export async function outputAt(
  name: string,
  machine: string,
  command: readonly string[],
): Promise<Result<{ readonly code: number; readonly out: string }, LabError>> {
  const entrance = await findEntrance(name, machine);
  return entrance.ok ? ok(await outputOf(entrance.value, command)) : entrance;
}

/** What a command prints on each node of a lab. */
export async function outputsOf(
  name: string,
  command: readonly string[],
): Promise<Result<readonly { readonly machine: string; readonly out: string }[], LabError>> {
  const found = await labStatus(name);
  if (!found.ok) return found;
  const nodes = found.value.lab.machines.filter(({ role }) => role === 'node');
  const outputs = nodes.map(async ({ name: machine }) => {
    const entrance = await findEntrance(name, machine);
    return { machine, out: entrance.ok ? (await outputOf(entrance.value, command)).out : '' };
  });
  return ok(await Promise.all(outputs));
}

export async function shellIn(
  name: string,
  machineName: string | undefined,
): Promise<Result<number, LabError>> {
  const found = await labStatus(name);
  if (!found.ok) return found;
  const { lab, paths } = found.value;
  const first = lab.machines.find((m) => m.role === 'node')?.name ?? '';
  const entrance = await findEntrance(name, machineName ?? first);
  if (!entrance.ok) return entrance;
  const bash = findTool('bash');
  if (bash === undefined) return runInside(entrance.value, ['sh', '-i']);
  const rc = join(paths.bin, 'bashrc');
  writeFileSync(rc, shellFile(lab, entrance.value.machine));
  return runInside(entrance.value, [bash, '--rcfile', rc, '-i']);
}

function shellFile(lab: LabStatus, machine: MachineStatus): string {
  const names = lab.machines.map((m) => m.name).join(', ');
  const banner = [
    `You are on ${machine.name} (${machine.addresses.join(', ') || 'no address'}) of the lab "${lab.name}", topology ${lab.topology}.`,
    'It has no way out: what you do here stays in the lab. Leave with exit.',
    '',
    '  ip route                         routes of this machine; proto bird came by BGP',
    '  kubectl get pods -A -o wide      the cluster, from inside',
    '  calicoctl node status            the BGP sessions of this node',
    '  on worker2 ip route              a command on another machine',
    '  on pod/NAME ip route             … in the network of a pod, wherever it runs',
    '  tcpdump -eni any icmp            what passes by',
    '',
    `Machines: ${names}`,
  ];
  return [
    `PS1='[${lab.name}] ${machine.name} \\w# '`,
    'cd /',
    // The history would be written to the user's home, outside of the lab.
    'unset HISTFILE',
    `cat <<'MARGAY_END'\n${banner.join('\n')}\nMARGAY_END`,
    '',
  ].join('\n');
}
