// A rule of a resource as a rule over address sets. Selectors, service accounts, named ports and services become sets;
// what the rule says about addresses and ports stays in it. What cannot be made out is written into `unresolved`.
import { parseNetwork, type Prefix } from '../../lib/ip/mod.ts';
import { parsePort, protocolNumber, type ParsedPort, type PolicyRule } from '../../model/mod.ts';
import { selectorOf, type Selector, type SelectorNode } from '../../selector/mod.ts';
import { namedPortSet, selectorSet, serviceSet } from '../sets.ts';
import type {
  Action,
  HttpMatch,
  IcmpMatch,
  PathMatch,
  PortRange,
  Rule,
  SetDefinition,
  SetId,
  SideMatch,
} from '../types.ts';
import {
  both,
  everything,
  inNamespaceNode,
  namespaceNode,
  readList,
  readObject,
  readSelector,
  serviceAccountNode,
  without,
  type Problems,
} from './selectors.ts';

type Entity = NonNullable<PolicyRule['source']>;

/** Collects the sets that rules use, each once. */
export type SetCollection = Map<SetId, SetDefinition>;

const actions: Readonly<Record<string, Action>> = { Allow: 'allow', Deny: 'deny', Log: 'log', Pass: 'pass' };

/** Compiles a rule of a policy in `namespace`, of a global policy or a profile when that is undefined. */
export function compileRule(rule: PolicyRule, namespace: string | undefined, sets: SetCollection): Rule {
  const problems: Problems = [];
  if (typeof rule !== 'object' || rule === null)
    return { action: 'deny', source: {}, destination: {}, unresolved: ['the rule is not an object'] };
  // An action of no known kind may have been meant to deny.
  const action = actions[rule.action] ?? 'deny';
  if (actions[rule.action] === undefined) problems.push(`action: "${rule.action}" is not known`);
  const protocol = protocolOf(rule.protocol, 'protocol', problems);
  const notProtocol = protocolOf(rule.notProtocol, 'notProtocol', problems);
  const context = { namespace, sets, protocol, problems };
  const source = compileSide(readObject(rule.source, 'source', problems), 'source', context);
  const destination = compileSide(
    readObject(rule.destination, 'destination', problems),
    'destination',
    context,
  );
  const http = httpOf(rule.http, problems);
  const annotations = rule.metadata?.annotations;
  return {
    action,
    ...ipVersionOf(rule.ipVersion, problems),
    ...(protocol === undefined ? {} : { protocol }),
    ...(notProtocol === undefined ? {} : { notProtocol }),
    ...icmpOf('icmp', rule.icmp, problems),
    ...icmpOf('notIcmp', rule.notICMP, problems),
    source,
    destination,
    ...(http === undefined ? {} : { http }),
    ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(problems.length === 0 ? {} : { unresolved: problems }),
  };
}

type Context = {
  readonly namespace: string | undefined;
  readonly sets: SetCollection;
  readonly protocol: number | undefined;
  readonly problems: Problems;
};

function compileSide(side: Entity, name: 'source' | 'destination', context: Context): SideMatch {
  const { problems } = context;
  const field = (key: keyof Entity): string => `${name}.${key}`;
  const { selected, notSelected } = peersOf(side, name, context);
  const ports = splitPorts(side.ports, field('ports'), problems);
  const notPorts = splitPorts(side.notPorts, field('notPorts'), problems);
  // A named port of endpoints that are selected is in the set of the port. Numbers leave the selector to be asked apart.
  const coversSelector = ports.names.length > 0 && ports.ranges.length === 0;
  const portSets = portSetIds(ports.names, selected, context);
  const notPortSets = portSetIds(notPorts.names, selected, context);
  const sets = selected === undefined || coversSelector ? [] : [add(context, selectorSet(selected))];
  const service = serviceOf(side.services, name, context);
  const match: { -readonly [K in keyof SideMatch]: SideMatch[K] } = {};
  const put = <K extends keyof SideMatch>(key: K, list: NonNullable<SideMatch[K]>): void => {
    if (list.length > 0) match[key] = list;
  };
  put('nets', networks(side.nets, field('nets'), problems));
  put('notNets', networks(side.notNets, field('notNets'), problems));
  put('sets', [...sets, ...service.addressSets]);
  put('notSets', notSelected === undefined ? [] : [add(context, selectorSet(notSelected))]);
  put('ports', ports.ranges);
  put('portSets', portSets);
  put('notPorts', notPorts.ranges);
  put('notPortSets', notPortSets);
  put('serviceSets', service.portSets);
  return match;
}

/** Which endpoints and network sets the side is about: one selector of all that is asked of labels, and what is left out
 *  where nothing else is asked. */
