// A network that is not Calico's, for the backend `none`: every node has a range for its pods, as a kube-controller-manager
// hands them out, and somebody has written static routes to these ranges on all nodes and routers (as flannel does in its
// mode host-gw, and cloud providers in their routers). Pods get their addresses from Debian's plugin host-local.
//
//   master1 10.244.0.0/24   worker1 10.244.1.0/24   …
import { type Address, type Family, type Prefix, prefix } from '../../lib/ip/mod.ts';
import { addressesOf, type Fabric, type Machine, type StaticRoute } from './types.ts';

const rangeOf: Readonly<Record<Family, (node: number) => Prefix>> = {
  4: (node) => prefix(`10.244.${node}.0/24`),
  6: (node) => prefix(`fd00:10:244:${node.toString(16)}::/64`),
};

/** The same machines with ranges for pods, and a route to each of them wherever the default route does not lead there. */
export function withForeignNetwork(fabric: Fabric): Fabric {
  const families: readonly Family[] = fabric.dualStack ? [4, 6] : [4];
  const nodes = fabric.machines
    .filter((m) => m.role === 'node')
    .map((machine, i) => ({ machine, ranges: families.map((family) => rangeOf[family](i)) }));
  return {
    ...fabric,
    machines: fabric.machines.map((machine) => {
      const own = nodes.find((node) => node.machine === machine);
      const routes = nodes
        .filter((node) => node !== own)
        .flatMap((node) =>
          families.flatMap((family, i): StaticRoute[] => {
            const via = nextHop(fabric, machine, node.machine, family);
            const dst = node.ranges[i];
            return via === undefined || dst === undefined ? [] : [{ dst, via }];
          }),
        );
      return {
        ...machine,
        routes: [...machine.routes, ...routes],
        ...(own === undefined ? {} : { podRanges: own.ranges }),
      };
    }),
  };
}

function nextHop(fabric: Fabric, from: Machine, node: Machine, family: Family): Address | undefined {
  if (from.role === 'switch') return undefined;
  const index = family === 4 ? 0 : 1;
  // In one subnet the node itself.
  if (from.rack === node.rack) return addressesOf(node)[index]?.address;
  // A node's default route leads to its leaf.
  if (from.role === 'node') return undefined;
  const own = fabric.racks.find((rack) => rack.leaf === from.name);
  if (own !== undefined) return own.uplinks[index]?.spine.address;
  const rack = fabric.racks.find((one) => one.name === node.rack);
  return from.name === 'spine' ? rack?.uplinks[index]?.leaf.address : undefined;
}
