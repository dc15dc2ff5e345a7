// The API server's Status objects as errors of the datastore.
import { storeError } from '../errors.ts';
import type { StoreError, StoreErrorCode } from '../types.ts';

type Status = {
  readonly kind?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: {
    readonly causes?: readonly {
      readonly field?: string;
      readonly message?: string;
      readonly reason?: string;
    }[];
    readonly retryAfterSeconds?: number;
  };
};

const byReason: Readonly<Record<string, StoreErrorCode>> = {
  NotFound: 'NotFound',
  AlreadyExists: 'AlreadyExists',
  Conflict: 'Conflict',
  Invalid: 'Invalid',
  BadRequest: 'Invalid',
  RequestEntityTooLarge: 'Invalid',
  Expired: 'TooOld',
  Gone: 'TooOld',
  Forbidden: 'Forbidden',
  Unauthorized: 'Unauthorized',
  MethodNotAllowed: 'NotSupported',
  NotAcceptable: 'NotSupported',
  UnsupportedMediaType: 'NotSupported',
  Timeout: 'Timeout',
  ServerTimeout: 'Timeout',
  TooManyRequests: 'Unavailable',
  ServiceUnavailable: 'Unavailable',
  InternalError: 'Unavailable',
};
const byCode: Readonly<Record<number, StoreErrorCode>> = {
  400: 'Invalid',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'NotSupported',
  409: 'Conflict',
  410: 'TooOld',
  413: 'Invalid',
  415: 'NotSupported',
  422: 'Invalid',
  504: 'Timeout',
};

/** `body` is what the server sent, which need not be a Status: proxies answer in their own words. */
export function errorOfStatus(httpStatus: number, body: unknown, doing: string): StoreError {
  const status: Status = typeof body === 'object' && body !== null ? (body as Status) : {};
  const code = byReason[status.reason ?? ''] ?? byCode[httpStatus] ?? 'Unavailable';
  const message = status.message ?? `${doing}: the server answered ${httpStatus}.`;
  const issues = (status.details?.causes ?? []).map((cause) => ({
    field: cause.field ?? '',
    reason: cause.message ?? cause.reason ?? '',
  }));
  const error = storeError(code, message);
  return issues.length > 0 ? { ...error, issues } : error;
}

export const isStatus = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && (body as Status).kind === 'Status';
