// How much of what this node should have in its kernel, for metrics: counted from the rows when somebody asks.
import type { Family } from '../../lib/ip/mod.ts';
import type { Row as IptablesRow } from './iptables/types.ts';
import type { NftRow } from './nftables.ts';
import type { KernelRouteRow } from './routes.ts';

export type RuleCounts = {
  readonly family: Family;
  readonly table: string;
  readonly chains: number;
  readonly rules: number;
};
export type Inventory = {
  /** Sets of addresses, in nftables or as ipset has them. */
  readonly sets: Readonly<Record<Family, number>>;
  /** Maps of nftables. */
  readonly maps: Readonly<Record<Family, number>>;
  readonly nftables: readonly RuleCounts[];
  readonly iptables: readonly RuleCounts[];
  /** By number of the routing table. */
  readonly routes: readonly {
    readonly table: number;
    readonly routes: number;
    readonly interfaces: number;
  }[];
};

type Counting = { family: Family; table: string; chains: number; rules: number };

export function inventory(
  nft: Iterable<NftRow>,
  iptables: Iterable<IptablesRow>,
  routes: Iterable<KernelRouteRow>,
): Inventory {
  const sets = { 4: 0, 6: 0 };
  const maps = { 4: 0, 6: 0 };
  const inNft = new Map<string, Counting>();
  const inIptables = new Map<string, Counting>();
  for (const row of nft) {
    const family = row.family === 'ip6' ? 6 : 4;
    if (row.kind === 'set') (row.set.data === undefined ? sets : maps)[family]++;
    else if (row.kind === 'chain') addChain(inNft, family, 'calico', row.rules.length);
  }
  for (const row of iptables) {
    if (row.kind === 'set') sets[row.family]++;
    else if (row.kind === 'chain') addChain(inIptables, row.family, row.table, row.rules.length);
    else if (row.kind === 'hook')
      addRules(inIptables, row.family, row.table, row.first.length + row.last.length);
  }
  return {
    sets,
    maps,
    nftables: [...inNft.values()],
    iptables: [...inIptables.values()],
    routes: countRoutes(routes),
  };
}

function addRules(into: Map<string, Counting>, family: Family, table: string, rules: number): Counting {
  const key = `${family} ${table}`;
  const counting = into.get(key) ?? { family, table, chains: 0, rules: 0 };
  counting.rules += rules;
  into.set(key, counting);
  return counting;
}

const addChain = (into: Map<string, Counting>, family: Family, table: string, rules: number): void => {
  addRules(into, family, table, rules).chains++;
};

function countRoutes(rows: Iterable<KernelRouteRow>): Inventory['routes'] {
  const tables = new Map<number, { routes: number; interfaces: Set<string> }>();
  for (const { table, target } of rows) {
    const counting = tables.get(table) ?? { routes: 0, interfaces: new Set() };
    counting.routes++;
    if (typeof target !== 'string') counting.interfaces.add(target.interfaceName);
    tables.set(table, counting);
  }
  return [...tables].map(([table, { routes, interfaces }]) => ({
    table,
    routes,
    interfaces: interfaces.size,
  }));
}
