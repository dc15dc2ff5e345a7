// Best path selection (RFC 4271 9.1.2, RFC 4456 9) over columns. Every loser remembers the step at which it lost.
//
//   preference of the source, our own before a peer's → local preference → AS path length → origin → MED (among paths of one neighbour AS)
//   → eBGP before iBGP → interior cost of the next hop → router or originator id → cluster list length → peer address
//   → path id
//
// MED makes pairwise comparison cyclic, so it is applied as the RFC has it: first everybody who is beaten by a path of the
// same neighbour AS leaves, then the rest compares on. The outcome does not depend on the order of arrival.
import { compareAddresses } from '../../lib/ip/mod.ts';
import type { AttributeSets } from './attribute-sets.ts';
import type { FamilyTable } from './family-table.ts';
import type { NextHops } from './next-hops.ts';
import { noPath, pathFlags, type PathTable } from './path-table.ts';
import type { Peer } from './peers.ts';

/** Indexes into `decisionSteps`. */
export const step = {
  best: 0,
  preference: 1,
  localPref: 2,
  asPathLength: 3,
  origin: 4,
  med: 5,
  peerType: 6,
  nextHopMetric: 7,
  routerId: 8,
  clusterListLength: 9,
  peerAddress: 10,
  pathId: 11,
} as const;

/** Of a BGP route that no policy has touched. */
const ordinaryPreference = 100;

export type DecisionTables = {
  readonly attributes: AttributeSets;
  readonly nextHops: NextHops;
  readonly peers: readonly (Peer | undefined)[];
};

export class Decision {
  readonly #tables: DecisionTables;
  readonly #tied: number[] = [];

  constructor(tables: DecisionTables) {
    this.#tables = tables;
  }

  isEligible(paths: PathTable, path: number): boolean {
    if ((paths.flags[path]! & pathFlags.removed) !== 0) return false;
    const attributes = paths.attributes[path]!;
    if (attributes === 0) return false;
    const { attributes: sets, nextHops } = this.#tables;
    return nextHops.reachable[sets.nextHop[attributes]!] === 1;
  }

  /** Selects the best path of the destination. True when forwarding has to change: another best path, another set of
   *  equal-cost paths, or other attributes of one of them. */
  select(table: FamilyTable, dest: number): boolean {
    const { paths } = table;
    const winner = this.#winner(table, dest);
    let changed = table.best[dest] !== winner;
    table.best[dest] = winner;
    const winnerIsBgp = winner !== noPath && this.#peer(paths, winner).isBgp;
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      const flags = paths.flags[path]!;
      let used = false;
      if (path === winner) {
        paths.lostAt[path] = step.best;
        used = true;
      } else if (winner !== noPath && this.isEligible(paths, path)) {
        if (paths.lostAt[path] !== step.med)
          paths.lostAt[path] = Math.abs(this.#compare(paths, winner, path));
        used = winnerIsBgp && paths.lostAt[path]! >= step.routerId && this.#peer(paths, path).isBgp;
      }
      if (used !== ((flags & pathFlags.multipath) !== 0) || (used && (flags & pathFlags.changed) !== 0))
        changed = true;
      paths.flags[path] =
        (used ? flags | pathFlags.multipath : flags & ~pathFlags.multipath) & ~pathFlags.changed;
    }
    return changed;
  }

