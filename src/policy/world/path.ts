// The way of a packet through a cluster, as steps: which programs it meets, in which order (FX-040…FX-052, FX-058).
//
//   pod ─▶ [source address] ─▶ host: preDnat* ─▶ [pod egress] ─▶ host: forward out ─▶ wire
//   wire ─▶ host: untracked ─▶ preDnat ─▶ forward in ─▶ [pod ingress] ─▶ pod
//   wire ─▶ host: untracked ─▶ preDnat ─▶ normal in ─▶ host          host ─▶ untracked ─▶ normal out ─▶ wire
//   pod ─▶ preDnat* ─▶ [pod egress] ─▶ endpoint-to-host action ─▶ its own host      host ─▶ its own pod: free (FX-045)
//
//   * of a host endpoint for all interfaces, which stands at pods' interfaces for this stage only: what passes through the
//     host between pods' interfaces is not the host's to police (RS-141).
//
// The packet is the first of a connection; the addresses rules see after translation are its own.
import { containsAddress, familyOf, prefix, type Address } from '../../lib/ip/mod.ts';
import type { MatchOptions } from '../match.ts';
import {
  runSteps,
  type FixedStep,
  type PathVerdict,
  type ProgramStep,
  type Step,
  type StepOwner,
} from '../steps.ts';
import type { Stage } from '../compile/program.ts';
import type { Direction, Packet } from '../types.ts';
import { allInterfacesEndpoint, hostEndpointAt, placeOf, type Place } from './places.ts';
import { programOf } from './programs.ts';
import type { Endpoint, World } from './types.ts';

export type WorldPacket = Packet & {
  /** Where it comes from and goes to, where the addresses do not say: a forged source, two endpoints with one address. */
  readonly from?: Place;
  readonly to?: Place;
  /** Destination before translation, where it was translated: a node port, a floating address. */
  readonly preDnatDestination?: Address;
  readonly preDnatDestinationPort?: number;
  /** What connection tracking takes it for; `new` when absent. */
  readonly connection?: 'new' | 'established' | 'related' | 'invalid';
  /** The interface by which it enters or leaves a node, by node. */
  readonly hostInterfaces?: Readonly<Record<string, string>>;
};

/** The verdict about a packet between any two addresses: both ends' policy and that of the hosts on the way. A packet that
 *  meets no policy at all is allowed, with no step to show for it. */
export function verdictOf(
  world: World,
  packet: WorldPacket,
  options: MatchOptions = {},
): PathVerdict & { readonly action: 'allow' | 'deny' } {
  const verdict = runSteps(stepsOf(world, packet), world.sets, options);
  return { ...verdict, action: verdict.action === 'deny' ? 'deny' : 'allow' };
}

/** The steps that the packet meets if nothing stops it. */
export function stepsOf(world: World, packet: WorldPacket): readonly Step[] {
  const from = packet.from ?? placeOf(world, packet.source);
  const to = packet.to ?? destinationOf(world, packet.destination, from);
  const first = packet.preDnatDestination && placeOf(world, packet.preDnatDestination);
  const nodes = [nodeOf(from), first?.kind === 'host' ? first.node : undefined, nodeOf(to)];
  const way = nodes.filter((node, i) => node !== undefined && node !== nodes[i - 1]);
  const route = [...new Set(way)].filter((node) => node !== undefined);
  const { from: _from, to: _to, ...seen } = packet;
  if (from.kind === 'closed') return [closedStep(packet.source, from.reason, 'egress')];
  if (isOwn(packet, from, to)) return [];
  return [
    ...route.flatMap((node, i) =>
      stepsAt({
        world,
        packet: seen,
        node,
        entry: i === 0 && from.kind !== 'outside' ? from : wire,
        exit: i === route.length - 1 && to.kind !== 'outside' ? to : wire,
      }),
    ),
    ...(to.kind === 'closed' ? [closedStep(packet.destination, to.reason, 'ingress')] : []),
  ];
}

/** What a workload sends to itself never leaves it. What comes back to it from a service has left it. */
const isOwn = (packet: WorldPacket, from: Place, to: Place): boolean =>
  from.kind === 'workload' &&
  to.kind === 'workload' &&
  from.endpoint === to.endpoint &&
  packet.preDnatDestination === undefined;

