// Expected outcomes as values. Exceptions are kept for bugs; see docs/architecture.md.

/** An expected failure: a stable code, one sentence for a person, and the way out. */
export type Failure<Code extends string = string> = {
  readonly code: Code;
  readonly message: string;
  readonly hint?: string;
};

export type Ok<T> = { readonly ok: true; readonly value: T };
export type Err<E> = { readonly ok: false; readonly error: E };
export type Result<T, E = Failure> = Ok<T> | Err<E>;

export const ok = <T>(value: T): Ok<T> => ({ ok: true, value });
export const err = <E>(error: E): Err<E> => ({ ok: false, error });

/** Builds a failure; `hint` is left out when there is none. */
export const failure = <Code extends string>(code: Code, message: string, hint?: string): Failure<Code> =>
  hint === undefined ? { code, message } : { code, message, hint };

/** The value, or an exception: for places where a failure would be a bug of ours. */
export function expect<T>(result: Result<T, Failure>, what: string): T {
  if (result.ok) return result.value;
  throw new Error(`${what}: ${result.error.code}: ${result.error.message}`);
}

/** One line for a terminal or a log. */
export const describeFailure = (f: Failure): string => (f.hint ? `${f.message} ${f.hint}` : f.message);
