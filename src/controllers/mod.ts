// Public face of the controllers: what one process does for the cluster as a whole. See docs/policy.md.
export { startPolicyStatus, type PolicyStatus, type PolicyStatusOptions } from './policy-status.ts';
