// OPEN from options, and the agreement of two OPENs.
import { type Family } from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import {
  afi,
  asTrans,
  extendedMessageLimit,
  notification,
  notificationCode,
  openAsn,
  safi,
  standardMessageLimit,
  subcode,
  type Capability,
  type Notification,
  type OpenMessage,
} from '../packet/mod.ts';
import type {
  AddPathDirections,
  DownReason,
  FsmOptions,
  NegotiatedSession,
  PeerGracefulRestart,
} from './types.ts';

const afiOf: Readonly<Record<Family, number>> = { 4: afi.ipv4, 6: afi.ipv6 };
const familyOfAfi = (n: number): Family | undefined => (n === afi.ipv4 ? 4 : n === afi.ipv6 ? 6 : undefined);

/** The OPEN to send. `restarting`: this speaker has just started and asks its peers to send everything first. */
export function openFor(options: FsmOptions, restarting: boolean): OpenMessage {
  const { families, addPath } = options;
  const capabilities: Capability[] = [
    ...families.map((f): Capability => ({ type: 'multiprotocol', afi: afiOf[f], safi: safi.unicast })),
    { type: 'route-refresh' },
    { type: 'enhanced-route-refresh' },
    { type: 'four-octet-as', asn: options.localAsn },
  ];
  if (options.extendedMessage !== false) capabilities.push({ type: 'extended-message' });
  if (addPath !== undefined && (addPath.receive || addPath.send)) {
    const mode = addPath.receive ? (addPath.send ? 'both' : 'receive') : 'send';
    const entries = families.map((f) => ({ afi: afiOf[f], safi: safi.unicast, mode }) as const);
    capabilities.push({ type: 'add-path', families: entries });
  }
  const restart = options.gracefulRestart;
  if (restart !== undefined)
    capabilities.push({
      type: 'graceful-restart',
      restarting,
      notification: restart.notification,
      restartTimeS: Math.min(4095, Math.round(restart.restartTimeS)),
      // Kernel routes outlive the process: forwarding is preserved over every restart.
      families: families.map((f) => ({ afi: afiOf[f], safi: safi.unicast, forwardingPreserved: true })),
    });
  // We keep a peer's routes for as long as it asks, and ask for nothing ourselves, as BIRD does unless it is told otherwise.
  if (restart !== undefined) capabilities.push({ type: 'long-lived-graceful-restart', families: [] });
  return {
    version: 4,
    asn: options.localAsn > 0xffff ? asTrans : options.localAsn,
    holdTimeS: options.holdTimeS,
    routerId: options.routerId,
    capabilities,
  };
}

export type OpenRefusal = { readonly notification: Notification; readonly reason: DownReason };

/** What the two sides agree on, or why the peer's OPEN cannot be accepted. */
export function negotiate(options: FsmOptions, open: OpenMessage): Result<NegotiatedSession, OpenRefusal> {
  // AS 0 is nobody's (RFC 7607), also where a capability names another beside it.
  const peerAsn = open.asn === 0 ? 0 : openAsn(open);
  const wrongAs = options.peerAsn === undefined ? peerAsn === options.localAsn : peerAsn !== options.peerAsn;
  if (peerAsn === 0 || wrongAs)
    return err({
      notification: notification(notificationCode.open, subcode.open.badPeerAs, asnBytes(peerAsn)),
      reason: { kind: 'as-mismatch', expected: options.peerAsn ?? 'external', received: peerAsn },
    });
  const ebgp = peerAsn !== options.localAsn;
  // An identifier is unique within an AS (RFC 6286).
  if (open.routerId === 0 || (!ebgp && open.routerId === options.routerId))
    return refuse(subcode.open.badIdentifier, 'BGP identifier of the peer is zero or our own');
  if (open.holdTimeS === 1 || open.holdTimeS === 2)
    return refuse(subcode.open.unacceptableHoldTime, `hold time of ${open.holdTimeS} s`);
  const families = commonFamilies(options, open);
  if (families.length === 0)
    return err({
      notification: notification(
        notificationCode.open,
        subcode.open.unsupportedCapability,
        Uint8Array.from(options.families.flatMap((f) => [1, 4, 0, afiOf[f], 0, safi.unicast])),
      ),
      reason: { kind: 'no-common-family' },
    });
  return ok(agreement(options, open, peerAsn, families));
}

