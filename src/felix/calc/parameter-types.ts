// Types of Felix's parameters: how the text of an environment variable, a config file or a resource field becomes a
// value. A parser gives undefined for text that is not of its type. Durations are milliseconds.
import { goPattern } from '../../lib/go-pattern.ts';
import { parseAddress, parsePrefix, familyOf } from '../../lib/ip/mod.ts';
import { dscpNumber, normaliseDscp } from '../../model/mod.ts';

export type ProtocolPort = { readonly protocol: string; readonly port: number; readonly net?: string };
export type PortRange = { readonly first: number; readonly last: number };
export type TableRange = { readonly first: number; readonly last: number };
export type ParameterValue =
  | null
  | boolean
  | number
  | string
  | readonly string[]
  | readonly ProtocolPort[]
  | readonly PortRange[]
  | readonly TableRange[]
  | PortRange
  | Readonly<Record<string, string | number>>;

export type ParameterType = {
  /** For the adapter and documentation. */
  readonly name: string;
  readonly parse: (text: string) => ParameterValue | undefined;
};

const define = (name: string, parse: ParameterType['parse']): ParameterType => ({ name, parse });

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's duration text (`1h30m`, `1.5s`, `0`) in milliseconds. */
export function parseGoDuration(text: string): number | undefined {
  if (text === '0') return 0;
  const match = /^([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+$/.exec(text);
  if (match === null) return undefined;
  let total = 0;
  for (const part of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(part[1]) * (units[part[2] ?? ''] ?? Number.NaN);
  }
  return match[1] === '-' ? -total : total;
}

/** The reverse: `90_000` → `1m30s`, as Go prints it. */
export function formatGoDuration(ms: number): string {
  if (ms === 0) return '0s';
  const sign = ms < 0 ? '-' : '';
  const abs = Math.abs(ms);
  if (abs < 1000) return `${sign}${trim(abs)}ms`;
  const hours = Math.floor(abs / 3_600_000);
  const minutes = Math.floor((abs % 3_600_000) / 60_000);
  const seconds = `${trim((abs % 60_000) / 1000)}s`;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : `${sign}${seconds}`;
}
const trim = (n: number): string => String(Number(n.toFixed(9)));

export function parseBoolean(text: string): boolean | undefined {
  const lower = text.toLowerCase();
  if (['true', '1', 'yes', 'y', 't'].includes(lower)) return true;
  if (['false', '0', 'no', 'n', 'f'].includes(lower)) return false;
  return undefined;
}

export const bool = define('bool', parseBoolean);

/** As Go reads numbers: 0x, 0o and 0b begin other bases, and so does a 0 alone: octal. */
const integerText = /^([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9]\d*)$/;
const parseInteger = (text: string): number | undefined => {
  const [, sign, digits = ''] = integerText.exec(text) ?? [];
  const n = Number(digits === '' ? Number.NaN : digits.replace(/^0(?=[0-7])/, '0o'));
  if (!Number.isSafeInteger(n)) return undefined;
  return sign === '-' ? -n : n;
};

export const int = (min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): ParameterType =>
  define('int', (text) => {
    const n = parseInteger(text);
    return n === undefined || n < min || n > max ? undefined : n;
  });
export const anyInt = int();
export const port = int(0, 65535);

const duration = (name: string, unitMs: number): ParameterType =>
  define(name, (text) => {
    // A number is in the parameter's own unit; resources carry Go durations.
    if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return Number(text) * unitMs;
    return parseGoDuration(text);
  });
export const seconds = duration('seconds', 1000);
export const millis = duration('millis', 1);

export const string = define('string', (text) => text);

/** One of the words, whatever the case of the text; the value has the word's own case. */
export const oneOf = (...words: readonly string[]): ParameterType =>
  define('oneof', (text) => words.find((word) => word.toLowerCase() === text.toLowerCase()));

export const hostname = define('hostname', (text) => (/^[a-zA-Z0-9_.-]+$/.test(text) ? text : undefined));
export const hostAddress = define('host-address', (text) =>
  /^[a-zA-Z0-9:._+-]{1,64}$/.test(text) ? text : undefined,
);
/** What follows it in the name of a namespace leaves 46 of the 63 characters of a label. */
export const region = define('region', (text) =>
  /^[a-z0-9](?:[-a-z0-9]{0,44}[a-z0-9])?$/.test(text) ? text : undefined,
);
/** `10/second`: at most four digits, for a second, minute, hour or day. */
export const logRate = define('log-rate', (text) =>
  /^[1-9]\d{0,3}\/(second|minute|hour|day)$/.test(text) ? text : undefined,
);
export const dscp = define('dscp', (text) =>
  dscpNumber(text) === undefined ? undefined : /^\d+$/.test(text) ? Number(text) : normaliseDscp(text),
);

export const authority = define('authority', (text) => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([a-zA-Z0-9_.-]+)):(\d+)$/.exec(text);
  return match !== null && Number(match[3]) <= 65535 ? text : undefined;
});

