// One run of the lab's scheduler and controllers over the whole cluster: each of them plans from what the cache holds, and what
// it plans is written here.
import type { Datastore, StoreError } from '../../datastore/mod.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Result } from '../../lib/result.ts';
import type { DaemonSet, Deployment, KubernetesNode, Pod, StatefulSet } from '../../model/mod.ts';
import { EventRecorder, type EventSubject } from '../events.ts';
import type { BindPod } from './binding.ts';
import type { ClusterCache } from './cache.ts';
import { planCronJob, referenceTo } from './cron-jobs.ts';
import { planDaemonSet } from './daemons.ts';
import { planEndpointSlices } from './endpoint-slices.ts';
import { planJob } from './jobs.ts';
import { canonicalJson, controllerOf, isActive, isNodeReady } from './pods.ts';
import { planReplicaSet } from './replicas.ts';
import { planRevisions, revisionHashLabel } from './revisions.ts';
import { planDeployment, revisionAnnotation } from './rollout.ts';
import { place } from './schedule.ts';
import { untolerated } from './taints.ts';
import { planStatefulSet } from './stateful-sets.ts';

export type RunOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly bind: BindPod;
  readonly cache: ClusterCache;
  readonly clock: Clock;
  readonly nodeGraceMs: number;
};

/** Codes by which a server says that it will not have it. */
const refusals: ReadonlySet<string> = new Set(['Forbidden', 'Invalid']);
const refusedMs = 2000;
const podOwners: ReadonlySet<string> = new Set(['ReplicaSet', 'DaemonSet', 'StatefulSet', 'Job']);

export class ControlRun {
  readonly #store: Datastore;
  readonly #logger: Logger;
  readonly #cache: ClusterCache;
  readonly #clock: Clock;
  readonly #nodeGraceMs: number;
  readonly #bind: BindPod;
  readonly #events: EventRecorder;
  /** Owners whose pods the server will not have → when to ask again. */
  readonly #refused = new Map<string, number>();
  #complete = true;
  #nextMs: number | undefined;

  constructor(options: RunOptions) {
    this.#store = options.datastore;
    this.#logger = options.logger;
    this.#bind = options.bind;
    this.#cache = options.cache;
    this.#clock = options.clock;
    this.#nodeGraceMs = options.nodeGraceMs;
    this.#events = new EventRecorder(options.datastore, options.clock);
  }

  /** When there is something to do without a change, after the last run. */
  get nextMs(): number | undefined {
    return this.#nextMs;
  }

