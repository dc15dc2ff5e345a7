// Whether a rule matches a packet. Logic has three values: what is unknown (a set nobody has, a port that the packet does
// not tell, a rule that cannot be made out) is neither true nor false, and a false beside it is still false. evaluate.ts
// turns what stays unknown into a denial.
//
// Null semantics of negations (RS-092): an absent or empty list asks for nothing. A negated list holds for whatever is not
// in it, addresses that belong to no endpoint included. Criteria that need something of the packet (ports, an ICMP type)
// fail on packets that have no such thing, negated ones too: there is no port to be another one. That is how the kernel
// matches, where reading a port implies a protocol with ports.
import {
  containsAddress,
  familyOf,
  prefixFamily,
  type Address,
  type Family,
  type Prefix,
} from '../lib/ip/mod.ts';
import { matchesHttp } from './http.ts';
import type { RuleField, SideField } from './trace.ts';
import type { IcmpMatch, Packet, PortRange, Rule, SetId, SetLookup, SideMatch } from './types.ts';

/** True, false, or undefined for unknown. */
export type Truth = boolean | undefined;

/** `field` is the first one that failed or, if none did, the first unknown one. */
export type RuleMatch =
  | { readonly truth: true }
  | { readonly truth: false; readonly field: RuleField }
  | { readonly truth: undefined; readonly field: RuleField | 'rule' };

export type MatchOptions = {
  /** HTTP requests are judged by a proxy on the way: to packets without a request, rules about HTTP are open. */
  readonly httpIsJudgedLater?: boolean;
};

const matched: RuleMatch = { truth: true };

/** Looks at the fields in order of cost; stops at the first that fails. */
export function matchRule(
  rule: Rule,
  sets: SetLookup,
  packet: Packet,
  options: MatchOptions = {},
): RuleMatch {
  let unknown: RuleField | 'rule' | undefined = rule.unresolved === undefined ? undefined : 'rule';
  for (const [field, test] of criteria) {
    const truth = test(rule, packet, sets, options);
    if (truth === false) return { truth, field };
    if (truth === undefined) unknown ??= field;
  }
  return unknown === undefined ? matched : { truth: undefined, field: unknown };
}

type Criterion = (rule: Rule, packet: Packet, sets: SetLookup, options: MatchOptions) => Truth;

const sideCriteria = (side: 'source' | 'destination'): readonly (readonly [RuleField, Criterion])[] => {
  const addressOf = (packet: Packet): Address => packet[side];
  const portOf = (packet: Packet): number | undefined =>
    side === 'source' ? packet.sourcePort : packet.destinationPort;
  const named = (
    field: SideField,
    test: (match: SideMatch, packet: Packet, sets: SetLookup) => Truth,
  ): readonly [RuleField, Criterion] => [
    `${side}.${field}`,
    (rule, packet, sets) => test(rule[side], packet, sets),
  ];
  return [
    named('nets', ({ nets }, packet) => nets === undefined || inNets(nets, addressOf(packet))),
    named(
      'notNets',
      ({ notNets }, packet) => notNets === undefined || outOfNets(notNets, packet, addressOf(packet)),
    ),
    named(
      'ports',
      ({ ports, portSets }, packet, sets) =>
        (ports === undefined && portSets === undefined) ||
        inPorts(ports ?? [], portSets ?? [], sets, packet, addressOf(packet), portOf(packet)),
    ),
    named(
      'notPorts',
      ({ notPorts, notPortSets }, packet, sets) =>
        (notPorts === undefined && notPortSets === undefined) ||
        outOfPorts(notPorts ?? [], notPortSets ?? [], sets, packet, addressOf(packet), portOf(packet)),
    ),
    named('selector', (match, packet, sets) =>
      every(match.sets ?? [], (id) => sets.hasAddress(id, addressOf(packet))),
    ),
    named('notSelector', (match, packet, sets) =>
      every(match.notSets ?? [], (id) => not(sets.hasAddress(id, addressOf(packet)))),
    ),
    named('services', (match, packet, sets) =>
      every(match.serviceSets ?? [], (id) => inPortSet(id, sets, packet, addressOf(packet), portOf(packet))),
    ),
  ];
};

