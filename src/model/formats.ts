// Checks of single values, by the name that a schema gives as `format`. Each answers why a value is refused. The empty
// text never gets here: an optional field that is empty counts as absent, as in Calico.
import { goPattern } from '../lib/go-pattern.ts';
import { familyOf, isAddress, parseInterfaceAddress, parseNetwork, prefixAddress } from '../lib/ip/mod.ts';
import { parseSelector } from '../selector/mod.ts';
import { parseAsNumber } from './values/as-number.ts';
import { isCommunity } from './values/community.ts';
import { parseDurationMs } from './values/duration.ts';
import { dscpNumber } from './values/dscp.ts';
import { parsePort } from './values/port.ts';
import { normaliseProtocol, protocolNames } from './values/protocol.ts';

/** `value` is the part of the value that is wrong, where it is not the whole. */
export type FormatProblem = string | { readonly value: string | number; readonly reason: string };
export type FormatCheck = (value: string | number) => FormatProblem | undefined;

const dnsLabel = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
export const patterns = {
  /** RFC 1123 label. */
  label: new RegExp(`^${dnsLabel}$`),
  /** RFC 1123 subdomain: labels with dots between. */
  subdomain: new RegExp(`^${dnsLabel}(\\.${dnsLabel})*$`),
};

const matches =
  (pattern: RegExp, reason: string): FormatCheck =>
  (value) =>
    pattern.test(String(value)) ? undefined : reason;

const ofFamily =
  (family: 4 | 6, check: FormatCheck): FormatCheck =>
  (value) =>
    check(value) ?? (familyOf(String(value)) === family ? undefined : `must be IPv${family}`);

const ip: FormatCheck = (value) =>
  typeof value === 'string' && isAddress(value) ? undefined : 'must be an IP address';

/** Address and prefix length; host bits are allowed. */
const interfaceAddress: FormatCheck = (value) =>
  parseInterfaceAddress(String(value)).ok || ip(value) === undefined
    ? undefined
    : 'must be an address with the length of its network, like 10.0.0.11/24';

/** A range or a single address; host bits are allowed. */
const anyNetwork: FormatCheck = (value) =>
  parseNetwork(String(value)).ok ? undefined : 'must be a CIDR, like 10.0.0.0/24';

/** A range whose host bits are zero, or a single address. */
const network: FormatCheck = (value) => {
  const text = String(value);
  const parsed = parseNetwork(text);
  if (!parsed.ok) return 'must be a CIDR, like 10.0.0.0/24';
  const given = parseInterfaceAddress(text);
  if (given.ok && given.value.address !== prefixAddress(parsed.value))
    return `has bits set behind the prefix; did you mean ${parsed.value}?`;
  return undefined;
};

const cidr: FormatCheck = (value) =>
  parseInterfaceAddress(String(value)).ok ? network(value) : 'must be a CIDR, like 10.0.0.0/24';

const selectorText: FormatCheck = (value) => {
  const parsed = parseSelector(String(value));
  return parsed.ok ? undefined : parsed.error.message;
};

const peerAddress: FormatCheck = (value) => {
  const text = String(value);
  const withPort =
    /^(\d+\.\d+\.\d+\.\d+):(\d{1,5})$/.exec(text) ?? /^\[([0-9a-fA-F:.]+)\]:(\d{1,5})$/.exec(text);
  const port = Number(withPort?.[2] ?? 1);
  const isV4InBrackets = withPort !== null && text.startsWith('[') && !(withPort[1] ?? '').includes(':');
  return isAddress(withPort?.[1] ?? text) && port >= 1 && port <= 65535 && !isV4InBrackets
    ? undefined
    : 'must be an address, address:port or [IPv6 address]:port, the port from 1 to 65535';
};

const portOfRule: FormatCheck = (value) => {
  const parsed = parsePort(value);
  if (typeof parsed === 'string') return parsed;
  return parsed.kind === 'numbers' && parsed.from < 1
    ? {
        value: parsed.from,
        reason: 'port range invalid, port number must be between 1 and 65535',
      }
    : undefined;
};

