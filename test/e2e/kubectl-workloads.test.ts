// Workloads and services of a lab as a user has them: by kubectl, seen from pods and from outside.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { TestLab } from '../support/lab.ts';

const skip =
  spawnSync('kubectl', ['version', '--client']).error === undefined ? false : 'kubectl is not installed';

const labels = (app: string): object => ({ metadata: { labels: { app } } });
const workload = (kind: string, name: string, spec: object, container: object = {}): object => ({
  apiVersion: kind === 'Job' ? 'batch/v1' : 'apps/v1',
  kind,
  metadata: { name },
  spec: {
    ...(kind === 'Job' ? {} : { selector: { matchLabels: { app: name } } }),
    template: {
      ...(kind === 'Job' ? {} : labels(name)),
      spec: {
        containers: [
          { name: 'main', image: 'demoapp', ports: [{ name: 'http', containerPort: 80 }], ...container },
        ],
        ...(kind === 'Job' ? { restartPolicy: 'Never' } : {}),
      },
    },
    ...spec,
  },
});
const service = (name: string, spec: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ name: 'web', port: 8000, targetPort: 'http' }], ...spec },
});

describe('workloads and services', { skip }, () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up('workloads', ['--topology', 'flat', '--nodes', '2']);
    await kubectl('run', 'box', '--image=client');
    await kubectl('wait', '--for=condition=Ready', 'pod/box', '--timeout=60s');
    await kubectl('-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=60s');
  });
  after(async () => {
    await lab?.down();
  });

  async function kubectl(...argv: readonly string[]): Promise<string> {
    const { code, out, err } = await lab.kubectl(...argv);
    assert.equal(code, 0, `kubectl ${argv.join(' ')}: ${out}${err}`);
    return out.trim();
  }
  const apply = (...items: readonly object[]): Promise<void> =>
    lab.apply({ apiVersion: 'v1', kind: 'List', items });
  const inBox = async (...command: readonly string[]): Promise<string> => {
    const { out, err } = await lab.kubectl('exec', 'box', '--', ...command);
    return (out + err).trim();
  };
  async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
    const seen = await until(async () => ((await holds()) ? true : undefined), {
      timeoutMs: 60_000,
      everyMs: 200,
    });
    assert.equal(seen, true, what);
  }
  const serverOf = (text: string): string => /ServerName: ([^,]+),/.exec(text)?.[1] ?? text;

  test('a service by its name: every pod behind it answers, and knows who asked', async () => {
    await apply(workload('Deployment', 'web', { replicas: 2 }), service('web'));
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
    const names = (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name')).split('\n').toSorted();
    const box = await kubectl('get', 'pod', 'box', '-o', 'jsonpath={.status.podIP}');
    const seen = new Set<string>();
    await eventually('both answer', async () => {
      const text = await inBox('curl', '-sS', '-m', '2', 'http://web:8000/');
      if (/ClientIP/.test(text)) {
        seen.add(`pod/${serverOf(text)}`);
        assert.match(text, new RegExp(`ClientIP: ${box},`));
      }
      return seen.size === 2;
    });
    assert.deepEqual([...seen].toSorted(), names);
    assert.match(await inBox('getent', 'hosts', 'web.default'), /web\.default\.svc\.cluster\.local/);
    assert.match(
      await kubectl('get', 'endpointslices', '-l', 'kubernetes.io/service-name=web'),
      /IPv4\s+80\s/,
    );
  });

  test('a node port answers on every node; without endpoints a service refuses', async () => {
    await apply(service('web', { type: 'NodePort' }));
    const port = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}');
    for (const node of ['master1', 'worker1'])
      await eventually(`node port on ${node}`, async () => {
        const addresses = await kubectl(
          'get',
          'node',
          node,
          '-o',
          'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}',
        );
        return /ServerName/.test(await inBox('curl', '-sS', '-m', '2', `http://${addresses}:${port}/`));
      });
    await kubectl('scale', 'deployment/web', '--replicas=0');
    await eventually('refused', async () =>
      /curl: \(7\)/.test(await inBox('curl', '-sS', '-m', '2', 'http://web:8000/')),
    );
  });

  test('a stateful set: in order, each pod under a name of its own', async () => {
    await apply(
      workload('StatefulSet', 'db', { replicas: 3, serviceName: 'db' }),
      service('db', { clusterIP: 'None' }),
    );
    await kubectl('rollout', 'status', 'statefulset/db', '--timeout=90s');
    const started = JSON.parse(await kubectl('get', 'pods', '-l', 'app=db', '-o', 'json')) as {
      items: { metadata: { name: string; creationTimestamp: string } }[];
    };
    assert.deepEqual(
      started.items.map(({ metadata }) => metadata.name),
      ['db-0', 'db-1', 'db-2'],
    );
    await eventually('db-1 by name', async () =>
      /ServerName: db-1,/.test(await inBox('curl', '-sS', '-m', '2', 'http://db-1.db/')),
    );
    const before = await kubectl('get', 'pod', 'db-2', '-o', 'jsonpath={.metadata.uid}');
    await kubectl('delete', 'pod', 'db-2');
    await eventually('db-2 is back', async () => {
      const { code, out } = await lab.kubectl(
        'get',
        'pod',
        'db-2',
        '-o',
        'jsonpath={.metadata.uid} {.status.phase}',
      );
      return code === 0 && out.endsWith('Running') && !out.startsWith(before);
    });
    await kubectl('scale', 'statefulset/db', '--replicas=1');
    await eventually(
      'one is left',
      async () => (await kubectl('get', 'pods', '-l', 'app=db', '-o', 'name')) === 'pod/db-0',
    );
  });

  test('jobs: complete, and failed after their limit', async () => {
    await apply(
      workload('Job', 'sum', { completions: 3, parallelism: 2 }, { command: ['exit', '0', '0'] }),
      workload('Job', 'bad', { backoffLimit: 0 }, { command: ['exit', '3'] }),
    );
    await kubectl('wait', '--for=condition=complete', 'job/sum', '--timeout=60s');
    await kubectl('wait', '--for=condition=failed', 'job/bad', '--timeout=60s');
    assert.match(await kubectl('get', 'job', 'sum'), /sum\s+Complete\s+3\/3/);
    await kubectl('delete', 'job', 'sum', 'bad');
    await eventually(
      'their pods are gone',
      async () => (await kubectl('get', 'pods', '-l', 'job-name', '-o', 'name')) === '',
    );
  });

  test('probes: a pod is an endpoint only while it is ready; one that fails its liveness is started again', async () => {
    const quick = { periodSeconds: 1, failureThreshold: 1 };
    await apply(
      workload(
        'Deployment',
        'probed',
        { replicas: 1 },
        {
          readinessProbe: { exec: { command: ['test', '-e', '/tmp/ready'] }, ...quick },
          livenessProbe: { httpGet: { path: '/livez', port: 'http' }, ...quick, failureThreshold: 5 },
        },
      ),
      service('probed'),
    );
    const pod = async (path: string): Promise<string> =>
      kubectl(
        'get',
        'pods',
        '-l',
        'app=probed',
        '-o',
        `jsonpath={.items[0].status.containerStatuses[0].${path}}`,
      );
    await eventually('started', async () => (await pod('started')) === 'true');
    assert.equal(await pod('ready'), 'false');
    assert.match(await inBox('curl', '-sS', '-m', '2', 'http://probed:8000/'), /curl: \(7\)/);
    await kubectl('exec', 'deployment/probed', '--', 'touch', '/tmp/ready');
    await eventually('an endpoint', async () =>
      /ServerName/.test(await inBox('curl', '-sS', '-m', '2', 'http://probed:8000/')),
    );
    await apply(
      workload(
        'Deployment',
        'sick',
        { replicas: 1 },
        { livenessProbe: { tcpSocket: { port: 81 }, ...quick } },
      ),
    );
    await eventually(
      'restarted',
      async () =>
        Number(
          await kubectl(
            'get',
            'pods',
            '-l',
            'app=sick',
            '-o',
            'jsonpath={.items[0].status.containerStatuses[0].restartCount}',
          ),
        ) > 0,
    );
    assert.match(await kubectl('get', 'events'), /Liveness probe failed: dial tcp/);
  });
});
