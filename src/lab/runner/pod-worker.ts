// One pod on this node, from its binding to its end. A worker holds the pod's object and its place on the node, and at
// each step does the next thing that brings the two together:
//
//   object there:  volumes → namespace → ADD → containers (init ones first, one by one) → status, restarts with back-off
//   object going:  SIGTERM, grace, SIGKILL → DEL → namespace away → record and volumes away → object away
//   object gone:   the same, at once and without the last step
import type { Timer } from '../../lib/clock.ts';
import type { Pod } from '../../model/mod.ts';
import { canonicalJson } from '../control/pods.ts';
import { graceSeconds, PodContainers, watchMs } from './pod-containers.ts';
import { PodEvents } from './pod-events.ts';
import { PodSandbox } from './pod-sandbox.ts';
import { podStatus } from './pod-status.ts';
import { PodVolumes } from './pod-volumes.ts';
import type { PodIdentity, SandboxRecord, WorkerEdges } from './types.ts';

const retryMs = 500;
const longestRetryMs = 30_000;
/** Between looks at containers that were told to end. */
const endingMs = 20;

export class PodWorker {
  readonly uid: string;
  readonly #edges: WorkerEdges;
  readonly #events: PodEvents;
  readonly #identity: PodIdentity;
  readonly #sandbox: PodSandbox;
  readonly #containers: PodContainers;
  readonly #volumes: PodVolumes;
  #pod: Pod | undefined;
  #terminatingSince: number | undefined;
  readonly #toldToEnd = new Set<string>();
  #writtenStatus: string | undefined;
  #wake: (() => void) | undefined;
  #woken = false;
  #timer: Timer | undefined;
  #stopped = false;
  readonly done: Promise<void>;

