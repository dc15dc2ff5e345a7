import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../../model/mod.ts';
import { unsupportedIn } from './unsupported.ts';

const told = (container: object, spec: object = {}): string | undefined => {
  const own = { name: 'c', ...container };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [own], ...spec },
  } as Pod;
  return unsupportedIn(pod, own);
};

test('what runners provide is not told', () => {
  const volumes = [
    { name: 'a', emptyDir: {} },
    { name: 'b', configMap: { name: 'x' } },
    { name: 'c', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
  ];
  const container = {
    workingDir: '/data',
    envFrom: [{ configMapRef: { name: 'all' } }],
    env: [
      { name: 'A', value: 'a' },
      { name: 'B', valueFrom: { fieldRef: { fieldPath: "metadata.labels['a']" } } },
      { name: 'C', valueFrom: { secretKeyRef: { name: 'x', key: 'y' } } },
    ],
    volumeMounts: volumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
    securityContext: { allowPrivilegeEscalation: false },
    resources: { requests: { cpu: '100m' } },
  };
  assert.equal(told(container, { volumes, securityContext: {} }), undefined);
});

test('everything else is named, each once', () => {
  const volumes = [
    { name: 'disk', persistentVolumeClaim: { claimName: 'disk' } },
    { name: 'all', projected: { sources: [{ clusterTrustBundle: { path: 'ca' } }] } },
  ];
  const container = {
    env: [{ name: 'F', valueFrom: { fileKeyRef: { volumeName: 'x', path: 'y', key: 'z' } } }],
    volumeMounts: [
      { name: 'disk', mountPath: '/data', mountPropagation: 'HostToContainer' },
      { name: 'all', mountPath: '/all' },
    ],
    volumeDevices: [{ name: 'raw', devicePath: '/dev/raw' }],
    lifecycle: { preStop: {} },
    securityContext: { runAsUser: 1000, readOnlyRootFilesystem: true },
    resources: { limits: { memory: '1Gi' } },
  };
  assert.equal(
    told(container, { volumes, shareProcessNamespace: true, securityContext: { fsGroup: 2000 } }),
    "Runs without what the lab's nodes do not provide: shareProcessNamespace, securityContext.fsGroup, " +
      'volume disk (persistentVolumeClaim; /data is an empty directory), mountPropagation of /data, ' +
      'clusterTrustBundle in volume all, variable F, device /dev/raw, lifecycle.preStop, ' +
      'securityContext.runAsUser, securityContext.readOnlyRootFilesystem, limits of memory',
  );
});
