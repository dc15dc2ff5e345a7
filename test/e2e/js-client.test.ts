// The official JavaScript client against the embedded API server, over TLS with a client certificate: objects, watches
// that resume, informers, server-side apply and its conflicts, tokens; and on a real lab exec, logs and port-forward.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, type AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test, type TestContext } from 'node:test';
import {
  ApiException,
  AppsV1Api,
  Attach,
  AuthenticationV1Api,
  AuthorizationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  makeInformer,
  PatchStrategy,
  PortForward,
  RbacAuthorizationV1Api,
  setHeaderOptions,
  type V1ConfigMap,
  type V1Status,
  Watch,
} from '@kubernetes/client-node';
import { adminKubeconfig, clusterKeys, startApiServer } from '../../src/apiserver/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { TestLab, without } from '../support/lab.ts';

const namespace = 'default';

async function connect(t: TestContext, historyEvents = 20_000): Promise<KubeConfig> {
  const home = mkdtempSync(join(tmpdir(), 'margay-js-'));
  const { authority, security } = clusterKeys(join(home, 'pki'), [], Date.now());
  const server = expect(
    await startApiServer({
      listen: ['127.0.0.1:0'],
      data: ':memory:',
      logger: silentLogger,
      security,
      limits: { historyEvents },
    }),
    'API server',
  );
  t.after(async () => {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  });
  const config = new KubeConfig();
  config.loadFromString(adminKubeconfig(authority, server.addresses[0] ?? '', Date.now()));
  return config;
}

const refusedWith = (code: number, reason: string) => (error: unknown) => {
  assert.ok(error instanceof ApiException);
  assert.equal(error.code, code);
  assert.equal((JSON.parse(String(error.body)) as V1Status).reason, reason);
  return true;
};
const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

test('objects: create, read, list in pages, replace, patch, delete, and what is refused', async (t) => {
  const config = await connect(t);
  const core = config.makeApiClient(CoreV1Api);
  const made = await core.createNamespacedConfigMap({
    namespace,
    body: { metadata: { name: 'one' }, data: { a: '1' } },
  });
  assert.ok(made.metadata?.uid !== undefined && made.metadata.creationTimestamp instanceof Date);
  const read = await core.readNamespacedConfigMap({ namespace, name: 'one' });
  assert.deepEqual(read.data, { a: '1' });
  const replaced = await core.replaceNamespacedConfigMap({
    namespace,
    name: 'one',
    body: Object.assign(structuredClone(read), { data: { a: '2' } }),
  });
  assert.equal(replaced.data?.['a'], '2');
  await assert.rejects(
    core.replaceNamespacedConfigMap({ namespace, name: 'one', body: read }),
    refusedWith(409, 'Conflict'),
  );
  const patched = await core.patchNamespacedConfigMap(
    { namespace, name: 'one', body: { data: { b: 'x' } } },
    merge,
  );
  assert.deepEqual(patched.data, { a: '2', b: 'x' });
  for (const name of ['three', 'two'])
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels: { set: 's' } } } });
  const first = await core.listNamespacedConfigMap({ namespace, limit: 2 });
  assert.equal(first.items.length, 2);
  const rest = await core.listNamespacedConfigMap({
    namespace,
    limit: 2,
    _continue: first.metadata?._continue ?? '',
  });
  assert.deepEqual(
    [...first.items, ...rest.items].map((one) => one.metadata?.name),
    ['kube-root-ca.crt', 'one', 'three', 'two'],
  );
  const chosen = await core.listNamespacedConfigMap({ namespace, labelSelector: 'set=s' });
  assert.equal(chosen.items.length, 2);
  await assert.rejects(
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'one' } } }),
    refusedWith(409, 'AlreadyExists'),
  );
  await assert.rejects(core.readNamespacedPod({ namespace, name: 'none' }), refusedWith(404, 'NotFound'));
  await core.deleteNamespacedConfigMap({ namespace, name: 'one' });
  await assert.rejects(
    core.readNamespacedConfigMap({ namespace, name: 'one' }),
    refusedWith(404, 'NotFound'),
  );
  const custom = config.makeApiClient(CustomObjectsApi);
  const pools = { group: 'projectcalico.org', version: 'v3', plural: 'ippools' };
  await custom.createClusterCustomObject({
    ...pools,
    body: {
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'p' },
      spec: { cidr: '10.1.0.0/16' },
    },
  });
  const pool = (await custom.getClusterCustomObject({ ...pools, name: 'p' })) as {
    spec: { blockSize?: number };
  };
  assert.equal(pool.spec.blockSize, 26);
});

type Seen = { readonly phase: string; readonly name: string; readonly revision: string };

