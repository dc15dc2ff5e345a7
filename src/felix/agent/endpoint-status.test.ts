import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { err, expect, failure, ok, type Result } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { WorkloadEndpoint } from '../../model/mod.ts';
import type { PolicyChange } from '../calc/mod.ts';
import { EndpointStatusFiles } from './endpoint-status.ts';
import { Cluster, object } from './testing.ts';

const endpoint = (name: string, address: string): WorkloadEndpoint =>
  object(
    'WorkloadEndpoint',
    name,
    {
      node: 'n1',
      orchestrator: 'k8s',
      pod: name,
      endpoint: 'eth0',
      interfaceName: `cali${name}`,
      mac: 'aa:bb:cc:00:00:01',
      ipNetworks: [`${address}/32`, 'fd00::2/128'],
      containerID: name,
    },
    'default',
  );
const told = (key: string): PolicyChange =>
  ({ type: 'endpoint', endpoint: { key, type: 'workload' } }) as unknown as PolicyChange;
const limits = { timeoutMs: 10_000 };

/** Files about endpoints whose kernel says what the test says. */
class Stage {
  readonly directory = join(mkdtempSync(join(tmpdir(), 'margay-status-')), 'endpoint-status');
  readonly endpoints = new Map<string, WorkloadEndpoint>();
  readonly answers = new Map<string, () => Promise<Result<void>>>();
  readonly files = new EndpointStatusFiles({
    clock: systemClock,
    logger: silentLogger,
    endpointOf: (key) => this.endpoints.get(key),
    whenProgrammed: ({ metadata }) => this.answers.get(metadata.name)?.() ?? Promise.resolve(ok(undefined)),
  });

  put(name: string, address: string): void {
    const key = `workload default/${name}`;
    this.endpoints.set(key, endpoint(name, address));
    this.files.take([told(key)]);
  }

  remove(name: string): void {
    this.files.take([{ type: 'endpoint-removed', key: `workload default/${name}` }]);
  }

  async holds(...names: string[]): Promise<void> {
    const found = await until(() => {
      const now = this.list();
      return now.join() === names.map((name) => `k8s default%2F${name} eth0`).join() ? now : undefined;
    }, limits);
    assert.ok(found !== undefined, `${this.list().join()} is not ${names.join()}`);
  }

  list(): string[] {
    try {
      return readdirSync(this.directory).toSorted();
    } catch {
      return [];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.files.stop();
    rmSync(join(this.directory, '..'), { recursive: true });
  }
}

test('FX-100: a file says that an endpoint is up once it is in the kernel, and goes with it', async () => {
  await using stage = new Stage();
  stage.files.setDirectory(stage.directory);
  stage.files.start();
  let release: (result: Result<void>) => void = () => undefined;
  stage.answers.set('late', () => new Promise((resolve) => (release = resolve)));
  stage.put('late', '10.244.1.2');
  stage.put('soon', '10.244.1.3');
  await stage.holds('soon');
  release(ok(undefined));
  await stage.holds('late', 'soon');
  const text = readFileSync(join(stage.directory, 'k8s default%2Flate eth0'), 'utf8');
  assert.deepEqual(JSON.parse(text), {
    ifaceName: 'calilate',
    mac: 'aa:bb:cc:00:00:01',
    ipv4Nets: ['10.244.1.2/32'],
    ipv6Nets: ['fd00::2/128'],
  });
  stage.remove('soon');
  await stage.holds('late');
});

test('FX-100: other addresses are another endpoint: its file goes until they are in the kernel, too', async () => {
  await using stage = new Stage();
  stage.files.setDirectory(stage.directory);
  stage.files.start();
  stage.put('a', '10.244.1.2');
  await stage.holds('a');
  let release: (result: Result<void>) => void = () => undefined;
  stage.answers.set('a', () => new Promise((resolve) => (release = resolve)));
  stage.put('a', '10.244.1.9');
  await stage.holds();
  release(ok(undefined));
  await stage.holds('a');
});

test('FX-100: what the kernel refuses is asked for again; what an earlier run wrote stays until it is known better', async () => {
  await using stage = new Stage();
  mkdirSync(stage.directory);
  for (const name of ['stays', 'gone'])
    writeFileSync(join(stage.directory, `k8s default%2F${name} eth0`), '{}');
  stage.files.setDirectory(stage.directory);
  let asked = 0;
  stage.answers.set('stays', () => {
    asked++;
    return Promise.resolve(asked === 1 ? err(failure('Refused', 'not now')) : ok(undefined));
  });
  stage.put('stays', '10.244.1.2');
  assert.equal(asked, 0, 'nobody is asked before the kernel was read');
  assert.equal(stage.list().length, 2);
  stage.files.start();
  await stage.holds('stays');
  const file = join(stage.directory, 'k8s default%2Fstays eth0');
  assert.ok(await until(() => (readFileSync(file, 'utf8') === '{}' ? undefined : true), limits));
  assert.equal(asked, 2);
});

test('FX-100: the directory follows the configuration; none is none', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.link('calia');
  const { store } = cluster;
  store.put('WorkloadEndpoint', endpoint('a', '10.244.1.2'));
  const agent = cluster.start();
  const expected = ['k8s default%2Fa eth0'];
  const has = (name: string, files: string[]) =>
    until(() => (cluster.files(name).join() === files.join() ? true : undefined), limits);
  try {
    expect(await agent.ready, 'ready');
    assert.ok(await has('endpoint-status', expected));
    const felix = (prefix: string) =>
      object('FelixConfiguration', 'node.n1', { endpointStatusPathPrefix: prefix });
    store.put('FelixConfiguration', felix(join(cluster.directory, 'elsewhere')));
    assert.ok(await has('elsewhere/endpoint-status', expected));
    assert.ok(await has('endpoint-status', []));
    store.put('FelixConfiguration', felix('none'));
    assert.ok(await has('elsewhere/endpoint-status', []));
  } finally {
    await agent.stop();
  }
});
