// Endpoints and network sets with the labels they have in the end.
import { parseNetwork, prefixAddress, type Address, type Prefix } from '../../lib/ip/mod.ts';
import {
  calicoLabels,
  namespaceProfileName,
  protocolNumber,
  type GlobalNetworkSet,
  type HostEndpoint,
  type NetworkSet,
  type WorkloadEndpoint,
} from '../../model/mod.ts';
import type { LabelLookup, Labels } from '../../selector/mod.ts';
import type { CompiledProfile } from '../compile/profile.ts';
import type { Endpoint, EndpointPort, LabelledNets } from './types.ts';

export type Profiles = ReadonlyMap<string, CompiledProfile>;

/** Own labels first, then those that the profiles give, in their order. */
export function effectiveLabels(own: Labels, profiles: readonly string[], known: Profiles): LabelLookup {
  const layers: readonly Labels[] = [own, ...profiles.map((name) => known.get(name)?.labels ?? {})];
  return (label) => layers.find((layer) => Object.hasOwn(layer, label))?.[label];
}

export function workloadOf({ metadata, spec }: WorkloadEndpoint, known: Profiles): Endpoint {
  const profiles = spec.profiles ?? [];
  const { namespace } = metadata;
  const own = {
    ...metadata.labels,
    ...(namespace === undefined ? {} : { [calicoLabels.namespace]: namespace }),
    ...(spec.orchestrator ? { [calicoLabels.orchestrator]: spec.orchestrator } : {}),
  };
  return {
    kind: 'workload',
    name: metadata.name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(spec.pod ? { pod: spec.pod } : {}),
    node: spec.node ?? '',
    interfaceName: spec.interfaceName ?? '',
    addresses: addressesOf(spec.ipNetworks),
    ports: portsOf(spec.ports),
    profiles,
    label: effectiveLabels(own, profiles, known),
    foreignSources: networksOf(spec.allowSpoofedSourcePrefixes),
    ...(spec.qosControls === undefined ? {} : { limits: spec.qosControls }),
  };
}

export function hostEndpointOf({ metadata, spec }: HostEndpoint, known: Profiles): Endpoint {
  const profiles = spec.profiles ?? [];
  return {
    kind: 'host',
    name: metadata.name,
    node: spec.node ?? '',
    interfaceName: spec.interfaceName ?? '',
    addresses: addressesOf(spec.expectedIPs),
    ports: portsOf(spec.ports),
    profiles,
    label: effectiveLabels(metadata.labels ?? {}, profiles, known),
    foreignSources: [],
  };
}

/** A NetworkSet has its namespace's labels, a GlobalNetworkSet only its own. */
export function networkSetOf(set: NetworkSet | GlobalNetworkSet, known: Profiles): LabelledNets {
  const { namespace, labels = {} } = set.metadata;
  const nets = networksOf(set.spec?.nets);
  if (set.kind === 'GlobalNetworkSet' || namespace === undefined)
    return { label: effectiveLabels(labels, [], known), nets };
  const own = { ...labels, [calicoLabels.namespace]: namespace };
  return { label: effectiveLabels(own, [namespaceProfileName(namespace)], known), nets };
}

export const networksOf = (texts: readonly string[] | undefined): readonly Prefix[] =>
  (texts ?? []).flatMap((text) => {
    const parsed = parseNetwork(text);
    return parsed.ok ? [parsed.value] : [];
  });

export const addressesOf = (texts: readonly string[] | undefined): readonly Address[] =>
  networksOf(texts).map(prefixAddress);

type PortResource = {
  readonly name?: string;
  readonly protocol: number | string;
  readonly port: number;
};

const portsOf = (ports: readonly PortResource[] | undefined): readonly EndpointPort[] =>
  (ports ?? []).flatMap(({ name, protocol, port }) => {
    const number = protocolNumber(protocol);
    return name === undefined || number === undefined ? [] : [{ name, protocol: number, port }];
  });
