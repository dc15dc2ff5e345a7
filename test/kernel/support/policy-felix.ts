// Felix with policy on a TestNode, fed by hand: resources in, packets and counts out.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from '../../../src/lib/result.ts';
import { CalculationGraph, type CalcUpdate } from '../../../src/felix/calc/mod.ts';
import { Dataplane, systemRunner } from '../../../src/felix/dataplane/mod.ts';
import type { TestNode } from './felix-node.ts';

const connections = fileURLToPath(new URL('connections.mjs', import.meta.url));

export class PolicyFelix {
  readonly node: TestNode;
  readonly graph: CalculationGraph;
  readonly dataplane: Dataplane;
  #listeners: ChildProcess[] = [];

  constructor(node: TestNode, environment: Readonly<Record<string, string>> = {}) {
    this.node = node;
    this.graph = new CalculationGraph({ nodeName: 'n1', policy: true, environment });
    this.dataplane = new Dataplane({
      kernel: node.kernel,
      policy: true,
      commands: systemRunner({ netns: node.path('node') }),
      everything: () => this.graph.everything(),
    });
    this.set('Namespace', 'default', {}, {}, 'v1');
  }

  set(
    kind: string,
    name: string,
    spec: object,
    labels: Readonly<Record<string, string>> = {},
    apiVersion = 'projectcalico.org/v3',
  ): void {
    const namespaced = ['WorkloadEndpoint', 'NetworkPolicy', 'NetworkSet'].includes(kind);
    const metadata = { name, labels, ...(namespaced ? { namespace: 'default' } : {}) };
    this.graph.update({
      type: 'set',
      kind,
      object: { apiVersion, kind, metadata, spec },
    } as unknown as CalcUpdate);
  }

  remove(kind: string, name: string): void {
    const namespaced = ['WorkloadEndpoint', 'NetworkPolicy', 'NetworkSet'].includes(kind);
    const of = { name, ...(namespaced ? { namespace: 'default' } : {}) };
    this.graph.update({ type: 'delete', kind, name: of } as unknown as CalcUpdate);
  }

  /** An endpoint at `cali<name>`, labelled `app: <name>`, with profile kns.default. */
  endpoint(name: string, networks: readonly string[], more: object = {}): void {
    this.set(
      'WorkloadEndpoint',
      name,
      {
        node: 'n1',
        orchestrator: 'k8s',
        interfaceName: `cali${name}`,
        ipNetworks: networks,
        profiles: ['kns.default'],
        containerID: name,
        ...more,
      },
      { app: name },
    );
  }

  async start(): Promise<void> {
    this.dataplane.apply(this.graph.flush());
    expect(await this.dataplane.start(), 'start');
    await this.settled();
  }

  /** Takes what was set; everything is in the kernel. */
  async apply(): Promise<void> {
    this.dataplane.apply(this.graph.flush());
    await this.settled();
  }

  async settled(): Promise<void> {
    await this.dataplane.idle();
    for (const [name, table] of Object.entries(this.dataplane.status()))
      assert.deepEqual(table?.unfinished, [], name);
  }

  /** Listens for TCP in a part of the node. */
  async listen(part: string, ...ports: readonly number[]): Promise<void> {
    const argv = [process.execPath, connections, 'listen', ...ports.map(String)];
    this.#listeners.push(await this.node.spawnReady(part, argv));
  }

  /** `open`, `refused` or `silent`, for a TCP connection; several are held at once. */
  async connect(part: string, address: string, port: number, count = 1): Promise<readonly string[]> {
    const argv = [process.execPath, connections, 'connect', address, String(port), String(count)];
    const { output } = await this.node.run(part, argv);
    return output.trim().split('\n');
  }

  async nft(...argv: readonly string[]): Promise<string> {
    return (await this.node.run('node', ['nft', ...argv])).output;
  }

  /** How many packets the rule with this comment has counted. */
  async count(comment: string, family = 'ip'): Promise<number> {
    const listed = await this.nft('list', 'table', family, 'calico');
    const line = listed.split('\n').find((one) => one.includes(` ${comment}"`) && one.includes('counter'));
    return Number(/counter packets (\d+)/.exec(line ?? '')?.[1] ?? Number.NaN);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#listeners) child.kill('SIGKILL');
    await this.dataplane.stop();
  }
}
