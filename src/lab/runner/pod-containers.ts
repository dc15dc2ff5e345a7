// The containers of one pod: init ones first, one by one; restarts with back-off; probes of those that run.
import type { Pod } from '../../model/mod.ts';
import type { PodEvents } from './pod-events.ts';
import type { PodSandbox } from './pod-sandbox.ts';
import type { PodVolumes } from './pod-volumes.ts';
import { type ContainerView, restarts } from './pod-status.ts';
import { ContainerProbes, hasProbes, type ProbeKind, validateProbes } from './probes.ts';
import type { ContainerRecord, WorkerEdges } from './types.ts';
import { unsupportedIn } from './unsupported.ts';

type Container = Pod['spec']['containers'][number];
type Waiting = { readonly reason: string; readonly message?: string };

const longestRetryMs = 30_000;
/** What a container names may come at any time; a change of it is noticed at once. */
const configurationRetryMs = 5_000;
/** Containers that end at once are started again later and later, as kubelet does. */
const firstRestartMs = 1000;
const longestRestartMs = 60_000;
/** Milliseconds between looks at what runs. */
export const watchMs = 1000;

export type PodContainersOptions = {
  readonly uid: string;
  readonly edges: WorkerEdges;
  readonly events: PodEvents;
  readonly sandbox: PodSandbox;
  readonly volumes: PodVolumes;
  /** The newest object of the pod. */
  readonly pod: () => Pod | undefined;
  /** A probe changed its mind. */
  readonly onChange: () => void;
};

export class PodContainers {
  readonly #options: PodContainersOptions;
  readonly #problems = new Map<string, Waiting>();
  readonly #restartAt = new Map<string, number>();
  /** Of the attempt that runs. */
  readonly #probes = new Map<string, { readonly attempt: number; readonly probes: ContainerProbes }>();

  constructor(options: PodContainersOptions) {
    this.#options = options;
  }