function agreement(
  options: FsmOptions,
  open: OpenMessage,
  peerAsn: number,
  families: readonly Family[],
): NegotiatedSession {
  const has = (type: Capability['type']): boolean => open.capabilities.some((c) => c.type === type);
  const holdTimeMs = Math.min(options.holdTimeS, open.holdTimeS) * 1000;
  const third = holdTimeMs / 3;
  const extendedMessage = options.extendedMessage !== false && has('extended-message');
  const gracefulRestart = options.gracefulRestart && peerRestart(options, open, families);
  return {
    ebgp: peerAsn !== options.localAsn,
    localAsn: options.localAsn,
    peerAsn,
    peerRouterId: open.routerId,
    holdTimeMs,
    keepaliveMs: options.keepaliveS === undefined ? third : Math.min(options.keepaliveS * 1000, third),
    families,
    as4: has('four-octet-as'),
    addPath: { 4: addPathOf(options, open, 4), 6: addPathOf(options, open, 6) },
    refresh: has('route-refresh'),
    enhancedRefresh: has('enhanced-route-refresh'),
    longLivedAware: gracefulRestart !== undefined && has('long-lived-graceful-restart'),
    extendedMessage,
    messageLimit: extendedMessage ? extendedMessageLimit : standardMessageLimit,
    peerCapabilities: open.capabilities.map((c) => (c.type === 'unknown' ? `code ${c.code}` : c.type)),
    ...(gracefulRestart ? { gracefulRestart } : {}),
  };
}

/** Without any multiprotocol capability a peer speaks IPv4 unicast (RFC 4760). */
function commonFamilies(options: FsmOptions, open: OpenMessage): Family[] {
  const offered = new Set<Family>();
  let any = false;
  for (const c of open.capabilities) {
    if (c.type !== 'multiprotocol') continue;
    any = true;
    const family = familyOfAfi(c.afi);
    if (family !== undefined && c.safi === safi.unicast) offered.add(family);
  }
  if (!any) offered.add(4);
  return options.families.filter((f) => offered.has(f));
}

function addPathOf(options: FsmOptions, open: OpenMessage, family: Family): AddPathDirections {
  const ours = options.addPath;
  if (ours === undefined) return { receive: false, send: false };
  for (const c of open.capabilities) {
    if (c.type !== 'add-path') continue;
    const theirs = c.families.find((f) => f.afi === afiOf[family] && f.safi === safi.unicast);
    if (theirs !== undefined)
      return {
        receive: ours.receive && theirs.mode !== 'receive',
        send: ours.send && theirs.mode !== 'send',
      };
  }
  return { receive: false, send: false };
}

function peerRestart(
  options: FsmOptions,
  open: OpenMessage,
  common: readonly Family[],
): PeerGracefulRestart | undefined {
  // The last instance of the capability counts (RFC 4724 section 3).
  const theirs = open.capabilities.filter((c) => c.type === 'graceful-restart').at(-1);
  if (theirs === undefined) return undefined;
  const families: PeerGracefulRestart['families'][number][] = [];
  for (const f of theirs.families) {
    const family = f.safi === safi.unicast ? familyOfAfi(f.afi) : undefined;
    if (family !== undefined && common.includes(family))
      families.push({ family, forwardingPreserved: f.forwardingPreserved });
  }
  return {
    restarting: theirs.restarting,
    notification: theirs.notification && options.gracefulRestart?.notification === true,
    restartTimeMs: theirs.restartTimeS * 1000,
    families,
    longLived: longLivedFamilies(open, common),
  };
}

/** Without the capability of graceful restart the long-lived one is to be ignored (RFC 9494 section 4.2). */
function longLivedFamilies(open: OpenMessage, common: readonly Family[]): PeerGracefulRestart['longLived'] {
  const theirs = open.capabilities.filter((c) => c.type === 'long-lived-graceful-restart').at(-1);
  return (theirs?.families ?? []).flatMap(({ afi: n, safi: s, forwardingPreserved, staleTimeS }) => {
    const family = s === safi.unicast ? familyOfAfi(n) : undefined;
    return family === undefined || !common.includes(family) || staleTimeS === 0
      ? []
      : [{ family, forwardingPreserved, staleTimeMs: staleTimeS * 1000 }];
  });
}

function refuse(sub: number, detail: string): Result<never, OpenRefusal> {
  const n = notification(notificationCode.open, sub);
  return err({ notification: n, reason: { kind: 'notification-sent', notification: n, detail } });
}

const asnBytes = (asn: number): Uint8Array =>
  asn > 0xffff ? Uint8Array.of(asn >>> 24, asn >>> 16, asn >>> 8, asn) : Uint8Array.of(asn >>> 8, asn);
