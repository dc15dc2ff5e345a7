// Differentiated services code points: 0 to 63, or the names of RFC 2474, 2597 and 3246.

export type Dscp = number | string;

const values: ReadonlyMap<string, number> = new Map([
  ['DF', 0],
  ['EF', 46],
  ...[1, 2, 3, 4].flatMap((c) => [1, 2, 3].map((d): [string, number] => [`AF${c}${d}`, c * 8 + d * 2])),
  ...[0, 1, 2, 3, 4, 5, 6].map((c): [string, number] => [`CS${c}`, c * 8]),
]);

/** The code point, or undefined when the value is none. */
export function dscpNumber(value: Dscp): number | undefined {
  const number = typeof value === 'number' ? value : /^\d{1,3}$/.test(value) ? Number(value) : undefined;
  if (number !== undefined)
    return Number.isInteger(number) && number >= 0 && number <= 63 ? number : undefined;
  return values.get(String(value).trim().toUpperCase());
}

/** Names in upper case; everything else as it is. */
export function normaliseDscp(value: Dscp): Dscp {
  if (typeof value === 'number') return value;
  const upper = value.toUpperCase();
  return values.has(upper) ? upper : value;
}
