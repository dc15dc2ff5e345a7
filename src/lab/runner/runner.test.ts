import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryStore } from '../../datastore/mod.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { until } from '../../lib/wait.ts';
import type { Pod } from '../../model/mod.ts';
import { programFor } from '../images.ts';
import { fileCheckpoints } from './checkpoints.ts';
import {
  describePluginError,
  networkResult,
  parseNetworkList,
  pluginEnvironment,
  pluginInput,
} from './cni.ts';
import { FakeMachine } from './fake.ts';
import { portMappings } from './pod-sandbox.ts';
import { startRunner, type Runner } from './runner.ts';
import { ObjectSources } from './sources.ts';

const facts = {
  name: 'worker1',
  addresses: ['10.0.0.21'],
  labels: { rack: 'rack-1' },
  annotations: {},
  kernelVersion: '6.1',
  osImage: 'Debian',
  architecture: 'amd64',
  cpus: 2,
  memoryBytes: 1 << 30,
  version: '0.1.0',
};
const pod = (name: string, spec: Partial<Pod['spec']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: { nodeName: 'worker1', containers: [{ name: 'main', image: 'demoapp' }], ...spec },
});

function run(store: MemoryStore, machine: FakeMachine): Runner {
  return startRunner({
    datastore: store.open(),
    network: machine.network,
    namespaces: machine.namespaces,
    containers: machine.containers,
    checkpoints: machine.checkpoints,
    volumes: machine.volumes,
    sources: new ObjectSources(store.open(), silentLogger),
    requestToken: machine.requestToken,
    host: { nodeName: 'worker1', cpus: 2, memoryBytes: 1 << 30 },
    clock: systemClock,
    logger: silentLogger,
    hostAddresses: ['10.0.0.21'],
    facts,
    networkReady: () => ({ ready: true }),
  });
}

async function eventually(check: () => boolean, what: string): Promise<void> {
  assert.equal(
    await until(() => (check() ? true : undefined), { timeoutMs: 10_000, everyMs: 5 }),
    true,
    what,
  );
}
const statusOf = (store: MemoryStore, name: string): Pod['status'] =>
  store.all('Pod').find((p) => p.metadata.name === name)?.status;

test('a pod is attached, runs, is reported, and leaves nothing when it is deleted', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  const client = store.open();
  try {
    await client.create('Pod', pod('a'));
    await client.create('Pod', pod('elsewhere', { nodeName: 'worker2' }));
    await eventually(() => statusOf(store, 'a')?.phase === 'Running', 'running');
    const status = statusOf(store, 'a');
    assert.equal(status?.podIP, '10.9.0.1');
    assert.equal(status?.hostIP, '10.0.0.21');
    assert.equal(status?.conditions?.find((c) => c.type === 'Ready')?.status, 'True');
    assert.equal(status?.containerStatuses?.[0]?.ready, true);
    assert.equal(statusOf(store, 'elsewhere'), undefined);
    const registered = store.all('KubernetesNode')[0];
    assert.equal(registered?.metadata.labels?.['rack'], 'rack-1');
    assert.equal(registered?.status?.conditions?.find((c) => c.type === 'Ready')?.status, 'True');
    await client.delete('Pod', { name: 'a', namespace: 'default' });
    await eventually(() => machine.attached.size === 0 && machine.records.size === 0, 'released');
    assert.equal(machine.namespaceFiles.size, 0);
    assert.equal(machine.processes.size, 0);
  } finally {
    await runner.stop();
  }
});

test('an ADD that fails is taken back and tried again; the reason is shown meanwhile', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  machine.failAttach = 1;
  const runner = run(store, machine);
  try {
    await store.open().create('Pod', pod('a'));
    await eventually(
      () =>
        /no address left/.test(statusOf(store, 'a')?.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
      'reason',
    );
    await eventually(() => statusOf(store, 'a')?.phase === 'Running', 'running');
    assert.deepEqual(machine.calls.slice(0, 3), ['ADD a', 'DEL a', 'ADD a']);
    await eventually(() => store.all('Event').length === 4, 'events');
    assert.deepEqual(
      store.all('Event').map((e) => `${e.reason}: ${e.message}`),
      [
        'FailedCreatePodSandBox: no address left',
        'Pulled: Container image "demoapp" already present on machine',
        'Created: Created container: main',
        'Started: Started container main',
      ],
    );
    assert.equal(machine.namespaceFiles.size, 1);
  } finally {
    await runner.stop();
  }
});

