// A pod whose annotations ask for a limit that cannot be (RS-190) starts all the same; what was made of it is told in an event
// of the pod and in the log.
import { badLimitEvent, type Pod, qosControlsOf } from '../model/mod.ts';
import type { CniServerOptions } from './types.ts';

export async function tellLimitProblems(
  { datastore, logger, nodeName }: Pick<CniServerOptions, 'datastore' | 'logger' | 'nodeName'>,
  pod: Pod,
  nowMs: number,
): Promise<void> {
  const { problems } = qosControlsOf(pod.metadata.annotations ?? {});
  if (problems.length === 0) return;
  const { name, namespace = 'default' } = pod.metadata;
  logger.warn('Bad limits of a pod', { pod: `${namespace}/${name}`, problems });
  const source = { component: 'margay-agent', host: nodeName };
  const told = await datastore.create('Event', badLimitEvent(pod, problems, nowMs, source));
  if (!told.ok) logger.debug('Event not written', { error: told.error });
}
