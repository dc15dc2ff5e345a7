// Random packets through a random world: between pods, the node itself and a machine outside.
import { address, familyOf, type Address, type Family } from '../../src/lib/ip/mod.ts';
import type { Place, WorldPacket } from '../../src/policy/mod.ts';
import { ports } from './policy-words.ts';
import { nodeAddresses, nodeName, outsideAddresses, podCount, type RandomWorld } from './policy-generator.ts';
import type { Random } from './policy-random.ts';

/** An end of a packet: a pod by its number, the node itself, or the machine outside. */
export type ProbeEnd = number | 'host' | 'outside';
export type Probe = {
  readonly from: ProbeEnd;
  readonly to: ProbeEnd;
  readonly packet: WorldPacket;
};
const protocolWeights = [
  [45, 6],
  [20, 17],
  [15, 1],
  [8, 132],
  [3, 136],
  [5, 253],
  [2, 89],
  [2, 4],
] as const;
export const probedProtocols = [1, 4, 6, 17, 58, 89, 132, 136, 253];
const portsOf = (protocol: number): boolean => [6, 17, 132, 136].includes(protocol);

/** A packet from anywhere to anywhere but back to itself, and not through the node from outside to outside. */
export function randomProbe(random: Random, { pods }: RandomWorld, serial: number): Probe {
  const someEnd = (): ProbeEnd =>
    random.weighted<ProbeEnd>([8, random.below(podCount)], [2, 'outside'], [1, 'host']);
  let from = someEnd();
  let to = someEnd();
  while (from === to) {
    from = someEnd();
    to = someEnd();
  }
  const family: Family = random.of(4, 6);
  const pick = (end: ProbeEnd): Address => {
    const list =
      end === 'host'
        ? [address(nodeAddresses[family])]
        : end === 'outside'
          ? outsideAddresses.map(address)
          : (pods[end]?.addresses ?? []);
    return random.of(...list.filter((one) => familyOf(one) === family));
  };
  const isForged = typeof from === 'number' && random.chance(0.03);
  const source = isForged
    ? pick(random.of<ProbeEnd>('outside', ((from as number) + 1) % podCount))
    : pick(from);
  const destination = pick(to);
  const chosen: number = random.weighted(...protocolWeights);
  const protocol = chosen === 1 && family === 6 ? 58 : chosen;
  // A port of its own for each packet, unless a rule may ask for it: so that hardly any two are of one connection.
  const sourcePort = random.chance(0.1) ? random.of(...ports) : 20_000 + (serial % 40_000);
  const type =
    family === 4 ? random.weighted([6, 8], [2, 13], [1, 17], [1, 18]) : random.weighted([6, 128], [1, 140]);
  const isQuestion = [8, 13, 17, 128].includes(type);
  const packet = {
    source,
    destination,
    protocol,
    ...(portsOf(protocol) ? { sourcePort, destinationPort: random.of(...ports) } : {}),
    ...(protocol === 1 || protocol === 58
      ? // An answer that nobody asked for is invalid to connection tracking.
        {
          icmpType: type,
          icmpCode: random.of(0, 0, 1),
          ...(isQuestion ? {} : { connection: 'invalid' as const }),
        }
      : {}),
    hostInterfaces: { [nodeName]: 'eth0' },
  };
  return { from, to, packet };
}

/** Where an end is, in the words of the policy engine. */
export const placeOfEnd = (end: ProbeEnd, workloads: readonly { readonly interfaceName: string }[]): Place =>
  typeof end === 'number'
    ? { kind: 'workload', endpoint: workloads.find((one) => one.interfaceName === `cali${end}`) as never }
    : end === 'host'
      ? { kind: 'host', node: nodeName }
      : { kind: 'outside' };
