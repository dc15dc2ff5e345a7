// nat-outgoing in iptables (FX-065): the sets of pools and hosts, and the chain that translates.
import { type Family, hostPrefix } from '../../../lib/ip/mod.ts';
import type { FloatingRow, NatRow, ServiceLoopRow, SetMemberRow } from '../../calc/mod.ts';
import { tunnelDevices, type Tunnels } from '../overlay/types.ts';
import { setMatch } from './match.ts';
import { line } from './rules.ts';
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

const toFloating = 'cali-fip-dnat';
const fromFloating = 'cali-fip-snat';

/** What is translated in a family. `row` is undefined where no pool of the family has been told of. */
export type NatInputs = {
  readonly row: NatRow | undefined;
  readonly floating: readonly FloatingRow[];
};

export function natRows(
  family: Family,
  { row, floating }: NatInputs,
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
    chain(
      toFloating,
      floating.map(
        ({ external, internal }) =>
          `--destination ${hostPrefix(external)} --jump DNAT --to-destination ${internal}`,
      ),
    ),
    chain(fromFloating, floatingSources(floating)),
    chain('cali-PREROUTING', [`--jump ${toFloating}`]),
    chain('cali-OUTPUT', [`--jump ${toFloating}`]),
    chain('cali-POSTROUTING', [
      `--jump ${fromFloating}`,
      `--jump ${outgoing}`,
      ...tunnelSources(family, tunnels),
    ]),
    ...['PREROUTING', 'OUTPUT', 'POSTROUTING'].map(
      (name): Row => ({
        kind: 'hook',
        family,
        table: 'nat',
        chain: name,
        place,
        first: [`--jump cali-${name}`],
        last: [],
      }),
    ),
  ];
}

/** Who asks for a floating address of his own is answered from there (FX-067); of several it is the first. */
function floatingSources(floating: readonly FloatingRow[]): readonly string[] {
  const firsts = new Map(floating.toReversed().map(({ internal, external }) => [internal, external]));
  return [...firsts].map(
    ([internal, external]) =>
      `--source ${hostPrefix(internal)} --destination ${hostPrefix(internal)} --jump SNAT --to-source ${external}`,
  );
}

const serviceRanges = 'cali-cidr-block';
export const serviceLoopJump = `--jump ${serviceRanges}`;

/** What is for a service range and was not translated would circle between this node and its router (FX-068). */
export const serviceLoopRow = (family: Family, row: ServiceLoopRow | undefined): Row => ({
  kind: 'chain',
  family,
  table: 'filter',
  name: serviceRanges,
  rules: (row?.ranges ?? []).map(
    (range) => `--destination ${range} --jump ${row?.action === 'reject' ? 'REJECT' : 'DROP'}`,
  ),
});

/** What the host sends into a tunnel from another address of its own gets the tunnel's, for the answer to find back (FX-066). */
const tunnelSources = (family: Family, tunnels: Tunnels): readonly string[] =>
  tunnelDevices(family, tunnels).map(
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
