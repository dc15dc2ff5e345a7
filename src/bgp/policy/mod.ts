// Public face of bgp/policy.
export type * from './types.ts';
