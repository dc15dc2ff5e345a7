// What a kubelet does, for a node of the lab: registers the node and reports it, watches the pods bound to it, and gives
// each a worker. Sandboxes of an earlier runner are taken over; those whose pod is gone meanwhile are cleared away.
import { mkdirSync, watch } from 'node:fs';
import { startSyncer } from '../../datastore/mod.ts';
import { backoff, sleep } from '../../lib/wait.ts';
import type { Pod } from '../../model/mod.ts';
import { readNetworkList } from './cni.ts';
import { type NodeFacts, nodeObject, nodeStatus, type NodeReadiness } from './node-object.ts';
import { containersOf } from './pod-status.ts';
import { PodWorker } from './pod-worker.ts';
import type { FindPod, PodPlace } from './streams/mod.ts';
import type { UsedContainer } from './usage.ts';
import type { ContainerRecord, Containers, WorkerEdges } from './types.ts';

export type RunnerOptions = WorkerEdges & {
  readonly facts: NodeFacts;
  /** Whether the network is ready; asked before each report. */
  readonly networkReady: () => NodeReadiness;
  readonly heartbeatMs?: number;
  /** Whose files' changes tell of containers (see containers.ts). */
  readonly watchDirectory?: string;
};

export interface Runner {
  /** A pod of this node for the streams of kubectl. */
  readonly findPod: FindPod;
  /** Its containers that run. */
  readonly usedContainers: () => readonly UsedContainer[];
  /** Leaves pods running. */
  stop(): Promise<void>;
}

export function startRunner(options: RunnerOptions): Runner {
  const workers = new Map<string, PodWorker>();
  /** Deleted while nobody looked: until the first list is complete nobody knows which these are. */
  const unseen = new Set<string>();
  const uidByName = new Map<string, string>();
  const abort = new AbortController();
  const work = (uid: string, pod: Pod | undefined, record: Parameters<typeof startWorker>[2]): void => {
    workers.set(uid, startWorker(uid, pod, record));
  };
  const startWorker = (
    uid: string,
    pod: Pod | undefined,
    record: ReturnType<WorkerEdges['checkpoints']['all']>[number] | undefined,
  ): PodWorker => {
    const worker = new PodWorker(options, uid, pod, record);
    void worker.done.then(() => {
      if (workers.get(uid) === worker) workers.delete(uid);
    });
    return worker;
  };
  const records = new Map(options.checkpoints.all().map((record) => [record.uid, record]));
  for (const uid of [...records.keys(), ...options.volumes.known()]) unseen.add(uid);

  const set = (pod: Pod): void => {
    const uid = pod.metadata.uid ?? '';
    uidByName.set(`${pod.metadata.namespace}/${pod.metadata.name}`, uid);
    unseen.delete(uid);
    const worker = workers.get(uid);
    if (worker !== undefined) worker.update(pod);
    else {
      const record = records.get(uid);
      records.delete(uid);
      work(uid, pod, record);
    }
  };
  const removed = (name: { readonly name: string; readonly namespace?: string }): void => {
    const key = `${name.namespace}/${name.name}`;
    const uid = uidByName.get(key);
    uidByName.delete(key);
    if (uid !== undefined) workers.get(uid)?.update(undefined);
  };
  const syncer = startSyncer<'Pod'>(options.datastore, {
    kinds: [{ kind: 'Pod', fieldSelector: `spec.nodeName=${options.facts.name}` }],
    logger: options.logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'set') set(update.object);
        else if (update.type === 'delete') removed(update.name);
        else if (update.status === 'in-sync') {
          for (const uid of unseen) work(uid, undefined, records.get(uid));
          unseen.clear();
          records.clear();
        }
      }
    },
  });
  const stopWatching = watchContainers(options, workers);
  const reporting = report(options, abort.signal);
  const findPod: FindPod = (namespace, name) => {
    const worker = workers.get(uidByName.get(`${namespace}/${name}`) ?? '');
    return worker === undefined ? undefined : placeOf(worker, options.containers);
  };
  return {
    findPod,
    usedContainers: () => [...workers.values()].flatMap((worker) => usedBy(worker, options.containers)),
    stop: async () => {
      abort.abort();
      stopWatching();
      await syncer.stop();
      for (const worker of workers.values()) worker.stop();
      await options.sources.stop();
      await Promise.all([...workers.values()].map((w) => w.done));
      await reporting;
    },
  };
}

