// What the ways to other nodes really carry (FX-093). The MTU of pods follows from this node's interfaces; a tunnel or a bad
// switch in between that carries less, and does not say so, lets small packets pass and large ones vanish. So from time to
// time each node sends others packets of the largest size that it uses, which must not be cut. Where these vanish and small
// ones do not, the size that passes is searched for and told: a warning in log and event, status and metrics.
//
// Nothing is said of nodes that do not answer at all: echo requests may be forbidden there. MTUs are lowered only when asked.
import type { Clock, Timer } from '../../lib/clock.ts';
import { familyOf, type Address } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import type { Paths } from '../../kernel/mod.ts';
import type { Node } from '../../model/mod.ts';
import { nodeFacts } from '../calc/mod.ts';

/** `warn`: tell. `lower`: tell, and take the way's for that of the host from then on, until the agent starts anew. */
export type PathMtuAction = 'off' | 'warn' | 'lower';

export type PathTarget = { readonly node: string; readonly address: Address };
/** A way that carries less than is sent. */
export type NarrowPath = PathTarget & { readonly mtu: number; readonly wantedMtu: number };

type Update =
  | {
      readonly type: 'set';
      readonly kind: string;
      readonly object: { readonly metadata: { readonly name: string } };
    }
  | { readonly type: 'delete'; readonly kind: string; readonly name: { readonly name: string } }
  | { readonly type: 'status' };

export type PathMtuOptions = {
  readonly nodeName: string;
  readonly paths: Paths;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly firstAfterMs: number;
  readonly everyMs: number;
  /** The largest packet that leaves this node for another one, with all headers. */
  readonly wantedMtu: () => number;
  readonly onNarrow: (path: NarrowPath) => void;
  readonly onRestored: (target: PathTarget) => void;
};

export type PathMtuStatus = { readonly checked: number; readonly narrow: readonly NarrowPath[] };

/** Others are asked in turns, so that the cost does not grow with the cluster. */
const targetsPerRound = 16;
const attempts = 3;
/** Of each size while what passes is searched for: one that is missed makes the answer too small, never too large. */
const searchAttempts = 2;
/** What every way carries, of either family. */
const leastMtu = { 4: 576, 6: 1280 } as const;
const smallBytes = { 4: 84, 6: 104 } as const;

export class PathMtu {
  readonly #options: PathMtuOptions;
  /** All other nodes. */
  readonly #targets = new Map<string, readonly PathTarget[]>();
  readonly #narrow = new Map<Address, NarrowPath>();
  #checked = 0;
  #next = 0;
  #timer: Timer | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: PathMtuOptions) {
    this.#options = options;
  }

  take(updates: readonly Update[]): void {
    for (const update of updates) {
      if (update.type === 'status' || update.kind !== 'Node') continue;
      if (update.type === 'delete') this.#targets.delete(update.name.name);
      else this.#set(update.object as Node);
    }
  }

  #set(object: Node): void {
    const node = object.metadata.name;
    if (node === this.#options.nodeName) return;
    const { v4, v6 } = nodeFacts(object);
    const addresses = [v4, v6].flatMap((own) => own?.address ?? []);
    this.#targets.set(
      node,
      addresses.map((address) => ({ node, address })),
    );
  }

  start(): void {
    this.#schedule(this.#options.firstAfterMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  status(): PathMtuStatus {
    return { checked: this.#checked, narrow: [...this.#narrow.values()] };
  }

  /** Asks the next nodes, one after the other. */
  async round(): Promise<void> {
    const all = [...this.#targets.values()].flat();
    const known = new Set(all.map(({ address }) => address));
    for (const address of this.#narrow.keys()) if (!known.has(address)) this.#narrow.delete(address);
    const count = Math.min(all.length, targetsPerRound);
    let checked = 0;
    for (let i = 0; i < count && !this.#stopped; i++) {
      const target = all[(this.#next + i) % all.length];
      if (target !== undefined && (await this.#check(target))) checked++;
    }
    this.#next = all.length === 0 ? 0 : (this.#next + count) % all.length;
    this.#checked = checked;
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#round = this.round().then(() => this.#schedule(this.#options.everyMs));
    });
  }

  /** Whether the node answers. */
  async #check(target: PathTarget): Promise<boolean> {
    const { address } = target;
    const family = familyOf(address);
    const wantedMtu = this.#options.wantedMtu();
    if (!(await this.#passes(address, smallBytes[family]))) return false;
    if (await this.#passes(address, wantedMtu)) {
      if (this.#narrow.delete(address)) this.#options.onRestored(target);
      return true;
    }
    const mtu = await this.#search(address, leastMtu[family], wantedMtu);
    // The way broke down meanwhile, or only a burst was lost.
    if (mtu === undefined || mtu === wantedMtu) return true;
    const before = this.#narrow.get(address);
    const found = { ...target, mtu, wantedMtu };
    this.#narrow.set(address, found);
    if (before?.mtu !== mtu || before.wantedMtu !== wantedMtu) this.#options.onNarrow(found);
    return true;
  }

  /** The largest size that passes, from `least` on; `most` is known not to, but for a mistake. */
  async #search(address: Address, least: number, most: number): Promise<number | undefined> {
    if (!(await this.#passes(address, least))) return undefined;
    let [passes, fails] = [least, most];
    while (fails - passes > 1 && !this.#stopped) {
      const middle = (passes + fails) >> 1;
      if (await this.#passes(address, middle, searchAttempts)) passes = middle;
      else fails = middle;
    }
    return this.#stopped ? undefined : passes;
  }

  async #passes(address: Address, bytes: number, times = attempts): Promise<boolean> {
    for (let attempt = 0; attempt < times && !this.#stopped; attempt++) {
      const answer = await this.#options.paths.probe(address, bytes, { timeoutMs: 400 });
      if (!answer.ok) {
        this.#options.logger.debug('Cannot probe a way', { address, error: answer.error });
        return false;
      }
      if (answer.value === 'arrived') return true;
      if (answer.value === 'too-big') return false;
    }
    return false;
  }
}

/** From the environment of the agent: PATH_MTU_PROBE and PATH_MTU_INTERVAL (seconds). */
export function pathMtuSettings(environment: Readonly<Record<string, string | undefined>>): {
  readonly action: PathMtuAction;
  readonly everyMs: number;
} {
  const text = (environment['PATH_MTU_PROBE'] ?? '').toLowerCase();
  const seconds = Number(environment['PATH_MTU_INTERVAL'] ?? '');
  return {
    action: text === 'off' || text === 'lower' ? text : 'warn',
    everyMs: (seconds > 0 ? seconds : 300) * 1_000,
  };
}
