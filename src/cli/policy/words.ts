// Rules in words: what a compiled rule asks of a packet.
import { protocolNames, protocolNumber } from '../../model/mod.ts';
import type { Action, PortRange, Rule, SetDefinition, SetId, SideMatch } from '../../policy/mod.ts';

export type Definitions = ReadonlyMap<SetId, SetDefinition>;

/** `allow TCP from app == "web" to ports 80,443`; in the order in which people say it. */
export function ruleWords(rule: Rule, definitions: Definitions): string {
  const { action, protocol, notProtocol, ipVersion, icmp, notIcmp, http, unresolved } = rule;
  const from = sideWords(rule.source, definitions);
  const to = sideWords(rule.destination, definitions);
  return [
    action satisfies Action,
    ipVersion === undefined ? '' : `IPv${ipVersion}`,
    protocol === undefined ? '' : protocolWord(protocol),
    notProtocol === undefined ? '' : `not ${protocolWord(notProtocol)}`,
    icmp === undefined ? '' : icmpWords(icmp),
    notIcmp === undefined ? '' : `not ${icmpWords(notIcmp)}`,
    from === '' ? '' : `from ${from}`,
    to === '' ? '' : `to ${to}`,
    http === undefined
      ? ''
      : `HTTP ${[http.methods?.join(',') ?? '', pathWords(http.paths)].join(' ').trim()}`,
    unresolved === undefined ? '' : `(cannot be resolved: ${unresolved.join('; ')})`,
  ]
    .filter((word) => word !== '')
    .join(' ');
}

const protocolWord = (number: number): string => {
  const name = protocolNames.find((one) => protocolNumber(one) === number);
  return name ?? `protocol ${number}`;
};
const icmpWords = ({ type, code }: NonNullable<Rule['icmp']>): string =>
  `ICMP type ${type ?? 'any'}${code === undefined ? '' : ` code ${code}`}`;
const pathWords = (paths: NonNullable<Rule['http']>['paths']): string =>
  (paths ?? []).map((path) => ('exact' in path ? path.exact : `${path.prefix}*`)).join(',');

function sideWords(side: SideMatch, definitions: Definitions): string {
  const sets = (ids: readonly SetId[] | undefined, not: string) =>
    (ids ?? []).map((id) => `${not}${setWords(id, definitions)}`);
  const ports = [
    ...(side.ports ?? []).map(rangeText),
    ...(side.portSets ?? []).map((id) => portName(id, definitions)),
  ];
  const notPorts = [
    ...(side.notPorts ?? []).map(rangeText),
    ...(side.notPortSets ?? []).map((id) => portName(id, definitions)),
  ];
  return [
    ...sets(side.sets, ''),
    ...sets(side.notSets, 'not '),
    ...sets(side.serviceSets, ''),
    side.nets === undefined ? '' : side.nets.join(','),
    side.notNets === undefined ? '' : `not ${side.notNets.join(',')}`,
    ports.length === 0 ? '' : `port ${ports.join(',')}`,
    notPorts.length === 0 ? '' : `not port ${notPorts.join(',')}`,
  ]
    .filter((word) => word !== '')
    .join(' ');
}

const rangeText = ({ first, last }: PortRange): string =>
  first === last ? String(first) : `${first}-${last}`;

function setWords(id: SetId, definitions: Definitions): string {
  const definition = definitions.get(id);
  if (definition === undefined) return id;
  if (definition.kind === 'service') return `service ${definition.namespace}/${definition.name}`;
  return `[${selectorWords(definition.selector.text)}]`;
}

const portName = (id: SetId, definitions: Definitions): string => {
  const definition = definitions.get(id);
  return definition?.kind === 'named-port' ? definition.port : id;
};

/** A selector with the names of labels as policies write them. */
export const selectorWords = (text: string): string =>
  text
    .replaceAll('projectcalico.org/orchestrator == "k8s" && ', '')
    .replaceAll('projectcalico.org/namespace ==', 'namespace ==')
    .replaceAll('has(projectcalico.org/namespace)', 'any namespace')
    .replaceAll(/\bpcns\./g, 'namespace label ')
    .replaceAll(/\bpcsa\./g, 'service account label ')
    .replaceAll(/\((\w+ == "[^"]*")\)/g, '$1')
    .replace(/^\((.*)\)$/, '$1');
