// What the datastore keeps of a container's endpoint, from which other nodes learn it. On Kubernetes that are annotations of the
// Pod, and of a container that is no pod nothing. On etcd it is a WorkloadEndpoint for every container, as Calico's plug-in
// writes it (CN-007); pods and namespaces are then read from the Kubernetes that the network configuration names.
import { type Address, familyOf } from '../lib/ip/mod.ts';
import { type Failure, err, ok, type Result } from '../lib/result.ts';
import type { Datastore, StoreError } from '../datastore/mod.ts';
import { type Profile, workloadEndpointName, type WorkloadEndpoint } from '../model/mod.ts';
import { type CniError, cniCodes, cniError, wrapFailure } from './errors.ts';
import type { ContainerIdentity, NetworkConfiguration } from './types.ts';

export interface EndpointStore {
  /** As `datastore_type` names it. */
  readonly type: 'kubernetes' | 'etcdv3';
  /** Whether it has the endpoints of containers, too, that are no pods. */
  readonly keepsPlain: boolean;
  /** Where pods, namespaces and events are. */
  pods(configuration: NetworkConfiguration): Promise<Result<Datastore, CniError>>;
  announce(
    container: ContainerIdentity,
    configuration: NetworkConfiguration,
    endpoint: WorkloadEndpoint,
    addresses: readonly Address[],
  ): Promise<Result<void, CniError>>;
  /** Takes away what is this container's; what a newer one of the same pod has stays. */
  withdraw(container: ContainerIdentity): Promise<Result<void, CniError>>;
  close(): Promise<void>;
}

export class KubernetesEndpoints implements EndpointStore {
  readonly type = 'kubernetes';
  readonly keepsPlain = false;
  readonly #datastore: Datastore;

  constructor(datastore: Datastore) {
    this.#datastore = datastore;
  }

  async pods(): Promise<Result<Datastore, CniError>> {
    return ok(this.#datastore);
  }

  /** Writes podIP, podIPs and containerID on the Pod. */
  async announce(
    { pod, containerId }: ContainerIdentity,
    _configuration: NetworkConfiguration,
    _endpoint: WorkloadEndpoint,
    addresses: readonly Address[],
  ): Promise<Result<void, CniError>> {
    if (pod === undefined) return ok(undefined);
    const patched = await this.#datastore.patch('Pod', pod, {
      type: 'merge',
      status: true,
      body: { metadata: { annotations: endpointAnnotations(containerId, addresses) } },
    });
    return patched.ok ? ok(undefined) : refused('Writing the pod annotations', patched.error);
  }

  /** Empties podIP and podIPs so that every node drops the endpoint before the Pod object is gone (RS-073). */
  async withdraw({ pod, containerId }: ContainerIdentity): Promise<Result<void, CniError>> {
    if (pod === undefined) return ok(undefined);
    const found = await this.#datastore.get('Pod', pod);
    if (!found.ok)
      return found.error.code === 'NotFound' ? ok(undefined) : refused('Reading the pod', found.error);
    const { annotations, uid } = found.value.metadata;
    if (annotations?.['cni.projectcalico.org/containerID'] !== containerId) return ok(undefined);
    const patched = await this.#datastore.patch('Pod', pod, {
      type: 'merge',
      status: true,
      body: {
        metadata: {
          ...(uid === undefined ? {} : { uid }),
          annotations: endpointAnnotations(containerId, []),
        },
      },
    });
    if (patched.ok || patched.error.code === 'NotFound' || patched.error.code === 'Conflict')
      return ok(undefined);
    return refused('Emptying the pod annotations', patched.error);
  }

  async close(): Promise<void> {
    // The datastore is the agent's.
  }
}

export type OpenKubernetes = (kubeconfig: string) => Promise<Result<Datastore, Failure>>;

/** How often a write is tried that others were faster with. */
const attempts = 10;

export class EtcdEndpoints implements EndpointStore {
  readonly type = 'etcdv3';
  readonly keepsPlain = true;
  readonly #datastore: Datastore;
  readonly #nodeName: string;
  readonly #openKubernetes: OpenKubernetes;
  /** By kubeconfig. */
  readonly #kubernetes = new Map<string, Datastore>();

  constructor(datastore: Datastore, nodeName: string, openKubernetes: OpenKubernetes) {
    this.#datastore = datastore;
    this.#nodeName = nodeName;
    this.#openKubernetes = openKubernetes;
  }

  async pods({ kubeconfig }: NetworkConfiguration): Promise<Result<Datastore, CniError>> {
    const known = this.#kubernetes.get(kubeconfig);
    if (known !== undefined) return ok(known);
    const opened = await this.#openKubernetes(kubeconfig);
    if (!opened.ok)
      return err(
        wrapFailure(
          cniCodes.invalidConfiguration,
          'Pods are read from Kubernetes, which kubernetes.kubeconfig of the network configuration names',
          opened.error,
        ),
      );
    this.#kubernetes.set(kubeconfig, opened.value);
    return opened;
  }

