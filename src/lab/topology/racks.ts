// The topology of the seeds: racks in subnets of their own, a leaf router on top of each, a spine between them.
//
//                     spine AS 65000
//        10.255.0.0/31 /          \ 10.255.0.2/31
//      leaf01 AS 65001              leaf02 AS 65002           … leaf03, leaf04
//      10.0.0.254/24                30.0.0.254/24
//      master1 worker1 worker2      worker3
//
// A leaf is a router whose rack side is a bridge. The fabric always routes the racks' own subnets (static routes); what
// it knows of pods it learns by BGP (designs.ts), or not at all.
import { address, type InterfaceAddress, parseInterfaceAddress, prefix } from '../../lib/ip/mod.ts';
import { expect } from '../../lib/result.ts';
import { bridge, port, subnetOf } from './interfaces.ts';
import {
  type Cable,
  type Fabric,
  type Machine,
  type Rack,
  type StaticRoute,
  type TopologyName,
} from './types.ts';

const at = (text: string): InterfaceAddress => expect(parseInterfaceAddress(text), 'topology address');

export const rackCounts: Readonly<Partial<Record<TopologyName, number>>> = {
  'two-racks': 2,
  'three-racks': 3,
  'four-racks': 4,
};

/** Rack 1 is 10.0.0.0/24, rack 2 is 30.0.0.0/24, then 50 and 70. */
const subnetOfRack = (rack: number): string => `${10 + 20 * rack}.0.0`;
const subnetOfRackV6 = (rack: number): string => `fd00:${10 + 20 * rack}::`;

/** Where the seeds' four nodes are; further workers go to the racks in turn with the next free host numbers. */
const seedNodes = [
  { name: 'master1', rack: 0, host: 11 },
  { name: 'worker1', rack: 0, host: 21 },
  { name: 'worker2', rack: 0, host: 22 },
  { name: 'worker3', rack: 1, host: 23 },
] as const;

export type RackOptions = {
  readonly name: TopologyName;
  readonly nodes: number;
  readonly dualStack: boolean;
  readonly withReflectors: boolean;
};

export function racksFabric(options: RackOptions): Fabric {
  const { name, dualStack } = options;
  const count = rackCounts[name] ?? 2;
  const racks = Array.from({ length: count }, (_, i) => rackOf(i, dualStack));
  const hosts = Array.from({ length: options.nodes }, (_, i) => {
    const seed = seedNodes[i] ?? { name: `worker${i}`, rack: (i + count - 2) % count, host: 20 + i };
    return { ...seed, role: 'node' as const };
  });
  const reflectors = options.withReflectors
    ? [0, 1].map((rack) => ({ name: `rr${rack + 1}`, rack, host: 251, role: 'router' as const }))
    : [];
  const members = [...hosts, ...reflectors].map((host) => memberOf(host, racks[host.rack], dualStack));
  const cables: Cable[] = [];
  const leaves = racks.map((rack, i) => {
    const own = members.filter((m) => m.rack === rack.name);
    for (const [j, member] of own.entries())
      cables.push({
        a: { machine: rack.leaf, interface: `swp${j + 1}` },
        b: { machine: member.name, interface: 'eth0' },
      });
    cables.push({
      a: { machine: rack.leaf, interface: 'uplink' },
      b: { machine: 'spine', interface: `swp${i + 1}` },
    });
    return leafOf(rack, own.length, racks);
  });
  return {
    name,
    dualStack,
    machines: [...members, ...leaves, spineOf(racks)],
    cables,
    racks,
    reflectors: reflectors.map((r) => r.name),
  };
}

function rackOf(index: number, dualStack: boolean): Rack {
  const spineEnd = 2 * index;
  return {
    name: `rack-${index + 1}`,
    leaf: `leaf0${index + 1}`,
    asNumber: 65001 + index,
    gateways: [
      at(`${subnetOfRack(index)}.254/24`),
      ...(dualStack ? [at(`${subnetOfRackV6(index)}fe/64`)] : []),
    ],
    uplinks: [
      { leaf: at(`10.255.0.${spineEnd + 1}/31`), spine: at(`10.255.0.${spineEnd}/31`) },
      ...(dualStack
        ? [{ leaf: at(`fd00:255::${spineEnd + 1}/127`), spine: at(`fd00:255::${spineEnd}/127`) }]
        : []),
    ],
  };
}

function memberOf(
  host: {
    readonly name: string;
    readonly rack: number;
    readonly host: number;
    readonly role: Machine['role'];
  },
  rack: Rack | undefined,
  dualStack: boolean,
): Machine {
  const addresses = [
    at(`${subnetOfRack(host.rack)}.${host.host}/24`),
    ...(dualStack ? [at(`${subnetOfRackV6(host.rack)}${host.host}/64`)] : []),
  ];
  return {
    name: host.name,
    role: host.role,
    ...(rack === undefined ? {} : { rack: rack.name }),
    interfaces: [port('eth0', addresses)],
    routes: (rack?.gateways ?? []).map((gateway) => ({
      dst: prefix(gateway.address.includes(':') ? '::/0' : '0.0.0.0/0'),
      via: gateway.address,
    })),
  };
}

function leafOf(rack: Rack, members: number, racks: readonly Rack[]): Machine {
  return {
    name: rack.leaf,
    role: 'router',
    rack: rack.name,
    interfaces: [
      bridge('rack', rack.gateways),
      ...Array.from({ length: members }, (_, i) => port(`swp${i + 1}`, [], 'rack')),
      port(
        'uplink',
        rack.uplinks.map((u) => u.leaf),
      ),
    ],
    routes: racks
      .filter((r) => r !== rack)
      .flatMap((other) =>
        other.gateways.map(
          (gateway, family): StaticRoute => ({
            dst: subnetOf(gateway),
            via: rack.uplinks[family]?.spine.address ?? address('0.0.0.0'),
          }),
        ),
      ),
  };
}

function spineOf(racks: readonly Rack[]): Machine {
  return {
    name: 'spine',
    role: 'router',
    interfaces: racks.map((rack, i) =>
      port(
        `swp${i + 1}`,
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
  };
}
