// Ways that must stay open while policy changes: what the nodes of a cluster need of each other's hosts to be managed at all.
// Pure: given the cluster before a change and after it, which of them does the change close?
import type { Address } from '../../lib/ip/mod.ts';
import { describeStep } from '../steps.ts';
import { verdictOf, type WorldPacket } from './path.ts';
import type { World, WorldNode } from './types.ts';

/** An address and a port that answers there. */
export type Door = { readonly address: Address; readonly port: number };

/** A connection somebody depends on: `worker1 to the API server at 10.0.0.254:6443`. */
export type Way = {
  readonly name: string;
  /** Nodes whose host endpoints may stand in it. */
  readonly nodes: readonly string[];
  /** The first packet there, and one of those that come back. */
  readonly packets: readonly [there: WorldPacket, back: WorldPacket];
};
export type Cut = { readonly way: Way; readonly reason: string };

const tcp = 6;
/** Whatever port the asking side takes: rules about source ports see one of the usual range. */
const someClientPort = 40_000;

/** A TCP connection. `client` without a port takes one of its choice. */
export function wayOf(
  name: string,
  nodes: readonly string[],
  client: { readonly address: Address; readonly port?: number },
  server: Door,
): Way {
  const port = client.port ?? someClientPort;
  const there: WorldPacket = {
    protocol: tcp,
    source: client.address,
    sourcePort: port,
    destination: server.address,
    destinationPort: server.port,
  };
  const back: WorldPacket = {
    ...there,
    source: there.destination,
    sourcePort: server.port,
    destination: there.source,
    destinationPort: port,
    connection: 'established',
  };
  return { name, nodes, packets: [there, back] };
}

/** The ways that were open and are not any more. */
export function closedWays(before: World, after: World, ways: readonly Way[]): readonly Cut[] {
  const [were, are] = [nearOf(before), nearOf(after)];
  return ways.flatMap((way) => {
    const reason = reasonAgainst(are(way.nodes), way);
    if (reason === undefined || reasonAgainst(were(way.nodes), way) !== undefined) return [];
    return [{ way, reason }];
  });
}

function reasonAgainst(world: World, { packets }: Way): string | undefined {
  for (const packet of packets) {
    const { action, decidedBy } = verdictOf(world, packet);
    if (action === 'deny') return decidedBy === undefined ? 'denied' : describeStep(decidedBy);
  }
  return undefined;
}

/** A part of the world that says the same about packets of the nodes named, so that a way costs nothing for each other node.
 *  Sets are those of the whole. */
function nearOf(world: World): (nodes: readonly string[]) => World {
  const byNode = Map.groupBy(world.hostEndpoints, ({ node }) => node);
  return (nodes) => ({
    ...world,
    hostEndpoints: nodes.flatMap((node) => byNode.get(node) ?? []),
    nodes: new Map(
      nodes.flatMap((name): readonly (readonly [string, WorldNode])[] => {
        const node = world.nodes.get(name);
        return node === undefined ? [] : [[name, node]];
      }),
    ),
  });
}
