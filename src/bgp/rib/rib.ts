// The routing table: sources of routes come and go, say and withdraw prefixes; best paths are selected and announced in
// slices by `flush`. This file ties the parts together; see docs/bgp-rib.md for the picture.
import { compareAddresses, prefixFamily, type Family, type Prefix } from '../../lib/ip/mod.ts';
import { encodeEndOfRib, walkNlri } from '../packet/mod.ts';
import type { ByteSets } from './byte-sets.ts';
import { RibContext } from './context.ts';
import { Decision } from './decision.ts';
import { Distributor } from './distributor.ts';
import type { FamilyTable } from './family-table.ts';
import { Importer } from './import.ts';
import { encodeLocal, PathKeeper } from './path-keeper.ts';
import { NextHopScan } from './next-hop-scan.ts';
import { noPath } from './path-table.ts';
import { configurePeer, familyConfig, newPeer, type Peer } from './peers.ts';
import { Sessions } from './sessions.ts';
import type {
  BestChange,
  FlushReport,
  LocalRoute,
  NextHopState,
  PathView,
  PeerCounts,
  PeerId,
  Rib,
  RibCounts,
  RibExplanation,
  RibOptions,
  RibPeerConfig,
  RibUpdate,
  UpdateSink,
} from './types.ts';
import { Views } from './views.ts';

export const createRib = (options: RibOptions): Rib => new RoutingTable(options);

const families = [4, 6] as const;
/** Keys of remembered results hold the number of a peer in 14 bits. */
const maxPeers = 16000;
/** Prefixes between two looks at the clock: adapted so that a batch takes about as long as `batchGoalMs`. */
const firstBatchSize = 1024;
const batchSizes = { least: 256, most: 8192 };
const batchGoalMs = 6;
const sparePolicies = 16;

class RoutingTable implements Rib {
  readonly #context: RibContext;
  readonly #importer: Importer;
  readonly #keeper: PathKeeper;
  readonly #hopScan: NextHopScan;
  readonly #sessions: Sessions;
  readonly #distributor: Distributor;
  readonly #views: Views;
  readonly #now: (() => number) | undefined;
  #batchSize: number;
  readonly #fixedBatchSize: boolean;
  /** With more compiled policies than this, those that nobody runs are looked for. */
  #policiesKept = sparePolicies;
  /** Numbers of removed peers, free again once nothing refers to them. */
  readonly #retired: PeerId[] = [];
  readonly #freePeers: PeerId[] = [];

  constructor(options: RibOptions) {
    this.#context = new RibContext(options);
    const decision = new Decision(this.#context);
    this.#importer = new Importer(this.#context);
    this.#keeper = new PathKeeper(this.#context, this.#importer);
    this.#hopScan = new NextHopScan(this.#context, this.#importer);
    this.#sessions = new Sessions(this.#context);
    this.#distributor = new Distributor(this.#context, decision);
    this.#views = new Views(this.#context, decision);
    this.#now = options.now;
    this.#fixedBatchSize = options.batchSize !== undefined || options.now === undefined;
    this.#batchSize = options.batchSize ?? firstBatchSize;
  }

  // ── peers ──────────────────────────────────────────────────────────────────────────────────────────────────────────
  addPeer(config: RibPeerConfig): PeerId {
    const { peers } = this.#context;
    const id = this.#freePeers.pop() ?? peers.length;
    if (id >= maxPeers) throw new Error(`a routing table has at most ${maxPeers} sources of routes`);
    const peer = newPeer(id, config);
    peers[id] = peer;
    this.#configureFamilies(peer);
    return id;
  }

  peerUp(id: PeerId, config: RibPeerConfig): void {
    const peer = this.#peer(id);
    if (peer.up) this.peerDown(id, { stale: [4, 6] });
    this.#configure(peer, config);
    peer.up = true;
    peer.paused = false;
    for (const family of families) this.#sessions.join(peer, family);
  }

  changePeer(id: PeerId, config: RibPeerConfig): void {
    const peer = this.#peer(id);
    this.#configure(peer, config);
    if (peer.up) for (const family of families) this.#sessions.move(peer, family);
  }

  peerDown(id: PeerId, options: { readonly stale?: readonly Family[] } = {}): void {
    const peer = this.#peer(id);
    peer.up = false;
    peer.paused = false;
    for (const family of families) {
      this.#sessions.leave(peer, family);
      if (options.stale?.includes(family)) this.markStale(id, family);
      else this.#keeper.removeAll(peer, family);
    }
  }

  removePeer(id: PeerId): void {
    this.peerDown(id);
    this.#context.peers[id] = undefined;
    this.#retired.push(id);
  }

  // ── routes ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  update(id: PeerId, { family, attributes, nlri }: RibUpdate): void {
    const peer = this.#peer(id);
    const table = this.#context.tables[family];
    const { sets } = this.#context.attributes;
    const set = this.#context.attributes.intern(attributes);
    const addPath = peer[family].config?.addPathReceive === true;
    // A user for the length of the call: nothing of it is swept in between.
    sets.acquire(set);
    walkNlri(nlri, 0, nlri.length, family, addPath, (_family, w0, w1, w2, w3, length, pathId) => {
      const dest = table.prefixes.add(w0, w1, w2, w3, length);
      table.ensure(dest);
      this.#keeper.announce(table, peer, dest, pathId | 0, set);
    });
    sets.release(set);
  }

