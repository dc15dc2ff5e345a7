// ADD: addresses, wiring, and everything in the kernel before the answer. What can run side by side does: the veth pair is
// made while the address is being assigned, and the pod's annotations are written while Felix programs routes. A failure
// at any step takes back what was done, so that a retry starts clean (CN-008).
import { type Address, familyOf } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import {
  interfaceNameFor,
  type Namespace,
  type Pod,
  podToWorkloadEndpoint,
  workloadEndpointName,
  type WorkloadEndpoint,
} from '../model/mod.ts';
import type { Kernel } from '../kernel/mod.ts';
import type { Datastore } from '../datastore/mod.ts';
import { assignAddresses, releaseAddresses } from './assignment.ts';
import { endpointAnnotations, plainNamespace } from './endpoint-store.ts';
import { awaitEndpointStatus } from './endpoint-status.ts';
import { type CniError, cniCodes, cniError, wrapFailure } from './errors.ts';
import { tellLimitProblems } from './limit-problems.ts';
import { configurePod, connectPod, disconnectPod, hostMac } from './pod-network.ts';
import { podSettings } from './pod-settings.ts';
import type { AttachmentResult } from './result.ts';
import type {
  Context,
  ContainerIdentity,
  EndpointRecord,
  NetworkConfiguration,
  PodSettings,
} from './types.ts';

type Subject = { readonly pod?: Pod; readonly pods?: Datastore; readonly settings: PodSettings };

export async function attach(
  context: Context,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
): Promise<Result<AttachmentResult, CniError>> {
  const known = context.records.get(container.containerId, container.ifName);
  if (known !== undefined) {
    const again = await answerAgain(context, container, known);
    if (again !== undefined) return again;
  }
  const subject = await readSubject(context, container, configuration);
  if (!subject.ok) return subject;
  const opened = await context.openNamespace(container.netns);
  if (!opened.ok) {
    return err(
      wrapFailure(cniCodes.unknownContainer, `Opening network namespace ${container.netns}`, opened.error),
    );
  }
  try {
    return await plumb(context, container, configuration, subject.value, opened.value);
  } finally {
    await opened.value.close();
  }
}

/** A repeated ADD of a container that is plumbed already gets the same answer; undefined when the interface is gone. */
async function answerAgain(
  context: Context,
  container: ContainerIdentity,
  record: EndpointRecord,
): Promise<Result<AttachmentResult, CniError> | undefined> {
  const link = await context.kernel.links.get(record.hostInterface);
  if (!link.ok || link.value === undefined || record.netns !== container.netns) return undefined;
  const programmed = await context.endpoints.program(record.endpoint);
  if (!programmed.ok)
    return err(wrapFailure(cniCodes.networking, 'Programming the endpoint', programmed.error));
  return ok(resultOf(record, link.value.mtu));
}

/** The pod as the datastore has it, and what it asks for. */
export async function readSubject(
  context: Context,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
): Promise<Result<Subject, CniError>> {
  if (container.pod === undefined) {
    const settings = podSettings({}, {}, configuration);
    return settings.ok ? ok({ settings: settings.value }) : settings;
  }
  const pods = await context.stored.pods(configuration);
  if (!pods.ok) return pods;
  const [pod, namespace] = await Promise.all([
    pods.value.get('Pod', container.pod),
    pods.value.get('Namespace', { name: container.pod.namespace }),
  ]);
  if (!pod.ok)
    return err(
      wrapFailure(
        cniCodes.datastore,
        `Reading pod ${container.pod.namespace}/${container.pod.name}`,
        pod.error,
      ),
    );
  if (!namespace.ok)
    return err(
      wrapFailure(cniCodes.datastore, `Reading namespace ${container.pod.namespace}`, namespace.error),
    );
  const uid = container.pod.uid;
  if (
    uid !== undefined &&
    uid !== '' &&
    pod.value.metadata.uid !== undefined &&
    pod.value.metadata.uid !== uid
  ) {
    return err(
      cniError(
        cniCodes.unknownContainer,
        'PodReplaced',
        `Pod ${container.pod.namespace}/${container.pod.name} was replaced by a newer one.`,
      ),
    );
  }
  const settings = podSettings(annotationsOf(pod.value), annotationsOf(namespace.value), configuration);
  if (!settings.ok) return settings;
  const namespaceLabels = namespace.value.metadata.labels ?? {};
  return ok({ pod: pod.value, pods: pods.value, settings: { ...settings.value, namespaceLabels } });
}

const annotationsOf = (object: Pod | Namespace): Readonly<Record<string, string>> =>
  object.metadata.annotations ?? {};

