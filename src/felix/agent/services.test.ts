// What of the agent itself follows the configuration while it runs.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { silentLogger, type Fields } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { findParameter, ignoredParameters, parameters, resolveConfig, unbuiltReason } from '../calc/mod.ts';
import { Cluster, object } from './testing.ts';

const limits = { timeoutMs: 10_000 };

test('FX-150, FX-151, FX-159: a parameter without effect is told of in the log, in an event of the node, and in the status', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const warnings: string[] = [];
  const logger = {
    ...silentLogger,
    warn: (_message: string, fields?: Fields) => void warnings.push(fields?.['problem'] as string),
  };
  const agent = cluster.start(
    {
      FELIX_POLICYSYNCPATHPREFIX: '/var/run/nodeagent',
      FELIX_REPORTINGINTERVALSECS: '30',
      FELIX_HEALTHPORT: 'x',
    },
    { logger },
  );
  try {
    expect(await agent.ready, 'ready');
    const ignored = () => agent.status().ignored.map(({ parameter, source }) => `${parameter} ${source}`);
    assert.deepEqual(ignored(), ['PolicySyncPathPrefix environment']);
    assert.ok(
      warnings.some((text) =>
        text.startsWith('PolicySyncPathPrefix is set by environment and has no effect: '),
      ),
    );
    assert.ok(warnings.some((text) => text.startsWith('HealthPort is set to "x" by environment')));
    const felix = object('FelixConfiguration', 'node.n1', {
      bpfEnabled: true,
      usageReportingEnabled: false,
      endpointReportingEnabled: true,
      logSeverityScreen: 'Debug',
    });
    cluster.store.put('FelixConfiguration', felix);
    const expected = ['PolicySyncPathPrefix environment', 'EndpointReportingEnabled node', 'BPFEnabled node'];
    assert.ok(
      await until(() => (ignored().join() === expected.join() ? true : undefined), limits),
      ignored().join(),
    );
    const told = await until(
      () => cluster.store.all('Event').find(({ message }) => message?.includes('BPFEnabled') === true),
      limits,
    );
    assert.equal(told?.reason, 'Configuration');
  } finally {
    await agent.stop();
  }
});

test('FX-151: the log goes to a file where one is named, with a level of its own, and follows', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const files: string[] = [];
  const levels: string[] = [];
  const log = {
    setLevel: (level: string): void => void levels.push(level),
    setFile: (path: string | undefined, level: string): void => void files.push(`${path ?? 'none'} ${level}`),
    errors: () => 0,
  };
  const agent = cluster.start({}, { log });
  try {
    expect(await agent.ready, 'ready');
    assert.deepEqual([files.at(-1)?.split(' ')[0], levels.at(-1)], ['none', 'info']);
    const follows = async (spec: object, file: string, level: string): Promise<void> => {
      cluster.store.put('FelixConfiguration', object('FelixConfiguration', 'node.n1', spec));
      const ends = () => (files.at(-1) === file && levels.at(-1) === level ? true : undefined);
      assert.ok(await until(ends, limits), `${files.at(-1)} ${levels.at(-1)}`);
    };
    await follows({ logFilePath: '/x/felix.log', logSeverityFile: 'Warning' }, '/x/felix.log warn', 'info');
    await follows({ logFilePath: '/x/felix.log', logSeverityScreen: 'Error' }, '/x/felix.log info', 'error');
    await follows({ logFilePath: 'none' }, 'none info', 'info');
  } finally {
    await agent.stop();
  }
});

test('FX-002: an object that cannot be read is told of, and harms nobody else', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const warnings: unknown[] = [];
  const logger = {
    ...silentLogger,
    warn: (_message: string, fields?: Fields) => void warnings.push(fields?.['object']),
  };
  cluster.store.put('GlobalNetworkSet', object('GlobalNetworkSet', 'broken', { nets: 7 }));
  const agent = cluster.start({}, { logger });
  try {
    expect(await agent.ready, 'ready');
    assert.deepEqual(
      [...agent.status().unreadable],
      [['GlobalNetworkSet broken', 'spec.nets: must be a list']],
    );
    assert.ok(warnings.includes('GlobalNetworkSet broken'));
  } finally {
    await agent.stop();
  }
});

