// What a conformance case is: upstream Calico's own test data, extracted from its suites. The cases are not part of this
// project; the runner is pointed at a folder that holds them.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export type Case = {
  readonly id: string;
  readonly input: JsonObject;
  readonly expected: JsonObject;
  /** false: upstream contradicts itself here, so the case is not judged. */
  readonly judge?: boolean;
};

/** Answers the input of a case; undefined when this kind of question is not supported. */
export type Suite = (input: never) => unknown;

/** The answer for what is not supported: counted apart, neither right nor wrong. */
export const unsupported = { unsupported: true } as const;
