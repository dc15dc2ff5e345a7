// What the tests of whole speakers share: nodes on a network in memory, under virtual time, with kernels in memory.
import assert from 'node:assert/strict';
import { VirtualClock } from '../../lib/clock.ts';
import { address, parseInterfaceAddress, prefix, type Address } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { FakeHost, mainTable, type Kernel, type Route } from '../../kernel/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import { FakeNetwork } from './fake.ts';
import { Speaker } from './speaker.ts';
import type { NeighbourConfig, SpeakerConfig } from './types.ts';

export const acceptAll: PolicyProgram = { name: 'accept', rules: [], otherwise: 'accept' };
export const ownOnly: PolicyProgram = {
  name: 'static',
  rules: [{ name: 'own', when: [{ match: 'source', any: ['static', 'bgp'] }], actions: [{ do: 'accept' }] }],
  otherwise: 'reject',
};
/** As on a node: own blocks, and what the kernel has in the pool. */
export const poolOnly: PolicyProgram = {
  name: 'pool',
  rules: [
    {
      name: 'pool',
      when: [{ match: 'prefix', any: [{ prefix: prefix('10.244.0.0/16'), min: 16, max: 32 }] }],
      actions: [{ do: 'accept' }],
    },
  ],
  otherwise: 'reject',
};

export const at = (n: number): Address => address(`10.0.0.${n}`);

export function neighbour(from: number, to: number, more: Partial<NeighbourConfig> = {}): NeighbourConfig {
  return {
    name: `n${to}`,
    kind: 'node-mesh',
    address: at(to),
    port: 179,
    as: 64512,
    localAs: 64512,
    passive: from < to,
    families: [4],
    holdTimeS: 90,
    gracefulRestartTimeS: 120,
    addPath: { receive: false, send: false },
    rrClient: false,
    nextHopMode: 'auto',
    allowLocalAs: 0,
    importPolicy: acceptAll,
    exportPolicy: ownOnly,
    ...more,
  };
}

export function config(
  n: number,
  peers: readonly number[],
  more: Partial<SpeakerConfig> = {},
): SpeakerConfig {
  return {
    name: `node${n}`,
    as: 64512,
    routerId: at(n),
    listen: { port: 179, addresses: [at(n)] },
    addresses: { 4: expect(parseInterfaceAddress(`10.0.0.${n}/24`), 'address') },
    neighbours: peers.map((p) => neighbour(n, p)),
    ranges: [],
    origins: [prefix(`10.244.${n}.0/26`)],
    learn: { kernel: true, connected: false, excludedInterfaces: [] },
    kernel: { install: true, policies: { 4: acceptAll, 6: acceptAll }, staticRoutes: [] },
    ...more,
  };
}

export class World {
  readonly clock = new VirtualClock();
  readonly network = new FakeNetwork(this.clock);
  readonly speakers = new Map<number, Speaker>();
  readonly kernels = new Map<number, Kernel>();

  /** A kernel with eth0, its address and network, and a default route. */
  async kernel(n: number): Promise<Kernel> {
    const kernel = new FakeHost().kernel();
    const link = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link');
    await kernel.addresses.apply([
      {
        op: 'add',
        address: { ...expect(parseInterfaceAddress(`10.0.0.${n}/24`), 'address'), linkIndex: link.index },
      },
    ]);
    const gateway = route('0.0.0.0/0', {
      protocol: 4,
      priority: 0,
      nextHops: [{ gateway: at(254), linkIndex: link.index }],
    });
    for (const outcome of await kernel.routes.apply([{ op: 'add', route: gateway }]))
      expect(outcome, 'default route');
    this.kernels.set(n, kernel);
    return kernel;
  }

  async start(n: number, c: SpeakerConfig): Promise<Speaker> {
    const kernel = this.kernels.get(n) ?? (await this.kernel(n));
    const transport = this.network.transport(at(n));
    const speaker = new Speaker(c, {
      transport,
      clock: this.clock,
      logger: silentLogger,
      kernel,
      random: () => 0.5,
    });
    this.speakers.set(n, speaker);
    expect(await speaker.start(), 'start');
    return speaker;
  }

  /** kill -9: sockets close, nothing else happens. */
  async kill(n: number): Promise<void> {
    const speaker = this.speakers.get(n);
    this.network.kill(at(n));
    await speaker?.stop('persist');
  }

  /** Lets virtual time and the kernels' promises run. */
  async run(ms: number): Promise<void> {
    const end = this.clock.monotonic() + ms;
    while (this.clock.monotonic() < end) {
      this.clock.advance(Math.min(50, end - this.clock.monotonic()));
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async routes(n: number): Promise<string[]> {
    const kernel = this.kernels.get(n);
    assert.ok(kernel);
    const list = expect(await kernel.routes.list({ table: mainTable, protocol: 12 }), 'list');
    return list
      .filter((r) => r.type === 'unicast')
      .map((r) => `${r.dst} via ${r.nextHops.map((h) => h.gateway).join(' ')} metric ${r.priority}`)
      .sort();
  }

  async write(n: number, ...changes: readonly Route[]): Promise<void> {
    const kernel = this.kernels.get(n);
    assert.ok(kernel);
    for (const outcome of await kernel.routes.apply(changes.map((r) => ({ op: 'add', route: r }) as const)))
      expect(outcome, 'write');
  }

  async remove(n: number, dst: string, priority: number): Promise<void> {
    const key = { dst: prefix(dst), table: mainTable, priority };
    for (const outcome of (await this.kernels.get(n)?.routes.apply([{ op: 'delete', key }])) ?? [])
      expect(outcome, 'delete');
  }

  async linkIndex(n: number): Promise<number> {
    const link = expect((await this.kernels.get(n)?.links.get('eth0'))!, 'link');
    return link?.index ?? 0;
  }

  async close(): Promise<void> {
    for (const speaker of this.speakers.values()) await speaker.stop('persist');
  }
}

export function route(dst: string, more: Partial<Route>): Route {
  return {
    dst: prefix(dst),
    type: 'unicast',
    table: mainTable,
    protocol: 12,
    scope: 'global',
    priority: 1024,
    nextHops: [],
    ...more,
  };
}

export async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = new World();
  try {
    await body(world);
  } finally {
    await world.close();
  }
}

export const states = (speaker: Speaker): string[] => speaker.peers().map((p) => `${p.name} ${p.state}`);
