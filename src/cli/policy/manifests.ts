// Manifests as a cluster would hold them: pods of templates, addresses, nodes and namespaces for what has none yet. So
// files of a repository are enough to ask what their policies mean.
import type { WorldResource } from '../../policy/mod.ts';
import { isObject } from '../calicoctl/input/resources.ts';

type Fields = Readonly<Record<string, unknown>>;

const templateKinds = new Set([
  'apps/v1 Deployment',
  'apps/v1 StatefulSet',
  'apps/v1 DaemonSet',
  'apps/v1 ReplicaSet',
  'batch/v1 Job',
]);

/** One pod of an object with a template, under the object's name; undefined for objects of other kinds. */
export function podOfTemplate(object: Fields, metadata: Fields): WorldResource | undefined {
  const { apiVersion, kind, spec } = object;
  if (!templateKinds.has(`${String(apiVersion)} ${String(kind)}`) || !isObject(spec)) return undefined;
  const template = isObject(spec['template']) ? spec['template'] : {};
  const { labels, annotations } = isObject(template['metadata']) ? template['metadata'] : {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...nameAndNamespace(metadata), labels: labels ?? {}, annotations: annotations ?? {} },
    spec: { containers: [], ...(isObject(template['spec']) ? template['spec'] : {}) },
  };
}

const nameAndNamespace = ({ name, namespace }: Fields): { name: string; namespace: string } => ({
  name: String(name),
  namespace: String(namespace),
});

/** Where pods are put that nobody has scheduled. */
const noNode = '(unscheduled)';

/** Adds what policy needs to be asked at all: pods' addresses (of networks that are for benchmarks, so that they are in no
 *  rule by chance) and nodes, and the namespaces and service accounts that somebody lives in. */
export function completed(resources: readonly WorldResource[]): readonly WorldResource[] {
  let serial = 0;
  const pods = resources.map((one) => (isPod(one) ? withPlace(one, () => ++serial) : one));
  const namespaces = new Set(resources.filter(isNamespace).map(({ metadata }) => metadata.name));
  const accounts = new Set(
    resources
      .filter(({ kind }) => kind === 'ServiceAccount')
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
  );
  const added: WorldResource[] = [];
  for (const { kind, metadata, spec } of pods) {
    const { namespace } = metadata;
    if (namespace === undefined) continue;
    if (!namespaces.has(namespace)) {
      namespaces.add(namespace);
      const labels = { 'kubernetes.io/metadata.name': namespace };
      added.push({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } });
    }
    if (kind !== 'Pod') continue;
    const account = accountOf(spec);
    if (accounts.has(`${namespace}/${account}`)) continue;
    accounts.add(`${namespace}/${account}`);
    added.push({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account, namespace } });
  }
  return [...pods.map(namedByItsLabel), ...added];
}

const isPod = ({ kind }: WorldResource): boolean => kind === 'Pod';
const isNamespace = ({ apiVersion, kind }: WorldResource): boolean =>
  apiVersion === 'v1' && kind === 'Namespace';

const accountOf = (spec: unknown): string => {
  const name = isObject(spec) ? spec['serviceAccountName'] : undefined;
  return typeof name === 'string' && name !== '' ? name : 'default';
};

/** Every namespace carries its name as a label: the API server sees to it. */
const namedByItsLabel = (one: WorldResource): WorldResource => {
  if (!isNamespace(one)) return one;
  const { labels } = one.metadata;
  const given = isObject(labels) ? labels : {};
  return {
    ...one,
    metadata: { ...one.metadata, labels: { ...given, 'kubernetes.io/metadata.name': one.metadata.name } },
  };
};

function withPlace(pod: WorldResource, next: () => number): WorldResource {
  const spec = isObject(pod['spec']) ? pod['spec'] : {};
  const status = isObject(pod['status']) ? pod['status'] : {};
  const place = {
    ...pod,
    spec: { ...spec, nodeName: spec['nodeName'] || noNode, serviceAccountName: accountOf(spec) },
  };
  if (spec['hostNetwork'] === true || status['podIP'] || Array.isArray(status['podIPs'])) return place;
  const number = next();
  const podIPs = [
    { ip: `198.18.${(number >> 8) & 255}.${number & 255}` },
    { ip: `2001:2::${number.toString(16)}` },
  ];
  return { ...place, status: { phase: 'Running', ...status, podIP: podIPs[0]?.ip, podIPs } };
}
