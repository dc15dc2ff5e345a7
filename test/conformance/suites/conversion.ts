// Suite `k8s-conversion`: Kubernetes' objects as Calico's. Output keys and forms are those of the suite.
import * as model from '../../../src/model/mod.ts';

type Input = {
  readonly op: string;
  readonly args: readonly never[];
  readonly env?: Record<string, string>;
};
type Converter = (...args: never[]) => unknown;

const key = (kind: string, { metadata }: { readonly metadata: model.ObjectMeta }) => ({
  kind,
  name: metadata.name,
  ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
});
const failed = (message: string | undefined) => ({ error: message ?? true });

export function answer({ op, args, env }: Input): unknown {
  if (op === 'vethNameForWorkload') {
    const [namespace, pod] = args as readonly string[];
    return { result: model.interfaceNameFor(namespace ?? '', pod ?? '', env?.['FELIX_INTERFACEPREFIX']) };
  }
  return converters[op]?.(...args);
}

const converters: Readonly<Record<string, Converter>> = {
  podToWorkloadEndpoint: (pod: model.Pod) => {
    const view = model.podToWorkloadEndpoint(pod);
    if (!view.ok) return failed(view.error.message);
    const { qosControls } = view.value.spec;
    return {
      error: false,
      key: key('WorkloadEndpoint', view.value),
      revision: view.value.metadata.resourceVersion,
      resource:
        qosControls?.dscp === undefined
          ? view.value
          : {
              ...view.value,
              spec: {
                ...view.value.spec,
                qosControls: { ...qosControls, dscp: numberOrText(qosControls.dscp) },
              },
            },
    };
  },
  podHasIPAddress: (pod: model.Pod) => ({ result: model.podHasAddress(pod) }),
  podIsFinished: (pod: model.Pod) => ({ result: model.isFinishedPod(pod) }),
  podIsReady: (pod: model.Pod) => ({ result: model.isWorkloadPod(pod) && model.podHasAddress(pod) }),
  podIsValidCalicoWorkloadEndpoint: (pod: model.Pod) => ({ result: model.isWorkloadPod(pod) }),
  namespaceToProfile: (namespace: model.Namespace) =>
    profileAnswer(namespace, model.namespaceToProfile(namespace)),
  serviceAccountToProfile: (account: model.ServiceAccount) =>
    profileAnswer(account, model.serviceAccountToProfile(account)),
  profileNameToNamespace: (name: string) => {
    const namespace = model.namespaceOfProfile(name);
    return { error: namespace === undefined, result: [namespace ?? ''] };
  },
  profileNameToServiceAccount: (name: string) => {
    const account = model.serviceAccountOfProfile(name);
    return { error: account === undefined, result: [account?.namespace ?? '', account?.name ?? ''] };
  },
  labelSelectorToCalico: (selector: model.KubernetesSelector | null, subject: string) => ({
    result: subject === 'pod' ? model.podSelectorText(selector) : model.namespaceSelectorText(selector),
  }),
  networkPolicyToCalico: (object: model.KubernetesNetworkPolicy) => {
    const { policy, problems } = model.networkPolicyToCalico(object);
    return { ...policyAnswer('NetworkPolicy', policy), error: problems.length > 0 };
  },
  clusterNetworkPolicyToCalico: (object: model.ClusterNetworkPolicy) => {
    const { policy, problems } = model.clusterNetworkPolicyToCalico(object);
    const kind = 'KubernetesClusterNetworkPolicy';
    if (policy !== undefined) return { ...policyAnswer(kind, policy), error: problems.length > 0 };
    // A policy for nothing: upstream answers with a key alone, whose members it spells with capitals.
    return {
      error: false,
      key: { Name: object.metadata.name, Kind: kind },
      revision: object.metadata.resourceVersion,
    };
  },
  networkPolicyPeerToCalicoFields: (peer: never) => {
    const entity = model.peerToEntity(peer);
    if (typeof entity === 'string') return failed(entity);
    return { result: [entity.selector ?? '', entity.namespaceSelector ?? '', entity.nets, entity.notNets] };
  },
  simplifyPorts: (text: string) => {
    const parsed = text.split(',').map(model.parsePort);
    const ports = parsed.filter((port) => typeof port !== 'string');
    if (ports.length < parsed.length) return failed('bad port');
    return { result: model.simplifyPorts(ports).map(model.formatPort).join(',') };
  },
  parseWorkloadEndpointName: (name: string) => {
    const ids = model.parseWorkloadEndpointName(name);
    return ids.ok ? { error: false, result: ids.value } : failed(ids.error.message);
  },
  convertUID: (uid: string) => {
    const derived = model.derivedUid(uid);
    return { error: derived === undefined, result: [derived ?? ''] };
  },
};

const policyAnswer = (kind: string, policy: { readonly metadata: model.ObjectMeta }) => ({
  key: key(kind, policy),
  revision: policy.metadata.resourceVersion,
  resource: policy,
});

/** Upstream refuses objects whose uid is no UUID. */
function profileAnswer(source: { readonly metadata: model.ObjectMeta }, resource: model.Profile): unknown {
  const { uid } = source.metadata;
  if (uid === undefined || model.derivedUid(uid) === undefined) return failed('the uid is no UUID');
  return { error: false, key: key('Profile', resource), resource };
}

/** How upstream's tests print a value that is a number or a text. */
const numberOrText = (value: number | string) =>
  typeof value === 'number' ? { type: 0, numVal: value, strVal: '' } : { type: 1, numVal: 0, strVal: value };
