// A neighbour: its session and its place in the routing table, joined. UPDATEs become routes, negotiated facts become the
// table's view of the peer, and a peer that restarts gracefully keeps its routes for a while (RFC 4724, helper side).
import type { Clock, Timer } from '../../lib/clock.ts';
import { familyOf, v4FromNumber, v4ToNumber, type Address, type Family } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import {
  describeReason,
  type DownReason,
  type FsmOptions,
  type NegotiatedSession,
  type PeerGracefulRestart,
} from '../fsm/mod.ts';
import {
  announcedNlri,
  announcedParts,
  attributeBytes,
  attributeName,
  forEachWithdrawnRange,
  partFamily,
  type RouteRefresh,
  type UpdateView,
} from '../packet/mod.ts';
import type { PeerId, Rib, RibPeerConfig, RibPeerFamily } from '../rib/mod.ts';
import type { Sender } from './announcer.ts';
import { Session, type SessionOwner } from './session.ts';
import type { Transport, Wire } from './transport.ts';
import type { NeighbourConfig, PeerStatus, SpeakerConfig } from './types.ts';

export type NeighbourHost = {
  readonly rib: Rib;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly local: () => Pick<SpeakerConfig, 'routerId' | 'addresses'>;
  readonly restarting: () => boolean;
  readonly random: () => number;
  /** The table has work to do. */
  readonly changed: () => void;
  /** Its socket takes what is queued for it. */
  readonly ready: (sender: Sender) => void;
  /** The peer's first transfer is complete, as far as one can know. */
  readonly complete: (name: string) => void;
  /** The peer has restarted too, and may wait for what we say. */
  readonly restarted: (name: string) => void;
  /** A session ended and nothing is kept for it. */
  readonly gone: (name: string) => void;
};

/** A peer without graceful restart never says that it is done: silence of this length counts. */
const assumedCompleteMs = 2_000;
/** As far as a timer reaches: 24 days. */
const longestTimerMs = 2 ** 31 - 1;

export class Neighbour implements SessionOwner, Sender {
  readonly #host: NeighbourHost;
  #config: NeighbourConfig;
  readonly ribPeer: PeerId;
  readonly #session: Session;
  /** Families whose End-of-RIB is outstanding, in this session. */
  readonly #awaited = new Set<Family>();
  readonly #stale = new Set<Family>();
  /** Families whose table the peer is sending again between the markers of RFC 7313. */
  readonly #refreshing = new Set<Family>();
  #restartTimer: Timer | undefined;
  /** Of families whose stale routes are kept beyond the restart time. They run on through later sessions, until one of
   *  these brought the whole table. */
  readonly #longTimers = new Map<Family, Timer>();
  #completeTimer: Timer | undefined;
  /** Why no session can be: it is not started. */
  readonly #refusal: string | undefined;

