// Network namespaces: opening them by file, doing something inside of one, making and removing named ones, and telling the
// machine's root namespace from all others.
//
// `setns` moves the calling thread only, here the main thread of Node, and everything the thread starts meanwhile would
// stay behind in the foreign namespace (threads of libuv's pool, workers). Hence `withNamespace` takes a synchronous
// function and nothing else: no await, no callback API, no worker inside.
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { err, ok, type Result } from '../lib/result.ts';
import { errno, invalid, kernelError, systemError } from './errors.ts';
import { ffi, loadFfi } from './ffi.ts';
import { namedFolder, namedNamespacePath } from './named.ts';
import type { KernelError, Outcome } from './types.ts';

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;
const ownNamespace = '/proc/thread-self/ns/net';

/** An open namespace file: while it is open the namespace exists. */
export interface Namespace {
  readonly fd: number;
  readonly path: string;
  close(): void;
}

/** Opens `/var/run/netns/x`, `/proc/PID/ns/net`, or the caller's own namespace when no path is given. */
export async function openNamespace(path: string = ownNamespace): Promise<Result<Namespace, KernelError>> {
  await loadFfi();
  const opened = openNamespaceFile(path);
  if (!opened.ok) return opened;
  const fd = opened.value;
  let open = true;
  return ok({
    fd,
    path,
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  });
}

/** A descriptor of the namespace file; NoSuchObject when it is missing, InvalidArgument when it is something else. */
export function openNamespaceFile(path: string): Result<number, KernelError> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    return err(systemError(`open network namespace ${path}`, error));
  }
  home();
  if (isHome(fd)) return ok(fd);
  // The file of a namespace that was not mounted (an interrupted creation) is an ordinary one.
  if (ffi().setns(fd, CLONE_NEWNET) === 0) {
    restore();
    return ok(fd);
  }
  const number = ffi().errno();
  closeSync(fd);
  return number === errno.EINVAL
    ? invalid(`${path} is not a network namespace.`)
    : err(kernelError(`enter network namespace ${path}`, number));
}

/** The namespace this process started in, kept open to go back to. */
let homeFd: number | undefined;
let inside = false;

function home(): number {
  homeFd ??= openSync(ownNamespace, 'r');
  return homeFd;
}

/** The own namespace needs no entering, and none of the privileges for it. */
function isHome(fd: number): boolean {
  const own = fstatSync(home());
  const other = fstatSync(fd);
  return own.ino === other.ino && own.dev === other.dev;
}

/** There is no safe way to go on in a foreign namespace: whatever the process does next would hit the wrong host. */
function restore(): void {
  if (ffi().setns(home(), CLONE_NEWNET) === 0) return;
  writeFileSync(2, 'margay: cannot return to the own network namespace; ending at once\n');
  process.abort();
}

/** Runs a synchronous function inside the namespace (see the head of the file) and returns to the own one in any case. */
export function withNamespace<T>(fd: number, run: () => T): T {
  if (inside) throw new Error('withNamespace must not be nested');
  const away = !isHome(fd);
  if (away && ffi().setns(fd, CLONE_NEWNET) !== 0)
    throw new Error(`setns failed: errno ${ffi().errno()}; is the descriptor a network namespace?`);
  inside = true;
  try {
    const value = run();
    if (value instanceof Promise) throw new Error('withNamespace takes a synchronous function');
    return value;
  } finally {
    inside = false;
    if (away) restore();
  }
}

// ── the root namespace ───────────────────────────────────────────────────────────────────────────────────────────────
const fixedRootInode = 0xeffffff9;
const rootCookie = 1n;

/**
 * Whether the namespace is the one the machine booted with. /proc/1 cannot tell inside a PID namespace, so the kernel is
 * asked: since 6.18 the root namespace has a fixed inode; from 5.14 on it has socket cookie 1 (from 6.18 on cookies are
 * namespace ids of all kinds, and 1 is none of a network namespace). Before 5.14 only a namespace that visibly differs
 * from the one of process 1 counts as another; when in doubt it is the root.
 */
export function isRootNamespace(fd: number): boolean {
  const inode = fstatSync(fd).ino;
  if (inode === fixedRootInode) return true;
  const cookie = withNamespace(fd, namespaceCookie);
  if (cookie !== undefined) return cookie === rootCookie;
  try {
    return statSync('/proc/1/ns/net').ino === inode;
  } catch {
    return true;
  }
}

function namespaceCookie(): bigint | undefined {
  const system = ffi();
  const AF_UNIX = 1;
  const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
  const fd = system.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const SO_NETNS_COOKIE = 71;
  const cookie = system.getOption(fd, 1, SO_NETNS_COOKIE, 8);
  system.close(fd);
  return cookie;
}

// ── named namespaces, as `ip netns` keeps them ───────────────────────────────────────────────────────────────────────
const nameProblem = (name: string): boolean => !/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/.test(name);

/** Makes `/run/netns/NAME`; gives its path. AlreadyExists when there is one. */
export async function createNamedNamespace(name: string): Promise<Result<string, KernelError>> {
  if (nameProblem(name)) return invalid(`"${name}" cannot be the name of a network namespace.`);
  const system = await loadFfi();
  const path = namedNamespacePath(name);
  const what = `create network namespace ${name}`;
  const prepared = prepareFolder(what);
  if (!prepared.ok) return prepared;
  try {
    closeSync(openSync(path, 'wx', 0o444));
  } catch (error) {
    return err(systemError(what, error));
  }
  home();
  let number = 0;
  if (system.unshare(CLONE_NEWNET) !== 0) number = system.errno();
  else {
    if (system.mount(ownNamespace, path, 'none', MS_BIND) !== 0) number = system.errno();
    restore();
  }
  if (number === 0) return ok(path);
  rmSync(path, { force: true });
  return err(kernelError(what, number));
}

/** The folder is a shared mount, so that namespaces made in one mount namespace are seen and removed in the others. */
function prepareFolder(what: string): Outcome {
  const system = ffi();
  try {
    mkdirSync(namedFolder, { recursive: true, mode: 0o755 });
  } catch (error) {
    return err(systemError(what, error));
  }
  if (isMountPoint(namedFolder)) return ok(undefined);
  if (system.mount(namedFolder, namedFolder, 'none', MS_BIND | MS_REC) !== 0)
    return err(kernelError(`${what}: mount ${namedFolder}`, system.errno()));
  if (system.mount('', namedFolder, 'none', MS_SHARED | MS_REC) !== 0)
    return err(kernelError(`${what}: share ${namedFolder}`, system.errno()));
  return ok(undefined);
}

const isMountPoint = (path: string): boolean =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path);

/** Removes the name; the kernel drops the namespace with its last user. Missing = ok. */
export async function deleteNamedNamespace(name: string): Promise<Outcome> {
  if (nameProblem(name)) return invalid(`"${name}" cannot be the name of a network namespace.`);
  const system = await loadFfi();
  const path = namedNamespacePath(name);
  if (system.unmount(path, MNT_DETACH) !== 0) {
    const number = system.errno();
    // EINVAL: an ordinary file, left by an interrupted creation.
    if (number !== errno.EINVAL && number !== errno.ENOENT)
      return err(kernelError(`delete network namespace ${name}`, number));
  }
  try {
    rmSync(path, { force: true });
  } catch (error) {
    return err(systemError(`delete network namespace ${name}`, error));
  }
  return ok(undefined);
}
