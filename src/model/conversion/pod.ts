// A Pod seen as a WorkloadEndpoint (RS-070…RS-076).
import { familyOf, isSingleAddress, parseNetwork, prefixAddress, type Prefix } from '../../lib/ip/mod.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Pod, WorkloadEndpoint } from '../kinds/mod.ts';
import {
  interfaceNameFor,
  namespaceProfileName,
  serviceAccountProfileName,
  workloadEndpointName,
} from '../names.ts';
import { qosControlsOf } from './qos.ts';
import { calicoLabels, podAnnotations, type Annotations, type ConversionError } from './types.ts';

type EndpointPort = NonNullable<WorkloadEndpoint['spec']['ports']>[number];
type Nat = NonNullable<WorkloadEndpoint['spec']['ipNATs']>[number];

/** Whether the pod has an endpoint at all: it is on a node and not in the node's own network. Never turns false again. */
export const isWorkloadPod = (pod: Pod): boolean => !pod.spec.hostNetwork && Boolean(pod.spec.nodeName);

/** Whether the pod has an address, from its status or from annotations. */
export const podHasAddress = (pod: Pod): boolean =>
  Boolean(
    pod.status?.podIP || annotation(pod, podAnnotations.podIP) || annotation(pod, podAnnotations.awsPodIPs),
  );

/** Whether the pod has ended or lost its network: its address may belong to somebody else by now. */
export function isFinishedPod(pod: Pod): boolean {
  if (['Succeeded', 'Failed', 'Completed'].includes(pod.status?.phase ?? '')) return true;
  // The plugin empties the annotation when it takes the network away; that counts only while the pod is being deleted.
  const isEmptied =
    annotation(pod, podAnnotations.podIP) === '' || annotation(pod, podAnnotations.awsPodIPs) === '';
  return pod.metadata.deletionTimestamp !== undefined && isEmptied;
}

/** The view of a pod that isWorkloadPod. Fails when an annotation or an address does not parse. */
export function podToWorkloadEndpoint(
  pod: Pod,
  interfacePrefix?: string,
): Result<WorkloadEndpoint, ConversionError> {
  const { name, namespace = '', labels = {}, annotations = {} } = pod.metadata;
  const node = pod.spec.nodeName ?? '';
  const ids = { node, orchestrator: 'k8s', pod: name, endpoint: 'eth0' };
  const endpointName = workloadEndpointName(ids);
  if (!endpointName.ok) return err(cannot(pod, endpointName.error.message));
  const addresses = podNetworks(pod);
  if (typeof addresses === 'string') return err(cannot(pod, addresses));
  const held = isFinishedPod(pod) ? [] : addresses;
  // Who holds no address any more has nothing that a floating address could lead to.
  const nats = floatingAddresses(annotations, held);
  if (typeof nats === 'string') return err(cannot(pod, nats));
  const sources = allowedSourcePrefixes(annotations);
  if (typeof sources === 'string') return err(cannot(pod, sources));
  const ports = endpointPorts(pod);
  const serviceAccount = pod.spec.serviceAccountName;
  const containerID = annotations[podAnnotations.containerID];
  const { controls } = qosControlsOf(annotations);
  return ok({
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: {
      name: endpointName.value,
      namespace,
      labels: {
        ...labels,
        [calicoLabels.namespace]: namespace,
        [calicoLabels.orchestrator]: 'k8s',
        ...serviceAccountLabel(serviceAccount),
      },
      ...keptAnnotations(annotations),
      ...kept(pod),
    },
    spec: {
      orchestrator: 'k8s',
      node,
      pod: name,
      endpoint: 'eth0',
      interfaceName: interfaceNameFor(namespace, name, interfacePrefix),
      profiles: [
        namespaceProfileName(namespace),
        ...(serviceAccount ? [serviceAccountProfileName(namespace, serviceAccount)] : []),
      ],
      ipNetworks: held,
      ...(containerID ? { containerID } : {}),
      ...(serviceAccount ? { serviceAccountName: serviceAccount } : {}),
      ...(ports.length > 0 ? { ports } : {}),
      ...(nats.length > 0 ? { ipNATs: nats } : {}),
      ...(sources.length > 0 ? { allowSpoofedSourcePrefixes: sources } : {}),
      ...(controls === undefined ? {} : { qosControls: controls }),
    },
  });
}

const annotation = (pod: Pod, key: string): string | undefined => pod.metadata.annotations?.[key];