  constructor(config: NeighbourConfig, host: NeighbourHost) {
    this.#config = config;
    this.#host = host;
    this.ribPeer = host.rib.addPeer(this.#ribConfig(undefined, undefined));
    this.#refusal = config.security === undefined ? undefined : host.transport.refuses(config.security);
    this.#session = new Session({
      name: config.name,
      fsm: fsmOptions(config, host.local().routerId),
      dial: {
        remote: config.address,
        port: config.port,
        ...(config.sourceAddress === undefined ? {} : { source: config.sourceAddress }),
        ...(config.security === undefined ? {} : { security: config.security }),
      },
      transport: host.transport,
      clock: host.clock,
      logger: host.logger,
      owner: this,
      restarting: host.restarting,
      random: host.random,
    });
  }

  get config(): NeighbourConfig {
    return this.#config;
  }

  get isEstablished(): boolean {
    return this.#session.state === 'Established';
  }

  get keepsStale(): boolean {
    return this.#stale.size > 0;
  }

  /** Nothing of it is left to wait for: no session, no connection, no routes kept. */
  get isIdle(): boolean {
    const { state } = this.#session;
    return (state === 'Idle' || state === 'Active') && !this.keepsStale;
  }

  start(): void {
    if (this.#refusal === undefined) this.#session.start();
    else this.#host.logger.warn('no session is possible', { peer: this.#config.name, reason: this.#refusal });
  }

  /** Ends the session with a Cease and takes the peer out of the table. */
  remove(cease: number, text?: string): void {
    this.#session.stop(cease, text);
    this.#clearTimers();
    this.#clearLongTimers();
    this.#host.rib.removePeer(this.ribPeer);
  }

  /** For the end of the process: no word to the peer, which then waits for us. */
  abandon(): void {
    this.#clearTimers();
    this.#clearLongTimers();
    this.#session.abandon();
  }

  accept(wire: Wire): void {
    if (this.#refusal === undefined) this.#session.accept(wire);
    else wire.close();
  }

  /** New policies or roles for a session that stays. */
  reconfigure(config: NeighbourConfig): void {
    this.#config = config;
    const session = this.#session.session ?? (this.keepsStale ? this.#lastSession : undefined);
    if (session !== undefined) this.#host.rib.changePeer(this.ribPeer, this.#ribConfig(session, this.#local));
  }

  send(messages: readonly Uint8Array[], shared: boolean): boolean {
    return this.#session.send(messages, shared);
  }

  get readyBytes(): number {
    return this.#session.readyBytes;
  }

  deliver(): void {
    this.#session.deliver();
  }

  // ── what the session says ──────────────────────────────────────────────────────────────────────────────────────────
  #local: Address | undefined;
  #lastSession: NegotiatedSession | undefined;

  established(session: NegotiatedSession, localAddress: Address): void {
    const { rib, clock } = this.#host;
    this.#local = localAddress;
    this.#lastSession = session;
    this.#clearTimers();
    this.#dropUnpreserved(session);
    rib.peerUp(this.ribPeer, this.#ribConfig(session, localAddress));
    this.#awaited.clear();
    this.#refreshing.clear();
    for (const family of session.families) this.#awaited.add(family);
    // Two restarted speakers would wait for each other (RFC 4724 section 4.1).
    if (session.gracefulRestart?.restarting === true) this.#host.restarted(this.#config.name);
    if (session.gracefulRestart === undefined)
      this.#completeTimer = clock.after(assumedCompleteMs, () => {
        for (const family of session.families) this.#endOfRib(family);
      });
    this.#host.changed();
  }

  /** Stale routes of a family stay only if the restarted peer says that it went on forwarding. */
  #dropUnpreserved(session: NegotiatedSession): void {
    for (const family of this.#stale) {
      const { families = [], longLived = [] } = session.gracefulRestart ?? {};
      const kept = [...families, ...longLived].some((f) => f.family === family && f.forwardingPreserved);
      if (!kept || !session.families.includes(family)) this.#drop(family);
    }
    // The peer has so long to send its table again; End-of-RIB ends it sooner.
    const { gracefulRestart } = session;
    if (this.#stale.size > 0 && gracefulRestart !== undefined)
      this.#restartTimer = this.#host.clock.after(Math.max(gracefulRestart.restartTimeMs, 60_000), () =>
        this.#sweepRest('it did not send its table again in time'),
      );
  }

  down(reason: DownReason, graceful: boolean): void {
    const { rib, clock, logger } = this.#host;
    this.#clearTimers();
    this.#awaited.clear();
    this.#refreshing.clear();
    const restart = graceful ? this.#lastSession?.gracefulRestart : undefined;
    const stale = this.#config.families.filter((family) =>
      [...(restart?.families ?? []), ...(restart?.longLived ?? [])].some((f) => f.family === family),
    );
    // What was stale already, and the lost session has not said again, has had its time (RFC 4724 section 4.2); that of
    // long-lived routes goes on (RFC 9494 section 4.2).
    for (const family of this.#stale) {
      if (!stale.includes(family)) this.#drop(family);
      else rib.sweepStale(this.ribPeer, family, { keepLongLived: true });
    }
    rib.peerDown(this.ribPeer, { stale });
    for (const family of stale) this.#stale.add(family);
    if (restart !== undefined && stale.length > 0) {
      logger.info('keeping the routes of a peer that restarts', {
        peer: this.#config.name,
        reason: describeReason(reason),
        restartTimeMs: restart.restartTimeMs,
      });
      this.#restartTimer = clock.after(restart.restartTimeMs, () => this.#restartTimeOver(restart));
    } else this.#host.gone(this.#config.name);
    this.#host.changed();
  }

  /** The peer has not come back: its routes go, or stay as the last choice for as long as it asked (RFC 9494). */
  #restartTimeOver({ longLived }: PeerGracefulRestart): void {
    const { rib, clock, logger } = this.#host;
    this.#restartTimer = undefined;
    const name = this.#config.name;
    for (const { family, staleTimeMs } of longLived) {
      if (!this.#stale.has(family)) continue;
      logger.info('keeping the routes of a peer as the last choice', { peer: name, family, staleTimeMs });
      rib.markLongLived(this.ribPeer, family);
      if (this.#longTimers.has(family)) continue;
      this.#longTimers.set(
        family,
        clock.after(Math.min(staleTimeMs, longestTimerMs), () => {
          this.#longTimers.delete(family);
          this.#sweep(family, 'it did not come back in its long-lived stale time');
          if (!this.keepsStale && !this.isEstablished) this.#host.gone(name);
        }),
      );
    }
    this.#sweepRest('it did not come back in time');
    if (!this.keepsStale) this.#host.gone(name);
  }

  update(view: UpdateView): void {
    const { rib, logger } = this.#host;
    if (view.problems !== undefined)
      for (const p of view.problems)
        logger.warn('error in an UPDATE', {
          peer: this.#config.name,
          attribute: attributeName(p.attribute),
          effect: p.class,
          reason: p.reason,
        });
    if (view.endOfRib !== 0) return this.#endOfRib(view.endOfRib);
    forEachWithdrawnRange(view, (family, nlri) => rib.withdraw(this.ribPeer, family, nlri));
    for (const part of announcedParts(view))
      rib.update(this.ribPeer, {
        family: partFamily(view, part),
        attributes: attributeBytes(view, part),
        nlri: announcedNlri(view, part),
      });
    this.#host.changed();
  }

  #endOfRib(family: Family): void {
    if (this.#stale.has(family)) this.#drop(family);
    if (this.#stale.size === 0) {
      this.#restartTimer?.cancel();
      this.#restartTimer = undefined;
    }
    this.#awaited.delete(family);
    if (this.#awaited.size === 0) this.#host.complete(this.#config.name);
    this.#host.changed();
  }

  /** Of families that are not kept for longer. */
  #sweepRest(why: string): void {
    for (const family of this.#stale) if (!this.#longTimers.has(family)) this.#sweep(family, why);
  }

  #sweep(family: Family, reason: string): void {
    this.#host.logger.info('dropping the routes kept for a peer', {
      peer: this.#config.name,
      family,
      reason,
    });
    this.#drop(family);
    this.#host.changed();
  }

  /** What is stale of the family goes, and nothing is kept for it any more. */
  #drop(family: Family): void {
    this.#host.rib.sweepStale(this.ribPeer, family);
    this.#stale.delete(family);
    this.#longTimers.get(family)?.cancel();
    this.#longTimers.delete(family);
  }

  /** RFC 2918, and the markers of RFC 7313 around what the peer sends again. */
  refresh(request: RouteRefresh): void {
    const family: Family | undefined =
      request.safi !== 1 ? undefined : request.afi === 1 ? 4 : request.afi === 2 ? 6 : undefined;
    if (family === undefined || !this.#lastSession?.families.includes(family)) return;
    if (request.subtype === 'request') this.#host.rib.refresh(this.ribPeer, family);
    else if (request.subtype === 'begin') this.#beginRefresh(family);
    else if (request.subtype === 'end' && this.#refreshing.delete(family))
      this.#host.rib.sweepStale(this.ribPeer, family);
    this.#host.changed();
  }

  /** A peer whose first table is outstanding has nothing to refresh (RFC 7313 section 4): what it has said would go at its
   *  End-of-RIB. */
  #beginRefresh(family: Family): void {
    if (this.#awaited.has(family) && this.#lastSession?.gracefulRestart !== undefined) return;
    this.#refreshing.add(family);
    this.#host.rib.markStale(this.ribPeer, family);
  }

  ready(): void {
    this.#host.ready(this);
  }

  writable(): void {
    this.#host.rib.resume(this.ribPeer);
    this.#host.changed();
  }

  #clearTimers(): void {
    this.#restartTimer?.cancel();
    this.#completeTimer?.cancel();
    this.#restartTimer = undefined;
    this.#completeTimer = undefined;
  }

  #clearLongTimers(): void {
    for (const timer of this.#longTimers.values()) timer.cancel();
    this.#longTimers.clear();
  }

  // ── the table's view of it ─────────────────────────────────────────────────────────────────────────────────────────
  #ribConfig(session: NegotiatedSession | undefined, localAddress: Address | undefined): RibPeerConfig {
    const c = this.#config;
    const peerAs = session?.peerAsn ?? c.as;
    const families = (session?.families ?? c.families).map((f) => this.#ribFamily(f, session, localAddress));
    return {
      name: c.name,
      source: 'bgp',
      type: (session?.ebgp ?? c.as !== c.localAs) ? 'ebgp' : 'ibgp',
      address: c.address,
      localAs: c.localAs,
      ...(peerAs === undefined ? {} : { peerAs }),
      ...(session === undefined ? {} : { routerId: v4FromNumber(session.peerRouterId) }),
      rrClient: c.rrClient,
      nextHopMode: c.nextHopMode,
      allowLocalAs: c.allowLocalAs,
      families,
      fourOctetAs: session?.as4 ?? true,
      extendedMessages: session?.extendedMessage ?? false,
      longLivedAware: session?.longLivedAware ?? false,
    };
  }

  #ribFamily(
    family: Family,
    session: NegotiatedSession | undefined,
    localAddress: Address | undefined,
  ): RibPeerFamily {
    const own =
      localAddress !== undefined && familyOf(localAddress) === family
        ? localAddress
        : this.#host.local().addresses[family]?.address;
    return {
      family,
      ...(own === undefined ? {} : { localAddress: own }),
      addPathReceive: session?.addPath[family].receive ?? false,
      addPathSend: session?.addPath[family].send ?? false,
      importPolicy: this.#config.importPolicy,
      exportPolicy: this.#config.exportPolicy,
    };
  }

  status(): PeerStatus {
    const c = this.#config;
    const s = this.#session;
    const { session } = s;
    const reason: DownReason =
      this.#refusal === undefined ? s.reason : { kind: 'admin-down', text: this.#refusal };
    return {
      name: c.name,
      kind: c.kind,
      address: c.address,
      port: c.port,
      as: session?.peerAsn ?? c.as,
      localAs: c.localAs,
      passive: c.passive,
      state: s.state,
      since: new Date(s.since).toISOString(),
      ...(session === undefined ? { reason, reasonText: reasonText(reason, c) } : { session }),
      keepingStale: this.keepsStale,
      routes: this.#host.rib.peerCounts(this.ribPeer),
      messages: { received: s.received, sent: s.sent },
    };
  }
}

