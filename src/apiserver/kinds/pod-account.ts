// The service account of a new pod: unless the pod or the account says otherwise, each container finds a token, the cluster's
// authority and its namespace in /var/run/secrets/kubernetes.io/serviceaccount, by a projected volume.
import { randomBytes } from 'node:crypto';
import { at, isObject, listAt, objectAt, textAt } from '../json.ts';
import type { ApiObject, World } from '../types.ts';

const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
const letters = 'bcdfghjklmnpqrstvwxz2456789';
/** An hour, and the seconds by which Kubernetes' own differ from what users ask for. */
const tokenSeconds = 3607;

const newName = (): string =>
  `kube-api-access-${[...randomBytes(5)].map((byte) => letters[byte % letters.length]).join('')}`;

const volumeOf = (name: string): object => ({
  name,
  projected: {
    defaultMode: 420,
    sources: [
      { serviceAccountToken: { expirationSeconds: tokenSeconds, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  },
});

/** A container that mounts something of its own there keeps it. */
const hasOwn = (container: unknown): boolean =>
  listAt(container, 'volumeMounts').some((one) => textAt(one, 'mountPath') === mountPath);

/** A pod is of an account that is there. (`default` is on its way where a namespace has none, and is not waited for.) */
export function missingAccount(pod: ApiObject, world: World): string | undefined {
  const name = textAt(pod, 'spec', 'serviceAccountName') ?? 'default';
  const namespace = pod.metadata.namespace ?? '';
  if (name === 'default' || world.get({ resource: 'serviceaccounts', namespace, name }) !== undefined)
    return undefined;
  return `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`;
}

export function withAccount(pod: ApiObject, world: World): ApiObject {
  const spec = objectAt(pod, 'spec');
  const name = textAt(spec, 'serviceAccountName') ?? 'default';
  const namespace = pod.metadata.namespace ?? '';
  const account = world.get({ resource: 'serviceaccounts', namespace, name });
  // A cluster that tells nobody of its authority is one whose clients need no identity.
  const authority = { resource: 'configmaps', namespace: 'kube-system', name: 'kube-root-ca.crt' };
  if (world.get(authority) === undefined) return pod;
  const wanted =
    at(spec, 'automountServiceAccountToken') ?? at(account?.object, 'automountServiceAccountToken') ?? true;
  const containers = [...listAt(spec, 'containers'), ...listAt(spec, 'initContainers')];
  if (wanted !== true || containers.every(hasOwn)) return pod;
  const known = listAt(spec, 'volumes').find((one) =>
    (textAt(one, 'name') ?? '').startsWith('kube-api-access-'),
  );
  const volume = textAt(known, 'name') ?? newName();
  const mounted = (list: readonly unknown[]): readonly unknown[] =>
    list.map((one) =>
      !isObject(one) || hasOwn(one)
        ? one
        : {
            ...one,
            volumeMounts: [...listAt(one, 'volumeMounts'), { name: volume, mountPath, readOnly: true }],
          },
    );
  const initContainers = listAt(spec, 'initContainers');
  return {
    ...pod,
    spec: {
      ...spec,
      volumes: [...listAt(spec, 'volumes'), ...(known === undefined ? [volumeOf(volume)] : [])],
      containers: mounted(listAt(spec, 'containers')),
      ...(initContainers.length === 0 ? {} : { initContainers: mounted(initContainers) }),
    },
  };
}
