// nat-outgoing in iptables (FX-065): the sets of pools and hosts, and the chain that translates.
import type { Family } from '../../../lib/ip/mod.ts';
import type { NatRow, SetMemberRow } from '../../calc/mod.ts';
import { ipipDevice, vxlanDevice, vxlanV6Device } from '../overlay/types.ts';
import { setMatch } from './match.ts';
import { line } from './rules.ts';
import type { Tunnels } from './static.ts';
import type { Row } from './types.ts';

export const allHosts = 'all-hosts-net';
/** Ends of VXLAN tunnels on other nodes. */
export const allVxlanHosts = 'all-vxlan-net';

/** Calico's names. */
const setIds: Readonly<Record<SetMemberRow['set'], string>> = {
  'masq-pools': 'masq-ipam-pools',
  'all-pools': 'network-ip-pools',
  'all-hosts': allHosts,
};
export const natSetId = (set: SetMemberRow['set']): string => setIds[set];
/** Sets that are always there. */
export const fixedSetIds: readonly string[] = [...Object.values(setIds), allVxlanHosts];

const outgoing = 'cali-nat-outgoing';

/** `row` is undefined where no pool of the family has been told of. */
export function natRows(
  family: Family,
  row: NatRow | undefined,
  { place, tunnels }: { readonly place: 'insert' | 'append'; readonly tunnels: Tunnels },
): readonly Row[] {
  const chain = (name: string, rules: readonly string[]): Row => ({
    kind: 'chain',
    family,
    table: 'nat',
    name,
    rules,
  });
  return [
    chain(outgoing, row?.enabled === true ? natLines(row) : []),
    chain('cali-POSTROUTING', [`--jump ${outgoing}`, ...tunnelSources(family, tunnels)]),
    {
      kind: 'hook',
      family,
      table: 'nat',
      chain: 'POSTROUTING',
      place,
      first: ['--jump cali-POSTROUTING'],
      last: [],
    },
  ];
}

/** What the host sends into a tunnel from another address of its own gets the tunnel's, for the answer to find back (FX-066). */
const tunnelSources = (family: Family, { ipip, vxlan, vxlanV6 }: Tunnels): readonly string[] =>
  [
    ...(family === 4 && ipip ? [ipipDevice] : []),
    ...(family === 4 && vxlan ? [vxlanDevice] : []),
    ...(family === 6 && vxlanV6 ? [vxlanV6Device] : []),
  ].map(
    (device) =>
      `--out-interface ${device} -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL --jump MASQUERADE --random-fully`,
  );

function natLines({ family, toAddress, ports, excludeHosts, outInterface }: NatRow): readonly string[] {
  const match = line(
    outInterface === undefined ? '' : `--out-interface ${outInterface}`,
    setMatch(family, 'source', setIds['masq-pools']),
    setMatch(family, 'destination', setIds['all-pools'], '! '),
    excludeHosts ? setMatch(family, 'destination', setIds['all-hosts'], '! ') : '',
  );
  const target = (range: string): string =>
    toAddress === undefined
      ? line('MASQUERADE', range === '' ? '' : `--to-ports ${range}`, '--random-fully')
      : `SNAT --to-source ${family === 6 && range !== '' ? `[${toAddress}]` : toAddress}${range === '' ? '' : `:${range}`} --random-fully`;
  if (ports === undefined) return [line(match, '--jump', target(''))];
  const range = `${ports.first}-${ports.last}`;
  return [
    ...['tcp', 'udp'].map((protocol) => line(`-p ${protocol}`, match, '--jump', target(range))),
    line(match, '--jump', target('')),
  ];
}
