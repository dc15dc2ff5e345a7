// The datastore of a process of a cluster: named by --kubeconfig, else by the environment.
import type { Datastore } from '../datastore/mod.ts';
import type { Failure, Result } from '../lib/result.ts';

export async function openDatastore(kubeconfig: string): Promise<Result<Datastore, Failure>> {
  const { openDatastore: open } = await import('../datastore/mod.ts');
  return open(kubeconfig === '' ? {} : { kubeconfig });
}
