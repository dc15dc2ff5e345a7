// Public face of the topologies.
export { drawTopology } from './draw.ts';
export { type Expectation, expectBetween, planTopology, type TopologyError } from './plan.ts';
export {
  type BgpNeighbour,
  type Cable,
  type CableEnd,
  type Interface,
  type Machine,
  type NodePlan,
  nodesOf,
  type PeerPlan,
  type RouterBgp,
  type StaticRoute,
  type Topology,
  type TopologyName,
  topologyNames,
  type TopologyOptions,
} from './types.ts';