test('a pod deleted while its program is still starting is told to end when it can hear that', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  machine.isSlow = true;
  const runner = run(store, machine);
  const client = store.open();
  const wasTold = (): boolean => machine.calls.some((call) => call.startsWith('SIGTERM'));
  try {
    await client.create('Pod', pod('a'));
    await eventually(() => machine.processes.size === 1, 'started');
    const [going] = store.all('Pod');
    assert.ok(going !== undefined);
    store.put('Pod', {
      ...going,
      metadata: {
        ...going.metadata,
        // An API server keeps the object until the node gives it up.
        finalizers: ['example.com/node'],
        deletionTimestamp: new Date().toISOString(),
        deletionGracePeriodSeconds: 30,
      },
    });
    await eventually(() => store.all('Event').some((e) => e.reason === 'Killing'), 'ending');
    assert.equal(wasTold(), false);
    machine.wakeAll();
    await eventually(() => machine.records.size === 0, 'released');
    assert.equal(wasTold(), true);
  } finally {
    await runner.stop();
  }
});

test('a container that ends is restarted as the policy says', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  const client = store.open();
  const endOf = (name: string, code: number): void => {
    const record = [...machine.records.values()].find((r) => r.name === name)?.containers['main'];
    machine.end(record?.process.pid ?? 0, code, new Date().toISOString());
  };
  try {
    await client.create('Pod', pod('always'));
    await client.create('Pod', pod('never', { restartPolicy: 'Never' }));
    await eventually(
      () => ['always', 'never'].every((n) => statusOf(store, n)?.phase === 'Running'),
      'running',
    );
    endOf('always', 1);
    endOf('never', 0);
    await eventually(() => statusOf(store, 'never')?.phase === 'Succeeded', 'succeeded');
    await eventually(() => machine.attached.size === 1, 'the finished pod gave its network back');
    await eventually(
      () => statusOf(store, 'always')?.containerStatuses?.[0]?.restartCount === 1,
      'restarted',
    );
    assert.equal(statusOf(store, 'always')?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
  } finally {
    await runner.stop();
  }
});

test('probes: ready when they say so, restarted when they say so', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  const client = store.open();
  const status = () => statusOf(store, 'probed')?.containerStatuses?.[0];
  const probe = (port: number) => ({ tcpSocket: { port }, periodSeconds: 1, failureThreshold: 1 });
  try {
    machine.unhealthy.set('1', 'refused');
    const containers = [{ name: 'main', image: 'x', readinessProbe: probe(1), livenessProbe: probe(2) }];
    await client.create('Pod', pod('probed', { containers, terminationGracePeriodSeconds: 1 }));
    await eventually(() => status()?.started === true, 'started');
    assert.equal(status()?.ready, false);
    machine.unhealthy.delete('1');
    await eventually(() => status()?.ready === true, 'ready');
    machine.unhealthy.set('2', 'refused');
    await eventually(() => status()?.restartCount === 1, 'restarted');
    machine.unhealthy.delete('2');
  } finally {
    await runner.stop();
  }
});

test('a runner that was killed finds its pods again, and clears away those that went meanwhile', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const client = store.open();
  const first = run(store, machine);
  await client.create('Pod', pod('stays'));
  await client.create('Pod', pod('goes'));
  await eventually(() => machine.attached.size === 2 && machine.processes.size === 2, 'both run');
  await first.stop();
  await client.delete('Pod', { name: 'goes', namespace: 'default' });
  // A third one was killed in the middle of ADD.
  const [half] = machine.records.values();
  machine.records.set('half', {
    ...(half as NonNullable<typeof half>),
    uid: 'half',
    name: 'half',
    containerId: 'half',
    netns: '/run/netns/cni-half',
    state: 'attaching',
    containers: {},
  });
  machine.namespaceFiles.add('/run/netns/cni-half');
  machine.attached.set('half', '10.9.0.99');
  const before = machine.calls.length;
  const second = run(store, machine);
  try {
    await eventually(() => machine.attached.size === 1 && machine.records.size === 1, 'cleared');
    assert.equal(machine.namespaceFiles.size, 1);
    assert.deepEqual(
      [...machine.records.values()].map((r) => r.name),
      ['stays'],
    );
    const calls = machine.calls.slice(before);
    assert.ok(!calls.some((c) => /stays/.test(c)), `the running pod was not touched: ${calls.join(', ')}`);
  } finally {
    await second.stop();
  }
});

