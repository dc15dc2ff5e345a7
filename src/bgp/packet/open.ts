// OPEN and its capabilities (RFC 5492), including the long form of optional parameters (RFC 9072).
//
//   [ version: 1 ][ my AS: 2 ][ hold time: 2 ][ BGP identifier: 4 ][ parameters length: 1 ] parameters
//   parameter:  [ type: 1 ][ length: 1 ] value            type 2 = capabilities
//   capability: [ code: 1 ][ length: 1 ] value
//   long form:  parameters length 255, then [ 255 ][ length: 2 ], and parameter lengths of two octets
import { err, ok, type Result } from '../../lib/result.ts';
import { notification, notificationCode, subcode } from './errors.ts';
import { writeHeader } from './header.ts';
import {
  asTrans,
  headerLength,
  messageType,
  type AddPathMode,
  type Capability,
  type Notification,
  type OpenMessage,
} from './types.ts';

export const capabilityCode = {
  multiprotocol: 1,
  routeRefresh: 2,
  extendedMessage: 6,
  gracefulRestart: 64,
  fourOctetAs: 65,
  addPath: 69,
  enhancedRouteRefresh: 70,
  longLivedGracefulRestart: 71,
} as const;

const addPathModes: readonly AddPathMode[] = ['receive', 'send', 'both'];

/** The AS number of the sender: that of the four-octet capability when there is one. */
export function openAsn(open: OpenMessage): number {
  for (const c of open.capabilities) if (c.type === 'four-octet-as') return c.asn;
  return open.asn;
}

export function encodeOpen(open: OpenMessage): Uint8Array {
  // One parameter with all capabilities is what every implementation reads.
  const capabilities = open.capabilities.flatMap(encodeCapability);
  const long = capabilities.length > 253;
  const size = capabilities.length;
  const parameters =
    size === 0
      ? [0]
      : long
        ? [255, 255, (size + 3) >> 8, (size + 3) & 255, 2, size >> 8, size & 255, ...capabilities]
        : [size + 2, 2, size, ...capabilities];
  const short = open.asn > 0xffff ? asTrans : open.asn;
  const body = [
    open.version,
    short >> 8,
    short & 255,
    open.holdTimeS >> 8,
    open.holdTimeS & 255,
    ...word(open.routerId),
    ...parameters,
  ];
  const bytes = new Uint8Array(headerLength + body.length);
  writeHeader(bytes, 0, bytes.length, messageType.open);
  bytes.set(body, headerLength);
  return bytes;
}

const word = (n: number): number[] => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];

function encodeCapability(c: Capability): number[] {
  const [code, value] = capabilityValue(c);
  return [code, value.length, ...value];
}

function capabilityValue(c: Capability): [number, number[]] {
  switch (c.type) {
    case 'multiprotocol':
      return [capabilityCode.multiprotocol, [c.afi >> 8, c.afi & 255, 0, c.safi]];
    case 'route-refresh':
      return [capabilityCode.routeRefresh, []];
    case 'enhanced-route-refresh':
      return [capabilityCode.enhancedRouteRefresh, []];
    case 'extended-message':
      return [capabilityCode.extendedMessage, []];
    case 'four-octet-as':
      return [capabilityCode.fourOctetAs, word(c.asn)];
    case 'graceful-restart': {
      const flags = (c.restarting ? 0x80 : 0) | (c.notification ? 0x40 : 0) | ((c.restartTimeS >> 8) & 0x0f);
      const families = c.families.flatMap((f) => [
        f.afi >> 8,
        f.afi & 255,
        f.safi,
        f.forwardingPreserved ? 0x80 : 0,
      ]);
      return [capabilityCode.gracefulRestart, [flags, c.restartTimeS & 255, ...families]];
    }
    case 'long-lived-graceful-restart':
      return [
        capabilityCode.longLivedGracefulRestart,
        c.families.flatMap((f) => [
          f.afi >> 8,
          f.afi & 255,
          f.safi,
          f.forwardingPreserved ? 0x80 : 0,
          (f.staleTimeS >> 16) & 255,
          (f.staleTimeS >> 8) & 255,
          f.staleTimeS & 255,
        ]),
      ];
    case 'add-path':
      return [
        capabilityCode.addPath,
        c.families.flatMap((f) => [f.afi >> 8, f.afi & 255, f.safi, addPathModes.indexOf(f.mode) + 1]),
      ];
    default:
      return [c.code, [...c.value]];
  }
}

/** Reads the OPEN at `start`..`end`. The error is the NOTIFICATION to answer with. */
export function decodeOpen(bytes: Uint8Array, start: number, end: number): Result<OpenMessage, Notification> {
  const at = start + headerLength;
  const version = bytes[at] ?? 0;
  if (version !== 4)
    return err(notification(notificationCode.open, subcode.open.unsupportedVersion, Uint8Array.of(0, 4)));
  const capabilities = decodeParameters(bytes, at + 9, end);
  if (!capabilities.ok) return capabilities;
  return ok({
    version,
    asn: u16(bytes, at + 1),
    holdTimeS: u16(bytes, at + 3),
    routerId: u32(bytes, at + 5),
    capabilities: capabilities.value,
  });
}

