// One node, twice: BIRD 2 in a network namespace with a real kernel, and the native speaker on a network and a kernel in
// memory. Both take the same plan, hear the same peers and have the same routes of other programs beside them.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BirdEngine, Leftovers } from '../../../../src/bgp/bird/mod.ts';
import type { Attributes } from '../../../../src/bgp/packet/mod.ts';
import type { BgpPlan } from '../../../../src/bgp/plan/mod.ts';
import { configFromPlan, FakeNetwork, Speaker, tcpTransport } from '../../../../src/bgp/speaker/mod.ts';
import { FakeHost, openKernel, type Kernel, type Route } from '../../../../src/kernel/mod.ts';
import { systemClock, VirtualClock } from '../../../../src/lib/clock.ts';
import { address, parseInterfaceAddress, prefix } from '../../../../src/lib/ip/mod.ts';
import { silentLogger } from '../../../../src/lib/log.ts';
import { expect } from '../../../../src/lib/result.ts';
import { ProbePeer } from '../probe-peer.ts';
import { devices, gateway, node, peers, type KernelRouteSpec, type Scenario } from './random-plan.ts';

const mainTable = 254;
const birdProtocol = 12;
const staticProtocol = 4;
/** To the subnet of the node behind the router. */
const standing: readonly KernelRouteSpec[] = [{ prefix: '10.9.1.0/24', gateway, device: 'eth0', metric: 0 }];

export type Outcome = {
  /** Per peer with a session: prefix and what was heard of it. */
  readonly exported: Readonly<Record<string, readonly string[]>>;
  readonly installed: readonly string[];
};

export interface EngineWorld {
  run(plan: BgpPlan, scenario: Scenario): Promise<Outcome>;
  close(): Promise<void>;
}

const sh = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8' });

function probes(transportOf: (name: string) => ConstructorParameters<typeof ProbePeer>[0]['transport']) {
  return new Map(
    peers.map((p) => [
      p.name,
      new ProbePeer({
        name: p.name,
        transport: transportOf(p.name),
        address: p.address,
        remote: p.address.includes(':') ? node.v6 : node.v4,
        port: 179,
        as: p.as,
        remoteAs: node.as,
        routerId: p.routerId,
        addPath: p.addPath,
      }),
    ]),
  );
}

/** Peers that the plan has a session with. */
const wanted = (plan: BgpPlan, all: ReadonlyMap<string, ProbePeer>): ProbePeer[] =>
  [...all.values()].filter((p) => plan.peers.some((q) => q.address === p.options.address));

function exportedOf(list: readonly ProbePeer[]): Outcome['exported'] {
  return Object.fromEntries(
    list.map((peer) => [
      peer.options.name,
      [...peer.heard()]
        .flatMap(([p, paths]) => paths.map((attributes) => ({ p, attributes })))
        // BIRD keeps back what has the listener's own address as next hop; whoever hears it cannot use it.
        .filter(({ attributes }) => attributes.nextHop !== peer.options.address)
        .map(({ p, attributes }) => `${p} ${describe(attributes)}`)
        .sort(),
    ]),
  );
}

/** Communities are sets: their order says nothing. */
const describe = ({ communities, largeCommunities, ...rest }: Attributes): string => {
  const whole = {
    ...rest,
    ...(communities === undefined ? {} : { communities: communities.toSorted((a, b) => a - b) }),
    ...(largeCommunities === undefined ? {} : { large: largeCommunities.map((c) => c.join(':')).toSorted() }),
  };
  const sorted = Object.entries(whole).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(Object.fromEntries(sorted), (_, v: unknown) =>
    v instanceof Uint8Array ? [...v] : v,
  );
};

/** The unicast routes of protocol `bird`. */
async function installedIn(kernel: Kernel): Promise<string[]> {
  const names = new Map(expect(await kernel.links.list(), 'links').map((l) => [l.index, l.name]));
  const list = expect(await kernel.routes.list({ table: mainTable, protocol: birdProtocol }), 'routes');
  return list
    .filter((r) => r.type === 'unicast')
    .map((r) => {
      const hops = r.nextHops
        .map(
          (h) => `${h.gateway ?? ''} dev ${names.get(h.linkIndex ?? 0)}${h.onlink === true ? ' onlink' : ''}`,
        )
        .sort();
      return `${r.dst} metric ${r.priority} via ${hops.join(' + ')}`;
    })
    .sort();
}

