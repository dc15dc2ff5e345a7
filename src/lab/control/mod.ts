// Public face of the lab's control plane: scheduler, controllers of workloads and services, node life cycle.
export { type ControlLoop, type ControlOptions, startControlLoop } from './control-loop.ts';
export { type BindPod, bindByPatch, bindThroughApi } from './binding.ts';