  withdraw(id: PeerId, family: Family, nlri: Uint8Array): void {
    const peer = this.#peer(id);
    const table = this.#context.tables[family];
    const addPath = peer[family].config?.addPathReceive === true;
    walkNlri(nlri, 0, nlri.length, family, addPath, (_family, w0, w1, w2, w3, length, pathId) => {
      const dest = table.prefixes.find(w0, w1, w2, w3, length);
      if (dest < 0) return;
      const path = table.findPath(dest, id, pathId | 0);
      if (path !== noPath) this.#keeper.remove(table, peer, path);
    });
  }

  announceLocal(id: PeerId, route: LocalRoute): void {
    const peer = this.#peer(id);
    const family = prefixFamily(route.prefix);
    const table = this.#context.tables[family];
    const dest = table.prefixes.addPrefix(route.prefix);
    table.ensure(dest);
    const set = this.#context.attributes.intern(encodeLocal(route));
    const old = table.findPath(dest, id, 0);
    const before = old === noPath ? undefined : table.paths.local.get(old);
    const path = old === noPath ? table.newPath(dest, id, 0) : old;
    table.paths.local.set(path, route);
    if (old === noPath) table.linkToPeer(path, peer[family]);
    const moved = before?.interfaceName !== route.interfaceName || before?.gateway !== route.gateway;
    this.#keeper.setAttributes(table, peer, path, set, moved);
  }

  withdrawLocal(id: PeerId, prefix: Prefix): void {
    const table = this.#context.tables[prefixFamily(prefix)];
    const dest = table.prefixes.findPrefix(prefix);
    const path = dest < 0 ? noPath : table.findPath(dest, id, 0);
    if (path !== noPath) this.#keeper.remove(table, this.#peer(id), path);
  }

  markStale(id: PeerId, family: Family): void {
    this.#keeper.markStale(this.#peer(id), family);
  }

  markLongLived(id: PeerId, family: Family): void {
    this.#keeper.markLongLived(this.#peer(id), family);
  }

  sweepStale(id: PeerId, family: Family, options: { readonly keepLongLived?: boolean } = {}): void {
    this.#keeper.sweepStale(this.#peer(id), family, options.keepLongLived === true);
  }

  refresh(id: PeerId, family: Family): void {
    this.#sessions.repeat(this.#peer(id), family);
  }

  // ── next hops ──────────────────────────────────────────────────────────────────────────────────────────────────────
  nextHops(): ReturnType<Rib['nextHops']> {
    return this.#context.nextHops.list().sort((a, b) => compareAddresses(a.address, b.address));
  }

  setNextHops(changes: Parameters<Rib['setNextHops']>[0]): void {
    const { nextHops } = this.#context;
    const changed = changes
      .map(({ address, state }) => nextHops.set(address, state satisfies NextHopState))
      .filter((hop) => hop !== 0);
    this.#hopScan.begin(changed);
  }

