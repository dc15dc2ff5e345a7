// The names under which Felix's users look for numbers, with values that are true.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { systemClock } from '../../lib/clock.ts';
import { renderMetrics } from './metrics.ts';
import { Cluster, object } from './testing.ts';
import type { Agent } from './types.ts';
import { WorkCounters } from './work-counters.ts';

const workload = (name: string, node: string, address: string) => ({
  ...object('WorkloadEndpoint', name, {
    node,
    interfaceName: `cali${name}`,
    ipNetworks: [`${address}/32`],
    containerID: name,
  }),
  metadata: { name, namespace: 'default', labels: { app: name } },
});

test('FX-110: what Felix counts of the cluster, of this node and of the calculation', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const { store } = cluster;
  const rules = [{ action: 'Allow', source: { selector: "app == 'b'" } }];
  store.put('Node', object('Node', 'n2', {}));
  store.put('Tier', object('Tier', 'security', {}));
  store.put(
    'GlobalNetworkPolicy',
    object('GlobalNetworkPolicy', 'on-a', { selector: "app == 'a'", ingress: rules }),
    object('GlobalNetworkPolicy', 'elsewhere', { selector: "app == 'b'" }),
  );
  store.put('HostEndpoint', object('HostEndpoint', 'h', { node: 'n2', interfaceName: 'eth0' }));
  store.put('Profile', object('Profile', 'p', {}));
  store.put('WorkloadEndpoint', workload('a', 'n1', '10.244.1.2'), workload('b', 'n2', '10.244.2.2'));
  const agent = cluster.start({}, { serveCni: false });
  try {
    expect(await agent.ready, 'ready');
    const text = (): Promise<string> => renderMetrics(agent.status());
    const values = async (): Promise<ReadonlyMap<string, number>> =>
      new Map(
        (await text()).split('\n').flatMap((line) => {
          const [, name, value] = /^(\w+)(?:\{[^}]*\})? (\S+)$/.exec(line) ?? [];
          return name === undefined ? [] : [[name, Number(value)] as const];
        }),
      );
    await until(async () => ((await values()).get('felix_active_local_policies') === 1 ? true : undefined), {
      timeoutMs: 5_000,
    });
    const found = await values();
    for (const [name, expected] of [
      ['felix_host', 1],
      ['felix_resync_state', 2],
      ['felix_active_local_endpoints', 1],
      ['felix_active_local_policies', 1],
      ['felix_active_local_selectors', 1],
      ['felix_cluster_num_hosts', 2],
      ['felix_cluster_num_host_endpoints', 1],
      ['felix_cluster_num_workload_endpoints', 2],
      ['felix_cluster_num_policies', 2],
      ['felix_cluster_num_profiles', 1],
      // Those that every cluster has, and this one.
      ['felix_cluster_num_tiers', 4],
    ] as const)
      assert.equal(found.get(name), expected, name);
    for (const name of [
      'felix_calc_graph_update_time_seconds_sum',
      'felix_calc_graph_update_time_seconds_count',
      'felix_calc_graph_updates_processed',
      'felix_calc_graph_output_events',
      'felix_resyncs_started',
    ])
      assert.ok((found.get(name) ?? 0) > 0, name);
  } finally {
    await agent.stop();
  }
});

/** Samples of a scrape, by name and labels as they are written. */
const scraped = async (agent: Agent): Promise<ReadonlyMap<string, number>> =>
  new Map(
    (await renderMetrics(agent.status())).split('\n').flatMap((line) => {
      const [, name, value] = /^(\w+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, Number(value)] as const];
    }),
  );

