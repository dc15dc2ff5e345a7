// The addresses of the node's interfaces as last heard of.
import type { Address } from '../../lib/ip/mod.ts';
import type { LinkAddress } from '../../kernel/mod.ts';

export class AddressMirror {
  readonly #byLink = new Map<number, Map<string, LinkAddress>>();

  load(addresses: readonly LinkAddress[]): void {
    this.#byLink.clear();
    for (const address of addresses) this.observe(address, false);
  }

  observe(address: LinkAddress, isDeleted: boolean): void {
    const { linkIndex } = address;
    const addresses = this.#byLink.get(linkIndex) ?? new Map<string, LinkAddress>();
    const key = `${address.address}/${address.length}`;
    if (isDeleted) addresses.delete(key);
    else addresses.set(key, address);
    if (addresses.size === 0) this.#byLink.delete(linkIndex);
    else this.#byLink.set(linkIndex, addresses);
  }

  /** Sorted. */
  on(linkIndex: number): readonly Address[] {
    const all = [...(this.#byLink.get(linkIndex)?.values() ?? [])].map(({ address }) => address);
    return [...new Set(all)].toSorted();
  }

  *all(): Generator<LinkAddress> {
    for (const addresses of this.#byLink.values()) yield* addresses.values();
  }
}