export const endpointList = define('endpoint-list', (text) => {
  const urls: string[] = [];
  let scheme: string | undefined;
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const match = /^(https?):\/\/([^/\s:@?#]+|\[[0-9a-fA-F:]+\])(:\d+)?\/?$/.exec(item);
    scheme ??= match?.[1];
    // Whether the connection is encrypted is not a matter of the server.
    if (match === null || match[1] !== scheme) return undefined;
    urls.push(item.endsWith('/') ? item : `${item}/`);
  }
  return urls;
});

const addressOf = (name: string, family: 4 | 6): ParameterType =>
  define(name, (text) => {
    const parsed = parseAddress(text);
    return parsed.ok && familyOf(parsed.value) === family ? (parsed.value as string) : undefined;
  });
export const ipv4 = addressOf('ipv4', 4);
export const ipv6 = addressOf('ipv6', 6);

export const regexp = define('regexp', (text) => (compiles(text) ? text : undefined));
const compiles = (source: string): boolean => goPattern(source) !== undefined;

const interfaceName = /^[a-zA-Z0-9:._+-]{1,15}$/;
export const interfaceParameter = define('iface-param', (text) =>
  interfaceName.test(text) ? text : undefined,
);
const listOf = (name: string, item: RegExp): ParameterType =>
  define(name, (text) => {
    const items = text.split(',').map((part) => part.trim());
    return items.every((part) => item.test(part)) ? items : undefined;
  });
/** The value stays text: `cali,tap`. */
export const interfaceList = define('iface-list', (text) =>
  text.split(',').every((part) => interfaceName.test(part.trim())) ? text.replaceAll(' ', '') : undefined,
);
export const interfaceSlice = listOf('iface-filter-slice', interfaceName);
/** Names, or regular expressions between slashes; the value is a list of regular expressions. */
export const interfaceRegexps = define('iface-list-regexp', (text) => {
  const sources: string[] = [];
  for (const item of text.split(',').map((part) => part.trim())) {
    if (/^\/\S+\/$/.test(item)) {
      const source = item.slice(1, -1);
      if (!compiles(source)) return undefined;
      sources.push(source);
    } else if (interfaceName.test(item)) {
      sources.push(`^${item.replaceAll(/[.+*?^${}()|[\]\\]/g, String.raw`\$&`)}$`);
    } else {
      return undefined;
    }
  }
  return sources;
});

export const file = define('file', (text) => text);
export const stringSlice = define('string-slice', (text) => text.split(',').map((part) => part.trim()));

const cidrs = (text: string): readonly string[] | undefined => {
  const list: string[] = [];
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const parsed = parsePrefix(item.includes('/') ? item : `${item}/${item.includes(':') ? 128 : 32}`);
    if (!parsed.ok) return undefined;
    list.push(parsed.value);
  }
  return list;
};
export const cidrList = define('cidr-list', cidrs);
/** Tunnels from foreign hosts are IPv4. */
export const cidrListV4 = define('cidr-list', (text) => {
  const list = cidrs(text);
  return list?.every((cidr) => familyOf(cidr) === 4) ? list : undefined;
});

