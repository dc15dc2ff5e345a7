// Kernel parameters of the namespace. /proc/sys/net shows the values of the namespace of the thread that opens it.
import { readFileSync, writeFileSync } from 'node:fs';
import { err, ok, type Result } from '../../lib/result.ts';
import { invalid, kernelError, rootNamespaceRefused, systemError, errno } from '../errors.ts';
import { isNetworkSysctl } from '../sysctl-path.ts';
import { withNamespace } from '../namespace.ts';
import type { KernelError, Outcome, Sysctls } from '../types.ts';
import { done, type KernelSession } from './session.ts';

export function realSysctls(session: KernelSession): Sysctls {
  const inside = <T>(what: string, path: string, run: (file: string) => T): Result<T, KernelError> => {
    try {
      return ok(withNamespace(session.namespace.fd, () => run(`/proc/sys/${path}`)));
    } catch (error) {
      const failed = systemError(what, error);
      // A directory where a value was expected.
      return err(failed.errno === 21 ? kernelError(what, errno.ENOENT) : failed);
    }
  };
  return {
    read: async (path) =>
      isNetworkSysctl(path)
        ? inside(`read ${path}`, path, (file) => readFileSync(file, 'utf8').trimEnd())
        : invalid(`"${path}" is not a parameter of a network namespace: it must start with net/.`),
    write: async (path, value): Promise<Outcome> => {
      if (session.writesRefused) return err(rootNamespaceRefused());
      if (!isNetworkSysctl(path))
        return invalid(`"${path}" is not a parameter of a network namespace: it must start with net/.`);
      const written = inside(`write ${path}`, path, (file) => writeFileSync(file, value, { flag: 'r+' }));
      return written.ok ? done : written;
    },
  };
}
