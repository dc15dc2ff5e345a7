// Peers that are told the same things share one export group: what was announced is computed, remembered and encoded once
// for all of them. The only difference between members is that none is told its own routes.
import { addressToBytes, type Address, type Family } from '../../lib/ip/mod.ts';
import {
  attributeFlag,
  encodeAttributes,
  extendedMessageLimit,
  headerLength,
  standardMessageLimit,
} from '../packet/mod.ts';
import { defaultLocalPref, type CompiledPolicy, type PolicyChanges } from '../policy/mod.ts';
import { attributeFlags } from './attribute-sets.ts';
import { grown } from './byte-sets.ts';
import {
  applyChanges,
  prependPath,
  touchesAttributes,
  withNextHop,
  type MutableAttributes,
} from './changes.ts';
import type { RibContext } from './context.ts';
import type { FamilyTable } from './family-table.ts';
import { rewriteAttributes } from './outgoing.ts';
import { noPath } from './path-table.ts';
import type { Peer } from './peers.ts';
import type { ExportView, PeerId, RibPeerConfig, RibPeerFamily } from './types.ts';

/** Why a path is not announced; 0 is no number of an encoded set. */
type Refusal = NonNullable<ExportView['reason']>;

export type GroupConfig = {
  readonly family: Family;
  readonly ibgp: boolean;
  readonly client: boolean;
  readonly localAs: number;
  readonly nextHopMode: 'auto' | 'self' | 'keep';
  readonly localAddress: Address;
  readonly localLinkLocal: Address | undefined;
  readonly fourOctetAs: boolean;
  readonly messageLimit: number;
  readonly longLivedAware: boolean;
  readonly addPath: boolean;
  readonly policy: CompiledPolicy | undefined;
};

/** The group a session belongs to; undefined when the family is receive-only. */
export function groupConfig(
  peer: RibPeerConfig,
  family: RibPeerFamily,
  policy: CompiledPolicy | undefined,
): GroupConfig | undefined {
  if (family.localAddress === undefined) return undefined;
  const ibgp = peer.type !== 'ebgp';
  return {
    family: family.family,
    ibgp,
    client: ibgp && peer.rrClient === true,
    localAs: peer.localAs ?? 0,
    nextHopMode: peer.nextHopMode ?? 'auto',
    localAddress: family.localAddress,
    localLinkLocal: family.localLinkLocal,
    fourOctetAs: peer.fourOctetAs !== false,
    messageLimit: peer.extendedMessages === true ? extendedMessageLimit : standardMessageLimit,
    longLivedAware: peer.longLivedAware === true,
    addPath: family.addPathSend === true,
    policy,
  };
}

export const groupKey = (c: GroupConfig): string =>
  [
    c.family,
    c.ibgp ? (c.client ? 'client' : 'ibgp') : 'ebgp',
    c.localAs,
    c.nextHopMode,
    c.localAddress,
    c.localLinkLocal ?? '',
    c.fourOctetAs ? 'as4' : 'as2',
    c.messageLimit,
    c.longLivedAware ? 'llgr' : '',
    c.addPath ? 'all' : 'best',
    c.policy?.hash ?? '',
  ].join('|');

export class ExportGroup {
  readonly key: string;
  readonly config: GroupConfig;
  readonly members = new Set<PeerId>();
  /** Announced set per destination, 0 = not announced; per path in a group that sends all paths. */
  out = new Int32Array(64);
  /** Peer the announced path comes from; only for groups that send the best path. */
  source = new Int32Array(64).fill(-1);
  /** Destinations below this number have been evaluated since the group exists. */
  filledTo = 0;
  /** Counts every change of `out`. */
  version = 0;
  announced = 0;
  readonly #announcedFrom = new Map<PeerId, number>();
  readonly #context: RibContext;
  readonly #ownNextHop: Uint8Array;
  /** (set, origin of the path) → encoded set. Entries do not count as users; a sweep drops those it makes wrong. */
  readonly #encoded = new Map<number, number>();
  /** The same where the policy changed something. */
  readonly #encodedChanged = new Map<number, Map<number, number>>();

  constructor(key: string, config: GroupConfig, context: RibContext) {
    this.key = key;
    this.config = config;
    this.#context = context;
    const own = addressToBytes(config.localAddress);
    const linkLocal = config.localLinkLocal === undefined ? [] : addressToBytes(config.localLinkLocal);
    this.#ownNextHop = new Uint8Array([...own, ...linkLocal]);
  }

