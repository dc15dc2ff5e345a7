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
export { NodeStatusReporter, type NodeStatusOptions } from './node-status/reporter.ts';
export { answerOf, askAnnotation, type Answered, type Question } from './node-status/question.ts';
export { followedBySpeakers, PlanSource, type PlanSourceOptions } from './plan-source.ts';
export { Speaker, type SpeakerOptions } from './speaker.ts';
export { tcpTransport } from './tcp-transport.ts';
export type { WhyAnswer, WhyPath } from './why.ts';
export { runSpeaker, type Face, type RunOptions } from './run.ts';
export { standBy, type StandByOptions } from './stand-by.ts';
