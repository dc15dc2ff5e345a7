// What services ask of a node, from resources: which addresses and ports lead to which endpoints. Pure.
import { familyOf, parseAddress, type Address, type Family } from '../../lib/ip/mod.ts';
import type { EndpointSlice, Service } from '../../model/mod.ts';

/** The protocols that services know, by the names of nftables. */
export type Protocol = 'tcp' | 'udp' | 'sctp';
const protocols: Readonly<Record<string, Protocol>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };

export type Backend = { readonly address: Address; readonly port: number };

/** One place that clients can reach: an address of the cluster or of the outside, or a port of every node. */
export type Frontend = {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly port: number;
  /** Absent: a node port. */
  readonly address?: Address;
  /** `namespace/name:port`, for people. */
  readonly service: string;
  readonly backends: readonly Backend[];
  /** The client keeps its endpoint as long as the number of endpoints stays (sessionAffinity ClientIP). */
  readonly sticky: boolean;
  /** The client's address is hidden: the answer must come back by this node. */
  readonly masquerade: boolean;
  /** The same for clients that are no pods: an address of the cluster that a machine outside of it was told a way to. */
  readonly masqueradeOutsiders: boolean;
  /** Without backends: refused, or dropped because other nodes have some (traffic policy Local). */
  readonly empty: 'reject' | 'drop';
};

type Slice = Pick<EndpointSlice, 'metadata' | 'endpoints' | 'ports'>;

/** The frontends of a service on the node. Headless services and names elsewhere have none. */
export function frontendsOf(service: Service, slices: readonly Slice[], node: string): Frontend[] {
  const { spec, metadata } = service;
  if (spec.clusterIP === 'None' || spec.type === 'ExternalName') return [];
  const own = addressesOf(spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP]);
  const families = new Set(own.map(familyOf));
  const outside = addressesOf([
    ...(spec.externalIPs ?? []),
    ...(spec.type === 'LoadBalancer'
      ? (service.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip)
      : []),
  ]);
  const sticky = spec.sessionAffinity === 'ClientIP';
  return (spec.ports ?? []).flatMap((port) => {
    const protocol = protocols[port.protocol ?? 'TCP'];
    if (protocol === undefined) return [];
    const named = `${metadata.namespace ?? ''}/${metadata.name}:${port.name ?? port.port}`;
    const all = backendsOf(slices, port.name ?? '', protocol);
    const front = (
      family: Family,
      policy: string | undefined,
      masquerade: boolean,
      place: { readonly port: number; readonly address?: Address },
    ): Frontend => {
      const isLocal = policy === 'Local';
      const here = all.filter((one) => familyOf(one.address) === family);
      const backends = isLocal ? here.filter((one) => one.node === node) : here;
      return {
        family,
        protocol,
        ...place,
        service: named,
        backends: backends.map(({ address, port: target }) => ({ address, port: target })),
        sticky,
        masquerade: masquerade && !isLocal,
        masqueradeOutsiders: !masquerade && !isLocal,
        empty: isLocal && here.length > 0 ? 'drop' : 'reject',
      };
    };
    return [
      ...own.map((address) =>
        front(familyOf(address), spec.internalTrafficPolicy, false, { address, port: port.port }),
      ),
      ...outside.map((address) =>
        front(familyOf(address), spec.externalTrafficPolicy, true, { address, port: port.port }),
      ),
      ...(port.nodePort
        ? [...families].map((family) =>
            front(family, spec.externalTrafficPolicy, true, { port: port.nodePort ?? 0 }),
          )
        : []),
    ];
  });
}

type PlacedBackend = Backend & { readonly node: string | undefined };

/** Ready endpoints of the port of that name, in a stable order; those that are ending only when there is no other. */
function backendsOf(slices: readonly Slice[], portName: string, protocol: Protocol): PlacedBackend[] {
  const ready: PlacedBackend[] = [];
  const ending: PlacedBackend[] = [];
  for (const slice of slices)
    for (const port of slice.ports ?? []) {
      if ((port.name ?? '') !== portName || protocols[port.protocol ?? 'TCP'] !== protocol) continue;
      if (!port.port) continue;
      for (const { addresses, conditions, nodeName } of slice.endpoints ?? []) {
        const [address] = addressesOf(addresses);
        if (address === undefined) continue;
        const list =
          conditions?.ready !== false
            ? ready
            : conditions.serving === true && conditions.terminating === true
              ? ending
              : undefined;
        list?.push({ address, port: port.port, node: nodeName });
      }
    }
  const chosen = ready.length > 0 ? ready : ending;
  const byText = new Map(chosen.map((one) => [`${one.address} ${one.port}`, one]));
  return [...byText].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

const addressesOf = (texts: readonly (string | undefined)[]): Address[] =>
  texts.flatMap((text) => {
    const parsed = text ? parseAddress(text) : undefined;
    return parsed?.ok === true ? [parsed.value] : [];
  });
