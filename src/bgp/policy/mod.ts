// Public face of bgp/policy.
export type * from './types.ts';
export { compilePolicy, hashProgram, hashText } from './compile.ts';
export { explainPolicy, subjectPrefix } from './explain.ts';
export { noChanges } from './changes.ts';
export {
  defaultLocalPref,
  formatCommunity,
  localPrefOf,
  maxPriority,
  parseCommunity,
  priorityOf,
  prefixWords,
  setSubjectPrefix,
  subjectOf,
  type Community,
} from './values.ts';
