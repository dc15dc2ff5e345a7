// nat-outgoing as nftables rows (SR-160…163, FX-065), and the drop that keeps packets to the pods' gateway address from
// circling (routes.ts).
//
//   table ip calico
//     set masq-pools, all-pools, all-hosts   { type ipv4_addr; flags interval }
//     chain nat-postrouting  { type nat hook postrouting priority srcnat(100)
//         [oifname X] ip saddr @masq-pools ip daddr != @all-pools [ip daddr != @all-hosts] masquerade | snat to A }
//     chain filter-forward   { type filter hook forward priority filter(0)
//         ip daddr 169.254.1.1 drop }
//
//     map floating { type ipv4_addr : ipv4_addr }   map floating-self { type ipv4_addr . ipv4_addr : ipv4_addr }
//     chain floating-prerouting, floating-output  { type nat hook …; priority dstnat(-100) - 1   before kube-proxy's
//         dnat to ip daddr map @floating }
//     chain floating-postrouting { type nat hook postrouting priority srcnat(100) - 1
//         snat to ip saddr . ip daddr map @floating-self }   who asks for his own floating address is answered from there
//     chain service-loops    { type filter hook forward priority 1
//         ip daddr 10.96.0.0/12 drop | reject }   nobody translated it: back to the router it would come again
//
//     chain tunnel-sources   { type nat hook postrouting priority srcnat(100) + 1
//         oifname tunl0 fib saddr . oif type != local fib saddr type local masquerade }
//
// Toggling a pool is an element; the chain exists only while some pool of the family wants it.
import type { Family } from '../../lib/ip/mod.ts';
import {
  type FloatingRow,
  memberSets,
  type NatRow,
  type NodeRow,
  type ServiceLoopRow,
  type SetMemberRow,
} from '../calc/mod.ts';
import type { NftRow, NftTableFamily } from './nftables.ts';
import { gatewayAddress } from './routes.ts';

const tableFamily = (family: Family): NftTableFamily => (family === 4 ? 'ip' : 'ip6');
const srcnatPriority = 100;
const dstnatPriority = -100;

/** Rows that are there as long as the family is. */
export function nodeNftRows(node: NodeRow): NftRow[] {
  const families: readonly Family[] = node.ipv6 ? [4, 6] : [4];
  return families.flatMap((family): NftRow[] => [
    { kind: 'table', family: tableFamily(family) },
    ...memberSets.map(
      (name): NftRow => ({
        kind: 'set',
        family: tableFamily(family),
        set: { name, key: [family === 4 ? 'ipv4_addr' : 'ipv6_addr'], interval: true },
      }),
    ),
  ]);
}

/** Where policy has no chain at this hook. */
export const gatewayNftRow: NftRow = {
  kind: 'chain',
  family: 'ip',
  chain: {
    name: 'filter-forward',
    base: { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' },
  },
  rules: [`ip daddr ${gatewayAddress} drop`],
};

export const memberNftRow = (row: SetMemberRow): NftRow => ({
  kind: 'element',
  family: tableFamily(row.family),
  set: row.set,
  element: { key: isHost(row.prefix) ? row.prefix.slice(0, row.prefix.indexOf('/')) : row.prefix },
});
const isHost = (prefix: string): boolean => prefix.endsWith(prefix.includes(':') ? '/128' : '/32');

export function natNftRows(row: NatRow): NftRow[] {
  if (!row.enabled) return [];
  return [
    {
      kind: 'chain',
      family: tableFamily(row.family),
      chain: {
        name: 'nat-postrouting',
        base: { type: 'nat', hook: 'postrouting', priority: srcnatPriority, policy: 'accept' },
      },
      rules: natRules(row),
    },
  ];
}

export function natRules(row: NatRow): string[] {
  const ip = tableFamily(row.family);
  const match = [
    ...(row.outInterface === undefined ? [] : [`oifname "${row.outInterface}"`]),
    `${ip} saddr @masq-pools ${ip} daddr != @all-pools`,
    ...(row.excludeHosts ? [`${ip} daddr != @all-hosts`] : []),
  ].join(' ');
  const action = row.toAddress === undefined ? 'masquerade' : `snat to ${row.toAddress}`;
  if (row.ports === undefined) return [`${match} ${action}`];
  const range = `${row.ports.first}-${row.ports.last}`;
  const withPorts =
    row.toAddress === undefined ? `masquerade to :${range}` : `snat to ${row.toAddress}:${range}`;
  return [
    ...['tcp', 'udp'].map((protocol) => `meta l4proto ${protocol} ${match} ${withPorts}`),
    `${match} ${action}`,
  ];
}

// ── sources of tunnels (FX-066) ──
/** What the host sends into a tunnel from another address of its own gets the tunnel's: an answer to the other address would
 *  come outside of the tunnel, or not at all. */
export function tunnelSourceNftRows(family: Family, devices: readonly string[]): readonly NftRow[] {
  if (devices.length === 0) return [];
  const base = { type: 'nat', hook: 'postrouting', priority: srcnatPriority + 1, policy: 'accept' } as const;
  const isElsewheres = 'fib saddr . oif type != local fib saddr type local';
  return [
    {
      kind: 'chain',
      family: tableFamily(family),
      chain: { name: 'tunnel-sources', base },
      rules: devices.map((device) => `oifname "${device}" ${isElsewheres} masquerade`),
    },
  ];
}

// ── floating addresses (FX-042, FX-067) ──
const floatingMap = 'floating';
const floatingSelfMap = 'floating-self';

/** What is there while some endpoint of the family has a floating address. */
export function floatingNftRows(family: Family): readonly NftRow[] {
  const table = tableFamily(family);
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const chain = (
    name: string,
    hook: 'prerouting' | 'output' | 'postrouting',
    priority: number,
    rule: string,
  ): NftRow => ({
    kind: 'chain',
    family: table,
    chain: { name, base: { type: 'nat', hook, priority, policy: 'accept' } },
    rules: [rule],
  });
  const toInternal = `dnat to ${table} daddr map @${floatingMap}`;
  return [
    { kind: 'set', family: table, set: { name: floatingMap, key: [address], data: [address] } },
    { kind: 'set', family: table, set: { name: floatingSelfMap, key: [address, address], data: [address] } },
    chain('floating-prerouting', 'prerouting', dstnatPriority - 1, toInternal),
    chain('floating-output', 'output', dstnatPriority - 1, toInternal),
    chain(
      'floating-postrouting',
      'postrouting',
      srcnatPriority - 1,
      `snat to ${table} saddr . ${table} daddr map @${floatingSelfMap}`,
    ),
  ];
}

export function floatingElement({ family, external, internal }: FloatingRow): NftRow {
  const element = { key: external, data: internal };
  return { kind: 'element', family: tableFamily(family), set: floatingMap, element };
}

/** Of several floating addresses of one, the first named is who it speaks as to itself. */
export function floatingSelfElement({ family, external, internal }: FloatingRow): NftRow {
  const element = { key: [internal, internal], data: external };
  return { kind: 'element', family: tableFamily(family), set: floatingSelfMap, element };
}

// ── service ranges (FX-068) ──
export const serviceLoopNftRow = ({ family, action, ranges }: ServiceLoopRow): NftRow => ({
  kind: 'chain',
  family: tableFamily(family),
  chain: { name: 'service-loops', base: { type: 'filter', hook: 'forward', priority: 1, policy: 'accept' } },
  rules: ranges.map((range) => `${tableFamily(family)} daddr ${range} counter ${action}`),
});
