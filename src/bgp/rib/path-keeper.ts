// Puts paths into the table and takes them out: what was received, counted and linked, with import policy applied.
import type { Family } from '../../lib/ip/mod.ts';
import { encodeAttributes, wellKnownCommunity, type Attributes } from '../packet/mod.ts';
import { localPrefOf, parseCommunity } from '../policy/mod.ts';
import { attributeFlags } from './attribute-sets.ts';
import type { RibContext } from './context.ts';
import type { FamilyTable } from './family-table.ts';
import type { Importer } from './import.ts';
import { noPath, pathFlags } from './path-table.ts';
import type { Peer } from './peers.ts';
import type { LocalRoute } from './types.ts';

/** A local route without metric: Calico's normal priority. */
const defaultMetric = 1024;

export class PathKeeper {
  readonly #context: RibContext;
  readonly #importer: Importer;

  constructor(context: RibContext, importer: Importer) {
    this.#context = context;
    this.#importer = importer;
  }

  announce(table: FamilyTable, peer: Peer, dest: number, pathId: number, set: number): void {
    let path = table.findPath(dest, peer.id, pathId);
    if (path === noPath) {
      path = table.newPath(dest, peer.id, pathId);
      table.linkToPeer(path, peer[table.family]);
    }
    this.setAttributes(table, peer, path, set, false);
  }

  /** Gives a path the attributes that were received. `moved`: something beside them changed. */
  setAttributes(table: FamilyTable, peer: Peer, path: number, set: number, moved: boolean): void {
    const { paths } = table;
    const flags = paths.flags[path]!;
    const wasRemoved = (flags & pathFlags.removed) !== 0;
    paths.flags[path] = flags & ~(pathFlags.stale | pathFlags.removed);
    if (wasRemoved) table.linkToPeer(path, peer[table.family]);
    const old = paths.attributesIn[path]!;
    if (old === set && !wasRemoved && !moved) return;
    if (old !== set) {
      const { sets } = this.#context.attributes;
      sets.acquire(set);
      if (old !== 0) sets.release(old);
      paths.attributesIn[path] = set;
    }
    const changed = this.#importer.evaluate(table, path, peer);
    if (moved || wasRemoved) paths.flags[path]! |= pathFlags.changed;
    if (changed || moved || wasRemoved) table.markDirty(paths.dest[path]!);
  }

  /** The path stays in its destination's list until a flush has told everybody. */
  remove(table: FamilyTable, peer: Peer, path: number): void {
    const { paths } = table;
    if ((paths.flags[path]! & pathFlags.removed) !== 0) return;
    paths.flags[path]! |= pathFlags.removed;
    table.unlinkFromPeer(path, peer[table.family]);
    table.markDirty(paths.dest[path]!);
  }

  markStale(peer: Peer, family: Family): void {
    const { paths } = this.#context.tables[family];
    for (let path = peer[family].firstPath; path !== noPath; path = paths.nextInPeer[path]!) {
      paths.flags[path]! |= pathFlags.stale;
    }
  }

  markLongLived(peer: Peer, family: Family): void {
    this.#eachStale(peer, family, (table, path) => this.#keepLong(table, peer, path));
  }

  sweepStale(peer: Peer, family: Family, keepLongLived: boolean): void {
    const { flags } = this.#context.attributes;
    this.#eachStale(peer, family, (table, path) => {
      const isLongLived = (flags[table.paths.attributesIn[path]!]! & attributeFlags.llgrStale) !== 0;
      if (!isLongLived || !keepLongLived) this.remove(table, peer, path);
    });
  }

  /** `visit` may remove the path. */
  #eachStale(peer: Peer, family: Family, visit: (table: FamilyTable, path: number) => void): void {
    const table = this.#context.tables[family];
    const { paths } = table;
    for (let path = peer[family].firstPath; path !== noPath; ) {
      const next = paths.nextInPeer[path]!;
      if ((paths.flags[path]! & pathFlags.stale) !== 0) visit(table, path);
      path = next;
    }
  }

  /** A stale path becomes a long-lived one: the community says so to everybody who looks. */
  #keepLong(table: FamilyTable, peer: Peer, path: number): void {
    const { attributes } = this.#context;
    const set = table.paths.attributesIn[path]!;
    const flags = attributes.flags[set]!;
    if ((flags & attributeFlags.noLlgr) !== 0) return this.remove(table, peer, path);
    if ((flags & attributeFlags.llgrStale) !== 0) return;
    const decoded = attributes.decoded(set);
    const bytes = encodeAttributes(
      { ...decoded, communities: [...(decoded.communities ?? []), wellKnownCommunity.llgrStale] },
      { as4: true, nextHop: table.family === 4 ? 'attribute' : 'mp-reach' },
    );
    this.setAttributes(table, peer, path, attributes.intern(bytes), false);
    table.paths.flags[path]! |= pathFlags.stale;
  }

  removeAll(peer: Peer, family: Family): void {
    const table = this.#context.tables[family];
    for (let path = peer[family].firstPath; path !== noPath; ) {
      const next = table.paths.nextInPeer[path]!;
      this.remove(table, peer, path);
      path = next;
    }
  }
}

/** The attributes of a route of this node, without next hop. */
export function encodeLocal({ metric, communities = [] }: LocalRoute): Uint8Array {
  const parsed = communities.map(parseCommunity);
  const attributes: Attributes = {
    origin: 0,
    asPath: [],
    localPref: Math.max(0, localPrefOf(metric ?? defaultMetric)),
    communities: parsed.flatMap((c) => (c?.kind === 'standard' ? [c.value] : [])),
    largeCommunities: parsed.flatMap((c) =>
      c?.kind === 'large' ? [c.value.split(':').map(Number) as [number, number, number]] : [],
    ),
  };
  return encodeAttributes(attributes, { as4: true, nextHop: 'omit' });
}
