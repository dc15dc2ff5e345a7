// Which service prefixes this node originates (BG-050 to BG-055): whole ranges from every node, single addresses where a
// range is one address, where the traffic policy is Local and an endpoint runs here, or where aggregation is off.
import {
  hostPrefix,
  isSingleAddress,
  parseAddress,
  prefixFamily,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { isInside, unique, type ServiceRanges } from './policies.ts';
import type { EndpointSliceInput, NodeInput, PlanInput, ServiceInput } from './types.ts';

export const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';

export function servicePrefixes(
  input: PlanInput,
  ranges: ServiceRanges,
  family: Family,
  options: { readonly loadBalancerAggregation: boolean },
): Prefix[] {
  const node = input.nodes.find((n) => n.metadata.name === input.nodeName);
  if (isExcluded(node)) return [];
  const aggregated = (list: readonly Prefix[]): Prefix[] => list.filter((p) => !isSingleAddress(p));
  const whole = [
    ...ranges.cluster,
    ...aggregated(ranges.external),
    ...(options.loadBalancerAggregation ? aggregated(ranges.loadBalancer) : []),
  ];
  const slices = slicesByService(input);
  const single = (input.services ?? []).flatMap((service) =>
    servicesOwn(service, slices.get(keyOf(service.metadata)) ?? [], input.nodeName, ranges, family, options),
  );
  return unique([...whole, ...single]);
}

export const isExcluded = (node: NodeInput | undefined): boolean =>
  node?.metadata.labels !== undefined && excludeLabel in node.metadata.labels;

function servicesOwn(
  service: ServiceInput,
  slices: readonly EndpointSliceInput[],
  nodeName: string,
  ranges: ServiceRanges,
  family: Family,
  { loadBalancerAggregation }: { readonly loadBalancerAggregation: boolean },
): Prefix[] {
  const { spec } = service;
  if (spec === undefined || spec.clusterIP === 'None' || spec.type === 'ExternalName') return [];
  const addresses = serviceAddresses(service, family);
  const mine = slices.filter((s) => s.addressType === (family === 4 ? 'IPv4' : 'IPv6'));
  const isLocal = spec.externalTrafficPolicy === 'Local';
  const hasLocal = hasReadyEndpoint(mine, nodeName);
  const result: Prefix[] = [];
  const isReachable = isLocal ? hasLocal : undefined;
  if (isReachable === true) result.push(...addresses.cluster.filter((p) => isInside(ranges.cluster, p)));
  for (const p of addresses.external.filter((p) => isInside(ranges.external, p))) {
    if (isReachable ?? ranges.external.includes(p)) result.push(p);
  }
  for (const p of addresses.loadBalancer.filter((p) => isInside(ranges.loadBalancer, p))) {
    const perService =
      ranges.loadBalancer.includes(p) || (!loadBalancerAggregation && hasReadyEndpoint(mine));
    if (isReachable ?? perService) result.push(p);
  }
  return result;
}

function serviceAddresses(
  { spec, status }: ServiceInput,
  family: Family,
): { readonly cluster: Prefix[]; readonly external: Prefix[]; readonly loadBalancer: Prefix[] } {
  const hosts = (list: readonly (string | undefined)[]): Prefix[] =>
    unique(
      list.flatMap((text) => {
        const parsed = parseAddress(text ?? '');
        const p = parsed.ok ? hostPrefix(parsed.value) : undefined;
        return p !== undefined && prefixFamily(p) === family ? [p] : [];
      }),
    );
  const ingress = spec?.type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []) : [];
  return {
    cluster: hosts([spec?.clusterIP, ...(spec?.clusterIPs ?? [])]),
    external: hosts(spec?.externalIPs ?? []),
    loadBalancer: hosts([...ingress.map((i) => i.ip), ...(ingress.length > 0 ? [spec?.loadBalancerIP] : [])]),
  };
}

const keyOf = ({ name, namespace }: ServiceInput['metadata']): string => `${namespace ?? ''}/${name}`;

function slicesByService({ endpointSlices = [] }: PlanInput): Map<string, EndpointSliceInput[]> {
  const slices = new Map<string, EndpointSliceInput[]>();
  for (const slice of endpointSlices) {
    const { labels, namespace } = slice.metadata;
    const key = keyOf({ name: labels?.['kubernetes.io/service-name'] ?? '', namespace });
    const known = slices.get(key);
    if (known === undefined) slices.set(key, [slice]);
    else known.push(slice);
  }
  return slices;
}

/** A missing `ready` condition means ready. */
const hasReadyEndpoint = (slices: readonly EndpointSliceInput[], nodeName?: string): boolean =>
  slices.some((slice) =>
    (slice.endpoints ?? []).some(
      (e) => e.conditions?.ready !== false && (nodeName === undefined || e.nodeName === nodeName),
    ),
  );
