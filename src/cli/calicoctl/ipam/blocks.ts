// What a stored block says of each address that is given out.
import { addToAddress, type Address, prefix, prefixAddress } from '../../../lib/ip/mod.ts';
import type { IPAMBlock } from '../../../model/mod.ts';

export type Allocation = {
  readonly address: Address;
  readonly handle?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly alternate?: Readonly<Record<string, string>>;
  /** Of the block when the address was given out. */
  readonly sequenceNumber?: number | bigint;
  /** Released, and not given out again for a while. */
  readonly resting: boolean;
};

/** Blocks with allocations that point nowhere give what can be read. */
export function allocationsOf({ spec }: IPAMBlock): readonly Allocation[] {
  const base = prefixAddress(prefix(spec.cidr));
  return spec.allocations.flatMap((index, ordinal): Allocation[] => {
    if (index === null) return [];
    const attributes = spec.attributes[index];
    const address = addToAddress(base, BigInt(ordinal));
    if (address === undefined) return [];
    const sequenceNumber = spec.sequenceNumberForAllocation?.[String(ordinal)];
    return [
      {
        address,
        ...(attributes?.handle_id ? { handle: attributes.handle_id } : {}),
        attributes: attributes?.secondary ?? {},
        ...(attributes?.alternate ? { alternate: attributes.alternate } : {}),
        ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
        resting: Boolean(attributes?.releasedAt),
      },
    ];
  });
}