  // ── telling others ─────────────────────────────────────────────────────────────────────────────────────────────────
  get pending(): boolean {
    const { tables } = this.#context;
    return (
      tables[4].dirtyCount > 0 || tables[6].dirtyCount > 0 || this.#sessions.busy || this.#hopScan.pending
    );
  }

  flush(budgetMs: number, sink: UpdateSink): FlushReport {
    const started = this.#now?.() ?? 0;
    this.#distributor.begin(sink);
    let prefixes = 0;
    let before = started;
    while (this.pending) {
      for (const family of families) prefixes += this.#step(this.#context.tables[family]);
      if (this.#now === undefined) continue;
      const now = this.#now();
      this.#adaptBatch(now - before);
      before = now;
      if (now - started >= budgetMs) break;
    }
    const done = !this.pending;
    if (done) this.#tidy();
    return { done, prefixes, messages: this.#distributor.messages };
  }

  #adaptBatch(tookMs: number): void {
    if (this.#fixedBatchSize) return;
    if (tookMs > 2 * batchGoalMs) this.#batchSize = Math.max(batchSizes.least, this.#batchSize >> 1);
    else if (tookMs < batchGoalMs / 2) this.#batchSize = Math.min(batchSizes.most, this.#batchSize * 2);
  }

  /** One slice of every kind of work a family has. */
  #step(table: FamilyTable): number {
    const { family } = table;
    const jobs = this.#sessions.jobs[family];
    let prefixes = 0;
    this.#hopScan.step(table, this.#batchSize);
    if (table.dirtyCount > 0) {
      prefixes = this.#distributor.processDirty(table, this.#batchSize, () => this.#sessions.pinned);
    }
    const [job] = jobs;
    if (job !== undefined && this.#distributor.stepJob(table, job, this.#batchSize)) {
      jobs.shift();
      for (const id of job.endOfRib) this.#sendEndOfRib(id, family);
    }
    for (const peer of this.#sessions.resumed) {
      if (peer.paused || !this.#distributor.stepMissed(table, peer, this.#batchSize)) continue;
      if (peer[family].endOfRibDue) {
        peer[family].endOfRibDue = false;
        this.#distributor.sendBytes(peer, encodeEndOfRib(family));
      }
    }
    for (const peer of this.#sessions.resumed) {
      const waits = peer[4].missed !== undefined || peer[6].missed !== undefined;
      if (peer.paused || !waits) this.#sessions.resumed.delete(peer);
    }
    return prefixes;
  }

  #sendEndOfRib(id: PeerId, family: Family): void {
    const peer = this.#context.peers[id];
    if (peer === undefined) return;
    if (peer.paused || peer[family].missed !== undefined) peer[family].endOfRibDue = true;
    else this.#distributor.sendBytes(peer, encodeEndOfRib(family));
  }

  pause(id: PeerId): void {
    this.#peer(id).paused = true;
  }

  resume(id: PeerId): void {
    const peer = this.#peer(id);
    if (!peer.paused) return;
    peer.paused = false;
    for (const family of families) {
      // End-of-RIB that became due meanwhile goes out with the missed changes, even when there are none.
      if (!peer[family].endOfRibDue) continue;
      this.#context.mayLag = true;
      peer[family].missed ??= new Uint8Array(0);
    }
    if (peer[4].missed !== undefined || peer[6].missed !== undefined) this.#sessions.resumed.add(peer);
  }

  /** Frees numbers that nothing refers to any more; only while no work is under way. */
  #tidy(): void {
    if (this.#sessions.pinned) return;
    const { attributes, outgoing, policies, tables } = this.#context;
    for (const family of families)
      if (tables[family].hasUnclean) this.#distributor.cleanLater(tables[family]);
    this.#freePeers.push(...this.#retired.splice(0));
    if (policies.compiledCount > this.#policiesKept) this.#forgetPolicies();
    if (!this.#isSweepDue(attributes.sets) && !this.#isSweepDue(outgoing)) return;
    policies.forgetUnused();
    for (const family of families) for (const group of tables[family].groups.values()) group.forgetUnused();
    attributes.sweep();
    outgoing.sweep(() => undefined);
    this.#importer.forget();
  }

  #forgetPolicies(): void {
    const { peers, policies, tables } = this.#context;
    const used = families.flatMap((family) => [
      ...peers.map((peer) => peer?.[family].importPolicy),
      ...[...tables[family].groups.values()].map((group) => group.config.policy),
    ]);
    policies.keepOnly(new Set(used.filter((policy) => policy !== undefined)));
    this.#policiesKept = 2 * policies.compiledCount + sparePolicies;
  }

  #isSweepDue({ dead, size }: ByteSets): boolean {
    const allowed = this.#context.options.sweepAfter ?? 1024;
    return dead > allowed && dead - allowed > (allowed === 0 ? 0 : size / 4);
  }

  // ── forwarding and introspection ───────────────────────────────────────────────────────────────────────────────────
  takeBestChanges(limit = Number.POSITIVE_INFINITY): BestChange[] {
    const changes: BestChange[] = [];
    for (const family of families) {
      const table = this.#context.tables[family];
      for (const dest of table.takeBestChanged(limit - changes.length)) {
        changes.push(this.#views.bestChange(table, dest));
        this.#distributor.dropEmpty(table, dest);
      }
    }
    return changes;
  }

  dropBestChanges(): void {
    for (const family of families) {
      const table = this.#context.tables[family];
      for (const dest of table.takeBestChanged(Number.POSITIVE_INFINITY))
        this.#distributor.dropEmpty(table, dest);
    }
  }

  repeatBestChanges(): void {
    for (const family of families) {
      const table = this.#context.tables[family];
      const { prefixes } = table;
      for (let dest = 0; dest < prefixes.bound; dest++)
        if (prefixes.isUsed(dest)) table.noteBestChanged(dest);
    }
  }

  paths(
    family: Family,
    filter?: { readonly peer?: PeerId; readonly bestOnly?: boolean },
  ): IterableIterator<PathView> {
    return this.#views.paths(this.#context.tables[family], filter);
  }

  announced(id: PeerId, family: Family): ReturnType<Rib['announced']> {
    return this.#views.announced(this.#context.tables[family], this.#peer(id));
  }

  explain(prefix: Prefix): RibExplanation {
    return this.#views.explain(this.#context.tables[prefixFamily(prefix)], prefix);
  }

  counts(): RibCounts {
    return this.#views.counts();
  }

  peerCounts(id: PeerId): PeerCounts {
    return this.#views.peerCounts(this.#peer(id));
  }

  // ── configuration ──────────────────────────────────────────────────────────────────────────────────────────────────
  #peer(id: PeerId): Peer {
    const peer = this.#context.peers[id];
    if (peer === undefined) throw new Error(`no peer ${id} in the routing table`);
    return peer;
  }

  #configure(peer: Peer, config: RibPeerConfig): void {
    const before = { ...peer };
    configurePeer(peer, config);
    this.#importer.forget();
    const identity = before.routerId !== peer.routerId;
    if (identity) {
      // What was announced for its routes carries the old identifier.
      for (const family of families) {
        for (const group of this.#context.tables[family].groups.values()) group.forgetPeer(peer.id);
      }
    }
    const role =
      identity ||
      before.isIbgp !== peer.isIbgp ||
      before.isClient !== peer.isClient ||
      before.config.localAs !== config.localAs ||
      before.config.allowLocalAs !== config.allowLocalAs;
    this.#configureFamilies(peer, role);
  }

  /** Takes over policies; routes are looked at again when what applies to them changed. */
  #configureFamilies(peer: Peer, roleChanged = false): void {
    for (const family of families) {
      const state = peer[family];
      const config = familyConfig(peer.config, family);
      const policy =
        config?.importPolicy === undefined ? undefined : this.#context.policies.compile(config.importPolicy);
      const policyChanged = policy !== state.importPolicy;
      state.config = config;
      state.importPolicy = policy;
      if (!policyChanged && !roleChanged) continue;
      const table = this.#context.tables[family];
      for (let path = state.firstPath; path !== noPath; path = table.paths.nextInPeer[path]!) {
        const changed = this.#importer.evaluate(table, path, peer);
        if (changed || roleChanged) table.markDirty(table.paths.dest[path]!);
      }
    }
  }
}