  constructor(edges: WorkerEdges, uid: string, pod: Pod | undefined, record: SandboxRecord | undefined) {
    this.#edges = edges;
    this.#events = new PodEvents(edges.datastore, edges.clock);
    this.#sandbox = new PodSandbox(edges, this.#events, uid, record);
    this.#volumes = new PodVolumes({
      uid,
      edges,
      events: this.#events,
      addresses: () => this.#sandbox.record?.addresses ?? [],
      onChange: () => this.notify(),
    });
    this.#containers = new PodContainers({
      uid,
      edges,
      events: this.#events,
      sandbox: this.#sandbox,
      volumes: this.#volumes,
      pod: () => this.#pod,
      onChange: () => this.notify(),
    });
    this.uid = uid;
    this.#pod = pod;
    const { name = '', namespace = 'default' } = record ?? pod?.metadata ?? {};
    this.#identity = { uid, name, namespace };
    for (const [container, { attempt }] of Object.entries(record?.containers ?? {}))
      edges.containers.resume(this.#identity, container, attempt);
    this.done = this.#run();
  }

  /** The newest object; undefined when it is gone from the datastore. */
  update(pod: Pod | undefined): void {
    this.#pod = pod;
    this.notify();
  }

  /** The pod for the streams of kubectl; undefined before its first attempt and after its end. */
  get place(): {
    readonly identity: PodIdentity;
    readonly record: SandboxRecord | undefined;
    readonly pod: Pod | undefined;
  } {
    return { identity: this.#identity, record: this.#sandbox.record, pod: this.#pod };
  }

  /** Something about the pod's processes may have changed. */
  notify(): void {
    this.#woken = true;
    this.#timer?.cancel();
    this.#wake?.();
  }

  /** Stops looking after the pod and leaves everything as it is: the next runner goes on. */
  stop(): void {
    this.#stopped = true;
    this.#containers.stopProbes();
    this.notify();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#woken = false;
      let nextMs: number | 'done';
      try {
        nextMs = await this.#step();
      } catch (error) {
        this.#edges.logger.error('a step of a pod failed', { uid: this.uid, error: (error as Error).stack });
        nextMs = longestRetryMs;
      }
      if (nextMs === 'done') return;
      await this.#sleep(nextMs);
    }
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#woken || this.#stopped) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#edges.clock.after(ms, resolve);
    });
    this.#wake = undefined;
    this.#timer?.cancel();
  }

  /** Milliseconds until something is to be done without being woken. */
  async #step(): Promise<number | 'done'> {
    const pod = this.#pod;
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return this.#terminate(pod);
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') {
      const left = await this.#release();
      return left ?? watchMs * 60;
    }
    const nextMs =
      (await this.#volumes.prepare(pod)) ??
      (await this.#sandbox.attach(pod)) ??
      (await this.#containers.run(pod));
    const excess = await this.#volumes.overLimit(pod);
    if (excess !== undefined) return this.#evict(pod, excess);
    await this.#writeStatus(pod);
    return nextMs;
  }

  async #release(): Promise<number | undefined> {
    this.#containers.stopProbes();
    const left = await this.#sandbox.release(this.#pod);
    if (left === undefined) await this.#volumes.release();
    return left;
  }

  /** Ends a pod that holds more than it may, for good. */
  async #evict(pod: Pod, message: string): Promise<number> {
    this.#events.warning(pod, 'Evicted', message);
    await this.#edges.datastore.patch(
      'Pod',
      { name: pod.metadata.name, namespace: pod.metadata.namespace ?? 'default' },
      {
        type: 'merge',
        status: true,
        body: { metadata: { uid: this.uid }, status: { phase: 'Failed', reason: 'Evicted', message } },
      },
    );
    return retryMs;
  }

  async #terminate(pod: Pod | undefined): Promise<number | 'done'> {
    const now = this.#edges.clock.now();
    const running = this.#containers.running();
    if (this.#terminatingSince === undefined) {
      this.#terminatingSince = now;
      if (pod !== undefined)
        for (const { name } of running)
          this.#events.normal(pod, 'Killing', `Stopping container ${name}`, name);
    }
    // A program that is still starting may swallow the signal: its runtime's own handler is there before the program's.
    for (const { name, record, ready } of running)
      if (ready && !this.#toldToEnd.has(name) && this.#edges.containers.signal(record, 'SIGTERM'))
        this.#toldToEnd.add(name);
    const graceMs = pod === undefined ? 0 : graceSeconds(pod) * 1000;
    if (running.length > 0 && now < this.#terminatingSince + graceMs) return endingMs;
    const left = await this.#release();
    if (left !== undefined) return left;
    this.#edges.containers.removeLogs(this.#identity);
    if (pod === undefined) return 'done';
    const gone = await this.#edges.datastore.delete(
      'Pod',
      { name: pod.metadata.name, namespace: pod.metadata.namespace ?? 'default' },
      { uid: this.uid, gracePeriodSeconds: 0 },
    );
    if (gone.ok || gone.error.code === 'NotFound' || gone.error.code === 'Conflict') return 'done';
    return retryMs;
  }

  async #writeStatus(pod: Pod): Promise<void> {
    const now = new Date(this.#edges.clock.now()).toISOString();
    const { record } = this.#sandbox;
    const status = podStatus({
      pod,
      hostAddresses: this.#edges.hostAddresses,
      addresses: record?.addresses ?? [],
      startedAt: record?.startedAt ?? pod.status?.startTime ?? now,
      init: (pod.spec.initContainers ?? []).map((container) => this.#containers.view(pod, container)),
      containers: pod.spec.containers.map((container) => this.#containers.view(pod, container)),
      ephemeral: (pod.spec.ephemeralContainers ?? []).map((c) => this.#containers.view(pod, c)),
      now,
    });
    // Times of conditions alone are no news.
    const text = canonicalJson({ ...status, conditions: status.conditions?.map((c) => [c.type, c.status]) });
    if (text === this.#writtenStatus) return;
    const written = await this.#edges.datastore.patch(
      'Pod',
      { name: pod.metadata.name, namespace: pod.metadata.namespace ?? 'default' },
      { type: 'merge', status: true, body: { metadata: { uid: this.uid }, status } },
    );
    if (written.ok) this.#writtenStatus = text;
    else if (written.error.code !== 'NotFound' && written.error.code !== 'Conflict')
      this.#edges.logger.warn('pod status could not be written', { error: written.error.message });
  }
}
