// Public face of the speaker. See docs/bgp.md.
export type {
  NeighbourConfig,
  NeighbourKind,
  NeighbourRange,
  PeerStatus,
  SessionSecurity,
  SpeakerConfig,
  SpeakerError,
  SpeakerErrorCode,
  SpeakerStatus,
} from './types.ts';
export type { Dial, DialOptions, Listener, Transport, Wire, WireHandlers } from './transport.ts';
export { configFromFile, configFromPlan, type PlanContext } from './config-plan.ts';
export { FakeNetwork } from './fake.ts';
export {
  answer,
  IntrospectionServer,
  type Answerer,
  type IntrospectionAnswer,
  type IntrospectionRequest,
  type RouteView,
} from './introspection.ts';
export { PlanSource, type PlanSourceOptions } from './plan-source.ts';
export { Speaker, type SpeakerOptions } from './speaker.ts';
export { tcpTransport } from './tcp-transport.ts';
export { runSpeaker, type RunOptions } from './run.ts';