const portRange: FormatCheck = (value) => {
  const parsed = parsePort(value);
  if (typeof parsed === 'string') return parsed;
  if (parsed.kind === 'name') return 'must be a number or a range of numbers, not a name';
  return parsed.from < 1 ? 'port numbers go from 1 to 65535' : undefined;
};

const protocol: FormatCheck = (value) => {
  const normal = normaliseProtocol(value);
  const isNumber = typeof normal === 'number';
  const isKnown = isNumber
    ? normal >= 1 && normal <= 255 && Number.isInteger(normal)
    : normal === value && protocolNames.includes(normal);
  return isKnown ? undefined : `must be 1 to 255 or one of ${protocolNames.join(', ')}`;
};

/** At most 15 letters, digits and dashes, at least one letter, no dash at an end, no two dashes together. */
const portName: FormatCheck = (value) => {
  const text = String(value);
  return text.length <= 15 && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) && /[a-z]/.test(text)
    ? undefined
    : 'must be at most 15 lower-case letters, digits and single dashes inside, with at least one letter';
};

const regexp: FormatCheck = (value) =>
  goPattern(String(value)) === undefined ? 'must be a regular expression' : undefined;

const keyValueList: FormatCheck = (value) =>
  String(value)
    .split(',')
    .every((item) => item.trim() === '' || /^\s*\w+=/.test(item))
    ? undefined
    : 'must be a list like name=value,name=value';

export const formats: Readonly<Record<string, FormatCheck>> = {
  ip,
  ipv4: ofFamily(4, ip),
  ipv6: ofFamily(6, ip),
  'interface-v4': ofFamily(4, interfaceAddress),
  'interface-v6': ofFamily(6, interfaceAddress),
  cidr,
  network,
  'network-v4': ofFamily(4, network),
  'network-v6': ofFamily(6, network),
  'any-network': anyNetwork,
  'any-network-v4': ofFamily(4, anyNetwork),
  selector: selectorText,
  name: matches(
    patterns.subdomain,
    'must be lower-case letters, digits, dashes and dots, alphanumeric at both ends',
  ),
  'container-id': matches(
    /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/,
    'must be letters, digits and dashes, alphanumeric at both ends',
  ),
  mac: matches(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i, 'must be a MAC address like 66:01:02:03:04:05'),
  interface: matches(
    /^(\*|[a-zA-Z0-9_.-]{1,15})$/,
    'must be the name of an interface, at most 15 characters',
  ),
  'interface-glob': matches(
    /^[a-zA-Z0-9_.*-]{1,15}$/,
    'must be the name of an interface, at most 15 characters, * standing for any',
  ),
  'interface-filter': matches(
    /^[a-zA-Z0-9:._+-]{1,15}$/,
    'must be the name of an interface, at most 15 characters, + standing for any end',
  ),
  'as-number': (value) =>
    parseAsNumber(value) === undefined ? 'must be an AS number: 0 to 4294967295' : undefined,
  community: (value) =>
    isCommunity(String(value))
      ? undefined
      : 'must be aa:nn with 16-bit numbers or aa:nn:mm with 32-bit numbers',
  'peer-address': peerAddress,
  port: portOfRule,
  'port-range': portRange,
  'port-name': portName,
  protocol,
  dscp: (value) =>
    dscpNumber(value) === undefined ? 'must be 0 to 63 or the name of a code point' : undefined,
  duration: (value) =>
    parseDurationMs(String(value)) === undefined ? 'must be a length of time like 90s or 1m30s' : undefined,
  'log-level': matches(
    /^(Trace|Debug|Info|Warning|Error|Fatal)$/i,
    'must be Trace, Debug, Info, Warning, Error or Fatal',
  ),
  regexp,
  'key-value-list': keyValueList,
  'metrics-host': matches(
    /^[a-zA-Z0-9:._+-]{1,64}$/,
    'must be an address or a host name of at most 64 characters',
  ),
  'wireguard-key': matches(
    /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/,
    'must be a WireGuard key: 32 bytes in base64',
  ),
};
