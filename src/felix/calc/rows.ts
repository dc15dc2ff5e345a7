// What one object asks for: the pure rules from a resource to rows. graph.ts applies them to what changed; the slow model
// of the tests applies them to everything.
import {
  containsPrefix,
  familyOf,
  hostPrefix,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
  type Address,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import {
  type BGPConfiguration,
  type FelixConfiguration,
  type BlockAffinity,
  type IPPool,
  type Node,
  type WorkloadEndpoint,
} from '../../model/mod.ts';
import { matches, parseSelector, type Labels } from '../../selector/mod.ts';
import { configFromResource, type ConfigInputs, type FelixConfig } from './configuration.ts';
import type { Contribution } from './contributions.ts';
import type {
  CalcOptions,
  FloatingRow,
  InterfaceRow,
  NatRow,
  NodeRow,
  RouteRow,
  ServiceLoopRow,
  SetMemberRow,
} from './types.ts';
import type { PortRange } from './parameter-types.ts';

const prefixes = (texts: readonly string[] | undefined): Prefix[] =>
  (texts ?? []).flatMap((text) => {
    const parsed = parsePrefix(text);
    return parsed.ok ? [parsed.value] : [];
  });

const allowed = (config: FelixConfig, family: Family): boolean =>
  family === 4 || config.boolean('Ipv6Support');

/** Later created wins an address both ask for; news of the node itself are later than anything watched. */
const endpointRank = (endpoint: WorkloadEndpoint, key: string, overlaid: boolean): string =>
  `9 endpoint ${overlaid ? '1' : '0'} ${endpoint.metadata.creationTimestamp ?? ''} ${key}`;

export function endpointRoutes(
  config: FelixConfig,
  key: string,
  endpoint: WorkloadEndpoint,
  overlaid: boolean,
): Contribution<RouteRow>[] {
  const { interfaceName } = endpoint.spec;
  if (interfaceName === undefined) return [];
  const rank = endpointRank(endpoint, key, overlaid);
  const floating = floatingPairs(config, endpoint).map(({ external }) => hostPrefix(external));
  return [...new Set([...prefixes(endpoint.spec.ipNetworks), ...floating])]
    .filter((dst) => allowed(config, prefixFamily(dst)))
    .map((dst) => {
      const family = prefixFamily(dst);
      const source = config.text(
        family === 4 ? 'DeviceRouteSourceAddress' : 'DeviceRouteSourceAddressIPv6',
      ) as Address | '';
      return {
        rank,
        row: {
          dst,
          target: { type: 'endpoint' as const, interfaceName, ...(source === '' ? {} : { source }) },
          priority: config.number(family === 4 ? 'IPv4NormalRoutePriority' : 'IPv6NormalRoutePriority'),
          protocol: config.number('DeviceRouteProtocol'),
        },
      };
    });
}

/** Floating addresses with the own one each stands for, while they are wanted. */
function floatingPairs(config: FelixConfig, { spec }: WorkloadEndpoint): readonly FloatingRow[] {
  if (config.text('FloatingIPs') !== 'Enabled') return [];
  const own = new Set(prefixes(spec.ipNetworks).map(prefixAddress));
  return (spec.ipNATs ?? []).flatMap(({ internalIP, externalIP }): readonly FloatingRow[] => {
    const internal = parseAddress(internalIP);
    const external = parseAddress(externalIP);
    if (!internal.ok || !external.ok || !own.has(internal.value)) return [];
    const family = familyOf(external.value);
    if (family !== familyOf(internal.value) || !allowed(config, family)) return [];
    return [{ family, external: external.value, internal: internal.value }];
  });
}

export function endpointFloating(
  config: FelixConfig,
  key: string,
  endpoint: WorkloadEndpoint,
  overlaid: boolean,
): Contribution<FloatingRow>[] {
  const rank = endpointRank(endpoint, key, overlaid);
  return floatingPairs(config, endpoint).map((row) => ({ rank, row }));
}

/** Ranges that BGP announces as services', and services' addresses that are answered for. */
export function serviceLoops(
  config: FelixConfig,
  bgp: BGPConfiguration | undefined,
  /** Services' addresses that nodes answer for. */
  answered: readonly Prefix[],
): readonly ServiceLoopRow[] {
  const action = config.text('ServiceLoopPrevention').toLowerCase();
  if (action !== 'drop' && action !== 'reject') return [];
  const { serviceClusterIPs = [], serviceExternalIPs = [], serviceLoadBalancerIPs = [] } = bgp?.spec ?? {};
  const all = [...serviceClusterIPs, ...serviceExternalIPs, ...serviceLoadBalancerIPs];
  const ranges = outermost([...prefixes(all.map(({ cidr }) => cidr)), ...answered]);
  return ([4, 6] as const).flatMap((family): readonly ServiceLoopRow[] => {
    const own = ranges.filter((range) => prefixFamily(range) === family).toSorted();
    return own.length === 0 || !allowed(config, family) ? [] : [{ family, action, ranges: own }];
  });
}

export function endpointInterface(
  config: FelixConfig,
  key: string,
  endpoint: WorkloadEndpoint,
  overlaid: boolean,
): Contribution<InterfaceRow>[] {
  const { interfaceName, ipNetworks } = endpoint.spec;
  if (interfaceName === undefined || (ipNetworks ?? []).length === 0) return [];
  const mayForge =
    config.text('WorkloadSourceSpoofing') === 'Any' &&
    Boolean(endpoint.spec.allowSpoofedSourcePrefixes?.length);
  const row: InterfaceRow = {
    interfaceName,
    ipv6: config.boolean('Ipv6Support'),
    ...(mayForge ? { foreignSources: true } : {}),
  };
  return [{ rank: endpointRank(endpoint, key, overlaid), row }];
}

/** A blackhole for an own block, so that its unused addresses do not loop (FX-076). */
export function blockRoutes(
  config: FelixConfig,
  options: CalcOptions,
  name: string,
  affinity: BlockAffinity,
): Contribution<RouteRow>[] {
  const { spec } = affinity;
  if (spec.node !== options.nodeName || spec.deleted === true || (spec.type ?? 'host') !== 'host') return [];
  if (spec.state !== 'confirmed' && spec.state !== '') return [];
  return prefixes([spec.cidr])
    .filter(
      (dst) => prefixLength(dst) < (prefixFamily(dst) === 4 ? 32 : 128) && allowed(config, prefixFamily(dst)),
    )
    .map((dst) => ({
      rank: `1 blackhole ${name}`,
      row: {
        dst,
        target: { type: 'blackhole' as const },
        priority: prefixFamily(dst) === 4 ? 0 : 1024,
        protocol: blackholeProtocolOf(options),
      },
    }));
}

export const blackholeProtocolOf = (options: CalcOptions): number => options.blackholeProtocol ?? 80;

/** The members of both pool sets. A pool inside another one adds nothing: sets of intervals must not overlap. */
export function poolMembers(config: FelixConfig, pools: Iterable<IPPool>): SetMemberRow[] {
  const all: Prefix[] = [];
  const masqueraded: Prefix[] = [];
  for (const pool of pools) {
    const [cidr] = prefixes([pool.spec.cidr]);
    if (cidr === undefined || !allowed(config, prefixFamily(cidr))) continue;
    all.push(cidr);
    if (pool.spec.natOutgoing === true) masqueraded.push(cidr);
  }
  const rows = (set: SetMemberRow['set'], cidrs: readonly Prefix[]): SetMemberRow[] =>
    outermost(cidrs).map((prefix) => ({ set, family: prefixFamily(prefix), prefix }));
  return [...rows('all-pools', all), ...rows('masq-pools', masqueraded)];
}

/** The prefixes that lie in no other one of the list. */
export const outermost = (list: readonly Prefix[]): Prefix[] =>
  [...new Set(list)].filter((p) => !list.some((q) => q !== p && containsPrefix(q, p)));

/** The addresses of a node, for NATOutgoingExclusions=IPPoolsAndHostIPs. */
export function hostMembers(config: FelixConfig, node: Node): SetMemberRow[] {
  return nodeAddresses(node)
    .filter((a) => allowed(config, a.includes(':') ? 6 : 4))
    .map((a) => {
      const prefix = hostPrefix(a);
      return { set: 'all-hosts' as const, family: prefixFamily(prefix), prefix };
    });
}

/** Without the networks' lengths. */
export function nodeAddresses(node: Node): Address[] {
  const texts = [
    node.spec.bgp?.ipv4Address,
    node.spec.bgp?.ipv6Address,
    ...(node.spec.addresses ?? []).map((a) => a.address),
  ];
  const out = new Set<Address>();
  for (const text of texts) {
    if (text === undefined || text === '') continue;
    const withLength = text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
    const parsed = parseInterfaceAddress(withLength);
    if (parsed.ok) out.add(parsed.value.address);
  }
  return [...out];
}

export function natRows(config: FelixConfig, members: readonly SetMemberRow[]): NatRow[] {
  const families: readonly Family[] = config.boolean('Ipv6Support') ? [4, 6] : [4];
  const ports = config.value('NATPortRange') as PortRange | null;
  const toAddress = config.text('NATOutgoingAddress') as Address | '';
  const outInterface = config.text('IptablesNATOutgoingInterfaceFilter');
  return families.map((family) => ({
    family,
    enabled: members.some((m) => m.set === 'masq-pools' && m.family === family),
    excludeHosts: config.text('NATOutgoingExclusions') === 'IPPoolsAndHostIPs',
    ...(toAddress !== '' && family === 4 ? { toAddress } : {}),
    ...(ports === null ? {} : { ports: { first: ports.first, last: ports.last } }),
    ...(outInterface === '' ? {} : { outInterface }),
  }));
}

export const nodeRow = (config: FelixConfig, options: CalcOptions): NodeRow => ({
  ipForwarding: config.text('IPForwarding') === 'Enabled',
  ipv6: config.boolean('Ipv6Support'),
  interfacePrefixes: config
    .text('InterfacePrefix')
    .split(',')
    .filter((prefix) => prefix !== ''),
  removeExternalRoutes: config.boolean('RemoveExternalRoutes'),
  deviceRouteProtocol: config.number('DeviceRouteProtocol'),
  blackholeProtocol: blackholeProtocolOf(options),
});

/** The layers of configuration that resources give to this node. */
export function configInputs(
  configurations: Iterable<FelixConfiguration>,
  labels: Labels | undefined,
  options: CalcOptions,
): ConfigInputs {
  let global: Record<string, string> | undefined;
  let node: Record<string, string> | undefined;
  const selected: { name: string; texts: Record<string, string> }[] = [];
  for (const resource of configurations) {
    const { name } = resource.metadata;
    if (name === 'default') global = configFromResource(resource);
    else if (name === `node.${options.nodeName}`) node = configFromResource(resource);
    else if (!name.startsWith('node.') && selects(resource.spec.nodeSelector, labels)) {
      selected.push({ name, texts: configFromResource(resource) });
    }
  }
  selected.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    ...(global === undefined ? {} : { global }),
    selector: selected.map((entry) => entry.texts),
    ...(node === undefined ? {} : { node }),
    ...(options.file === undefined ? {} : { file: options.file }),
    ...(options.environment === undefined ? {} : { environment: options.environment }),
  };
}

/** A configuration without a selector, or with a bad one, applies to nobody. */
function selects(text: string | undefined, labels: Labels | undefined): boolean {
  if (text === undefined || text === '' || labels === undefined) return false;
  const parsed = parseSelector(text);
  return parsed.ok && matches(parsed.value, labels);
}