const wire: Place = { kind: 'outside' };

/** What a workload sends to its link ends at its host. */
function destinationOf(world: World, destination: Address, from: Place): Place {
  if (from.kind === 'workload' && isLinkLocal(destination)) return { kind: 'host', node: from.endpoint.node };
  return placeOf(world, destination);
}

const linkLocalNets = ['169.254.0.0/16', '224.0.0.0/24', 'fe80::/10', 'ff02::/16'].map(prefix);
const isLinkLocal = (address: Address): boolean => linkLocalNets.some((net) => containsAddress(net, address));

type Seen = Omit<WorldPacket, 'from' | 'to'>;

const nodeOf = (place: Place): string | undefined =>
  place.kind === 'workload' ? place.endpoint.node : place.kind === 'host' ? place.node : undefined;

const closedStep = (address: Address, reason: string, direction: Direction): Step => ({
  kind: 'fixed',
  check: 'unknown-endpoint',
  owner: { kind: 'host', node: '' },
  direction,
  action: 'deny',
  reason: `${address} belongs to a pod without an endpoint: ${reason}`,
});

/** One node of the way. */
type Hop = {
  readonly world: World;
  readonly packet: Seen;
  readonly node: string;
  readonly entry: Place;
  readonly exit: Place;
};

function stepsAt(hop: Hop): readonly Step[] {
  const { entry, exit } = hop;
  const tracked = isGuarded(hop) ? connectionSteps(hop) : [];
  const early = [...untrackedSteps(hop), ...tracked];
  if (tracked.some(({ action }) => action === 'allow')) return early;
  if (entry.kind === 'host')
    return [...early, ...(exit.kind === 'workload' ? [ownWorkload(hop)] : leavingHost(hop))];
  const before = entry.kind === 'workload' ? fromWorkload(hop, entry.endpoint) : fromWire(hop);
  return [...early, ...before, ...(exit.kind === 'host' ? intoHost(hop) : through(hop))];
}

/** The host's rules before connection tracking: at the node's end of the wire, in both directions. */
function untrackedSteps(hop: Hop): readonly Step[] {
  const direction =
    hop.entry.kind === 'outside'
      ? 'ingress'
      : hop.entry.kind === 'host' && hop.exit.kind === 'outside'
        ? 'egress'
        : undefined;
  const endpoint = direction && wireEndpoint(hop, direction);
  return direction === undefined || endpoint === undefined
    ? []
    : [hostStep(hop, endpoint, 'untracked', direction)];
}

/** Whether an endpoint stands in the way, which looks at connections. A host without one is left alone, and a host that
 *  speaks to its own workload passes nobody. */
function isGuarded(hop: Hop): boolean {
  const { entry, exit } = hop;
  if (entry.kind === 'workload') return true;
  if (exit.kind === 'workload') return entry.kind !== 'host';
  return wireEndpoint(hop, entry.kind === 'host' ? 'egress' : 'ingress') !== undefined;
}

/** From a workload up to its host: what its interface lets through, the host's rules before translation. Its own policy
 *  comes later, where packets that pass and packets for the host part. */
function fromWorkload(hop: Hop, endpoint: Endpoint): readonly Step[] {
  const all = allInterfacesEndpoint(hop.world, hop.node);
  return [
    ...neighbourDiscovery(hop, endpoint),
    ...sourceCheck(hop, endpoint),
    ...(all === undefined ? [] : [hostStep(hop, all, 'preDnat', 'ingress')]),
    ...tunnelChecks(hop, endpoint),
  ];
}

/** From another machine: the host's rules before translation. */
function fromWire(hop: Hop): readonly Step[] {
  const endpoint = wireEndpoint(hop, 'ingress');
  return endpoint === undefined ? [] : [hostStep(hop, endpoint, 'preDnat', 'ingress')];
}

