// `margay apiserver` outside and `margay agent` on the node, as processes, in the namespaces of a TestNode.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../../../src/lib/wait.ts';
import type { TestNode } from './felix-node.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const server = 'http://10.0.0.254:6443';

export class Cluster {
  readonly node: TestNode;
  readonly directory = mkdtempSync(join(tmpdir(), 'felix-agent-'));
  readonly #program: string;
  #apiserver: ChildProcess | undefined;

  /** `program` is what runs: the sources, unless another is given. */
  constructor(node: TestNode, program = main) {
    this.node = node;
    this.#program = program;
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
    this.#apiserver = await this.node.spawnReady('out', [process.execPath, this.#program, ...argv]);
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

  /** Creates the policy of Kubernetes, or replaces it. */
  apply(policy: object): Promise<void> {
    const { namespace, name } = (policy as { metadata: { namespace: string; name: string } }).metadata;
    const path = `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies/${name}`;
    return this.request(
      'PATCH',
      `${path}?fieldManager=test&force=true`,
      policy,
      'application/apply-patch+yaml',
    );
  }

  remove(path: string): Promise<void> {
    return this.request('DELETE', path);
  }

  createNode(): Promise<void> {
    return this.request('POST', '/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n1' },
      spec: {},
    });
  }

  async createPod(
    name: string,
    address: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const annotations = {
      'cni.projectcalico.org/podIP': `${address}/32`,
      'cni.projectcalico.org/podIPs': `${address}/32`,
    };
    await this.request('POST', '/api/v1/namespaces/default/pods', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', labels, annotations },
      spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] },
    });
  }

  startAgent(logLevel = 'error'): ChildProcess {
    const argv = [
      'agent',
      '--kubeconfig',
      join(this.directory, 'kubeconfig'),
      '--nodename',
      'n1',
      '--state-directory',
      this.directory,
    ];
    // What it logs is what its reader reads.
    return this.node.spawn('node', [
      'sh',
      '-c',
      'exec "$@" 2>&1',
      'agent',
      'env',
      'FELIX_IPV6SUPPORT=false',
      'CALICO_IPV4POOL_CIDR=10.244.0.0/16',
      'FELIX_HEALTHENABLED=true',
      `MARGAY_LOG=${logLevel}`,
      process.execPath,
      this.#program,
      ...argv,
    ]);
  }

  async ready(): Promise<void> {
    let last = '';
    const healthy = await until(
      async () => {
        const { output } = await this.node.run('node', ['curl', '-s', 'http://localhost:9099/readiness']);
        last = output;
        return output === 'ok\n' ? true : undefined;
      },
      { timeoutMs: 120_000, everyMs: 100 },
    );
    assert.ok(healthy, `the agent does not become ready: ${last}`);
  }

  routes(): string {
    return this.node.ip('node', 'route show');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopApiServer();
    rmSync(this.directory, { recursive: true });
  }
}

export async function killed(
  child: ChildProcess | undefined,
  signal: NodeJS.Signals = 'SIGKILL',
): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}
