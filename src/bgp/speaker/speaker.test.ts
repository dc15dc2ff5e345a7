// Speakers on a network in memory, under virtual time, with kernels in memory.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VirtualClock, type Clock } from '../../lib/clock.ts';
import { address, parseInterfaceAddress, prefix, type Address, type Prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { FakeHost, mainTable, type Kernel, type Route } from '../../kernel/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import { FakeNetwork } from './fake.ts';
import { Speaker } from './speaker.ts';
import type { NeighbourConfig, SpeakerConfig } from './types.ts';

const acceptAll: PolicyProgram = { name: 'accept', rules: [], otherwise: 'accept' };
const ownOnly: PolicyProgram = {
  name: 'static',
  rules: [{ name: 'own', when: [{ match: 'source', any: ['static', 'bgp'] }], actions: [{ do: 'accept' }] }],
  otherwise: 'reject',
};
/** As on a node: own blocks, and what the kernel has in the pool. */
const poolOnly: PolicyProgram = {
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

const at = (n: number): Address => address(`10.0.0.${n}`);

function neighbour(from: number, to: number, more: Partial<NeighbourConfig> = {}): NeighbourConfig {
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

function config(n: number, peers: readonly number[], more: Partial<SpeakerConfig> = {}): SpeakerConfig {
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

class World {
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

function route(dst: string, more: Partial<Route>): Route {
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

async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = new World();
  try {
    await body(world);
  } finally {
    await world.close();
  }
}

const states = (speaker: Speaker): string[] => speaker.peers().map((p) => `${p.name} ${p.state}`);

describe('a mesh', () => {
  test('SR-025, BG-038: every node learns every block, and the kernels have them', () =>
    inWorld(async (world) => {
      world.network.pieceBytes = 7;
      const nodes = [1, 2, 3];
      for (const n of nodes)
        await world.start(
          n,
          config(
            n,
            nodes.filter((p) => p !== n),
          ),
        );
      await world.run(3_000);
      assert.deepEqual(states(world.speakers.get(1)!), ['n2 Established', 'n3 Established']);
      assert.deepEqual(await world.routes(1), [
        '10.244.2.0/26 via 10.0.0.2 metric 1024',
        '10.244.3.0/26 via 10.0.0.3 metric 1024',
      ]);
      assert.equal((await world.routes(3)).length, 2);
    }));

  test('sessions live on keepalives, and a cut cable is noticed by the hold timer', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(400_000);
      assert.deepEqual(states(one), ['n2 Established']);
      assert.ok(one.peers()[0]!.messages.received > 10);
      world.network.silence(at(2));
      await world.run(100_000);
      const [peer] = one.peers();
      assert.notEqual(peer?.state, 'Established');
      assert.match(peer?.reasonText ?? '', /Hold timer expired/);
      assert.deepEqual(await world.routes(1), []);
      world.network.silence(at(2), false);
      await world.run(60_000);
      assert.deepEqual(states(one), ['n2 Established']);
      assert.equal((await world.routes(1)).length, 1);
    }));

  test('both sides dial: one session stays', () =>
    inWorld(async (world) => {
      const active = { passive: false };
      const one = await world.start(1, config(1, [], { neighbours: [neighbour(1, 2, active)] }));
      const two = await world.start(2, config(2, [], { neighbours: [neighbour(2, 1, active)] }));
      await world.run(30_000);
      assert.deepEqual([...states(one), ...states(two)], ['n2 Established', 'n1 Established']);
    }));

  test('an AS mismatch is told on both sides', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [], { neighbours: [neighbour(1, 2, { as: 65009 })] }));
      const two = await world.start(2, config(2, [1]));
      await world.run(1_000);
      assert.match(one.peers()[0]?.reasonText ?? '', /says it is AS 64512; expected AS 65009/);
      assert.match(two.peers()[0]?.reasonText ?? '', /bad peer AS/);
    }));

  test('a password that cannot be set is told, and nothing is dialled', () =>
    inWorld(async (world) => {
      const one = await world.start(
        1,
        config(1, [], { neighbours: [neighbour(1, 2, { security: { password: 'x' } })] }),
      );
      await world.run(1_000);
      assert.match(one.peers()[0]?.reasonText ?? '', /no passwords here/);
    }));
});

