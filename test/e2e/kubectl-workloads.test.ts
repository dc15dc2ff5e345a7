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
  const nodeOf = (pod: string): Promise<string> =>
    kubectl('get', 'pod', pod, '-o', 'jsonpath={.spec.nodeName}');
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

  test('rollout: history, undo, restart, pause and resume, of all that have versions', async () => {
    const small = { terminationGracePeriodSeconds: 0 };
    const labelled = (kind: string, name: string): object => ({
      apiVersion: 'apps/v1',
      kind,
      metadata: { name, annotations: { 'kubernetes.io/change-cause': `first ${name}` } },
      spec: {
        ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
        selector: { matchLabels: { app: name } },
        template: {
          ...labels(name),
          spec: { ...small, containers: [{ name: 'main', image: 'demoapp:1' }] },
        },
      },
    });
    await apply(labelled('Deployment', 'v'), labelled('DaemonSet', 'v'), labelled('StatefulSet', 'v'));
    const done = (what: string): Promise<string> => kubectl('rollout', 'status', what, '--timeout=90s');
    const versions = async (what: string): Promise<void> => {
      await done(what);
      await kubectl('set', 'image', what, 'main=demoapp:2');
      await done(what);
      assert.match(await kubectl('rollout', 'history', what), /^1 +first v\n2 +first v/m);
      assert.match(await kubectl('rollout', 'undo', what), /rolled back/);
      await done(what);
      assert.match(await kubectl('rollout', 'history', what, '--revision=3'), /Image:\s+demoapp:1/);
      assert.match((await lab.kubectl('rollout', 'undo', what, '--to-revision=1')).err, /unable to find/);
      await kubectl('rollout', 'restart', what);
      await done(what);
      assert.match(await kubectl('rollout', 'history', what), /^2 .*\n3 .*\n4 /m);
    };
    await Promise.all(['deployment/v', 'daemonset/v', 'statefulset/v'].map(versions));
    await kubectl('rollout', 'pause', 'deployment/v');
    await kubectl('set', 'image', 'deployment/v', 'main=demoapp:3');
    await kubectl('wait', '--for=condition=Progressing=Unknown', 'deployment/v', '--timeout=60s');
    assert.doesNotMatch(await kubectl('get', 'replicasets', '-o', 'wide'), /demoapp:3/);
    assert.match((await lab.kubectl('rollout', 'undo', 'deployment/v')).err, /cannot rollback a paused/);
    await kubectl('rollout', 'resume', 'deployment/v');
    await done('deployment/v');
    assert.match(await kubectl('get', 'replicasets', '-o', 'wide'), /demoapp:3/);
    assert.match(await kubectl('describe', 'deployment', 'v'), /Progressing +True +NewReplicaSetAvailable/);
    const revisions = (): Promise<string> =>
      kubectl('get', 'controllerrevisions', '-l', 'app=v', '-o', 'name');
    assert.match(await revisions(), /^controllerrevision.apps\/v-/m);
    await kubectl('delete', 'deployment/v', 'daemonset/v', 'statefulset/v', '--wait=false');
    await eventually('their revisions went, too', async () => (await revisions()) === '');
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

  test('volumes and variables: what objects say, and every change of it', async () => {
    const items = [{ key: 'password', path: 'deep/pass' }];
    const volumes = [
      { name: 'conf', configMap: { name: 'app' } },
      { name: 'pass', secret: { secretName: 'pass', defaultMode: 0o400, items } },
      { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      {
        name: 'info',
        downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] },
      },
      { name: 'node', hostPath: { path: '/var/lib/calico', type: 'Directory' } },
      { name: 'new', hostPath: { path: '/margay-test/new', type: 'DirectoryOrCreate' } },
    ];
    const container = {
      name: 'main',
      image: 'busybox',
      workingDir: '/work-here',
      command: ['sh', '-c', 'echo $(GREETING), $CONF_mode, $PASS; pwd; exec sleep 1000'],
      envFrom: [{ prefix: 'CONF_', configMapRef: { name: 'app' } }],
      env: [
        { name: 'WHO', value: 'ada' },
        { name: 'GREETING', value: 'hello $(WHO)' },
        { name: 'PASS', valueFrom: { secretKeyRef: { name: 'pass', key: 'password' } } },
      ],
      volumeMounts: [
        { name: 'conf', mountPath: '/etc/app' },
        { name: 'conf', mountPath: '/one/mode', subPath: 'mode' },
        { name: 'pass', mountPath: '/pass' },
        { name: 'memory', mountPath: '/memory' },
        { name: 'info', mountPath: '/info' },
        { name: 'node', mountPath: '/calico', readOnly: true },
        { name: 'new', mountPath: '/new' },
      ],
    };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'store', labels: { tier: 'data' } } };
    await apply({ ...pod, spec: { volumes, containers: [container], terminationGracePeriodSeconds: 1 } });
    await eventually('told what is missing', async () =>
      /FailedMount.*configmap "app" not found/.test(await kubectl('get', 'events')),
    );
    assert.match(await kubectl('get', 'pod', 'store'), /ContainerCreating/);
    await kubectl('create', 'secret', 'generic', 'pass', '--from-literal=password=s3cret');
    await kubectl('create', 'configmap', 'app', '--from-literal=mode=fast');
    await kubectl('wait', '--for=condition=Ready', 'pod/store', '--timeout=60s');
    await eventually('its output', async () => (await kubectl('logs', 'store')).endsWith('/work-here'));
    assert.equal(await kubectl('logs', 'store'), 'hello ada, fast, s3cret\n/work-here');
    const inStore = async (script: string): Promise<string> => {
      const { out, err } = await lab.kubectl('exec', 'store', '--', 'sh', '-c', script);
      return (out + err).trim();
    };
    assert.equal(
      await inStore(
        'cat /etc/app/mode; echo; cat /pass/deep/pass; stat -Lc " %a" /pass/deep/pass; cat /info/labels; pwd',
      ),
      'fast\ns3cret 400\ntier="data"/work-here',
    );
    assert.match(await inStore('touch /etc/app/x /calico/x'), /Read-only.*\n.*Read-only/);
    assert.match(await inStore('head -c 2000000 /dev/zero > /memory/x'), /No space left/);
    assert.equal(await inStore('cat /calico/nodename; touch /new/mine /opt/mine'), await nodeOf('store'));
    assert.equal(spawnSync('ls', ['/margay-test']).status === 0, false, 'the machine is as it was');
    await kubectl('patch', 'configmap', 'app', '--type=merge', '-p', '{"data":{"mode":"slow"}}');
    await eventually('the change is there', async () => (await inStore('cat /etc/app/mode')) === 'slow');
    assert.equal(await inStore('cat /one/mode'), 'fast', 'a subPath stays as it was');
    const described = await kubectl('describe', 'pod', 'store');
    assert.match(described, /Environment Variables from:\s+app {2}ConfigMap with prefix 'CONF_'/);
    assert.match(described, /\/one\/mode from conf \(rw,path="mode"\)/);
    await kubectl('delete', 'pod', 'store');
  });

  test('a client in a pod is its service account', async () => {
    await kubectl('create', 'serviceaccount', 'reader');
    await kubectl('create', 'role', 'reader', '--verb=get,list', '--resource=configmaps');
    await kubectl('create', 'rolebinding', 'reader', '--role=reader', '--serviceaccount=default:reader');
    const pod = (name: string, spec: object): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { ...spec, containers: [{ name: 'main', image: 'client' }], terminationGracePeriodSeconds: 1 },
    });
    await apply(
      pod('reader', { serviceAccountName: 'reader' }),
      pod('nobody', { automountServiceAccountToken: false }),
    );
    await kubectl('wait', '--for=condition=Ready', 'pod/reader', 'pod/nobody', '--timeout=60s');
    const account = '/var/run/secrets/kubernetes.io/serviceaccount';
    const ask = async (path: string): Promise<string> =>
      kubectl(
        'exec',
        'reader',
        '--',
        'sh',
        '-c',
        `curl -sS --cacert ${account}/ca.crt -H "Authorization: Bearer $(cat ${account}/token)" https://kubernetes.default${path}`,
      );
    assert.match(await ask('/api/v1/namespaces/default/configmaps'), /"kube-root-ca\.crt"/);
    assert.match(
      await ask('/api/v1/namespaces/default/secrets'),
      /User \\"system:serviceaccount:default:reader\\" cannot list resource/,
    );
    assert.equal(await kubectl('exec', 'reader', '--', 'cat', `${account}/namespace`), 'default');
    assert.match(
      await kubectl('describe', 'pod', 'reader'),
      /serviceaccount from kube-api-access-\w+ \(ro\)/,
    );
    assert.notEqual((await lab.kubectl('exec', 'nobody', '--', 'ls', `${account}/token`)).code, 0);
    await kubectl('delete', 'pod', 'reader', 'nobody');
  });

  test('top: what nodes, pods and containers use', async () => {
    await kubectl('run', 'busy', '--image=busybox', '--', 'sh', '-c', 'while :; do :; done');
    await kubectl('wait', '--for=condition=Ready', 'pod/busy', '--timeout=60s');
    await eventually('the busy one is seen', async () =>
      /^busy +[1-9]\d*m +\d+Mi *$/m.test(await kubectl('top', 'pods', '--no-headers')),
    );
    assert.match(await kubectl('top', 'pod', 'busy', '--containers'), /\nbusy +busy +[1-9]\d*m/);
    await kubectl('delete', 'pod', 'busy', '--now');
    assert.match(await kubectl('top', 'pods', '-n', 'kube-system'), /^coredns-\S+ +\d+m +[1-9]\d*Mi *$/m);
    assert.match(await kubectl('top', 'nodes'), /^master1 +[1-9]\d*m +\d+% +[1-9]\d*Mi +\d+% *$/m);
    assert.match((await lab.kubectl('top', 'pod', 'nobody')).err, /"nobody" not found/);
  });

  test('a pod of a service account that is not there is refused, and its owner says so', async () => {
    const spec = { serviceAccountName: 'robot' };
    const overrides = JSON.stringify({ apiVersion: 'v1', spec });
    assert.match(
      (await lab.kubectl('run', 'lone', '--image=demoapp', `--overrides=${overrides}`)).err,
      /pods "lone" is forbidden: error looking up service account default\/robot: serviceaccount "robot" not found/,
    );
    await kubectl('create', 'deployment', 'owned', '--image=demoapp');
    await kubectl('patch', 'deployment', 'owned', '-p', JSON.stringify({ spec: { template: { spec } } }));
    await eventually('told', async () =>
      /FailedCreate.*"robot" not found/.test(await kubectl('get', 'events')),
    );
    await kubectl('create', 'serviceaccount', 'robot');
    await kubectl('rollout', 'status', 'deployment/owned', '--timeout=60s');
    await kubectl('delete', 'deployment', 'owned');
  });

  test('debug: a container added to a pod sees the processes of another', async () => {
    const words = ['sh', '-c', 'cat /proc/1/cmdline | tr "\\0" " "; hostname -I; exec sleep 1000'];
    await kubectl('debug', 'box', '--image=busybox', '--container=look', '--target=main', '--', 'true').then(
      () => assert.fail('there is no container main'),
      (error: Error) => assert.match(error.message, /Not found: "main"/),
    );
    await kubectl('debug', 'box', '--image=busybox', '--container=look', '--target=box', '--', ...words);
    await eventually('it looks', async () =>
      /margay-container/.test((await lab.kubectl('logs', 'box', '-c', 'look')).out),
    );
    const address = await kubectl('get', 'pod', 'box', '-o', 'jsonpath={.status.podIP}');
    assert.ok((await kubectl('logs', 'box', '-c', 'look')).includes(address));
    assert.match(await kubectl('exec', 'box', '-c', 'look', '--', 'ps', 'ax'), /pod sleep/);
    assert.match(await kubectl('describe', 'pod', 'box'), /Ephemeral Containers:\s+look:[^]*State: +Running/);
    assert.match(
      (
        await lab.kubectl(
          'patch',
          'pod',
          'box',
          '--subresource=ephemeralcontainers',
          '--type=json',
          '-p',
          '[{"op":"remove","path":"/spec/ephemeralContainers"}]',
        )
      ).err,
      /existing ephemeral containers "look" may not be removed/,
    );
  });

  test('cron jobs: a job at its time, one by hand, and none while suspended', async () => {
    const refused = await lab.kubectl(
      'create',
      'cronjob',
      'bad',
      '--image=x',
      '--schedule=61 * * * *',
      '--',
      'exit',
      '0',
    );
    assert.match(refused.err, /spec\.schedule: Invalid value: .*above maximum \(59\)/);
    await kubectl('create', 'cronjob', 'tick', '--image=x', '--schedule=@every 1s', '--', 'exit', '0');
    await eventually('a job by the clock', async () =>
      /tick-\d+ +Complete/.test(await kubectl('get', 'jobs')),
    );
    await kubectl('patch', 'cronjob', 'tick', '--type=merge', '-p', '{"spec":{"suspend":true}}');
    await kubectl('create', 'job', 'by-hand', '--from=cronjob/tick');
    await kubectl('wait', '--for=condition=complete', 'job/by-hand', '--timeout=60s');
    assert.match(await kubectl('get', 'cronjob', 'tick'), /tick +@every 1s +<none> +True +0 +\d+s/);
    await eventually('it was told', async () =>
      /Created job tick-\d+/.test(await kubectl('describe', 'cronjob', 'tick')),
    );
    await kubectl('delete', 'cronjob', 'tick');
    await eventually(
      'its jobs went, too',
      async () => !/tick-/.test(await kubectl('get', 'jobs', '-o', 'name')),
    );
  });
});