  /** Starts what is to run. Milliseconds until the next look. */
  async run(pod: Pod): Promise<number> {
    for (const container of pod.spec.initContainers ?? []) {
      const nextMs = await this.#runOne(pod, container, true);
      if (nextMs !== undefined) return nextMs;
    }
    let soonest = watchMs;
    for (const container of pod.spec.containers)
      soonest = Math.min(soonest, (await this.#runOne(pod, container, false)) ?? watchMs);
    // Ephemeral ones run once, beside the others.
    for (const container of pod.spec.ephemeralContainers ?? [])
      if (this.#record(container.name) === undefined)
        soonest = Math.min(soonest, await this.#start(pod, container, 0, undefined));
    return soonest;
  }

  /** What the status says of the container. */
  view(pod: Pod, container: Container): ContainerView {
    const record = this.#record(container.name);
    const seen = record && this.#inspect(container.name, record);
    const probes = this.#probes.get(container.name)?.probes;
    // Before the first check nobody knows.
    const isProbed = hasProbes(container) && pod.spec.containers.includes(container);
    const isPassed = !isProbed || probes?.ready === true;
    const isStarted = !isProbed || probes?.started === true;
    const state = seen?.type === 'running' ? { ...seen, ready: seen.ready && isPassed } : seen;
    const { problem } = this.#options.sandbox;
    const waiting =
      state?.type === 'running'
        ? undefined
        : (this.#problems.get(container.name) ??
          (problem === undefined ? undefined : { reason: 'ContainerCreating', message: problem }));
    return {
      name: container.name,
      image: container.image ?? '',
      ...(record === undefined ? {} : { record }),
      ...(state === undefined ? {} : { state }),
      ...(seen?.type === 'running' ? { started: seen.ready && isStarted } : {}),
      ...(waiting === undefined ? {} : { waiting }),
    };
  }

  /** Those that run; `ready` says that the program itself is. */
  running(): readonly { readonly name: string; readonly record: ContainerRecord; readonly ready: boolean }[] {
    return Object.entries(this.#options.sandbox.record?.containers ?? {}).flatMap(([name, record]) => {
      const state = this.#inspect(name, record);
      return state.type === 'running' ? [{ name, record, ready: state.ready }] : [];
    });
  }

  stopProbes(): void {
    for (const name of this.#probes.keys()) this.#stopProbesOf(name);
  }

  #record(name: string): ContainerRecord | undefined {
    return this.#options.sandbox.record?.containers[name];
  }

  #inspect(name: string, record: ContainerRecord) {
    const { edges, uid } = this.#options;
    return edges.containers.inspect({ uid }, name, record);
  }

  /** undefined: an init container has done its work, so the next may start. */
  async #runOne(pod: Pod, container: Container, init: boolean): Promise<number | undefined> {
    const record = this.#record(container.name);
    if (record === undefined) return this.#start(pod, container, 0, undefined);
    const state = this.#inspect(container.name, record);
    if (state.type === 'running') {
      if (!init && hasProbes(container)) this.#probe(pod, container, record);
      return watchMs;
    }
    this.#stopProbesOf(container.name);
    if (init && state.exitCode === 0) return undefined;
    const again = init ? (pod.spec.restartPolicy ?? 'Always') !== 'Never' : restarts(pod, state.exitCode);
    if (!again) return watchMs;
    const now = this.#options.edges.clock.now();
    const at = this.#restartAt.get(container.name) ?? this.#backOff(pod, container, record, state.finishedAt);
    if (now < at) return at - now;
    this.#restartAt.delete(container.name);
    return this.#start(pod, container, record.attempt + 1, {
      exitCode: state.exitCode,
      ...(state.signal === undefined ? {} : { signal: state.signal }),
      startedAt: record.startedAt,
      finishedAt: state.finishedAt,
    });
  }

  /** When the container that ended is started again. */
  #backOff(pod: Pod, { name }: Container, record: ContainerRecord, finishedAt: string): number {
    const { clock } = this.#options.edges;
    const ranMs = Date.parse(finishedAt) - Date.parse(record.startedAt);
    const delay = ranMs > longestRestartMs ? 0 : firstRestartMs * 2 ** Math.min(record.attempt, 10);
    const waitMs = Math.min(longestRestartMs, delay);
    const at = clock.now() + waitMs;
    this.#restartAt.set(name, at);
    const { metadata } = pod;
    if (delay > 0)
      this.#options.events.warning(
        pod,
        'BackOff',
        `Back-off restarting failed container ${name} in pod ${metadata.name}_${metadata.namespace ?? 'default'}(${this.#options.uid})`,
        name,
      );
    this.#problems.set(name, {
      reason: 'CrashLoopBackOff',
      message: `back-off ${Math.round(waitMs / 1000)}s restarting container ${name}`,
    });
    return at;
  }

  async #start(
    pod: Pod,
    container: Container,
    attempt: number,
    previous: ContainerRecord['previous'],
  ): Promise<number> {
    const { edges, events, sandbox, volumes } = this.#options;
    const { record } = sandbox;
    if (record === undefined) return 0;
    const probes = validateProbes(container);
    const setting = probes.ok ? await volumes.settingOf(pod, container) : probes;
    const target = record.containers[container.targetContainerName ?? ''];
    const started = !setting.ok
      ? setting
      : await edges.containers.start({
          ...setting.value,
          pod,
          attempt,
          addresses: record.addresses,
          ...(record.netns === undefined ? {} : { netns: record.netns }),
          ...(target === undefined ? {} : { target }),
        });
    if (!started.ok) {
      const { message, hint } = started.error;
      const text = hint === undefined ? message : `${message} ${hint}`;
      const isConfiguration = started.error.code === 'BadConfiguration';
      if (this.#problems.get(container.name)?.message !== text)
        events.warning(pod, 'Failed', isConfiguration ? `Error: ${text}` : text, container.name);
      const reason = isConfiguration ? 'CreateContainerConfigError' : 'CreateContainerError';
      this.#problems.set(container.name, { reason, message: text });
      return isConfiguration ? configurationRetryMs : longestRetryMs;
    }
    this.#problems.delete(container.name);
    const { name, image = '' } = container;
    events.normal(pod, 'Pulled', `Container image ${JSON.stringify(image)} already present on machine`, name);
    events.normal(pod, 'Created', `Created container: ${name}`, name);
    events.normal(pod, 'Started', `Started container ${name}`, name);
    const unsupported = attempt === 0 ? unsupportedIn(pod, container) : undefined;
    if (unsupported !== undefined) events.warning(pod, 'Unsupported', unsupported, name);
    sandbox.save({
      ...record,
      containers: {
        ...record.containers,
        [container.name]: {
          attempt,
          process: started.value,
          startedAt: new Date(edges.clock.now()).toISOString(),
          ...(previous === undefined ? {} : { previous }),
        },
      },
    });
    return watchMs;
  }

  #probe(pod: Pod, container: Container, record: ContainerRecord): void {
    const { edges, sandbox, onChange } = this.#options;
    const { name } = container;
    if (this.#probes.get(name)?.attempt === record.attempt) return;
    this.#stopProbesOf(name);
    const told = pod.status?.containerStatuses?.find((one) => one.name === name);
    const isSame = told?.restartCount === record.attempt && told.state?.running !== undefined;
    const probes = new ContainerProbes({
      container,
      clock: edges.clock,
      wasReady: isSame && told.ready,
      wasStarted: isSame && told.started === true,
      check: (probe, timeoutMs) =>
        edges.containers.check(
          probe,
          { spec: container, address: sandbox.record?.addresses[0] },
          record,
          timeoutMs,
        ),
      onChange,
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
    const { edges, events } = this.#options;
    const pod = this.#options.pod();
    if (pod === undefined) return;
    const word = { startup: 'Startup', readiness: 'Readiness', liveness: 'Liveness' }[kind];
    events.warning(pod, 'Unhealthy', `${word} probe failed: ${message}`, name);
    if (!isFatal) return;
    events.normal(pod, 'Killing', `Container ${name} failed ${kind} probe, will be restarted`, name);
    edges.containers.signal(record, 'SIGTERM');
    edges.clock.after(graceSeconds(pod) * 1000, () => edges.containers.signal(record, 'SIGKILL'));
  }

  #stopProbesOf(name: string): void {
    this.#probes.get(name)?.probes.stop();
    this.#probes.delete(name);
  }
}

/** Between SIGTERM and SIGKILL. */
export const graceSeconds = (pod: Pod): number =>
  pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
