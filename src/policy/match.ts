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
import type { RuleField } from './trace.ts';
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

/** Looks at the fields that the rule has, in order of cost; stops at the first that fails. */
export function matchRule(
  rule: Rule,
  sets: SetLookup,
  packet: Packet,
  options: MatchOptions = {},
): RuleMatch {
  let unknown: RuleField | 'rule' | undefined = rule.unresolved === undefined ? undefined : 'rule';
  for (const { field, test } of testsOf(rule)) {
    const truth = test(packet, sets, options);
    if (truth === false) return { truth, field };
    if (truth === undefined) unknown ??= field;
  }
  return unknown === undefined ? matched : { truth: undefined, field: unknown };
}

type Test = {
  readonly field: RuleField;
  readonly test: (packet: Packet, sets: SetLookup, options: MatchOptions) => Truth;
};

/** Rules never change, so what they ask for is made out once. */
const prepared = new WeakMap<Rule, readonly Test[]>();

function testsOf(rule: Rule): readonly Test[] {
  const known = prepared.get(rule);
  if (known !== undefined) return known;
  const tests = [
    ...protocolTests(rule),
    ...sideTests('source', rule.source),
    ...sideTests('destination', rule.destination),
    ...httpTests(rule),
  ];
  prepared.set(rule, tests);
  return tests;
}

function* protocolTests({ ipVersion, protocol, notProtocol, icmp, notIcmp }: Rule): Generator<Test> {
  if (ipVersion !== undefined)
    yield { field: 'ipVersion', test: (packet) => ipVersionOf(packet) === ipVersion };
  if (protocol !== undefined) yield { field: 'protocol', test: (packet) => packet.protocol === protocol };
  if (notProtocol !== undefined)
    yield { field: 'notProtocol', test: (packet) => packet.protocol !== notProtocol };
  if (!asksNothing(icmp)) yield { field: 'icmp', test: (packet) => isIcmp(packet, icmp) };
  if (!asksNothing(notIcmp)) yield { field: 'notICMP', test: (packet) => isOtherIcmp(packet, notIcmp) };
}

function* sideTests(side: 'source' | 'destination', match: SideMatch): Generator<Test> {
  const portField = side === 'source' ? 'sourcePort' : 'destinationPort';
  const { nets, notNets, sets: among, notSets, ports, portSets, notPorts, notPortSets, serviceSets } = match;
  const isAmong =
    (ranges: readonly PortRange[] = [], named: readonly SetId[] = []): Test['test'] =>
    (packet, sets) =>
      inPorts(ranges, named, sets, packet, packet[side], packet[portField]);
  if (ports !== undefined || portSets !== undefined)
    yield { field: `${side}.ports`, test: isAmong(ports, portSets) };
  if (notPorts !== undefined || notPortSets !== undefined) {
    const test = isAmong(notPorts, notPortSets);
    yield {
      field: `${side}.notPorts`,
      test: (packet, sets, options) => hasPorts(packet.protocol) && not(test(packet, sets, options)),
    };
  }
  if (nets !== undefined) yield { field: `${side}.nets`, test: (packet) => inNets(nets, packet[side]) };
  if (notNets !== undefined)
    yield { field: `${side}.notNets`, test: (packet) => outOfNets(notNets, packet, packet[side]) };
  if (among !== undefined)
    yield {
      field: `${side}.selector`,
      test: (packet, sets) => every(among, (id) => sets.hasAddress(id, packet[side])),
    };
  if (notSets !== undefined)
    yield {
      field: `${side}.notSelector`,
      test: (packet, sets) => every(notSets, (id) => not(sets.hasAddress(id, packet[side]))),
    };
  if (serviceSets !== undefined)
    yield {
      field: `${side}.services`,
      test: (packet, sets) =>
        every(serviceSets, (id) => inPorts([], [id], sets, packet, packet[side], packet[portField])),
    };
}

function* httpTests({ http }: Rule): Generator<Test> {
  if (http === undefined) return;
  yield {
    field: 'http',
    test: (packet, _sets, options) =>
      packet.http === undefined
        ? packet.protocol === tcp && (options.httpIsJudgedLater === true ? true : undefined)
        : matchesHttp(http, packet.http),
  };
}

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
