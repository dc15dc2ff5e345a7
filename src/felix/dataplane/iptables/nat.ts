// nat-outgoing in iptables (FX-065): the sets of pools and hosts, and the chain that translates.
import type { Family } from '../../../lib/ip/mod.ts';
import type { NatRow, SetMemberRow } from '../../calc/mod.ts';
import { setMatch } from './match.ts';
import { line } from './rules.ts';
import type { Row } from './types.ts';

/** Calico's names. */
const setIds: Readonly<Record<SetMemberRow['set'], string>> = {
  'masq-pools': 'masq-ipam-pools',
  'all-pools': 'network-ip-pools',
  'all-hosts': 'all-hosts-net',
};
export const natSetId = (set: SetMemberRow['set']): string => setIds[set];
export const natSetIds: readonly string[] = Object.values(setIds);

const outgoing = 'cali-nat-outgoing';

/** `row` is undefined where no pool of the family has been told of. */
export function natRows(family: Family, row: NatRow | undefined, place: 'insert' | 'append'): readonly Row[] {
  const chain = (name: string, rules: readonly string[]): Row => ({
    kind: 'chain',
    family,
    table: 'nat',
    name,
    rules,
  });
  return [
    chain(outgoing, row?.enabled === true ? natLines(row) : []),
    chain('cali-POSTROUTING', [`--jump ${outgoing}`]),
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
