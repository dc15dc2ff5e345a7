// The lab's directory on the real file system: the only place outside its namespaces that it writes to. It holds
// lab.json, both kubeconfigs, the logs, the supervisor's socket, and goes away with the lab.
import { mkdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { err, failure, ok, type Result } from '../lib/result.ts';
import type { LabError, LabRecord, ProcessIdentity } from './types.ts';

export type LabPaths = {
  readonly directory: string;
  readonly record: string;
  /** For kubectl outside of the lab and inside of it. */
  readonly kubeconfig: string;
  readonly insideKubeconfig: string;
  readonly socket: string;
  readonly logs: string;
  /** Programs for the lab's shells. */
  readonly bin: string;
};

/** Where a lab of this name keeps its state. The socket's path must fit into 107 bytes, hence the short names. */
export function labPaths(name: string): Result<LabPaths, LabError> {
  if (!/^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$/.test(name)) {
    return err(
      failure(
        'BadName',
        `"${name}" is not a name for a lab.`,
        'Use up to 24 lower-case letters, digits and dashes.',
      ),
    );
  }
  const directory = join(baseDirectory(), name);
  const { socket } = pathsOf(directory);
  if (Buffer.byteLength(socket) > 107)
    return err(
      failure(
        'StateDirectory',
        `The path ${socket} is too long for a Unix socket.`,
        'Set XDG_RUNTIME_DIR to a shorter path, or unset it.',
      ),
    );
  return ok(pathsOf(directory));
}

/** The parts of a state directory. */
export const pathsOf = (directory: string): LabPaths => ({
  directory,
  record: join(directory, 'lab.json'),
  kubeconfig: join(directory, 'kubeconfig'),
  insideKubeconfig: join(directory, 'kubeconfig-inside'),
  socket: join(directory, 'sock'),
  logs: join(directory, 'logs'),
  bin: join(directory, 'bin'),
});

function baseDirectory(): string {
  const uid = process.getuid?.() ?? 0;
  const runtime = process.env['XDG_RUNTIME_DIR'];
  if (runtime !== undefined && runtime.startsWith('/') && writable(runtime))
    return join(runtime, 'margay-lab');
  return `/tmp/margay-lab-${uid}`;
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Makes the directory for this user alone; refuses one that belongs to somebody else. */
export async function createState(paths: LabPaths): Promise<Result<void, LabError>> {
  const parent = dirname(paths.directory);
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const info = await stat(parent);
    if (info.uid !== process.getuid?.() || (info.mode & 0o022) !== 0)
      return err(
        failure(
          'StateDirectory',
          `${parent} does not belong to this user alone.`,
          'Remove it, or set XDG_RUNTIME_DIR to a directory of yours.',
        ),
      );
    await mkdir(paths.directory, { mode: 0o700 });
    await mkdir(paths.logs);
    await mkdir(paths.bin);
    return ok(undefined);
  } catch (error) {
    return stateRefused(paths, error);
  }
}

const words: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left there',
  EDQUOT: 'the quota of this user is used up',
  EROFS: 'it is on a file system that is read-only',
  EACCES: 'this user may not write there',
};

/** What a file system refused, in a sentence. A bug is thrown on. */
export function stateRefused(paths: LabPaths, error: unknown): Result<never, LabError> {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  // A folder that cannot be made is not missing: its parent does not take it.
  const parent = dirname(dirname(paths.directory));
  const why = words[code] ?? (code === 'ENOENT' && !writable(parent) ? words['EROFS'] : undefined) ?? message;
  return err(
    failure(
      'StateDirectory',
      `Cannot keep the lab's state in ${paths.directory}: ${why}.`,
      'Set XDG_RUNTIME_DIR to a directory of yours elsewhere.',
    ),
  );
}

/** Removes everything, and the parent when this was the last lab. */
export async function removeState(paths: LabPaths): Promise<void> {
  await rm(paths.directory, { recursive: true, force: true });
  await rmdir(dirname(paths.directory)).catch(() => undefined);
}

export async function writeRecord(paths: LabPaths, record: LabRecord): Promise<void> {
  await writeFile(paths.record, `${JSON.stringify(record, undefined, 2)}\n`);
}

/** The record of a lab that runs; `stale` when there is a directory but no living lab. */
export async function readRecord(paths: LabPaths): Promise<LabRecord | 'stale' | 'none'> {
  try {
    await stat(paths.directory);
  } catch {
    return 'none';
  }
  try {
    const record = JSON.parse(await readFile(paths.record, 'utf8')) as LabRecord;
    return isAlive(record.parent) ? record : 'stale';
  } catch {
    return 'stale';
  }
}

/** Pid and start time of a process; undefined when there is none. */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name is in parentheses and may hold anything; fields are counted from the last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const startTicks = fields[19];
    return state === 'Z' || startTicks === undefined ? undefined : { pid, startTicks };
  } catch {
    return undefined;
  }
}

export const isAlive = (identity: ProcessIdentity): boolean =>
  identify(identity.pid)?.startTicks === identity.startTicks;
