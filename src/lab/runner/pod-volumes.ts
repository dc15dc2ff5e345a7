// The volumes of one pod and what its containers are told: made before the pod gets its network, changed when the objects that
// they come from change, away with the pod. What cannot be made keeps a pod waiting that has not begun; a pod that runs keeps
// what it has.
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { parseQuantity, type Pod, type Service } from '../../model/mod.ts';
import {
  type Configuration,
  type ConfigurationReference,
  containerVariables,
  expand,
  referencesOfVariables,
  type Variables,
} from './environment.ts';
import type { PodFacts } from './field-values.ts';
import type { PodEvents } from './pod-events.ts';
import { containersOf } from './pod-status.ts';
import type { RunnerError, WorkerEdges } from './types.ts';
import { type Mount, payloadOf, referencesOfVolume, type Volume, type VolumePlace } from './volumes/mod.ts';

type Container = Pod['spec']['containers'][number];
type Token = { readonly token: string; readonly renewAtMs: number };

const firstRetryMs = 500;
const longestRetryMs = 60_000;
/** Between looks at how much is in volumes with a limit. */
const measureMs = 10_000;
const usualTokenSeconds = 3600;
/** A token is renewed when this part of its life is over. */
const renewAfter = 0.8;

/** What a container is started with. */
export type ContainerSetting = {
  readonly container: Container;
  readonly variables: Variables;
  readonly mounts: readonly Mount[];
};

export class PodVolumes {
  readonly #edges: WorkerEdges;
  readonly #events: PodEvents;
  readonly #uid: string;
  readonly #onChange: () => void;
  readonly #addresses: () => readonly string[];
  readonly #places = new Map<string, VolumePlace>();
  readonly #tokens = new Map<string, Token>();
  #configuration: Configuration = { configMap: () => undefined, secret: () => undefined };
  #isPrepared = false;
  /** What the volumes were made from. */
  #madeFrom: string | undefined;
  #isStale = true;
  #problem: string | undefined;
  #retryAt = 0;
  #attempts = 0;
  #measuredAt = 0;

  constructor(options: {
    readonly edges: WorkerEdges;
    readonly events: PodEvents;
    readonly uid: string;
    /** The pod's addresses, as soon as it has some. */
    readonly addresses: () => readonly string[];
    /** The pod is to be looked at again. */
    readonly onChange: () => void;
  }) {
    this.#edges = options.edges;
    this.#events = options.events;
    this.#uid = options.uid;
    this.#addresses = options.addresses;
    this.#onChange = options.onChange;
  }

