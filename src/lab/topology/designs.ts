// Who speaks BGP with whom: a design laid over a fabric. The nodes' side is resources (BGPConfiguration, BGPPeer, Node), as
// a user would write them; the routers' side is what somebody configures on the switches.
//
//   mesh           every node with every node, AS 64512; each also with its leaf, which it tells of its own blocks
//   rr             two reflectors in place of the mesh: selected nodes, or routers of their own; leaves as above
//   as-per-rack    no mesh; leaf and nodes of a rack share an AS, the leaf reflects; leaves and spine speak eBGP
//   as-per-server  no mesh; every node an AS of its own and one eBGP session, with its leaf
import type { BackendName } from '../backends.ts';
import { address, type Address, type InterfaceAddress } from '../../lib/ip/mod.ts';
import {
  addressesOf,
  type BgpNeighbour,
  type DesignName,
  type Fabric,
  type Machine,
  type NodeBgp,
  type PeerPlan,
  type Rack,
  type RouterBgp,
  type Topology,
} from './types.ts';

const spineAs = 65000;
const nodeAs = 64512;
/** The label that makes a node a reflector for the peers of the others, as in Calico's own examples. */
export const reflectorLabel = 'route-reflector';
const reflectorClusterId = address('244.0.0.1');

export function layDesign(
  fabric: Fabric,
  design: DesignName,
  { fabricBgp, backend }: { readonly fabricBgp: boolean; readonly backend: BackendName },
): Topology {
  const { reflectors, ...rest } = fabric;
  const nodes = fabric.machines.filter((m) => m.role === 'node');
  const hasFabric = fabricBgp && fabric.racks.length > 0;
  const nodeBgp = nodes.map((node) => nodeBgpOf(node, fabric, design, nodes));
  const asOf = (name: string): number => nodeBgp.find((n) => n.node === name)?.asNumber ?? nodeAs;
  const speaking = (machine: Machine): RouterBgp | undefined => {
    // A reflector of another design has nobody to speak to, and stays ready.
    if (reflectors.includes(machine.name)) return reflectorBgp(machine, design === 'rr' ? nodes : []);
    if (!hasFabric) return undefined;
    const rack = fabric.racks.find((r) => r.leaf === machine.name);
    if (rack !== undefined) return leafBgp(rack, nodes, design, asOf);
    return machine.name === 'spine' ? spineBgp(fabric.racks) : undefined;
  };
  return {
    ...rest,
    backend,
    design,
    fabricBgp: hasFabric,
    mesh: design === 'mesh' && backend === 'bird',
    machines: fabric.machines.map((machine) => {
      const bgp = machine.role === 'router' ? speaking(machine) : undefined;
      return bgp === undefined ? machine : { ...machine, bgp };
    }),
    peers: [
      ...(design === 'rr' ? reflectorPeers(fabric) : []),
      ...(hasFabric ? leafPeers(fabric, nodes, design, asOf) : []),
    ],
    nodeBgp,
    nodeAsNumber: nodeAs,
  };
}

// ── the nodes' side ──────────────────────────────────────────────────────────────────────────────────────────────────
function nodeBgpOf(node: Machine, fabric: Fabric, design: DesignName, nodes: readonly Machine[]): NodeBgp {
  const { name } = node;
  const rack = fabric.racks.find((r) => r.name === node.rack);
  if (design === 'as-per-rack' && rack !== undefined) return { node: name, asNumber: rack.asNumber };
  // 65011, 65021, 65022, 65023: by the last byte of the address.
  if (design === 'as-per-server')
    return { node: name, asNumber: spineAs + Number(addressOf(node, 4)?.address.split('.')[3] ?? 0) };
  if (design === 'rr' && fabric.reflectors.length === 0 && reflectingNodes(nodes).includes(name))
    return { node: name, routeReflectorClusterID: reflectorClusterId };
  return { node: name };
}

/** Two, in two racks where there are two. */
function reflectingNodes(nodes: readonly Machine[]): string[] {
  const [first] = nodes;
  if (first === undefined) return [];
  const second = nodes.find((n) => n.rack !== first.rack) ?? nodes[1];
  return second === undefined ? [first.name] : [first.name, second.name];
}

function reflectorPeers({ machines, reflectors }: Fabric): PeerPlan[] {
  const isReflector = `has(${reflectorLabel})`;
  if (reflectors.length === 0)
    return [
      { name: 'nodes-to-reflectors', nodeSelector: `!${isReflector}`, peerSelector: isReflector },
      { name: 'between-reflectors', nodeSelector: isReflector, peerSelector: isReflector },
    ];
  // Global: every node has a session with each.
  return machines
    .filter((m) => reflectors.includes(m.name))
    .flatMap((m) =>
      addressesOf(m).map((a) => ({
        name: familyName(m.name, a),
        peerIP: a.address,
        asNumber: nodeAs,
      })),
    );
}

