// The members of one address set. Several endpoints may have one address, so members are counted; and a network hides the
// members that lie in it, for the kernel's sets of intervals cannot overlap. When it goes, they show again.
import {
  containsPrefix,
  isSingleAddress,
  prefixAddress,
  prefixLength,
  prefixOf,
  PrefixTrie,
  type Prefix,
} from '../../../lib/ip/mod.ts';

export type MemberDelta = { readonly added: readonly string[]; readonly removed: readonly string[] };

export class MemberSet {
  readonly #counts = new Map<string, number>();
  /** Members inside of a network that is a member, too. */
  readonly #hidden = new Set<string>();
  /** Networks wider than one address, and single addresses by their neighbourhood; only while there are such networks. */
  #wide: PrefixTrie<true> | undefined;
  #neighbours: Map<Prefix, Set<Prefix>> | undefined;
  /** What was shown of each member at the last flush, for those that changed since. */
  readonly #changed = new Map<string, boolean>();

  get size(): number {
    return this.#counts.size - this.#hidden.size;
  }

  get isChanged(): boolean {
    return this.#changed.size > 0;
  }

  has(member: string): boolean {
    return this.#counts.has(member) && !this.#hidden.has(member);
  }

  *members(): Generator<string> {
    for (const member of this.#counts.keys()) if (!this.#hidden.has(member)) yield member;
  }

  /** A prefix, or `address,protocol:port`. */
  add(member: string): void {
    const count = this.#counts.get(member) ?? 0;
    if (count === 0) this.#note(member);
    this.#counts.set(member, count + 1);
    if (count === 0 && isPrefix(member)) this.#appear(member);
  }

  remove(member: string): void {
    const count = this.#counts.get(member) ?? 0;
    if (count > 1) return void this.#counts.set(member, count - 1);
    if (count === 0) return;
    this.#note(member);
    this.#counts.delete(member);
    this.#hidden.delete(member);
    if (isPrefix(member)) this.#vanish(member);
  }

  /** The difference to the last flush. */
  flush(): MemberDelta {
    const added: string[] = [];
    const removed: string[] = [];
    for (const [member, was] of this.#changed) {
      const is = this.has(member);
      if (is && !was) added.push(member);
      if (was && !is) removed.push(member);
    }
    this.#changed.clear();
    return { added, removed };
  }

  #note(member: string): void {
    if (!this.#changed.has(member)) this.#changed.set(member, this.has(member));
  }

  #appear(member: Prefix): void {
    if (isSingleAddress(member)) {
      if (this.#wide === undefined) return;
      this.#settle(member);
      if (this.#wide.lookup(prefixAddress(member)) !== undefined) this.#hidden.add(member);
      return;
    }
    if (this.#wide === undefined) this.#startLooking();
    this.#wide?.set(member, true);
    if ((this.#wide?.covering(member).length ?? 0) > 1) this.#hidden.add(member);
    for (const inside of this.#inside(member)) {
      this.#note(inside);
      this.#hidden.add(inside);
    }
  }

  #vanish(member: Prefix): void {
    if (isSingleAddress(member)) return this.#unsettle(member);
    this.#wide?.delete(member);
    if (this.#wide === undefined || this.#wide.covering(member).length === 0)
      for (const inside of this.#inside(member)) {
        if (this.#isCovered(inside)) continue;
        this.#note(inside);
        this.#hidden.delete(inside);
      }
    if (this.#wide?.size === 0) {
      this.#wide = undefined;
      this.#neighbours = undefined;
    }
  }

  #isCovered(member: Prefix): boolean {
    if (isSingleAddress(member)) return this.#wide?.lookup(prefixAddress(member)) !== undefined;
    return (this.#wide?.covering(member).length ?? 0) > 1;
  }

  /** Members inside the network, itself not among them. */
  *#inside(network: Prefix): Generator<Prefix> {
    for (const [inside] of this.#wide?.within(network) ?? []) if (inside !== network) yield inside;
    const length = prefixLength(network);
    if (length >= neighbourhoodLength(network)) {
      for (const single of this.#neighbours?.get(neighbourhood(network)) ?? [])
        if (containsPrefix(network, single)) yield single;
      return;
    }
    for (const [area, singles] of this.#neighbours ?? []) if (containsPrefix(network, area)) yield* singles;
  }

  /** Few sets hold networks, so only those that do pay for looking into them. */
  #startLooking(): void {
    this.#wide = new PrefixTrie();
    this.#neighbours = new Map();
    for (const member of this.#counts.keys())
      if (isPrefix(member) && isSingleAddress(member)) this.#settle(member);
  }

  #settle(member: Prefix): void {
    const area = neighbourhood(member);
    const singles = this.#neighbours?.get(area) ?? new Set();
    this.#neighbours?.set(area, singles.add(member));
  }

  #unsettle(member: Prefix): void {
    const area = neighbourhood(member);
    const singles = this.#neighbours?.get(area);
    singles?.delete(member);
    if (singles?.size === 0) this.#neighbours?.delete(area);
  }
}

const isPrefix = (member: string): member is Prefix => !member.includes(',');

const neighbourhoodLength = (p: Prefix): number => (p.includes(':') ? 56 : 16);

/** The network of a fixed length around it. */
const neighbourhood = (p: Prefix): Prefix => prefixOf(prefixAddress(p), neighbourhoodLength(p));
