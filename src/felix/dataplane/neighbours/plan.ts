// Which address is answered for on which interface: those that lie in its subnet, and that no interface of the node has. Pure.
import {
  addressBits,
  containsAddress,
  familyOf,
  hostPrefix,
  prefixOf,
  type Address,
} from '../../../lib/ip/mod.ts';
import { type Link, type LinkAddress, routeProtocols } from '../../../kernel/mod.ts';
import type { AnsweredRow } from '../../calc/mod.ts';
import type { RankedRoute } from '../overlay/types.ts';
import { localTable } from '../routes.ts';
import type { SysctlRow } from '../sysctls.ts';

/** A proxy entry of the kernel's neighbours. `source`: the interface's own address, that speaks for it. */
export type NeighbourRow = {
  readonly interfaceName: string;
  readonly address: Address;
  readonly source?: Address;
};

export const neighbourKey = ({ interfaceName, address }: NeighbourRow): string =>
  `${interfaceName} ${address}`;

/** An interface of the host, and its addresses. */
export type HostLink = { readonly link: Link; readonly addresses: readonly LinkAddress[] };

export type NeighbourPlan = {
  readonly neighbours: readonly NeighbourRow[];
  readonly routes: readonly RankedRoute[];
  readonly settings: readonly SysctlRow[];
};

export function neighbourPlan(answered: Iterable<AnsweredRow>, hosts: readonly HostLink[]): NeighbourPlan {
  const own = new Set(hosts.flatMap(({ addresses }) => addresses.map(({ address }) => address)));
  const neighbours: NeighbourRow[] = [];
  const routes: RankedRoute[] = [];
  for (const { address, ofService } of answered) {
    if (own.has(address)) continue;
    for (const { link, addresses } of hosts) {
      const beside = addresses.find((a) => isBeside(address, a));
      // ARP and NDP are for Ethernet.
      if (beside === undefined || link.mac === undefined || link.kind === 'loopback') continue;
      const source = familyOf(address) === 4 ? undefined : (linkLocal(addresses) ?? beside.address);
      neighbours.push({
        interfaceName: link.name,
        address,
        ...(source === undefined ? {} : { source }),
      });
      if (ofService && familyOf(address) === 4) routes.push(elsewhere(address, beside.address));
    }
  }
  return { neighbours, routes, settings: settingsOf(neighbours) };
}

function isBeside(address: Address, own: LinkAddress): boolean {
  if (familyOf(own.address) !== familyOf(address) || own.length === addressBits(familyOf(address)))
    return false;
  return containsAddress(prefixOf(own.address, own.length), address);
}

const linkLocal = (addresses: readonly LinkAddress[]): Address | undefined =>
  addresses.find(({ address, scope }) => familyOf(address) === 6 && scope === 'link')?.address;

/** The kernel answers ARP for what it would send on by another device only, and by its route a service's address is on the
 *  link it is asked from. Destinations are translated before this route is asked; what no service takes is dropped (FX-068). */
const elsewhere = (address: Address, source: Address): RankedRoute => ({
  rank: '9 answered',
  row: {
    dst: hostPrefix(address),
    table: localTable,
    priority: 0,
    protocol: routeProtocols.felix,
    target: { interfaceName: 'lo', source },
  },
});

/** Answered at once, and not after a random time of up to 0.8 s; IPv6 has to be asked to. */
function settingsOf(rows: readonly NeighbourRow[]): SysctlRow[] {
  const names = (family: 4 | 6): readonly string[] => [
    ...new Set(rows.filter((row) => familyOf(row.address) === family).map((row) => row.interfaceName)),
  ];
  const row = (interfaceName: string, path: string, value: string, optional: boolean): SysctlRow => ({
    path,
    value,
    interfaceName,
    optional,
  });
  return [
    ...names(4).map((name) => row(name, `net/ipv4/neigh/${name}/proxy_delay`, '0', false)),
    ...names(6).flatMap((name) => [
      row(name, `net/ipv6/neigh/${name}/proxy_delay`, '0', true),
      row(name, `net/ipv6/conf/${name}/proxy_ndp`, '1', true),
    ]),
  ];
}
