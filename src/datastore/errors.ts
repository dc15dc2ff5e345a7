// Makers of the datastore's errors, so that every driver says the same thing in the same words.
import { err, type Err } from '../lib/result.ts';
import type { ObjectName, StoreError, StoreErrorCode } from './types.ts';

export const storeError = (code: StoreErrorCode, message: string, hint?: string): StoreError =>
  hint === undefined ? { code, message } : { code, message, hint };

/** `IPPool "default"`, `Pod "web" in namespace "shop"`. */
export const describeObject = (kind: string, name: ObjectName): string =>
  name.namespace === undefined
    ? `${kind} "${name.name}"`
    : `${kind} "${name.name}" in namespace "${name.namespace}"`;

export const notFound = (kind: string, name: ObjectName): Err<StoreError> =>
  err(storeError('NotFound', `${describeObject(kind, name)} does not exist.`));

export const alreadyExists = (kind: string, name: ObjectName): Err<StoreError> =>
  err(storeError('AlreadyExists', `${describeObject(kind, name)} already exists.`));

export const conflict = (kind: string, name: ObjectName, why: string): Err<StoreError> =>
  err(storeError('Conflict', `${describeObject(kind, name)} was changed meanwhile: ${why}.`));

export const invalid = (kind: string, name: ObjectName, field: string, reason: string): Err<StoreError> =>
  err({
    code: 'Invalid',
    message: `${describeObject(kind, name)} is not valid: ${field} ${reason}.`,
    issues: [{ field, reason }],
  });

/** A failure of the moment: the same request may succeed later, and the failed one may even have been carried out. */
export const isTransient = (error: { readonly code: string }): boolean =>
  error.code === 'Unavailable' || error.code === 'Timeout';
