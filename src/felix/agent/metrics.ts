// Prometheus metrics under Felix's names (FX-110, FX-111), as far as they are true here. Read when asked for.
import type { WireGuardDevice } from '../../kernel/mod.ts';
import { standardTiers } from '../../policy/mod.ts';
import type { HttpPages } from './http.ts';
import type { AgentStatus } from './types.ts';

const encryptionStates = { off: 0, waiting: 1, on: 2 } as const;
const resyncStates = { waiting: 0, syncing: 1, 'in-sync': 2 } as const;

type Sample = {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  readonly value: number;
  readonly labels?: Record<string, string>;
};

export function samples(status: AgentStatus): Sample[] {
  const { calc, dataplane, encryption, policy, programming, work } = status;
  const sum = (field: 'failures' | 'puts' | 'removes' | 'dumps' | 'drifted'): number =>
    Object.values(dataplane).reduce((total, table) => total + table.counters[field], 0);
  const gauge = (name: string, help: string, value: number, labels?: Record<string, string>): Sample => ({
    name,
    help,
    type: 'gauge',
    value,
    ...(labels === undefined ? {} : { labels }),
  });
  const counter = (name: string, help: string, value: number, labels?: Record<string, string>): Sample => ({
    name,
    help,
    type: 'counter',
    value,
    ...(labels === undefined ? {} : { labels }),
  });
  return [
    gauge('felix_host', 'The name of this node.', 1, { host: status.nodeName }),
    gauge('felix_active_local_endpoints', 'Endpoints of this node.', calc.localEndpoints),
    ...(policy === undefined
      ? []
      : [
          gauge(
            'felix_active_local_policies',
            'Policies that select an endpoint of this node.',
            policy.activePolicies,
          ),
          gauge('felix_active_local_selectors', 'Sets that rules of this node look at.', policy.activeSets),
          gauge('felix_cluster_num_policies', 'Policies of the cluster.', policy.policies),
          gauge('felix_cluster_num_tiers', 'Tiers of the cluster.', policy.tiers + standardTiers.length),
          gauge('felix_cluster_num_profiles', 'Profiles of the cluster.', policy.profiles),
          gauge('felix_cluster_num_workload_endpoints', 'Workloads of the cluster.', policy.workloads),
          gauge('felix_cluster_num_host_endpoints', 'Host endpoints of the cluster.', policy.hostEndpoints),
          gauge(
            'margay_policy_set_members',
            'Members of the sets that rules of this node look at.',
            policy.members,
          ),
        ]),
    counter('margay_endpoint_programming_count', 'Endpoints that CNI asked for.', programming.count),
    counter(
      'margay_endpoint_programming_failures',
      'Endpoints whose rows were not in the kernel in time.',
      programming.failures,
    ),
    counter(
      'margay_endpoint_programming_seconds',
      'Time until routes, settings and policy of endpoints were in the kernel, in sum.',
      programming.totalMs / 1000,
    ),
    gauge(
      'margay_endpoint_programming_longest_seconds',
      'The longest of these times.',
      programming.longestMs / 1000,
    ),
    gauge('felix_cluster_num_hosts', 'Nodes of the cluster.', calc.nodes),
    gauge(
      'felix_resync_state',
      'Datastore: 0 waiting, 1 syncing, 2 in sync.',
      resyncStates[status.datastore],
    ),
    counter('felix_resyncs_started', 'Times that everything was listed anew.', work.resyncs),
    counter('felix_calc_graph_updates_processed', 'Updates of the datastore taken.', calc.updates),
    counter(
      'felix_calc_graph_output_events',
      'Rows and changes of policy that the calculation told.',
      work.told,
    ),
    counter(
      'felix_calc_graph_update_time_seconds_sum',
      'Time that batches of updates took in the calculation.',
      work.calculationMs / 1000,
    ),
    counter(
      'felix_calc_graph_update_time_seconds_count',
      'Batches of updates that the calculation took.',
      work.calculations,
    ),
    ...[...work.programs].flatMap(([fn, { runs, ms }]) => [
      counter('felix_exec_time_micros_sum', 'Time that programs took.', Math.round(ms * 1000), { fn }),
      counter('felix_exec_time_micros_count', 'Programs that were run.', runs, { fn }),
    ]),
    counter('felix_int_dataplane_failures', 'Rows the kernel refused.', sum('failures')),
    counter('felix_int_dataplane_messages', 'Rows written or removed.', sum('puts') + sum('removes')),
    gauge(
      'felix_route_table_num_routes',
      'Routes this node should have from Felix.',
      dataplane.routes.counts.rows,
    ),
    gauge(
      'felix_nft_rows',
      'Tables, sets, elements and chains this node should have in nftables.',
      dataplane.nftables.counts.rows,
    ),
    ...([4, 6] as const).map((family) =>
      gauge(
        'margay_encryption_state',
        'Encryption between nodes: 0 off, 1 asked for and not to be had, 2 on.',
        encryptionStates[encryption[family].state],
        { family: `ipv${family}` },
      ),
    ),
    gauge(
      'margay_path_mtu_checked_nodes',
      'Addresses of other nodes that answered when ways were last tried.',
      status.paths.checked,
    ),
    gauge(
      'margay_path_mtu_narrow_paths',
      'Ways to other nodes that carry less than is sent.',
      status.paths.narrow.length,
    ),
    ...status.paths.narrow.map(({ node, address, mtu }) =>
      gauge('margay_path_mtu_bytes', 'What a way that carries less than is sent carries.', mtu, {
        node,
        address,
      }),
    ),
    counter('margay_dataplane_resyncs', 'Full reads of the kernel.', sum('dumps')),
    counter('margay_dataplane_drifted_rows', 'Rows found changed by somebody else.', sum('drifted')),
    ...Object.entries(dataplane).map(([table, { counts }]) =>
      gauge(
        'margay_dataplane_unfinished_rows',
        'Rows that are not in the kernel yet.',
        counts.rows - counts.done,
        { table },
      ),
    ),
  ];
}

