// Kubernetes Events of the lab's control plane and runners: what `kubectl describe` shows below an object. They are a help
// for people: one that cannot be written is dropped.
import type { Datastore } from '../datastore/mod.ts';
import type { Clock } from '../lib/clock.ts';
import type { Pod } from '../model/mod.ts';

export type EventText = {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
};

export async function recordPodEvent(
  datastore: Datastore,
  clock: Clock,
  source: { readonly component: string; readonly host?: string },
  pod: Pod,
  text: EventText,
): Promise<void> {
  const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  const { name, namespace = 'default', uid, resourceVersion } = pod.metadata;
  await datastore.create('Event', {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: '', generateName: `${name}.`, namespace },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      name,
      namespace,
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    ...text,
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    source,
    reportingComponent: source.component,
  });
}
