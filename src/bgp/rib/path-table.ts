// Paths of one family as columns, each in two lists: the paths of its destination and the paths of its peer, so that the
// loss of a peer costs as much as the peer had routes, not as much as the table is large.
import { grown, grownBytes } from './byte-sets.ts';
import type { LocalRoute } from './types.ts';

export const pathFlags = {
  /** Kept after the session was lost, until the peer says it again or the time is up. */
  stale: 1,
  /** Withdrawn; stays in its destination's list until the next flush has told everybody. */
  removed: 2,
  /** Attributes, next hop or eligibility changed since the last flush. */
  changed: 4,
  /** Forwarding uses it. */
  multipath: 8,
} as const;

export const noPath = -1;

export class PathTable {
  peer = new Int32Array(64);
  dest = new Int32Array(64);
  /** As received, before import policy. */
  attributesIn = new Int32Array(64);
  /** After import policy; 0 = not eligible, `reason` says why. */
  attributes = new Int32Array(64);
  /** Path identifier received with ADD-PATH; 0 otherwise. Signed. */
  pathId = new Int32Array(64);
  preference = new Int32Array(64);
  nextInDest = new Int32Array(64);
  nextInPeer = new Int32Array(64);
  previousInPeer = new Int32Array(64);
  flags = new Uint8Array(64);
  /** Index into `ineligibleReasons`. */
  reason = new Uint8Array(64);
  /** Index into `decisionSteps`: where it lost. */
  lostAt = new Uint8Array(64);
  /** Paths of local sources: what the kernel said. */
  readonly local = new Map<number, LocalRoute>();
  #free: number[] = [];
  #used = 0;

  get size(): number {
    return this.#used - this.#free.length;
  }

  get bound(): number {
    return this.#used;
  }

  allocate(): number {
    const path = this.#free.pop() ?? this.#used++;
    if (path >= this.peer.length) this.#grow();
    return path;
  }

  free(path: number): void {
    this.peer[path] = -1;
    this.local.delete(path);
    this.#free.push(path);
  }

  #grow(): void {
    const size = this.peer.length * 2;
    for (const name of [
      'peer',
      'dest',
      'attributesIn',
      'attributes',
      'pathId',
      'preference',
      'nextInDest',
      'nextInPeer',
      'previousInPeer',
    ] as const) {
      this[name] = grown(this[name], size);
    }
    for (const name of ['flags', 'reason', 'lostAt'] as const) this[name] = grownBytes(this[name], size);
  }
}