  /** Number of the encoded set to announce for the path; 0 when it is not announced. */
  evaluate(table: FamilyTable, path: number): number {
    if (path === noPath) return 0;
    const peer = this.#context.peers[table.paths.peer[path]!]!;
    const set = table.paths.attributes[path]!;
    if (this.#refused(peer, set) !== undefined) return 0;
    const { policy } = this.config;
    const type = this.config.ibgp ? 'ibgp' : 'ebgp';
    const { verdict, changes } = this.#context.policies.run(policy, table, path, set, type);
    if (verdict === 'reject') return 0;
    // The identity of the source only shows in ORIGINATOR_ID, so that only reflected routes are kept apart by peer.
    const reflected = this.config.ibgp && peer.isIbgp;
    const kind = reflected ? peer.id + 2 : peer.isBgp ? 1 : 0;
    // Where another program's route leads is told to our own side only, as BIRD has it.
    const gateway = peer.isBgp || !this.config.ibgp ? undefined : table.paths.local.get(path)?.gateway;
    if (gateway !== undefined) {
      const attributes = applyChanges(this.#context.attributes.decoded(set), changes);
      return this.#intern(this.#encode(this.#transform(peer, attributes, gateway)));
    }
    const key = set * 16384 + kind;
    let memory = this.#encoded;
    if (changes.id !== 0) {
      const known = this.#encodedChanged.get(changes.id);
      if (known === undefined) this.#encodedChanged.set(changes.id, (memory = new Map()));
      else memory = known;
    }
    const known = memory.get(key);
    if (known !== undefined) return known;
    const plain = this.config.fourOctetAs && !touchesAttributes(changes);
    const rewritten = plain ? this.#rewrite(peer, set) : undefined;
    const out = this.#intern(rewritten ?? this.#transformed(peer, set, changes));
    memory.set(key, out);
    return out;
  }

  /** As `evaluate`, in words. */
  explain(table: FamilyTable, path: number): Refusal | undefined {
    if (path === noPath) return 'noPath';
    const peer = this.#context.peers[table.paths.peer[path]!]!;
    const set = table.paths.attributes[path]!;
    const refusal = this.#refused(peer, set);
    if (refusal !== undefined) return refusal;
    const type = this.config.ibgp ? 'ibgp' : 'ebgp';
    const { verdict } = this.#context.policies.run(this.config.policy, table, path, set, type);
    if (verdict === 'reject') return 'exportPolicy';
    return this.evaluate(table, path) === 0 ? 'tooLong' : undefined;
  }

  #refused(peer: Peer, set: number): Refusal | undefined {
    const { ibgp, client } = this.config;
    if (ibgp && peer.isIbgp && !peer.isClient && !client) return 'ibgpToIbgp';
    const flags = this.#context.attributes.flags[set]!;
    if (flags === 0) return undefined;
    if ((flags & attributeFlags.noAdvertise) !== 0) return 'noAdvertise';
    if ((flags & attributeFlags.llgrStale) !== 0 && !this.config.longLivedAware) return 'longLivedStale';
    return !ibgp && (flags & attributeFlags.noExport) !== 0 ? 'noExport' : undefined;
  }

  /** The attributes as this group's peers get them. */
  #transform(peer: Peer, attributes: MutableAttributes, gateway: Address | undefined): MutableAttributes {
    const { ibgp, localAs } = this.config;
    const next = this.#chooseNextHop(peer, attributes, gateway);
    // An unknown attribute that is not transitive ends here (RFC 4271 5).
    if (next.unknown) next.unknown = next.unknown.filter((a) => (a.flags & attributeFlag.transitive) !== 0);
    if (!ibgp) {
      next.asPath = prependPath(attributes.asPath, [localAs]);
      delete next.localPref;
      delete next.originatorId;
      delete next.clusterList;
      // A MED is for the neighbour AS that was given it.
      if (peer.isBgp) delete next.med;
      return next;
    }
    next.localPref = attributes.localPref ?? defaultLocalPref;
    if (peer.isIbgp) {
      next.originatorId = attributes.originatorId ?? peer.routerId >>> 0;
      next.clusterList = [this.#context.clusterId, ...(attributes.clusterList ?? [])];
    }
    return next;
  }

  #chooseNextHop(peer: Peer, attributes: MutableAttributes, gateway: Address | undefined): MutableAttributes {
    const { ibgp, nextHopMode, localAddress, localLinkLocal } = this.config;
    const present = peer.isBgp ? attributes.nextHop : gateway;
    const keep = present !== undefined && (nextHopMode === 'keep' || (nextHopMode === 'auto' && ibgp));
    if (!keep) return withNextHop(attributes, localAddress, localLinkLocal);
    // A link-local next hop means nothing beyond its link.
    return withNextHop(attributes, present, undefined);
  }

