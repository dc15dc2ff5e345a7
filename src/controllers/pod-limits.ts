// Limits of pods that somebody edits while they run (RS-190): what is left out of them, or moved to the nearest possible, is
// told in an event of the pod. Of a new pod, and of all that were there at the start, the agent told when it attached them.
import { startSyncer, type Datastore } from '../datastore/mod.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { badLimitEvent, type Pod, qosControlsOf } from '../model/mod.ts';

export type PodLimitsOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
};
export interface PodLimits {
  stop(): Promise<void>;
}

export function startPodLimits({ datastore, logger, clock = systemClock }: PodLimitsOptions): PodLimits {
  /** By the pod's name: its uid, and what was wrong with its limits when it was seen last. */
  const known = new Map<string, { readonly uid: string; readonly problems: string }>();
  const writes = new Set<Promise<void>>();
  const keyOf = (name: { readonly name: string; readonly namespace?: string }): string =>
    `${name.namespace ?? ''}/${name.name}`;
  const tell = async (pod: Pod, problems: readonly string[]): Promise<void> => {
    const event = badLimitEvent(pod, problems, clock.now(), { component: 'margay-controllers' });
    const told = await datastore.create('Event', event);
    if (!told.ok) logger.warn('An event could not be written', { error: told.error.message });
  };
  const look = (pod: Pod): void => {
    const { problems } = qosControlsOf(pod.metadata.annotations ?? {});
    const key = keyOf(pod.metadata);
    const before = known.get(key);
    const now = { uid: pod.metadata.uid ?? '', problems: problems.join(' ') };
    known.set(key, now);
    if (before === undefined || before.uid !== now.uid || before.problems === now.problems) return;
    // One without an address is not attached yet: the agent will tell.
    if (problems.length === 0 || pod.status?.podIP === undefined) return;
    const write = tell(pod, problems).finally(() => writes.delete(write));
    writes.add(write);
  };
  const syncer = startSyncer<'Pod'>(datastore, {
    kinds: ['Pod'],
    logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'set') look(update.object);
        else if (update.type === 'delete') known.delete(keyOf(update.name));
      }
    },
  });
  return {
    stop: async () => {
      await syncer.stop();
      await Promise.all(writes);
    },
  };
}
