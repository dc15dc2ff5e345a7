// The runner's real edges on one host without a cluster: the datastore is in memory, the network plugin is the reference
// `ptp` with `host-local`, namespaces and container processes are real.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { MemoryStore } from '../../src/datastore/mod.ts';
import { nodeRunnerEdges, type Runner, startRunner } from '../../src/lab/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { until } from '../../src/lib/wait.ts';
import type { Pod } from '../../src/model/mod.ts';

const plugins = '/usr/lib/cni';
const skip = existsSync(join(plugins, 'ptp'))
  ? false
  : 'the reference CNI plugins are not installed (containernetworking-plugins)';

const pod = (name: string, spec: Partial<Pod['spec']> = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: {
    nodeName: 'host',
    terminationGracePeriodSeconds: 2,
    containers: [{ name: 'web', image: 'demoapp' }],
    ...spec,
  },
});
/** Without those that have ended and whom nobody waits for: process 1 of a test run is no init. */
const processes = (): number =>
  readdirSync('/proc').filter((p) => {
    try {
      return /^\d+$/.test(p) && readFileSync(`/proc/${p}/cmdline`, 'utf8') !== '';
    } catch {
      return false;
    }
  }).length;
const namespaces = (): string[] => readdirSync('/run/netns').filter((n) => n.startsWith('cni-'));

test('pods on real namespaces: served, adopted after a restart, restarted, cleared away', {
  skip,
}, async () => {
  // Containers have a /tmp of their own, in which files of the runner would be lost.
  const folder = mkdtempSync('/run/margay-runner-');
  const configuration = join(folder, 'net.d');
  mkdirSync(configuration);
  writeFileSync(
    join(configuration, '10-ptp.conflist'),
    JSON.stringify({
      name: 'test',
      cniVersion: '1.0.0',
      plugins: [
        {
          type: 'ptp',
          ipam: {
            type: 'host-local',
            dataDir: join(folder, 'ipam'),
            ranges: [[{ subnet: '10.77.0.0/24' }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
      ],
    }),
  );
  const store = new MemoryStore();
  const client = store.open();
  const start = async (): Promise<Runner> =>
    startRunner({
      ...(await nodeRunnerEdges({
        datastore: store.open(),
        logger: silentLogger,
        nodeName: 'host',
        hostAddresses: ['10.0.0.1'],
        configurationDirectory: configuration,
        binDirectory: plugins,
        podDirectory: join(folder, 'pods'),
        logDirectory: join(folder, 'log'),
        checkpointDirectory: join(folder, 'checkpoints'),
        program: [process.execPath, resolve('src/main.ts'), 'pod'],
      })),
      datastore: store.open(),
      logger: silentLogger,
      networkReady: () => ({ ready: true }),
      facts: {
        name: 'host',
        addresses: ['10.0.0.1'],
        labels: {},
        annotations: {},
        kernelVersion: '',
        osImage: '',
        architecture: 'amd64',
        cpus: 1,
        memoryBytes: 1,
        version: '0',
      },
    });
  const statusOf = (name: string): Pod['status'] =>
    store.all('Pod').find((p) => p.metadata.name === name)?.status;
  const eventually = async (check: () => boolean, what: string): Promise<void> => {
    const done = await until(() => (check() ? true : undefined), { timeoutMs: 60_000, everyMs: 20 });
    assert.equal(done, true, `${what}: ${JSON.stringify(store.all('Pod').map((p) => p.status))}`);
  };
  const isReady = (name: string): boolean =>
    statusOf(name)?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
  const processesBefore = processes();

  let runner = await start();
  try {
    await client.create(
      'Pod',
      pod('a', { containers: [{ name: 'web', image: 'demoapp', env: [{ name: 'X', value: 'y' }] }] }),
    );
    await client.create('Pod', pod('b'));
    await eventually(() => isReady('a') && isReady('b'), 'ready');
    const address = statusOf('a')?.podIP ?? '';
    const answer = await (await fetch(`http://${address}/`)).text();
    assert.match(
      answer,
      new RegExp(`^kubernetes pod-test v0\\.1!! ClientIP: .*, ServerName: a, ServerIP: ${address}!\n$`),
    );
    assert.match(await (await fetch(`http://${address}:8080/env`)).text(), /^X=y$/m);
    assert.equal(namespaces().length, 2);

    // A new runner takes the pods over: the same processes go on.
    const pidOf = (): string => execFileSync('pgrep', ['-f', 'pod http-server'], { encoding: 'utf8' });
    const pidsBefore = pidOf();
    await runner.stop();
    await client.delete('Pod', { name: 'b', namespace: 'default' });
    runner = await start();
    await eventually(() => namespaces().length === 1, 'b is cleared away');
    assert.ok(pidsBefore.split('\n').includes(pidOf().trim().split('\n')[0] ?? ''));

    // A container that is killed comes back, with its end on record.
    const record = JSON.parse(
      readFileSync(join(folder, 'checkpoints', readdirSync(join(folder, 'checkpoints'))[0] ?? ''), 'utf8'),
    ) as { containers: { web: { process: { pid: number } } } };
    process.kill(record.containers.web.process.pid, 'SIGKILL');
    await eventually(
      () => statusOf('a')?.containerStatuses?.[0]?.restartCount === 1 && isReady('a'),
      'restarted',
    );
    assert.equal(statusOf('a')?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    assert.equal((await fetch(`http://${address}/livez`)).status, 200);

    // A program that ends, one that does not exist.
    await client.create(
      'Pod',
      pod('done', {
        restartPolicy: 'Never',
        containers: [{ name: 'm', image: 'x', command: ['exit', '3'] }],
      }),
    );
    await client.create('Pod', pod('odd', { containers: [{ name: 'm', image: 'x', command: ['nmap'] }] }));
    await eventually(() => statusOf('done')?.phase === 'Failed', 'failed');
    assert.equal(statusOf('done')?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
    await eventually(
      () => /http-server/.test(statusOf('odd')?.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
      'the unknown program is explained',
    );
    for (const name of ['a', 'done', 'odd']) await client.delete('Pod', { name, namespace: 'default' });
    await eventually(() => namespaces().length === 0, 'all cleared away');
    await eventually(() => processes() <= processesBefore, 'no process is left');
    assert.deepEqual(readdirSync(join(folder, 'checkpoints')), []);
    const links = spawnSync('ip', ['-o', 'link', 'show', 'type', 'veth'], { encoding: 'utf8' }).stdout;
    assert.equal(links, '');
  } finally {
    await runner.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
