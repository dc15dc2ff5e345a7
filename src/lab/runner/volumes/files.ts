// The places of volumes on a node:
//
//   DIRECTORY/volumes/UID/NAME            emptyDir (tmpfs when in memory), and the files of objects
//   DIRECTORY/host-paths/PATH             hostPath: what the machine has there, and what pods of the node changed
//
// Directories that a lab's node has for itself (/run, /etc, /var/lib, …) are given to pods as they are. The rest of a node's file
// system is the machine's own, which a lab never changes: pods get a copy of it whose changes stay with the node.
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { err, failure, ok, type Result } from '../../../lib/result.ts';
import { writeAtomically } from './atomic-files.ts';
import type { VolumeError, VolumeFiles, VolumePlace } from './types.ts';

const run = promisify(execFile);
/** Where a node's mount namespace has file systems of its own (init-script.ts of the lab). */
const ownDirectories = ['/run', '/etc', '/opt', '/var/lib', '/var/log', '/sys', '/proc', '/dev'];
/** Looking at more files would keep the node busy. */
const mostFiles = 100_000;

const failed = (message: string): { readonly ok: false; readonly error: VolumeError } =>
  err(failure('VolumeFailed', message));

export function volumeFiles(directory: string): VolumeFiles {
  const root = join(directory, 'volumes');
  const placeOf = (uid: string, volume: string): string => join(root, uid, volume);
  const attempt = async (work: () => string | Promise<string>): Promise<Result<string, VolumeError>> => {
    try {
      return ok(await work());
    } catch (error) {
      return failed((error as Error).message);
    }
  };
  return {
    empty: (uid, volume, { inMemory, sizeBytes }) =>
      attempt(async () => {
        const place = placeOf(uid, volume);
        mkdirSync(place, { recursive: true });
        // The mask of this process does not count.
        chmodSync(place, 0o777);
        if (!inMemory || mountPoints().includes(place)) return place;
        const options = ['mode=0777', ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`])].join(',');
        await run('mount', ['-n', '-t', 'tmpfs', '-o', options, 'margay-volume', place]);
        return place;
      }),
    write: (uid, volume, payload) =>
      attempt(() => {
        const place = placeOf(uid, volume);
        writeAtomically(place, payload, new Date());
        return place;
      }),
    host: (path, type) => hostPlace(directory, path, type),
    within: (source, subPath) =>
      attempt(() => {
        if (subPath.startsWith('/') || subPath.split('/').includes('..'))
          throw new Error(`subPath "${subPath}" must be relative and must not contain '..'`);
        const wanted = join(source, subPath);
        if (!existsSync(wanted)) mkdirSync(wanted, { recursive: true, mode: 0o750 });
        const [found, volume] = [realpathSync(wanted), realpathSync(source)];
        if (found !== volume && !found.startsWith(`${volume}/`))
          throw new Error(`subPath "${subPath}" leads out of its volume`);
        return found;
      }),
    usedBytes,
    known: () => (existsSync(root) ? readdirSync(root) : []),
    release: async (uid) => {
      const folder = join(root, uid);
      if (!existsSync(folder)) return;
      for (const point of mountPoints().filter((one) => one.startsWith(`${folder}/`)))
        await run('umount', ['-n', '-l', point]).catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Of this process' namespace, the deepest last. */
function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((point) => point !== '');
}

const isOwn = (path: string): boolean =>
  ownDirectories.some((directory) => path === directory || path.startsWith(`${directory}/`));

async function hostPlace(
  directory: string,
  path: string,
  type: string,
): Promise<Result<VolumePlace, VolumeError>> {
  if (!path.startsWith('/') || path.split('/').includes('..'))
    return failed(`hostPath "${path}" must be absolute and must not contain '..'`);
  try {
    const shown = await shownPath(directory, resolved(path));
    const wrong = checked(shown.source, path, type);
    return wrong === undefined ? ok({ ...shown, source: realpathSync(shown.source) }) : failed(wrong);
  } catch (error) {
    return failed(`hostPath "${path}": ${(error as Error).message}`);
  }
}

/** Without symbolic links as far as it exists. */
function resolved(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const parent = dirname(path);
  return parent === path ? path : join(resolved(parent), path.slice(parent.length));
}

/** Where the pods of the node find it. */
async function shownPath(directory: string, path: string): Promise<VolumePlace> {
  if (isOwn(path)) return { source: path, isReadOnly: false };
  if (existsSync(path) && !statSync(path).isDirectory()) return { source: path, isReadOnly: true };
  const place = join(directory, 'host-paths', encodeURIComponent(path));
  const shown = join(place, 'shown');
  if (mountPoints().includes(shown)) return { source: shown, isReadOnly: false };
  await run('sh', ['-c', hostScript, 'margay-host-path', path, place]);
  return { source: shown, isReadOnly: false };
}

/** $1 the path, $2 the place: `shown` is the path with a layer over it, and with the node's own file systems below it; without
 *  what is mounted in /run, since a network namespace lives as long as somebody has it mounted. */
const hostScript = `
set -e
mkdir -p "$2/lower" "$2/upper" "$2/work" "$2/shown"
lower=$2/lower
[ -d "$1" ] && lower=$1
mount -n -t overlay -o "lowerdir=$lower,upperdir=$2/upper,workdir=$2/work" margay-host-path "$2/shown"
prefix=\${1%/}
for own in ${ownDirectories.join(' ')}; do
  case $own in
    "$prefix"/*)
      how=--rbind; [ $own = /run ] && how=--bind
      [ -d "$2/shown\${own#"$prefix"}" ] && mount -n $how "$own" "$2/shown\${own#"$prefix"}" ;;
  esac
done
true
`;

/** A sentence when the path is not of its type; what the type says is to be made is made. */
function checked(source: string, path: string, type: string): string | undefined {
  const is = existsSync(source) ? statSync(source) : undefined;
  const refused = (what: string): string => `hostPath type check failed: ${path} is not ${what}`;
  switch (type) {
    case '':
    case 'DirectoryOrCreate':
      if (is === undefined) mkdirSync(source, { recursive: true, mode: 0o755 });
      else if (type !== '' && !is.isDirectory()) return refused('a directory');
      return undefined;
    case 'Directory':
      // A place made for a path that the machine does not have is not that path.
      return is?.isDirectory() === true && (isOwn(source) ? true : existsSync(path))
        ? undefined
        : refused('a directory');
    case 'FileOrCreate':
      if (is === undefined) writeFileSync(source, '', { mode: 0o644 });
      return is === undefined || is.isFile() ? undefined : refused('a file');
    case 'File':
      return is?.isFile() === true ? undefined : refused('a file');
    case 'Socket':
      return is?.isSocket() === true ? undefined : refused('a socket file');
    case 'CharDevice':
      return is?.isCharacterDevice() === true ? undefined : refused('a character device');
    case 'BlockDevice':
      return is?.isBlockDevice() === true ? undefined : refused('a block device');
    default:
      return `${path}: there is no hostPath type ${type}`;
  }
}

async function usedBytes(path: string): Promise<number> {
  let bytes = 0;
  let left = mostFiles;
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined && left > 0; folder = folders.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      if (left-- <= 0) break;
      const full = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(full);
      else bytes += ((await lstat(full).catch(() => undefined))?.blocks ?? 0) * 512;
    }
  }
  return bytes;
}
