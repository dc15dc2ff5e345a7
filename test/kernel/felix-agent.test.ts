// `margay agent` as a process against `margay apiserver`: the whole way from a Pod to a route, the agent killed under
// traffic, the API server gone and back.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../../src/lib/wait.ts';
import { interfaceNameFor } from '../../src/model/mod.ts';
import { type KernelEvent } from '../../src/kernel/mod.ts';
import { TestNode, unable } from './support/felix-node.ts';

const skip = unable('curl') ?? false;
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const server = 'http://10.0.0.254:6443';
const pods = { a: '10.244.1.2', b: '10.244.1.3' } as const;

class Cluster {
  readonly node: TestNode;
  readonly directory = mkdtempSync(join(tmpdir(), 'felix-agent-'));
  #apiserver: ChildProcess | undefined;

  constructor(node: TestNode) {
    this.node = node;
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server } }],
      users: [{ name: 'u', user: {} }],
    };
    writeFileSync(join(this.directory, 'kubeconfig'), JSON.stringify(kubeconfig));
  }

  async startApiServer(): Promise<void> {
    const argv = [
      'apiserver',
      '--listen',
      '10.0.0.254:6443',
      '--data',
      join(this.directory, 'data'),
      '--durability',
      'process',
    ];
    this.#apiserver = this.node.spawn('out', [process.execPath, main, ...argv]);
    await new Promise((resolve) => this.#apiserver?.stdout?.once('data', resolve));
  }

  async stopApiServer(): Promise<void> {
    await killed(this.#apiserver);
  }

  /** From the namespace of the API server: this test's own has no way there. */
  async request(method: string, path: string, body?: object, type = 'application/json'): Promise<void> {
    const { code, output } = await this.node.run('out', [
      'curl',
      '-sS',
      '--fail-with-body',
      '-X',
      method,
      `${server}${path}`,
      ...(body === undefined ? [] : ['-H', `content-type: ${type}`, '-d', JSON.stringify(body)]),
    ]);
    assert.equal(code, 0, output);
  }

  createNode(): Promise<void> {
    return this.request('POST', '/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n1' },
      spec: {},
    });
  }

  async createPod(name: string, address: string): Promise<void> {
    const annotations = {
      'cni.projectcalico.org/podIP': `${address}/32`,
      'cni.projectcalico.org/podIPs': `${address}/32`,
    };
    await this.request('POST', '/api/v1/namespaces/default/pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', annotations },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] },
    });
  }

  startAgent(): ChildProcess {
    const argv = [
      'agent',
      '--kubeconfig',
      join(this.directory, 'kubeconfig'),
      '--nodename',
      'n1',
      '--state-directory',
      this.directory,
    ];
    return this.node.spawn('node', [
      'env',
      'FELIX_IPV6SUPPORT=false',
      'CALICO_IPV4POOL_CIDR=10.244.0.0/16',
      'FELIX_HEALTHENABLED=true',
      'MARGAY_LOG=error',
      process.execPath,
      main,
      ...argv,
    ]);
  }

  async ready(): Promise<void> {
    const healthy = await until(
      async () => {
        const { output } = await this.node.run('node', ['curl', '-s', 'http://localhost:9099/readiness']);
        return output === 'ok\n' ? true : undefined;
      },
      { timeoutMs: 15_000, everyMs: 100 },
    );
    assert.ok(healthy, 'the agent becomes ready');
  }

  routes(): string {
    return this.node.ip('node', 'route show');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopApiServer();
    rmSync(this.directory, { recursive: true });
  }
}

async function killed(child: ChildProcess | undefined, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

test('SR-022, FX-009, BG-082: from Pods to packets; agent killed under traffic; API server gone and back', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using cluster = new Cluster(node);
  node.ip('node', 'link set lo up');
  const links = Object.fromEntries(
    Object.keys(pods).map((name) => [name, interfaceNameFor('default', name)]),
  );
  for (const [name, address] of Object.entries(pods)) await node.pod(name, address, links[name]);

  // The agent waits for a datastore that is not there yet.
  const first = cluster.startAgent();
  await cluster.startApiServer();
  await cluster.createNode();
  for (const [name, address] of Object.entries(pods)) await cluster.createPod(name, address);
  await cluster.ready();
  assert.ok(await node.pingWorks('a', pods.b));
  assert.equal(readFileSync(join(cluster.directory, 'var/lib/calico/nodename'), 'utf8'), 'n1');
  assert.equal(readFileSync(join(cluster.directory, 'var/lib/calico/mtu'), 'utf8'), '1500');

  const events: KernelEvent[] = [];
  const subscription = node.kernel.subscribe(['routes', 'nftables'], (event) => {
    if (event.type !== 'route' && event.type !== 'route-deleted') events.push(event);
    else if (event.route.protocol !== 2) events.push(event);
  });
  const traffic = node.run('a', ['ping', '-n', '-q', '-i', '0.01', '-c', '400', pods.b]);
  await killed(first);
  const second = cluster.startAgent();
  await cluster.ready();
  assert.match((await traffic).output, /400 received, 0% packet loss/);
  assert.deepEqual(events, [], 'the restart touched nothing');

  await cluster.stopApiServer();
  assert.ok(await node.pingWorks('a', pods.b));
  assert.deepEqual(events, [], 'a lost datastore changes nothing');
  await cluster.startApiServer();
  await cluster.request('DELETE', '/api/v1/namespaces/default/pods/b?gracePeriodSeconds=0');
  const gone = await until(() => (cluster.routes().includes(pods.b) ? undefined : true), {
    timeoutMs: 15_000,
    everyMs: 100,
  });
  assert.ok(gone, 'the difference arrives');
  assert.match(cluster.routes(), new RegExp(pods.a));
  subscription.close();

  await killed(second, 'SIGTERM');
  assert.match(cluster.routes(), new RegExp(pods.a), 'the dataplane stays');
});