async function plumb(
  context: Context,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
  subject: Subject,
  podKernel: Kernel,
): Promise<Result<AttachmentResult, CniError>> {
  const mtu = configuration.mtu === 0 ? context.podMtu() : configuration.mtu;
  const hostInterface = hostInterfaceOf(context.interfacePrefix(), container);
  const { mac } = subject.settings;
  const wiring = {
    hostInterface,
    ifName: container.ifName,
    netns: container.netns,
    mtu,
    ...(mac === undefined ? {} : { mac }),
  };
  const [assigned, connected] = await Promise.all([
    assignAddresses(context, container, configuration, subject.settings),
    connectPod(context.kernel, podKernel, wiring),
  ]);
  const undo = async (error: CniError) => {
    if (connected.ok) await disconnectPod(podKernel, container.ifName);
    if (assigned.ok) await releaseAddresses(context, container, configuration);
    return err(error);
  };
  if (!assigned.ok) return undo(assigned.error);
  if (!connected.ok) return undo(connected.error);

  const configured = await configurePod(podKernel, {
    ifName: container.ifName,
    addresses: assigned.value.addresses,
    allowForwarding: configuration.allowIpForwarding,
    defaultRoutes: configuration.includeDefaultRoutes,
  });
  if (!configured.ok) return undo(configured.error);

  const built = buildEndpoint(
    context,
    container,
    configuration,
    subject,
    hostInterface,
    connected.value.mac,
    assigned.value.addresses,
  );
  if (!built.ok) return undo(built.error);
  const record: EndpointRecord = {
    containerId: container.containerId,
    ifName: container.ifName,
    netns: container.netns,
    network: configuration.name,
    hostInterface,
    mac: connected.value.mac,
    addresses: assigned.value.addresses,
    handleId: assigned.value.handleId,
    ipamType: configuration.ipam.type,
    endpoint: built.value,
  };
  context.records.put(record);
  const [programmed, announced] = await Promise.all([
    context.endpoints.program(record.endpoint),
    context.stored.announce(container, configuration, record.endpoint, record.addresses),
  ]);
  const refused = !programmed.ok
    ? wrapFailure(cniCodes.networking, 'Programming the endpoint', programmed.error)
    : announced.ok
      ? await notUp(configuration, record.endpoint)
      : announced.error;
  if (refused !== undefined) {
    await context.endpoints.remove(record.endpoint);
    // A write that failed may have happened, and others must not hear of what is not there.
    await context.stored.withdraw(container);
    context.records.remove(record);
    return undo(refused);
  }
  // Nobody waits for it.
  if (subject.pod !== undefined && subject.pods !== undefined)
    void tellLimitProblems({ ...context, datastore: subject.pods }, subject.pod, Date.now());
  return ok(resultOf(record, mtu));
}

/** Why the endpoint is not what Felix calls up, where ADD is to wait for that (CN-017). */
async function notUp(
  { policySetupTimeoutSeconds, endpointStatusDirectory }: NetworkConfiguration,
  endpoint: WorkloadEndpoint,
): Promise<CniError | undefined> {
  if (policySetupTimeoutSeconds === 0) return undefined;
  const up = await awaitEndpointStatus(endpointStatusDirectory, endpoint, policySetupTimeoutSeconds);
  return up.ok ? undefined : up.error;
}

/** RS-075: by pod for Kubernetes, by container id otherwise; a second interface of a container gets its own name. */
function hostInterfaceOf(prefix: string, container: ContainerIdentity): string {
  if (container.pod !== undefined && container.ifName === 'eth0') {
    return interfaceNameFor(container.pod.namespace, container.pod.name, prefix);
  }
  if (container.ifName === 'eth0') return `${prefix}${container.containerId.slice(0, 11)}`;
  return interfaceNameFor(container.containerId, container.ifName, prefix);
}

/** The endpoint as the datastore will show it: for a pod the view of the Pod with the annotations about to be written. */
function buildEndpoint(
  context: Context,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
  subject: Subject,
  hostInterface: string,
  mac: string,
  addresses: readonly Address[],
): Result<WorkloadEndpoint, CniError> {
  if (subject.pod !== undefined) {
    const annotations = {
      ...annotationsOf(subject.pod),
      ...endpointAnnotations(container.containerId, addresses),
    };
    const pod: Pod = { ...subject.pod, metadata: { ...subject.pod.metadata, annotations } };
    const view = podToWorkloadEndpoint(pod);
    if (!view.ok) return err(wrapFailure(cniCodes.datastore, 'Building the endpoint', view.error));
    return ok({ ...view.value, spec: { ...view.value.spec, interfaceName: hostInterface, mac } });
  }
  const name = workloadEndpointName({
    node: context.nodeName,
    orchestrator: 'cni',
    containerID: container.containerId,
    endpoint: container.ifName,
  });
  if (!name.ok) return err(wrapFailure(cniCodes.datastore, 'Naming the endpoint', name.error));
  return ok({
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: { name: name.value, namespace: plainNamespace },
    spec: {
      orchestrator: 'cni',
      ...(context.onEtcd ? {} : { workload: container.containerId }),
      containerID: container.containerId,
      node: context.nodeName,
      endpoint: container.ifName,
      interfaceName: hostInterface,
      mac,
      ipNetworks: addresses.map((a) => `${a}/${familyOf(a) === 4 ? 32 : 128}`),
      profiles: [context.onEtcd ? configuration.name : 'projectcalico-default-allow'],
    },
  });
}

const resultOf = (record: EndpointRecord, mtu: number): AttachmentResult => ({
  hostInterface: { name: record.hostInterface, mac: hostMac },
  containerInterface: { name: record.ifName, mac: record.mac, netns: record.netns, mtu },
  addresses: record.addresses,
});