/** Makes the routes of other programs equal to these. */
class ForeignRoutes {
  readonly #kernel: Kernel;
  #routes = new Map<string, Route>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  async set(specs: readonly KernelRouteSpec[]): Promise<boolean> {
    const links = new Map(expect(await this.#kernel.links.list(), 'links').map((l) => [l.name, l.index]));
    const next = new Map(specs.map((s) => [JSON.stringify(s), routeOf(s, links)]));
    const gone = [...this.#routes].filter(([key]) => !next.has(key)).map(([, route]) => route);
    const come = [...next].filter(([key]) => !this.#routes.has(key)).map(([, route]) => route);
    this.#routes = next;
    if (gone.length + come.length === 0) return false;
    const done = await this.#kernel.routes.apply([
      ...gone.map(({ dst, table, priority }) => ({
        op: 'delete' as const,
        key: { dst, table, priority },
        protocol: staticProtocol,
      })),
      ...come.map((route) => ({ op: 'add' as const, route })),
    ]);
    for (const outcome of done) expect(outcome, 'route of another program');
    return true;
  }
}

function routeOf(spec: KernelRouteSpec, links: ReadonlyMap<string, number>): Route {
  const linkIndex = links.get(spec.device ?? '') ?? 0;
  return {
    dst: prefix(spec.prefix),
    type: 'unicast',
    table: mainTable,
    protocol: staticProtocol,
    scope: spec.gateway === undefined && !spec.prefix.includes(':') ? 'link' : 'global',
    priority: spec.metric,
    nextHops: [spec.gateway === undefined ? { linkIndex } : { gateway: address(spec.gateway), linkIndex }],
  };
}

// ── BIRD ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
const quietMs = 2;
const askAgainMs = 4;

export class BirdWorld implements EngineWorld {
  readonly #directory = mkdtempSync('/run/margay-differential-');
  readonly #engine: BirdEngine;
  readonly #kernel: Kernel;
  readonly #foreign: ForeignRoutes;
  readonly #peers = probes(() => tcpTransport);
  readonly #leftovers: Leftovers;

  static async open(): Promise<BirdWorld> {
    const inside = devices.map((d, i) =>
      d === 'eth0'
        ? 'ip link add eth0 netns node type veth peer name peers0'
        : `ip -n node link add ${d} type veth peer name x${i} && ip -n node link set x${i} up`,
    );
    const own = peers.map(
      (p) => `ip addr add ${p.address}/${p.address.includes(':') ? '64 nodad' : '24'} dev peers0`,
    );
    sh(
      [
        'ip netns add node',
        ...inside,
        ...devices.map((d) => `ip -n node link set ${d} up`),
        'ip -n node link set lo up',
        'ip netns exec node sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1',
        `ip -n node addr add ${node.v4}/24 dev eth0`,
        `ip -n node addr add ${node.v6}/64 dev eth0 nodad`,
        'ip link set peers0 up',
        ...own,
        `ip addr add ${gateway}/24 dev peers0`,
      ].join('\n'),
    );
    const kernel = expect(await openKernel({ netns: '/run/netns/node' }), 'kernel of the node');
    return new BirdWorld(kernel);
  }