function peersOf(
  side: Entity,
  name: string,
  { namespace, problems }: Context,
): { readonly selected?: Selector; readonly notSelected?: Selector } {
  const own = readSelector(side.selector, `${name}.selector`, problems);
  const leftOut = readSelector(side.notSelector, `${name}.notSelector`, problems);
  const namespaces = readSelector(side.namespaceSelector, `${name}.namespaceSelector`, problems, true);
  const accounts = serviceAccountNode(side.serviceAccounts, `${name}.serviceAccounts`, problems);
  const labels = both(accounts, own);
  // In a namespaced policy any word about labels is about the policy's namespace, unless it names others (SR-173).
  const asks = labels !== undefined || leftOut !== undefined;
  const scope =
    namespaces !== undefined
      ? namespaceNode(namespaces)
      : namespace !== undefined && asks
        ? inNamespaceNode(namespace)
        : undefined;
  const selected = both(scope, labels);
  return selectors(selected, leftOut);
}

/** What is left out narrows what is selected. Alone it stands for everything else, strangers included. */
function selectors(
  selected: SelectorNode | undefined,
  leftOut: SelectorNode | undefined,
): { readonly selected?: Selector; readonly notSelected?: Selector } {
  if (selected === undefined) return leftOut === undefined ? {} : { notSelected: selectorOf(leftOut) };
  return { selected: selectorOf(leftOut === undefined ? selected : without(selected, leftOut)) };
}

const add = ({ sets }: Context, definition: SetDefinition): SetId => {
  sets.set(definition.id, definition);
  return definition.id;
};

const portSetIds = (
  names: readonly string[],
  selected: Selector | undefined,
  context: Context,
): readonly SetId[] =>
  names.map((port) => add(context, namedPortSet(selected ?? everything, port, context.protocol)));

const noPorts = { ranges: [], names: [] };

function splitPorts(
  ports: readonly (number | string)[] | undefined,
  field: string,
  problems: Problems,
): { readonly ranges: readonly PortRange[]; readonly names: readonly string[] } {
  if (ports === undefined) return noPorts;
  const parsed = readList(ports, field, problems).map((port): ParsedPort | undefined => {
    const value = parsePort(port);
    if (typeof value !== 'string') return value;
    problems.push(`${field}: "${String(port)}": ${value}`);
    return undefined;
  });
  return {
    ranges: parsed.flatMap((port) => (port?.kind === 'numbers' ? [{ first: port.from, last: port.to }] : [])),
    names: [...new Set(parsed.flatMap((port) => (port?.kind === 'name' ? [port.name] : [])))],
  };
}

function serviceOf(
  services: Entity['services'],
  side: 'source' | 'destination',
  context: Context,
): { readonly addressSets: readonly SetId[]; readonly portSets: readonly SetId[] } {
  const { name, namespace = context.namespace } = services ?? {};
  const none = { addressSets: [], portSets: [] };
  if (services === undefined || services === null) return none;
  if (!name || !namespace) {
    context.problems.push(`${side}.services: the service is not named in full`);
    return none;
  }
  const id = add(context, serviceSet(namespace, name, side === 'destination'));
  return side === 'destination' ? { ...none, portSets: [id] } : { ...none, addressSets: [id] };
}

function networks(
  texts: readonly string[] | undefined,
  field: string,
  problems: Problems,
): readonly Prefix[] {
  return readList(texts, field, problems).flatMap((text) => {
    const parsed = typeof text === 'string' ? parseNetwork(text) : undefined;
    if (parsed?.ok) return [parsed.value];
    problems.push(`${field}: "${text}" is not a network`);
    return [];
  });
}

function protocolOf(value: PolicyRule['protocol'], field: string, problems: Problems): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const number = protocolNumber(value);
  if (number === undefined) problems.push(`${field}: "${value}" is not known`);
  return number;
}

function ipVersionOf(value: PolicyRule['ipVersion'], problems: Problems): Pick<Rule, 'ipVersion'> {
  if (value === undefined || value === null) return {};
  if (value === 4 || value === 6) return { ipVersion: value };
  problems.push(`ipVersion: ${String(value)} is neither 4 nor 6`);
  return {};
}

function icmpOf(
  key: 'icmp' | 'notIcmp',
  match: PolicyRule['icmp'],
  problems: Problems,
): Partial<Record<typeof key, IcmpMatch>> {
  const { type, code } = readObject(match, key, problems);
  if (type === undefined && code === undefined) return {};
  if (type === undefined) problems.push(`${key === 'icmp' ? 'icmp' : 'notICMP'}.code: a code needs a type`);
  return { [key]: { ...(type === undefined ? {} : { type }), ...(code === undefined ? {} : { code }) } };
}

function httpOf(http: PolicyRule['http'], problems: Problems): HttpMatch | undefined {
  const read = readObject(http, 'http', problems);
  const methods = readList(read.methods, 'http.methods', problems);
  const paths = readList(read.paths, 'http.paths', problems).flatMap((path): readonly PathMatch[] => {
    const { exact, prefix } = readObject(path, 'http.paths', problems);
    if (exact) return [{ exact }];
    if (prefix) return [{ prefix }];
    problems.push('http.paths: a path is neither exact nor prefix');
    return [];
  });
  if (methods.length === 0 && paths.length === 0) return undefined;
  return { ...(methods.length === 0 ? {} : { methods }), ...(paths.length === 0 ? {} : { paths }) };
}
