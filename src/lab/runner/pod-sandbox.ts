// The place of a pod on its node: a network namespace, the network in it, and the record of both.
//
// The record is written before the namespace is made and after each step, so that a runner killed anywhere knows what may
// exist. An ADD whose outcome is unknown is taken back with DEL and done again under a new container id.
import { randomBytes, randomUUID } from 'node:crypto';
import type { Pod } from '../../model/mod.ts';
import type { PodEvents } from './pod-events.ts';
import type { NetworkContainer, PortMapping, SandboxRecord, WorkerEdges } from './types.ts';

const firstRetryMs = 500;
const longestRetryMs = 30_000;

export class PodSandbox {
  readonly #edges: WorkerEdges;
  readonly #events: PodEvents;
  readonly #uid: string;
  #record: SandboxRecord | undefined;
  #attempts = 0;
  #problem: string | undefined;
  #retryAt = 0;

  constructor(edges: WorkerEdges, events: PodEvents, uid: string, record: SandboxRecord | undefined) {
    this.#edges = edges;
    this.#events = events;
    this.#uid = uid;
    this.#record = record;
  }

  get record(): SandboxRecord | undefined {
    return this.#record;
  }
  /** Why the last attempt to attach failed. */
  get problem(): string | undefined {
    return this.#problem;
  }

  save(record: SandboxRecord): void {
    this.#record = record;
    this.#edges.checkpoints.save(record);
  }

  /** undefined when the pod is attached, else when to try again. */
  async attach(pod: Pod): Promise<number | undefined> {
    if (this.#record?.state === 'attached') return undefined;
    // Our own status report wakes us too: that is no reason to try earlier.
    const waitMs = this.#retryAt - this.#edges.clock.now();
    if (waitMs > 0) return waitMs;
    if (this.#record !== undefined) {
      const left = await this.release(pod);
      if (left !== undefined) return left;
    }
    const own = pod.spec.hostNetwork === true;
    const netns = `cni-${randomUUID()}`;
    const record: SandboxRecord = {
      version: 1,
      uid: this.#uid,
      namespace: pod.metadata.namespace ?? 'default',
      name: pod.metadata.name,
      containerId: randomBytes(32).toString('hex'),
      ...(own ? {} : { netns: `/run/netns/${netns}` }),
      state: own ? 'attached' : 'attaching',
      addresses: own ? this.#edges.hostAddresses : [],
      containers: {},
      startedAt: new Date(this.#edges.clock.now()).toISOString(),
    };
    this.save(record);
    if (own) return undefined;
    const made = await this.#edges.namespaces.create(netns);
    if (!made.ok) return this.#failed(pod, made.error.message);
    const result = await this.#edges.network.attach(networkContainer(record, pod));
    if (!result.ok) return this.#failed(pod, result.error.message);
    this.#attempts = 0;
    this.#problem = undefined;
    this.save({
      ...record,
      state: 'attached',
      addresses: result.value.addresses,
      result: result.value.raw,
    });
    return undefined;
  }

  async #failed(pod: Pod, message: string): Promise<number> {
    this.#edges.logger.warn('pod could not be attached', { pod: pod.metadata.name, error: message });
    if (this.#problem !== message) this.#events.warning(pod, 'FailedCreatePodSandBox', message);
    this.#problem = message;
    await this.release(pod);
    const delayMs = this.#nextDelayMs();
    this.#retryAt = this.#edges.clock.now() + delayMs;
    return delayMs;
  }

  /** Containers killed, network detached, namespace and record gone. A number: it failed, when to try again. */
  async release(pod: Pod | undefined): Promise<number | undefined> {
    const record = this.#record;
    if (record === undefined) return undefined;
    const { containers, network, namespaces, checkpoints, logger } = this.#edges;
    for (const container of Object.values(record.containers)) containers.signal(container, 'SIGKILL');
    if (record.netns !== undefined) {
      const detached = await network.detach(networkContainer(record, pod), record.result);
      if (!detached.ok) {
        logger.warn('pod could not be detached', { pod: record.name, error: detached.error.message });
        return this.#nextDelayMs();
      }
      const removed = await namespaces.remove(record.netns);
      if (!removed.ok) {
        logger.warn('namespace could not be removed', { pod: record.name, error: removed.error.message });
        return firstRetryMs;
      }
    }
    containers.forget(this.#uid);
    checkpoints.remove(this.#uid);
    this.#record = undefined;
    return undefined;
  }

  #nextDelayMs(): number {
    return Math.min(longestRetryMs, firstRetryMs * 2 ** this.#attempts++);
  }
}

const networkContainer = (record: SandboxRecord, pod: Pod | undefined): NetworkContainer => ({
  containerId: record.containerId,
  netns: record.netns ?? '',
  podNamespace: record.namespace,
  podName: record.name,
  podUid: record.uid,
  portMappings: pod === undefined ? [] : portMappings(pod),
});

export function portMappings(pod: Pod): PortMapping[] {
  return pod.spec.containers.flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostPort, containerPort, protocol = 'TCP', hostIP }) =>
      hostPort === undefined || hostPort === 0
        ? []
        : [
            {
              hostPort,
              containerPort,
              protocol: protocol.toLowerCase(),
              ...(hostIP === undefined || hostIP === '' ? {} : { hostIP }),
            },
          ],
    ),
  );
}
