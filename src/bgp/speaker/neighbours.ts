// All neighbours of a speaker: those with an address of their own in the configuration, and those of a range, which exist
// while they have a session or routes are kept for them. Who dials us is looked up here.
import type { Timer } from '../../lib/clock.ts';
import { containsAddress, prefixLength, type Address } from '../../lib/ip/mod.ts';
import { encodeNotification, notification, notificationCode, subcode } from '../packet/mod.ts';
import type { PeerId } from '../rib/mod.ts';
import { Neighbour, type NeighbourHost } from './neighbour.ts';
import type { Wire } from './transport.ts';
import type { NeighbourConfig, NeighbourRange, SpeakerConfig } from './types.ts';

const sweepMs = 60_000;

/** What a neighbour needs; that it is gone is this collection's own business. */
export type NeighboursHost = Omit<NeighbourHost, 'gone'>;

export class Neighbours {
  readonly #host: NeighboursHost;
  readonly #byName = new Map<string, Neighbour>();
  readonly #byRibPeer = new Map<PeerId, Neighbour>();
  /** Several may have one address and differ in their port. */
  readonly #byAddress = new Map<Address, Set<Neighbour>>();
  #ranges: readonly NeighbourRange[] = [];
  #dynamicNeighbours = 0;
  #sweepTimer: Timer | undefined;

  constructor(host: NeighboursHost) {
    this.#host = host;
  }

  [Symbol.iterator](): Iterator<Neighbour> {
    return this.#byName.values();
  }

  get(name: string): Neighbour | undefined {
    return this.#byName.get(name);
  }

  ofRibPeer(peer: PeerId): Neighbour | undefined {
    return this.#byRibPeer.get(peer);
  }

  /** Takes the first configuration; nothing is dialled before `start`. */
  load(config: SpeakerConfig): void {
    this.#ranges = config.ranges;
    for (const neighbour of config.neighbours) this.#add(neighbour);
  }

  start(): void {
    for (const neighbour of this) neighbour.start();
  }

