// The names under which Felix's users look for numbers, with values that are true.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { Address } from '../../lib/ip/mod.ts';
import { systemClock } from '../../lib/clock.ts';
import { MemoryStore } from '../../datastore/mod.ts';
import { FakeHost } from '../../kernel/mod.ts';
import type { KindName, ResourceOf } from '../../model/mod.ts';
import { startAgent } from './agent.ts';
import { renderMetrics } from './metrics.ts';
import { WorkCounters } from './work-counters.ts';

const object = <K extends KindName>(kind: K, name: string, spec: object, labels = {}): ResourceOf<K> =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind,
    metadata: { name, labels, ...(kind === 'WorkloadEndpoint' ? { namespace: 'default' } : {}) },
    spec,
  }) as unknown as ResourceOf<K>;
const workload = (name: string, node: string, address: string) =>
  object(
    'WorkloadEndpoint',
    name,
    { node, interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], containerID: name },
    { app: name },
  );

test('FX-110: what Felix counts of the cluster, of this node and of the calculation', async () => {
  const store = new MemoryStore();
  const host = new FakeHost();
  const directory = mkdtempSync(join(tmpdir(), 'margay-metrics-'));
  const path = (name: string): string => join(directory, name);
  const eth0 = expect(
    await host.kernel().links.create({ name: 'eth0', kind: 'veth', up: true, peer: { name: 'far' } }),
    'eth0',
  );
  const address = { address: '10.0.0.1' as Address, length: 24, linkIndex: eth0.index };
  await host.kernel().addresses.apply([{ op: 'add', address }]);
  const rules = [{ action: 'Allow', source: { selector: "app == 'b'" } }];
  store.put('Node', object('Node', 'n1', {}), object('Node', 'n2', {}));
  store.put('Tier', object('Tier', 'security', {}));
  store.put(
    'GlobalNetworkPolicy',
    object('GlobalNetworkPolicy', 'on-a', { selector: "app == 'a'", ingress: rules }),
    object('GlobalNetworkPolicy', 'elsewhere', { selector: "app == 'b'" }),
  );
  store.put('HostEndpoint', object('HostEndpoint', 'h', { node: 'n2', interfaceName: 'eth0' }));
  store.put('Profile', object('Profile', 'p', {}));
  store.put('WorkloadEndpoint', workload('a', 'n1', '10.244.1.2'), workload('b', 'n2', '10.244.2.2'));
  const agent = startAgent({
    nodeName: 'n1',
    datastore: store.open(),
    kernel: host.kernel(),
    openNamespace: (netns) => host.openKernel({ netns }),
    environment: { FELIX_IPV6SUPPORT: 'false' },
    paths: {
      nodename: path('nodename'),
      mtu: path('mtu'),
      cniSocket: path('cni.sock'),
      cniState: path('cni'),
      bgpSocket: path('bgp.sock'),
      felixConfig: path('felix.cfg'),
    },
    logger: silentLogger,
    serveCni: false,
  });
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
    rmSync(directory, { recursive: true });
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
