// Felix's dataplane on the fake kernel, with what limits of bandwidth are there; for tests.
import assert from 'node:assert/strict';
import { expect } from '../../../lib/result.ts';
import { until } from '../../../lib/wait.ts';
import { FakeHost, type Kernel, type Link } from '../../../kernel/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../../calc/mod.ts';
import { Dataplane } from '../dataplane.ts';

/** A pod's endpoint at `cali<name>` with these limits. */
export const limits = (qosControls: object, name = 'a'): CalcUpdate =>
  ({
    type: 'set',
    kind: 'WorkloadEndpoint',
    object: {
      apiVersion: 'projectcalico.org/v3',
      kind: 'WorkloadEndpoint',
      metadata: { name, namespace: 'default' },
      spec: {
        node: 'n1',
        interfaceName: `cali${name}`,
        ipNetworks: ['10.244.1.5/32'],
        containerID: name,
        qosControls,
      },
    },
  }) as unknown as CalcUpdate;
export const withoutPod = (name: string): CalcUpdate => ({
  type: 'delete',
  kind: 'WorkloadEndpoint',
  name: { name, namespace: 'default' },
});

export class Bench implements AsyncDisposable {
  readonly host: FakeHost;
  readonly kernel: Kernel;
  readonly graph = new CalculationGraph({ nodeName: 'n1', policy: true });
  readonly dataplane: Dataplane;

  constructor(host = new FakeHost()) {
    this.host = host;
    this.kernel = host.kernel();
    this.dataplane = new Dataplane({ kernel: this.kernel, policy: true });
  }

  update(...updates: CalcUpdate[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  async start(...updates: CalcUpdate[]): Promise<void> {
    this.update(...updates);
    expect(await this.dataplane.start(), 'start');
    await this.settled();
  }

  async settled(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 60));
    await this.dataplane.idle();
  }

  async veth(name: string): Promise<number> {
    const spec = { name, kind: 'veth', up: true, peer: { name: `p${name}` } } as const;
    return expect(await this.kernel.links.create(spec), 'create').index;
  }

  async link(name: string): Promise<Link | undefined> {
    return expect(await this.kernel.links.get(name), 'get');
  }

  /** Bytes per second of the bucket on each device. */
  async rates(): Promise<Readonly<Record<string, number>>> {
    const found: Record<string, number> = {};
    for (const link of expect(await this.kernel.links.list(), 'links'))
      for (const { bucket } of expect(await this.kernel.qdiscs.list(link.index), 'queueing'))
        if (bucket !== undefined) found[link.name] = bucket.rateBytesPerSecond;
    return found;
  }

  /** Names of the devices that packets from a workload are led to; undefined: they are not. */
  async way(name = 'calia'): Promise<string | undefined> {
    const index = (await this.link(name))?.index ?? 0;
    const [redirect] = expect(await this.kernel.redirects.list(index), 'redirects');
    if (redirect === undefined) return undefined;
    const links = expect(await this.kernel.links.list(), 'links');
    return links.find((link) => link.index === redirect.targetIndex)?.name ?? 'nowhere';
  }

  async becomes(expected: Readonly<Record<string, number>>, way: string | undefined): Promise<void> {
    await until(
      async () =>
        JSON.stringify(await this.rates()) === JSON.stringify(expected) && (await this.way()) === way
          ? true
          : undefined,
      { timeoutMs: 5000 },
    );
    assert.deepEqual(await this.rates(), expected);
    assert.equal(await this.way(), way);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
    await this.kernel.close();
  }
}