/** Silence has causes that neither side is told: the kernel drops what is signed wrongly or came too far. */
function reasonText(reason: DownReason, { security }: NeighbourConfig): string {
  const text = describeReason(reason);
  const isSilence = reason.kind === 'hold-timer-expired' && security !== undefined;
  if (reason.kind !== 'connect-timeout' && !isSilence) return text;
  const causes = [
    security?.password === undefined
      ? 'the peer may want a password'
      : "the password may not be the peer's (nstat TcpExtTCPMD5Failure counts)",
    ...(security?.ttlHops === undefined
      ? []
      : [`TTL security: the peer may be more than ${security.ttlHops} hops away, or not send with TTL 255`]),
    'a filter on the way',
  ];
  return `${text} Causes of silence: ${causes.join('; ')}.`;
}

function fsmOptions(c: NeighbourConfig, routerId: Address): FsmOptions {
  return {
    localAsn: c.localAs,
    ...(c.as === undefined ? {} : { peerAsn: c.as }),
    routerId: v4ToNumber(routerId),
    holdTimeS: c.holdTimeS,
    ...(c.keepaliveS === undefined ? {} : { keepaliveS: c.keepaliveS }),
    passive: c.passive,
    families: c.families,
    addPath: c.addPath,
    extendedMessage: true,
    // The N bit (RFC 8538) is not offered: a NOTIFICATION ends the session and its routes, as BIRD does it.
    gracefulRestart: { restartTimeS: c.gracefulRestartTimeS, notification: false },
  };
}
