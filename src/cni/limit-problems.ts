// A pod whose annotations ask for a limit that cannot be (RS-190) starts all the same; what was made of it is told in an event
// of the pod and in the log.
import { type Pod, qosControlsOf } from '../model/mod.ts';
import type { CniServerOptions } from './types.ts';

export async function tellLimitProblems(
  { datastore, logger, nodeName }: Pick<CniServerOptions, 'datastore' | 'logger' | 'nodeName'>,
  pod: Pod,
  nowMs: number,
): Promise<void> {
  const { problems } = qosControlsOf(pod.metadata.annotations ?? {});
  if (problems.length === 0) return;
  const { name, namespace = 'default', uid } = pod.metadata;
  logger.warn('Bad limits of a pod', { pod: `${namespace}/${name}`, problems });
  const time = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const told = await datastore.create('Event', {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: '', generateName: `${name}.`, namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, ...(uid === undefined ? {} : { uid }) },
    type: 'Warning',
    reason: 'BadLimit',
    message: problems.join(' '),
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: 'margay-agent', host: nodeName },
    reportingComponent: 'margay-agent',
  });
  if (!told.ok) logger.debug('Event not written', { error: told.error });
}