function intoHost(hop: Hop): readonly Step[] {
  if (hop.entry.kind !== 'workload') {
    const endpoint = wireEndpoint(hop, 'ingress');
    return endpoint === undefined ? [] : [hostStep(hop, endpoint, 'normal', 'ingress')];
  }
  const { endpoint } = hop.entry;
  const { endpointToHost } = hop.world.settings(hop.node);
  const all = allInterfacesEndpoint(hop.world, hop.node);
  const action = fixed(hop, 'ingress', {
    check: 'endpoint-to-host',
    action: ({ drop: 'deny', accept: 'allow', return: 'none' } as const)[endpointToHost],
    reason: `defaultEndpointToHostAction is ${endpointToHost}`,
  });
  return [
    ...workloadSteps(hop, endpoint, 'egress'),
    action,
    ...(endpointToHost === 'return' && all !== undefined ? [hostStep(hop, all, 'normal', 'ingress')] : []),
  ];
}

/** What passes through the node: forward rules of the host at interfaces that lead away, policy of workloads at theirs. */
function through(hop: Hop): readonly Step[] {
  const { entry, exit } = hop;
  const inward = entry.kind === 'outside' ? wireEndpoint(hop, 'ingress') : undefined;
  const outward = exit.kind === 'outside' ? wireEndpoint(hop, 'egress') : undefined;
  return [
    ...(inward === undefined ? [] : [hostStep(hop, inward, 'forward', 'ingress')]),
    ...(entry.kind === 'workload' ? workloadSteps(hop, entry.endpoint, 'egress') : []),
    ...(exit.kind === 'workload' ? workloadSteps(hop, exit.endpoint, 'ingress') : []),
    ...(outward === undefined ? [] : [hostStep(hop, outward, 'forward', 'egress')]),
  ];
}

/** From a host to another machine; to itself nothing stands in the way. */
function leavingHost(hop: Hop): readonly Step[] {
  const endpoint = hop.exit.kind === 'host' ? undefined : wireEndpoint(hop, 'egress');
  return endpoint === undefined ? [] : [hostStep(hop, endpoint, 'normal', 'egress')];
}

/** The host endpoint at the node's end of the wire. */
function wireEndpoint({ world, packet, node, entry, exit }: Hop, direction: Direction): Endpoint | undefined {
  const own =
    direction === 'ingress'
      ? exit.kind === 'host'
        ? (packet.preDnatDestination ?? packet.destination)
        : undefined
      : entry.kind === 'host'
        ? packet.source
        : undefined;
  return hostEndpointAt(world, node, packet.hostInterfaces?.[node], own);
}

const ownerOf = ({ kind, namespace = '', name, pod, node }: Endpoint): StepOwner =>
  kind === 'workload' ? { kind, namespace, name: pod ?? name } : { kind: 'host', node, hostEndpoint: name };

/** Limits come first, and are only remarked on: whether they are reached depends on other packets. */
const workloadSteps = (hop: Hop, endpoint: Endpoint, direction: Direction): readonly Step[] => [
  ...limitRemark(hop, endpoint, direction),
  {
    kind: 'program',
    stage: 'normal',
    owner: ownerOf(endpoint),
    direction,
    program: programOf(hop.world, endpoint, 'normal', direction),
    packet: hop.packet,
  },
];

function limitRemark(hop: Hop, endpoint: Endpoint, direction: Direction): readonly Step[] {
  const bandwidth = endpoint.limits?.[`${direction}Bandwidth`];
  const rate = endpoint.limits?.[`${direction}PacketRate`];
  const connections = endpoint.limits?.[`${direction}MaxConnections`];
  const words = [
    ...(bandwidth ? [`${bandwidth} bits per second`] : []),
    ...(rate ? [`${rate} packets per second`] : []),
    ...(connections ? [`${connections} connections`] : []),
  ];
  if (words.length === 0) return [];
  const reason = `within the limit of ${words.join(' and ')}`;
  return [fixed(hop, direction, { check: 'limits', action: 'none', reason }, ownerOf(endpoint))];
}

function hostStep(hop: Hop, endpoint: Endpoint, stage: Stage, direction: Direction): ProgramStep {
  const { preDnatDestination: destination, preDnatDestinationPort: destinationPort } = hop.packet;
  const isEarly = stage === 'untracked' || stage === 'preDnat';
  const isTranslatedHere = isEarly && direction === 'ingress' && destination !== undefined;
  return {
    kind: 'program',
    stage,
    owner: ownerOf(endpoint),
    direction,
    program: programOf(hop.world, endpoint, stage, direction),
    packet: isTranslatedHere
      ? { ...hop.packet, destination, ...(destinationPort === undefined ? {} : { destinationPort }) }
      : hop.packet,
    failsafe: hop.world.settings(hop.node).failsafe,
  };
}

