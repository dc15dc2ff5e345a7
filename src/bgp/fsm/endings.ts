// How sessions end: which ends are errors, which are graceful, what is said.
import { notification, notificationCode, subcode, type Notification } from '../packet/mod.ts';
import type { Connection, DownReason } from './types.ts';

/** The reason of the last failure stays visible while the next attempt runs. */
export const keepTelling = (reason: DownReason): DownReason =>
  reason.kind === 'not-started' || reason.kind === 'waiting-for-peer' ? { kind: 'connecting' } : reason;

/** Errors wait longer than lost connections. A Cease that may end any moment is not one. */
export function isError(reason: DownReason): boolean {
  if (reason.kind === 'notification-sent' || reason.kind === 'notification-received')
    return reason.notification.code !== notificationCode.cease;
  return (
    reason.kind === 'as-mismatch' ||
    reason.kind === 'no-common-family' ||
    reason.kind === 'hold-timer-expired'
  );
}

/** RFC 4724: a lost connection is a restart of the peer; with the N bit (RFC 8538) NOTIFICATIONs other than a hard reset
 *  and the hold timer are too. */
export function isGraceful(reason: DownReason, connection: Connection): boolean {
  const restart = connection.session?.gracefulRestart;
  if (restart === undefined) return false;
  if (reason.kind === 'closed-by-peer' || reason.kind === 'replaced') return true;
  if (!restart.notification) return false;
  if (reason.kind === 'hold-timer-expired') return true;
  if (reason.kind !== 'notification-received' && reason.kind !== 'notification-sent') return false;
  const { code, subcode: sub } = reason.notification;
  return code !== notificationCode.cease || sub !== subcode.cease.hardReset;
}

/** A Cease, with the text of RFC 9003 where the subcode takes one. */
export function ceaseWith(sub: number, text?: string): Notification {
  const takesText = sub === subcode.cease.administrativeShutdown || sub === subcode.cease.administrativeReset;
  if (!takesText || text === undefined) return notification(notificationCode.cease, sub);
  const words = new TextEncoder().encode(text).subarray(0, 255);
  return notification(notificationCode.cease, sub, Uint8Array.of(words.length, ...words));
}