const criteria: readonly (readonly [RuleField, Criterion])[] = [
  ['ipVersion', (rule, packet) => rule.ipVersion === undefined || rule.ipVersion === ipVersionOf(packet)],
  ['protocol', (rule, packet) => rule.protocol === undefined || rule.protocol === packet.protocol],
  ['notProtocol', (rule, packet) => rule.notProtocol === undefined || rule.notProtocol !== packet.protocol],
  ['icmp', (rule, packet) => asksNothing(rule.icmp) || isIcmp(packet, rule.icmp)],
  ['notICMP', (rule, packet) => asksNothing(rule.notIcmp) || isOtherIcmp(packet, rule.notIcmp)],
  ...sideCriteria('source'),
  ...sideCriteria('destination'),
  [
    'http',
    ({ http }, packet, _sets, options) => {
      if (http === undefined) return true;
      if (packet.http !== undefined) return matchesHttp(http, packet.http);
      return packet.protocol === tcp && (options.httpIsJudgedLater === true ? true : undefined);
    },
  ],
];

const tcp = 6;
const icmpProtocols: ReadonlySet<number> = new Set([1, 58]);
/** TCP, UDP, DCCP, SCTP, UDPLite. */
const protocolsWithPorts: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);

export const hasPorts = (protocol: number): boolean => protocolsWithPorts.has(protocol);

const asksNothing = (match: IcmpMatch | undefined): match is undefined =>
  match === undefined || (match.type === undefined && match.code === undefined);

const isIcmp = (packet: Packet, { type, code }: IcmpMatch): Truth =>
  icmpProtocols.has(packet.protocol) &&
  and(
    type === undefined || equals(packet.icmpType, type),
    code === undefined || equals(packet.icmpCode, code),
  );

/** Type and code together are one criterion: type 8 with code 4 is not "type 8, code 3". */
const isOtherIcmp = (packet: Packet, match: IcmpMatch): Truth =>
  icmpProtocols.has(packet.protocol) && not(isIcmp(packet, match));

const equals = (value: number | undefined, wanted: number): Truth =>
  value === undefined ? undefined : value === wanted;

/** Networks of the other family belong to a rule for the other family. */
const inNets = (nets: readonly Prefix[], address: Address): boolean =>
  nets.some((net) => containsAddress(net, address));

/** A rule whose networks are all of the other family is a rule for the other family, negated or not. */
const outOfNets = (nets: readonly Prefix[], packet: Packet, address: Address): boolean =>
  nets.some((net) => prefixFamily(net) === ipVersionOf(packet)) && !inNets(nets, address);

const ipVersionOf = (packet: Packet): Family => packet.ipVersion ?? familyOf(packet.source);

function inPorts(
  ranges: readonly PortRange[],
  portSets: readonly SetId[],
  sets: SetLookup,
  packet: Packet,
  address: Address,
  port: number | undefined,
): Truth {
  if (!hasPorts(packet.protocol)) return false;
  if (port === undefined) return undefined;
  if (ranges.some(({ first, last }) => first <= port && port <= last)) return true;
  return some(portSets, (id) => sets.hasPort(id, address, packet.protocol, port));
}

function outOfPorts(
  ranges: readonly PortRange[],
  portSets: readonly SetId[],
  sets: SetLookup,
  packet: Packet,
  address: Address,
  port: number | undefined,
): Truth {
  return hasPorts(packet.protocol) && not(inPorts(ranges, portSets, sets, packet, address, port));
}

const inPortSet = (
  id: SetId,
  sets: SetLookup,
  packet: Packet,
  address: Address,
  port: number | undefined,
): Truth =>
  hasPorts(packet.protocol) &&
  (port === undefined ? undefined : sets.hasPort(id, address, packet.protocol, port));

const not = (truth: Truth): Truth => (truth === undefined ? undefined : !truth);

const and = (a: Truth, b: Truth): Truth => (a === false || b === false ? false : a && b);

function every<T>(list: readonly T[], test: (item: T) => Truth): Truth {
  let result: Truth = true;
  for (const item of list) {
    const truth = test(item);
    if (truth === false) return false;
    if (truth === undefined) result = undefined;
  }
  return result;
}

const some = <T>(list: readonly T[], test: (item: T) => Truth): Truth =>
  not(every(list, (item) => not(test(item))));
