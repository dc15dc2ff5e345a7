// The `Status` object: every refusal of the API in the words, reasons and codes that kubectl and client libraries know.
import { type Err, err } from '../lib/result.ts';
import type { JsonObject } from './json.ts';
import { type Issue, resourceKeyOf, type ServedKind } from './types.ts';

export type StatusReason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Invalid'
  | 'Expired'
  | 'Timeout'
  | 'InternalError'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'TooManyRequests'
  | 'ServiceUnavailable';

const codes: Readonly<Record<StatusReason, number>> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
};

export type StatusCause = { readonly reason: string; readonly message: string; readonly field?: string };
export type StatusDetails = {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
};

export type StatusError = {
  readonly code: number;
  readonly reason: StatusReason;
  readonly message: string;
  readonly details?: StatusDetails;
  /** Token to go on with an expired list, at the newest state. */
  readonly continue?: string;
};

type KindRef = Pick<ServedKind, 'group' | 'plural' | 'kind'>;

export const refuse = (reason: StatusReason, message: string, details?: StatusDetails): Err<StatusError> =>
  err({ code: codes[reason], reason, message, ...(details === undefined ? {} : { details }) });

/** `kind` in details is the resource's plural, as the Kubernetes server has it, except for Invalid. */
const detailsOf = (kind: KindRef, name: string): StatusDetails => ({
  name,
  ...(kind.group === '' ? {} : { group: kind.group }),
  kind: kind.plural,
});

export const notFound = (kind: KindRef, name: string): Err<StatusError> =>
  refuse('NotFound', `${resourceKeyOf(kind)} "${name}" not found`, detailsOf(kind, name));

export const alreadyExists = (kind: KindRef, name: string): Err<StatusError> =>
  refuse('AlreadyExists', `${resourceKeyOf(kind)} "${name}" already exists`, detailsOf(kind, name));

export const conflict = (kind: KindRef, name: string, why?: string): Err<StatusError> =>
  refuse(
    'Conflict',
    `Operation cannot be fulfilled on ${resourceKeyOf(kind)} "${name}": ${
      why ?? 'the object has been modified; please apply your changes to the latest version and try again'
    }`,
    detailsOf(kind, name),
  );

export const forbidden = (
  kind: KindRef,
  name: string,
  why: string,
  causes?: readonly StatusCause[],
): Err<StatusError> =>
  refuse('Forbidden', `${resourceKeyOf(kind)} "${name}" is forbidden: ${why}`, {
    ...detailsOf(kind, name),
    ...(causes === undefined ? {} : { causes }),
  });

/** The value as Go prints it in field errors. */
function printed(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function causeOf(issue: Issue): StatusCause {
  const { field, reason } = issue;
  if (/^unknown field/i.test(reason)) return { reason: 'FieldValueInvalid', message: reason, field };
  if (/^(is )?required\b/i.test(reason)) {
    const detail = reason.replace(/^(is )?required( value)?:? ?/i, '');
    return {
      reason: 'FieldValueRequired',
      message: detail === '' ? 'Required value' : `Required value: ${detail}`,
      field,
    };
  }
  if (/^forbidden: /i.test(reason)) {
    return {
      reason: 'FieldValueForbidden',
      message: `Forbidden: ${reason.slice('forbidden: '.length)}`,
      field,
    };
  }
  if (/^unsupported value/i.test(reason)) {
    const rest = reason.replace(/^unsupported value:? ?/i, '');
    return {
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${printed(issue.value)}: ${rest}`,
      field,
    };
  }
  if (reason === 'Not found' || reason === 'Duplicate value')
    return {
      reason: reason === 'Not found' ? 'FieldValueNotFound' : 'FieldValueDuplicate',
      message: `${reason}: ${printed(issue.value)}`,
      field,
    };
  const value = 'value' in issue ? `Invalid value: ${printed(issue.value)}: ` : 'Invalid value: ';
  return { reason: 'FieldValueInvalid', message: `${value}${reason}`, field };
}

export function invalid(kind: KindRef, name: string, issues: readonly Issue[]): Err<StatusError> {
  const causes = issues.slice(0, 100).map(causeOf);
  const lines = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  return refuse('Invalid', `${qualified} "${name}" is invalid: ${list}`, {
    name,
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.kind,
    causes,
  });
}

export const expired = (revision: number, compacted: number): Err<StatusError> =>
  refuse('Expired', `too old resource version: ${revision} (${compacted})`);

export function statusBody(error: StatusError): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: error.continue === undefined ? {} : { continue: error.continue },
    status: 'Failure',
    message: error.message,
    reason: error.reason,
    ...(error.details === undefined ? {} : { details: error.details }),
    code: error.code,
  };
}

export const successBody = (kind: KindRef, name: string, uid: string | undefined): JsonObject => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  details: { ...detailsOf(kind, name), ...(uid === undefined ? {} : { uid }) },
});
