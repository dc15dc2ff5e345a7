// How answers are compared: as people would read them, not byte by byte. Go leaves out zero values, so absent, empty,
// false and 0 are one inside objects; selectors compare in canonical form, lengths of time by their length, and lists
// that have no order as multisets.
import { parseSelector } from '../../src/selector/mod.ts';

const selectorKeys = new Set([
  'selector',
  'notSelector',
  'namespaceSelector',
  'serviceAccountSelector',
  'nodeSelector',
  'peerSelector',
]);
const durationText = /^(\d+(\.\d+)?(h|m|s|ms|us|ns))+$/;
const unitMs: Readonly<Record<string, number>> = { h: 3.6e6, m: 6e4, s: 1e3, ms: 1, us: 1e-3, ns: 1e-6 };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === '' ||
  value === 0 ||
  value === false ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);

function normal(value: unknown, key?: string): unknown {
  if (Array.isArray(value)) return value.map((item) => normal(item, key));
  if (isObject(value))
    return Object.fromEntries(
      Object.entries(value)
        .map(([k, v]) => [k, normal(v, k)] as const)
        .filter(([, v]) => !isEmpty(v))
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  if (typeof value === 'string' && key !== undefined && selectorKeys.has(key)) {
    const parsed = parseSelector(value);
    return parsed.ok ? parsed.value.text : value;
  }
  return value;
}

/** Durations by their length, at the top and inside objects. */
function timed(value: unknown): unknown {
  if (typeof value === 'string' && durationText.test(value)) {
    const parts = value.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g);
    return { $ms: [...parts].reduce((sum, [, n, unit]) => sum + Number(n) * (unitMs[unit ?? ''] ?? 0), 0) };
  }
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, timed(v)])) : value;
}

/** Whether two values mean the same; `key` is the name of the field they are of. */
export function same(a: unknown, b: unknown, key?: string): boolean {
  const x = normal(timed(a), key);
  const y = normal(timed(b), key);
  return (isEmpty(x) && isEmpty(y)) || JSON.stringify(x) === JSON.stringify(y);
}

/** The member at a path like `spec.ingress[0].labels['a.b/c']`. */
export function at(value: unknown, path: string): unknown {
  let current = value;
  for (const [, name, index, quoted] of path.matchAll(/([^.[\]']+)|\[(\d+)\]|\['([^']*)'\]/g)) {
    if (index !== undefined) current = Array.isArray(current) ? current[Number(index)] : undefined;
    else current = isObject(current) ? current[name ?? quoted ?? ''] : undefined;
  }
  return current;
}

/** Whether the lists hold the same, in any order. */
export function sameMembers(a: readonly unknown[] | undefined, b: readonly unknown[] | undefined): boolean {
  const rest = [...(b ?? [])];
  for (const item of a ?? []) {
    const i = rest.findIndex((other) => same(item, other));
    if (i < 0) return false;
    rest.splice(i, 1);
  }
  return rest.length === 0;
}

export type Assertion = {
  readonly path: string;
  readonly op: string;
  readonly value?: unknown;
  readonly not?: boolean;
  readonly optional?: boolean;
  readonly as?: string;
};

/** Whether the answer fulfils the assertion. */
export function holds(answer: unknown, assertion: Assertion): boolean {
  const value = at(answer, assertion.path);
  const wanted = assertion.value;
  const key = assertion.path.split(/[.[]/).at(-1);
  return verdict() !== Boolean(assertion.not);

  function verdict(): boolean {
    switch (assertion.op) {
      case 'equal':
        return same(value, wanted, assertion.as === 'selector' && value && wanted ? 'selector' : key);
      case 'equalString':
        return JSON.stringify(value)?.replaceAll('"', '') === JSON.stringify(wanted)?.replaceAll('"', '');
      case 'consistOf':
        return sameMembers(wanted as unknown[], value as unknown[]);
      case 'len':
        return Object.keys((value as object | undefined) ?? {}).length === wanted;
      case 'nil':
      case 'empty':
        return isEmpty(value);
      case 'true':
        return value === true;
      case 'false':
        return value === false || value === undefined || value === null;
      case 'hasKeyValue': {
        const [name, expected] = wanted as [string, unknown];
        return isObject(value) && value[name] === expected;
      }
      default:
        throw new Error(`unknown assertion ${assertion.op}`);
    }
  }
}

/** Paths of all expected members that the answer lacks or has otherwise. */
export function differences(expected: unknown, answer: unknown, path = ''): readonly string[] {
  if (isObject(expected) && expected['randomULA48'] === true) {
    const isUla = typeof answer === 'string' && answer.startsWith('fd') && answer.endsWith('/48');
    return isUla ? [] : [path];
  }
  if (isObject(expected)) {
    if (!isObject(answer)) return [path];
    return Object.entries(expected).flatMap(([key, value]) =>
      differences(value, answer[key], `${path}.${key}`),
    );
  }
  // Truth values are verdicts here: absent is not false.
  if (typeof expected === 'boolean') return expected === answer ? [] : [path];
  return same(expected, answer, path.split('.').at(-1)) ? [] : [path];
}
