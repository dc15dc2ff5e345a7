// Ports of rules: one number, a range `from:to`, or the name of a port of the endpoints.

export type Port = number | string;
export type ParsedPort =
  | { readonly kind: 'numbers'; readonly from: number; readonly to: number }
  | { readonly kind: 'name'; readonly name: string };

const portName = /^[a-zA-Z0-9_.-]{1,128}$/;

export const isPortName = (value: string): boolean => portName.test(value);

/** What the value means, or why it is no port. Port 0 is left to the caller: it parses, but rules refuse it. */
export function parsePort(value: unknown): ParsedPort | string {
  if (typeof value === 'number') return range(value, value);
  if (typeof value !== 'string') return 'a port is a number, a range like "8000:8100" or a name';
  if (/^\d+$/.test(value)) return range(Number(value), Number(value));
  const ends = /^(\d+):(\d+)$/.exec(value);
  if (ends !== null) return range(Number(ends[1]), Number(ends[2]));
  if (isPortName(value)) return { kind: 'name', name: value };
  return 'the name of a port has 1 to 128 letters, digits and characters of _.-';
}

function range(from: number, to: number): ParsedPort | string {
  const text = from === to ? `${from}` : `${from}:${to}`;
  if (!isPortNumber(from)) return `invalid minimum port number in range (${text})`;
  if (!isPortNumber(to)) return `invalid maximum port number in range (${text})`;
  return from <= to
    ? { kind: 'numbers', from, to }
    : `minimum port number (${from}) is greater than maximum port number (${to}) in port range`;
}

const isPortNumber = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 65535;

/** The shortest form of the port, as it is written into resources. */
export const formatPort = (port: ParsedPort): Port =>
  port.kind === 'name' ? port.name : port.from === port.to ? port.from : `${port.from}:${port.to}`;

/** Joins numbers and ranges that touch or overlap; names come first, as they are. With one number at most there is
 *  nothing to join, and the order stays. */
export function simplifyPorts(ports: readonly ParsedPort[]): readonly ParsedPort[] {
  const names = ports.filter((port) => port.kind === 'name');
  const ranges = ports
    .filter((port) => port.kind === 'numbers')
    .toSorted((a, b) => a.from - b.from || a.to - b.to);
  if (ranges.length === 0 || (ranges.length === 1 && ranges[0]?.from === ranges[0]?.to)) return ports;
  const joined: { kind: 'numbers'; from: number; to: number }[] = [];
  for (const next of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && next.from <= last.to + 1) last.to = Math.max(last.to, next.to);
    else joined.push({ ...next });
  }
  return [...names, ...joined];
}
