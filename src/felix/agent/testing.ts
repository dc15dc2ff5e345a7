// What the tests of the agent start from: a cluster with its datastore and one host in memory, on which agents come and go.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import type { Address } from '../../lib/ip/mod.ts';
import { MemoryStore } from '../../datastore/mod.ts';
import { FakeHost, mainTable } from '../../kernel/mod.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { startAgent } from './agent.ts';
import type { Agent, AgentOptions, AgentPaths } from './types.ts';

export const object = <K extends KindName>(
  kind: K,
  name: string,
  spec: object,
  namespace?: string,
): ResourceOf<K> =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec,
  }) as unknown as ResourceOf<K>;
export const pod = (name: string, address: string) =>
  object(
    'WorkloadEndpoint',
    name,
    { node: 'n1', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], containerID: name },
    'default',
  );

export class Cluster {
  readonly store = new MemoryStore();
  readonly host = new FakeHost();
  readonly directory = mkdtempSync(join(tmpdir(), 'margay-agent-'));

  get paths(): AgentPaths {
    const path = (name: string): string => join(this.directory, name);
    return {
      nodename: path('nodename'),
      mtu: path('mtu'),
      cniSocket: path('cni.sock'),
      cniState: path('cni'),
      wireguard: path('wireguard.json'),
      bgpSocket: path('bgp.sock'),
      felixConfig: path('felix.cfg'),
      endpointStatus: path('endpoint-status'),
    };
  }

  async prepare(): Promise<void> {
    const eth0 = expect(
      await this.host
        .kernel()
        .links.create({ name: 'eth0', kind: 'veth', mtu: 1400, up: true, peer: { name: 'far' } }),
      'eth0',
    );
    await this.host
      .kernel()
      .addresses.apply([
        { op: 'add', address: { address: '10.0.0.1' as Address, length: 24, linkIndex: eth0.index } },
      ]);
    await this.store.open().create('Node', object('Node', 'n1', {}));
  }

  start(environment: Record<string, string> = {}, more: Partial<AgentOptions> = {}): Agent {
    return startAgent({
      nodeName: 'n1',
      datastore: this.store.open(),
      kernel: this.host.kernel(),
      openNamespace: (netns) => this.host.openKernel({ netns }),
      environment: { FELIX_IPV6SUPPORT: 'false', ...environment },
      paths: this.paths,
      logger: silentLogger,
      serveCni: true,
      ...more,
    });
  }

  async link(name: string): Promise<void> {
    const made = await this.host
      .kernel()
      .links.create({ name, kind: 'veth', up: true, peer: { name: `p${name}` } });
    expect(made, name);
  }

  async routes(): Promise<string[]> {
    const routes = expect(await this.host.kernel().routes.list({ table: mainTable, family: 4 }), 'routes');
    return routes.filter((r) => r.protocol !== 2).map((r) => r.dst);
  }

  file(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8');
  }

  /** Names in a directory of the node; none when it is not there. */
  files(name: string): string[] {
    const path = join(this.directory, name);
    return existsSync(path) ? readdirSync(path).toSorted() : [];
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}
