// From what a peer said to what takes part in selection: loop checks, import policy. The received form stays, so that a new
// policy is applied without asking the peer again.
import { attributeFlags } from './attribute-sets.ts';
import type { RibContext } from './context.ts';
import type { FamilyTable } from './family-table.ts';
import { pathFlags } from './path-table.ts';
import { lastChoice, type Peer } from './peers.ts';

/** Indexes into `ineligibleReasons`. */
export const reason = { eligible: 0, importPolicy: 1, asLoop: 2, originatorLoop: 3, clusterLoop: 4 } as const;

export class Importer {
  readonly #context: RibContext;
  #lastPeer = -1;
  #lastSet = 0;
  #lastLoop = 0;

  constructor(context: RibContext) {
    this.#context = context;
  }

  /** Evaluates the path again. True when what takes part in selection changed. */
  evaluate(table: FamilyTable, path: number, peer: Peer): boolean {
    const { paths } = table;
    const set = paths.attributesIn[path]!;
    const old = paths.attributes[path]!;
    const oldPreference = paths.preference[path]!;
    let next = 0;
    let why: number = peer.isBgp ? this.#loop(peer, set) : reason.eligible;
    let preference = peer.preference;
    if (why === reason.eligible) {
      const policy = peer[table.family].importPolicy;
      const { policies } = this.#context;
      const { verdict, changes } = policies.run(policy, table, path, set, peer.config.type);
      if (verdict === 'reject') why = reason.importPolicy;
      else next = policies.changed(policy, set, changes);
      preference = changes.preference ?? preference;
    }
    // Whatever else there is wins over what a peer that is long gone once said (RFC 9494).
    if ((this.#context.attributes.flags[set]! & attributeFlags.llgrStale) !== 0) preference = lastChoice;
    paths.reason[path] = why;
    paths.preference[path] = preference;
    if (next === old && preference === oldPreference) return false;
    const { sets } = this.#context.attributes;
    if (next !== 0) sets.acquire(next);
    if (old !== 0) sets.release(old);
    paths.attributes[path] = next;
    paths.flags[path]! |= pathFlags.changed;
    return true;
  }

  /** Configuration of peers changed, or attribute numbers were swept. */
  forget(): void {
    this.#lastPeer = -1;
  }

  /** One UPDATE brings many prefixes with one set: the last answer is kept. */
  #loop(peer: Peer, set: number): number {
    if (peer.id === this.#lastPeer && set === this.#lastSet) return this.#lastLoop;
    this.#lastPeer = peer.id;
    this.#lastSet = set;
    this.#lastLoop = this.#findLoop(peer, set);
    return this.#lastLoop;
  }

  #findLoop(peer: Peer, set: number): number {
    const { attributes, routerId, clusterId } = this.#context;
    const mayLoop =
      attributes.asPathLength[set] !== 0 ||
      attributes.originator[set] !== 0 ||
      attributes.clusterCount[set] !== 0;
    if (!mayLoop) return reason.eligible;
    const { localAs = 0, allowLocalAs = 0 } = peer.config;
    if (attributes.countAs(set, localAs) > allowLocalAs) return reason.asLoop;
    if (!peer.isIbgp) return reason.eligible;
    if (attributes.originator[set] === (routerId | 0)) return reason.originatorLoop;
    return attributes.hasCluster(set, clusterId) ? reason.clusterLoop : reason.eligible;
  }
}
