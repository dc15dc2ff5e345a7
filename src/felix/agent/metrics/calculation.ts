// Numbers of the cluster and of the calculation under Felix's names (FX-110, FX-112).
import { standardTiers } from '../../../policy/mod.ts';
import type { AgentStatus } from '../types.ts';
import { counter, gauge, type Sample, summary } from '../../../lib/metrics.ts';

const resyncStates = { waiting: 0, syncing: 1, 'in-sync': 2 } as const;

export function calculationSamples(status: AgentStatus): readonly Sample[] {
  const { calc, policy, work, config } = status;
  return [
    gauge('felix_host', 'The name of this node.', 1, { host: status.nodeName }),
    gauge('felix_active_local_endpoints', 'Endpoints of this node.', calc.localEndpoints),
    ...(policy === undefined ? [] : policySamples(policy)),
    ...(status.labelIndex === undefined ? [] : indexSamples(status.labelIndex)),
    gauge(
      'margay_unreadable_objects',
      'Objects of the datastore that count as absent, for they cannot be read.',
      status.unreadable.size,
    ),
    gauge('felix_cluster_num_hosts', 'Nodes of the cluster.', calc.nodes),
    gauge('felix_cluster_routing', 'Which routes to other nodes Felix writes.', 1, {
      mode: config.text('ProgramClusterRoutes'),
    }),
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
      work.told.values().reduce((sum, count) => sum + count, 0),
    ),
    ...summary(
      'felix_calc_graph_update_time_seconds',
      'Time that batches of updates took in the calculation.',
      {
        sum: work.calculationMs / 1000,
        count: work.calculations,
      },
    ),
    ...status.ignored.map(({ parameter, source }) =>
      gauge('margay_ignored_parameters', 'Parameters that are set and have no effect.', 1, {
        parameter,
        source,
      }),
    ),
  ];
}

function policySamples(policy: NonNullable<AgentStatus['policy']>): readonly Sample[] {
  return [
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
  ];
}

function indexSamples(index: NonNullable<AgentStatus['labelIndex']>): readonly Sample[] {
  return [
    gauge('felix_label_index_num_endpoints', 'Endpoints and sets whose labels are indexed.', index.items),
    ...(['true', 'false'] as const).map((optimized) =>
      gauge(
        'felix_label_index_num_active_selectors',
        'Selectors of rules and policies; optimized are those that demand a label, and need not be held against everything.',
        optimized === 'true' ? index.selectors - index.unfiled : index.unfiled,
        { optimized },
      ),
    ),
    ...(['true', 'false'] as const).map((result) =>
      counter(
        'felix_label_index_selector_evals',
        'Times that a selector was held against labels.',
        result === 'true' ? index.matches : index.evaluations - index.matches,
        { result },
      ),
    ),
  ];
}