test('FX-141: pages for debugging are there when a port is set, on localhost', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const port = 40_000 + (process.pid % 20_000);
  const agent = cluster.start({ FELIX_DEBUGPORT: String(port), FELIX_GOMAXPROCS: '2' });
  try {
    expect(await agent.ready, 'ready');
    const get = async (path: string): Promise<Record<string, unknown>> => {
      const answer = await until(
        () => fetch(`http://localhost:${port}${path}`).catch(() => undefined),
        limits,
      );
      assert.equal(answer?.status, 200, path);
      return (await answer.json()) as Record<string, unknown>;
    };
    const { parameters: set, ignored } = await get('/debug/config');
    assert.deepEqual((set as Record<string, unknown>)['DebugPort'], { value: port, source: 'environment' });
    assert.deepEqual(
      (ignored as { parameter: string }[]).map(({ parameter }) => parameter),
      ['GoMaxProcs'],
    );
    assert.equal((await get('/debug/status'))['phase'], 'ready');
    assert.ok(Array.isArray((await get('/debug/pprof/profile?seconds=0.05'))['nodes']));
    assert.ok('head' in (await get('/debug/pprof/heap?seconds=0.05')));
  } finally {
    await agent.stop();
  }
});

/** The program without its tests and without the table of parameters itself. */
function sources(): string {
  const root = new URL('../../', import.meta.url);
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !/test\.ts$|calc\/(parameters|unbuilt)\.ts$|^model\//.test(path),
  );
  return files.map((path) => readFileSync(new URL(path, root), 'utf8')).join('\n');
}

test('FX-150, FX-151, FX-159: each parameter is acted on, or said to be without effect, with the reason', () => {
  const text = sources();
  // Put together from the name of a back end.
  const parts = ['FilterAllowAction', 'MangleAllowAction', 'FilterDenyAction'];
  const isUsed = (name: string): boolean =>
    text.includes(`'${name}'`) || parts.some((part) => name.endsWith(part));
  // They tell of the cluster.
  const told = ['ClusterGUID', 'CalicoVersion', 'Variant'];
  const silent = parameters
    .map(({ name }) => name)
    .filter((name) => !isUsed(name) && unbuiltReason(name) === undefined && !told.includes(name));
  assert.deepEqual(silent, []);
});

test('FX-150, FX-151, FX-159: the defaults are those of Calico', () => {
  const config = resolveConfig({});
  const expected: Record<string, unknown> = {
    DatastoreType: 'etcdv3',
    EtcdAddr: '127.0.0.1:2379',
    TyphaAddr: '',
    TyphaK8sServiceName: '',
    TyphaK8sNamespace: 'kube-system',
    TyphaReadTimeout: 30_000,
    TyphaWriteTimeout: 10_000,
    LogFilePath: '/var/log/calico/felix.log',
    LogSeverityFile: 'INFO',
    LogSeverityScreen: 'INFO',
    LogSeveritySys: 'INFO',
    DebugMemoryProfilePath: '',
    DebugCPUProfilePath: '/tmp/felix-cpu-<timestamp>.pprof',
    HealthEnabled: false,
    HealthHost: 'localhost',
    HealthPort: 9099,
    PrometheusMetricsEnabled: false,
    PrometheusMetricsPort: 9091,
    ReportingIntervalSecs: 30_000,
    ReportingTTLSecs: 90_000,
    EndpointReportingEnabled: false,
    EndpointReportingDelaySecs: 1000,
    UsageReportingEnabled: true,
    UsageReportingInitialDelaySecs: 300_000,
    UsageReportingIntervalSecs: 86_400_000,
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(config.value(name), value, name);
  assert.deepEqual(ignoredParameters(config), []);
  // Fields of FelixConfiguration whose names are others.
  assert.equal(findParameter('reportingInterval')?.name, 'ReportingIntervalSecs');
});
