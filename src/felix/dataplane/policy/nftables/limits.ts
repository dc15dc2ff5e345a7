// Limits of workloads (RS-190). Connections are counted where new ones are judged; packets of a second before all else, for
// those of established connections count, too; DSCP is written on what leaves for addresses outside of the pools.
//
//   filter-forward   iifname vmap @from-rates     cali1 : jump rate-out-cali1     limit rate over 100/second … drop
//   tw-cali1         jump count-in-cali1          meta l4proto tcp ct count over 10 reject with tcp reset
//                    goto <program>
//   mangle-postrouting   ip daddr != @all-pools ip saddr vmap @dscp               10.0.0.1 : jump dscp-46
//
// Counting has its own chain, so that a change of policy does not forget what was counted.
import type { Address, Family } from '../../../../lib/ip/mod.ts';
import type { Direction } from '../../../../policy/mod.ts';
import type { EndpointPolicy } from '../../../calc/mod.ts';
import type { NftRow } from '../../nftables.ts';
import { nftFamily } from './rows.ts';

type Limits = NonNullable<EndpointPolicy['limits']>;

/** What of limits there is on the node; what nobody asks for is left out. */
export type LimitKinds = { readonly rates: boolean; readonly dscp: boolean };
export const noLimits: LimitKinds = { rates: false, dscp: false };

const words = { ingress: 'in', egress: 'out' } as const;

export const limitKinds = (limits: Limits | undefined): LimitKinds => ({
  rates: Boolean(limits?.ingressPacketRate) || Boolean(limits?.egressPacketRate),
  dscp: limits?.dscp !== undefined,
});

/** Rows for one endpoint, and what its packets are led to in place of the program. */
export function limitRows(
  { limits }: EndpointPolicy,
  name: string,
  family: Family,
  own: readonly Address[],
  programs: Readonly<Record<Direction, string>>,
): { readonly rows: readonly NftRow[]; readonly entries: Readonly<Record<Direction, string>> } {
  const entries = { ...programs };
  if (limits === undefined) return { rows: [], entries };
  const table = nftFamily(family);
  const rows: NftRow[] = [];
  const chain = (chainName: string, rules: readonly string[]): void =>
    void rows.push({ kind: 'chain', family: table, chain: { name: chainName }, rules, closed: ['drop'] });
  for (const direction of ['ingress', 'egress'] as const) {
    const word = words[direction];
    const connections = limits[`${direction}MaxConnections`];
    if (connections) {
      const entry = `${direction === 'ingress' ? 'tw' : 'fw'}-${name}`;
      chain(`count-${word}-${name}`, [
        `meta l4proto tcp ct count over ${connections} counter reject with tcp reset`,
      ]);
      chain(entry, [`jump count-${word}-${name}`, `goto ${programs[direction]}`]);
      entries[direction] = entry;
    }
    const rate = limits[`${direction}PacketRate`];
    if (rate) {
      const burst = limits[`${direction}PacketBurst`] || defaultBurst;
      const rateChain = `rate-${word}-${name}`;
      chain(rateChain, [`limit rate over ${rate}/second burst ${burst} packets counter drop`]);
      rows.push({
        kind: 'element',
        family: table,
        set: direction === 'ingress' ? 'to-rates' : 'from-rates',
        element: { key: name, data: `jump ${rateChain}` },
      });
    }
  }
  if (limits.dscp !== undefined)
    for (const key of own)
      rows.push({
        kind: 'element',
        family: table,
        set: 'dscp',
        element: { key, data: `jump dscp-${limits.dscp}` },
      });
  return { rows, entries };
}

const defaultBurst = 5;

/** The chain of a DSCP, one for all workloads that have it. */
export const dscpChain = (dscp: number | string, family: Family): NftRow => ({
  kind: 'chain',
  family: nftFamily(family),
  chain: { name: `dscp-${dscp}` },
  rules: [`${nftFamily(family)} dscp set ${String(dscp).toLowerCase()}`],
});
