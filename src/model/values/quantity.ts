// Kubernetes quantities: a decimal number with an SI suffix (k, M, …), a binary one (Ki, Mi, …) or an exponent.

const powersOfTen: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const powersOfTwo: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const pattern = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d{1,2})|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?))$/;

/** The quantity rounded up to a whole number, or undefined when it is none; with `decimals` in units of 10^-decimals. */
export function parseQuantity(text: string, decimals = 0): number | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = '', exponent, suffix = ''] = match;
  const [whole = '', fraction = ''] = digits.split('.');
  // As a fraction of integers, because 1.1k must be exactly 1100.
  const numerator = BigInt(`${whole}${fraction}` || '0');
  const ten =
    (exponent === undefined ? (powersOfTen[suffix] ?? 0) : Number(exponent.slice(1))) -
    fraction.length +
    decimals;
  const scaled = numerator << BigInt(powersOfTwo[suffix] ?? 0);
  const value = ten >= 0 ? scaled * 10n ** BigInt(ten) : divideUp(scaled, 10n ** BigInt(-ten));
  return sign === '-' ? -Number(value) : Number(value);
}

const divideUp = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;