test('a pod waits for what its volumes name, then is told of every change', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  const client = store.open();
  const configMap = (text: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap' as const,
    metadata: { name: 'app', namespace: 'default' },
    data: { text },
  });
  const written = (): string =>
    Buffer.from([...machine.volumes.written.values()].at(-1)?.get('text')?.bytes ?? []).toString();
  try {
    const volumes = [
      { name: 'app', configMap: { name: 'app' } },
      { name: 'unused', configMap: { name: 'nobody-mounts-it' } },
    ];
    const containers = [
      {
        name: 'main',
        image: 'x',
        volumeMounts: [{ name: 'app', mountPath: '/app' }],
        env: [{ name: 'TEXT', valueFrom: { configMapKeyRef: { name: 'app', key: 'text' } } }],
        args: ['$(TEXT)'],
      },
    ];
    await client.create('Pod', pod('a', { volumes, containers }));
    await eventually(() => store.all('Event').some((e) => e.reason === 'FailedMount'), 'told');
    assert.equal(
      store.all('Event')[0]?.message,
      'MountVolume.SetUp failed for volume "app" : configmap "app" not found',
    );
    assert.equal(machine.records.size, 0);
    await client.create('ConfigMap', configMap('one'));
    await eventually(() => statusOf(store, 'a')?.phase === 'Running', 'running');
    const started = machine.started.get('main');
    assert.deepEqual(started?.container.args, ['one']);
    assert.deepEqual(
      started?.mounts.map(({ target, readOnly }) => [target, readOnly]),
      [['/app', true]],
    );
    assert.equal(written(), 'one');
    const [there] = store.all('ConfigMap');
    await client.update('ConfigMap', { ...configMap('two'), metadata: there?.metadata ?? { name: '' } });
    await eventually(() => written() === 'two', 'changed');
    await client.delete('Pod', { name: 'a', namespace: 'default' });
    await eventually(() => machine.volumes.known().length === 0, 'released');
  } finally {
    await runner.stop();
  }
});

test('a container whose variables name what is missing says so, and starts when it comes', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  const client = store.open();
  try {
    const envFrom = [{ secretRef: { name: 'pw' } }];
    await client.create('Pod', pod('a', { containers: [{ name: 'main', image: 'x', envFrom }] }));
    await eventually(
      () =>
        statusOf(store, 'a')?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError',
      'told',
    );
    const data = { user: Buffer.from('ada').toString('base64') };
    const metadata = { name: 'pw', namespace: 'default' };
    await client.create('Secret', { apiVersion: 'v1', kind: 'Secret', metadata, data });
    await eventually(() => machine.started.get('main')?.variables['user'] === 'ada', 'started');
  } finally {
    await runner.stop();
  }
});

test('a pod that holds more than its emptyDir may is evicted', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  try {
    machine.volumes.used = 2 << 20;
    const volumes = [{ name: 'scratch', emptyDir: { sizeLimit: '1Mi' } }];
    const volumeMounts = [{ name: 'scratch', mountPath: '/scratch' }];
    const containers = [{ name: 'main', image: 'x', volumeMounts }];
    await store.open().create('Pod', pod('a', { volumes, containers }));
    await eventually(() => statusOf(store, 'a')?.reason === 'Evicted', 'evicted');
    await eventually(() => machine.records.size === 0, 'released');
    assert.match(
      statusOf(store, 'a')?.message ?? '',
      /Usage of EmptyDir volume "scratch" exceeds the limit "1Mi"/,
    );
  } finally {
    await runner.stop();
  }
});

test('an ephemeral container runs once, beside the others, in the processes of its target', async () => {
  const store = new MemoryStore();
  const machine = new FakeMachine();
  const runner = run(store, machine);
  const client = store.open();
  try {
    await client.create('Pod', pod('a'));
    await eventually(() => statusOf(store, 'a')?.phase === 'Running', 'running');
    const ephemeralContainers = [{ name: 'look', image: 'busybox', targetContainerName: 'main' }];
    await client.patch(
      'Pod',
      { name: 'a', namespace: 'default' },
      { type: 'merge', body: { spec: { ephemeralContainers } } },
    );
    const state = () => statusOf(store, 'a')?.ephemeralContainerStatuses?.[0]?.state;
    await eventually(() => state()?.running !== undefined, 'looks');
    const record = [...machine.records.values()][0];
    assert.equal(machine.started.get('look')?.target?.process.pid, record?.containers['main']?.process.pid);
    machine.end(record?.containers['look']?.process.pid ?? 0, 3, new Date().toISOString());
    await eventually(() => state()?.terminated?.exitCode === 3, 'ended');
    assert.equal(statusOf(store, 'a')?.phase, 'Running');
    assert.equal(machine.calls.filter((call) => call.startsWith('start a/look')).length, 1);
  } finally {
    await runner.stop();
  }
});

