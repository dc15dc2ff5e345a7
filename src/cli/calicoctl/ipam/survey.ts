// What `ipam check` compares: addresses that blocks say are given out, addresses that workloads, nodes and services use,
// handles. Pure; the command prints what comes out.
import { containsAddress, parseNetwork, prefix, prefixAddress } from '../../../lib/ip/mod.ts';
import type { IPAMBlock, IPAMHandle, IPPool, Node, Service, WorkloadEndpoint } from '../../../model/mod.ts';
import { type Allocation, allocationsOf } from './blocks.ts';

/** Reports of calicoctl have this form, too, so that each can release from the other's. */
export type ReportedAllocation = {
  readonly ip: string;
  readonly handle?: string;
  readonly sequenceNumber?: number | bigint;
  readonly pod?: string;
  readonly namespace?: string;
  readonly node?: string;
  readonly type?: string;
  readonly creationTimestamp?: string;
  readonly inUse: boolean;
  readonly borrowed?: boolean;
  readonly owners: readonly string[] | null;
};
export type ReportedHandle = { readonly ID: string; readonly UID: string | null; readonly Revision: string };

export type Surveyed = {
  readonly blocks: readonly {
    readonly cidr: string;
    readonly affinity: string;
    readonly allocations: readonly ReportedAllocation[];
  }[];
  readonly allocations: ReadonlyMap<string, readonly ReportedAllocation[]>;
  readonly users: ReadonlyMap<string, readonly string[]>;
  readonly nodeAddresses: number;
  readonly workloadAddresses: number;
  readonly services: number;
  readonly leaked: readonly ReportedAllocation[];
  /** In use, but not given out: outside of all active pools, and inside of one. */
  readonly foreign: readonly string[];
  readonly unallocated: readonly string[];
  readonly shared: readonly string[];
  readonly leakedHandles: readonly ReportedHandle[];
  readonly goodHandles: number;
  readonly missingHandles: readonly string[];
};
export type Stock = {
  readonly blocks: readonly IPAMBlock[];
  readonly pools: readonly IPPool[];
  readonly nodes: readonly Node[];
  readonly services: readonly Service[];
  readonly endpoints: readonly WorkloadEndpoint[];
  readonly handles: readonly IPAMHandle[];
  /** Which services get addresses from pools. */
  readonly assignIPs: 'AllServices' | 'RequestedServicesOnly';
};

const windowsHandle = 'windows-reserved-ipam-handle';
const serviceAnnotations = [
  'projectcalico.org/ipv4pools',
  'projectcalico.org/ipv6pools',
  'projectcalico.org/loadBalancerIPs',
];

export function survey(stock: Stock): Surveyed {
  const users = new Map<string, string[]>();
  const use = (network: string | undefined, owner: string): number => {
    const parsed = network === undefined || network === '' ? undefined : parseNetwork(network);
    if (parsed?.ok !== true) return 0;
    const address = prefixAddress(parsed.value);
    users.set(address, [...(users.get(address) ?? []), owner]);
    return 1;
  };
  let nodeAddresses = 0;
  for (const { metadata, spec } of stock.nodes) {
    const addresses = [
      spec.bgp?.ipv4IPIPTunnelAddr,
      spec.ipv4VXLANTunnelAddr,
      spec.ipv6VXLANTunnelAddr,
      spec.wireguard?.interfaceIPv4Address,
      spec.wireguard?.interfaceIPv6Address,
    ];
    for (const address of addresses) nodeAddresses += use(address, `Node(${metadata.name})`);
  }
  const services = stock.services.filter((service) => isOurs(service, stock.assignIPs));
  for (const service of services)
    for (const ip of ingressOf(service))
      use(ip, `Service(${service.metadata.namespace}/${service.metadata.name})`);
  let workloadAddresses = 0;
  for (const { metadata, spec } of stock.endpoints)
    for (const network of spec.ipNetworks ?? [])
      workloadAddresses += use(network, `Workload(${metadata.namespace}/${metadata.name})`);

  const blocks = stock.blocks.map((block) => ({
    cidr: block.spec.cidr,
    affinity: block.spec.affinity ?? '<none>',
    allocations: allocationsOf(block)
      .filter(({ resting }) => !resting)
      .map((allocation) => reported(allocation, block, users)),
  }));
  const all = blocks.flatMap(({ allocations }) => allocations);
  const allocations = Map.groupBy(all, ({ ip }) => ip);
  const active = stock.pools
    .filter(({ spec }) => spec.disabled !== true)
    .map(({ spec }) => prefix(spec.cidr));
  const strangers = [...users.keys()].filter((ip) => !allocations.has(ip));
  const isInPool = (ip: string): boolean => {
    const parsed = parseNetwork(ip);
    return parsed.ok && active.some((pool) => containsAddress(pool, prefixAddress(parsed.value)));
  };
  const usedHandles = new Set(all.flatMap(({ handle }) => (handle === undefined ? [] : [handle])));
  const lowered = new Set([...usedHandles].map((handle) => handle.toLowerCase()));
  const known = new Set(stock.handles.map(({ spec }) => spec.handleID.toLowerCase()));
  const leakedHandles = stock.handles.filter(({ spec }) => !lowered.has(spec.handleID.toLowerCase()));
  return {
    blocks,
    allocations,
    users,
    nodeAddresses,
    workloadAddresses,
    services: services.length,
    leaked: all.filter(({ inUse }) => !inUse),
    foreign: strangers.filter((ip) => !isInPool(ip)),
    unallocated: strangers.filter(isInPool),
    shared: [...users].filter(([, owners]) => owners.length > 1).map(([ip]) => ip),
    leakedHandles: leakedHandles.map(({ metadata, spec }) => ({
      ID: spec.handleID,
      UID: metadata.uid ?? null,
      Revision: metadata.resourceVersion ?? '',
    })),
    goodHandles: stock.handles.length - leakedHandles.length,
    missingHandles: [...usedHandles].filter((handle) => !known.has(handle.toLowerCase())),
  };
}

function reported(
  allocation: Allocation,
  block: IPAMBlock,
  users: ReadonlyMap<string, readonly string[]>,
): ReportedAllocation {
  const { address, handle, attributes, sequenceNumber } = allocation;
  const { pod, namespace, type, timestamp } = attributes;
  const owner = block.spec.affinity?.startsWith('host:') ? block.spec.affinity.slice('host:'.length) : '';
  const node = attributes['node'] || owner;
  const isReserved = handle === windowsHandle;
  const owners = isReserved ? ['Reserved for Windows'] : (users.get(address) ?? null);
  return {
    ip: address,
    ...(handle === undefined || isReserved ? {} : { handle }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    ...(pod === undefined ? {} : { pod }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(node === '' ? {} : { node }),
    ...(type === undefined ? {} : { type }),
    ...(timestamp === undefined ? {} : { creationTimestamp: timestamp }),
    inUse: owners !== null,
    ...(node === owner ? {} : { borrowed: true }),
    owners,
  };
}

function isOurs({ metadata, spec }: Service, assignIPs: Stock['assignIPs']): boolean {
  const { type, loadBalancerClass } = (spec ?? {}) as { type?: string; loadBalancerClass?: string };
  if (type !== 'LoadBalancer') return false;
  if (loadBalancerClass === 'calico') return true;
  if (loadBalancerClass !== undefined) return false;
  return (
    assignIPs === 'AllServices' || serviceAnnotations.some((key) => metadata.annotations?.[key] !== undefined)
  );
}

function ingressOf(service: Service): readonly (string | undefined)[] {
  const { status } = service as {
    readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
  };
  return (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
}