/** What went through WireGuard, by peer; how it is set stands in labels, as with Felix. */
function wireguardSamples(
  { nodeName, encryption }: AgentStatus,
  devices: readonly WireGuardDevice[],
): Sample[] {
  return devices.flatMap(({ name, port, peers }): Sample[] => {
    const state = [encryption[4], encryption[6]].find((one) => one.state === 'on' && one.device === name);
    const meta = {
      hostname: nodeName,
      iface: name,
      listen_port: String(port),
      peer_count: String(peers.length),
      public_key: state?.state === 'on' ? state.publicKey : '',
    };
    return [
      {
        name: 'wireguard_meta',
        help: 'The device of WireGuard.',
        type: 'gauge',
        value: 1,
        labels: meta,
      },
      ...peers.flatMap((peer): Sample[] => {
        const labels = {
          hostname: nodeName,
          iface: name,
          peer_key: peer.publicKey,
          peer_endpoint: peer.endpoint === undefined ? '' : `${peer.endpoint.address}:${peer.endpoint.port}`,
        };
        const of = (about: string, type: Sample['type'], value: number, help: string): Sample => ({
          name: `wireguard_${about}`,
          help,
          type,
          value,
          labels,
        });
        return [
          of('bytes_rcvd', 'counter', peer.receivedBytes, 'Bytes received from the peer.'),
          of('bytes_sent', 'counter', peer.sentBytes, 'Bytes sent to the peer.'),
          of(
            'latest_handshake_seconds',
            'gauge',
            peer.lastHandshake,
            'When the last handshake with the peer was, in seconds since 1970; 0: never.',
          ),
        ];
      }),
    ];
  });
}

export const metricsPages = (
  status: () => AgentStatus,
  wireguardDevices: () => Promise<readonly WireGuardDevice[]>,
): HttpPages => ({
  '/metrics': async () => {
    const now = status();
    const devices = now.config.boolean('PrometheusWireGuardMetricsEnabled') ? await wireguardDevices() : [];
    return { status: 200, type: 'text/plain; version=0.0.4', body: await renderMetrics(now, devices) };
  },
});

/** The text for a scrape. prom-client is loaded at the first one only. */
export async function renderMetrics(
  status: AgentStatus,
  wireguard: readonly WireGuardDevice[] = [],
): Promise<string> {
  const { Counter, Gauge, Registry } = await import('./prometheus.ts');
  const registry = new Registry();
  const byName = Map.groupBy(
    [...samples(status), ...wireguardSamples(status, wireguard)],
    (sample) => sample.name,
  );
  for (const [name, [first, ...rest]] of byName) {
    if (first === undefined) continue;
    const labelNames = Object.keys(first.labels ?? {});
    const options = { name, help: first.help, labelNames, registers: [registry] };
    const metric = first.type === 'counter' ? new Counter(options) : new Gauge(options);
    for (const { value, labels } of [first, ...rest]) metric.inc(labels ?? {}, value);
  }
  return registry.metrics();
}
