// Kubernetes' ClusterNetworkPolicy as a global policy of Calico (RS-135). A rule that cannot be converted is reported; if
// it denied or passed, everything is denied in its place, for what it would have let through is not known.
import type { ClusterNetworkPolicy, GlobalNetworkPolicy } from '../kinds/mod.ts';
import type { PolicyRule } from '../kinds/policy-rule.ts';
import { formatPort, parsePort, simplifyPorts, type ParsedPort, type Port } from '../values/port.ts';
import { canonicalNetworks, type Entity } from './network-policy.ts';
import { derivedMetadata } from './profile.ts';
import { namespaceSelectorText, podSelectorText } from './selector.ts';

type Spec = ClusterNetworkPolicy['spec'];
type EgressRule = NonNullable<Spec['egress']>[number];
type Peer = NonNullable<EgressRule['to']>[number];
type Protocol = NonNullable<EgressRule['protocols']>[number];
type Direction = 'ingress' | 'egress';
type Action = PolicyRule['action'];

const actions: Readonly<Record<string, Action>> = { Accept: 'Allow', Deny: 'Deny', Pass: 'Pass' };
const tiers: Readonly<Record<string, string>> = { Admin: 'kube-admin', Baseline: 'kube-baseline' };
/** Annotation of a rule with the name it had. */
const ruleNameKey = 'name';

/** The policy, absent when it is for nothing, and what could not be converted. */
export function clusterNetworkPolicyToCalico(policy: ClusterNetworkPolicy): {
  readonly policy?: GlobalNetworkPolicy;
  readonly problems: readonly string[];
} {
  const { spec, metadata } = policy;
  const { namespaces, pods } = spec.subject;
  if (!namespaces && !pods) return { problems: [] };
  const problems: string[] = [];
  const convert = (direction: Direction): readonly PolicyRule[] =>
    (direction === 'ingress' ? (spec.ingress ?? []) : (spec.egress ?? [])).flatMap((rule, i) => {
      const peers = 'from' in rule ? rule.from : 'to' in rule ? rule.to : undefined;
      const converted = convertRule(
        rule.name,
        rule.action,
        rule.protocols,
        peers as readonly Peer[],
        direction,
      );
      if (typeof converted !== 'string') return converted;
      problems.push(`spec.${direction}[${i}] cannot be converted: ${converted}.`);
      return rule.action === 'Accept' ? [] : [{ action: 'Deny' as const }];
    });
  const ingress = convert('ingress');
  const egress = convert('egress');
  const types = [
    ...(ingress.length > 0 ? (['Ingress'] as const) : []),
    ...(egress.length > 0 ? (['Egress'] as const) : []),
  ];
  return {
    policy: {
      apiVersion: 'projectcalico.org/v3',
      kind: 'GlobalNetworkPolicy',
      metadata: derivedMetadata(metadata, metadata.name),
      spec: {
        tier: tiers[spec.tier] ?? '',
        order: spec.priority ?? 0,
        selector: podSelectorText(namespaces ? undefined : pods?.podSelector),
        namespaceSelector: namespaceSelectorText(namespaces ?? pods?.namespaceSelector ?? {}),
        types,
        ...(ingress.length > 0 ? { ingress } : {}),
        ...(egress.length > 0 ? { egress } : {}),
      },
    },
    problems,
  };
}

/** One rule for each protocol and peer, or why there is none. */
function convertRule(
  name: string | undefined,
  actionWord: string,
  protocols: readonly Protocol[] | undefined,
  peers: readonly Peer[] | undefined,
  direction: Direction,
): readonly PolicyRule[] | string {
  const action = actions[actionWord];
  if (action === undefined) return `the action ${actionWord} is unknown`;
  const byProtocol = portsByProtocol(protocols ?? []);
  if (typeof byProtocol === 'string') return byProtocol;
  const entities: Entity[] = [];
  for (const peer of peers ?? []) {
    const entity = peerToEntity(peer, direction);
    if (typeof entity === 'string') return entity;
    entities.push(entity);
  }
  const metadata = name ? { metadata: { annotations: { [ruleNameKey]: name } } } : {};
  return byProtocol.flatMap(([protocol, ports]) =>
    entities.map((entity): PolicyRule => {
      const withPorts = ports.length > 0 ? { ports } : {};
      const sides =
        direction === 'ingress'
          ? { source: entity, ...(ports.length > 0 ? { destination: withPorts } : {}) }
          : { destination: { ...entity, ...withPorts } };
      return { action, ...(protocol === '' ? {} : { protocol }), ...sides, ...metadata };
    }),
  );
}

function peerToEntity(peer: Peer, direction: Direction): Entity | string {
  const { namespaces, pods, networks } = peer;
  if (direction === 'egress' && networks?.length) {
    const nets = canonicalNetworks(networks);
    return typeof nets === 'string' ? nets : { nets };
  }
  if (pods)
    return {
      selector: podSelectorText(pods.podSelector),
      namespaceSelector: namespaceSelectorText(pods.namespaceSelector ?? {}),
    };
  return namespaces ? { namespaceSelector: namespaceSelectorText(namespaces) } : 'a peer is of no known kind';
}

/** Ports under their protocols; under '' are named ports, which bring their own protocol, or nothing for all traffic. */
function portsByProtocol(
  protocols: readonly Protocol[],
): readonly (readonly [string, readonly Port[]])[] | string {
  const found = new Map<string, (ParsedPort | 'all')[]>();
  for (const entry of protocols) {
    const match = matchOf(entry);
    if (typeof match === 'string') return match;
    if (match === undefined) return [['', []]];
    found.set(match.protocol, [...(found.get(match.protocol) ?? []), match.port]);
  }
  if (found.size === 0) return [['', []]];
  return [...found]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([protocol, ports]) => {
      const single = ports.filter((port) => port !== 'all');
      return [protocol, single.length < ports.length ? [] : simplifyPorts(single).map(formatPort)] as const;
    });
}

/** What the entry matches; undefined when it matches everything. */
function matchOf(entry: Protocol): { protocol: string; port: ParsedPort | 'all' } | undefined | string {
  for (const [field, protocol] of [
    ['tcp', 'TCP'],
    ['udp', 'UDP'],
    ['sctp', 'SCTP'],
  ] as const) {
    const port = entry[field]?.destinationPort;
    if (!entry[field]) continue;
    const text = port?.number || (port?.range && `${port.range.start}:${port.range.end}`);
    if (!text) return { protocol, port: 'all' };
    const parsed = parsePort(text);
    return typeof parsed === 'string' ? `port ${text}: ${parsed}` : { protocol, port: parsed };
  }
  const name = entry.destinationNamedPort;
  return name ? { protocol: '', port: { kind: 'name', name } } : undefined;
}
