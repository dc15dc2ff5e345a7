// Bits of the packet's mark: how chains tell each other what they found (FX-037). Taken from IptablesMarkMask, lowest first,
// in Calico's order, so that what other software keeps clear of stays the same.
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';

export type Marks = {
  /** Policy allowed the packet. */
  readonly accept: string;
  /** The packet left the tier. */
  readonly pass: string;
  /** All parts of a rule that needs several lines matched so far; before routing: the packet comes from a workload. */
  readonly scratch: string;
  /** The part under way matched. */
  readonly part: string;
  readonly acceptOrPass: string;
  readonly all: string;
};

export const usualMarkMask = 0xffff0000;

export function allocateMarks(mask: number): Result<Marks, Failure<'BadMarkMask'>> {
  const bits: number[] = [];
  for (let bit = 0; bit < 32; bit++) if ((mask & (1 << bit)) !== 0) bits.push((1 << bit) >>> 0);
  // The third is Calico's for dropped packets, which here just end.
  const [accept, pass, , scratch, part] = bits;
  if (accept === undefined || pass === undefined || scratch === undefined || part === undefined)
    return err(
      failure(
        'BadMarkMask',
        `IptablesMarkMask ${hex(mask)} has ${bits.length} bits, and 5 are needed.`,
        'Set more bits in iptablesMarkMask.',
      ),
    );
  return ok({
    accept: hex(accept),
    pass: hex(pass),
    scratch: hex(scratch),
    part: hex(part),
    acceptOrPass: hex(accept | pass),
    all: hex(accept | pass | scratch | part),
  });
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

export const isMarked = (bits: string): string => `-m mark --mark ${bits}/${bits}`;
export const isClear = (bits: string): string => `-m mark --mark 0/${bits}`;
export const isMarkedAny = (bits: string): string => `-m mark ! --mark 0/${bits}`;
export const setMark = (bits: string): string => `MARK --set-mark ${bits}/${bits}`;
export const clearMark = (bits: string): string => `MARK --set-mark 0/${bits}`;
/** Of the bits of `mask` exactly `bits` are set afterwards. */
export const setMaskedMark = (bits: string, mask: string): string => `MARK --set-mark ${bits}/${mask}`;
