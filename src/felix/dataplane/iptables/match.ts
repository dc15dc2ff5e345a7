// A rule's criteria as the words iptables has for them. One line can ask for one network a side, one protocol and lists of
// 15 ports; rules.ts cuts rules that ask for more into lines.
import { prefixFamily, type Family, type Prefix } from '../../../lib/ip/mod.ts';
import type { IcmpMatch, PortRange, Rule, SideMatch } from '../../../policy/mod.ts';
import { setName } from './names.ts';

/** The rule as packets of one family meet it, undefined if none of them can match it: networks of the other family are left
 *  out, and a rule that loses a whole list that way is a rule for the other family. */
export function ruleForFamily(rule: Rule, family: Family): Rule | undefined {
  if (rule.ipVersion !== undefined && rule.ipVersion !== family) return undefined;
  const source = sideForFamily(rule.source, family);
  const destination = sideForFamily(rule.destination, family);
  return source === undefined || destination === undefined ? undefined : { ...rule, source, destination };
}

function sideForFamily(side: SideMatch, family: Family): SideMatch | undefined {
  const { nets, notNets, ...rest } = side;
  const mine = nets?.filter((net) => prefixFamily(net) === family);
  const notMine = notNets?.filter((net) => prefixFamily(net) === family);
  if (mine?.length === 0 || notMine?.length === 0) return undefined;
  // Nothing is outside of everything.
  if (notMine?.some((net) => net.endsWith('/0'))) return undefined;
  return { ...rest, ...(mine && { nets: mine }), ...(notMine && { notNets: notMine }) };
}

const protocolNames: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
]);
export const protocolWord = (protocol: number): string => protocolNames.get(protocol) ?? String(protocol);

export type Side = 'source' | 'destination';
const sides = ['source', 'destination'] as const;
const short = { source: 'src', destination: 'dst' } as const;

export const netMatch = (side: Side, net: Prefix, not = ''): string => `${not}--${side} ${net}`;

export const portsMatch = (side: Side, ports: readonly PortRange[], not = ''): string =>
  `-m multiport ${not}--${side}-ports ${ports
    .map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`))
    .join(',')}`;

export const setMatch = (family: Family, side: Side, id: string, not = ''): string =>
  `-m set ${not}--match-set ${setName(family, id)} ${short[side]}`;

/** Address and port of the side together. */
export const portSetMatch = (family: Family, side: Side, id: string, not = ''): string =>
  `${setMatch(family, side, id, not)},${short[side]}`;

const icmpMatch = (family: Family, { type, code }: IcmpMatch, not = ''): string => {
  const [module, option] = family === 4 ? ['icmp', 'icmp-type'] : ['icmp6', 'icmpv6-type'];
  return `-m ${module} ${not}--${option} ${type}${code === undefined ? '' : `/${code}`}`;
};

/** A match on ports has 15 places, and a range takes two (FX-054). */
export function splitPorts(ports: readonly PortRange[] = []): readonly (readonly PortRange[])[] {
  const lists: PortRange[][] = [];
  let free = 0;
  for (const range of ports) {
    const places = range.first === range.last ? 1 : 2;
    if (free < places) {
      lists.push([]);
      free = 15;
    }
    lists.at(-1)?.push(range);
    free -= places;
  }
  return lists;
}

/** What is asked in one line: at most one network, list of ports and set of ports of each side, as `ruleLines` leaves it. */
export function matchText(rule: Rule, family: Family): string {
  return [...positive(rule, family), ...negative(rule, family)].join(' ');
}

function* positive({ protocol, icmp, ...rule }: Rule, family: Family): Generator<string> {
  if (protocol !== undefined) yield `-p ${protocolWord(protocol)}`;
  for (const side of sides) {
    const { nets = [], sets = [], serviceSets = [], ports, portSets = [] } = rule[side];
    for (const net of nets) yield netMatch(side, net);
    for (const id of sets) yield setMatch(family, side, id);
    for (const id of serviceSets) yield portSetMatch(family, side, id);
    if (ports !== undefined) yield portsMatch(side, ports);
    for (const id of portSets) yield portSetMatch(family, side, id);
  }
  if (icmp?.type !== undefined) yield icmpMatch(family, icmp);
}

function* negative({ notProtocol, notIcmp, ...rule }: Rule, family: Family): Generator<string> {
  if (notProtocol !== undefined) yield `! -p ${protocolWord(notProtocol)}`;
  for (const side of sides) {
    const { notNets = [], notSets = [], notPorts, notPortSets = [] } = rule[side];
    for (const net of notNets) yield netMatch(side, net, '! ');
    for (const id of notSets) yield setMatch(family, side, id, '! ');
    for (const ports of splitPorts(notPorts)) yield portsMatch(side, ports, '! ');
    for (const id of notPortSets) yield portSetMatch(family, side, id, '! ');
  }
  if (notIcmp?.type !== undefined) yield icmpMatch(family, notIcmp, '! ');
}
