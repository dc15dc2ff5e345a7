// Failures as the CNI specification has them: a number that runtimes act on, a sentence, and details.
import type { Failure } from '../lib/result.ts';

/** Codes 1 to 50 are the specification's; from 100 on they are this plugin's (docs/cni.md lists them). */
export const cniCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decoding: 6,
  invalidConfiguration: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  notAvailableLimitedConnectivity: 51,
  addressAssignment: 100,
  networking: 101,
  datastore: 102,
  checkFailed: 103,
  delegatedPlugin: 104,
} as const;

export type CniError = Failure & { readonly cniCode: number; readonly details?: string };

export const cniError = (cniCode: number, code: string, message: string, details?: string): CniError =>
  details === undefined ? { cniCode, code, message } : { cniCode, code, message, details };

/** Wraps another module's failure: its sentence and hint reach the runtime, its code stays visible. */
export const wrapFailure = (cniCode: number, what: string, f: Failure): CniError =>
  cniError(cniCode, f.code, `${what}: ${f.message}`, f.hint);

/** A failure of address assignment; the datastore's is told apart. */
export const wrapIpamFailure = (what: string, f: Failure): CniError =>
  wrapFailure(f.code === 'StoreFailed' ? cniCodes.datastore : cniCodes.addressAssignment, what, f);