  #lookAgain(ms: number | undefined): void {
    if (ms !== undefined) this.#nextMs = Math.min(this.#nextMs ?? ms, ms);
  }

  /** False when something could not be written and must be tried again. */
  async everything(): Promise<boolean> {
    this.#complete = true;
    this.#nextMs = undefined;
    await this.#nodes();
    await this.#collectOrphans();
    await this.#evict();
    await this.#deployments();
    await this.#replicaSets();
    await this.#daemonSets();
    await this.#statefulSets();
    await this.#cronJobs();
    await this.#jobs();
    await this.#schedule();
    await this.#endpointSlices();
    return this.#complete;
  }

  async #nodes(): Promise<void> {
    const now = this.#clock.now();
    for (const node of this.#cache.nodes) {
      const heartbeat = (node.status?.conditions ?? []).find((c) => c.type === 'Ready')?.lastHeartbeatTime;
      if (!isNodeReady(node) || heartbeat === undefined) continue;
      if (now - Date.parse(heartbeat) <= this.#nodeGraceMs) continue;
      const marked = await this.#check(
        'mark node not ready',
        this.#store.updateStatus('KubernetesNode', withoutHeartbeat(node, new Date(now).toISOString())),
      );
      const message = `Node ${node.metadata.name} status is now: NodeNotReady`;
      if (marked.ok) this.#tell('node-controller', node, 'NodeNotReady', message);
    }
  }

  /** ReplicaSets, revisions and pods whose controller is gone go too. */
  async #collectOrphans(): Promise<void> {
    for (const set of this.#cache.replicaSets) {
      const owner = controllerOf(set);
      if (owner === undefined || set.metadata.deletionTimestamp !== undefined || this.#cache.hasUid(owner))
        continue;
      await this.#delete('ReplicaSet', set);
    }
    for (const revision of this.#cache.revisions) {
      const owner = controllerOf(revision);
      if (owner !== undefined && !this.#cache.hasUid(owner))
        await this.#delete('ControllerRevision', revision);
    }
    for (const pod of this.#cache.pods) {
      const owner = pod.metadata.ownerReferences?.find((o) => o.controller === true);
      if (owner === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
      if (!podOwners.has(owner.kind)) continue;
      if (!this.#cache.hasUid(owner.uid)) await this.#delete('Pod', pod);
    }
  }

  /** Pods leave a node whose taint says so. */
  async #evict(): Promise<void> {
    const effects = ['NoExecute'] as const;
    const nodes = new Map(this.#cache.nodes.map((node) => [node.metadata.name, node]));
    for (const pod of this.#cache.pods) {
      const node = nodes.get(pod.spec.nodeName ?? '');
      if (node === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
      if (untolerated(node, pod.spec.tolerations, effects) === undefined) continue;
      this.#tell('taint-eviction-controller', pod, 'TaintManagerEviction', 'Marking for deletion Pod');
      await this.#delete('Pod', pod);
    }
  }

  async #deployments(): Promise<void> {
    for (const deployment of this.#cache.deployments) {
      const plan = planDeployment(deployment, this.#cache.replicaSets, this.#clock.now());
      this.#lookAgain(plan.nextMs);
      if (plan.create !== undefined) {
        const created = await this.#check(
          'create ReplicaSet',
          this.#store.create('ReplicaSet', plan.create),
          'AlreadyExists',
        );
        if (created.ok) {
          this.#cache.created('ReplicaSet', created.value);
          this.#tellScaling(deployment, created.value.metadata.name, 0, created.value.spec.replicas ?? 1);
        }
      }
      if (plan.annotate !== undefined)
        await this.#check(
          'annotate ReplicaSet',
          this.#store.patch('ReplicaSet', nameOf(plan.annotate.set), {
            type: 'merge',
            body: { metadata: { annotations: plan.annotate.annotations } },
          }),
          'NotFound',
        );
      // What was annotated has changed; with the news of it comes the next run.
      for (const { set, replicas } of plan.scale.filter((one) => one.set !== plan.annotate?.set)) {
        const scaled = await this.#check(
          'scale ReplicaSet',
          this.#store.patch('ReplicaSet', nameOf(set), {
            type: 'merge',
            body: { metadata: { resourceVersion: set.metadata.resourceVersion }, spec: { replicas } },
          }),
          'NotFound',
        );
        if (scaled.ok) this.#tellScaling(deployment, set.metadata.name, set.spec.replicas ?? 1, replicas);
      }
      for (const set of plan.remove) await this.#delete('ReplicaSet', set);
      const noted = await this.#noteRevision(deployment, plan.revision);
      if (differs(deployment.status, plan.status))
        await this.#check(
          'write Deployment status',
          this.#store.updateStatus('Deployment', { ...noted, status: plan.status }),
          'NotFound',
        );
    }
  }

  /** The Deployment as it is then. */
  async #noteRevision(deployment: Deployment, revision: string | undefined): Promise<Deployment> {
    if (revision === undefined || deployment.metadata.annotations?.[revisionAnnotation] === revision)
      return deployment;
    const noted = await this.#check(
      'annotate Deployment',
      this.#store.patch('Deployment', nameOf(deployment), {
        type: 'merge',
        body: { metadata: { annotations: { [revisionAnnotation]: revision } } },
      }),
      'NotFound',
    );
    return noted.ok ? noted.value : deployment;
  }

  async #replicaSets(): Promise<void> {
    for (const set of this.#cache.replicaSets) {
      const plan = planReplicaSet(set, this.#cache.pods);
      await this.#createPods(plan.create);
      for (const pod of plan.remove) await this.#delete('Pod', pod);
      if (differs(set.status, plan.status))
        await this.#check(
          'write ReplicaSet status',
          this.#store.updateStatus('ReplicaSet', { ...set, status: plan.status }),
          'NotFound',
        );
    }
  }

  async #daemonSets(): Promise<void> {
    for (const set of this.#cache.daemonSets) {
      await this.#revisions(set);
      const plan = planDaemonSet(set, this.#cache.nodes, this.#cache.pods);
      await this.#createPods(plan.create);
      for (const pod of plan.remove) await this.#delete('Pod', pod);
      if (differs(set.status, plan.status))
        await this.#check(
          'write DaemonSet status',
          this.#store.updateStatus('DaemonSet', { ...set, status: plan.status }),
          'NotFound',
        );
    }
  }

  async #statefulSets(): Promise<void> {
    for (const set of this.#cache.statefulSets) {
      await this.#revisions(set);
      const plan = planStatefulSet(set, this.#cache.pods, this.#cache.revisions);
      await this.#createPods(plan.create);
      for (const pod of plan.remove) await this.#delete('Pod', pod);
      if (differs(set.status, plan.status))
        await this.#check(
          'write StatefulSet status',
          this.#store.updateStatus('StatefulSet', { ...set, status: plan.status }),
          'NotFound',
        );
    }
  }

  /** Their versions, before a pod is made of one. */
  async #revisions(set: DaemonSet | StatefulSet): Promise<void> {
    const inUse = new Set(
      this.#cache.pods
        .filter((pod) => controllerOf(pod) === set.metadata.uid && isActive(pod))
        .map((pod) => pod.metadata.labels?.[revisionHashLabel] ?? '')
        .map((label) => (set.kind === 'DaemonSet' ? `${set.metadata.name}-${label}` : label)),
    );
    const plan = planRevisions(set, this.#cache.revisions, inUse);
    if (plan.create !== undefined) {
      const created = await this.#check(
        'create ControllerRevision',
        this.#store.create('ControllerRevision', plan.create),
        'AlreadyExists',
      );
      if (created.ok) this.#cache.created('ControllerRevision', created.value);
    }
    if (plan.renumber !== undefined)
      await this.#check(
        'renumber ControllerRevision',
        this.#store.patch('ControllerRevision', nameOf(plan.renumber.of), {
          type: 'merge',
          body: { revision: plan.renumber.revision },
        }),
        'NotFound',
      );
    for (const one of plan.remove) await this.#delete('ControllerRevision', one);
  }

  async #cronJobs(): Promise<void> {
    for (const cronJob of this.#cache.cronJobs) {
      const plan = planCronJob(cronJob, this.#cache.jobs, this.#clock.now());
      this.#lookAgain(plan.nextMs);
      for (const text of plan.events) this.#events.record({ component: 'cronjob-controller' }, cronJob, text);
      for (const job of plan.remove) await this.#delete('Job', job);
      let { active = [] } = plan.status;
      if (plan.create !== undefined) {
        const created = await this.#check(
          'create Job',
          this.#store.create('Job', plan.create),
          'AlreadyExists',
        );
        if (created.ok) {
          this.#cache.created('Job', created.value);
          active = [...active, referenceTo(created.value)];
          this.#tell(
            'cronjob-controller',
            cronJob,
            'SuccessfulCreate',
            `Created job ${created.value.metadata.name}`,
          );
        } else if (created.error.code !== 'AlreadyExists') continue;
      }
      const status = { ...plan.status, active };
      if (differs({ active: [], ...cronJob.status }, status))
        await this.#check(
          'write CronJob status',
          this.#store.updateStatus('CronJob', { ...cronJob, status }),
          'NotFound',
        );
    }
  }

  async #jobs(): Promise<void> {
    for (const job of this.#cache.jobs) {
      const plan = planJob(job, this.#cache.pods, this.#clock.now());
      if (plan.isStale && job.metadata.deletionTimestamp === undefined) {
        await this.#delete('Job', job);
        continue;
      }
      await this.#createPods(plan.create);
      for (const pod of plan.remove) await this.#delete('Pod', pod);
      if (differs(job.status, plan.status))
        await this.#check(
          'write Job status',
          this.#store.updateStatus('Job', { ...job, status: plan.status }),
          'NotFound',
        );
    }
  }

  async #endpointSlices(): Promise<void> {
    const known = this.#cache.endpointSlices;
    for (const service of this.#cache.services) {
      const plan = planEndpointSlices(service, known.get(service.metadata.uid ?? '') ?? [], this.#cache.pods);
      for (const slice of plan.create) {
        const created = await this.#check('create EndpointSlice', this.#store.create('EndpointSlice', slice));
        if (created.ok) this.#cache.created('EndpointSlice', created.value);
      }
      for (const slice of plan.update)
        await this.#check('write EndpointSlice', this.#store.update('EndpointSlice', slice), 'NotFound');
      for (const slice of plan.remove) await this.#delete('EndpointSlice', slice);
    }
  }

  async #createPods(pods: readonly Pod[]): Promise<void> {
    for (const pod of pods) {
      const owner = controllerOf(pod) ?? '';
      const untilMs = this.#refused.get(owner) ?? 0;
      if (this.#clock.now() < untilMs) return this.#lookAgain(untilMs);
      // A pod with a name of its own may still be going.
      const created = await this.#check('create pod', this.#store.create('Pod', pod), 'AlreadyExists');
      if (!created.ok && refusals.has(created.error.code)) {
        // The others would not fare better, nor this one at once.
        this.#refused.set(owner, this.#clock.now() + refusedMs);
        this.#lookAgain(this.#clock.now() + refusedMs);
        this.#tellOwner(pod, 'FailedCreate', `Error creating: ${created.error.message}`, 'Warning');
        return;
      }
      this.#refused.delete(owner);
      if (!created.ok) continue;
      this.#cache.created('Pod', created.value);
      this.#tellOwner(created.value, 'SuccessfulCreate', `Created pod: ${created.value.metadata.name}`);
    }
  }

  #tell(
    component: string,
    about: EventSubject,
    reason: string,
    message: string,
    type: 'Normal' | 'Warning' = 'Normal',
  ): void {
    this.#events.record({ component }, about, { type, reason, message });
  }

  #tellOwner(pod: Pod, reason: string, message: string, type: 'Normal' | 'Warning' = 'Normal'): void {
    const owner = pod.metadata.ownerReferences?.find((one) => one.controller === true);
    if (owner === undefined || !this.#cache.hasUid(owner.uid)) return;
    const { apiVersion, kind, name, uid } = owner;
    const metadata = { name, uid, namespace: pod.metadata.namespace ?? 'default' };
    this.#tell(`${kind.toLowerCase()}-controller`, { apiVersion, kind, metadata }, reason, message, type);
  }

  #tellScaling(deployment: EventSubject, set: string, from: number, to: number): void {
    if (from === to) return;
    const message = `Scaled ${to > from ? 'up' : 'down'} replica set ${set} from ${from} to ${to}`;
    this.#tell('deployment-controller', deployment, 'ScalingReplicaSet', message);
  }

  async #schedule(): Promise<void> {
    const placed: Pod[] = [...this.#cache.pods];
    for (const pod of this.#cache.pods) {
      if (pod.spec.nodeName !== undefined && pod.spec.nodeName !== '') continue;
      if (pod.metadata.deletionTimestamp !== undefined) continue;
      const choice = place(pod, this.#cache.nodes, placed);
      if ('reason' in choice) {
        await this.#explainPending(pod, choice.reason);
        continue;
      }
      const bound = await this.#check('bind pod', this.#bind(pod, choice.node), 'NotFound');
      if (bound.ok) {
        const { name, namespace = 'default' } = pod.metadata;
        const message = `Successfully assigned ${namespace}/${name} to ${choice.node}`;
        this.#tell('default-scheduler', pod, 'Scheduled', message);
        placed.splice(placed.indexOf(pod), 1, { ...pod, spec: { ...pod.spec, nodeName: choice.node } });
      }
    }
  }

  async #explainPending(pod: Pod, message: string): Promise<void> {
    const known = pod.status?.conditions?.find((c) => c.type === 'PodScheduled');
    if (known?.status === 'False' && known.message === message) return;
    const text = { type: 'Warning', reason: 'FailedScheduling', message } as const;
    this.#events.record({ component: 'default-scheduler' }, pod, text);
    const others = (pod.status?.conditions ?? []).filter((c) => c.type !== 'PodScheduled');
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastTransitionTime: new Date(this.#clock.now()).toISOString(),
    };
    await this.#check(
      'write pod status',
      this.#store.updateStatus('Pod', {
        ...pod,
        status: { ...pod.status, phase: 'Pending', conditions: [...others, condition] },
      }),
      'NotFound',
    );
  }

  async #delete(
    kind: 'Pod' | 'ReplicaSet' | 'ControllerRevision' | 'EndpointSlice' | 'Job',
    object: Parameters<ClusterCache['deleting']>[0],
  ): Promise<void> {
    const { uid } = object.metadata;
    const result = await this.#check(
      `delete ${kind}`,
      this.#store.delete(kind, nameOf(object), uid === undefined ? {} : { uid }),
      'NotFound',
    );
    if (!result.ok) return;
    this.#cache.deleting(object);
    if (kind === 'Pod')
      this.#tellOwner(object as Pod, 'SuccessfulDelete', `Deleted pod: ${object.metadata.name}`);
  }

  /** A conflict only means that the cache is behind: the watch brings the newer object, and the next run looks again. */
  async #check<T>(
    what: string,
    write: Promise<Result<T, StoreError>>,
    alsoFine?: StoreError['code'],
  ): Promise<Result<T, StoreError>> {
    const result = await write;
    if (!result.ok && result.error.code !== alsoFine && result.error.code !== 'Conflict') {
      this.#complete = false;
      this.#logger.warn('cannot write; will try again', { what, error: result.error.message });
    }
    return result;
  }
}

const nameOf = (object: {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}): { name: string; namespace?: string } => ({
  name: object.metadata.name,
  ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }),
});

/** Whether what we would write differs from what is there, in the fields we write. */
function differs(
  now: Readonly<Record<string, unknown>> | undefined,
  wanted: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(wanted).some(
    ([key, value]) => canonicalJson(now?.[key] ?? 0) !== canonicalJson(value),
  );
}

function withoutHeartbeat(node: KubernetesNode, now: string): KubernetesNode {
  return {
    ...node,
    status: {
      ...node.status,
      conditions: (node.status?.conditions ?? []).map((c) =>
        c.type === 'Ready'
          ? {
              ...c,
              status: 'Unknown',
              reason: 'NodeStatusUnknown',
              message: 'The node runner stopped posting node status.',
              lastTransitionTime: now,
            }
          : c,
      ),
    },
  };
}
