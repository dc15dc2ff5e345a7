// The 19 bytes before every message, and the messages that are little more than them.
//
//    0                                               16       18     19
//   +-----------------------------------------------+--------+------+--------
//   | marker: 16 times 0xff                         | length | type | body …
//   +-----------------------------------------------+--------+------+--------
import { notification, notificationCode, subcode } from './errors.ts';
import { headerLength, messageType, type Notification, type RouteRefresh } from './types.ts';

const routeRefreshLength = headerLength + 4;
const minimumLength: Readonly<Record<number, number>> = {
  [messageType.open]: 29,
  [messageType.update]: 23,
  [messageType.notification]: 21,
  [messageType.keepalive]: 19,
  [messageType.routeRefresh]: routeRefreshLength,
};

/** What stands at `start`: 0 = the header is not complete yet; > 0 = the length of the message that begins there;
 *  < 0 = not a message, `headerProblem` says why. Does not allocate. */
export function frameLength(bytes: Uint8Array, start: number, end: number, limit: number): number {
  if (end - start < headerLength) return 0;
  for (let i = start; i < start + 16; i++) if (bytes[i] !== 0xff) return -1;
  const length = ((bytes[start + 16] ?? 0) << 8) | (bytes[start + 17] ?? 0);
  const type = bytes[start + 18] ?? 0;
  // OPEN and KEEPALIVE keep the old limit with extended messages (RFC 8654).
  const most = type === messageType.open || type === messageType.keepalive ? Math.min(limit, 4096) : limit;
  if (length < headerLength || length > most) return -2;
  const least = minimumLength[type];
  if (least === undefined) return -3;
  if (length < least) return type === messageType.routeRefresh ? -4 : -2;
  if (type === messageType.keepalive && length !== headerLength) return -2;
  if (type === messageType.routeRefresh && length !== routeRefreshLength) return -4;
  return length;
}

/** The NOTIFICATION to send when `frameLength` gave a negative number. */
export function headerProblem(bytes: Uint8Array, start: number, problem: number): Notification {
  if (problem === -1) return notification(notificationCode.messageHeader, subcode.header.notSynchronised);
  if (problem === -2)
    return notification(
      notificationCode.messageHeader,
      subcode.header.badLength,
      bytes.slice(start + 16, start + 18),
    );
  if (problem === -3)
    return notification(
      notificationCode.messageHeader,
      subcode.header.badType,
      bytes.slice(start + 18, start + 19),
    );
  return notification(
    notificationCode.routeRefresh,
    subcode.routeRefresh.badLength,
    bytes.slice(start, start + headerLength),
  );
}

export const messageTypeAt = (bytes: Uint8Array, start: number): number => bytes[start + 18] ?? 0;

export function writeHeader(bytes: Uint8Array, start: number, length: number, type: number): void {
  bytes.fill(0xff, start, start + 16);
  bytes[start + 16] = length >> 8;
  bytes[start + 17] = length & 0xff;
  bytes[start + 18] = type;
}

export function encodeKeepalive(): Uint8Array {
  const bytes = new Uint8Array(headerLength);
  writeHeader(bytes, 0, headerLength, messageType.keepalive);
  return bytes;
}

export function encodeNotification(n: Notification): Uint8Array {
  const data = n.data.subarray(0, 4096 - headerLength - 2);
  const bytes = new Uint8Array(headerLength + 2 + data.length);
  writeHeader(bytes, 0, bytes.length, messageType.notification);
  bytes[19] = n.code;
  bytes[20] = n.subcode;
  bytes.set(data, 21);
  return bytes;
}

/** Copies the data: the message's buffer may be reused. */
export function decodeNotification(bytes: Uint8Array, start: number, end: number): Notification {
  return notification(bytes[start + 19] ?? 0, bytes[start + 20] ?? 0, bytes.slice(start + 21, end));
}

const refreshSubtypes = ['request', 'begin', 'end'] as const;

export function encodeRouteRefresh(refresh: RouteRefresh): Uint8Array {
  const bytes = new Uint8Array(routeRefreshLength);
  writeHeader(bytes, 0, bytes.length, messageType.routeRefresh);
  bytes[19] = refresh.afi >> 8;
  bytes[20] = refresh.afi & 0xff;
  bytes[21] = refresh.subtype === 'unknown' ? 255 : refreshSubtypes.indexOf(refresh.subtype);
  bytes[22] = refresh.safi;
  return bytes;
}

export function decodeRouteRefresh(bytes: Uint8Array, start: number): RouteRefresh {
  return {
    afi: ((bytes[start + 19] ?? 0) << 8) | (bytes[start + 20] ?? 0),
    safi: bytes[start + 22] ?? 0,
    subtype: refreshSubtypes[bytes[start + 21] ?? 0] ?? 'unknown',
  };
}
