// A rule as nft matches. What it means is said in policy/match.ts; here it is written down for the kernel:
//
//   one line      all that must hold together        meta l4proto 6 th dport 80-90 ip saddr @s-… ip daddr != 10.0.0.0/8
//   several       where one of several things holds  a port in a list or in a set of named ports
//   none          nothing can match: networks of the other family, ports of a protocol that has none
//
// A criterion that cannot be made out is left out of the line and makes the rule `isUnknown`: then it may only deny.
import { prefixFamily, prefixLength, type Family, type Prefix } from '../../../../lib/ip/mod.ts';
import { hasPorts, type PortRange, type Rule, type SetId, type SideMatch } from '../../../../policy/mod.ts';
import { mergedRanges, outermost, rangeText } from './sets.ts';

/** Names of sets in the kernel; who asks for one uses it. */
export type SetNames = {
  /** Undefined: nobody knows the set. */
  members(id: SetId): string | undefined;
  ports(ranges: readonly PortRange[]): string;
  nets(nets: readonly Prefix[]): string;
};

export type LinearMatch = { readonly lines: readonly string[]; readonly isUnknown: boolean };

/** The set of protocols that have ports. */
export const portProtocolsSet = 'port-protocols';
export const portProtocols = [6, 17, 33, 132, 136] as const;

const never: LinearMatch = { lines: [], isUnknown: false };
const tcp = 6;

export function linearMatch(rule: Rule, family: Family, names: SetNames): LinearMatch {
  if (rule.ipVersion !== undefined && rule.ipVersion !== family) return never;
  // A request is read by a proxy, not here; but what is not TCP carries none.
  const isHttp = rule.http !== undefined;
  if (isHttp && rule.protocol !== undefined && rule.protocol !== tcp) return never;
  const protocol = rule.protocol ?? (isHttp ? tcp : undefined);
  const icmp = icmpMatches(rule, protocol, family);
  const asksPorts = asksForPorts(rule.source) || asksForPorts(rule.destination);
  if (icmp === undefined || (asksPorts && icmp.length > 0)) return never;
  if (protocol !== undefined && protocol === rule.notProtocol) return never;
  if (asksPorts && protocol !== undefined && !hasPorts(protocol)) return never;
  const source = sideMatches('source', rule.source, family, names);
  const destination = sideMatches('destination', rule.destination, family, names);
  if (source === undefined || destination === undefined) return never;
  const first = [
    // A type says the protocol, too.
    ...(protocol === undefined || icmp.length > 0 ? [] : [`meta l4proto ${protocol}`]),
    ...(rule.notProtocol === undefined || protocol !== undefined || icmp.length > 0
      ? []
      : [`meta l4proto != ${rule.notProtocol}`]),
    ...(asksPorts && protocol === undefined ? [`meta l4proto @${portProtocolsSet}`] : []),
  ];
  const alternatives = [icmp, source.alternatives, destination.alternatives].filter(
    (list) => list.length > 0,
  );
  const lines = product(alternatives).map((chosen) =>
    [...first, ...chosen, ...source.required, ...destination.required].join(' '),
  );
  const isUnknown = isHttp || rule.unresolved !== undefined || source.isUnknown || destination.isUnknown;
  return { lines, isUnknown };
}

/** Every way to take one of each list. */
const product = (lists: readonly (readonly string[])[]): readonly (readonly string[])[] =>
  lists.reduce<readonly (readonly string[])[]>(
    (done, list) => done.flatMap((chosen) => list.map((one) => [...chosen, one])),
    [[]],
  );

