// The datastore of a process of a cluster: named by --kubeconfig, else by the environment.
import type { Datastore } from '../datastore/mod.ts';
import type { Logger } from '../lib/log.ts';
import type { Failure, Result } from '../lib/result.ts';

export async function openDatastore(
  kubeconfig: string,
  logger?: Logger,
): Promise<Result<Datastore, Failure>> {
  const { openDatastore: open } = await import('../datastore/mod.ts');
  return open({
    ...(kubeconfig === '' ? {} : { kubeconfig }),
    ...(logger === undefined ? {} : { onWarning: logWarnings(logger) }),
  });
}

const mostWarnings = 1000;

/** What a datastore warns of, each thing once: values that cannot be read, words of the server. */
export function logWarnings(logger: Logger): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    if (told.has(text) || told.size >= mostWarnings) return;
    told.add(text);
    logger.warn('The datastore warns', { text });
  };
}
