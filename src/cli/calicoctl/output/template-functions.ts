// The functions of Go's text/template, on JSON values.
import { formatCell } from './paths.ts';

/** A template that means nothing; never leaves the template engine. */
export class TemplateFailure extends Error {}

export const truthy = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.length > 0
    : typeof value === 'object' && value !== null
      ? Object.keys(value).length > 0
      : Boolean(value);

/** As Go prints values: lists in brackets, maps as `map[a:1 b:2]`. */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(textOf).join(' ')}]`;
  if (typeof value !== 'object') return formatCell(value);
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([key, item]) => `${key}:${textOf(item)}`).join(' ')}]`;
}

const order = (a: unknown, b: unknown): number => {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [x, y] = [formatCell(a), formatCell(b)];
  return x < y ? -1 : x > y ? 1 : 0;
};
const equal = (a: unknown, b: unknown): boolean => formatCell(a) === formatCell(b);

const functions: Readonly<Record<string, (values: readonly unknown[]) => unknown>> = {
  and: (values) => values.find((value) => !truthy(value)) ?? values.at(-1),
  or: (values) => values.find(truthy) ?? values.at(-1),
  not: ([value]) => !truthy(value),
  eq: ([first, ...others]) => others.some((other) => equal(first, other)),
  ne: ([a, b]) => !equal(a, b),
  lt: ([a, b]) => order(a, b) < 0,
  le: ([a, b]) => order(a, b) <= 0,
  gt: ([a, b]) => order(a, b) > 0,
  ge: ([a, b]) => order(a, b) >= 0,
  len: ([value]) =>
    typeof value === 'string' || Array.isArray(value)
      ? value.length
      : typeof value === 'object' && value !== null
        ? Object.keys(value).length
        : 0,
  index: ([value, ...keys]) =>
    keys.reduce<unknown>(
      (found, key) =>
        typeof found === 'object' && found !== null
          ? (found as Readonly<Record<string, unknown>>)[String(key)]
          : undefined,
      value,
    ),
  slice: ([value, from, to]) =>
    typeof value === 'string' || Array.isArray(value)
      ? value.slice(Number(from ?? 0), to === undefined ? undefined : Number(to))
      : undefined,
  print: (values) => values.map(textOf).join(' '),
  println: (values) => `${values.map(textOf).join(' ')}\n`,
  printf: ([format, ...values]) => formatted(String(format), values),
  html: ([value]) => textOf(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
  urlquery: ([value]) => encodeURIComponent(textOf(value)),
  js: ([value]) => JSON.stringify(textOf(value)).slice(1, -1),
};

export function callFunction(name: string, values: readonly unknown[]): unknown {
  const found = Object.hasOwn(functions, name) ? functions[name] : undefined;
  if (found === undefined) throw new TemplateFailure(`function "${name}" is not defined`);
  return found(values);
}

/** Verbs s, v, d, q, t, x, f with width, minus and precision. */
function formatted(format: string, values: readonly unknown[]): string {
  let next = 0;
  return format.replaceAll(
    /%(-?)(0?)(\d*)(?:\.(\d+))?([svdqtxf%])/g,
    (_, left: string, zero: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      const value = values[next++];
      const text =
        verb === 'q'
          ? JSON.stringify(textOf(value))
          : verb === 'x' && typeof value === 'number'
            ? value.toString(16)
            : verb === 'f'
              ? Number(value).toFixed(precision === undefined ? 6 : Number(precision))
              : precision === undefined
                ? textOf(value)
                : textOf(value).slice(0, Number(precision));
      const least = width === '' ? 0 : Number(width);
      return left === '-' ? text.padEnd(least) : text.padStart(least, zero === '0' ? '0' : ' ');
    },
  );
}