  #transformed(peer: Peer, set: number, changes: PolicyChanges): Uint8Array {
    const attributes = applyChanges(this.#context.attributes.decoded(set), changes);
    return this.#encode(this.#transform(peer, attributes, undefined));
  }

  #encode(attributes: MutableAttributes): Uint8Array {
    const { family, fourOctetAs } = this.config;
    return encodeAttributes(attributes, {
      as4: fourOctetAs,
      nextHop: family === 4 ? 'attribute' : 'mp-reach',
    });
  }

  /** The same as `#transform` and `#encode` without decoding; undefined when the form of the bytes does not allow it. */
  #rewrite(peer: Peer, set: number): Uint8Array | undefined {
    const { family, ibgp, localAs, nextHopMode } = this.config;
    const { attributes, nextHops, clusterId } = this.#context;
    const present = peer.isBgp ? nextHops.address(attributes.nextHop[set]!) : undefined;
    const keep = present !== undefined && (nextHopMode === 'keep' || (nextHopMode === 'auto' && ibgp));
    return rewriteAttributes(attributes.sets.bytes(set), {
      family,
      ibgp,
      localAs,
      nextHop: keep ? addressToBytes(present) : this.#ownNextHop,
      localPref: attributes.localPref[set]!,
      reflection: ibgp && peer.isIbgp ? { originatorId: peer.routerId, clusterId } : undefined,
      keepMed: !peer.isBgp,
    });
  }

  #intern(bytes: Uint8Array): number {
    // Header, two lengths, the longest prefix with a path identifier.
    if (headerLength + 4 + bytes.length + 21 > this.config.messageLimit) return 0;
    return Math.abs(this.#context.outgoing.intern(bytes));
  }

  /** Makes room for destination or path number `index`. */
  ensure(index: number): void {
    if (index < this.out.length) return;
    const old = this.out.length;
    const size = Math.max(old * 2, index + 1);
    this.out = grown(this.out, size);
    this.source = grown(this.source, size).fill(-1, old);
  }

  /** Remembers what is announced now. `index` is a destination, or a path in a group that sends all paths. */
  store(index: number, out: number, source: PeerId): void {
    this.ensure(index);
    const old = this.out[index]!;
    const oldSource = this.source[index]!;
    if (old === out && oldSource === source) return;
    this.version++;
    const { outgoing } = this.#context;
    if (out !== 0) outgoing.acquire(out);
    if (old !== 0) outgoing.release(old);
    this.#count(oldSource, old, -1);
    this.#count(source, out, 1);
    this.out[index] = out;
    this.source[index] = out === 0 ? -1 : source;
  }

  /** Routes announced to this member. */
  announcedTo(peer: PeerId): number {
    return this.announced - (this.#announcedFrom.get(peer) ?? 0);
  }

  /** The identifier of a peer changed: what was made of its routes is wrong. */
  forgetPeer(peer: PeerId): void {
    this.#forget((key) => key % 16384 === peer + 2);
  }

  /** Before a sweep: drops results that it is going to free, or whose origin it is. */
  forgetUnused(): void {
    const { refs } = this.#context.attributes.sets;
    const used = this.#context.outgoing.refs;
    this.#forget((key, out) => refs[Math.floor(key / 16384)] === 0 || (out !== 0 && used[out] === 0));
  }

  #forget(which: (key: number, out: number) => boolean): void {
    for (const memory of [this.#encoded, ...this.#encodedChanged.values()]) {
      for (const [key, out] of memory) if (which(key, out)) memory.delete(key);
    }
  }

  /** Nobody is left: gives back everything that was counted. */
  dispose(): void {
    this.#encoded.clear();
    this.#encodedChanged.clear();
    for (const out of this.out) if (out !== 0) this.#context.outgoing.release(out);
    this.out = new Int32Array(0);
  }

  #count(source: PeerId, out: number, by: number): void {
    if (out === 0) return;
    this.announced += by;
    this.#announcedFrom.set(source, (this.#announcedFrom.get(source) ?? 0) + by);
  }
}
