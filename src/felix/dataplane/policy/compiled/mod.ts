// Public face of compiled programs. See docs/policy-dataplane.md.
export { CompiledPrograms } from './compiled-programs.ts';
export { asksOwnAddress, linearReason, noteEdits } from './prepared.ts';
export { programChain } from './program.ts';
export type { CompiledOutcome, CompiledStats, LinearReason, RowChanges } from './types.ts';
