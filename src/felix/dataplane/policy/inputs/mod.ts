// What both back ends of policy build on:
//
//   PolicyChange[] ─► PolicyMirror.take ─► MirrorChanges: which endpoints, policies, profiles, sets became different
//   EndpointPolicy ─► planOf(endpoint, stage, direction): what its program is made of, with a key equal for equal ones
//   ProgramPlan    ─► programOf(plan, mirror): the PolicyProgram as policies and profiles read now; what is missing denies
//                      editedProgram: the same after edits of single policies
//   FelixConfig    ─► policySettings(config, backEnd)
export { PolicyMirror, type MemberChange, type MirrorChanges, type MirroredSet } from './mirror.ts';
export {
  editedProgram,
  endpointStages,
  planOf,
  policiesOf,
  programOf,
  type PlannedTier,
  type ProgramPlan,
  type RulesEdit,
} from './programs.ts';
export { policySettings, type PolicyBackEnd } from './settings.ts';
