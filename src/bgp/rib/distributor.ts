// From changed destinations to bytes for peers: per flush slice a batch of dirty destinations is selected again, every
// group computes what that changes for its members, and the result is packed once and handed to all of them. Peers that
// join, change group, or were paused are brought up to date by jobs that walk the table in slices.
import type { RibContext } from './context.ts';
import { Batch, batchLimit } from './batch.ts';
import type { Decision } from './decision.ts';
import type { ExportGroup } from './export-group.ts';
import { destFlags, type FamilyTable } from './family-table.ts';
import type { Job } from './jobs.ts';
import { Packer } from './packer.ts';
import { noPath } from './path-table.ts';
import type { Peer } from './peers.ts';
import type { PeerId, UpdateSink } from './types.ts';

export class Distributor {
  readonly #context: RibContext;
  readonly #decision: Decision;
  readonly #packer: Packer;
  readonly #common = new Batch();
  readonly #single = new Map<PeerId, Batch>();
  /** Told to every member of the group at hand, or to the targets of the job at hand. */
  #targets: Iterable<PeerId> = [];
  #own: ReadonlySet<PeerId> = new Set();
  #sink: UpdateSink = () => undefined;
  messages = 0;

  constructor(context: RibContext, decision: Decision) {
    this.#context = context;
    this.#decision = decision;
    this.#packer = new Packer(context.outgoing);
  }

  begin(sink: UpdateSink): void {
    this.#sink = sink;
    this.messages = 0;
  }

  /** Selects and announces up to `limit` dirty destinations; gives how many. `pinned`: jobs or paused peers may still
   *  need to know destinations that have no path any more. */
  processDirty(table: FamilyTable, limit: number, pinned: () => boolean): number {
    const dests: number[] = [];
    while (table.dirtyCount > 0 && dests.length < limit) {
      const dest = table.takeDirty();
      dests.push(dest);
      if (this.#decision.select(table, dest)) table.noteBestChanged(dest);
    }
    for (const group of table.groups.values()) {
      this.#open(group.members, group.members);
      for (const dest of dests) {
        this.#updateDest(table, group, dest);
        if (this.#common.count >= batchLimit / 2) this.#close(table, group);
      }
      this.#close(table, group);
    }
    // Asked only now: a peer may have been paused by what was just sent.
    const keep = pinned();
    for (const dest of dests) this.#clean(table, dest, keep);
    return dests.length;
  }

  /** Frees what withdrawn paths of the destination held, and the destination itself when nothing is left of it. */
  #clean(table: FamilyTable, dest: number, pinned: boolean): void {
    if (pinned) {
      table.noteUnclean(dest);
      return;
    }
    table.dropRemoved(dest, (path) => this.#freePath(table, path));
    this.dropEmpty(table, dest);
  }

  cleanLater(table: FamilyTable): void {
    for (const dest of table.takeUnclean()) {
      if (!table.prefixes.isUsed(dest) || (table.flags[dest]! & destFlags.dirty) !== 0) continue;
      this.#clean(table, dest, false);
    }
  }

  /** The number of an empty destination may be given to another prefix once forwarding has been told. */
  dropEmpty(table: FamilyTable, dest: number): void {
    if (table.head[dest] !== noPath || table.flags[dest] !== 0) return;
    table.best[dest] = noPath;
    table.prefixes.remove(dest);
  }

  #freePath(table: FamilyTable, path: number): void {
    const { sets } = this.#context.attributes;
    const { attributes, attributesIn } = table.paths;
    if (attributes[path] !== 0) sets.release(attributes[path]!);
    if (attributesIn[path] !== 0) sets.release(attributesIn[path]!);
    for (const group of table.groups.values()) {
      if (group.config.addPath && path < group.out.length) group.store(path, 0, -1);
    }
  }

  // ── one destination, one group ─────────────────────────────────────────────────────────────────────────────────────
  #updateDest(table: FamilyTable, group: ExportGroup, dest: number): void {
    if (group.config.addPath) this.#updatePaths(table, group, dest);
    else this.#updateBest(table, group, dest);
  }

