// The addresses of the node's interfaces as last heard of.
import type { Address } from '../../lib/ip/mod.ts';
import type { LinkAddress } from '../../kernel/mod.ts';

export class AddressMirror {
  readonly #byLink = new Map<number, Set<Address>>();

  load(addresses: readonly LinkAddress[]): void {
    this.#byLink.clear();
    for (const address of addresses) this.observe(address, false);
  }

  observe({ linkIndex, address }: LinkAddress, isDeleted: boolean): void {
    const addresses = this.#byLink.get(linkIndex) ?? new Set();
    if (isDeleted) addresses.delete(address);
    else addresses.add(address);
    if (addresses.size === 0) this.#byLink.delete(linkIndex);
    else this.#byLink.set(linkIndex, addresses);
  }

  /** Sorted. */
  on(linkIndex: number): readonly Address[] {
    return [...(this.#byLink.get(linkIndex) ?? [])].toSorted();
  }
}