const malformed = err(notification(notificationCode.open, subcode.open.unspecific));

function decodeParameters(
  bytes: Uint8Array,
  lengthAt: number,
  end: number,
): Result<Capability[], Notification> {
  let length = bytes[lengthAt] ?? 0;
  let at = lengthAt + 1;
  const long = length === 255 && bytes[at] === 255 && end - at >= 3;
  if (long) {
    length = u16(bytes, at + 1);
    at += 3;
  }
  if (at + length !== end) return malformed;
  const capabilities: Capability[] = [];
  const head = long ? 3 : 2;
  while (at < end) {
    if (at + head > end) return malformed;
    const type = bytes[at] ?? 0;
    const value = at + head;
    const valueEnd = value + (long ? u16(bytes, at + 1) : (bytes[at + 1] ?? 0));
    if (valueEnd > end) return malformed;
    if (type !== 2) return err(notification(notificationCode.open, subcode.open.unsupportedParameter));
    if (!decodeCapabilities(bytes, value, valueEnd, capabilities)) return malformed;
    at = valueEnd;
  }
  return ok(capabilities);
}

/** False when a capability runs over the end of its parameter, or is a known one of a wrong length: then nobody knows what
 *  the peer offers, and a session that guessed would read its routes wrongly. */
function decodeCapabilities(bytes: Uint8Array, start: number, end: number, into: Capability[]): boolean {
  let at = start;
  while (at < end) {
    if (at + 2 > end) return false;
    const code = bytes[at] ?? 0;
    const value = bytes.subarray(at + 2, at + 2 + (bytes[at + 1] ?? 0));
    at += 2 + (bytes[at + 1] ?? 0);
    if (at > end) return false;
    const capability = decodeCapability(code, value);
    if (capability === undefined) return false;
    into.push(capability);
  }
  return true;
}

/** Undefined when a known capability has a length that it cannot have. */
function decodeCapability(code: number, value: Uint8Array): Capability | undefined {
  const size = value.length;
  switch (code) {
    case capabilityCode.multiprotocol:
      return size === 4 ? { type: 'multiprotocol', afi: u16(value, 0), safi: value[3] ?? 0 } : undefined;
    case capabilityCode.routeRefresh:
      return size === 0 ? { type: 'route-refresh' } : undefined;
    case capabilityCode.enhancedRouteRefresh:
      return size === 0 ? { type: 'enhanced-route-refresh' } : undefined;
    case capabilityCode.extendedMessage:
      return size === 0 ? { type: 'extended-message' } : undefined;
    case capabilityCode.fourOctetAs:
      return size === 4 ? { type: 'four-octet-as', asn: u32(value, 0) } : undefined;
    case capabilityCode.gracefulRestart:
      return size >= 2 && size % 4 === 2 ? gracefulRestart(value) : undefined;
    case capabilityCode.longLivedGracefulRestart:
      return size % 7 === 0 ? longLived(value) : undefined;
    case capabilityCode.addPath:
      return size % 4 === 0 ? addPath(value) : undefined;
    default:
      return { type: 'unknown', code, value: value.slice() };
  }
}

function gracefulRestart(value: Uint8Array): Capability {
  const flags = value[0] ?? 0;
  const families = [];
  for (let i = 2; i < value.length; i += 4)
    families.push({
      afi: u16(value, i),
      safi: value[i + 2] ?? 0,
      forwardingPreserved: ((value[i + 3] ?? 0) & 0x80) !== 0,
    });
  return {
    type: 'graceful-restart',
    restarting: (flags & 0x80) !== 0,
    notification: (flags & 0x40) !== 0,
    restartTimeS: u16(value, 0) & 0x0fff,
    families,
  };
}

/** RFC 9494: per family the flags and for how many seconds stale routes are worth keeping. */
function longLived(value: Uint8Array): Capability {
  const families = [];
  for (let i = 0; i < value.length; i += 7)
    families.push({
      afi: u16(value, i),
      safi: value[i + 2] ?? 0,
      forwardingPreserved: ((value[i + 3] ?? 0) & 0x80) !== 0,
      staleTimeS: ((value[i + 4] ?? 0) << 16) | u16(value, i + 5),
    });
  return { type: 'long-lived-graceful-restart', families };
}

/** Entries with a mode that RFC 7911 does not define are ignored, as it asks. */
function addPath(value: Uint8Array): Capability {
  const families = [];
  for (let i = 0; i < value.length; i += 4) {
    const mode = addPathModes[(value[i + 3] ?? 0) - 1];
    if (mode !== undefined) families.push({ afi: u16(value, i), safi: value[i + 2] ?? 0, mode });
  }
  return { type: 'add-path', families };
}

const u16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) * 65536 + u16(bytes, at + 2);
