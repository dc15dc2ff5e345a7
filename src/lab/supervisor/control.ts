// The lab's control plane process: sets up what a fresh cluster has, then schedules and controls.
import { startControllers } from '../../controllers/mod.ts';
import type { Datastore } from '../../datastore/mod.ts';
import type { Logger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { backoff, sleep } from '../../lib/wait.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { askServer } from '../ask-server.ts';
import { bindThroughApi, startControlLoop } from '../control/mod.ts';
import { clusterDnsObjects } from '../cluster-dns.ts';
import { tellNewNodes } from '../design.ts';
import { planTopology } from '../topology/mod.ts';
import type { LabOptions } from '../types.ts';
import { clusterObjects } from './cluster-objects.ts';

/** While the API server starts, a whole lab waits for it. */
const longestDelayMs = 500;

export async function runControl(
  datastore: Datastore,
  options: LabOptions,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const topology = expect(planTopology({ ...options, name: options.topology }), 'topology');
  const objects = clusterObjects(topology, options.mode);
  const ensure = async <K extends KindName>(kind: K, object: ResourceOf<K>): Promise<void> => {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const created = await datastore.create(kind, object, { signal });
      if (created.ok || created.error.code === 'AlreadyExists') return;
      logger.warn('cannot create yet', { kind, error: created.error.message });
      await sleep(backoff(attempt, 50, longestDelayMs), signal);
    }
  };
  /** For kinds that only the API server knows. */
  const ensureAt = async (path: string, body: unknown): Promise<void> => {
    const alreadyThere = 409;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const answer = await askServer(process.env['KUBECONFIG'] ?? '', path, body).catch(() => undefined);
      if (answer !== undefined && (answer.code < 300 || answer.code === alreadyThere)) return;
      logger.warn('cannot create yet', { path, code: answer?.code });
      await sleep(backoff(attempt, 50, longestDelayMs), signal);
    }
  };
  const setUp = async (): Promise<void> => {
    for (const name of ['default', 'kube-system'])
      await ensure('Namespace', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    await ensure('FelixConfiguration', objects.felixConfiguration);
    for (const pool of objects.pools) await ensure('IPPool', pool);
    for (const filter of objects.filters) await ensure('BGPFilter', filter);
    for (const peer of objects.peers) await ensure('BGPPeer', peer);
    const dns = clusterDnsObjects();
    await ensure('ServiceAccount', dns.account);
    for (const { path, body } of dns.access) await ensureAt(path, body);
    await ensure('Service', dns.service);
    await ensure('Deployment', dns.deployment);
    // Nobody else makes it: whoever finds it knows that the rest was made.
    await ensure('BGPConfiguration', objects.bgpConfiguration);
    // Last: it says that the rest is there (CN-004).
    await ensure('ClusterInformation', objects.clusterInformation);
  };
  // A control plane that is started again must not bring back what the user has changed since.
  const isNew = await isNewCluster(datastore, signal);
  if (isNew) await setUp();
  const telling = isNew ? tellNewNodes(datastore, topology.nodeBgp, signal) : undefined;
  const loop = startControlLoop({
    datastore,
    logger,
    bind: bindThroughApi(process.env['KUBECONFIG'] ?? ''),
  });
  const controllers = startControllers({ datastore, logger, environment: process.env });
  if (!controllers.ok) logger.error('No controllers', { error: controllers.error });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.all([loop.stop(), controllers.ok ? controllers.value.stop() : undefined]);
  await telling;
}

/** Asks until the API server knows. (Agents make a ClusterInformation, too, when they come first.) */
async function isNewCluster(datastore: Datastore, signal: AbortSignal): Promise<boolean> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    const known = await datastore.get('BGPConfiguration', { name: 'default' }, signal);
    if (known.ok || known.error.code === 'NotFound') return !known.ok;
    await sleep(backoff(attempt, 50, longestDelayMs), signal);
  }
  return false;
}