const cannot = (pod: Pod, why: string): ConversionError =>
  failure(
    'CannotConvert',
    `Pod ${pod.metadata.namespace ?? ''}/${pod.metadata.name} has no endpoint: ${why}`,
  );

/** Metadata that pod and endpoint share. */
const kept = ({ metadata }: Pod) => ({
  ...(metadata.generateName ? { generateName: metadata.generateName } : {}),
  ...(metadata.uid ? { uid: metadata.uid } : {}),
  ...(metadata.creationTimestamp ? { creationTimestamp: metadata.creationTimestamp } : {}),
  ...(metadata.resourceVersion ? { resourceVersion: metadata.resourceVersion } : {}),
});

/** What several networks gave the pod is told on. */
function keptAnnotations(annotations: Annotations): { readonly annotations?: Annotations } {
  const status = annotations[podAnnotations.networkStatus];
  return status === undefined ? {} : { annotations: { [podAnnotations.networkStatus]: status } };
}

/** Left out for long names: Calico puts the name into a label only below 63 characters. */
const serviceAccountLabel = (name: string | undefined): Annotations =>
  name && name.length < 63 ? { [calicoLabels.serviceAccount]: name } : {};

/** The pod's addresses as networks; the first source that has any decides (RS-072). */
function podNetworks(pod: Pod): readonly Prefix[] | string {
  const list = (text: string | undefined): readonly string[] => (text ? text.split(',') : []);
  const sources = [
    pod.status?.podIPs?.map(({ ip }) => ip) ?? [],
    pod.status?.podIP ? [pod.status.podIP] : [],
    list(annotation(pod, podAnnotations.podIPs)),
    list(annotation(pod, podAnnotations.podIP)?.replace(/,.*/s, '')),
    list(annotation(pod, podAnnotations.awsPodIPs)),
  ];
  const networks: Prefix[] = [];
  for (const text of sources.find((source) => source.length > 0) ?? []) {
    const parsed = parseNetwork(text);
    if (!parsed.ok) return parsed.error.message;
    networks.push(parsed.value);
  }
  return networks;
}

/** Pairs each floating address with the pod's address of its family; those without a partner are left out. */
function floatingAddresses(annotations: Annotations, networks: readonly Prefix[]): readonly Nat[] | string {
  const key = podAnnotations.floatingIPs;
  const text = annotations[key];
  if (text === undefined || networks.length === 0) return [];
  const list = jsonStrings(key, text);
  if (typeof list === 'string') return list;
  const wide = networks.find((network) => !isSingleAddress(network));
  if (wide !== undefined) return `${wide} is not a single address.`;
  return list.flatMap((externalIP) => {
    const internal = networks.findLast((network) => familyOf(network) === familyOf(externalIP));
    return internal === undefined ? [] : [{ internalIP: prefixAddress(internal), externalIP }];
  });
}

/** The prefixes that the pod may send from beside its own addresses, host bits cleared. */
export function allowedSourcePrefixes(annotations: Annotations): readonly Prefix[] | string {
  const key = podAnnotations.allowedSourcePrefixes;
  const list = annotations[key] ? jsonStrings(key, annotations[key]) : [];
  if (typeof list === 'string') return list;
  const prefixes: Prefix[] = [];
  for (const text of list) {
    const parsed = text.includes('/') ? parseNetwork(text) : undefined;
    if (!parsed?.ok) return `annotation ${key}: "${text}" is not a CIDR.`;
    prefixes.push(parsed.value);
  }
  return prefixes;
}

function jsonStrings(key: string, text: string): readonly string[] | string {
  const refused = `annotation ${key} is not a JSON list of texts: ${text}`;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : refused;
  } catch {
    return refused;
  }
}

/** Ports that have a name or a port of the host (RS-074); unknown protocols are left out. */
function endpointPorts(pod: Pod): readonly EndpointPort[] {
  const protocols: Readonly<Record<string, string>> = { TCP: 'TCP', UDP: 'UDP', SCTP: 'SCTP', '': 'TCP' };
  const found: EndpointPort[] = [];
  for (const container of [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])]) {
    for (const port of container.ports ?? []) {
      const protocol = protocols[port.protocol ?? ''];
      if (!port.containerPort || (!port.hostPort && !port.name) || protocol === undefined) continue;
      found.push({
        protocol,
        port: port.containerPort,
        ...(port.name ? { name: port.name } : {}),
        ...(port.hostPort ? { hostPort: port.hostPort } : {}),
        ...(port.hostIP ? { hostIP: port.hostIP } : {}),
      });
    }
  }
  return found;
}
