// From what the user asked for to a topology, and what to expect of it.
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Family } from '../../lib/ip/mod.ts';
import type { ModeName } from '../modes.ts';
import { layDesign } from './designs.ts';
import { flatFabric, maxFlatNodes } from './flat.ts';
import { withForeignNetwork } from './foreign-network.ts';
import { rackCounts, racksFabric } from './racks.ts';
import { designNames, type Topology, topologyNames, type TopologyOptions } from './types.ts';

export type TopologyError = Failure<'UnknownTopology' | 'BadNodeCount' | 'BadDesign'>;

/** Racks number their further workers from .24 on. */
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
  const racks = rackCounts[name] ?? 0;
  // Every rack has a node.
  const nodes = options.nodes ?? Math.max(4, racks + 2);
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
  const design = designNames.find((known) => known === (options.design ?? 'mesh'));
  if (design === undefined)
    return err(
      failure(
        'BadDesign',
        `There is no design "${options.design}".`,
        `Choose one of: ${designNames.join(', ')}.`,
      ),
    );
  const { backend = 'bird' } = options;
  if (backend !== 'bird' && (design !== 'mesh' || options.reflectors === 'routers'))
    return err(
      failure(
        'BadDesign',
        `With the backend ${backend} nobody speaks BGP: there is no design to choose.`,
        'Leave --design and --reflectors out, or use --backend bird.',
      ),
    );
  const fabricBgp = backend === 'bird' && (options.fabricBgp ?? true);
  const needsLeaves = design === 'as-per-rack' || design === 'as-per-server';
  if (needsLeaves && racks === 0)
    return err(
      failure('BadDesign', `The design ${design} needs leaves; topology ${name} has none.`, 'Use two-racks.'),
    );
  if (needsLeaves && !fabricBgp)
    return err(failure('BadDesign', `The design ${design} needs leaves that speak BGP.`));
  const withReflectors = options.reflectors === 'routers';
  const shape = { name, nodes, dualStack: options.dualStack ?? false, withReflectors };
  const fabric = racks === 0 ? flatFabric(shape) : racksFabric(shape);
  const carried = backend === 'none' ? withForeignNetwork(fabric) : fabric;
  return ok(layDesign(carried, design, { fabricBgp, backend }));
}

/** What a ping from a pod of one node to a pod of another is expected to see. */
export type Expectation =
  | { readonly reachable: true; readonly ttl: number }
  | { readonly reachable: false; readonly reason: string };

/** 63 on one node (one host forwards), 62 across nodes of a subnet, three less across racks (leaf, spine, leaf). In a tunnel
 *  the routers in between count in the outer header only, and need to know nothing of pods; IP in IP is for IPv4. */
export function expectBetween(
  topology: Topology,
  from: string,
  to: string,
  { mode = 'bgp', family = 4 }: { readonly mode?: ModeName; readonly family?: Family } = {},
): Expectation {
  if (from === to) return { reachable: true, ttl: 63 };
  const rackOf = (name: string): string | undefined => topology.machines.find((m) => m.name === name)?.rack;
  if (rackOf(from) === rackOf(to)) return { reachable: true, ttl: 62 };
  const tunnels = mode.startsWith('vxlan') || (mode.startsWith('ipip') && family === 4);
  if (tunnels) return { reachable: true, ttl: 62 };
  if (topology.fabricBgp || topology.backend === 'none') return { reachable: true, ttl: 59 };
  return { reachable: false, reason: 'the fabric has no route to pod blocks' };
}