/** Everything a watch says, until it is told to stop. */
async function watched(
  config: KubeConfig,
  resourceVersion: string | undefined,
): Promise<{ readonly seen: Seen[]; readonly failed: Promise<unknown>; stop(): void }> {
  const seen: Seen[] = [];
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<unknown>((resolve) => {
    fail = resolve;
  });
  const abort = await new Watch(config).watch(
    `/api/v1/namespaces/${namespace}/configmaps`,
    { allowWatchBookmarks: true, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    (phase, object: V1ConfigMap) =>
      seen.push({
        phase,
        name: object.metadata?.name ?? '',
        revision: object.metadata?.resourceVersion ?? '',
      }),
    fail,
  );
  return { seen, failed, stop: () => abort.abort() };
}

test('watches: what happens, resumed after a cut without a gap, and 410 for what is forgotten', async (t) => {
  const config = await connect(t, 100);
  const core = config.makeApiClient(CoreV1Api);
  const create = (name: string): Promise<V1ConfigMap> =>
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name } } });
  const start = (await core.listNamespacedConfigMap({ namespace })).metadata?.resourceVersion;
  const first = await watched(config, start);
  await create('a');
  await core.patchNamespacedConfigMap({ namespace, name: 'a', body: { data: { x: 'y' } } }, merge);
  assert.ok(await until(() => (first.seen.length >= 2 ? true : undefined), { timeoutMs: 60_000 }));
  first.stop();
  await create('b');
  await core.deleteNamespacedConfigMap({ namespace, name: 'a' });
  const second = await watched(config, first.seen.at(-1)?.revision);
  await create('c');
  assert.ok(await until(() => (second.seen.length >= 3 ? true : undefined), { timeoutMs: 60_000 }));
  second.stop();
  assert.deepEqual(
    [...first.seen, ...second.seen].map(({ phase, name }) => `${phase} ${name}`),
    ['ADDED a', 'MODIFIED a', 'ADDED b', 'DELETED a', 'ADDED c'],
  );
  for (let i = 0; i < 120; i++)
    await core.patchNamespacedConfigMap({ namespace, name: 'c', body: { data: { i: String(i) } } }, merge);
  const late = await watched(config, start);
  const told = await until(() => (late.seen.length > 0 ? true : undefined), { timeoutMs: 60_000 });
  late.stop();
  assert.ok(told === true && late.seen[0]?.phase === 'ERROR', JSON.stringify(late.seen));
});

test('an informer keeps a copy', async (t) => {
  const config = await connect(t);
  const core = config.makeApiClient(CoreV1Api);
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'before' } } });
  const informer = makeInformer<V1ConfigMap>(config, `/api/v1/namespaces/${namespace}/configmaps`, () =>
    core.listNamespacedConfigMap({ namespace }),
  );
  t.after(() => informer.stop());
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'later' } } });
  await core.deleteNamespacedConfigMap({ namespace, name: 'before' });
  const names = (): string =>
    informer
      .list(namespace)
      .map((one) => one.metadata?.name ?? '')
      .filter((name) => name !== 'kube-root-ca.crt')
      .join();
  assert.ok(await until(() => (names() === 'later' ? true : undefined), { timeoutMs: 60_000 }), names());
});

test('server-side apply: a conflict names the owner, force takes over', async (t) => {
  const config = await connect(t);
  const objects = KubernetesObjectApi.makeApiClient(config);
  const deployment = (replicas: number): object => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'web:1' }] },
      },
    },
  });
  const apply = (replicas: number, manager: string, force = false): Promise<unknown> =>
    objects.patch(deployment(replicas), undefined, undefined, manager, force, PatchStrategy.ServerSideApply);
  await apply(1, 'one');
  await assert.rejects(apply(2, 'two'), (error: unknown) => {
    assert.ok(error instanceof ApiException && error.code === 409);
    assert.match(String(error.body), /conflict with \\"one\\".*\.spec\.replicas/);
    return true;
  });
  await apply(2, 'two', true);
  const read = await config.makeApiClient(AppsV1Api).readNamespacedDeployment({ namespace, name: 'web' });
  assert.equal(read.spec?.replicas, 2);
  const managers = read.metadata?.managedFields?.map((one) => `${one.manager} ${one.operation}`);
  assert.deepEqual(managers?.sort(), ['one Apply', 'two Apply']);
});

test('tokens, reviews and rights', async (t) => {
  const config = await connect(t);
  const core = config.makeApiClient(CoreV1Api);
  await core.createNamespacedServiceAccount({ namespace, body: { metadata: { name: 'bot' } } });
  const { status } = await core.createNamespacedServiceAccountToken({
    namespace,
    name: 'bot',
    body: { spec: { audiences: [], expirationSeconds: 3600 } },
  });
  const token = status?.token ?? '';
  const review = await config
    .makeApiClient(AuthenticationV1Api)
    .createTokenReview({ body: { spec: { token } } });
  assert.equal(review.status?.user?.username, 'system:serviceaccount:default:bot');
  const bot = new KubeConfig();
  const cluster = config.getCurrentCluster();
  assert.ok(cluster !== null);
  bot.loadFromClusterAndUser(cluster, { name: 'bot', token });
  await assert.rejects(bot.makeApiClient(CoreV1Api).listNode(), refusedWith(403, 'Forbidden'));
  const rbac = config.makeApiClient(RbacAuthorizationV1Api);
  const apiGroup = 'rbac.authorization.k8s.io';
  await rbac.createClusterRole({
    body: {
      metadata: { name: 'nodes' },
      rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['list'] }],
    },
  });
  await rbac.createClusterRoleBinding({
    body: {
      metadata: { name: 'nodes' },
      roleRef: { apiGroup, kind: 'ClusterRole', name: 'nodes' },
      subjects: [{ kind: 'ServiceAccount', name: 'bot', namespace }],
    },
  });
  assert.deepEqual((await bot.makeApiClient(CoreV1Api).listNode()).items, []);
  const rules = await bot
    .makeApiClient(AuthorizationV1Api)
    .createSelfSubjectRulesReview({ body: { spec: { namespace } } });
  assert.ok(rules.status?.resourceRules.some((rule) => rule.resources?.includes('nodes')));
});

