// What the machine must have before a lab can start: tools, and the permission to make namespaces.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, failure, ok, type Result } from '../lib/result.ts';
import type { BackendName } from './backends.ts';
import type { LabError } from './types.ts';

/** Tool and the Debian package that has it. */
const tools: readonly (readonly [string, string])[] = [
  ['unshare', 'util-linux'],
  ['nsenter', 'util-linux'],
  ['mount', 'mount'],
  ['ip', 'iproute2'],
  ['hostname', 'hostname'],
  ['sleep', 'coreutils'],
  ['ping', 'iputils-ping'],
];

/** The PATH of everything that runs in the lab: the user's, and the folders of system tools. */
export function labPath(path = process.env['PATH'] ?? ''): string {
  const folders = path.split(':').filter((folder) => folder !== '');
  for (const folder of ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'])
    if (!folders.includes(folder)) folders.push(folder);
  return folders.join(':');
}

export function findTool(name: string, path = labPath()): string | undefined {
  for (const folder of path.split(':')) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // The next folder.
    }
  }
  return undefined;
}

/** Where Debian has the reference plugins of CNI. */
export const packagedPlugins = '/usr/lib/cni';
/** It hands out addresses where another network has the pods. */
export const rangePlugin = 'host-local';

export function checkTools(
  backend: BackendName,
  engine: 'native' | 'bird' = 'native',
  path = labPath(),
): Result<void, LabError> {
  const wanted = engine === 'bird' ? [...tools, ['bird', 'bird2'] as const] : tools;
  const missing = wanted.filter(([name]) => findTool(name, path) === undefined);
  if (backend === 'none' && findTool(rangePlugin, packagedPlugins) === undefined)
    missing.push([rangePlugin, 'containernetworking-plugins']);
  if (missing.length === 0) return ok(undefined);
  const packages = [...new Set(missing.map(([, name]) => name))].join(' ');
  return err(
    failure(
      'MissingTool',
      `The lab needs ${missing.map(([name]) => name).join(', ')}, which this machine does not have.`,
      `Install with: apt-get install -y ${packages}`,
    ),
  );
}

/** With less for each of its processes a lab does not come up, it makes the machine kill programs. */
const leastMiBPerProcess = 24;

export function checkMemory(processes: number, availableMiB = availableMemoryMiB()): Result<void, LabError> {
  const least = processes * leastMiBPerProcess;
  if (availableMiB >= least) return ok(undefined);
  return err(
    failure(
      'LittleMemory',
      `The lab needs at least ${least} MiB of memory for its ${processes} processes, and ${Math.floor(availableMiB)} MiB are available.`,
      'Choose fewer nodes with --nodes, or end other programs.',
    ),
  );
}

/** Of the machine, or of the control group that this process is in when that allows less. */
function availableMemoryMiB(): number {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  const machine = Number(/^MemAvailable: +(\d+) kB/m.exec(read('/proc/meminfo'))?.[1] ?? Number.NaN) / 1024;
  const group = `/sys/fs/cgroup${/^0::(\S+)/m.exec(read('/proc/self/cgroup'))?.[1] ?? ''}`;
  const limit = Number.parseInt(read(join(group, 'memory.max')), 10);
  const left = (limit - Number.parseInt(read(join(group, 'memory.current')), 10)) / 2 ** 20;
  return Math.min(
    Number.isNaN(machine) ? Number.POSITIVE_INFINITY : machine,
    Number.isNaN(left) ? Number.POSITIVE_INFINITY : left,
  );
}

/** How namespaces can be made here: as root directly, else inside a user namespace. */
export function checkPermission(): Result<{ readonly userNamespace: boolean }, LabError> {
  const probe = (user: readonly string[]): { ok: boolean; why: string } => {
    const result = spawnSync('unshare', [...user, '--net', '--mount', '--uts', '--pid', '--fork', 'true'], {
      encoding: 'utf8',
      env: { ...process.env, PATH: labPath() },
    });
    return { ok: result.status === 0, why: (result.stderr ?? '').trim().split('\n')[0] ?? '' };
  };
  if (process.getuid?.() === 0 && probe([]).ok) return ok({ userNamespace: false });
  const inUserNamespace = probe(['--user', '--map-root-user']);
  if (inUserNamespace.ok) return ok({ userNamespace: true });
  return err(
    failure(
      'NotPermitted',
      `This user may not make network namespaces${inUserNamespace.why === '' ? '' : ` (${inUserNamespace.why})`}.`,
      userNamespaceHint(),
    ),
  );
}

function userNamespaceHint(): string {
  const read = (name: string): string => {
    try {
      return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
    } catch {
      return '';
    }
  };
  if (read('kernel/unprivileged_userns_clone') === '0')
    return 'Run it as root, or allow user namespaces with: sysctl -w kernel.unprivileged_userns_clone=1';
  if (read('kernel/apparmor_restrict_unprivileged_userns') === '1')
    return 'Run it as root, or allow user namespaces with: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0';
  if (read('user/max_user_namespaces') === '0')
    return 'Run it as root, or allow user namespaces with: sysctl -w user.max_user_namespaces=10000';
  return 'Run it as root (a container needs the capability SYS_ADMIN, e.g. --privileged).';
}
