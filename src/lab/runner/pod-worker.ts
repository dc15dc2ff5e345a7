// One pod on this node, from its binding to its end. A worker holds the pod's object and its sandbox record, and at each
// step does the next thing that brings the two together:
//
//   object there:  namespace → ADD → containers (init ones first, one by one) → status, restarts with back-off
//   object going:  SIGTERM, grace, SIGKILL → DEL → namespace away → record away → object away
//   object gone:   the same, at once and without the last step
//
// The record is written before the namespace is made and after each step, so that a runner killed anywhere knows what
// may exist. An ADD whose outcome is unknown is taken back with DEL and done again under a new container id.
import { randomBytes, randomUUID } from 'node:crypto';
import type { Datastore } from '../../datastore/mod.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Pod } from '../../model/mod.ts';
import { canonicalJson } from '../control/pods.ts';
import { EventRecorder, type EventText } from '../events.ts';
import { type ContainerView, podStatus, restarts } from './pod-status.ts';
import { ContainerProbes, hasProbes, type ProbeKind, validateProbes } from './probes.ts';
import type {
  Checkpoints,
  ContainerRecord,
  Containers,
  Namespaces,
  NetworkContainer,
  NetworkPlugins,
  PodIdentity,
  PortMapping,
  SandboxRecord,
} from './types.ts';

export type WorkerEdges = {
  readonly datastore: Datastore;
  readonly network: NetworkPlugins;
  readonly namespaces: Namespaces;
  readonly containers: Containers;
  readonly checkpoints: Checkpoints;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hostAddresses: readonly string[];
};

type Container = Pod['spec']['containers'][number];
type Waiting = { readonly reason: string; readonly message?: string };

const firstRetryMs = 500;
const longestRetryMs = 30_000;
/** Containers that end at once are started again later and later, as kubelet does. */
const firstRestartMs = 1000;
const longestRestartMs = 60_000;
const watchMs = 1000;

export class PodWorker {
  readonly uid: string;
  readonly #edges: WorkerEdges;
  readonly #events: EventRecorder;
  readonly #identity: PodIdentity;
  #pod: Pod | undefined;
  #record: SandboxRecord | undefined;
  #attempts = 0;
  #networkProblem: string | undefined;
  #networkRetryAt = 0;
  readonly #problems = new Map<string, Waiting>();
  readonly #restartAt = new Map<string, number>();
  /** Of the attempt that runs. */
  readonly #probes = new Map<string, { readonly attempt: number; readonly probes: ContainerProbes }>();
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
    this.#events = new EventRecorder(edges.datastore, edges.clock);
    this.uid = uid;
    this.#pod = pod;
    this.#record = record;
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
    return { identity: this.#identity, record: this.#record, pod: this.#pod };
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
    for (const name of this.#probes.keys()) this.#stopProbes(name);
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
    const attached = await this.#attach(pod);
    if (attached !== undefined) {
      await this.#writeStatus(pod);
      return attached;
    }
    const nextMs = await this.#runContainers(pod);
    await this.#writeStatus(pod);
    return nextMs;
  }

  // ── network ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** undefined when the pod is attached, else when to try again. */
  async #attach(pod: Pod): Promise<number | undefined> {
    if (this.#record?.state === 'attached') return undefined;
    // Our own status report wakes us too: that is no reason to try earlier.
    const waitMs = this.#networkRetryAt - this.#edges.clock.now();
    if (waitMs > 0) return waitMs;
    if (this.#record !== undefined) {
      const left = await this.#release();
      if (left !== undefined) return left;
    }
    const own = pod.spec.hostNetwork === true;
    const netns = `cni-${randomUUID()}`;
    const record: SandboxRecord = {
      version: 1,
      uid: this.uid,
      namespace: pod.metadata.namespace ?? 'default',
      name: pod.metadata.name,
      containerId: randomBytes(32).toString('hex'),
      ...(own ? {} : { netns: `/run/netns/${netns}` }),
      state: own ? 'attached' : 'attaching',
      addresses: own ? this.#edges.hostAddresses : [],
      containers: {},
      startedAt: new Date(this.#edges.clock.now()).toISOString(),
    };
    this.#save(record);
    if (own) return undefined;
    const made = await this.#edges.namespaces.create(netns);
    if (!made.ok) return this.#networkFailed(pod, made.error.message);
    const result = await this.#edges.network.attach(this.#networkContainer(record, pod));
    if (!result.ok) return this.#networkFailed(pod, result.error.message);
    this.#attempts = 0;
    this.#networkProblem = undefined;
    this.#save({
      ...record,
      state: 'attached',
      addresses: result.value.addresses,
      result: result.value.raw,
    });
    return undefined;
  }

