// From what the user asked for to a topology, and what to expect of it.
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { flat, maxFlatNodes } from './flat.ts';
import { twoRacks } from './two-racks.ts';
import { type Topology, topologyNames, type TopologyOptions } from './types.ts';

export type TopologyError = Failure<'UnknownTopology' | 'BadNodeCount'>;

/** Two racks number their further workers from 10.0.0.24 on. */
const maxRackNodes = 200;

export function planTopology(
  options: Omit<TopologyOptions, 'name'> & { readonly name: string },
): Result<Topology, TopologyError> {
  const name = topologyNames.find((known) => known === options.name);
  if (name === undefined) {
    return err(
      failure(
        'UnknownTopology',
        `There is no topology "${options.name}".`,
        `Choose one of: ${topologyNames.join(', ')}.`,
      ),
    );
  }
  const nodes = options.nodes ?? 4;
  const most = name === 'flat' ? maxFlatNodes : maxRackNodes;
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > most) {
    return err(
      failure(
        'BadNodeCount',
        `A lab of topology ${name} has 1 to ${most} nodes, not ${nodes}.`,
        'Give --nodes a number in that range.',
      ),
    );
  }
  const dualStack = options.dualStack ?? false;
  return ok(
    name === 'flat'
      ? flat({ nodes, dualStack })
      : twoRacks({ nodes, dualStack, fabricBgp: options.fabricBgp ?? true }),
  );
}

/** What a ping from a pod of one node to a pod of another is expected to see. */
export type Expectation =
  | { readonly reachable: true; readonly ttl: number }
  | { readonly reachable: false; readonly reason: string };

/** 63 on one node (one host forwards), 62 across nodes of a subnet, three less across racks (leaf, spine, leaf). */
export function expectBetween(topology: Topology, from: string, to: string): Expectation {
  if (from === to) return { reachable: true, ttl: 63 };
  const rackOf = (name: string): string | undefined => topology.machines.find((m) => m.name === name)?.rack;
  if (rackOf(from) === rackOf(to)) return { reachable: true, ttl: 62 };
  if (topology.fabricBgp) return { reachable: true, ttl: 59 };
  return { reachable: false, reason: 'the fabric has no route to pod blocks' };
}
