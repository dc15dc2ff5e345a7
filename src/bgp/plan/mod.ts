// Public face of bgp/plan.
export type * from './types.ts';
