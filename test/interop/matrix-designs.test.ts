// The interop matrix (docs/bgp-interop.md), rows 6 and 7: two reflectors, one of them a daemon; and the designs of a fabric
// with an AS per rack and an AS per server, with BIRD and FRR as the top-of-rack routers.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { v4FromNumber } from '../../src/lib/ip/mod.ts';
import { eventually, missing, Network, reportFailures } from './support/network.ts';
import type { ProbePeer } from './support/probe-peer.ts';
import { Bird } from './support/routers/bird.ts';
import { Frr } from './support/routers/frr.ts';
import type { Router, SessionSetup } from './support/routers/types.ts';
import { probeAddress, programs, row, us, World, type OurRoute, type Part } from './support/routers/world.ts';
import { attributesOf, route } from './support/rows/words.ts';

const skip = missing(...programs) ?? false;
const as = 64512;
reportFailures();

/** The test's own peers: a client of ours, a client of the daemon, a client of both, and one of ours that is no client. */
const client = { ours: 1, theirs: 2, both: 3, none: 4 } as const;

void suite('interop, reflectors', { skip }, () => {
  let world: World;
  const probes = new Map<string, ProbePeer>();
  const probe = (name: string): ProbePeer => {
    const found = probes.get(name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  const idOf = (number: number): string => probeAddress(number);
  const theirCluster = '10.9.255.2';
  const announce = (name: string, prefix: string): void => {
    const peer = probe(name);
    const own = peer.options.address;
    peer.announce([{ prefix, attributes: { ...attributesOf(route(prefix), own), localPref: 100 } }]);
  };
  /** Originator and clusters of the only path that a peer has heard of the prefix. */
  const heardBy = (name: string, prefix: string): string => {
    const [path] = probe(name).heard().get(prefix) ?? [];
    if (path === undefined) return 'nothing';
    const { originatorId, clusterList = [] } = path;
    const originator = originatorId === undefined ? 'none' : v4FromNumber(originatorId >>> 0);
    return `${originator} by ${clusterList.map((id) => v4FromNumber(id >>> 0)).join(' ')}`;
  };
  const hears = (name: string, prefix: string, want: string): Promise<string> =>
    eventually(
      `${name} hears ${prefix} of ${want}`,
      () => heardBy(name, prefix),
      (text) => text === want,
    );

  before(async () => {
    world = new World(as, ['BIRD', 'FRR', 'GoBGP'], { clusterId: '10.9.255.1' });
    for (const part of world.parts) world.plan.peers.set(part.name, { address: part.v4, as, passive: true });
    for (const n of [1, 3, 4])
      world.plan.peers.set(`probe${n}`, {
        address: probeAddress(n),
        as,
        passive: true,
        rrClient: n !== client.none,
      });
    const clients = [client.theirs, client.both].map(
      (n): SessionSetup => ({ address: probeAddress(n), as, families: [4], passive: true, client: true }),
    );
    await Promise.all([
      world.startUs(),
      ...world.parts.map((part) =>
        part.router.start({
          as,
          address: part.v4,
          address6: part.v6,
          clusterId: theirCluster,
          sessions: [{ address: us.v4, as, families: [4] }, ...clients],
        }),
      ),
    ]);
    for (const [name, n] of Object.entries(client))
      if (n !== client.theirs) probes.set(name, await world.probe(n, as, us.v4, as));
    await Promise.all(
      world.parts.map(async (part) => {
        await world.up(part);
        probes.set(`theirs ${part.name}`, await world.probe(client.theirs, as, part.v4, as));
        probes.set(`both ${part.name}`, await world.probe(client.both, as, part.v4, as));
      }),
    );
  });
  after(() => world?.close());

  const theirPrefix = (part: Part): string => `10.71.${part.number}.0/24`;

  void test('row 6: two reflectors of different clusters: originator and cluster list exact, and no loop', async (t) => {
    announce('ours', '10.70.1.0/24');
    announce('none', '10.70.4.0/24');
    announce('both', '10.70.3.0/24');
    await hears('none', '10.70.1.0/24', `${idOf(client.ours)} by 10.9.255.1`);
    await hears('ours', '10.70.4.0/24', `${idOf(client.none)} by 10.9.255.1`);
    await row(t, world, ['reflects'], async (part) => {
      const theirs = `theirs ${part.name}`;
      announce(theirs, theirPrefix(part));
      announce(`both ${part.name}`, '10.70.3.0/24');
      await hears(theirs, '10.70.1.0/24', `${idOf(client.ours)} by ${theirCluster} 10.9.255.1`);
      // GoBGP marks what it reflects for its clients only; to others it passes a client's route on as its own.
      if (part.name !== 'GoBGP') {
        await hears('ours', theirPrefix(part), `${idOf(client.theirs)} by 10.9.255.1 ${theirCluster}`);
      }
      // Between two that are no clients nothing is reflected.
      assert.equal(heardBy(theirs, '10.70.4.0/24'), 'nothing');
      if (part.name === 'GoBGP') return;
      // The client of both is heard directly, and by way of the other reflector.
      const paths = await eventually(
        'both ways to the client of both',
        () => world.network.ask<OurRoute[]>(us.host, { op: 'routes', prefix: '10.70.3.0/24' }),
        (list) => list?.some((r) => r.nextHop === idOf(client.both) && r.learnedFrom === part.name) === true,
      );
      const best = paths?.find((r) => r.best);
      assert.equal(best?.originatorId, undefined, 'the direct path is best');
      assert.equal(heardBy('both', '10.70.3.0/24').startsWith('none'), false);
    });
  });

  void test('row 6: the same cluster id: what carries it is dropped on both sides, clients keep both their sessions', async (t) => {
    world.plan.local = { ...world.plan.local, clusterId: theirCluster };
    await world.apply();
    for (const [name, n] of Object.entries(client))
      if (n !== client.theirs) {
        probe(name).close();
        probes.set(name, await world.probe(n, as, us.v4, as));
      }
    announce('ours', '10.70.1.0/24');
    announce('both', '10.70.3.0/24');
    await row(t, world, ['reflects'], async (part) => {
      await world.up(part);
      if (part.name !== 'GoBGP') {
        const looped = await eventually(
          `the loop with ${part.name} is seen`,
          () => world.routes(part.name, 4),
          (list) => list.some((r) => r.prefix === theirPrefix(part)),
        );
        assert.equal(looped.find((r) => r.prefix === theirPrefix(part))?.reason, 'clusterLoop');
      }
      await hears('both', '10.70.1.0/24', `${idOf(client.ours)} by ${theirCluster}`);
      await hears(`both ${part.name}`, theirPrefix(part), `${idOf(client.theirs)} by ${theirCluster}`);
      assert.equal(heardBy(`theirs ${part.name}`, '10.70.1.0/24'), 'nothing');
      if (part.name !== 'GoBGP') assert.equal(heardBy('ours', theirPrefix(part)), 'nothing');
    });
  });
});

// ── row 7 ────────────────────────────────────────────────────────────────────────────────────────────────────────────
type Design = {
  readonly title: string;
  readonly nodes: readonly [number, number];
  readonly tors: readonly [number, number];
  /** What the first node and the second hear of each other. */
  readonly paths: readonly [string, string];
  readonly allowOwnAs?: number;
};
const designs: readonly Design[] = [
  { title: 'an AS per rack', nodes: [65001, 65002], tors: [65001, 65002], paths: ['65002', '65001'] },
  {
    title: 'an AS per server',
    nodes: [65101, 65102],
    tors: [65001, 65002],
    paths: ['65001 65002 65102', '65002 65001 65101'],
  },
  {
    title: 'one AS for all servers, allowed to come back',
    nodes: [64512, 64512],
    tors: [65001, 65002],
    paths: ['65001 65002 64512', '65002 65001 64512'],
    allowOwnAs: 1,
  },
];

class Fabric {
  readonly tors: readonly Router[];
  readonly #network: Network;
  readonly #mark: string;
  #speakers: ReturnType<Network['speaker']>[] = [];

  constructor(network: Network, mark: 'bird' | 'frr') {
    this.#network = network;
    this.#mark = mark;
    const [n1, ta, tb, n2] = ['n1', 'ta', 'tb', 'n2'].map((name) => this.host(name)) as [
      string,
      string,
      string,
      string,
    ];
    for (const host of [n1, ta, tb, n2]) network.host(host);
    network.cable(n1, ta, ['10.1.1.11/24'], ['10.1.1.1/24']);
    network.cable(ta, tb, ['10.255.0.1/30'], ['10.255.0.2/30']);
    network.cable(tb, n2, ['10.1.2.1/24'], ['10.1.2.11/24']);
    network.ip(n1, 'address add 192.168.1.1/32 dev lo');
    network.ip(n2, 'address add 192.168.2.1/32 dev lo');
    this.tors = [ta, tb].map((host) =>
      mark === 'bird' ? new Bird({ network, host }) : new Frr({ network, host }),
    );
  }

  host(name: string): string {
    return `${this.#mark}-${name}`;
  }

  async build({ nodes, tors, allowOwnAs }: Design): Promise<void> {
    for (const speaker of this.#speakers) await this.#network.kill(speaker);
    for (const tor of this.tors) await tor.kill();
    this.#speakers = nodes.map((own, i) =>
      this.#network.speaker(this.host(`n${i + 1}`), {
        local: {
          nodeName: `n${i + 1}`,
          as: own,
          routerId: `10.1.${i + 1}.11`,
          listen: { addresses: [`10.1.${i + 1}.11`] },
          addresses: { 4: `10.1.${i + 1}.11/24` },
        },
        peers: [
          {
            name: 'tor',
            address: `10.1.${i + 1}.1`,
            as: tors[i],
            ...(allowOwnAs === undefined ? {} : { allowLocalAs: allowOwnAs }),
          },
        ],
        origins: [`192.168.${i + 1}.0/26`],
      }),
    );
    await Promise.all(
      this.tors.map((tor, i) => {
        const node = nodes[i] ?? 0;
        const own = tors[i] ?? 0;
        return tor.start({
          as: own,
          address: i === 0 ? '10.255.0.1' : '10.255.0.2',
          sessions: [
            {
              address: `10.1.${i + 1}.11`,
              localAddress: `10.1.${i + 1}.1`,
              as: node,
              families: [4],
              nextHopSelf: true,
              client: node === own,
            },
            {
              address: i === 0 ? '10.255.0.2' : '10.255.0.1',
              as: tors[1 - i] ?? 0,
              families: [4],
              nextHopSelf: true,
              // Between the routers one dials: two FRR that dial each other at once come up, go down and come up again.
              passive: i === 1,
            },
          ],
        });
      }),
    );
  }

  async check(design: Design): Promise<void> {
    const network = this.#network;
    const hosts = ['n1', 'ta', 'tb', 'n2'] as const;
    const far = { n1: '192.168.2.0/26', n2: '192.168.1.0/26' } as const;
    // Kernels keep routes of the design before; speakers and daemons started with nothing. So the paths come first.
    const pathAt = async (name: 'n1' | 'n2'): Promise<string | undefined> =>
      (await network.ask<OurRoute[]>(this.host(name), { op: 'routes', prefix: far[name] }))?.find(
        (r) => r.best,
      )?.asPath;
    await eventually(
      `the nodes of ${this.#mark} hear each other by ${design.paths.join(' and ')}`,
      () => Promise.all([pathAt('n1'), pathAt('n2')]),
      (paths) => paths.every((path, i) => path === design.paths[i]),
      60_000,
    );
    const proto = this.#mark === 'frr' ? 'proto bgp' : 'proto bird';
    const waysOf = (name: (typeof hosts)[number]): string =>
      network
        .routes(this.host(name), name === 'ta' || name === 'tb' ? proto : 'proto bird')
        .map((r) => `${r.dst} via ${r.gateway}`)
        .sort()
        .join(', ');
    const ways = {
      n1: '192.168.2.0/26 via 10.1.1.1',
      ta: '192.168.1.0/26 via 10.1.1.11, 192.168.2.0/26 via 10.255.0.2',
      tb: '192.168.1.0/26 via 10.255.0.1, 192.168.2.0/26 via 10.1.2.11',
      n2: '192.168.1.0/26 via 10.1.2.1',
    };
    // What each kernel has at one time: a route may have come and gone.
    await eventually(
      `the kernels of ${this.#mark} have ${JSON.stringify(ways)}`,
      () => Object.fromEntries(hosts.map((name) => [name, waysOf(name)])),
      (seen) => hosts.every((name) => seen[name] === ways[name]),
    );
    await eventually(
      `${this.host('n1')} reaches ${this.host('n2')}`,
      () => network.exec(this.host('n1'), 'ping', '-c', '1', '-W', '1', '-I', '192.168.1.1', '192.168.2.1'),
      () => true,
    );
  }
}

void suite('interop, fabrics', { skip }, () => {
  const network = new Network();
  let fabrics: readonly Fabric[] = [];
  before(() => {
    fabrics = [new Fabric(network, 'bird'), new Fabric(network, 'frr')];
  });
  after(() => network.close());
  for (const design of designs)
    void test(`row 7: ${design.title}, BIRD and FRR as top-of-rack routers`, async () => {
      await Promise.all(
        fabrics.map(async (fabric) => {
          await fabric.build(design);
          await fabric.check(design);
        }),
      );
    });
});