const maxPorts = 65535;
const parsePortRange = (text: string): PortRange | undefined => {
  const match = /^(\d+)(?::(\d+))?$/.exec(text.trim());
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first <= last && last <= maxPorts ? { first, last } : undefined;
};
export const portRange = define('portrange', parsePortRange);
/** At most seven: what one multiport match can hold. */
export const portRanges = define('portrange-list', (text) => {
  const ranges: PortRange[] = [];
  const items = text.split(',');
  if (items.length > 7) return undefined;
  for (const item of items) {
    const range = parsePortRange(item);
    if (range === undefined) return undefined;
    ranges.push(range);
  }
  return ranges;
});

/** `1,udp:2,tcp:10.0.0.0/8:3,tcp:[::/0]:4`. */
export const portList = define('port-list', (text) => {
  const ports: ProtocolPort[] = [];
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const parsed = parseProtocolPort(item);
    if (parsed === undefined) return undefined;
    ports.push(parsed);
  }
  return ports;
});
function parseProtocolPort(item: string): ProtocolPort | undefined {
  const match = /^(?:(tcp|udp|sctp):)?(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d+)$/i.exec(item);
  if (match === null) return undefined;
  const port = Number(match[4]);
  if (port > maxPorts) return undefined;
  const protocol = (match[1] ?? 'tcp').toLowerCase();
  const net = match[2] ?? match[3];
  if (net === undefined) return { protocol, port };
  const parsed = parsePrefix(net.includes('/') ? net : `${net}/${net.includes(':') ? 128 : 32}`);
  return parsed.ok && match[1] !== undefined ? { protocol, port, net: parsed.value } : undefined;
}

const pairs = (text: string): [string, string][] | undefined => {
  const out: [string, string][] = [];
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const at = item.indexOf('=');
    if (at <= 0) return undefined;
    out.push([item.slice(0, at).trim(), item.slice(at + 1).trim()]);
  }
  return out;
};
export const keyValues = define('keyvaluelist', (text) => {
  const list = pairs(text);
  return list === undefined ? undefined : Object.fromEntries(list);
});
export const keyDurations = define('keydurationlist', (text) => {
  const out: Record<string, number> = {};
  for (const [key, value] of pairs(text) ?? [['', '']]) {
    const ms = parseGoDuration(value);
    if (ms === undefined) return undefined;
    out[key] = ms;
  }
  return out;
});

export const markMask = define('mark-bitmask', (text) => {
  const n = parseInteger(text);
  if (n === undefined || n < 0 || n > 0xffffffff) return undefined;
  // At least two bits are needed: accept and pass.
  return n.toString(2).replaceAll('0', '').length >= 2 ? n : undefined;
});

export const routeTableRange = define('route-table-range', (text) => {
  const match = /^(\d+)-(\d+)$/.exec(text.trim());
  if (match === null) return undefined;
  const range = { first: Number(match[1]), last: Number(match[2]) };
  return range.first >= 1 && range.last <= 250 && range.first <= range.last ? range : undefined;
});
/** Tables 253 to 255 are the kernel's and are left out by whoever uses the ranges; at most 65535 tables in all. */
export const routeTableRanges = define('route-table-ranges', (text) => {
  const ranges: TableRange[] = [];
  let size = 0;
  for (const item of text.split(',')) {
    const match = /^(\d+)-(\d+)$/.exec(item.trim());
    if (match === null) return undefined;
    const range = { first: Number(match[1]), last: Number(match[2]) };
    if (range.first < 1 || range.first > range.last || range.last > 0xffffffff) return undefined;
    size += range.last - range.first + 1;
    if (size > 65535) return undefined;
    ranges.push(range);
  }
  return ranges;
});
