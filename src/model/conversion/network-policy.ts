// Kubernetes' NetworkPolicy as a policy of Calico (RS-130…RS-134). A rule that cannot be converted is left out and
// reported: as its rules only allow, leaving one out denies.
import { parseInterfaceAddress, prefixOf } from '../../lib/ip/mod.ts';
import type { KubernetesNetworkPolicy, NetworkPolicy } from '../kinds/mod.ts';
import type { KubernetesPolicySpec } from '../kinds/kubernetes-policy.ts';
import type { PolicyRule } from '../kinds/policy-rule.ts';
import { formatPort, parsePort, simplifyPorts, type ParsedPort, type Port } from '../values/port.ts';
import { normaliseProtocol } from '../values/protocol.ts';
import { derivedMetadata } from './profile.ts';
import { namespaceSelectorText, podSelectorText } from './selector.ts';

type IngressRule = NonNullable<KubernetesPolicySpec['ingress']>[number];
type Peer = NonNullable<IngressRule['from']>[number];
type PolicyPort = NonNullable<IngressRule['ports']>[number];
export type Entity = NonNullable<PolicyRule['source']>;

/** Where Kubernetes' policies stand among others of their tier. */
const order = 1000;

/** The policy, why rules were left out of it, and what is odd about it without changing what it does. */
export function networkPolicyToCalico(policy: KubernetesNetworkPolicy): {
  readonly policy: NetworkPolicy;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
} {
  const { spec, metadata } = policy;
  const problems: string[] = [];
  const ingress = (spec.ingress ?? []).flatMap((rule, i) =>
    convertRule(rule.from, rule.ports, 'ingress', `spec.ingress[${i}]`, problems),
  );
  const egress = (spec.egress ?? []).flatMap((rule, i) =>
    convertRule(rule.to, rule.ports, 'egress', `spec.egress[${i}]`, problems),
  );
  const types = (['Ingress', 'Egress'] as const).filter((type) => spec.policyTypes?.includes(type));
  const isIdle = egress.length > 0 && !types.includes('Egress');
  return {
    policy: {
      apiVersion: 'projectcalico.org/v3',
      kind: 'NetworkPolicy',
      metadata: {
        ...derivedMetadata(metadata, metadata.name),
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      },
      spec: {
        order,
        selector: podSelectorText(spec.podSelector),
        // Without types the policy is of the time before egress existed.
        types: types.length > 0 ? types : ['Ingress'],
        ...(ingress.length > 0 ? { ingress } : {}),
        ...(egress.length > 0 ? { egress } : {}),
      },
    },
    problems,
    warnings: isIdle ? ['spec.egress has no effect: spec.policyTypes does not name Egress.'] : [],
  };
}

/** One rule for each protocol and peer; none when the ports cannot be converted. */
function convertRule(
  peers: readonly Peer[] | undefined,
  ports: readonly PolicyPort[] | undefined,
  direction: 'ingress' | 'egress',
  path: string,
  problems: string[],
): readonly PolicyRule[] {
  const byProtocol = portsByProtocol(ports ?? []);
  if (typeof byProtocol === 'string') {
    problems.push(`${path} is left out: ${byProtocol}.`);
    return [];
  }
  const entities = (peers?.length ? peers : [undefined]).flatMap((peer): Entity[] => {
    const entity = peer === undefined ? {} : peerToEntity(peer);
    if (typeof entity !== 'string') return [entity];
    problems.push(`${path}: a peer is left out: ${entity}.`);
    return [];
  });
  return byProtocol.flatMap(([protocol, portList]) =>
    entities.map((entity) => ruleOf(protocol, portList, entity, direction)),
  );
}

function ruleOf(
  protocol: string | number | undefined,
  ports: readonly Port[],
  entity: Entity,
  direction: 'ingress' | 'egress',
): PolicyRule {
  const withPorts = ports.length > 0 ? { ports } : {};
  const isEmpty = (side: Entity): boolean => Object.keys(side).length === 0;
  const source = direction === 'ingress' ? entity : {};
  const destination = direction === 'ingress' ? withPorts : { ...entity, ...withPorts };
  return {
    action: 'Allow',
    ...(protocol === undefined ? {} : { protocol }),
    ...(isEmpty(source) ? {} : { source }),
    ...(isEmpty(destination) ? {} : { destination }),
  };
}

type ProtocolPorts = readonly (readonly [string | number | undefined, readonly Port[]])[];

/** The ports joined under their protocols, in the order of these; no ports under a protocol means all. */
function portsByProtocol(ports: readonly PolicyPort[]): ProtocolPorts | string {
  if (ports.length === 0) return [[undefined, []]];
  const found = new Map<string, ParsedPort[] | 'all'>();
  for (const port of ports) {
    const protocol = String(normaliseProtocol(port.protocol ?? 'TCP'));
    const known = found.get(protocol) ?? [];
    if (port.port === undefined || port.port === null) {
      found.set(protocol, 'all');
      continue;
    }
    const text = (port.endPort ?? undefined) === undefined ? port.port : `${port.port}:${port.endPort}`;
    const parsed = parsePort(text);
    if (typeof parsed === 'string') return `port ${text}: ${parsed}`;
    if (known !== 'all') found.set(protocol, [...known, parsed]);
  }
  return [...found]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([protocol, list]) => [protocol, list === 'all' ? [] : simplifyPorts(list).map(formatPort)] as const,
    );
}

/** The peer as the side of a rule, or why it is none. */
export function peerToEntity(peer: Peer): Entity | string {
  if (peer.ipBlock === undefined || peer.ipBlock === null) {
    const namespaceSelector = namespaceSelectorText(peer.namespaceSelector);
    return {
      selector: podSelectorText(peer.podSelector),
      ...(namespaceSelector === '' ? {} : { namespaceSelector }),
    };
  }
  const nets = canonicalNetworks([peer.ipBlock.cidr]);
  const notNets = canonicalNetworks(peer.ipBlock.except ?? []);
  if (typeof nets === 'string') return nets;
  if (typeof notNets === 'string') return notNets;
  return { nets, ...(notNets.length > 0 ? { notNets } : {}) };
}

export function canonicalNetworks(cidrs: readonly string[]): readonly string[] | string {
  const networks: string[] = [];
  for (const cidr of cidrs) {
    const parsed = parseInterfaceAddress(cidr);
    if (!parsed.ok) return `"${cidr}" is not a CIDR`;
    networks.push(prefixOf(parsed.value.address, parsed.value.length));
  }
  return networks;
}