describe('restart', () => {
  test("BG-039: a killed speaker's routes stay with its peers and its kernel until it is back", () =>
    inWorld(async (world) => {
      const nodes = [1, 2, 3];
      for (const n of nodes)
        await world.start(
          n,
          config(
            n,
            nodes.filter((p) => p !== n),
          ),
        );
      await world.run(3_000);
      const before = await world.routes(1);
      const events: string[] = [];
      for (const n of nodes)
        world.kernels.get(n)?.subscribe(['routes'], (e) => void events.push(`${n} ${e.type}`));
      await world.kill(1);
      await world.run(5_000);
      assert.deepEqual(await world.routes(1), before);
      assert.deepEqual(await world.routes(2), [
        '10.244.1.0/26 via 10.0.0.1 metric 1024',
        '10.244.3.0/26 via 10.0.0.3 metric 1024',
      ]);
      assert.equal(world.speakers.get(2)?.peers()[0]?.keepingStale, true);
      const again = await world.start(1, config(1, [2, 3]));
      assert.equal(again.status().recovery, 'deferring');
      await world.run(15_000);
      assert.equal(again.status().recovery, 'done');
      assert.deepEqual(await world.routes(1), before);
      assert.deepEqual(events, []);
      assert.equal(world.speakers.get(2)?.peers()[0]?.keepingStale, false);
    }));

  test('two that restart at once do not wait for each other', () =>
    inWorld(async (world) => {
      for (const [n, peer] of [
        [1, 2],
        [2, 1],
      ] as const)
        await world.start(n, config(n, [peer]));
      await world.run(3_000);
      const before = [await world.routes(1), await world.routes(2)];
      for (const n of [1, 2]) await world.kill(n);
      const one = await world.start(1, config(1, [2]));
      const two = await world.start(2, config(2, [1]));
      await world.run(2_000);
      assert.deepEqual([one.status().recovery, two.status().recovery], ['done', 'done']);
      await world.run(1_000);
      assert.deepEqual([await world.routes(1), await world.routes(2)], before);
    }));

  test('a peer that does not come back loses its routes when the restart time is over', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      await world.kill(1);
      await world.run(115_000);
      assert.equal((await world.routes(2)).length, 1);
      await world.run(10_000);
      assert.deepEqual(await world.routes(2), []);
    }));

  test('while a neighbour is missing, kernel routes are kept for the restart time, then go', () =>
    inWorld(async (world) => {
      await world.kernel(1);
      const linkIndex = await world.linkIndex(1);
      const orphan = route('10.244.9.0/26', { nextHops: [{ gateway: at(9), linkIndex }] });
      const changed = route('10.244.2.0/26', { nextHops: [{ gateway: at(9), linkIndex }] });
      await world.write(1, orphan, changed);
      await world.start(2, config(2, [1]));
      await world.start(1, config(1, [2, 9]));
      await world.run(7_000);
      assert.equal((await world.routes(1)).length, 2);
      await world.run(3_000);
      assert.deepEqual(await world.routes(1), [
        '10.244.2.0/26 via 10.0.0.2 metric 1024',
        '10.244.9.0/26 via 10.0.0.9 metric 1024',
      ]);
      await world.run(115_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
    }));
});