  /** undefined when everything is there, else when to try again. */
  async prepare(pod: Pod): Promise<number | undefined> {
    const { clock } = this.#edges;
    const { labels, annotations } = pod.metadata;
    const madeFrom = JSON.stringify([labels, annotations, pod.spec.ephemeralContainers?.length]);
    const isDue = [...this.#tokens.values()].some(({ renewAtMs }) => renewAtMs <= clock.now());
    if (this.#isPrepared && !this.#isStale && !isDue && madeFrom === this.#madeFrom) return undefined;
    const waitMs = this.#retryAt - clock.now();
    if (waitMs > 0 && !this.#isStale) return this.#isPrepared ? undefined : waitMs;
    this.#isStale = false;
    const made = await this.#make(pod);
    if (made.ok) {
      this.#isPrepared = true;
      this.#madeFrom = madeFrom;
      this.#problem = undefined;
      this.#attempts = 0;
      return undefined;
    }
    const message = made.error;
    if (this.#problem !== message) this.#events.warning(pod, 'FailedMount', message);
    this.#problem = message;
    const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** this.#attempts++);
    this.#retryAt = clock.now() + delayMs;
    return this.#isPrepared ? undefined : delayMs;
  }

  /** How a container is to run, or the sentence why it cannot. */
  async settingOf(pod: Pod, container: Container): Promise<Result<ContainerSetting, RunnerError>> {
    const services = await this.#services(pod);
    const variables = containerVariables({
      facts: this.#facts(pod),
      container,
      configuration: this.#configuration,
      services,
    });
    if (!variables.ok) return err(failure('BadConfiguration', variables.error));
    const mounts = await this.#mounts(container, variables.value);
    if (!mounts.ok) return err(failure('StartFailed', mounts.error));
    const words = (list: readonly string[] | undefined): string[] =>
      (list ?? []).map((word) => expand(word, variables.value));
    return ok({
      container: {
        ...container,
        ...(container.command === undefined ? {} : { command: words(container.command) }),
        ...(container.args === undefined ? {} : { args: words(container.args) }),
      },
      variables: variables.value,
      mounts: mounts.value,
    });
  }

  /** The sentence about a volume that holds more than it may. */
  async overLimit(pod: Pod): Promise<string | undefined> {
    const limited = (pod.spec.volumes ?? []).filter(
      ({ emptyDir }) => emptyDir?.sizeLimit !== undefined && emptyDir.medium !== 'Memory',
    );
    const now = this.#edges.clock.now();
    if (limited.length === 0 || now < this.#measuredAt + measureMs) return undefined;
    this.#measuredAt = now;
    for (const { name, emptyDir } of limited) {
      const limit = parseQuantity(String(emptyDir?.sizeLimit));
      const place = this.#places.get(name);
      if (limit === undefined || place === undefined) continue;
      if ((await this.#edges.volumes.usedBytes(place.source)) > limit)
        return `Usage of EmptyDir volume "${name}" exceeds the limit "${emptyDir?.sizeLimit}". `;
    }
    return undefined;
  }

  async release(): Promise<void> {
    this.#edges.sources.forget(this.#uid);
    this.#places.clear();
    this.#tokens.clear();
    this.#isPrepared = false;
    this.#isStale = true;
    await this.#edges.volumes.release(this.#uid);
  }

  #facts(pod: Pod): PodFacts {
    const { host, hostAddresses } = this.#edges;
    return {
      pod,
      nodeName: host.nodeName,
      cpus: host.cpus,
      memoryBytes: host.memoryBytes,
      hostAddresses,
      addresses: this.#addresses(),
    };
  }

  async #make(pod: Pod): Promise<Result<void, string>> {
    const containers = containersOf(pod);
    const mounted = new Set(
      containers.flatMap(({ volumeMounts }) => volumeMounts ?? []).map(({ name }) => name),
    );
    const volumes = (pod.spec.volumes ?? []).filter(({ name }) => mounted.has(name));
    const references: ConfigurationReference[] = [
      ...volumes.flatMap(referencesOfVolume),
      ...containers.flatMap(referencesOfVariables),
    ];
    const read = await this.#edges.sources.follow(
      this.#uid,
      pod.metadata.namespace ?? 'default',
      references,
      () => {
        this.#isStale = true;
        this.#onChange();
      },
    );
    if (!read.ok) return err(read.error.message);
    this.#configuration = read.value;
    for (const volume of volumes) {
      const place = await this.#place(pod, volume);
      if (!place.ok) return err(`MountVolume.SetUp failed for volume "${volume.name}" : ${place.error}`);
      this.#places.set(volume.name, place.value);
    }
    return ok(undefined);
  }

  async #place(pod: Pod, volume: Volume): Promise<Result<VolumePlace, string>> {
    const { volumes } = this.#edges;
    const { name, hostPath, emptyDir } = volume;
    if (hostPath !== undefined) {
      const found = await volumes.host(hostPath.path, hostPath.type ?? '');
      return found.ok ? found : err(found.error.message);
    }
    const tokens = await this.#renewed(pod, volume);
    if (!tokens.ok) return tokens;
    const payload = payloadOf(volume, {
      facts: this.#facts(pod),
      configuration: this.#configuration,
      tokens: tokens.value,
    });
    if (payload?.ok === false) return payload;
    // What a lab cannot provide is an empty directory; the pod's events say so.
    const limit = emptyDir?.sizeLimit;
    const sizeBytes = limit === undefined ? undefined : parseQuantity(String(limit));
    const made =
      payload === undefined
        ? await volumes.empty(this.#uid, name, {
            inMemory: emptyDir?.medium === 'Memory',
            ...(sizeBytes === undefined ? {} : { sizeBytes }),
          })
        : await volumes.write(this.#uid, name, payload.value);
    return made.ok ? ok({ source: made.value, isReadOnly: payload !== undefined }) : err(made.error.message);
  }

  /** The tokens of a projected volume by their paths; those that are old anew. */
  async #renewed(
    pod: Pod,
    { name, projected }: Volume,
  ): Promise<Result<ReadonlyMap<string, string>, string>> {
    const tokens = new Map<string, string>();
    for (const { serviceAccountToken: wanted } of projected?.sources ?? []) {
      if (wanted === undefined) continue;
      const key = `${name}/${wanted.path}`;
      const known = this.#tokens.get(key);
      const now = this.#edges.clock.now();
      if (known !== undefined && known.renewAtMs > now) {
        tokens.set(wanted.path, known.token);
        continue;
      }
      const issued = await this.#edges.requestToken(pod, {
        expirationSeconds: wanted.expirationSeconds ?? usualTokenSeconds,
        ...(wanted.audience === undefined ? {} : { audience: wanted.audience }),
      });
      if (!issued.ok) return err(issued.error.message);
      const { token, expiresAtMs } = issued.value;
      this.#tokens.set(key, { token, renewAtMs: now + (expiresAtMs - now) * renewAfter });
      tokens.set(wanted.path, token);
    }
    return ok(tokens);
  }

  async #services(pod: Pod): Promise<readonly Service[]> {
    if (pod.spec.enableServiceLinks === false) return [];
    const listed = await this.#edges.datastore.list('Service', {
      namespace: pod.metadata.namespace ?? 'default',
    });
    // A container without these variables is better than none.
    return listed.ok ? listed.value.items : [];
  }

  async #mounts(container: Container, variables: Variables): Promise<Result<readonly Mount[], string>> {
    const mounts: Mount[] = [];
    for (const { name, mountPath, subPath = '', subPathExpr = '', readOnly } of container.volumeMounts ??
      []) {
      const place = this.#places.get(name);
      if (place === undefined) return err(`volume "${name}" of container ${container.name} is not there`);
      const part = subPathExpr === '' ? subPath : expand(subPathExpr, variables);
      const source = part === '' ? ok(place.source) : await this.#edges.volumes.within(place.source, part);
      if (!source.ok) return err(source.error.message);
      const target = mountPath.startsWith('/') ? mountPath : `/${mountPath}`;
      mounts.push({ source: source.value, target, readOnly: readOnly === true || place.isReadOnly });
    }
    // One that lies in another comes after it.
    return ok(mounts.toSorted((a, b) => a.target.split('/').length - b.target.split('/').length));
  }
}
