// What a node tells about a pod, as the events of `kubectl describe`.
import type { Clock } from '../../lib/clock.ts';
import type { Datastore } from '../../datastore/mod.ts';
import type { Pod } from '../../model/mod.ts';
import { EventRecorder, type EventText } from '../events.ts';

export class PodEvents {
  readonly #recorder: EventRecorder;

  constructor(datastore: Datastore, clock: Clock) {
    this.#recorder = new EventRecorder(datastore, clock);
  }

  normal(pod: Pod, reason: string, message: string, container?: string): void {
    this.#tell(pod, { type: 'Normal', reason, message }, container);
  }

  warning(pod: Pod, reason: string, message: string, container?: string): void {
    this.#tell(pod, { type: 'Warning', reason, message }, container);
  }

  #tell(pod: Pod, text: EventText, container?: string): void {
    const host = pod.spec.nodeName;
    const source = { component: 'kubelet', ...(host === undefined ? {} : { host }) };
    const isIn = (list: Pod['spec']['initContainers']): boolean =>
      (list ?? []).some((one) => one.name === container);
    const field = isIn(pod.spec.initContainers)
      ? 'initContainers'
      : isIn(pod.spec.ephemeralContainers)
        ? 'ephemeralContainers'
        : 'containers';
    this.#recorder.record(source, pod, text, container === undefined ? '' : `spec.${field}{${container}}`);
  }
}