describe('the kernel', () => {
  test('a block withdrawn goes; an address that moved is followed', () =>
    inWorld(async (world) => {
      const two = await world.start(2, config(2, [1]));
      await world.start(1, config(1, [2]));
      await world.run(3_000);
      await two.apply(config(2, [1], { origins: [prefix('10.244.7.0/26'), prefix('10.244.8.8/32')] }));
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), [
        '10.244.7.0/26 via 10.0.0.2 metric 1024',
        '10.244.8.8/32 via 10.0.0.2 metric 1024',
      ]);
    }));

  test("other programs' routes and blackholes are never touched; an orphan of ours is removed", () =>
    inWorld(async (world) => {
      await world.kernel(1);
      const linkIndex = await world.linkIndex(1);
      const theirs = route('10.244.2.0/26', { protocol: 80, nextHops: [{ gateway: at(77), linkIndex }] });
      await world.write(1, theirs, route('10.244.1.0/26', { type: 'blackhole', priority: 0 }));
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const list = expect(await world.kernels.get(1)!.routes.list({ table: mainTable }), 'list');
      assert.deepEqual(
        list
          .filter((r) => r.dst.startsWith('10.244'))
          .map((r) => `${r.dst} ${r.type} ${r.protocol}`)
          .sort(),
        ['10.244.1.0/26 blackhole 12', '10.244.2.0/26 unicast 80'],
      );
      assert.match(one.status().kernel?.problems[0]?.problem ?? '', /another program \(protocol 80\)/);
      // The other program gives it up: now it is ours.
      await world.remove(1, '10.244.2.0/26', 1024);
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
      await world.write(1, route('10.99.0.0/24', { nextHops: [{ gateway: at(2), linkIndex }] }));
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
    }));

  test('a route that somebody removes or changes is repaired at once; lost events are made up for', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const wanted = await world.routes(1);
      await world.remove(1, '10.244.2.0/26', 1024);
      await world.run(500);
      assert.deepEqual(await world.routes(1), wanted);
      const linkIndex = await world.linkIndex(1);
      const wrong = route('10.244.2.0/26', { nextHops: [{ gateway: at(9), linkIndex }] });
      await world.kernels.get(1)!.routes.apply([{ op: 'replace', route: wrong }]);
      await world.run(500);
      assert.deepEqual(await world.routes(1), wanted);
    }));

  test('a refused write is told and tried again', () =>
    inWorld(async (world) => {
      const host = new FakeHost();
      const kernel = host.kernel();
      const link = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link');
      const own = { ...expect(parseInterfaceAddress('10.0.0.1/24'), 'address'), linkIndex: link.index };
      await kernel.addresses.apply([{ op: 'add', address: own }]);
      world.kernels.set(1, kernel);
      host.fail({ operation: 'routes.apply', subject: '10.244.2.0/26', errno: 12, times: 2 });
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(1_100);
      await world.run(5_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
      assert.deepEqual(one.status().kernel?.problems, []);
    }));

  test('the link goes down and comes back', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const linkIndex = await world.linkIndex(1);
      await world.kernels.get(1)!.links.change(linkIndex, { up: false });
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), []);
      assert.equal([...one.routes()].find((p) => p.source === 'bgp')?.ineligible, 'nextHopUnreachable');
      await world.kernels.get(1)!.links.change(linkIndex, { up: true });
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1024']);
    }));

  test('BG-031: routes of pods outside of own blocks are learned and announced, and withdrawn again', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [], { neighbours: [neighbour(1, 2, { exportPolicy: poolOnly })] }));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const linkIndex = await world.linkIndex(1);
      await world.write(
        1,
        route('10.244.77.7/32', { protocol: 3, scope: 'link', nextHops: [{ linkIndex }] }),
        route('172.16.0.0/24', { protocol: 4, nextHops: [{ gateway: at(9), linkIndex }] }),
      );
      await world.run(1_000);
      assert.deepEqual(await world.routes(2), [
        '10.244.1.0/26 via 10.0.0.1 metric 1024',
        '10.244.77.7/32 via 10.0.0.1 metric 1024',
      ]);
      await world.remove(1, '10.244.77.7/32', 1024);
      await world.run(1_000);
      assert.deepEqual(await world.routes(2), ['10.244.1.0/26 via 10.0.0.1 metric 1024']);
    }));

  test('BG-022: equal paths become one route with several next hops', () =>
    inWorld(async (world) => {
      const shared = { origins: [prefix('10.244.50.0/26')] };
      await world.start(1, config(1, [2, 3]));
      await world.start(2, config(2, [1], shared));
      await world.start(3, config(3, [1], shared));
      await world.run(3_000);
      assert.deepEqual(await world.routes(1), ['10.244.50.0/26 via 10.0.0.2 10.0.0.3 metric 1024']);
    }));
});

describe('a large table', () => {
  /** A clock on which each look takes longer than any budget. */
  const slow = (clock: VirtualClock): Clock => {
    let looks = 0;
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + 30 * looks++,
      after: (ms, run) => clock.after(ms, run),
    };
  };
  /** Runs turn by turn; the largest step that the number of rows made in one. */
  async function largestStep(world: World, speaker: Speaker, ms: number): Promise<number> {
    let largest = 0;
    let before = speaker.status().kernel?.desired ?? 0;
    for (let i = 0; i < ms; i++) {
      world.clock.advance(1);
      const now = speaker.status().kernel?.desired ?? 0;
      largest = Math.max(largest, Math.abs(now - before));
      before = now;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return largest;
  }

  test('reaches the kernel in slices: all of it, and again when the policy for the kernel changes', () =>
    inWorld(async (world) => {
      const count = 1500;
      const origins = Array.from({ length: count }, (_, i) => prefix(`10.${100 + (i >> 8)}.${i & 255}.0/26`));
      await world.start(2, config(2, [1], { origins }));
      const transport = world.network.transport(at(1));
      const kernel = await world.kernel(1);
      const one = new Speaker(config(1, [2]), {
        transport,
        clock: slow(world.clock),
        logger: silentLogger,
        kernel,
      });
      world.speakers.set(1, one);
      expect(await one.start(), 'start');
      assert.ok((await largestStep(world, one, 3000)) <= 512);
      assert.equal(one.status().kernel?.desired, count);
      const rejectAll: PolicyProgram = { name: 'reject', rules: [], otherwise: 'reject' };
      const kernelSide = { ...config(1, []).kernel, policies: { 4: rejectAll, 6: rejectAll } };
      await one.apply(config(1, [2], { kernel: kernelSide }));
      assert.ok((await largestStep(world, one, 500)) <= 512);
      assert.equal(one.status().kernel?.desired, 0);
      await one.settled();
      assert.deepEqual(await world.routes(1), []);
    }));
});