  #updateBest(table: FamilyTable, group: ExportGroup, dest: number): void {
    group.ensure(dest);
    const oldOut = group.out[dest]!;
    const oldSource = group.source[dest]!;
    const best = table.best[dest]!;
    const out = group.evaluate(table, best);
    const source = out === 0 ? -1 : table.paths.peer[best]!;
    if (out === oldOut && source === oldSource) return;
    this.#addDifference(dest, oldOut, oldSource, out, source);
    group.store(dest, out, source);
  }

  /** What members must hear when the announced set and the peer it comes from change. */
  #addDifference(dest: number, oldOut: number, oldSource: number, out: number, source: number): void {
    if (out === 0) {
      if (oldOut !== 0) this.#common.add(dest, 0, 0, oldSource);
      return;
    }
    if (out !== oldOut) this.#common.add(dest, 0, out, source);
    else if (oldSource !== source) this.#addSingle(oldSource, dest, out);
    // The new source heard the old route, which came from somebody else.
    if (oldOut !== 0 && oldSource !== source) this.#addSingle(source, dest, 0);
  }

  #updatePaths(table: FamilyTable, group: ExportGroup, dest: number): void {
    const { paths } = table;
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      group.ensure(path);
      const out = this.#decision.isEligible(paths, path) ? group.evaluate(table, path) : 0;
      if (out === group.out[path]) continue;
      this.#common.add(dest, path + 1, out, paths.peer[path]!);
      group.store(path, out, paths.peer[path]!);
    }
  }

  #addSingle(peer: PeerId, dest: number, out: number): void {
    let batch = this.#single.get(peer);
    if (batch === undefined) this.#single.set(peer, (batch = new Batch()));
    batch.add(dest, 0, out, -1);
  }

  // ── jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** One slice of a job; true when the job is done. */
  stepJob(table: FamilyTable, job: Job, limit: number): boolean {
    const { group } = job;
    const end = Math.min(table.prefixes.bound, job.cursor + limit);
    this.#open(job.targets, job.targets);
    for (let dest = job.cursor; dest < end; dest++) {
      if (!table.prefixes.isUsed(dest)) continue;
      if (dest >= group.filledTo) this.#fill(table, group, dest);
      this.#addJobEntries(table, job, dest);
      if (this.#common.count >= batchLimit / 2) this.#close(table, group);
    }
    this.#close(table, group);
    job.cursor = end;
    const done = end >= table.prefixes.bound;
    // From here on every change is seen as it happens; a silent first evaluation would hide it from the members.
    group.filledTo = done ? Number.POSITIVE_INFINITY : Math.max(group.filledTo, end);
    return done;
  }

  /** First evaluation in a new group: nothing is sent, the jobs of the members will come by. What a change has already
   *  announced must stay as it was told, until that destination is looked at as changed again. */
  #fill(table: FamilyTable, group: ExportGroup, dest: number): void {
    const { paths } = table;
    if (!group.config.addPath) {
      group.ensure(dest);
      if (group.out[dest] !== 0) return;
      const best = table.best[dest]!;
      const usable = best !== noPath && this.#decision.isEligible(paths, best);
      const out = usable ? group.evaluate(table, best) : 0;
      group.store(dest, out, out === 0 ? -1 : paths.peer[best]!);
      return;
    }
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      group.ensure(path);
      if (group.out[path] !== 0) continue;
      const out = this.#decision.isEligible(paths, path) ? group.evaluate(table, path) : 0;
      group.store(path, out, paths.peer[path]!);
    }
  }

  #addJobEntries(table: FamilyTable, job: Job, dest: number): void {
    const { group, mode } = job;
    if (group.config.addPath) {
      this.#addAllPaths(table, group, dest, mode !== 'dump');
      return;
    }
    group.ensure(dest);
    const out = group.out[dest]!;
    const source = group.source[dest]!;
    if (mode === 'difference') {
      this.#addDifference(dest, job.before?.out[dest] ?? 0, job.before?.source[dest] ?? -1, out, source);
    } else if (out !== 0) {
      this.#common.add(dest, 0, out, source);
      if (mode === 'full') this.#addSingle(source, dest, 0);
    } else if (mode === 'full') this.#common.add(dest, 0, 0, -1);
  }

  #addAllPaths(table: FamilyTable, group: ExportGroup, dest: number, withdrawOthers: boolean): void {
    const { paths } = table;
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      const out = path < group.out.length ? group.out[path]! : 0;
      if (out !== 0 || withdrawOthers)
        this.#common.add(dest, path + 1, out, out === 0 ? -1 : paths.peer[path]!);
    }
  }

  /** Sends a peer that was paused what changed meanwhile; true when nothing is left. */
  stepMissed(table: FamilyTable, peer: Peer, limit: number): boolean {
    const state = peer[table.family];
    const { missed, group } = state;
    if (missed === undefined) return true;
    if (group === undefined) {
      state.missed = undefined;
      return true;
    }
    this.#open([peer.id], new Set([peer.id]));
    let at = 0;
    for (let left = limit; at < missed.length && left > 0; at++) {
      if (missed[at] === 0) continue;
      for (let bit = 0; bit < 8; bit++) {
        if ((missed[at]! & (1 << bit)) === 0) continue;
        this.#addCurrent(table, group, at * 8 + bit, peer.id);
        left--;
      }
      missed[at] = 0;
    }
    // First, so that what does not get through is noted in a bitmap that is still there.
    this.#close(table, group);
    if (at < missed.length || peer.paused) return false;
    state.missed = undefined;
    return true;
  }

  /** What the peer should have of a destination now. */
  #addCurrent(table: FamilyTable, group: ExportGroup, dest: number, peer: PeerId): void {
    if (!table.prefixes.isUsed(dest)) return;
    if (dest >= group.filledTo) this.#fill(table, group, dest);
    if (group.config.addPath) {
      this.#addAllPaths(table, group, dest, true);
      return;
    }
    group.ensure(dest);
    const out = group.source[dest] === peer ? 0 : group.out[dest]!;
    this.#common.add(dest, 0, out, -1);
  }

  // ── handing out ────────────────────────────────────────────────────────────────────────────────────────────────────
  #open(targets: Iterable<PeerId>, own: ReadonlySet<PeerId>): void {
    this.#targets = targets;
    this.#own = own;
    this.#common.clear();
    this.#single.clear();
  }

  /** Packs and sends what has been collected. */
  #close(table: FamilyTable, group: ExportGroup): void {
    const options = { addPath: group.config.addPath, messageLimit: group.config.messageLimit };
    if (this.#common.count > 0) this.#send(table, options, this.#common, this.#targets);
    for (const [peer, batch] of this.#single) {
      if (this.#own.has(peer)) this.#send(table, options, batch, [peer]);
    }
    this.#common.clear();
    this.#single.clear();
  }

  #send(
    table: FamilyTable,
    options: { readonly addPath: boolean; readonly messageLimit: number },
    batch: Batch,
    targets: Iterable<PeerId>,
  ): void {
    const ready: Peer[] = [];
    for (const id of targets) {
      const peer = this.#context.peers[id];
      if (peer === undefined) continue;
      if (!peer.paused) {
        ready.push(peer);
        continue;
      }
      this.#context.mayLag = true;
      noteMissed(table, peer, batch);
    }
    if (ready.length === 0) return;
    batch.sort();
    const packed = this.#packer.pack(batch, table.prefixes, options, this.#own);
    for (const peer of ready) {
      const chunks = packed.for(peer.id);
      if (chunks.length === 0) continue;
      this.messages += packed.messageCount;
      if (this.#sink(peer.id, chunks, ready.length > 1) === false) peer.paused = true;
    }
  }

  sendBytes(peer: Peer, bytes: Uint8Array): void {
    this.messages++;
    if (this.#sink(peer.id, [bytes], false) === false) peer.paused = true;
  }
}

function noteMissed(table: FamilyTable, peer: Peer, batch: Batch): void {
  const state = peer[table.family];
  const size = (table.prefixes.bound >> 3) + 1;
  let missed = state.missed;
  if (missed === undefined || missed.length < size) {
    const next = new Uint8Array(Math.max(size, (missed?.length ?? 0) * 2));
    if (missed) next.set(missed);
    state.missed = missed = next;
  }
  for (let i = 0; i < batch.count; i++) missed[batch.dest[i]! >> 3]! |= 1 << (batch.dest[i]! & 7);
}
