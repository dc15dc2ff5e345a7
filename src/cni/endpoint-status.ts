// Files in which Felix says that an endpoint is up, and the wait for one of them (CN-017): `policy_setup_timeout_seconds` holds
// ADD back until the endpoint's file is in `endpoint_status_dir`, or fails it.
import { type FSWatcher, existsSync, mkdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { err, ok, type Result } from '../lib/result.ts';
import type { WorkloadEndpoint } from '../model/mod.ts';
import { type CniError, cniCodes, cniError } from './errors.ts';

/** Calico's name for it: orchestrator, workload and endpoint, each escaped, with spaces between. */
export function endpointStatusFile({ metadata, spec }: WorkloadEndpoint): string {
  const workload =
    spec.pod === undefined ? (spec.workload ?? '') : `${metadata.namespace ?? 'default'}/${spec.pod}`;
  return [spec.orchestrator ?? '', workload, spec.endpoint ?? ''].map(encodeURIComponent).join(' ');
}

/** A request must end in time for the plug-in to print its answer. */
const longestWaitSeconds = 60;
/** How often it is looked at where the kernel tells nothing of changes. */
const lookEveryMs = 1_000;

export async function awaitEndpointStatus(
  directory: string,
  endpoint: WorkloadEndpoint,
  wantedSeconds: number,
): Promise<Result<void, CniError>> {
  const timeoutSeconds = Math.min(wantedSeconds, longestWaitSeconds);
  const path = join(directory, endpointStatusFile(endpoint));
  if (await appears(directory, path, timeoutSeconds * 1000)) return ok(undefined);
  return err(
    cniError(
      cniCodes.tryAgainLater,
      'PolicyNotReady',
      `The policy of ${endpoint.metadata.namespace ?? ''}/${endpoint.metadata.name} was not in force after ` +
        `${timeoutSeconds} s (policy_setup_timeout_seconds): ${path} is not there. ` +
        `EndpointStatusPathPrefix of the agent and endpoint_status_dir have to name the same place.`,
    ),
  );
}

function appears(directory: string, path: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let watcher: FSWatcher | undefined;
    const end = (found: boolean): void => {
      watcher?.close();
      clearTimeout(deadline);
      clearInterval(looking);
      resolve(found);
    };
    const look = (): void => {
      if (existsSync(path)) end(true);
    };
    const deadline = setTimeout(() => end(existsSync(path)), timeoutMs);
    const looking = setInterval(look, lookEveryMs);
    try {
      mkdirSync(directory, { recursive: true });
      watcher = watch(directory, look);
      watcher.on('error', () => watcher?.close());
    } catch {
      // Then it is looked at now and then.
    }
    look();
  });
}
