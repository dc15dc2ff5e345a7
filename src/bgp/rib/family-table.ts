// One family's table: destinations with their paths, and the list of destinations that have to be looked at again.
import type { Family } from '../../lib/ip/mod.ts';
import { grown, grownBytes } from './byte-sets.ts';
import type { ExportGroup } from './export-group.ts';
import { noPath, pathFlags, PathTable } from './path-table.ts';
import type { PeerFamily } from './peers.ts';
import { PrefixTable } from './prefix-table.ts';

export const destFlags = { dirty: 1, bestChanged: 2, unclean: 4 } as const;

export class FamilyTable {
  readonly family: Family;
  readonly prefixes: PrefixTable;
  readonly paths = new PathTable();
  /** First path of a destination. */
  head = new Int32Array(64).fill(noPath);
  best = new Int32Array(64).fill(noPath);
  flags = new Uint8Array(64);
  readonly groups = new Map<string, ExportGroup>();
  /** Destinations to select and announce again. */
  #dirty: number[] = [];
  #dirtyFrom = 0;
  /** Destinations whose forwarding changed and nobody has asked yet. */
  #bestChanged: number[] = [];
  #bestChangedFrom = 0;
  /** Destinations whose withdrawn paths could not be freed yet. */
  #unclean: number[] = [];

  constructor(family: Family) {
    this.family = family;
    this.prefixes = new PrefixTable(family);
  }

  /** Makes room for a destination that was just added to `prefixes`. */
  ensure(dest: number): void {
    if (dest < this.head.length) return;
    const old = this.head.length;
    const size = Math.max(old * 2, dest + 1);
    this.head = grown(this.head, size).fill(noPath, old);
    this.best = grown(this.best, size).fill(noPath, old);
    this.flags = grownBytes(this.flags, size);
  }

  markDirty(dest: number): void {
    if ((this.flags[dest]! & destFlags.dirty) !== 0) return;
    this.flags[dest]! |= destFlags.dirty;
    this.#dirty.push(dest);
  }

  get dirtyCount(): number {
    return this.#dirty.length - this.#dirtyFrom;
  }

  /** The next destination to look at; only when `dirtyCount` > 0. */
  takeDirty(): number {
    const dest = this.#dirty[this.#dirtyFrom++]!;
    if (this.#dirtyFrom === this.#dirty.length) {
      this.#dirty.length = 0;
      this.#dirtyFrom = 0;
    } else if (this.#dirtyFrom >= 65536) {
      this.#dirty = this.#dirty.slice(this.#dirtyFrom);
      this.#dirtyFrom = 0;
    }
    this.flags[dest]! &= ~destFlags.dirty;
    return dest;
  }

  noteBestChanged(dest: number): void {
    if ((this.flags[dest]! & destFlags.bestChanged) !== 0) return;
    this.flags[dest]! |= destFlags.bestChanged;
    this.#bestChanged.push(dest);
  }

  takeBestChanged(limit: number): number[] {
    const taken = this.#bestChanged.slice(this.#bestChangedFrom, this.#bestChangedFrom + limit);
    this.#bestChangedFrom += taken.length;
    if (this.#bestChangedFrom === this.#bestChanged.length) {
      this.#bestChanged = [];
      this.#bestChangedFrom = 0;
    } else if (this.#bestChangedFrom >= 65536) {
      this.#bestChanged = this.#bestChanged.slice(this.#bestChangedFrom);
      this.#bestChangedFrom = 0;
    }
    for (const dest of taken) this.flags[dest]! &= ~destFlags.bestChanged;
    return taken;
  }

  noteUnclean(dest: number): void {
    if ((this.flags[dest]! & destFlags.unclean) !== 0) return;
    this.flags[dest]! |= destFlags.unclean;
    this.#unclean.push(dest);
  }

  get hasUnclean(): boolean {
    return this.#unclean.length > 0;
  }

  takeUnclean(): number[] {
    const list = this.#unclean;
    this.#unclean = [];
    for (const dest of list) this.flags[dest]! &= ~destFlags.unclean;
    return list;
  }

  /** The path of this peer with this identifier, withdrawn ones included. */
  findPath(dest: number, peer: number, pathId: number): number {
    const { paths } = this;
    for (let path = this.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      if (paths.peer[path] === peer && paths.pathId[path] === pathId) return path;
    }
    return noPath;
  }

  newPath(dest: number, peer: number, pathId: number): number {
    const { paths } = this;
    const path = paths.allocate();
    paths.peer[path] = peer;
    paths.dest[path] = dest;
    paths.pathId[path] = pathId;
    paths.flags[path] = 0;
    paths.reason[path] = 0;
    paths.lostAt[path] = 0;
    paths.attributes[path] = 0;
    paths.attributesIn[path] = 0;
    paths.nextInDest[path] = this.head[dest]!;
    this.head[dest] = path;
    return path;
  }

  linkToPeer(path: number, peer: PeerFamily): void {
    const { paths } = this;
    paths.previousInPeer[path] = noPath;
    paths.nextInPeer[path] = peer.firstPath;
    if (peer.firstPath !== noPath) paths.previousInPeer[peer.firstPath] = path;
    peer.firstPath = path;
    peer.pathCount++;
  }

  unlinkFromPeer(path: number, peer: PeerFamily): void {
    const { paths } = this;
    const next = paths.nextInPeer[path]!;
    const previous = paths.previousInPeer[path]!;
    if (next !== noPath) paths.previousInPeer[next] = previous;
    if (previous !== noPath) paths.nextInPeer[previous] = next;
    else peer.firstPath = next;
    peer.pathCount--;
  }

  /** Takes withdrawn paths out of the destination's list; `onFree` is told each before it goes. */
  dropRemoved(dest: number, onFree: (path: number) => void): void {
    const { paths } = this;
    let previous = noPath;
    for (let path = this.head[dest]!; path !== noPath; ) {
      const next = paths.nextInDest[path]!;
      if ((paths.flags[path]! & pathFlags.removed) !== 0) {
        if (previous === noPath) this.head[dest] = next;
        else paths.nextInDest[previous] = next;
        onFree(path);
        paths.free(path);
      } else previous = path;
      path = next;
    }
  }
}