function leafPeers(
  { racks }: Fabric,
  nodes: readonly Machine[],
  design: DesignName,
  asOf: (node: string) => number,
): PeerPlan[] {
  if (design === 'mesh' || design === 'rr')
    return racks.flatMap((rack) =>
      rack.gateways.map((gateway) => ({
        name: familyName(`${rack.name}-leaf`, gateway),
        peerIP: gateway.address,
        asNumber: rack.asNumber,
        nodeSelector: `rack == '${rack.name}'`,
        ownBlocksOnly: true,
      })),
    );
  return nodes.flatMap((node) => {
    const rack = racks.find((r) => r.name === node.rack);
    const as = design === 'as-per-rack' ? asOf(node.name) : rack?.asNumber;
    return (rack?.gateways ?? []).map((gateway) => ({
      name: familyName(`${node.name}-tor`, gateway),
      peerIP: gateway.address,
      ...(as === undefined ? {} : { asNumber: as }),
      node: node.name,
    }));
  });
}

// ── the routers' side ────────────────────────────────────────────────────────────────────────────────────────────────
function leafBgp(
  rack: Rack,
  nodes: readonly Machine[],
  design: DesignName,
  asOf: (node: string) => number,
): RouterBgp {
  const members = nodes.filter((n) => n.rack === rack.name);
  return {
    asNumber: rack.asNumber,
    routerId: firstAddress(rack.gateways),
    neighbours: [
      ...members.flatMap((node) =>
        addressesOf(node).map(
          (a): BgpNeighbour => ({
            name: node.name,
            address: a.address,
            asNumber: asOf(node.name),
            ...(design === 'as-per-rack' ? { rrClient: true } : {}),
            // Else the nodes of a rack would speak to each other through the leaf.
            ...(design === 'as-per-server' ? { keepsNextHop: true } : {}),
          }),
        ),
      ),
      ...rack.uplinks.map((u) => ({ name: 'spine', address: u.spine.address, asNumber: spineAs })),
    ],
  };
}

function spineBgp(racks: readonly Rack[]): RouterBgp {
  return {
    asNumber: spineAs,
    routerId: firstAddress(racks[0]?.uplinks.map((u) => u.spine) ?? []),
    neighbours: racks.flatMap((rack) =>
      rack.uplinks.map((u) => ({ name: rack.leaf, address: u.leaf.address, asNumber: rack.asNumber })),
    ),
  };
}

function reflectorBgp(machine: Machine, nodes: readonly Machine[]): RouterBgp {
  return {
    asNumber: nodeAs,
    routerId: firstAddress(addressesOf(machine)),
    neighbours: nodes.flatMap((node) =>
      addressesOf(node).map((a) => ({
        name: node.name,
        address: a.address,
        asNumber: nodeAs,
        rrClient: true,
      })),
    ),
  };
}

const isV6 = (a: InterfaceAddress): boolean => a.address.includes(':');
const addressOf = (machine: Machine, family: 4 | 6): InterfaceAddress | undefined =>
  addressesOf(machine).find((a) => isV6(a) === (family === 6));
const firstAddress = (addresses: readonly InterfaceAddress[]): Address =>
  addresses[0]?.address ?? address('0.0.0.0');
const familyName = (name: string, a: InterfaceAddress): string => (isV6(a) ? `${name}-v6` : name);

/** How many sessions a machine is to have. */
export function sessionCount(topology: Topology, name: string): number {
  const machine = topology.machines.find((m) => m.name === name);
  if (machine === undefined) return 0;
  if (machine.role !== 'node') return machine.bgp?.neighbours.length ?? 0;
  const families = topology.dualStack ? 2 : 1;
  const nodes = topology.nodeBgp;
  const reflecting = nodes.filter((n) => n.routeReflectorClusterID !== undefined);
  const isReflecting = reflecting.some((n) => n.node === name);
  const selected = topology.peers.filter(
    (p) =>
      p.peerIP !== undefined &&
      (p.node === undefined || p.node === name) &&
      (p.nodeSelector === undefined || p.nodeSelector === `rack == '${machine.rack}'`),
  );
  const others = topology.mesh ? nodes.length : isReflecting ? nodes.length : reflecting.length;
  const itself = topology.mesh || isReflecting ? 1 : 0;
  return selected.length + families * Math.max(0, others - itself);
}
