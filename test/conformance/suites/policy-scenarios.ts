// Suite `policy-scenarios`: a topology and policies as resources of a cluster, and packets between its ends.
import { address, familyOf, type Address } from '../../../src/lib/ip/mod.ts';
import { protocolNumber, type Pod } from '../../../src/model/mod.ts';
import * as policy from '../../../src/policy/mod.ts';

type Labels = Readonly<Record<string, string>>;
type Port = { readonly name: string; readonly port: number; readonly protocol: string };
type Topology = {
  readonly namespaces: readonly { readonly name: string; readonly labels?: Labels }[];
  readonly serviceAccounts: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly labels?: Labels;
  }[];
  readonly endpoints: readonly {
    readonly id: string;
    readonly namespace: string;
    readonly name: string;
    readonly node: string;
    readonly ips: readonly string[];
    readonly labels?: Labels;
    readonly serviceAccount?: string;
    readonly ports?: readonly Port[];
    readonly profiles?: readonly string[];
  }[];
  readonly externals: readonly { readonly id: string; readonly ips: readonly string[] }[];
  readonly hosts: readonly { readonly id: string; readonly node: string; readonly ips: readonly string[] }[];
  readonly services?: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly ports: readonly { readonly port: number; readonly protocol?: string }[];
    readonly endpoints: readonly {
      readonly ip: string;
      readonly port: number;
      readonly protocol?: string;
    }[];
  }[];
};
type Probe = {
  readonly from: string;
  readonly to: string;
  readonly protocol: string | number;
  readonly port?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly ipVersion?: 4 | 6;
};
type Input = {
  readonly topology: Topology;
  readonly policies: readonly policy.WorldResource[];
  readonly probes: readonly Probe[];
};

export function answer({ topology, policies, probes }: Input): unknown {
  const world = policy.buildWorld([...clusterOf(topology), ...policies]);
  return { verdicts: probes.map((probe) => policy.verdictOf(world, packetOf(topology, probe)).action) };
}

/** A port that clients take for themselves: probes name the destination's only. */
const ephemeralPort = 49_152;

function packetOf(topology: Topology, probe: Probe): policy.WorldPacket {
  const ends = [...topology.endpoints, ...topology.externals, ...topology.hosts];
  const wanted = probe.ipVersion ?? 4;
  const addressOf = (id: string): Address => {
    const found = ends.find((end) => end.id === id)?.ips.find((ip) => familyOf(ip) === wanted);
    if (found === undefined) throw new Error(`${id} has no IPv${wanted} address`);
    return address(found);
  };
  const { protocol, port, icmpType, icmpCode } = probe;
  return {
    source: addressOf(probe.from),
    destination: addressOf(probe.to),
    protocol: protocolNumber(protocol) ?? Number(protocol),
    ...(port === undefined ? {} : { sourcePort: ephemeralPort, destinationPort: port }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpCode === undefined ? {} : { icmpCode }),
  };
}

/** Addresses are between a pod and its host as in an ordinary cluster, where pods reach their host. */
const ordinarySettings = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'FelixConfiguration',
  metadata: { name: 'default' },
  spec: { defaultEndpointToHostAction: 'Return' },
};

function* clusterOf(topology: Topology): Generator<policy.WorldResource> {
  yield ordinarySettings;
  for (const { name, labels } of topology.namespaces) {
    yield { apiVersion: 'v1', kind: 'Namespace', metadata: { name, ...namespaceLabels(name, labels) } };
    yield { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } };
  }
  for (const { namespace, name, labels = {} } of topology.serviceAccounts)
    yield {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, namespace, labels },
    };
  yield* topology.endpoints.map(podOf);
  for (const { node, ips } of topology.hosts)
    yield {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: node },
      status: { addresses: ips.map((ip) => ({ type: 'InternalIP', address: ip })) },
    };
  for (const service of topology.services ?? []) yield* serviceOf(service);
}

/** Kubernetes writes a namespace's name into its labels. */
const namespaceLabels = (name: string, labels: Labels = {}) => ({
  labels: { 'kubernetes.io/metadata.name': name, ...labels },
});

function podOf(endpoint: Topology['endpoints'][number]): Pod {
  const { namespace, name, labels = {}, ips, node, ports = [], serviceAccount = 'default' } = endpoint;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: {
      nodeName: node,
      serviceAccountName: serviceAccount,
      containers: [
        {
          name: 'main',
          ports: ports.map((port) => ({
            name: port.name,
            containerPort: port.port,
            protocol: port.protocol,
          })),
        },
      ],
    },
    status: { phase: 'Running', podIPs: ips.map((ip) => ({ ip })) },
  };
}

function* serviceOf(service: NonNullable<Topology['services']>[number]): Generator<policy.WorldResource> {
  const { namespace, name, endpoints } = service;
  yield { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace } };
  for (const [i, { ip, port, protocol = 'TCP' }] of endpoints.entries())
    yield {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-${i}`, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType: familyOf(ip) === 4 ? 'IPv4' : 'IPv6',
      endpoints: [{ addresses: [ip] }],
      ports: [{ protocol, port }],
    };
}