test('an unknown program is refused with what exists', async () => {
  const refused = programFor({ command: ['nmap'] });
  assert.ok(!refused.ok && /http-server/.test(refused.error.hint ?? ''));
  const named = programFor({ command: ['/bin/sleep'], args: ['5'] });
  assert.deepEqual(named, { ok: true, value: { name: 'sleep', args: ['5'] } });
  const server = programFor({ image: 'ikubernetes/demoapp:v1.0' });
  assert.ok(server.ok && server.value.name === 'http-server');
  const client = programFor({ image: 'docker.io/library/busybox@sha256:abc' });
  assert.ok(client.ok && client.value.name === 'sleep');
});

test('what a plugin is given', () => {
  const list = parseNetworkList(
    JSON.stringify({
      name: 'k8s-pod-network',
      cniVersion: '1.0.0',
      plugins: [
        { type: 'calico', mtu: 0 },
        { type: 'portmap', snat: true, capabilities: { portMappings: true } },
      ],
    }),
    'x.conflist',
  );
  assert.ok(list.ok);
  const container = {
    containerId: 'c1',
    netns: '/run/netns/cni-1',
    podNamespace: 'default',
    podName: 'a',
    podUid: 'u',
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  };
  const [calico, portmap] = list.value.plugins;
  assert.ok(calico !== undefined && portmap !== undefined);
  assert.deepEqual(JSON.parse(pluginInput(list.value, calico, container, undefined)), {
    type: 'calico',
    mtu: 0,
    name: 'k8s-pod-network',
    cniVersion: '1.0.0',
  });
  const second = JSON.parse(pluginInput(list.value, portmap, container, { ips: [] })) as Record<
    string,
    unknown
  >;
  assert.deepEqual(second['runtimeConfig'], { portMappings: container.portMappings });
  assert.deepEqual(second['prevResult'], { ips: [] });
  assert.equal(second['capabilities'], undefined);
  assert.equal(
    pluginEnvironment('ADD', container, '/opt/cni/bin')['CNI_ARGS'],
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u',
  );
});

test('what a plugin answers', () => {
  assert.deepEqual(
    networkResult({ ips: [{ address: '10.1.2.3/32' }, { address: 'fd00::1/128' }] }).addresses,
    ['10.1.2.3', 'fd00::1'],
  );
  assert.deepEqual(networkResult(undefined).addresses, []);
  assert.equal(describePluginError('{"code":11,"msg":"later"}', '', 1), 'later (code 11)');
  assert.equal(describePluginError('', 'boom\n', 1), 'boom');
  assert.equal(describePluginError('', '', 3), 'it ended with code 3');
  for (const text of [
    '',
    '[]',
    '{}',
    '{"name":"a","plugins":[]}',
    '{"name":"a","plugins":[{"type":"../x"}]}',
  ])
    assert.equal(parseNetworkList(text, 'x').ok, false, text);
});

test('host ports become port mappings', () => {
  assert.deepEqual(
    portMappings(
      pod('a', {
        containers: [
          { name: 'm', image: 'x', ports: [{ containerPort: 80, hostPort: 8080 }, { containerPort: 1 }] },
        ],
      }),
    ),
    [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  );
});

test('records survive on disk; what is not a record is ignored', () => {
  const folder = mkdtempSync(join(tmpdir(), 'margay-checkpoints-'));
  try {
    const checkpoints = fileCheckpoints(folder);
    const record = {
      version: 1,
      uid: 'u1',
      namespace: 'default',
      name: 'a',
      containerId: 'c',
      state: 'attached',
      addresses: [],
      containers: {},
      startedAt: '',
    } as const;
    checkpoints.save(record);
    writeFileSync(join(folder, 'torn.json'), '{"version":');
    assert.deepEqual(fileCheckpoints(folder).all(), [record]);
    checkpoints.remove('u1');
    assert.deepEqual(checkpoints.all(), []);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