const skip = without('ip', 'unshare', 'kubectl');

describe('streams', { skip, concurrency: 1 }, () => {
  let lab: TestLab;
  const config = new KubeConfig();
  before(async () => {
    lab = await TestLab.up('jsclient', ['--topology', 'flat', '--nodes', '1']);
    config.loadFromString(readFileSync(lab.kubeconfig, 'utf8'));
    const pod = (name: string, image: string): object => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { run: name } },
      spec: { containers: [{ name: 'main', image }] },
    });
    await lab.apply(pod('box', 'busybox'));
    await lab.apply(pod('web', 'demoapp'));
    await lab.pods('run=box', 1);
    await lab.pods('run=web', 1);
  });
  after(() => lab?.down());

  /** A stream whose text grows. */
  const sink = (): PassThrough & { text(): string } => {
    const stream = new PassThrough();
    let text = '';
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    return Object.assign(stream, { text: () => text });
  };

  test('exec with input: the two outputs apart, the exit code in the status', async () => {
    const [stdout, stderr, stdin] = [sink(), sink(), new PassThrough()];
    const status = new Promise<V1Status>((resolve) => {
      const command = ['sh', '-c', 'cat; echo oops >&2; exit 4'];
      void new Exec(config).exec(namespace, 'box', 'main', command, stdout, stderr, stdin, false, resolve);
      stdin.end('from here');
    });
    const { status: outcome, details } = await status;
    assert.equal(outcome, 'Failure');
    assert.deepEqual(details?.causes, [{ reason: 'ExitCode', message: '4' }]);
    assert.equal(stdout.text(), 'from here');
    assert.equal(stderr.text(), 'oops\n');
  });

  test('exec on a terminal', async () => {
    const [stdout, stdin] = [sink(), new PassThrough()];
    const status = new Promise<V1Status>((resolve) => {
      void new Exec(config).exec(namespace, 'box', 'main', ['sh'], stdout, null, stdin, true, resolve);
    });
    assert.ok(await until(() => (stdout.text().endsWith('# ') ? true : undefined), { timeoutMs: 60_000 }));
    stdin.write('tty; exit 0\n');
    assert.equal((await status).status, 'Success');
    assert.match(stdout.text(), /\/dev\/pts\/\d+/);
  });

  test('logs and attach', async () => {
    const core = config.makeApiClient(CoreV1Api);
    // Says something until both listen.
    const words = 'echo early; until test -e /tmp/go; do echo waiting; sleep 0.2; done; echo late';
    const command = ['sh', '-c', words];
    await core.createNamespacedPod({
      namespace,
      body: {
        metadata: { name: 'talk' },
        spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'busybox', command }] },
      },
    });
    const isRunning = async (): Promise<true | undefined> =>
      (await core.readNamespacedPod({ namespace, name: 'talk' })).status?.phase === 'Running'
        ? true
        : undefined;
    assert.ok(await until(isRunning, { timeoutMs: 60_000, everyMs: 50 }));
    const attached = sink();
    await new Attach(config).attach(namespace, 'talk', 'main', attached, null, null, false);
    const followed = sink();
    await new Log(config).log(namespace, 'talk', 'main', followed, { follow: true });
    const hears = (stream: { text(): string }, wanted: RegExp): Promise<true | undefined> =>
      until(() => (wanted.test(stream.text()) ? true : undefined), { timeoutMs: 60_000 });
    for (const stream of [attached, followed]) assert.ok(await hears(stream, /waiting\n/), stream.text());
    assert.equal((await lab.kubectl('exec', 'talk', '--', 'touch', '/tmp/go')).code, 0);
    assert.ok(await hears(followed, /^early\n(waiting\n)+late\n$/), followed.text());
    assert.ok(await hears(attached, /late\n$/), attached.text());
  });

  test('port-forward', async () => {
    const forward = new PortForward(config);
    const server: Server = createServer((socket) => {
      void forward.portForward(namespace, 'web', [80], socket, null, socket);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    try {
      const { port } = server.address() as AddressInfo;
      const socket = createConnection(port, '127.0.0.1');
      socket.write('GET /hostname HTTP/1.0\r\n\r\n');
      socket.setTimeout(60_000, () => socket.destroy());
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      assert.ok(
        await until(() => (text.includes('ServerName: web') ? true : undefined), { timeoutMs: 60_000 }),
        text,
      );
      socket.destroy();
    } finally {
      server.close();
    }
  });
});