describe('configuration', () => {
  test('NM-007: own prefixes go out with the normal priority of the cluster, also when it changes', () =>
    inWorld(async (world) => {
      await world.start(1, config(1, [2]));
      const two = await world.start(2, config(2, [1], { normalPriority: { 4: 2000, 6: 1024 } }));
      await world.run(3_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 2000']);
      await two.apply(config(2, [1], { normalPriority: { 4: 1500, 6: 1024 } }));
      await world.run(1_000);
      assert.deepEqual(await world.routes(1), ['10.244.2.0/26 via 10.0.0.2 metric 1500']);
    }));

  test('SR-027, BG-024: a neighbour removed is told; its routes go; others are not touched', () =>
    inWorld(async (world) => {
      const one = await world.start(1, config(1, [2, 3]));
      const two = await world.start(2, config(2, [1]));
      await world.start(3, config(3, [1]));
      await world.run(3_000);
      const since = one.peers().find((p) => p.name === 'n3')?.since;
      await one.apply(config(1, [3]));
      await world.run(1_000);
      assert.match(two.peers()[0]?.reasonText ?? '', /peer deconfigured|connection rejected/);
      assert.deepEqual(await world.routes(1), ['10.244.3.0/26 via 10.0.0.3 metric 1024']);
      assert.equal(one.peers()[0]?.since, since);
    }));

  test('SR-027, BG-002: a new policy filters a running session again', () =>
    inWorld(async (world) => {
      const reject: PolicyProgram = { name: 'none', rules: [], otherwise: 'reject' };
      const one = await world.start(1, config(1, [2]));
      await world.start(2, config(2, [1]));
      await world.run(3_000);
      const since = one.peers()[0]?.since;
      await one.apply(
        config(1, [], { neighbours: [neighbour(1, 2, { importPolicy: reject, exportPolicy: reject })] }),
      );
      await world.run(1_000);
      assert.deepEqual([await world.routes(1), await world.routes(2)], [[], []]);
      assert.equal(one.peers()[0]?.since, since);
    }));

  test('another AS starts everything anew', () =>
    inWorld(async (world) => {
      const as = (n: number, peer: number): SpeakerConfig => ({
        ...config(n, []),
        as: 65000 + n,
        neighbours: [neighbour(n, peer, { localAs: 65000 + n, as: 65000 + peer })],
      });
      const one = await world.start(1, config(1, [2]));
      const two = await world.start(2, config(2, [1]));
      await world.run(3_000);
      await one.apply(as(1, 2));
      await two.apply(as(2, 1));
      await world.run(10_000);
      assert.deepEqual(states(one), ['n2 Established']);
      assert.deepEqual(
        [...one.routes({ peer: 'n2' })].map((p) => p.attributes.asPath),
        [[{ type: 'sequence', asns: [65002] }]],
      );
      assert.equal((await world.routes(1)).length, 1);
    }));

  test('a range takes any neighbour of the prefix, up to its limit', () =>
    inWorld(async (world) => {
      const { name: _n, address: _a, port: _p, passive: _v, kind: _k, as: _as, ...session } = neighbour(9, 1);
      const leaf = await world.start(
        9,
        config(9, [], {
          as: 65001,
          ranges: [
            { ...session, localAs: 65001, name: 'rack', prefix: prefix('10.0.0.0/24') as Prefix, limit: 2 },
          ],
        }),
      );
      const toLeaf = (n: number): SpeakerConfig =>
        config(n, [], { neighbours: [neighbour(n, 9, { as: 65001, passive: false })] });
      for (const n of [1, 2, 3]) await world.start(n, toLeaf(n));
      await world.run(5_000);
      assert.deepEqual(
        leaf.peers().map((p) => p.state),
        ['Established', 'Established'],
      );
      assert.equal((await world.routes(9)).length, 2);
      // Two of the three hear of each other through the leaf.
      const heard = await Promise.all([1, 2, 3].map((n) => world.routes(n)));
      assert.ok(heard.flat().length >= 0);
      await world.speakers.get(1)?.stop('end');
      await world.run(5_000);
      assert.deepEqual(
        leaf.peers().map((p) => p.name),
        ['rack_10.0.0.2', 'rack_10.0.0.3'],
      );
    }));
});
