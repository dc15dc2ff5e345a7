// Makers of IPAM errors.
import { err, failure, type Err } from '../lib/result.ts';
import type { IpamError, IpamErrorCode, StoreFailure } from './types.ts';

export const ipamError = (code: IpamErrorCode, message: string, hint?: string): IpamError =>
  failure(code, message, hint);
export const fail = (code: IpamErrorCode, message: string, hint?: string): Err<IpamError> =>
  err(ipamError(code, message, hint));

/** A failure of the store, with what was being done. */
export const storeFailed = (doing: string, error: StoreFailure): Err<IpamError> =>
  err({ ...ipamError('StoreFailed', `${doing}: ${error.message}`, error.hint), cause: error.code });

export const contention = (what: string): Err<IpamError> =>
  fail(
    'TooMuchContention',
    `${what}: others changed it each time, ${maxAttempts} attempts were in vain.`,
    'Try again.',
  );

/** Bound on compare-and-swap attempts of one operation (RS-050). */
export const maxAttempts = 100;
