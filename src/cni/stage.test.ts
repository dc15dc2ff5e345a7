// What the tests of the plugin's agent side start from: a machine with kernel, datastore and agent in memory, and requests
// over the agent's own socket. The test of this file is of the machine.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { systemClock } from '../lib/clock.ts';
import { address, prefix } from '../lib/ip/mod.ts';
import { silentLogger } from '../lib/log.ts';
import { ok } from '../lib/result.ts';
import { type Datastore, MemoryStore } from '../datastore/mod.ts';
import { createIpam } from '../ipam/mod.ts';
import { FakeHost, type Kernel } from '../kernel/mod.ts';
import { conflist } from './install.ts';
import { startCniServer } from './mod.ts';
import { encodeRequest } from './request.ts';
import type { CniResponse, CniServer } from './types.ts';

export const pool = prefix('10.244.0.0/24');

/** One machine with its datastore; agents come and go on it. */
export class Machine {
  readonly store = new MemoryStore();
  readonly host = new FakeHost();
  readonly directory = mkdtempSync(join(tmpdir(), 'margay-cni-'));
  readonly programmed = new Set<string>();
  readonly #servers: CniServer[] = [];
  /** Why the agent is not ready, as it says itself. */
  notReady: string | undefined;
  isLocked = false;

  constructor() {
    const v3 = 'projectcalico.org/v3';
    this.store.put('Namespace', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'default' },
    } as never);
    this.store.put('IPPool', {
      apiVersion: v3,
      kind: 'IPPool',
      metadata: { name: 'pool-1' },
      spec: { cidr: pool, blockSize: 29 },
    } as never);
    this.store.put('Node', { apiVersion: v3, kind: 'Node', metadata: { name: 'node1' }, spec: {} } as never);
  }

  addPod(name: string, annotations: Record<string, string> = {}): void {
    this.store.put('Pod', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', annotations },
      spec: { nodeName: 'node1', containers: [{ name: 'main' }] },
    } as never);
  }

  /** An agent whose every step goes through `wrap`. */
  async startAgent(wrap: <T extends object>(edge: T) => T = (edge) => edge): Promise<Agent> {
    const datastore = wrap<Datastore>(this.store.open());
    const kernel = wrap<Kernel>(this.host.kernel());
    const socketPath = join(this.directory, 'cni.sock');
    const server = await startCniServer({
      socketPath,
      stateDirectory: join(this.directory, 'endpoints'),
      nodeName: 'node1',
      datastore,
      ipam: createIpam(datastore, { clock: systemClock, logger: silentLogger }),
      kernel,
      openNamespace: async (netns) => {
        const opened = await this.host.openKernel({ netns });
        return opened.ok ? ok(wrap(opened.value)) : opened;
      },
      endpoints: {
        program: async (endpoint) => {
          this.programmed.add(endpoint.spec.interfaceName ?? '');
          return ok(undefined);
        },
        restore: () => {},
        remove: async (endpoint) => void this.programmed.delete(endpoint.spec.interfaceName ?? ''),
      },
      interfacePrefix: () => 'cali',
      podMtu: () => 1450,
      notReady: () => this.notReady,
      isLocked: () => this.isLocked,
      onEtcd: false,
      logger: silentLogger,
    });
    assert.ok(server.ok);
    this.#servers.push(server.value);
    return new Agent(server.value, socketPath);
  }

  /** Every address that any block has given out. */
  allocated(): string[] {
    const found: string[] = [];
    for (const block of this.store.all('IPAMBlock')) {
      const base = address(block.spec.cidr.split('/')[0] ?? '');
      const last = Number(base.split('.')[3]);
      for (const [ordinal, attribute] of (block.spec.allocations ?? []).entries()) {
        if (attribute !== null && attribute !== undefined)
          found.push(base.replace(/\d+$/, String(last + ordinal)));
      }
    }
    return found.sort();
  }

  async problems(): Promise<unknown> {
    const checked = await createIpam(this.store.open(), { clock: systemClock, logger: silentLogger }).check();
    assert.ok(checked.ok);
    return checked.value.filter((p) => p.code !== 'AffinityUnfinished');
  }

  async hostLinks(): Promise<string[]> {
    const links = await this.host.kernel().links.list();
    assert.ok(links.ok);
    return links.value.map((l) => l.name).filter((n) => n.startsWith('cali'));
  }

  async discard(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export type Request = {
  command: string;
  container: string;
  pod?: string;
  netns?: string;
  ifName?: string;
  extra?: object;
  program?: 'calico' | 'calico-ipam';
  path?: string;
};

export class Agent {
  readonly server: CniServer;
  readonly #socketPath: string;

  constructor(server: CniServer, socketPath: string) {
    this.server = server;
    this.#socketPath = socketPath;
  }

  run(request: Request): Promise<CniResponse> {
    const [plugin] = (conflist({ portmap: false }) as { plugins: object[] }).plugins;
    const bytes = encodeRequest({
      program: request.program ?? 'calico',
      arguments: [],
      environment: {
        CNI_COMMAND: request.command,
        CNI_CONTAINERID: request.container,
        CNI_NETNS: request.netns ?? '',
        CNI_IFNAME: request.ifName ?? 'eth0',
        CNI_PATH: request.path ?? '/opt/cni/bin',
        ...(request.pod === undefined
          ? {}
          : { CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${request.pod}` }),
      },
      input: JSON.stringify({ ...plugin, name: 'k8s-pod-network', cniVersion: '1.1.0', ...request.extra }),
    });
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect({ path: this.#socketPath, allowHalfOpen: true }, () => socket.end(bytes));
      socket.on('error', reject);
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('end', () => {
        const all = Buffer.concat(chunks);
        resolve({ exitCode: all[0] ?? -1, output: all.subarray(1).toString() });
      });
    });
  }
}

export type Added = { ips: { address: string }[]; interfaces: { name: string; mac: string; mtu?: number }[] };
export const added = (response: CniResponse): Added => {
  assert.equal(response.exitCode, 0, response.output);
  return JSON.parse(response.output) as Added;
};

export async function withMachine(
  work: (machine: Machine, netns: (name: string) => Promise<string>) => Promise<void>,
): Promise<void> {
  const machine = new Machine();
  try {
    await work(machine, async (name) => {
      const made = await machine.host.createNamedNamespace(name);
      assert.ok(made.ok);
      return made.value;
    });
  } finally {
    await machine.discard();
  }
}

it('a machine starts with nothing, and two agents of it see the same', () =>
  withMachine(async (machine, netns) => {
    machine.addPod('web');
    assert.deepEqual([machine.allocated(), await machine.hostLinks()], [[], []]);
    const first = await machine.startAgent();
    added(await first.run({ command: 'ADD', container: 'c1', pod: 'web', netns: await netns('web') }));
    await first.server.stop();
    const second = await machine.startAgent();
    const gone = await second.run({ command: 'DEL', container: 'c1', pod: 'web' });
    assert.equal(gone.exitCode, 0, gone.output);
    assert.deepEqual(machine.allocated(), []);
  }));
