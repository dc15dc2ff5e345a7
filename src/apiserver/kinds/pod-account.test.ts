import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiObject } from '../types.ts';
import { withAccount } from './pod-account.ts';

const path = '/var/run/secrets/kubernetes.io/serviceaccount';
type Container = { readonly name: string; readonly volumeMounts?: readonly object[] };
type Spec = {
  readonly volumes?: readonly { readonly name: string }[];
  readonly containers: readonly Container[];
};

function mounted(spec: object, account: object = {}, isPublished = true): Spec {
  const pod: ApiObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { containers: [{ name: 'c' }], ...spec },
  };
  const objects = new Map<string, ApiObject>([
    [
      'serviceaccounts/shop/default',
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' }, ...account },
    ],
    ...(isPublished
      ? [
          [
            'configmaps/kube-system/kube-root-ca.crt',
            { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } },
          ] as const,
        ]
      : []),
  ]);
  const { spec: made } = withAccount(pod, {
    get: ({ resource, namespace, name }) => {
      const object = objects.get(`${resource}/${namespace}/${name}`);
      return object === undefined ? undefined : { object };
    },
    objects: () => [],
  });
  return made as Spec;
}

test('a pod gets a token by a volume of its own, mounted in each container', () => {
  const { volumes, containers } = mounted({ containers: [{ name: 'a' }, { name: 'b' }] });
  const name = volumes?.[0]?.name ?? '';
  assert.match(name, /^kube-api-access-[a-z0-9]{5}$/);
  for (const { volumeMounts } of containers)
    assert.deepEqual(volumeMounts, [{ name, mountPath: path, readOnly: true }]);
});

test('the pod says no, its account says no, the pod overrules it', () => {
  assert.equal(mounted({ automountServiceAccountToken: false }).volumes, undefined);
  assert.equal(mounted({}, { automountServiceAccountToken: false }).volumes, undefined);
  const both = mounted({ automountServiceAccountToken: true }, { automountServiceAccountToken: false });
  assert.equal(both.volumes?.length, 1);
});

test('what is mounted there already stays, and a server without TLS has nothing to give', () => {
  const own = { name: 'c', volumeMounts: [{ name: 'mine', mountPath: path }] };
  assert.equal(mounted({ containers: [own] }).volumes, undefined);
  assert.equal(mounted({}, {}, false).volumes, undefined);
});