type Remark = Pick<FixedStep, 'check' | 'action' | 'reason'> & { readonly isFinal?: true };

const fixed = (
  hop: Hop,
  direction: Direction,
  remark: Remark,
  owner: StepOwner = { kind: 'host', node: hop.node },
): FixedStep => ({ kind: 'fixed', owner, direction, ...remark });

/** Packets of known connections pass, on every node; what belongs to none that could be is dropped (FX-047, FX-057). */
function connectionSteps(hop: Hop): readonly FixedStep[] {
  const { connection = 'new' } = hop.packet;
  const direction = hop.entry.kind === 'outside' ? 'ingress' : 'egress';
  const remark = (action: FixedStep['action'], reason: string): readonly FixedStep[] => [
    fixed(hop, direction, { check: 'connection', action, reason }),
  ];
  if (connection === 'new') return [];
  if (connection !== 'invalid') return remark('allow', `the connection is ${connection}`);
  return hop.world.settings(hop.node).dropsInvalidConnections
    ? remark('deny', 'connection tracking takes the packet for invalid')
    : remark('none', 'connection tracking takes the packet for invalid, which does not count here');
}

const ownWorkload = (hop: Hop): Step =>
  fixed(hop, 'egress', {
    check: 'own-workload',
    action: 'allow',
    reason: 'a host reaches its own workloads',
  });

/** Multicast listener discovery and neighbour discovery, without which IPv6 does not work (FX-053). */
const neighbourTypes: ReadonlySet<number> = new Set([130, 131, 132, 133, 135, 136]);
const icmpV6 = 58;

function neighbourDiscovery(hop: Hop, endpoint: Endpoint): readonly Step[] {
  const { protocol, icmpType } = hop.packet;
  const isNeeded = protocol === icmpV6 && icmpType !== undefined && neighbourTypes.has(icmpType);
  if (!isNeeded || hop.exit.kind !== 'host') return [];
  return [
    fixed(
      hop,
      'egress',
      {
        check: 'neighbour-discovery',
        action: 'allow',
        reason: `ICMPv6 type ${icmpType} to the host is always allowed`,
        isFinal: true,
      },
      ownerOf(endpoint),
    ),
  ];
}

/** A workload sends from its own addresses, and from foreign ones that it asked for where the host allows that (FX-138). */
function sourceCheck(hop: Hop, endpoint: Endpoint): readonly Step[] {
  const { source } = hop.packet;
  // The way back to an address of the link is the link.
  const isOfLink = familyOf(source) === 6 && isLinkLocal(source);
  if (isOfLink || endpoint.addresses.includes(source)) return [];
  const isAskedFor = endpoint.foreignSources.some((prefix) => containsAddress(prefix, source));
  const isAllowed = isAskedFor && hop.world.settings(hop.node).allowsForeignSources;
  const reason = isAllowed
    ? `${source} is among its allowed source prefixes`
    : isAskedFor
      ? `${source} is among its allowed source prefixes, but workloadSourceSpoofing is Disabled`
      : `${source} is none of its addresses`;
  const action = isAllowed ? 'none' : 'deny';
  return [fixed(hop, 'egress', { check: 'source-address', action, reason }, ownerOf(endpoint))];
}

const udp = 17;
const ipip = 4;

/** Workloads must not speak to tunnels of other nodes (FX-047). */
function tunnelChecks(hop: Hop, endpoint: Endpoint): readonly Step[] {
  const { protocol, destinationPort } = hop.packet;
  const settings = hop.world.settings(hop.node);
  const isVxlan = protocol === udp && destinationPort === settings.vxlanPort;
  const name =
    isVxlan && !settings.allowsVxlanFromWorkloads
      ? 'VXLAN'
      : protocol === ipip && !settings.allowsIpipFromWorkloads
        ? 'IPIP'
        : undefined;
  if (name === undefined) return [];
  const reason = `${name} from workloads is not allowed`;
  return [fixed(hop, 'egress', { check: 'tunnel', action: 'deny', reason }, ownerOf(endpoint))];
}
