// A pod's status as kubectl shows it, from what the runner knows. Pure.
import type { Pod } from '../../model/mod.ts';
import type { ContainerEnd, ContainerRecord, ContainerState } from './types.ts';

export type ContainerView = {
  readonly name: string;
  readonly image: string;
  readonly record?: ContainerRecord;
  readonly state?: ContainerState;
  /** Its startup is over. */
  readonly started?: boolean;
  /** Why it does not run now. */
  readonly waiting?: { readonly reason: string; readonly message?: string };
};

export type PodView = {
  readonly pod: Pod;
  readonly hostAddresses: readonly string[];
  readonly addresses: readonly string[];
  readonly startedAt: string;
  readonly init: readonly ContainerView[];
  readonly containers: readonly ContainerView[];
  readonly ephemeral: readonly ContainerView[];
  readonly now: string;
};

type Status = NonNullable<Pod['status']>;
type ContainerStatus = NonNullable<Status['containerStatuses']>[number];

/** All of a pod, in the order in which they start. */
export const containersOf = ({ spec }: Pod): readonly Pod['spec']['containers'][number][] => [
  ...(spec.initContainers ?? []),
  ...spec.containers,
  ...(spec.ephemeralContainers ?? []),
];

export function podStatus(view: PodView): Status {
  const { pod } = view;
  const init = view.init.map((c) => containerStatus(pod, c));
  const containers = view.containers.map((c) => containerStatus(pod, c));
  const ephemeral = view.ephemeral.map((c) => containerStatus(pod, c));
  const phase = phaseOf(pod, view);
  const allReady = phase === 'Running' && containers.every((c) => c.ready);
  const initialized = init.every((c) => c.state?.terminated?.exitCode === 0);
  const condition = (
    type: string,
    met: boolean,
    reason?: string,
  ): NonNullable<Status['conditions']>[number] => {
    const status = met ? 'True' : 'False';
    const before = pod.status?.conditions?.find((c) => c.type === type);
    return {
      type,
      status,
      ...(met || reason === undefined ? {} : { reason }),
      lastTransitionTime: before?.status === status ? (before.lastTransitionTime ?? view.now) : view.now,
    };
  };
  const notReady = phase === 'Succeeded' ? 'PodCompleted' : 'ContainersNotReady';
  return {
    phase,
    conditions: [
      condition('PodReadyToStartContainers', view.addresses.length > 0),
      condition('Initialized', initialized, 'ContainersNotInitialized'),
      condition('Ready', allReady, notReady),
      condition('ContainersReady', allReady, notReady),
      condition('PodScheduled', true),
    ],
    ...(view.hostAddresses[0] === undefined
      ? {}
      : { hostIP: view.hostAddresses[0], hostIPs: view.hostAddresses.map((ip) => ({ ip })) }),
    ...(view.addresses[0] === undefined
      ? {}
      : { podIP: view.addresses[0], podIPs: view.addresses.map((ip) => ({ ip })) }),
    startTime: view.startedAt,
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    containerStatuses: containers,
    ...(ephemeral.length > 0 ? { ephemeralContainerStatuses: ephemeral } : {}),
    qosClass: pod.status?.qosClass ?? 'BestEffort',
  };
}

/** Whether a container that ended this way is to run again. */
export function restarts(pod: Pod, exitCode: number): boolean {
  const policy = pod.spec.restartPolicy ?? 'Always';
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function phaseOf(pod: Pod, view: PodView): 'Pending' | 'Running' | 'Succeeded' | 'Failed' {
  const final = (c: ContainerView): c is ContainerView & { state: { type: 'ended'; exitCode: number } } =>
    c.state?.type === 'ended' && !restarts(pod, c.state.exitCode);
  const failedInit = view.init.some((c) => final(c) && c.state.exitCode !== 0);
  if (failedInit) return 'Failed';
  if (view.containers.length > 0 && view.containers.every(final))
    return view.containers.every((c) => c.state?.type === 'ended' && c.state.exitCode === 0)
      ? 'Succeeded'
      : 'Failed';
  return view.containers.some((c) => c.record !== undefined) ? 'Running' : 'Pending';
}

function containerStatus(pod: Pod, view: ContainerView): ContainerStatus {
  const { record, state } = view;
  const running = state?.type === 'running';
  const terminated =
    state?.type === 'ended' && record !== undefined
      ? terminatedState({
          exitCode: state.exitCode,
          ...(state.signal === undefined ? {} : { signal: state.signal }),
          startedAt: record.startedAt,
          finishedAt: state.finishedAt,
        })
      : undefined;
  const current = running
    ? { running: { startedAt: record?.startedAt ?? '' } }
    : view.waiting !== undefined
      ? { waiting: view.waiting }
      : terminated !== undefined
        ? { terminated }
        : { waiting: { reason: 'ContainerCreating' } };
  const last =
    view.waiting !== undefined && terminated !== undefined
      ? terminated
      : record?.previous === undefined
        ? undefined
        : terminatedState(record.previous);
  return {
    name: view.name,
    image: view.image,
    imageID: `margay://${view.image}`,
    ...(record === undefined ? {} : { containerID: containerId(pod, view.name, record) }),
    ready: running && state.ready,
    started: view.started === true,
    restartCount: record?.attempt ?? 0,
    state: current,
    ...(last === undefined ? {} : { lastState: { terminated: last } }),
  };
}

const containerId = (pod: Pod, name: string, record: ContainerRecord): string =>
  `margay://${pod.metadata.uid ?? ''}/${name}/${record.attempt}`;

const terminatedState = (
  end: ContainerEnd,
): NonNullable<NonNullable<ContainerStatus['state']>['terminated']> => ({
  exitCode: end.exitCode,
  ...(end.signal === undefined ? {} : { signal: end.signal }),
  reason: end.exitCode === 0 ? 'Completed' : 'Error',
  startedAt: end.startedAt,
  finishedAt: end.finishedAt,
});