  async announce(
    _container: ContainerIdentity,
    configuration: NetworkConfiguration,
    endpoint: WorkloadEndpoint,
  ): Promise<Result<void, CniError>> {
    // The pod's own revision and identity are not the endpoint's.
    const {
      resourceVersion: _revision,
      uid: _uid,
      creationTimestamp: _time,
      ...metadata
    } = endpoint.metadata;
    const written = await this.#write({ ...endpoint, metadata });
    if (!written.ok) return refused('Writing the workload endpoint', written.error);
    if (configuration.policyType !== '') return ok(undefined);
    const profile = await this.#datastore.create('Profile', profileOf(configuration, endpoint));
    // Whoever made it may have changed it: it stays.
    return profile.ok || profile.error.code === 'AlreadyExists'
      ? ok(undefined)
      : refused(`Writing profile ${configuration.name}`, profile.error);
  }

  async #write(endpoint: WorkloadEndpoint): Promise<Result<unknown, StoreError>> {
    for (let attempt = 1; ; attempt++) {
      const created = await this.#datastore.create('WorkloadEndpoint', endpoint);
      if (created.ok || created.error.code !== 'AlreadyExists') return created;
      // An earlier container of the same pod: its endpoint becomes this one's.
      const found = await this.#datastore.get('WorkloadEndpoint', namesOf(endpoint));
      const updated = found.ok
        ? await this.#datastore.update('WorkloadEndpoint', {
            ...endpoint,
            metadata: { ...found.value.metadata, ...endpoint.metadata },
          })
        : found;
      if (updated.ok || attempt === attempts) return updated;
      if (updated.error.code !== 'Conflict' && updated.error.code !== 'NotFound') return updated;
    }
  }

  async withdraw(container: ContainerIdentity): Promise<Result<void, CniError>> {
    const { pod, containerId, ifName } = container;
    const named = workloadEndpointName(
      pod === undefined
        ? { node: this.#nodeName, orchestrator: 'cni', containerID: containerId, endpoint: ifName }
        : { node: this.#nodeName, orchestrator: 'k8s', pod: pod.name, endpoint: 'eth0' },
    );
    if (!named.ok) return err(wrapFailure(cniCodes.datastore, 'Naming the endpoint', named.error));
    const name = { name: named.value, namespace: pod?.namespace ?? plainNamespace };
    const found = await this.#datastore.get('WorkloadEndpoint', name);
    if (!found.ok)
      return found.error.code === 'NotFound'
        ? ok(undefined)
        : refused('Reading the workload endpoint', found.error);
    const { metadata, spec } = found.value;
    if (spec.containerID !== undefined && spec.containerID !== containerId) return ok(undefined);
    const { resourceVersion } = metadata;
    const gone = await this.#datastore.delete(
      'WorkloadEndpoint',
      name,
      resourceVersion === undefined ? {} : { resourceVersion },
    );
    // Changed meanwhile: by a newer container of the pod, or by whoever copies the pod's labels.
    if (!gone.ok && gone.error.code === 'Conflict') return this.withdraw(container);
    return gone.ok || gone.error.code === 'NotFound'
      ? ok(undefined)
      : refused('Deleting the workload endpoint', gone.error);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#kubernetes.values()].map((store) => store.close()));
  }
}

/** Containers that are no pods are in this namespace. */
export const plainNamespace = 'default';

export const endpointAnnotations = (
  containerId: string,
  addresses: readonly Address[],
): Record<string, string> => ({
  'cni.projectcalico.org/containerID': containerId,
  'cni.projectcalico.org/podIP': networkText(addresses[0]),
  'cni.projectcalico.org/podIPs': addresses.map(networkText).join(','),
});

const networkText = (a: Address | undefined): string =>
  a === undefined ? '' : `${a}/${familyOf(a) === 4 ? 32 : 128}`;

const namesOf = ({ metadata }: WorkloadEndpoint) => ({
  name: metadata.name,
  ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
});

/** The profile of a network without policies of its own: containers take traffic of the same network, pods take any. */
function profileOf({ name }: NetworkConfiguration, { spec }: WorkloadEndpoint): Profile {
  const source = spec.pod === undefined ? { source: { selector: `has(${name})` } } : {};
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Profile',
    metadata: { name },
    spec: {
      ingress: [{ action: 'Allow', ...source }],
      egress: [{ action: 'Allow' }],
      labelsToApply: { [name]: '' },
    },
  };
}

const refused = (what: string, error: StoreError): Result<never, CniError> =>
  err(wrapFailure(cniCodes.datastore, what, error));

/** The agent and the network configuration must mean the same datastore. */
export function sameDatastore(
  { type }: EndpointStore,
  { datastoreType }: NetworkConfiguration,
): Result<void, CniError> {
  if (datastoreType === '' || datastoreType === type) return ok(undefined);
  return err(
    cniError(
      cniCodes.invalidConfiguration,
      'OtherDatastore',
      `datastore_type: the network configuration says "${datastoreType}", but the agent of this node keeps its data in ${type}.`,
      'Set DATASTORE_TYPE of the agent, or datastore_type of the network configuration.',
    ),
  );
}