/** Ephemeral containers count to those whose processes they see. */
function usedBy(worker: PodWorker, containers: Containers): readonly UsedContainer[] {
  const { identity, record, pod } = worker.place;
  const names = [...(pod?.spec.initContainers ?? []), ...(pod?.spec.containers ?? [])].map(
    ({ name }) => name,
  );
  return names.flatMap((container) => {
    const now = record?.containers[container];
    const initPid = now === undefined ? undefined : containers.initPid(now);
    return initPid === undefined
      ? []
      : [{ namespace: identity.namespace, pod: identity.name, container, initPid }];
  });
}

function placeOf(worker: PodWorker, containers: Containers): PodPlace {
  const { identity, record, pod } = worker.place;
  return {
    netns: record?.netns,
    isAttached: record?.state === 'attached',
    container: (name) => {
      const isKnown = pod !== undefined && containersOf(pod).some((c) => c.name === name);
      if (!isKnown) return undefined;
      const current = (): ContainerRecord | undefined => worker.place.record?.containers[name];
      const now = current();
      return {
        logFolder: containers.logFolder(identity, name),
        initPid: now === undefined ? undefined : containers.initPid(now),
        isRunning: () =>
          now !== undefined &&
          current()?.attempt === now.attempt &&
          containers.inspect(identity, name, now).type === 'running',
        console: now === undefined ? undefined : containers.console(identity.uid, name, now.attempt),
      };
    },
  };
}

/** A ready or exit file wakes the worker whose uid begins its name. */
function watchContainers(options: RunnerOptions, workers: ReadonlyMap<string, PodWorker>): () => void {
  if (options.watchDirectory === undefined) return () => undefined;
  mkdirSync(options.watchDirectory, { recursive: true });
  const watcher = watch(options.watchDirectory, (_, file) => {
    if (file !== null && /\.(ready|exit)$/.test(file)) workers.get(file.split('.')[0] ?? '')?.notify();
  });
  return () => watcher.close();
}

/** Registers the node, then reports its state, at once when it changes, until aborted. An unreachable API server only
 *  delays it. */
async function report(options: RunnerOptions, signal: AbortSignal): Promise<void> {
  const { datastore, facts, logger } = options;
  const heartbeatMs = options.heartbeatMs ?? 10_000;
  let attempt = 0;
  let registered = false;
  let reported: { readonly ready: boolean; readonly atMs: number } | undefined;
  while (!signal.aborted) {
    registered ||= await register(options);
    const readiness = options.networkReady();
    const now = options.clock.monotonic();
    if (reported?.ready === readiness.ready && now < reported.atMs + heartbeatMs) {
      // Until the network is ready everybody waits for this node: look often.
      await sleep(readiness.ready ? reported.atMs + heartbeatMs - now : 25, signal);
      continue;
    }
    const failed = registered ? await reportOnce(options, readiness) : 'not registered';
    if (failed === undefined) {
      attempt = 0;
      reported = { ready: readiness.ready, atMs: now };
      continue;
    }
    logger.warn('node status could not be written', { error: failed });
    const found = await datastore.get('KubernetesNode', { name: facts.name });
    if (!found.ok && found.error.code === 'NotFound') registered = false;
    // While nobody knows the node everybody waits for it.
    await sleep(backoff(attempt++, 100, reported === undefined ? 500 : 10_000), signal);
  }
}

async function register(options: RunnerOptions): Promise<boolean> {
  const { datastore, facts, logger } = options;
  const wanted = nodeObject(facts);
  const created = await datastore.create('KubernetesNode', wanted);
  if (created.ok) return true;
  if (created.error.code !== 'AlreadyExists') {
    logger.warn('node could not be registered', { error: created.error.message });
    return false;
  }
  const patched = await datastore.patch(
    'KubernetesNode',
    { name: facts.name },
    {
      type: 'merge',
      body: { metadata: { labels: wanted.metadata.labels, annotations: wanted.metadata.annotations } },
    },
  );
  return patched.ok;
}

async function reportOnce(options: RunnerOptions, readiness: NodeReadiness): Promise<string | undefined> {
  const { datastore, facts } = options;
  const current = await datastore.get('KubernetesNode', { name: facts.name });
  if (!current.ok) return current.error.message;
  const status = nodeStatus(facts, readiness, current.value.status, new Date().toISOString());
  const { resourceVersion } = current.value.metadata;
  const written = await datastore.patch(
    'KubernetesNode',
    { name: facts.name },
    { type: 'merge', status: true, body: { metadata: { resourceVersion }, status } },
  );
  // Somebody else reported at the same moment: look again, and take theirs along.
  if (!written.ok && written.error.code === 'Conflict') return reportOnce(options, readiness);
  return written.ok ? undefined : written.error.message;
}

/** Ready when a container runtime would find a network configuration. */
export const networkConfigured = (directory: string): NodeReadiness => {
  const list = readNetworkList(directory);
  return list.ok ? { ready: true } : { ready: false, message: list.error.message };
};
