// A request as the verbs see it, and the answers they give.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ok, type Result } from '../../lib/result.ts';
import type { User } from '../auth/types.ts';
import type { Registry } from '../kinds/registry.ts';
import { refuse, type StatusError } from '../status.ts';
import type { ServedKind } from '../types.ts';
import type { Accepted } from './media.ts';

export type Answer = {
  readonly code: number;
  /** An object to send, or JSON that is already text. */
  readonly body: unknown;
  readonly text?: string;
  readonly contentType?: string;
  readonly warnings?: readonly string[];
};

export type Target = {
  readonly kind: ServedKind;
  /** undefined: all namespaces, or a kind without. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
};

export type Call = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly accepted: Accepted;
  readonly user: User;
};

export type Outcome = Result<Answer, StatusError>;

const unknownPath = (): ReturnType<typeof refuse> =>
  refuse('NotFound', 'the server could not find the requested resource');

/** The decoded steps of a path; undefined when it is not well-formed. */
export function pathSteps(path: string): readonly string[] | undefined {
  try {
    return path
      .split('/')
      .filter((step) => step !== '')
      .map((step) => decodeURIComponent(step));
  } catch {
    return undefined;
  }
}

/** What a path below /api/v1 or /apis/GROUP/VERSION names. */
export function targetOf(registry: Registry, steps: readonly string[]): Result<Target, StatusError> {
  const [group, version, ...rest] = steps[0] === 'api' ? ['', ...steps.slice(1)] : steps.slice(1);
  if (group === undefined || version === undefined) return unknownPath();
  const scoped =
    rest[0] === 'namespaces' &&
    rest.length >= 3 &&
    !(rest.length === 3 && ['status', 'finalize'].includes(rest[2] ?? ''));
  const [plural = '', name, subresource, ...more] = scoped ? rest.slice(2) : rest;
  const namespace = scoped ? rest[1] : undefined;
  const kind = registry.find(group, version, plural);
  if (kind === undefined || more.length > 0) return unknownPath();
  if (kind.namespaced ? name !== undefined && namespace === undefined : namespace !== undefined)
    return unknownPath();
  return ok({ kind, namespace, name, subresource });
}
