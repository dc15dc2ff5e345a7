// Next hops in use. Whether one can be reached, at what interior cost and through which device is told from outside; the
// table only remembers. Number 0 stands for "none": the route is this node's own.
import type { Address } from '../../lib/ip/mod.ts';
import type { NextHopState } from './types.ts';

type Entry = { readonly address: Address; state: NextHopState; users: number };

export class NextHops {
  readonly #resolve: (address: Address) => NextHopState;
  readonly #entries: (Entry | undefined)[] = [undefined];
  readonly #ids = new Map<Address, number>();
  readonly #free: number[] = [];
  /** By number, for the hot path: 1 = reachable. */
  reachable = new Uint8Array(64).fill(1, 0, 1);
  metric = new Float64Array(64);

  constructor(resolve: ((address: Address) => NextHopState) | undefined) {
    this.#resolve = resolve ?? (() => ({ reachable: true }));
  }

  get size(): number {
    return this.#ids.size;
  }

  /** The number of the address, with one user more. */
  acquire(address: Address): number {
    const known = this.#ids.get(address);
    if (known !== undefined) {
      const entry = this.#entries[known];
      if (entry) entry.users++;
      return known;
    }
    const id = this.#free.pop() ?? this.#entries.length;
    this.#entries[id] = { address, state: { reachable: false }, users: 1 };
    this.#ids.set(address, id);
    if (id >= this.reachable.length) this.#grow();
    this.#store(id, this.#resolve(address));
    return id;
  }

  release(id: number): void {
    const entry = this.#entries[id];
    if (entry === undefined || --entry.users > 0) return;
    this.#ids.delete(entry.address);
    this.#entries[id] = undefined;
    this.#free.push(id);
  }

  address(id: number): Address | undefined {
    return this.#entries[id]?.address;
  }

  interfaceName(id: number): string | undefined {
    return this.#entries[id]?.state.interfaceName;
  }

  /** The number when the state differs from the known one, else 0. */
  set(address: Address, state: NextHopState): number {
    const id = this.#ids.get(address) ?? 0;
    const old = this.#entries[id]?.state;
    if (old === undefined) return 0;
    const same =
      old.reachable === state.reachable &&
      (old.metric ?? 0) === (state.metric ?? 0) &&
      old.interfaceName === state.interfaceName;
    if (same) return 0;
    this.#store(id, state);
    return id;
  }

  list(): { readonly address: Address; readonly state: NextHopState }[] {
    return [...this.#ids].flatMap(([address, id]) => {
      const entry = this.#entries[id];
      return entry ? [{ address, state: entry.state }] : [];
    });
  }

  #store(id: number, state: NextHopState): void {
    const entry = this.#entries[id];
    if (entry) entry.state = state;
    this.reachable[id] = state.reachable ? 1 : 0;
    this.metric[id] = state.metric ?? 0;
  }

  #grow(): void {
    const size = this.reachable.length * 2;
    const reachable = new Uint8Array(size);
    reachable.set(this.reachable);
    this.reachable = reachable;
    const metric = new Float64Array(size);
    metric.set(this.metric);
    this.metric = metric;
  }
}
