// Network namespaces of pods, named as a container runtime names them: /run/netns/cni-<uuid>.
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import {
  createNamedNamespace,
  deleteNamedNamespace,
  type KernelError,
  openKernel,
} from '../../kernel/mod.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { Namespaces, RunnerError } from './types.ts';

export function podNamespaces(): Namespaces {
  return {
    create: async (name) => {
      const path = await createNamedNamespace(name);
      if (!path.ok) return failed(path.error);
      const kernel = await openKernel({ netns: path.value });
      if (!kernel.ok) return failed(kernel.error);
      try {
        const loopback = await kernel.value.links.get('lo');
        if (!loopback.ok) return failed(loopback.error);
        if (loopback.value !== undefined) {
          const up = await kernel.value.links.change(loopback.value.index, { up: true });
          if (!up.ok) return failed(up.error);
        }
      } finally {
        await kernel.value.close();
      }
      return ok(path.value);
    },
    remove: async (path) => {
      await endProcessesIn(path);
      const deleted = await deleteNamedNamespace(path.split('/').at(-1) ?? '');
      return deleted.ok ? ok(undefined) : failed(deleted.error);
    },
  };
}

const failed = (error: KernelError): Result<never, RunnerError> =>
  err(failure('NamespaceFailed', error.message, error.hint));

/** Inodes of nsfs are above this; those of files of a tmpfs are far below. */
const firstNamespaceInode = 0xefff0000;

/** Whatever still runs in the namespace, also when no record of it survived a crash. */
async function endProcessesIn(path: string): Promise<void> {
  const inode = inodeOf(path);
  if (inode === undefined) return;
  await until(
    () => {
      const left = processesIn(inode);
      for (const pid of left) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself.
        }
      }
      return left.length === 0 ? true : undefined;
    },
    { timeoutMs: 5000, everyMs: 10 },
  );
}

/** The inode of a mounted namespace; undefined for a file that is none (an interrupted creation) or missing. */
function inodeOf(path: string): string | undefined {
  try {
    const info = statSync(path);
    return info.isFile() && info.size === 0 && info.ino >= firstNamespaceInode ? String(info.ino) : undefined;
  } catch {
    return undefined;
  }
}

function processesIn(inode: string): number[] {
  const own = readlinkSync('/proc/self/ns/net');
  const wanted = `net:[${inode}]`;
  if (own === wanted) return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === wanted && !isZombie(pid);
      } catch {
        return false;
      }
    });
}

function isZombie(pid: number): boolean {
  try {
    readlinkSync(`/proc/${pid}/exe`);
    return false;
  } catch {
    return true;
  }
}
