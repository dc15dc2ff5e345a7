// The topology of the seeds: two racks in two subnets, a leaf router on top of each, a spine between them.
//
//                     spine AS 65000
//        10.255.0.0/31 /          \ 10.255.0.2/31
//      leaf01 AS 65001              leaf02 AS 65002
//      10.0.0.254/24                30.0.0.254/24
//      master1 worker1 worker2      worker3            nodes: AS 64512
//
// A leaf is a router whose rack side is a bridge. The fabric always routes the racks' own subnets (static routes); what
// it knows of pods it learns by BGP, or not at all.
import { address, type InterfaceAddress, parseInterfaceAddress, prefix } from '../../lib/ip/mod.ts';
import { expect } from '../../lib/result.ts';
import { bridge, port, subnetOf } from './interfaces.ts';
import type { BgpNeighbour, Cable, Machine, PeerPlan, StaticRoute, Topology } from './types.ts';

type Rack = {
  readonly name: string;
  readonly leaf: string;
  readonly asNumber: number;
  readonly gateways: readonly InterfaceAddress[];
  /** Transfer addresses: the leaf's end and the spine's. */
  readonly uplinks: readonly { readonly leaf: InterfaceAddress; readonly spine: InterfaceAddress }[];
  readonly spinePort: string;
};

const at = (text: string): InterfaceAddress => expect(parseInterfaceAddress(text), 'topology address');

const spineAs = 65000;
const nodeAs = 64512;
const rackPlans = [
  {
    name: 'rack-1',
    leaf: 'leaf01',
    asNumber: 65001,
    v4: { subnet: '10.0.0', leafEnd: '10.255.0.1/31', spineEnd: '10.255.0.0/31' },
    v6: { subnet: 'fd00:10::', leafEnd: 'fd00:255::1/127', spineEnd: 'fd00:255::/127' },
  },
  {
    name: 'rack-2',
    leaf: 'leaf02',
    asNumber: 65002,
    v4: { subnet: '30.0.0', leafEnd: '10.255.0.3/31', spineEnd: '10.255.0.2/31' },
    v6: { subnet: 'fd00:30::', leafEnd: 'fd00:255::3/127', spineEnd: 'fd00:255::2/127' },
  },
] as const;

/** Where the seeds' four nodes are; further workers go to the racks in turn with the next free host numbers. */
const seedNodes = [
  { name: 'master1', rack: 0, host: 11 },
  { name: 'worker1', rack: 0, host: 21 },
  { name: 'worker2', rack: 0, host: 22 },
  { name: 'worker3', rack: 1, host: 23 },
] as const;

export function twoRacks(options: { nodes: number; dualStack: boolean; fabricBgp: boolean }): Topology {
  const { dualStack, fabricBgp } = options;
  const racks: Rack[] = rackPlans.map((plan, index) => ({
    name: plan.name,
    leaf: plan.leaf,
    asNumber: plan.asNumber,
    gateways: [at(`${plan.v4.subnet}.254/24`), ...(dualStack ? [at(`${plan.v6.subnet}fe/64`)] : [])],
    uplinks: [
      { leaf: at(plan.v4.leafEnd), spine: at(plan.v4.spineEnd) },
      ...(dualStack ? [{ leaf: at(plan.v6.leafEnd), spine: at(plan.v6.spineEnd) }] : []),
    ],
    spinePort: `swp${index + 1}`,
  }));

  const places = Array.from({ length: options.nodes }, (_, i) => {
    const seed = seedNodes[i];
    return seed ?? { name: `worker${i}`, rack: i % 2, host: 20 + i };
  });
  const nodes = places.map(({ name, rack, host }): Machine => {
    const plan = rackPlans[rack] ?? rackPlans[0];
    const gateways = racks[rack]?.gateways ?? [];
    const addresses = [
      at(`${plan.v4.subnet}.${host}/24`),
      ...(dualStack ? [at(`${plan.v6.subnet}${host}/64`)] : []),
    ];
    return {
      name,
      role: 'node',
      rack: plan.name,
      interfaces: [port('eth0', addresses)],
      routes: gateways.map((gateway) => ({
        dst: prefix(gateway.address.includes(':') ? '::/0' : '0.0.0.0/0'),
        via: gateway.address,
      })),
    };
  });

  const cables: Cable[] = [];
  const leaves = racks.map((rack): Machine => {
    const members = nodes.filter((n) => n.rack === rack.name);
    members.forEach((node, i) => {
      cables.push({
        a: { machine: rack.leaf, interface: `swp${i + 1}` },
        b: { machine: node.name, interface: 'eth0' },
      });
    });
    cables.push({
      a: { machine: rack.leaf, interface: 'uplink' },
      b: { machine: 'spine', interface: rack.spinePort },
    });
    const others = racks.filter((r) => r !== rack);
    const neighbours: BgpNeighbour[] = [
      ...members.flatMap((node) =>
        addressesOf(node).map((a) => ({ name: node.name, address: a.address, asNumber: nodeAs })),
      ),
      ...rack.uplinks.map((u) => ({ name: 'spine', address: u.spine.address, asNumber: spineAs })),
    ];
    return {
      name: rack.leaf,
      role: 'router',
      rack: rack.name,
      interfaces: [
        bridge('rack', rack.gateways),
        ...members.map((_, i) => port(`swp${i + 1}`, [], 'rack')),
        port(
          'uplink',
          rack.uplinks.map((u) => u.leaf),
        ),
      ],
      routes: others.flatMap((other) =>
        other.gateways.map(
          (gateway, family): StaticRoute => ({
            dst: subnetOf(gateway),
            via: rack.uplinks[family]?.spine.address ?? address('0.0.0.0'),
          }),
        ),
      ),
      ...(fabricBgp
        ? {
            bgp: {
              asNumber: rack.asNumber,
              routerId: rack.gateways[0]?.address ?? address('0.0.0.0'),
              neighbours,
            },
          }
        : {}),
    };
  });

  const spine: Machine = {
    name: 'spine',
    role: 'router',
    interfaces: racks.map((rack) =>
      port(
        rack.spinePort,
        rack.uplinks.map((u) => u.spine),
      ),
    ),
    routes: racks.flatMap((rack) =>
      rack.gateways.map(
        (gateway, family): StaticRoute => ({
          dst: subnetOf(gateway),
          via: rack.uplinks[family]?.leaf.address ?? address('0.0.0.0'),
        }),
      ),
    ),
    ...(fabricBgp
      ? {
          bgp: {
            asNumber: spineAs,
            routerId: racks[0]?.uplinks[0]?.spine.address ?? address('0.0.0.0'),
            neighbours: racks.flatMap((rack) =>
              rack.uplinks.map((u) => ({
                name: rack.leaf,
                address: u.leaf.address,
                asNumber: rack.asNumber,
              })),
            ),
          },
        }
      : {}),
  };

  const peers: PeerPlan[] = fabricBgp
    ? racks.flatMap((rack) =>
        rack.gateways.map((gateway, family) => ({
          name: family === 0 ? `${rack.name}-leaf` : `${rack.name}-leaf-v6`,
          peerIP: gateway.address,
          asNumber: rack.asNumber,
          rack: rack.name,
        })),
      )
    : [];
  return {
    name: 'two-racks',
    dualStack,
    fabricBgp,
    machines: [...nodes, ...leaves, spine],
    cables,
    peers,
    nodeAsNumber: nodeAs,
  };
}

const addressesOf = (machine: Machine): readonly InterfaceAddress[] =>
  machine.interfaces.flatMap((i) => i.addresses);
