// What the controllers know of the cluster: a copy of the objects they look at, kept by a list-watch, plus what they
// wrote themselves and have not seen back yet. Without the latter a controller that runs again before its own pod came
// back through the watch would create it twice.
import type { SyncUpdate } from '../../datastore/mod.ts';
import { controllerOf } from './pods.ts';
import type {
  ControllerRevision,
  CronJob,
  DaemonSet,
  Deployment,
  EndpointSlice,
  Job,
  KubernetesNode,
  Pod,
  ReplicaSet,
  ResourceOf,
  Service,
  StatefulSet,
} from '../../model/mod.ts';

export const watchedKinds = [
  'KubernetesNode',
  'Pod',
  'Deployment',
  'ReplicaSet',
  'DaemonSet',
  'StatefulSet',
  'ControllerRevision',
  'Job',
  'CronJob',
  'Service',
  'EndpointSlice',
] as const;
export type WatchedKind = (typeof watchedKinds)[number];

const rememberedDeletions = 10_000;

const keyOf = (name: { readonly name: string; readonly namespace?: string }): string =>
  `${name.namespace ?? ''}/${name.name}`;

export class ClusterCache {
  readonly #objects: { [K in WatchedKind]: Map<string, ResourceOf<K>> } = {
    KubernetesNode: new Map(),
    Pod: new Map(),
    Deployment: new Map(),
    ReplicaSet: new Map(),
    DaemonSet: new Map(),
    StatefulSet: new Map(),
    ControllerRevision: new Map(),
    Job: new Map(),
    CronJob: new Map(),
    Service: new Map(),
    EndpointSlice: new Map(),
  };
  /** Uids that were deleted, so that a late answer to our own create does not bring one back. */
  readonly #deleted = new Set<string>();
  /** Uids whose deletion was asked for; they count as going until the watch says more. */
  readonly #going = new Set<string>();

  apply(updates: readonly SyncUpdate<WatchedKind>[]): void {
    for (const update of updates) {
      if (update.type === 'set') {
        this.#map(update.kind).set(keyOf(update.object.metadata), update.object);
      } else if (update.type === 'delete') {
        const map = this.#map(update.kind);
        const uid = map.get(keyOf(update.name))?.metadata.uid;
        if (uid !== undefined) {
          this.#going.delete(uid);
          this.#deleted.add(uid);
          if (this.#deleted.size > rememberedDeletions)
            for (const oldest of this.#deleted) {
              this.#deleted.delete(oldest);
              break;
            }
        }
        map.delete(keyOf(update.name));
      }
    }
  }

  /** An object this process created. */
  created<K extends WatchedKind>(kind: K, object: ResourceOf<K>): void {
    const map = this.#map(kind);
    const key = keyOf(object.metadata);
    if (!map.has(key) && !this.#deleted.has(object.metadata.uid ?? '')) map.set(key, object);
  }

  /** An object this process asked to be deleted. */
  deleting(object: Pod | ReplicaSet | ControllerRevision | EndpointSlice | Job): void {
    if (object.metadata.uid !== undefined) this.#going.add(object.metadata.uid);
  }

  get nodes(): readonly KubernetesNode[] {
    return [...this.#objects.KubernetesNode.values()];
  }
  /** Pods that are not on their way out by our own hand. */
  get pods(): readonly Pod[] {
    return [...this.#objects.Pod.values()].filter((p) => !this.#going.has(p.metadata.uid ?? ''));
  }
  get deployments(): readonly Deployment[] {
    return [...this.#objects.Deployment.values()];
  }
  get replicaSets(): readonly ReplicaSet[] {
    return [...this.#objects.ReplicaSet.values()].filter((s) => !this.#going.has(s.metadata.uid ?? ''));
  }
  get daemonSets(): readonly DaemonSet[] {
    return [...this.#objects.DaemonSet.values()];
  }
  get statefulSets(): readonly StatefulSet[] {
    return [...this.#objects.StatefulSet.values()];
  }
  get revisions(): readonly ControllerRevision[] {
    return [...this.#objects.ControllerRevision.values()].filter(
      (one) => !this.#going.has(one.metadata.uid ?? ''),
    );
  }
  get jobs(): readonly Job[] {
    return [...this.#objects.Job.values()].filter((job) => !this.#going.has(job.metadata.uid ?? ''));
  }
  get cronJobs(): readonly CronJob[] {
    return [...this.#objects.CronJob.values()];
  }
  get services(): readonly Service[] {
    return [...this.#objects.Service.values()];
  }
  /** By the service they are of. */
  get endpointSlices(): ReadonlyMap<string, readonly EndpointSlice[]> {
    const known = [...this.#objects.EndpointSlice.values()].filter(
      (slice) => !this.#going.has(slice.metadata.uid ?? ''),
    );
    return Map.groupBy(known, (slice) => controllerOf(slice) ?? '');
  }

  /** Whether an object of this uid is known (any watched kind). */
  hasUid(uid: string): boolean {
    return Object.values(this.#objects).some((map) => [...map.values()].some((o) => o.metadata.uid === uid));
  }

  #map<K extends WatchedKind>(kind: K): Map<string, ResourceOf<K>> {
    return this.#objects[kind] as Map<string, ResourceOf<K>>;
  }
}