/** Alternatives of what the rule asks of ICMP; empty when it asks nothing, undefined when no packet of the family fits. */
function icmpMatches(
  { icmp, notIcmp, notProtocol }: Rule,
  protocol: number | undefined,
  family: Family,
): readonly string[] | undefined {
  const asks = [icmp, notIcmp].some((one) => one?.type !== undefined || one?.code !== undefined);
  if (!asks) return [];
  const [own, word] = family === 4 ? [1, 'icmp'] : [58, 'icmpv6'];
  if ((protocol !== undefined && protocol !== own) || notProtocol === own) return undefined;
  const is = [
    ...(icmp?.type === undefined ? [] : [`${word} type ${icmp.type}`]),
    ...(icmp?.code === undefined ? [] : [`${word} code ${icmp.code}`]),
  ];
  // Type and code together are one criterion: another type, or the type with another code.
  const others = [
    ...(notIcmp?.type === undefined ? [] : [`${word} type != ${notIcmp.type}`]),
    ...(notIcmp?.code === undefined ? [] : [`${word} code != ${notIcmp.code}`]),
  ];
  return others.length === 0 ? [is.join(' ')] : others.map((other) => [...is, other].join(' '));
}

const asksForPorts = (side: SideMatch): boolean =>
  [side.ports, side.portSets, side.notPorts, side.notPortSets, side.serviceSets].some(
    (list) => list !== undefined,
  );

type SideMatches = {
  readonly required: readonly string[];
  /** One of them must hold, if there are any. */
  readonly alternatives: readonly string[];
  readonly isUnknown: boolean;
};

/** Undefined: nothing of this family can match. */
function sideMatches(
  side: 'source' | 'destination',
  match: SideMatch,
  family: Family,
  names: SetNames,
): SideMatches | undefined {
  const [address, port] = side === 'source' ? ['saddr', 'sport'] : ['daddr', 'dport'];
  const field = `${family === 4 ? 'ip' : 'ip6'} ${address}`;
  const endpoint = `${field} . meta l4proto . th ${port}`;
  const nets = netsOf(match.nets, family);
  const notNets = netsOf(match.notNets, family);
  // A rule whose networks are all of the other family is a rule for the other family, negated or not.
  if (nets?.length === 0 || notNets?.length === 0) return undefined;
  if (notNets?.some(isEverything) === true) return undefined;
  let isUnknown = false;
  const known = (ids: readonly SetId[] | undefined): readonly string[] =>
    (ids ?? []).flatMap((id) => {
      const name = names.members(id);
      if (name === undefined) isUnknown = true;
      return name === undefined ? [] : [name];
    });
  const ports = match.ports === undefined ? [] : [`th ${port} ${portOperand(match.ports, names)}`];
  const named = known(match.portSets).map((name) => `${endpoint} @${name}`);
  // A set of ports that nobody knows may hold any port.
  const alternatives = isUnknown ? [] : [...ports, ...named];
  const required = [
    ...(match.notPorts === undefined ? [] : [`th ${port} != ${portOperand(match.notPorts, names)}`]),
    ...known(match.notPortSets).map((name) => `${endpoint} != @${name}`),
    ...known(match.serviceSets).map((name) => `${endpoint} @${name}`),
    ...(nets === undefined || nets.some(isEverything) ? [] : [`${field} ${netOperand(nets, names)}`]),
    ...(notNets === undefined ? [] : [`${field} != ${netOperand(notNets, names)}`]),
    ...known(match.sets).map((name) => `${field} @${name}`),
    ...known(match.notSets).map((name) => `${field} != @${name}`),
  ];
  return { required, alternatives, isUnknown };
}

/** Undefined: not asked for. */
const netsOf = (nets: readonly Prefix[] | undefined, family: Family): readonly Prefix[] | undefined =>
  nets && outermost(nets.filter((net) => prefixFamily(net) === family));

const isEverything = (net: Prefix): boolean => prefixLength(net) === 0;

const netOperand = (nets: readonly Prefix[], names: SetNames): string =>
  nets.length === 1 ? String(nets[0]) : `@${names.nets(nets)}`;

function portOperand(ranges: readonly PortRange[], names: SetNames): string {
  const merged = mergedRanges(ranges);
  const [only] = merged;
  return only !== undefined && merged.length === 1 ? rangeText(only) : `@${names.ports(merged)}`;
}
