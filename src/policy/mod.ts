// Public face of policy: what rules mean, and how resources become rules. See docs/policy.md.
export type {
  Action,
  Direction,
  HttpMatch,
  HttpRequest,
  IcmpMatch,
  Packet,
  PathMatch,
  PolicyId,
  PolicyKind,
  PolicyProgram,
  PolicyRules,
  PortMember,
  PortRange,
  ProfileRules,
  Rule,
  RuleId,
  SetDefinition,
  SetId,
  SetLookup,
  SideMatch,
  TierRules,
} from './types.ts';
export {
  describeDecision,
  policyText,
  type Decision,
  type PolicyTrace,
  type ProfileTrace,
  type RuleField,
  type RuleTrace,
  type TierTrace,
  type Trace,
  type TracedVerdict,
  type Verdict,
} from './trace.ts';
export { explain } from './explain.ts';
export { decide, evaluate } from './evaluate.ts';
export { hasPorts, matchRule, type MatchOptions, type RuleMatch } from './match.ts';
export { matchesHttp, matchesMethods, matchesPaths, normalisePath } from './http.ts';
export {
  MemorySets,
  memberText,
  namedPortSet,
  parseMember,
  selectorSet,
  serviceSet,
  type SetMember,
  type SetMemberError,
} from './sets.ts';
export { compileRule, type SetCollection } from './compile/rule.ts';
export {
  compilePolicy,
  type CompiledPolicy,
  type PolicyPlace,
  type PolicyResource,
  type StagedAction,
} from './compile/policy.ts';
export { allowProfile, compileProfile, missingProfile, type CompiledProfile } from './compile/profile.ts';
export {
  comparePolicies,
  compareTiers,
  compileTier,
  standardTiers,
  type CompiledTier,
} from './compile/tier.ts';
export { assembleProgram, type ProgramInput, type Stage } from './compile/program.ts';
export {
  describeStep,
  ownerText,
  runSteps,
  type FailsafePort,
  type FailsafePorts,
  type FixedStep,
  type PathVerdict,
  type ProgramStep,
  type Step,
  type StepOwner,
  type StepResult,
} from './steps.ts';
export { buildWorld, type WorldResource } from './world/build.ts';
export { effectiveLabels } from './world/endpoints.ts';
export { membersOf } from './world/members.ts';
export { stepsOf, verdictOf, type WorldPacket } from './world/path.ts';
export { allInterfacesEndpoint, hostEndpointAt, placeOf, type Place } from './world/places.ts';
export { endpointsOf, policiesOf, programOf, withStaged } from './world/programs.ts';
export { settingsOf, standardFailsafe, standardSettings } from './world/settings.ts';
export { closedWays, wayOf, type Cut, type Door, type Way } from './world/ways.ts';
export type {
  Endpoint,
  EndpointPort,
  LabelledNets,
  NodeSettings,
  ServiceEndpoints,
  World,
  WorldNode,
} from './world/types.ts';
