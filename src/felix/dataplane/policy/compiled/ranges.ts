// Sorted, disjoint ranges of numbers from 0 to 65535: ports, or types and codes of ICMP as one number.
import type { IcmpMatch, PortRange } from '../../../../policy/mod.ts';

export type Ranges = readonly PortRange[];

export const lastPort = 65_535;
export const allPorts: Ranges = [{ first: 0, last: lastPort }];
export const noPorts: Ranges = [];

/** Any ranges, in order and joined. */
export function normalised(ranges: readonly PortRange[]): Ranges {
  if (ranges.length === 0) return noPorts;
  const sorted = ranges
    .map(({ first, last }) => ({ first: Math.max(0, first), last: Math.min(lastPort, last) }))
    .filter(({ first, last }) => first <= last)
    .sort((a, b) => a.first - b.first);
  const joined: { first: number; last: number }[] = [];
  for (const range of sorted) {
    const before = joined.at(-1);
    if (before === undefined || range.first > before.last + 1) joined.push(range);
    else if (range.last > before.last) before.last = range.last;
  }
  return joined;
}

export function intersection(a: Ranges, b: Ranges): Ranges {
  if (a === allPorts) return b;
  if (b === allPorts) return a;
  const found: PortRange[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const x = a[i] as PortRange;
    const y = b[j] as PortRange;
    const first = Math.max(x.first, y.first);
    const last = Math.min(x.last, y.last);
    if (first <= last) found.push({ first, last });
    if (x.last < y.last) i++;
    else j++;
  }
  return found;
}

export function complement(ranges: Ranges): Ranges {
  if (ranges.length === 0) return allPorts;
  const found: PortRange[] = [];
  let at = 0;
  for (const { first, last } of ranges) {
    if (at < first) found.push({ first: at, last: first - 1 });
    at = last + 1;
  }
  if (at <= lastPort) found.push({ first: at, last: lastPort });
  return found;
}

/** Type and code as one number: type · 256 + code, as they stand in the packet. */
export function icmpRanges({ type, code }: IcmpMatch): Ranges {
  const isByte = (n: number | undefined): boolean => n === undefined || (n >= 0 && n <= 255);
  if (!isByte(type) || !isByte(code)) return noPorts;
  if (type === undefined)
    return Array.from({ length: 256 }, (_, t) => {
      const value = t * 256 + (code as number);
      return { first: value, last: value };
    });
  const first = type * 256 + (code ?? 0);
  return [{ first, last: code === undefined ? first + 255 : first }];
}
