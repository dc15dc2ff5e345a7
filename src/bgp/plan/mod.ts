// Public face of bgp/plan.
export type * from './types.ts';
export { computePlan } from './compute.ts';
export { diffPlans } from './diff.ts';
export { hashedRouterId, parseAs, parseDurationSeconds } from './settings.ts';
export { confdCase } from './confd-case.ts';
