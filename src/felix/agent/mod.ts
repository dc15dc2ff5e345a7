// Public face of the node agent. See docs/felix.md.
export { followedByAgents, startAgent } from './agent.ts';
export {
  type Agent,
  type AgentError,
  type AgentOptions,
  type AgentPaths,
  type AgentPhase,
  type AgentStatus,
  nodePaths,
} from './types.ts';
export { liveness, readiness, type HealthReport } from './health.ts';
export { onProfileSignals, type ProfileSignalOptions } from './profiles.ts';
export { mayWrite } from './host.ts';
export { localSettings } from './local-settings.ts';
export { reportNetwork } from './resources.ts';
export { answerStartup, type StartupQuestion } from './startup/answers.ts';
export { configureAddresses } from './startup/addresses.ts';
export { detectAddress, firstFoundCandidates, localCidr } from './startup/detection.ts';
export { resolveNodeName } from './startup/node-name.ts';
export { tunnelGaps } from './tunnel-addresses.ts';
export { kubeadmPodSubnets, planDefaultPools } from './startup/pools.ts';
export { type NarrowPath, PathMtu, type PathMtuStatus } from './path-mtu.ts';
