// Public face of the controllers: what one process does for the cluster as a whole. See docs/policy.md and
// docs/policy-dataplane.md.
export { startCompaction, type CompactionOptions } from './compaction.ts';
export { startHostEndpoints, type HostEndpoints, type HostEndpointsOptions } from './host-endpoints.ts';
export {
  controllerNames,
  startControllers,
  type ControllerName,
  type Controllers,
  type ControllersOptions,
} from './run.ts';
export { startPodLimits, type PodLimits, type PodLimitsOptions } from './pod-limits.ts';
export { startPolicyStatus, type PolicyStatus, type PolicyStatusOptions } from './policy-status.ts';
export { startPoolStatus, type PoolStatus, type PoolStatusOptions } from './pool-status.ts';
export {
  confirmed,
  isOver,
  isTrialKind,
  onTrial,
  startTrials,
  type Trial,
  trialAnnotation,
  TrialFilter,
  type TrialKind,
  trialKinds,
  trialOf,
  type TrialTerms,
  type Trials,
  type TrialsOptions,
} from './trials.ts';
