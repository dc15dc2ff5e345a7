// Public face of the topologies.
export { reflectorLabel, sessionCount } from './designs.ts';
export { drawTopology } from './draw.ts';
export { type Expectation, expectBetween, planTopology, type TopologyError } from './plan.ts';
export {
  type BgpNeighbour,
  type Cable,
  type CableEnd,
  type DesignName,
  designNames,
  type Interface,
  type Machine,
  type NodeBgp,
  type NodePlan,
  nodesOf,
  type PeerPlan,
  type Rack,
  type ReflectorKind,
  type RouterBgp,
  type StaticRoute,
  type Topology,
  type TopologyName,
  topologyNames,
  type TopologyOptions,
} from './types.ts';