  /** Ends sessions that are no longer wanted or differ in what a session cannot change; others go on. */
  change(before: SpeakerConfig, next: SpeakerConfig): void {
    this.#ranges = next.ranges;
    const sameHost = same(before.addresses, next.addresses);
    const wanted = new Map(next.neighbours.map((n) => [n.name, n]));
    for (const neighbour of this) {
      const { kind, name, address } = neighbour.config;
      const config = kind === 'dynamic' ? dynamicConfig(this.#ranges, address) : wanted.get(name);
      if (config === undefined) this.#remove(neighbour, subcode.cease.peerDeconfigured);
      else if (sameHost && same(sessionPart(config), sessionPart(neighbour.config))) {
        if (!same(config, neighbour.config)) neighbour.reconfigure(config);
      } else {
        this.#remove(neighbour, subcode.cease.otherConfigurationChange);
        if (kind !== 'dynamic') this.#add(config).start();
      }
    }
    for (const config of wanted.values()) if (!this.#byName.has(config.name)) this.#add(config).start();
  }

  /** Ends every session with a Cease. */
  end(cease: number): void {
    this.#sweepTimer?.cancel();
    this.#sweepTimer = undefined;
    for (const neighbour of this) neighbour.remove(cease);
    this.#byName.clear();
    this.#byRibPeer.clear();
    this.#byAddress.clear();
    this.#dynamicNeighbours = 0;
  }

  /** Lets go of every session without a word. */
  abandon(): void {
    this.#sweepTimer?.cancel();
    this.#sweepTimer = undefined;
    for (const neighbour of this) neighbour.abandon();
  }

  /** Somebody has dialled us. */
  accept(wire: Wire): void {
    const { remoteAddress } = wire;
    const [known] = this.#byAddress.get(remoteAddress) ?? [];
    if (known !== undefined) return known.accept(wire);
    const { logger } = this.#host;
    const range = rangeOf(this.#ranges, remoteAddress);
    const config = dynamicConfig(this.#ranges, remoteAddress);
    if (range === undefined || config === undefined) {
      logger.debug('connection from an address that is no neighbour', { address: remoteAddress });
      return reject(wire);
    }
    if (this.#dynamicNeighbours >= range.limit && this.#members(range) >= range.limit) {
      logger.warn('too many neighbours in a range', { range: range.prefix, limit: range.limit });
      return reject(wire);
    }
    const neighbour = this.#add(config);
    neighbour.start();
    neighbour.accept(wire);
  }

  #members({ prefix }: NeighbourRange): number {
    let count = 0;
    for (const { config } of this)
      if (config.kind === 'dynamic' && containsAddress(prefix, config.address)) count++;
    return count;
  }

  #add(config: NeighbourConfig): Neighbour {
    const neighbour = new Neighbour(config, { ...this.#host, gone: (name) => this.#forgetDynamic(name) });
    this.#byName.set(config.name, neighbour);
    this.#byRibPeer.set(neighbour.ribPeer, neighbour);
    const sharing = this.#byAddress.get(config.address);
    if (sharing === undefined) this.#byAddress.set(config.address, new Set([neighbour]));
    else sharing.add(neighbour);
    if (config.kind === 'dynamic') {
      this.#dynamicNeighbours++;
      this.#sweepLater();
    }
    return neighbour;
  }

  #remove(neighbour: Neighbour, cease: number): void {
    const { name, address, kind } = neighbour.config;
    this.#byName.delete(name);
    const sharing = this.#byAddress.get(address);
    sharing?.delete(neighbour);
    if (sharing?.size === 0) this.#byAddress.delete(address);
    if (kind === 'dynamic') this.#dynamicNeighbours--;
    neighbour.remove(cease);
    this.#byRibPeer.delete(neighbour.ribPeer);
    this.#host.complete(neighbour.config.name);
  }

  /** Who dialled and never got as far as a session leaves nothing that would end: it is looked after. */
  #sweepLater(): void {
    this.#sweepTimer ??= this.#host.clock.after(sweepMs, () => {
      this.#sweepTimer = undefined;
      for (const neighbour of this)
        if (neighbour.config.kind === 'dynamic' && neighbour.isIdle)
          this.#remove(neighbour, subcode.cease.peerDeconfigured);
      if (this.#dynamicNeighbours > 0) this.#sweepLater();
    });
  }

  #forgetDynamic(name: string): void {
    const neighbour = this.#byName.get(name);
    if (neighbour?.config.kind !== 'dynamic') return;
    // Not while the session is still in the middle of its end.
    this.#host.clock.after(0, () => {
      if (neighbour.isEstablished || neighbour.keepsStale || this.#byName.get(name) !== neighbour) return;
      this.#remove(neighbour, subcode.cease.peerDeconfigured);
    });
  }
}

/** A word before closing: the other side then shows "connection rejected" and not just a lost connection. */
function reject(wire: Wire): void {
  wire.write([encodeNotification(notification(notificationCode.cease, subcode.cease.connectionRejected))]);
  wire.close();
}

/** What cannot change while a session lives. */
function sessionPart(c: NeighbourConfig): unknown {
  return { ...c, importPolicy: 0, exportPolicy: 0, rrClient: 0, nextHopMode: 0, kind: 0 };
}

function rangeOf(ranges: readonly NeighbourRange[], address: Address): NeighbourRange | undefined {
  return ranges
    .filter((r) => containsAddress(r.prefix, address))
    .sort((a, b) => prefixLength(b.prefix) - prefixLength(a.prefix))[0];
}

function dynamicConfig(ranges: readonly NeighbourRange[], address: Address): NeighbourConfig | undefined {
  const range = rangeOf(ranges, address);
  if (range === undefined) return undefined;
  const { name, prefix: _prefix, limit: _limit, ...session } = range;
  return { ...session, name: `${name}_${address}`, kind: 'dynamic', address, port: 179, passive: true };
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
