// The words for a reason.
import { describeNotification } from '../packet/mod.ts';
import type { DownReason } from './types.ts';

/** One line for a person: what happened and, where it helps, what to look at. */
export function describeReason(reason: DownReason): string {
  switch (reason.kind) {
    case 'not-started':
      return 'Not started.';
    case 'admin-down':
      return reason.text === undefined ? 'Shut down here.' : `Shut down here: ${reason.text}.`;
    case 'waiting-for-peer':
      return 'Passive: waiting for the peer to connect.';
    case 'connecting':
      return 'Connecting.';
    case 'refused':
      return 'Connection refused: no BGP speaker listens there.';
    case 'unreachable':
      return `Unreachable: ${reason.detail}.`;
    case 'connect-timeout':
      return 'No answer to the connection attempt.';
    case 'closed-by-peer':
      return reason.detail === undefined
        ? 'The peer closed the connection.'
        : `The connection ended: ${reason.detail}.`;
    case 'hold-timer-expired':
      return `Hold timer expired: nothing received for ${reason.holdTimeMs / 1000} s.`;
    case 'as-mismatch':
      return `The peer says it is AS ${reason.received}; expected ${reason.expected === 'external' ? 'another AS than ours' : `AS ${reason.expected}`}.`;
    case 'no-common-family':
      return 'The peer offers none of the address families of this session.';
    case 'notification-sent':
      return `Sent ${describeNotification(reason.notification)}${reason.detail === undefined ? '' : `: ${reason.detail}`}.`;
    case 'notification-received':
      return `Received ${describeNotification(reason.notification)}.`;
    case 'collision':
      return 'Closed in favour of the other connection.';
    default:
      return 'Replaced by a new connection of the restarted peer.';
  }
}
