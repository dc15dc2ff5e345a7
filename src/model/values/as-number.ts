// AS numbers: 32 bits, written as one number or as two of 16 bits with a dot between (RFC 5396).

/** The AS number, or undefined when the value is none. */
export function parseAsNumber(value: unknown): number | undefined {
  if (typeof value === 'number')
    return Number.isInteger(value) && value >= 0 && value <= 0xffffffff ? value : undefined;
  if (typeof value !== 'string') return undefined;
  if (/^\d{1,10}$/.test(value)) return parseAsNumber(Number(value));
  const dotted = /^(\d{1,10})\.(\d{1,10})$/.exec(value);
  const high = Number(dotted?.[1] ?? -1);
  const low = Number(dotted?.[2] ?? -1);
  if (dotted === null || high > 0xffff || low > 0xffff) return undefined;
  return high * 0x10000 + low;
}
