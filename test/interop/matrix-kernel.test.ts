// The interop matrix (docs/bgp-interop.md), row 14: one plan, two engines, two real kernels that have to be equal route by route:
// what is learned, what a killed and an ended engine leaves in place (`persist`), Felix that takes routes over and gives
// them back, and another program in the place of a route.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { address } from '../../src/lib/ip/mod.ts';
import { computePlan, type BgpPlan } from '../../src/bgp/plan/mod.ts';
import { tcpTransport } from '../../src/bgp/speaker/mod.ts';
import { BirdNode, NativeNode, type EngineNode } from './support/engine-node.ts';
import { eventually, type KernelRoute, missing, Network, reportFailures } from './support/network.ts';
import { ProbePeer } from './support/probe-peer.ts';
import { attributesOf, route } from './support/rows/words.ts';

const skip = missing('ip', 'bird') ?? false;
reportFailures();

/** The same node twice, each on a segment of its own; `net` is the third octet there. */
type Place = { readonly engine: EngineNode; readonly net: 1 | 2; readonly peers: Map<string, ProbePeer> };
/** n4 is of another subnet, behind a router. */
const peerAddresses = { n2: '10.9.N.12', n3: '10.9.N.13', n4: '10.9.1N.14' } as const;
const addressOf = (name: keyof typeof peerAddresses, net: number) =>
  address(peerAddresses[name].replace('N', String(net)));

const planOf = (net: number, programClusterRoutes: string): BgpPlan => {
  const at = (name: string, text: string) => ({
    metadata: { name },
    spec: { bgp: { ipv4Address: text.replace('N', String(net)) } },
  });
  return computePlan({
    nodeName: 'n1',
    nodes: [
      at('n1', '10.9.N.1/24'),
      ...Object.entries(peerAddresses).map(([name, text]) => at(name, `${text}/24`)),
    ],
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { programClusterRoutes } }],
    ipPools: [
      { metadata: { name: 'plain' }, spec: { cidr: '10.244.0.0/16' } },
      { metadata: { name: 'ipip' }, spec: { cidr: '10.245.0.0/16', ipipMode: 'Always' } },
      { metadata: { name: 'cross' }, spec: { cidr: '10.246.0.0/16', ipipMode: 'CrossSubnet' } },
    ],
    blockAffinities: [{ node: 'n1', cidr: '10.244.1.0/26', state: 'confirmed' }],
  });
};

