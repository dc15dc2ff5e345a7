// What the index of addresses and the choice of policies take from resources. Resources themselves are not kept: a cluster
// has a hundred thousand endpoints, of which a node needs labels, addresses and named ports.
import { parseNetwork, prefixAddress, type Address, type Prefix } from '../../../lib/ip/mod.ts';
import {
  calicoLabels,
  namespaceProfileName,
  protocolNumber,
  type EndpointSlice,
  type GlobalNetworkSet,
  type HostEndpoint,
  type NetworkSet,
  type WorkloadEndpoint,
} from '../../../model/mod.ts';
import { memberText, type SetDefinition } from '../../../policy/mod.ts';
import type { Labels } from '../../../selector/mod.ts';

export type NamedPort = { readonly name: string; readonly protocol: number; readonly port: number };
/** Something with labels and addresses: an endpoint anywhere, or a network set. */
export type Addressed = {
  readonly labels: Labels;
  /** Profiles whose labels it inherits, first come first. */
  readonly profiles: readonly string[];
  readonly prefixes: readonly Prefix[];
  readonly ports: readonly NamedPort[];
};

const nothing: readonly never[] = Object.freeze([]);
const noLabels: Labels = Object.freeze({});

export const networks = (texts: readonly string[] | undefined): readonly Prefix[] =>
  texts === undefined || texts === null
    ? nothing
    : [
        ...new Set(
          texts.flatMap((text) => {
            const parsed = parseNetwork(text);
            return parsed.ok ? [parsed.value] : [];
          }),
        ),
      ];

type Port = { readonly name?: string; readonly protocol: number | string; readonly port: number };
function namedPorts(ports: readonly Port[] | undefined): readonly NamedPort[] {
  if (!ports?.length) return nothing;
  return ports.flatMap(({ name, protocol, port }) => {
    const number = protocolNumber(protocol);
    return name && number !== undefined ? [{ name, protocol: number, port }] : [];
  });
}

/** What an endpoint is in is not for its labels to say. The view of a pod says it already. */
export function workloadLabels({ metadata, spec }: WorkloadEndpoint): Labels {
  const own = metadata.labels ?? noLabels;
  const { namespace } = metadata;
  const { orchestrator } = spec;
  const isNamed = namespace === undefined || own[calicoLabels.namespace] === namespace;
  if (isNamed && (!orchestrator || own[calicoLabels.orchestrator] === orchestrator)) return own;
  return {
    ...own,
    ...(namespace === undefined ? {} : { [calicoLabels.namespace]: namespace }),
    ...(orchestrator ? { [calicoLabels.orchestrator]: orchestrator } : {}),
  };
}

export const workloadFacts = (endpoint: WorkloadEndpoint): Addressed => {
  const { spec } = endpoint;
  return {
    labels: workloadLabels(endpoint),
    profiles: spec.profiles ?? nothing,
    prefixes: networks(spec.ipNetworks),
    ports: namedPorts(spec.ports),
  };
};

export const hostFacts = ({ metadata, spec }: HostEndpoint): Addressed => ({
  labels: metadata.labels ?? noLabels,
  profiles: spec.profiles ?? nothing,
  prefixes: networks(spec.expectedIPs),
  ports: namedPorts(spec.ports),
});

/** A set in a namespace has the namespace's labels (RS-150). */
export function networkSetFacts({ metadata, spec }: NetworkSet | GlobalNetworkSet): Addressed {
  const { namespace } = metadata;
  const own = metadata.labels ?? noLabels;
  return {
    labels: namespace === undefined ? own : { ...own, [calicoLabels.namespace]: namespace },
    profiles: namespace === undefined ? nothing : [namespaceProfileName(namespace)],
    prefixes: networks(spec?.nets),
    ports: nothing,
  };
}

/** Addresses of the endpoint that are in the set, if the set's selector selects it. */
export function membersOf(set: SetDefinition, item: Addressed): readonly string[] {
  if (set.kind !== 'named-port') return set.kind === 'selector' ? item.prefixes : nothing;
  const members = new Set<string>();
  for (const { name, protocol, port } of item.ports)
    if (name === set.port && (set.protocol === undefined || set.protocol === protocol))
      for (const prefix of item.prefixes)
        members.add(memberText({ address: prefixAddress(prefix), protocol, port }));
  return [...members];
}

/** Part of a service's endpoints. */
export type ServicePart = {
  readonly service: string;
  readonly addresses: readonly Address[];
  readonly ports: readonly { readonly protocol: number; readonly port: number }[];
};

/** Undefined for a slice of no service. */
export function servicePart({ metadata, endpoints, ports }: EndpointSlice): ServicePart | undefined {
  const name = metadata.labels?.['kubernetes.io/service-name'];
  if (!name) return undefined;
  const addresses = networks((endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? [])).map(
    prefixAddress,
  );
  return {
    service: `${metadata.namespace ?? ''}/${name}`,
    addresses,
    ports: (ports ?? []).flatMap(({ protocol, port }) => {
      const number = protocolNumber(protocol ?? 'TCP');
      return port === undefined || port === null || number === undefined ? [] : [{ protocol: number, port }];
    }),
  };
}

export function serviceMembers(part: ServicePart, withPorts: boolean): readonly string[] {
  const { addresses, ports } = part;
  if (!withPorts) return networks(addresses);
  return [...new Set(ports.flatMap((port) => addresses.map((address) => memberText({ address, ...port }))))];
}
