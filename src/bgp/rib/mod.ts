// Public face of bgp/rib.
export type * from './types.ts';
export { decisionSteps, ineligibleReasons } from './types.ts';
export { createRib } from './rib.ts';
