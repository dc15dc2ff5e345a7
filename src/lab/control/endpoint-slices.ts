// EndpointSlices of services with a selector: which pods are behind them, by which port, and whether they are ready. Pure.
// A slice has one address family and one list of ports; pods whose named ports differ in number get slices of their own.
import type { EndpointSlice, Pod, Service } from '../../model/mod.ts';
import { canonicalJson, controllerOf, ownerReference } from './pods.ts';
import { hasLabels } from './selectors.ts';

export type SlicePlan = {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
};

type Endpoint = EndpointSlice['endpoints'][number];
type Ports = NonNullable<EndpointSlice['ports']>;
type ServicePort = NonNullable<Service['spec']['ports']>[number];

export const serviceLabel = 'kubernetes.io/service-name';
const managerLabel = 'endpointslice.kubernetes.io/managed-by';
const manager = 'endpointslice-controller.k8s.io';
/** As many as Kubernetes puts into one. */
const endpointsPerSlice = 100;

/** What is wanted for one service, beside the slices made for it before. */
export function planEndpointSlices(
  service: Service,
  slices: readonly EndpointSlice[],
  pods: readonly Pod[],
): SlicePlan {
  const own = slices.filter(
    (slice) =>
      slice.metadata.labels?.[managerLabel] === manager && controllerOf(slice) === service.metadata.uid,
  );
  const wanted = wantedSlices(service, pods);
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const left = new Set(own);
  for (const slice of wanted) {
    const kind = kindOf(slice);
    const same = [...left].filter((one) => kindOf(one) === kind);
    const before =
      same.find((one) => canonicalJson(one.endpoints) === canonicalJson(slice.endpoints)) ?? same[0];
    if (before === undefined) {
      create.push(slice);
      continue;
    }
    left.delete(before);
    if (canonicalJson(before.endpoints ?? []) !== canonicalJson(slice.endpoints))
      update.push({ ...before, endpoints: slice.endpoints });
  }
  return { create, update, remove: [...left] };
}

const kindOf = ({ addressType, ports }: EndpointSlice): string => canonicalJson([addressType, ports ?? []]);

function wantedSlices(service: Service, pods: readonly Pod[]): EndpointSlice[] {
  const { selector, type, ipFamilies } = service.spec;
  const { namespace, name, deletionTimestamp } = service.metadata;
  if (type === 'ExternalName' || deletionTimestamp !== undefined) return [];
  if (selector === undefined || Object.keys(selector).length === 0) return [];
  const mine = pods
    .filter((pod) => pod.metadata.namespace === namespace && hasLabels(selector, pod.metadata.labels))
    .filter((pod) => pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed')
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const families = ipFamilies?.length ? ipFamilies : ['IPv4'];
  return families.flatMap((family) => {
    const groups = new Map<string, { readonly ports: Ports; readonly endpoints: Endpoint[] }>();
    for (const pod of mine) {
      const address = addressOf(pod, family);
      if (address === undefined) continue;
      const ports = portsOf(service, pod);
      const key = canonicalJson(ports);
      const group = groups.get(key) ?? { ports, endpoints: [] };
      groups.set(key, group);
      group.endpoints.push(endpointOf(service, pod, address));
    }
    return [...groups.values()].flatMap(({ ports, endpoints }) =>
      chunks(endpoints).map(
        (part): EndpointSlice => ({
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            name: '',
            generateName: `${name}-`,
            ...(namespace === undefined ? {} : { namespace }),
            labels: { ...service.metadata.labels, [serviceLabel]: name, [managerLabel]: manager },
            ownerReferences: [
              ownerReference({ apiVersion: 'v1', kind: 'Service', metadata: service.metadata }),
            ],
          },
          addressType: family,
          endpoints: part,
          ports,
        }),
      ),
    );
  });
}

function chunks(endpoints: readonly Endpoint[]): Endpoint[][] {
  const result: Endpoint[][] = [];
  for (let i = 0; i < endpoints.length; i += endpointsPerSlice)
    result.push(endpoints.slice(i, i + endpointsPerSlice));
  return result;
}

function addressOf(pod: Pod, family: string): string | undefined {
  const addresses = [pod.status?.podIP, ...(pod.status?.podIPs ?? []).map(({ ip }) => ip)];
  return addresses.find((ip) => ip !== undefined && ip !== '' && ip.includes(':') === (family === 'IPv6'));
}

function endpointOf(service: Service, pod: Pod, address: string): Endpoint {
  const serving = (pod.status?.conditions ?? []).some((c) => c.type === 'Ready' && c.status === 'True');
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { namespace, name, uid } = pod.metadata;
  const { hostname, subdomain } = pod.spec as { readonly hostname?: string; readonly subdomain?: string };
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname !== undefined && subdomain === service.metadata.name ? { hostname } : {}),
    ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    targetRef: {
      kind: 'Pod',
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    },
  };
}

/** A port that the pod does not have by name leads nowhere. */
function portsOf(service: Service, pod: Pod): Ports {
  return (service.spec.ports ?? []).flatMap((port) => {
    const number = targetPort(port, pod);
    return number === undefined
      ? []
      : [{ name: port.name ?? '', protocol: port.protocol ?? 'TCP', port: number }];
  });
}

function targetPort(
  { targetPort: target, port, protocol = 'TCP' }: ServicePort,
  pod: Pod,
): number | undefined {
  if (target === undefined || target === '' || target === 0) return port;
  if (typeof target === 'number') return target;
  if (/^\d+$/.test(target)) return Number(target);
  for (const container of pod.spec.containers ?? [])
    for (const one of container.ports ?? [])
      if (one.name === target && (one.protocol ?? 'TCP') === protocol) return one.containerPort;
  return undefined;
}
