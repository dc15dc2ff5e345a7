// NOTIFICATION codes with the words for them: the reason of a session's end as a person reads it.
import type { Notification } from './types.ts';

export const notificationCode = {
  messageHeader: 1,
  open: 2,
  update: 3,
  holdTimerExpired: 4,
  fsm: 5,
  cease: 6,
  routeRefresh: 7,
} as const;

/** Subcodes that this speaker sends or acts on. */
export const subcode = {
  header: { notSynchronised: 1, badLength: 2, badType: 3 },
  open: {
    unspecific: 0,
    unsupportedVersion: 1,
    badPeerAs: 2,
    badIdentifier: 3,
    unsupportedParameter: 4,
    unacceptableHoldTime: 6,
    unsupportedCapability: 7,
  },
  update: {
    malformedAttributeList: 1,
    unrecognisedWellKnown: 2,
    invalidNextHop: 8,
    optionalAttribute: 9,
    invalidNetwork: 10,
  },
  fsm: { unspecific: 0, inOpenSent: 1, inOpenConfirm: 2, inEstablished: 3 },
  cease: {
    maximumPrefixes: 1,
    administrativeShutdown: 2,
    peerDeconfigured: 3,
    administrativeReset: 4,
    connectionRejected: 5,
    otherConfigurationChange: 6,
    collision: 7,
    outOfResources: 8,
    hardReset: 9,
  },
  routeRefresh: { badLength: 1 },
} as const;

const names: Readonly<Record<number, readonly [string, Readonly<Record<number, string>>]>> = {
  1: [
    'Message header error',
    { 1: 'connection not synchronised', 2: 'bad message length', 3: 'bad message type' },
  ],
  2: [
    'OPEN message error',
    {
      1: 'unsupported version',
      2: 'bad peer AS',
      3: 'bad BGP identifier',
      4: 'unsupported optional parameter',
      5: 'authentication failure',
      6: 'unacceptable hold time',
      7: 'required capability missing',
      11: 'role mismatch',
    },
  ],
  3: [
    'UPDATE message error',
    {
      1: 'malformed attribute list',
      2: 'unknown well-known attribute',
      3: 'mandatory attribute missing',
      4: 'attribute flags error',
      5: 'attribute length error',
      6: 'invalid ORIGIN',
      7: 'AS loop',
      8: 'invalid next hop',
      9: 'optional attribute error',
      10: 'invalid network',
      11: 'malformed AS_PATH',
    },
  ],
  4: ['Hold timer expired', {}],
  5: [
    'State machine error',
    { 1: 'unexpected message in OpenSent', 2: 'in OpenConfirm', 3: 'in Established' },
  ],
  6: [
    'Cease',
    {
      1: 'maximum number of prefixes reached',
      2: 'administrative shutdown',
      3: 'peer deconfigured',
      4: 'administrative reset',
      5: 'connection rejected',
      6: 'other configuration change',
      7: 'connection collision resolution',
      8: 'out of resources',
      9: 'hard reset',
      10: 'BFD down',
    },
  ],
  7: ['ROUTE-REFRESH message error', { 1: 'invalid length' }],
};

const noData = new Uint8Array(0);

export const notification = (code: number, sub: number, data: Uint8Array = noData): Notification => ({
  code,
  subcode: sub,
  data,
});

/** `Cease: administrative shutdown (6/2), "maintenance"`. The text is the shutdown communication of RFC 9003. */
export function describeNotification(n: Notification): string {
  const [code, subs] = names[n.code] ?? [`NOTIFICATION code ${n.code}`, {}];
  const sub = subs[n.subcode];
  const text = shutdownText(n);
  return `${code}${sub === undefined ? '' : `: ${sub}`} (${n.code}/${n.subcode})${text === undefined ? '' : `, "${text}"`}`;
}

/** The free text of an administrative shutdown or reset, when there is one and it is whole. */
function shutdownText(n: Notification): string | undefined {
  if (n.code !== notificationCode.cease || (n.subcode !== 2 && n.subcode !== 4)) return undefined;
  const length = n.data[0] ?? 0;
  if (length === 0 || n.data.length < 1 + length) return undefined;
  return new TextDecoder().decode(n.data.subarray(1, 1 + length));
}