  /** The best path, with `lostAt` = med on those that the MED rule sent away and 0 on all others. */
  #winner(table: FamilyTable, dest: number): number {
    const { paths } = table;
    const tied = this.#tied;
    tied.length = 0;
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      paths.lostAt[path] = 0;
      if (!this.isEligible(paths, path)) continue;
      const first = tied[0];
      const order = first === undefined ? 0 : this.#compareAttributes(paths, path, first);
      if (order > 0) tied.length = 0;
      if (order >= 0) tied.push(path);
    }
    if (tied.length > 1) this.#eliminateByMed(paths);
    let winner = noPath;
    for (const path of tied) {
      if (paths.lostAt[path] !== 0) continue;
      if (winner === noPath || this.#compareRest(paths, path, winner) > 0) winner = path;
    }
    return winner;
  }

  /** Marks the tied paths that another one of the same neighbour AS beats by a lower MED. */
  #eliminateByMed(paths: PathTable): void {
    const { med, neighbourAs } = this.#tables.attributes;
    const tied = this.#tied;
    const firstMed = med[paths.attributes[tied[0]!]!];
    if (tied.every((path) => med[paths.attributes[path]!] === firstMed)) return;
    const lowest = new Map<number, number>();
    for (const path of tied) {
      const set = paths.attributes[path]!;
      const known = lowest.get(neighbourAs[set]!);
      if (known === undefined || med[set]! < known) lowest.set(neighbourAs[set]!, med[set]!);
    }
    for (const path of tied) {
      const set = paths.attributes[path]!;
      if (med[set]! > lowest.get(neighbourAs[set]!)!) paths.lostAt[path] = step.med;
    }
  }

  /** Signed step at which `a` wins (positive) or loses (negative) against `b`. Never 0 for different paths. */
  #compare(paths: PathTable, a: number, b: number): number {
    const early = this.#compareAttributes(paths, a, b);
    if (early !== 0) return early;
    const { med, neighbourAs } = this.#tables.attributes;
    const x = paths.attributes[a]!;
    const y = paths.attributes[b]!;
    if (neighbourAs[x] === neighbourAs[y] && med[x] !== med[y])
      return med[x]! < med[y]! ? step.med : -step.med;
    return this.#compareRest(paths, a, b);
  }

  #compareAttributes(paths: PathTable, a: number, b: number): number {
    const { localPref, asPathLength, origin } = this.#tables.attributes;
    const x = paths.attributes[a]!;
    const y = paths.attributes[b]!;
    const preference = paths.preference[a]! - paths.preference[b]!;
    if (preference !== 0) return preference > 0 ? step.preference : -step.preference;
    // What a peer says, be it elevated, yields to a route of our own. Ordinary BGP routes are spared the question.
    if (paths.preference[a] !== ordinaryPreference) {
      const own = Number(this.#peer(paths, b).isBgp) - Number(this.#peer(paths, a).isBgp);
      if (own !== 0) return own > 0 ? step.preference : -step.preference;
    }
    const local = localPref[x]! - localPref[y]!;
    if (local !== 0) return local > 0 ? step.localPref : -step.localPref;
    const length = asPathLength[x]! - asPathLength[y]!;
    if (length !== 0) return length < 0 ? step.asPathLength : -step.asPathLength;
    const o = origin[x]! - origin[y]!;
    if (o !== 0) return o < 0 ? step.origin : -step.origin;
    return 0;
  }

  #compareRest(paths: PathTable, a: number, b: number): number {
    const { attributes, nextHops } = this.#tables;
    const p = this.#peer(paths, a);
    const q = this.#peer(paths, b);
    const x = paths.attributes[a]!;
    const y = paths.attributes[b]!;
    if (p.isIbgp !== q.isIbgp) return q.isIbgp ? step.peerType : -step.peerType;
    const metric = nextHops.metric[attributes.nextHop[x]!]! - nextHops.metric[attributes.nextHop[y]!]!;
    if (metric !== 0) return metric < 0 ? step.nextHopMetric : -step.nextHopMetric;
    const idA = (attributes.originator[x]! || p.routerId) >>> 0;
    const idB = (attributes.originator[y]! || q.routerId) >>> 0;
    if (idA !== idB) return idA < idB ? step.routerId : -step.routerId;
    const clusters = attributes.clusterCount[x]! - attributes.clusterCount[y]!;
    if (clusters !== 0) return clusters < 0 ? step.clusterListLength : -step.clusterListLength;
    const address = comparePeers(p, q);
    if (address !== 0) return address < 0 ? step.peerAddress : -step.peerAddress;
    return paths.pathId[a]! >>> 0 < paths.pathId[b]! >>> 0 ? step.pathId : -step.pathId;
  }

  #peer(paths: PathTable, path: number): Peer {
    return this.#tables.peers[paths.peer[path]!]!;
  }
}

function comparePeers(p: Peer, q: Peer): number {
  if (p.id === q.id) return 0;
  const a = p.config.address;
  const b = q.config.address;
  if (a === undefined || b === undefined || a === b) return p.id - q.id;
  return compareAddresses(a, b);
}
