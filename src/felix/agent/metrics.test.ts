// The names under which Felix's users look for numbers, with values that are true.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { systemClock } from '../../lib/clock.ts';
import { renderMetrics } from './metrics.ts';
import { Cluster, object } from './testing.ts';
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

test('FX-110: the time of programs is counted by their names', async () => {
  const counters = new WorkCounters(systemClock);
  const runner = counters.watched({
    run: () => Promise.resolve({ code: 0, stdout: 'x', stderr: '' }),
    read: () => Promise.resolve(''),
  });
  assert.equal((await runner.run('ipset', ['save'])).stdout, 'x');
  await runner.run('ipset', ['restore'], 'add');
  await runner.run('iptables-nft-save', []);
  assert.deepEqual(
    [...counters.programs].map(([name, { runs }]) => [name, runs]),
    [
      ['ipset', 2],
      ['iptables-nft-save', 1],
    ],
  );
});
