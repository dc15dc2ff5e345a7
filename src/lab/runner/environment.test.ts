import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigMap, Pod, Secret, Service } from '../../model/mod.ts';
import {
  type Asking,
  containerVariables,
  expand,
  referencesOfVariables,
  serviceVariables,
} from './environment.ts';
import { fieldValue, type PodFacts, resourceValue } from './field-values.ts';

type Container = Pod['spec']['containers'][number];
const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'web-1',
    namespace: 'shop',
    uid: 'u',
    labels: { b: '2', a: 'x"y' },
    annotations: { n: '1' },
  },
  spec: {
    containers: [{ name: 'main', resources: { requests: { cpu: '250m' }, limits: { memory: '1Gi' } } }],
  },
};
const facts: PodFacts = {
  pod,
  nodeName: 'worker1',
  hostAddresses: ['10.0.0.21', 'fd00::21'],
  addresses: ['192.168.1.2', 'fd00::2'],
  cpus: 4,
  memoryBytes: 8 << 20,
};
const configMap: ConfigMap = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'app' },
  data: { mode: 'fast', 'with-dash': 'y', 'not=good': 'n' },
};
const secret: Secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'pw' },
  data: { user: Buffer.from('ada').toString('base64') },
};
const asking = (container: Partial<Container>, services: readonly Service[] = []): Asking => ({
  facts,
  container: { name: 'main', ...container },
  configuration: {
    configMap: (name) => (name === 'app' ? configMap : undefined),
    secret: (name) => (name === 'pw' ? secret : undefined),
  },
  services,
});
function variables(container: Partial<Container>): Readonly<Record<string, string>> {
  const built = containerVariables(asking(container));
  return built.ok ? built.value : assert.fail(built.error);
}
function problem(container: Partial<Container>): string {
  const built = containerVariables(asking(container));
  return built.ok ? assert.fail('no problem') : built.error;
}

test('fields of a pod, and what is none', () => {
  const table: [string, string | undefined][] = [
    ['metadata.name', 'web-1'],
    ['metadata.labels', 'a="x\\"y"\nb="2"'],
    ["metadata.labels['b']", '2'],
    ["metadata.annotations['missing']", ''],
    ['status.podIPs', '192.168.1.2,fd00::2'],
    ['status.hostIP', '10.0.0.21'],
    ['spec.serviceAccountName', 'default'],
    ['spec.nodeName', 'worker1'],
    ['status.phase', undefined],
  ];
  for (const [path, value] of table) assert.equal(fieldValue(path, facts), value, path);
});

test("resources in units of the divisor, rounded up; limits that are not set are the node's", () => {
  const value = (resource: string, divisor?: string) =>
    resourceValue({ resource, ...(divisor === undefined ? {} : { divisor }) }, pod.spec.containers[0], facts);
  assert.equal(value('requests.cpu'), '1');
  assert.equal(value('requests.cpu', '1m'), '250');
  assert.equal(value('limits.cpu'), '4');
  assert.equal(value('limits.memory', '1Mi'), '1024');
  assert.equal(value('requests.memory'), '0');
  assert.equal(value('limits.wings'), undefined);
});

test('envFrom: all keys with their prefix, later ones win, env wins over all', () => {
  const got = variables({
    envFrom: [{ configMapRef: { name: 'app' }, prefix: 'P_' }, { secretRef: { name: 'pw' } }],
    env: [{ name: 'P_mode', value: 'slow' }],
  });
  assert.deepEqual(
    [got['P_mode'], got['P_with-dash'], got['user'], got['P_not=good']],
    ['slow', 'y', 'ada', undefined],
  );
});

test('what is missing is said as a kubelet says it, unless it is optional', () => {
  const keyOf = (name: string, key: string) => ({ name: 'A', valueFrom: { configMapKeyRef: { name, key } } });
  assert.equal(problem({ envFrom: [{ configMapRef: { name: 'gone' } }] }), 'configmap "gone" not found');
  assert.equal(problem({ envFrom: [{ secretRef: { name: 'gone' } }] }), 'secret "gone" not found');
  assert.equal(problem({ env: [keyOf('gone', 'k')] }), 'configmap "gone" not found');
  assert.equal(problem({ env: [keyOf('app', 'k')] }), "couldn't find key k in ConfigMap shop/app");
  const optional = { name: 'A', valueFrom: { secretKeyRef: { name: 'pw', key: 'k', optional: true } } };
  assert.equal(variables({ env: [optional] })['A'], undefined);
  assert.equal(
    variables({ envFrom: [{ configMapRef: { name: 'gone', optional: true } }] })['NODE_NAME'],
    'worker1',
  );
});

test('$(NAME) of variables before it, $$ for a dollar sign, what is unknown stays', () => {
  const got = variables({
    env: [
      { name: 'A', value: 'a' },
      { name: 'B', value: '$(A)-$(C)-$$(A)-$(POD_NAME)-$A' },
      { name: 'C', value: 'c' },
    ],
  });
  assert.equal(got['B'], 'a-$(C)-$(A)-web-1-$A');
  assert.equal(expand('$', {}), '$');
});

test('references: every object once per use', () => {
  const container: Container = {
    name: 'main',
    envFrom: [{ configMapRef: { name: 'a' } }],
    env: [{ name: 'B', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
  };
  assert.deepEqual(referencesOfVariables(container), [
    { kind: 'ConfigMap', name: 'a' },
    { kind: 'Secret', name: 's' },
  ]);
});

test('services as variables; headless ones are none', () => {
  const service = (name: string, spec: Service['spec']): Service => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec,
  });
  const got = serviceVariables([
    service('redis-leader', { clusterIP: '10.96.1.1', ports: [{ name: 'client', port: 6379 }] }),
    service('db', { clusterIP: 'None', ports: [{ port: 5432 }] }),
  ]);
  assert.deepEqual(got, {
    REDIS_LEADER_SERVICE_HOST: '10.96.1.1',
    REDIS_LEADER_SERVICE_PORT: '6379',
    REDIS_LEADER_SERVICE_PORT_CLIENT: '6379',
    REDIS_LEADER_PORT: 'tcp://10.96.1.1:6379',
    REDIS_LEADER_PORT_6379_TCP: 'tcp://10.96.1.1:6379',
    REDIS_LEADER_PORT_6379_TCP_PROTO: 'tcp',
    REDIS_LEADER_PORT_6379_TCP_PORT: '6379',
    REDIS_LEADER_PORT_6379_TCP_ADDR: '10.96.1.1',
  });
});