test('FX-111, FX-112: what Felix counts of its data plane and of its index of labels, after work that is known', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.link('calia');
  const { store } = cluster;
  store.put('WorkloadEndpoint', workload('a', 'n1', '10.244.1.2'));
  const agent = cluster.start({}, { serveCni: false });
  try {
    expect(await agent.ready, 'ready');
    const before = await scraped(agent);
    // One policy with one selector for peers: one set; and another workload that it selects.
    const ingress = [{ action: 'Allow', source: { selector: "app == 'b'" } }];
    store.put('GlobalNetworkPolicy', object('GlobalNetworkPolicy', 'p', { selector: "app == 'a'", ingress }));
    store.put('WorkloadEndpoint', workload('b', 'n1', '10.244.1.3'));
    await cluster.link('calib');
    const settled = await until(
      async () => {
        const now = await scraped(agent);
        const isThere = (name: string, more: number) =>
          (now.get(name) ?? 0) >= (before.get(name) ?? 0) + more;
        return isThere('felix_active_local_endpoints', 1) &&
          isThere('felix_route_table_num_ifaces{table="254"}', 1) &&
          isThere('felix_active_local_policies', 1) &&
          [...now].every(
            ([name, value]) => !name.startsWith('margay_dataplane_unfinished_rows') || value === 0,
          )
          ? now
          : undefined;
      },
      { timeoutMs: 10_000 },
    );
    assert.ok(settled !== undefined);
    const grew = (name: string): number => (settled.get(name) ?? Number.NaN) - (before.get(name) ?? 0);
    assert.equal(grew('felix_route_table_num_routes{table="254"}'), 1);
    assert.equal(grew('felix_route_table_num_ifaces{table="254"}'), 1);
    assert.equal(
      grew('felix_label_index_num_endpoints'),
      2,
      'in the index of policies and in that of members',
    );
    assert.equal(grew('felix_label_index_num_active_selectors{optimized="true"}'), 2);
    assert.equal(grew('felix_int_dataplane_messages{type="endpoint"}'), 2);
    assert.equal(grew('felix_int_dataplane_messages{type="policy"}'), 1);
    assert.equal(grew('felix_int_dataplane_messages{type="set"}'), 1);
    assert.equal(grew('felix_int_dataplane_messages{type="routes"}'), 1);
    assert.ok(grew('felix_label_index_selector_evals{result="true"}') >= 2);
    // The compiled layout may have members in a map that leads on at once.
    assert.ok(grew('felix_ipsets_calico{ip_version="4"}') + grew('felix_nft_maps{ip_version="4"}') >= 1);
    assert.ok((settled.get('felix_ipsets_calico{ip_version="4"}') ?? 0) > 0);
    assert.equal(
      settled.get('felix_ipsets_total'),
      (settled.get('felix_ipsets_calico{ip_version="4"}') ?? 0) +
        (settled.get('felix_ipsets_calico{ip_version="6"}') ?? 0),
    );
    assert.ok(grew('felix_nft_chains{ip_version="4",table="calico"}') >= 1);
    assert.ok(grew('felix_nft_rules{ip_version="4",table="calico"}') >= 1);
    assert.ok(grew('felix_nft_calls') >= 1);
    assert.ok(grew('felix_int_dataplane_iface_msg_batch_size_count') >= 1);
    assert.ok(grew('felix_int_dataplane_apply_time_seconds_count') >= 1);
    assert.ok(
      grew('felix_int_dataplane_msg_batch_size_sum') >= grew('felix_int_dataplane_msg_batch_size_count'),
    );
    assert.equal(grew('felix_int_dataplane_failures'), 0);
    for (const name of [
      'felix_nft_errors',
      'felix_nft_list_errors',
      'felix_iptables_restore_errors',
      'felix_ipset_errors',
    ])
      assert.equal(settled.get(name), 0, name);
    for (const name of [
      'felix_int_dataplane_initial_resync_time_seconds',
      'felix_route_table_resync_seconds_count',
      'felix_nft_list_calls',
      'felix_cluster_routing{mode="EnabledIPIPOnly"}',
      'process_start_time_seconds',
    ])
      assert.ok((settled.get(name) ?? 0) > 0, name);
  } finally {
    await agent.stop();
  }
});

test('FX-111: a refused write is counted', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const agent = cluster.start({}, { serveCni: false });
  try {
    expect(await agent.ready, 'ready');
    await cluster.link('calia');
    cluster.host.fail({ operation: 'routes.apply', subject: '10.244.1.2/32', errno: 105 });
    cluster.store.put('WorkloadEndpoint', workload('a', 'n1', '10.244.1.2'));
    const counted = await until(
      async () => ((await scraped(agent)).get('felix_int_dataplane_failures') === 1 ? true : undefined),
      { timeoutMs: 10_000 },
    );
    assert.ok(counted);
  } finally {
    await agent.stop();
  }
});

test('FX-110, FX-111: programs are counted by their names: runs, failures, lines', async () => {
  const counters = new WorkCounters(systemClock);
  const runner = counters.watched({
    run: (command) =>
      Promise.resolve({ code: command === 'iptables-nft-save' ? 1 : 0, stdout: 'x', stderr: '' }),
    read: () => Promise.resolve(''),
  });
  assert.equal((await runner.run('ipset', ['save'])).stdout, 'x');
  await runner.run('ipset', ['restore'], 'add a\nadd b\n');
  await runner.run('iptables-nft-save', []);
  assert.deepEqual(
    [...counters.programs].map(([name, { runs, failures, lines }]) => [name, runs, failures, lines]),
    [
      ['ipset', 2, 0, 2],
      ['iptables-nft-save', 1, 1, 0],
    ],
  );
});
