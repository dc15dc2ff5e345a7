// What a workload's limits of bandwidth (RS-190) are as rows, and what each row is in the kernel: a token bucket on a device.
// Towards the workload the device is the host's end of its interface. What comes from it is led through a device of its own
// (an ifb) first, because a bucket only slows what leaves a device:
//
//   to the pod     ─► cali123: tbf ─► eth0 of the pod
//   from the pod   ─► cali123: ingress, redirect ─► bwcali…: tbf ─► cali123, as if it had just come in ─► routing, policy
import { createHash } from 'node:crypto';
import type { TokenBucket } from '../../../kernel/mod.ts';
import type { EndpointPolicy } from '../../calc/mod.ts';

export const limitDevicePrefix = 'bwcali';
/** Of devices of the bandwidth plugin of the CNI project, which Calico's limits take over from. */
export const pluginDevicePrefix = 'bwp';
const longestName = 15;

/** Calico's name for the device that packets from a workload are led through. */
export const limitDevice = (interfaceName: string): string =>
  `${limitDevicePrefix}${createHash('sha512').update(interfaceName).digest('hex')}`.slice(0, longestName);

export type BandwidthRow = {
  readonly interfaceName: string;
  /** As the workload sees it. */
  readonly direction: 'ingress' | 'egress';
  readonly bandwidthBits: number;
  readonly burstBits: number;
  readonly peakrateBits?: number;
  readonly minburstBytes?: number;
};

/** The device with the bucket; there is one bucket at a device. */
export const bandwidthKey = (row: Pick<BandwidthRow, 'interfaceName' | 'direction'>): string =>
  row.direction === 'ingress' ? row.interfaceName : limitDevice(row.interfaceName);

export function bandwidthRows({ interfaceName, limits }: EndpointPolicy): BandwidthRow[] {
  if (interfaceName === undefined || limits === undefined) return [];
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const bandwidthBits = limits[`${direction}Bandwidth`];
    if (!bandwidthBits) return [];
    const burstBits = limits[`${direction}Burst`] || defaultBurstBits;
    const peakrateBits = limits[`${direction}Peakrate`];
    const minburstBytes = limits[`${direction}Minburst`];
    return [
      {
        interfaceName,
        direction,
        bandwidthBits,
        burstBits,
        ...(peakrateBits ? { peakrateBits } : {}),
        ...(peakrateBits && minburstBytes ? { minburstBytes } : {}),
      },
    ];
  });
}

const defaultBurstBits = 4 * 2 ** 30;
const ethernetHeaderBytes = 14;
/** Ticks of 64 ns in 32 bits are 274.8 s: the kernel cannot tell of longer bursts. */
const longestBurstSeconds = 274;
const queueSeconds = 0.025;
/** Room for a few packets of 64 KB, as the kernel joins them. */
const mostBurstWaitingBytes = 256 * 1024;
const most32 = 0xffffffff;

/** The bucket of a row on a link with this MTU. A burst smaller than a packet would let none pass, so that much it is at
 *  least; and it is at most what the kernel can count. What may wait is what leaves in 25 ms, as Calico has it, and the burst
 *  (as tc adds it), of which no more counts than keeps the wait short. */
export function bucketOf(row: BandwidthRow, mtu: number): TokenBucket {
  const packetBytes = mtu + ethernetHeaderBytes;
  const rateBytesPerSecond = Math.floor(row.bandwidthBits / 8);
  const longestBytes = Math.floor(rateBytesPerSecond * longestBurstSeconds);
  const burstBytes = Math.max(packetBytes, Math.min(Math.floor(row.burstBits / 8), longestBytes, most32));
  const queueBytes = Math.min(
    most32,
    Math.floor(rateBytesPerSecond * queueSeconds) + Math.min(burstBytes, mostBurstWaitingBytes),
  );
  if (row.peakrateBits === undefined) return { rateBytesPerSecond, burstBytes, queueBytes };
  return {
    rateBytesPerSecond,
    burstBytes,
    queueBytes,
    peak: {
      rateBytesPerSecond: Math.floor(row.peakrateBits / 8),
      burstBytes: Math.max(packetBytes, row.minburstBytes ?? 0),
    },
  };
}
