// The program of the image coredns: the cluster's zone on port 53, from the API server that the pod's service account leads to.
import { openDatastore, startSyncer } from '../../datastore/mod.ts';
import { createLogger } from '../../lib/log.ts';
import { serveDns } from './server.ts';
import { Zone } from './zone.ts';

export async function runDns(options: {
  readonly zone: string;
  readonly onReady: () => void;
}): Promise<number> {
  const logger = createLogger('dns');
  const opened = await openDatastore({ userAgent: 'margay-dns' });
  if (!opened.ok) {
    process.stderr.write(`${opened.error.message} ${opened.error.hint ?? ''}\n`);
    return 1;
  }
  const zone = new Zone(options.zone);
  const server = await serveDns(zone, { host: '::', port: 53 });
  if (!server.ok) {
    process.stderr.write(`${server.error.message}\n`);
    return 1;
  }
  const syncer = startSyncer<'Service' | 'EndpointSlice'>(opened.value, {
    kinds: ['Service', 'EndpointSlice'],
    logger,
    onUpdates: (updates) => zone.apply(updates),
  });
  if (await syncer.inSync()) options.onReady();
  return new Promise(() => undefined);
}