void suite('interop, the kernel of a node', { skip }, () => {
  const network = new Network();
  const places: Place[] = [];
  let keepalives: ReturnType<typeof setInterval> | undefined;
  /** What the other nodes have: their blocks, one of them held by two. */
  const blocks = new Map<keyof typeof peerAddresses, string[]>([
    ['n2', ['10.244.2.0/26', '10.244.5.0/26', '10.245.2.0/26', '10.246.2.0/26']],
    ['n3', ['10.244.3.0/26', '10.244.5.0/26']],
    ['n4', ['10.244.4.0/26', '10.246.4.0/26']],
  ]);

  /** The main table of a node, without what differs between the two places. */
  const table = (place: Place, selector = 'table main'): string[] =>
    network
      .routes(place.engine.host, selector)
      .map((r) =>
        JSON.stringify(sorted(r))
          .replaceAll(`10.9.${place.net}.`, '10.9.N.')
          .replaceAll(`10.9.1${place.net}.`, '10.9.1N.'),
      )
      .sort();
  const ofBgp = (place: Place): string[] =>
    network
      .routes(place.engine.host, 'proto bird type unicast')
      .map((r) => `${r.dst} ${ways(r, place.net)}`)
      .sort();
  const each = (body: (place: Place) => Promise<void>): Promise<unknown> => Promise.all(places.map(body));
  const say = (place: Place): void => {
    for (const [name, list] of blocks) {
      const peer = place.peers.get(name);
      peer?.announce(
        list.map((prefix) => ({
          prefix,
          attributes: { ...attributesOf(route(prefix), peer.options.address), localPref: 100 },
        })),
      );
    }
  };
  /** Every session is up, and every node has said what it has. */
  const told = async (place: Place): Promise<void> => {
    await eventually(
      `the sessions of ${place.engine.host}`,
      () => {
        for (const peer of place.peers.values()) peer.dial();
        return [...place.peers.values()].map((p) => `${p.options.name} ${p.state} ${p.lastProblem}`);
      },
      () => [...place.peers.values()].every((p) => p.state === 'up'),
      60_000,
    );
    say(place);
    for (const peer of place.peers.values()) peer.endOfRib();
  };
  const lost = (place: Place): Promise<unknown> =>
    eventually(
      `${place.engine.host} is gone for its peers`,
      () => [...place.peers.values()].map((p) => p.state),
      (states) => states.every((s) => s === 'down'),
    );
  const hasRoutes = async (place: Place, want: readonly string[]): Promise<void> => {
    await eventually(
      `the routes of ${place.engine.host}`,
      () => ofBgp(place),
      (list) => list.join('\n') === want.join('\n'),
      60_000,
    );
  };
  /** Both kernels have the same routes, whoever wrote them. */
  const equal = (): void => {
    const [first, second] = places;
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual(table(first), table(second));
  };
  const learned = [
    '10.244.2.0/26 10.9.N.12 eth0',
    '10.244.3.0/26 10.9.N.13 eth0',
    '10.244.4.0/26 10.9.N.254 eth0',
    '10.244.5.0/26 10.9.N.12 eth0 + 10.9.N.13 eth0',
    '10.245.2.0/26 10.9.N.12 tunl0 onlink',
    '10.246.2.0/26 10.9.N.12 eth0',
    '10.246.4.0/26 10.9.1N.14 tunl0 onlink',
  ];
  /** Of pools with IPIP, by a tunnel or within the subnet: `programClusterRoutes` says whose they are. */
  const ofIpip = learned.filter((l) => /^10\.24[56]/.test(l));
  const plain = learned.filter((l) => !ofIpip.includes(l));

  before(() => {
    for (const [host, net, make] of [
      ['native', 1, NativeNode],
      ['bird', 2, BirdNode],
    ] as const) {
      const segment = `net${net}`;
      const own = [`10.9.${net}.12/24`, `10.9.${net}.13/24`, `10.9.${net}.254/24`, `10.9.1${net}.14/24`];
      network.segment(segment, own);
      network.host(host);
      network.attach(host, segment, [`10.9.${net}.1/24`]);
      for (const command of [
        `route add 10.9.1${net}.0/24 via 10.9.${net}.254`,
        ...['tunl0', 'cali1'].flatMap((name) => [
          `link add ${name} type veth peer name x${name}`,
          `link set ${name} up`,
          `link set x${name} up`,
        ]),
        // Felix's: its own block, a pod in it, one with an address of another block, one that is just moving here.
        'route add blackhole 10.244.1.0/26 proto bird',
        'route add 10.244.1.5/32 dev cali1 metric 1024',
        'route add 10.244.3.9/32 dev cali1 metric 1024',
        'route add 10.244.2.7/32 dev cali1 metric 512',
      ])
        network.ip(host, command);
      const peers = new Map(
        (Object.keys(peerAddresses) as (keyof typeof peerAddresses)[]).map((name, i) => [
          name as string,
          new ProbePeer({
            name,
            transport: tcpTransport,
            address: addressOf(name, net),
            remote: address(`10.9.${net}.1`),
            port: 179,
            as: 64512,
            remoteAs: 64512,
            routerId: 0x0a090000 + 12 + i,
            addPath: false,
            restartTimeS: 120,
          }),
        ]),
      );
      places.push({ engine: new make(network, host), net, peers });
    }
    keepalives = setInterval(() => {
      for (const { peers } of places) for (const peer of peers.values()) peer.keepalive();
    }, 1_000);
  });
  after(async () => {
    clearInterval(keepalives);
    for (const { peers, engine } of places) {
      for (const peer of peers.values()) peer.close();
      await engine.close();
    }
    await network.close();
  });

  void test('BG-038, BG-060: row 14: learned, equal ways, tunnelled, cross-subnet, beside what Felix has written', async () => {
    await each(async (place) => {
      await place.engine.start(planOf(place.net, 'Enabled'));
      await told(place);
      await hasRoutes(place, learned);
    });
    equal();
    // What the other nodes hear of it: the own block, the borrowed address and the one that moves here.
    await each(async (place) => {
      await eventually(
        `what ${place.engine.host} says`,
        () => [...(place.peers.get('n2')?.heard().keys() ?? [])].sort().join(),
        (list) => list === '10.244.1.0/26,10.244.2.7/32,10.244.3.9/32',
      );
    });
  });

  void test('BG-039: row 14: persist: an engine that ends and one that is killed leave every route, and only what is gone meanwhile goes', async () => {
    const events = await Promise.all(places.map(({ engine }) => network.watch(engine.host)));
    const before = places.map((place) => table(place));
    await each(async (place) => {
      await place.engine.stop();
      await lost(place);
    });
    assert.deepEqual(
      places.map((place) => table(place)),
      before,
    );
    await each(async (place) => {
      await place.engine.start(planOf(place.net, 'Enabled'));
      await told(place);
    });
    await each((place) => hasRoutes(place, learned));
    blocks.set('n3', ['10.244.5.0/26']);
    await each(async (place) => {
      await place.engine.kill();
      await lost(place);
      await told(place);
      await hasRoutes(
        place,
        learned.filter((l) => !l.startsWith('10.244.3.0')),
      );
    });
    equal();
    // A BIRD that starts takes what is behind a router for unreachable until it has read the way there.
    const moved = { native: /10\.244\.3\.0/, bird: /10\.244\.[34]\.0|10\.246\.4\.0/ };
    places.forEach(({ engine: { host } }, i) =>
      assert.deepEqual(
        events[i]?.lines().filter((l) => !moved[host as keyof typeof moved].test(l)),
        [],
        host,
      ),
    );
    blocks.set('n3', ['10.244.3.0/26', '10.244.5.0/26']);
    await each(async (place) => {
      say(place);
      await hasRoutes(place, learned);
    });
  });

  void test('BG-060: row 14: Felix takes the routes of tunnels over, and gives them back: no destination is without a route', async () => {
    const since = await Promise.all(places.map(({ engine }) => network.watch(engine.host)));
    const felix = (place: Place, op: 'add' | 'del'): void => {
      for (const line of ofIpip) {
        const [dst, via, dev, onlink = ''] = line.replace('N.', `${place.net}.`).split(' ');
        network.ip(
          place.engine.host,
          `route ${op} ${dst} via ${via} dev ${dev} ${onlink} proto 80`.replace('  ', ' '),
        );
      }
    };
    await each(async (place) => {
      felix(place, 'add');
      await place.engine.apply(planOf(place.net, 'EnabledNoEncapOnly'));
      await hasRoutes(place, plain);
      assert.equal(network.routes(place.engine.host, 'proto 80').length, ofIpip.length);
    });
    equal();
    await each(async (place) => {
      await place.engine.apply(planOf(place.net, 'Enabled'));
      await hasRoutes(place, learned);
      felix(place, 'del');
    });
    await each((place) => hasRoutes(place, learned));
    equal();
    // Nothing else moved, and what was taken over stood before its predecessor went.
    places.forEach(({ engine }, i) => {
      const lines = since[i]?.lines() ?? [];
      const dsts = ofIpip.map((l) => l.split(' ')[0] ?? '');
      assert.deepEqual(
        lines.filter((l) => !dsts.some((dst) => l.includes(dst))),
        [],
        engine.host,
      );
      for (const dst of dsts) {
        let count = 1;
        for (const line of lines.filter((l) => l.includes(dst))) {
          count += line.startsWith('Deleted') ? -1 : 1;
          assert.ok(count > 0, `${engine.host}: ${dst} was without a route\n${lines.join('\n')}`);
        }
      }
    });
    for (const { peers } of places)
      for (const peer of peers.values()) assert.equal(peer.state, 'up', 'no session ended');
  });

  void test('BG-038: row 14: a route of another program in the place of a learned one stays; when it goes, the learned one is back', async () => {
    const taken = '10.244.2.0/26';
    await each(async (place) => {
      const [{ metric } = {}] = network.routes(place.engine.host, `exact ${taken}`);
      network.ip(
        place.engine.host,
        `route replace ${taken} via 10.9.${place.net}.13 proto 99 metric ${metric}`,
      );
      // A change beside it: whatever the engine does about the taken one, it has done by then.
      network.ip(place.engine.host, 'route del 10.244.3.0/26 proto bird');
      await hasRoutes(
        place,
        learned.filter((l) => !l.startsWith(taken)),
      );
      assert.equal(network.routes(place.engine.host, 'proto 99').length, 1);
    });
    equal();
    await each(async (place) => {
      network.ip(place.engine.host, `route del ${taken} proto 99`);
      await hasRoutes(place, learned);
    });
    equal();
  });
});

const sorted = (r: KernelRoute): object =>
  Object.fromEntries(Object.entries(r).sort(([a], [b]) => (a < b ? -1 : 1)));

/** `10.9.N.12 eth0 onlink`, or several of them. */
function ways(r: KernelRoute, net: number): string {
  const hops: readonly Hop[] = r.nexthops ?? [r];
  return hops
    .map((h) => [h.gateway, h.dev, ...(h.flags ?? [])].join(' '))
    .map((text) => text.replaceAll(`10.9.${net}.`, '10.9.N.').replaceAll(`10.9.1${net}.`, '10.9.1N.'))
    .sort()
    .join(' + ');
}
type Hop = { readonly gateway?: string; readonly dev?: string; readonly flags?: readonly string[] };
