// Public face of the session state machine. Pure.
export * from './types.ts';
export { defaultTiming, establishedSide, initialState, stateName, step } from './machine.ts';
export { negotiate, openFor, type OpenRefusal } from './open.ts';
export { describeReason } from './reasons.ts';
