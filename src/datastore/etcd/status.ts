// What etcd's gateway answers when it refuses, as errors of the datastore. The codes are those of gRPC.
import { storeError } from '../errors.ts';
import type { StoreError } from '../types.ts';

export type GatewayStatus = { readonly code?: number; readonly message?: string; readonly error?: string };

const codes = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unauthenticated: 16,
} as const;

export function errorOfStatus(status: GatewayStatus, doing: string): StoreError {
  const message = `${doing}: ${status.message ?? status.error ?? 'etcd gave no answer'}.`;
  switch (status.code) {
    case codes.unauthenticated:
      return storeError('Unauthorized', message);
    case codes.permissionDenied:
      return storeError('Forbidden', message);
    case codes.outOfRange:
      return storeError('TooOld', message, 'List again.');
    case codes.deadlineExceeded:
      return storeError('Timeout', message);
    case codes.invalidArgument:
      // A wrong password and no user at all are invalid arguments for etcd.
      return /authentication failed|user name is empty/.test(message)
        ? storeError('Unauthorized', message, 'Check ETCD_USERNAME and ETCD_PASSWORD.')
        : storeError('Invalid', message);
    case codes.resourceExhausted:
      return /space exceeded/.test(message)
        ? storeError(
            'Unavailable',
            message,
            'etcd is full: compact and defragment it, then disarm its alarm.',
          )
        : storeError('Unavailable', message);
    default:
      return storeError('Unavailable', message);
  }
}

/** An answer that is not JSON: of something else that listens there, or of etcd's door before the gateway. */
export function errorOfText(text: string, doing: string): StoreError {
  if (/CommonName of client/.test(text))
    return storeError(
      'Unauthorized',
      `${doing}: etcd has users and takes none over its gateway from a certificate with a common name.`,
      'Use a client certificate whose subject has no CN, together with ETCD_USERNAME and ETCD_PASSWORD.',
    );
  return storeError('Unavailable', `${doing}: what answers is not etcd's gateway.`);
}

/** A token that ended: asking for another one and again is all it takes. */
export const isStaleToken = ({ code, message, error }: GatewayStatus): boolean =>
  code === codes.unauthenticated && /invalid auth token/.test(message ?? error ?? '');

/** The store changed its users meanwhile; the token carries the old state. */
export const isOldAuthState = ({ message, error }: GatewayStatus): boolean =>
  /revision of auth store is old/.test(message ?? error ?? '');

export const isAuthDisabled = ({ message, error }: GatewayStatus): boolean =>
  /authentication is not enabled/.test(message ?? error ?? '');
