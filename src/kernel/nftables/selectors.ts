// What a rule can look at: fields of a packet, of its metadata, of its connection. Each has a data type and says how it
// gets into a register; fields of a header also say which packets have that header.
import type { NftFamily } from '../types.ts';
import { knownType, type NftDataType } from './data-types.ts';

export type Source =
  | { readonly from: 'payload'; readonly base: 'network' | 'transport'; readonly offset: number }
  | { readonly from: 'meta'; readonly key: number }
  | { readonly from: 'ct'; readonly key: number }
  | { readonly from: 'fib'; readonly result: number; readonly flags: number }
  /** A number below `modulus`: random, or the same for all packets whose field has the same value. */
  | { readonly from: 'random'; readonly modulus: number }
  | { readonly from: 'hash'; readonly of: Selector; readonly modulus: number; readonly seed: number };

export type Selector = {
  readonly text: string;
  readonly type: NftDataType;
  readonly source: Source;
  /** Needs this transport protocol. */
  readonly transport?: number;
  /** Needs this network protocol. */
  readonly network?: 'ip' | 'ip6';
  /** When compared for equality it tells the transport or network protocol itself. */
  readonly tells?: 'transport' | 'network';
};

export const metaKeys = {
  mark: [3, 'mark'],
  iif: [4, 'iface_index'],
  oif: [5, 'iface_index'],
  iifname: [6, 'ifname'],
  oifname: [7, 'ifname'],
  nfproto: [15, 'nf_proto'],
  l4proto: [16, 'inet_proto'],
  pkttype: [19, 'pkt_type'],
} as const;
export const ctKeys = {
  state: [0, 'ct_state'],
  direction: [1, 'ct_dir'],
  status: [2, 'ct_status'],
  mark: [3, 'mark'],
} as const;

const payload = (
  text: string,
  type: string,
  base: 'network' | 'transport',
  offset: number,
  needs: { readonly transport?: number; readonly network?: 'ip' | 'ip6'; readonly tells?: 'transport' },
): Selector => ({ text, type: knownType(type), source: { from: 'payload', base, offset }, ...needs });

const ports = (protocol: string, needs: { readonly transport?: number }): Selector[] => [
  payload(`${protocol} sport`, 'inet_service', 'transport', 0, needs),
  payload(`${protocol} dport`, 'inet_service', 'transport', 2, needs),
];

const twoWords: readonly Selector[] = [
  payload('ip saddr', 'ipv4_addr', 'network', 12, { network: 'ip' }),
  payload('ip daddr', 'ipv4_addr', 'network', 16, { network: 'ip' }),
  payload('ip protocol', 'inet_proto', 'network', 9, { network: 'ip', tells: 'transport' }),
  payload('ip6 saddr', 'ipv6_addr', 'network', 8, { network: 'ip6' }),
  payload('ip6 daddr', 'ipv6_addr', 'network', 24, { network: 'ip6' }),
  payload('ip6 nexthdr', 'inet_proto', 'network', 6, { network: 'ip6', tells: 'transport' }),
  ...ports('tcp', { transport: 6 }),
  ...ports('udp', { transport: 17 }),
  ...ports('sctp', { transport: 132 }),
  payload('tcp flags', 'tcp_flag', 'transport', 13, { transport: 6 }),
  ...ports('th', {}),
  payload('icmp type', 'icmp_type', 'transport', 0, { transport: 1, network: 'ip' }),
  payload('icmp code', 'icmp_code', 'transport', 1, { transport: 1, network: 'ip' }),
  payload('icmpv6 type', 'icmpv6_type', 'transport', 0, { transport: 58, network: 'ip6' }),
  payload('icmpv6 code', 'icmpv6_code', 'transport', 1, { transport: 58, network: 'ip6' }),
  ...Object.entries(metaKeys).map(
    ([name, [key, type]]): Selector => ({
      text: `meta ${name}`,
      type: knownType(type),
      source: { from: 'meta', key },
      ...(name === 'l4proto' ? { tells: 'transport' } : name === 'nfproto' ? { tells: 'network' } : {}),
    }),
  ),
  ...Object.entries(ctKeys).map(
    ([name, [key, type]]): Selector => ({
      text: `ct ${name}`,
      type: knownType(type),
      source: { from: 'ct', key },
    }),
  ),
];

const byText = new Map<string, Selector>(twoWords.map((selector) => [selector.text, selector]));

/** The selector of two words; undefined when there is none. */
export const selectorOf = (first: string, second: string): Selector | undefined =>
  byText.get(`${first} ${second}`);

/** `iifname` and its like may stand without `meta`. */
export const shortSelector = (word: string): Selector | undefined =>
  /^(?:iif|oif|iifname|oifname|mark)$/.test(word) ? byText.get(`meta ${word}`) : undefined;

/** First words of two-word selectors, to tell an unknown field from an unknown statement. */
export const selectorHeads: ReadonlySet<string> = new Set(twoWords.map((s) => s.text.split(' ')[0] ?? ''));

const fibFlags: Readonly<Record<string, number>> = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16 };
const fibResults: Readonly<Record<string, readonly [number, string]>> = {
  oif: [1, 'iface_index'],
  oifname: [2, 'ifname'],
  type: [3, 'fib_addrtype'],
};
export const fibPresent = 32;

/** `fib saddr . iif oif`: the words before the result, joined by dots, choose what is looked up. */
export function fibSelector(fields: readonly string[], result: string): Selector | undefined {
  let flags = 0;
  for (const field of fields) {
    const flag = fibFlags[field];
    if (flag === undefined) return undefined;
    flags |= flag;
  }
  const found = fibResults[result];
  // Exactly one of the two addresses.
  if (found === undefined || (flags & 3) === 0 || (flags & 3) === 3) return undefined;
  return {
    text: `fib ${fields.join(' . ')} ${result}`,
    type: knownType(found[1]),
    source: { from: 'fib', result: found[0], flags },
  };
}

/** `numgen random mod 4`. */
export const randomSelector = (modulus: number): Selector => ({
  text: `numgen random mod ${modulus}`,
  type: knownType('mark'),
  source: { from: 'random', modulus },
});

/** `jhash ip saddr mod 4 seed 0x1`: the seed makes it the same number in every rule and after every change. */
export const hashSelector = (of: Selector, modulus: number, seed: number): Selector => ({
  text: `jhash ${of.text} mod ${modulus} seed ${seed}`,
  type: knownType('mark'),
  source: { from: 'hash', of, modulus, seed },
  ...(of.transport === undefined ? {} : { transport: of.transport }),
  ...(of.network === undefined ? {} : { network: of.network }),
});

/** Whether rules of the table's family can look at the selector. */
export const fitsFamily = (selector: Selector, family: NftFamily): boolean =>
  selector.network === undefined || family === 'inet' || family === selector.network;