  private constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#foreign = new ForeignRoutes(kernel);
    const program = join(this.#directory, 'bird');
    // A configuration is checked anywhere; only the daemon needs the node's namespace.
    writeFileSync(
      program,
      '#!/bin/sh\ncase "$1" in -p) exec bird "$@";; esac\nexec ip netns exec node bird "$@"\n',
    );
    chmodSync(program, 0o755);
    this.#engine = new BirdEngine({
      directory: this.#directory,
      socket: join(this.#directory, 'bird.ctl'),
      program,
      clock: systemClock,
      logger: silentLogger,
      log: process.env['DIFFERENTIAL_LOG'] === undefined ? 'ignore' : 'inherit',
    });
    this.#leftovers = new Leftovers({
      kernel,
      ask: (command) => this.#engine.ask(command),
      clock: systemClock,
      logger: silentLogger,
    });
  }

  /** BIRD's own words about its routes of a destination. */
  async tell(destination: string): Promise<string> {
    const answer = await this.#engine.ask(`show route ${destination} all`);
    return answer.ok ? answer.value.map((l) => l.text).join('\n') : answer.error.message;
  }

  async run(plan: BgpPlan, { announced, kernel }: Scenario): Promise<Outcome> {
    const learned = await this.#foreign.set([...standing, ...kernel]);
    await this.#engine.apply(plan, new Map());
    if (this.#engine.plan !== plan) throw new Error(`not taken: ${this.#engine.facts.problem}`);
    // What BIRD hears of the kernel comes by its own event.
    if (learned) await delay(quietMs);
    const list = wanted(plan, this.#peers);
    await this.#refreshed(list, (peer) => peer.announce(announced[peer.options.name] ?? []));
    return this.look(plan);
  }

  /** BIRD compares its routes with the kernel's only every 2 s, which repairs what it could not write. This way it does so now. */
  async rescan(): Promise<void> {
    for (const family of [4, 6])
      expect(await this.#engine.ask(`reload in kernel${family}`), 'scan of the kernel');
  }

  /** What everybody has been told by now: the whole table is asked for. */
  async look(plan: BgpPlan): Promise<Outcome> {
    const list = wanted(plan, this.#peers);
    await this.#refreshed(list, () => undefined);
    // One look suspects, the second removes.
    for (let i = 0; i < 2; i++) await this.#leftovers.look();
    return { exported: exportedOf(list), installed: await installedIn(this.#kernel) };
  }

  /** Every session is up, has taken what `before` says and has told everything since. */
  async #refreshed(list: readonly ProbePeer[], before: (peer: ProbePeer) => void): Promise<void> {
    const end = performance.now() + 20_000;
    const seen = new Map<ProbePeer, number>();
    let askAgainAt = performance.now() + askAgainMs;
    for (;;) {
      let done = true;
      for (const peer of list) {
        if (peer.state === 'down') {
          seen.delete(peer);
          peer.dial();
        }
        if (peer.state === 'up' && !seen.has(peer)) {
          before(peer);
          seen.set(peer, peer.refreshes);
          peer.refresh();
        }
        const at = seen.get(peer);
        if (at === undefined || peer.state !== 'up' || peer.refreshes === at) done = false;
      }
      if (done) return;
      // A request that comes while the table is being sent anyway is not answered.
      if (performance.now() > askAgainAt) {
        askAgainAt += askAgainMs;
        for (const [peer, at] of seen) if (peer.state === 'up' && peer.refreshes === at) peer.refresh();
      }
      if (performance.now() > end) {
        const late = list.map((p) => `${p.options.name} ${p.state} ${p.lastProblem}`);
        throw new Error(`BIRD did not answer in time: ${late.join(', ')}`);
      }
      await delay(1);
    }
  }

  async close(): Promise<void> {
    for (const peer of this.#peers.values()) peer.close();
    await this.#leftovers.stop();
    await this.#engine.stop();
    await this.#kernel.close();
    sh('ip netns delete node');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

// ── native ───────────────────────────────────────────────────────────────────────────────────────────────────────────
export type NativePath = ReturnType<Speaker['routes']> extends Generator<infer T> ? T : never;

export class NativeWorld implements EngineWorld {
  readonly #clock = new VirtualClock();
  readonly #network = new FakeNetwork(this.#clock);
  readonly #kernel: Kernel;
  readonly #foreign: ForeignRoutes;
  readonly #peers = probes((name) => {
    const peer = peers.find((p) => p.name === name);
    return this.#network.transport(...(peer === undefined ? [] : [peer.address]));
  });
  #speaker: Speaker | undefined;

  static async open(): Promise<NativeWorld> {
    const kernel = new FakeHost().kernel();
    for (const name of devices) {
      const link = expect(await kernel.links.create({ kind: 'dummy', name, up: true }), name);
      if (name !== 'eth0') continue;
      for (const text of [`${node.v4}/24`, `${node.v6}/64`])
        await kernel.addresses.apply([
          {
            op: 'add',
            address: { ...expect(parseInterfaceAddress(text), text), linkIndex: link.index },
          },
        ]);
    }
    return new NativeWorld(kernel);
  }

  private constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#foreign = new ForeignRoutes(kernel);
  }

  async run(plan: BgpPlan, { announced, kernel }: Scenario): Promise<Outcome> {
    await this.#foreign.set([...standing, ...kernel]);
    const config = configFromPlan(plan);
    if (config === undefined) throw new Error('a plan with a router id');
    const bound = { ...config, listen: { port: 179, addresses: [node.v4, node.v6] } };
    if (this.#speaker === undefined) {
      this.#speaker = new Speaker(bound, {
        transport: this.#network.transport(node.v4, node.v6),
        clock: this.#clock,
        logger: silentLogger,
        kernel: this.#kernel,
        random: () => 0.5,
      });
      expect(await this.#speaker.start(), 'speaker');
    } else await this.#speaker.apply(bound);
    const list = wanted(plan, this.#peers);
    // Sessions that the plan ended hear of it first.
    await this.#advance(20);
    for (let round = 0; list.some((p) => p.state !== 'up'); round++) {
      if (round > 100)
        throw new Error(`no session: ${list.map((p) => `${p.options.name} ${p.lastProblem}`).join()}`);
      for (const peer of list) peer.dial();
      await this.#advance(round < 3 ? 20 : 500);
    }
    for (const peer of list) {
      peer.announce(announced[peer.options.name] ?? []);
      peer.keepalive();
    }
    await this.#advance(300);
    // A new identity is a restart: it waits for everybody's table, then keeps what it does not know for a while.
    while (this.#speaker.status().recovery === 'deferring') await this.#advance(500);
    if (this.#speaker.status().recovery !== 'done') await this.#advance(130_000, list);
    await this.#advance(300);
    return { exported: exportedOf(list), installed: await installedIn(this.#kernel) };
  }

  /** What it has in its table, and at which step each path lost. */
  paths(): readonly NativePath[] {
    return this.#speaker === undefined ? [] : [...this.#speaker.routes()];
  }

  /** Virtual time, and the promises of the kernel in between. */
  async #advance(ms: number, keptAlive: readonly ProbePeer[] = []): Promise<void> {
    const step = ms > 10_000 ? 1000 : 20;
    for (let at = 0; at < ms; at += step) {
      this.#clock.advance(step);
      if (at % 10_000 === 0) for (const peer of keptAlive) peer.keepalive();
      for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async close(): Promise<void> {
    for (const peer of this.#peers.values()) peer.close();
    await this.#speaker?.stop('end');
    await this.#kernel.close();
  }
}