  async #networkFailed(pod: Pod, message: string): Promise<number> {
    this.#edges.logger.warn('pod could not be attached', { pod: pod.metadata.name, error: message });
    if (this.#networkProblem !== message) this.#tellWarning(pod, 'FailedCreatePodSandBox', message);
    this.#networkProblem = message;
    await this.#release();
    const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** this.#attempts++);
    this.#networkRetryAt = this.#edges.clock.now() + delayMs;
    return delayMs;
  }

  #networkContainer(record: SandboxRecord, pod: Pod | undefined): NetworkContainer {
    return {
      containerId: record.containerId,
      netns: record.netns ?? '',
      podNamespace: record.namespace,
      podName: record.name,
      podUid: record.uid,
      portMappings: pod === undefined ? [] : portMappings(pod),
    };
  }

  /** Containers killed, network detached, namespace and record gone. A number: it failed, when to try again. */
  async #release(): Promise<number | undefined> {
    const record = this.#record;
    if (record === undefined) return undefined;
    for (const name of this.#probes.keys()) this.#stopProbes(name);
    for (const container of Object.values(record.containers))
      this.#edges.containers.signal(container, 'SIGKILL');
    if (record.netns !== undefined) {
      const detached = await this.#edges.network.detach(
        this.#networkContainer(record, this.#pod),
        record.result,
      );
      if (!detached.ok) {
        this.#edges.logger.warn('pod could not be detached', {
          pod: record.name,
          error: detached.error.message,
        });
        return Math.min(longestRetryMs, firstRetryMs * 2 ** this.#attempts++);
      }
      const removed = await this.#edges.namespaces.remove(record.netns);
      if (!removed.ok) {
        this.#edges.logger.warn('namespace could not be removed', {
          pod: record.name,
          error: removed.error.message,
        });
        return firstRetryMs;
      }
    }
    this.#edges.containers.forget(this.uid);
    this.#edges.checkpoints.remove(this.uid);
    this.#record = undefined;
    return undefined;
  }

  // ── containers ───────────────────────────────────────────────────────────────────────────────────────────────────
  async #runContainers(pod: Pod): Promise<number> {
    for (const container of pod.spec.initContainers ?? []) {
      const nextMs = await this.#runContainer(pod, container, true);
      if (nextMs !== undefined) return nextMs;
    }
    let soonest = watchMs;
    for (const container of pod.spec.containers)
      soonest = Math.min(soonest, (await this.#runContainer(pod, container, false)) ?? watchMs);
    return soonest;
  }

  /** undefined: an init container has done its work, so the next may start. */
  async #runContainer(pod: Pod, container: Container, init: boolean): Promise<number | undefined> {
    const record = this.#record?.containers[container.name];
    if (record === undefined) return this.#start(pod, container, 0, undefined);
    const state = this.#edges.containers.inspect(this, container.name, record);
    if (state.type === 'running') {
      if (!init && hasProbes(container)) this.#probe(pod, container, record);
      return watchMs;
    }
    this.#stopProbes(container.name);
    if (init && state.exitCode === 0) return undefined;
    const again = init ? (pod.spec.restartPolicy ?? 'Always') !== 'Never' : restarts(pod, state.exitCode);
    if (!again) return watchMs;
    const now = this.#edges.clock.now();
    let at = this.#restartAt.get(container.name);
    if (at === undefined) {
      const ranMs = Date.parse(state.finishedAt) - Date.parse(record.startedAt);
      const delay = ranMs > longestRestartMs ? 0 : firstRestartMs * 2 ** Math.min(record.attempt, 10);
      at = now + Math.min(longestRestartMs, delay);
      this.#restartAt.set(container.name, at);
      if (delay > 0)
        this.#tellWarning(
          pod,
          'BackOff',
          `Back-off restarting failed container ${container.name} in pod ${pod.metadata.name}_${pod.metadata.namespace ?? 'default'}(${this.uid})`,
          container.name,
        );
      this.#problems.set(container.name, {
        reason: 'CrashLoopBackOff',
        message: `back-off ${Math.round((at - now) / 1000)}s restarting container ${container.name}`,
      });
    }
    if (now < at) return at - now;
    this.#restartAt.delete(container.name);
    return this.#start(pod, container, record.attempt + 1, {
      exitCode: state.exitCode,
      ...(state.signal === undefined ? {} : { signal: state.signal }),
      startedAt: record.startedAt,
      finishedAt: state.finishedAt,
    });
  }

  async #start(
    pod: Pod,
    container: Container,
    attempt: number,
    previous: ContainerRecord['previous'],
  ): Promise<number> {
    const sandbox = this.#record;
    if (sandbox === undefined) return 0;
    const probes = validateProbes(container);
    const started = !probes.ok
      ? probes
      : await this.#edges.containers.start({
          pod,
          container,
          attempt,
          addresses: sandbox.addresses,
          ...(sandbox.netns === undefined ? {} : { netns: sandbox.netns }),
        });
    if (!started.ok) {
      const { message, hint } = started.error;
      const text = hint === undefined ? message : `${message} ${hint}`;
      if (this.#problems.get(container.name)?.message !== text)
        this.#tellWarning(pod, 'Failed', text, container.name);
      this.#problems.set(container.name, { reason: 'CreateContainerError', message: text });
      return longestRetryMs;
    }
    this.#problems.delete(container.name);
    const { name, image = '' } = container;
    const tell = (reason: string, message: string): void =>
      this.#tell(pod, { type: 'Normal', reason, message }, name);
    tell('Pulled', `Container image ${JSON.stringify(image)} already present on machine`);
    tell('Created', `Created container: ${name}`);
    tell('Started', `Started container ${name}`);
    this.#save({
      ...sandbox,
      containers: {
        ...sandbox.containers,
        [container.name]: {
          attempt,
          process: started.value,
          startedAt: new Date(this.#edges.clock.now()).toISOString(),
          ...(previous === undefined ? {} : { previous }),
        },
      },
    });
    return watchMs;
  }

  #probe(pod: Pod, container: Container, record: ContainerRecord): void {
    const { name } = container;
    if (this.#probes.get(name)?.attempt === record.attempt) return;
    this.#stopProbes(name);
    const told = pod.status?.containerStatuses?.find((one) => one.name === name);
    const isSame = told?.restartCount === record.attempt && told.state?.running !== undefined;
    const probes = new ContainerProbes({
      container,
      clock: this.#edges.clock,
      wasReady: isSame && told.ready,
      wasStarted: isSame && told.started === true,
      check: (probe, timeoutMs) =>
        this.#edges.containers.check(
          probe,
          { spec: container, address: this.#record?.addresses[0] },
          record,
          timeoutMs,
        ),
      onChange: () => this.notify(),
      onFailure: (kind, message, isFatal) => this.#probeFailed(container, record, kind, message, isFatal),
    });
    this.#probes.set(name, { attempt: record.attempt, probes });
  }

  #probeFailed(
    { name }: Container,
    record: ContainerRecord,
    kind: ProbeKind,
    message: string,
    isFatal: boolean,
  ): void {
    const pod = this.#pod;
    if (pod === undefined) return;
    const word = { startup: 'Startup', readiness: 'Readiness', liveness: 'Liveness' }[kind];
    this.#tellWarning(pod, 'Unhealthy', `${word} probe failed: ${message}`, name);
    if (!isFatal) return;
    const { containers, clock } = this.#edges;
    const ending = `Container ${name} failed ${kind} probe, will be restarted`;
    this.#tell(pod, { type: 'Normal', reason: 'Killing', message: ending }, name);
    containers.signal(record, 'SIGTERM');
    clock.after(graceOf(pod) * 1000, () => containers.signal(record, 'SIGKILL'));
  }

  #stopProbes(name: string): void {
    this.#probes.get(name)?.probes.stop();
    this.#probes.delete(name);
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────
  async #terminate(pod: Pod | undefined): Promise<number | 'done'> {
    const now = this.#edges.clock.now();
    const running = Object.entries(this.#record?.containers ?? {}).flatMap(([name, record]) => {
      const state = this.#edges.containers.inspect(this, name, record);
      return state.type === 'running' ? [{ name, record, ready: state.ready }] : [];
    });
    if (this.#terminatingSince === undefined) {
      this.#terminatingSince = now;
      if (pod !== undefined)
        for (const { name } of running)
          this.#tell(pod, { type: 'Normal', reason: 'Killing', message: `Stopping container ${name}` }, name);
    }
    // A program that is still starting may swallow the signal: its runtime's own handler is there before the program's.
    for (const { name, record, ready } of running)
      if (ready && !this.#toldToEnd.has(name) && this.#edges.containers.signal(record, 'SIGTERM'))
        this.#toldToEnd.add(name);
    const graceMs = pod === undefined ? 0 : graceOf(pod) * 1000;
    if (running.length > 0 && now < this.#terminatingSince + graceMs) return 20;
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
    return firstRetryMs;
  }

  // ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────
  async #writeStatus(pod: Pod): Promise<void> {
    const view = (container: Container): ContainerView => {
      const record = this.#record?.containers[container.name];
      const seen = record && this.#edges.containers.inspect(this, container.name, record);
      const probes = this.#probes.get(container.name)?.probes;
      // Before the first check nobody knows.
      const isProbed = hasProbes(container) && pod.spec.containers.includes(container);
      const isPassed = !isProbed || probes?.ready === true;
      const isStarted = !isProbed || probes?.started === true;
      const state = seen?.type === 'running' ? { ...seen, ready: seen.ready && isPassed } : seen;
      const waiting =
        state?.type === 'running'
          ? undefined
          : (this.#problems.get(container.name) ??
            (this.#networkProblem === undefined
              ? undefined
              : { reason: 'ContainerCreating', message: this.#networkProblem }));
      return {
        name: container.name,
        image: container.image ?? '',
        ...(record === undefined ? {} : { record }),
        ...(state === undefined ? {} : { state }),
        ...(seen?.type === 'running' ? { started: seen.ready && isStarted } : {}),
        ...(waiting === undefined ? {} : { waiting }),
      };
    };
    const now = new Date(this.#edges.clock.now()).toISOString();
    const status = podStatus({
      pod,
      hostAddresses: this.#edges.hostAddresses,
      addresses: this.#record?.addresses ?? [],
      startedAt: this.#record?.startedAt ?? pod.status?.startTime ?? now,
      init: (pod.spec.initContainers ?? []).map(view),
      containers: pod.spec.containers.map(view),
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

  #tellWarning(pod: Pod, reason: string, message: string, container?: string): void {
    this.#tell(pod, { type: 'Warning', reason, message }, container);
  }

  #tell(pod: Pod, text: EventText, container?: string): void {
    const host = pod.spec.nodeName;
    const source = { component: 'kubelet', ...(host === undefined ? {} : { host }) };
    const field = (pod.spec.initContainers ?? []).some((c) => c.name === container)
      ? 'initContainers'
      : 'containers';
    this.#events.record(source, pod, text, container === undefined ? '' : `spec.${field}{${container}}`);
  }

  #save(record: SandboxRecord): void {
    this.#record = record;
    this.#edges.checkpoints.save(record);
  }
}

const graceOf = (pod: Pod): number =>
  pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;

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
