import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../lib/result.ts';
import { planTopology, type Topology } from '../topology/mod.ts';
import { clusterObjects } from './cluster-objects.ts';
import { processSpecs } from './commands.ts';
import { routerPlan } from './router-plan.ts';

const plan = (options: object = {}): Topology =>
  expect(planTopology({ name: 'two-racks', ...options }), 'plan');
const allSpecs = (topology: Topology) =>
  processSpecs({
    topology,
    program: ['node', 'main.ts'],
    logs: '/logs',
    keys: '/keys',
    kubeconfigs: {
      admin: '/admin',
      control: '/control',
      calicoNode: '/calico',
      runner: ({ name }) => `/${name}`,
    },
    planFile: (m) => `/${m}.json`,
    holderPid: () => 7,
    dataDirectory: '/data',
    options: '{}',
    listenFd: 3,
  });
const specs = (topology: Topology): readonly string[] =>
  allSpecs(topology).map((s) => `${s.machine}: ${s.argv.slice(8).join(' ')}`);

test('one API server and control plane, three processes per node, a speaker per router', () => {
  const lines = specs(plan());
  assert.equal(lines.length, 2 + 3 + 4 * 3);
  assert.ok(
    lines[0]?.startsWith('master1: apiserver') &&
      /--listen 10\.0\.0\.11:6443 --listen-fd 3 .*--tls --pki \/keys/.test(lines[0]),
  );
  assert.ok(lines.includes('leaf01: speaker --plan /leaf01.json'));
  assert.ok(lines.includes('worker3: agent --kubeconfig /calico --nodename worker3'));
  assert.ok(
    lines.some((l) =>
      /^worker3: runner --kubeconfig \/worker3 .*--address 30\.0\.0\.23\/24 --label rack=rack-2$/.test(l),
    ),
  );
  assert.equal(specs(plan({ fabricBgp: false })).filter((l) => /^(leaf|spine)/.test(l)).length, 0);
});

test('SR-227, BG-006: no speaker runs with the backends vxlan and none, on nodes or routers; every process of a node is told the backend', () => {
  for (const backend of ['vxlan', 'none'] as const) {
    const lines = specs(plan({ backend }));
    assert.equal(lines.length, 2 + 4 * 2);
    assert.deepEqual(
      lines.filter((line) => line.includes(' speaker')),
      [],
    );
  }
  assert.ok(
    specs(plan({ backend: 'none' })).some((l) => /^worker1: runner .*--pod-range 10\.244\.1\.0\/24$/.test(l)),
  );
  const told = allSpecs(plan()).map((s) => [s.machine, s.env?.['CALICO_NETWORKING_BACKEND']]);
  assert.ok(told.some(([machine]) => machine === 'leaf01'));
  for (const [machine = '', backend] of told)
    assert.equal(backend, /^(leaf|spine)/.test(machine) ? undefined : 'bird', machine);
  const { bgpConfiguration, peers, pools } = clusterObjects(plan({ backend: 'vxlan' }), 'vxlan');
  assert.deepEqual([bgpConfiguration.spec?.nodeToNodeMeshEnabled, peers.length], [false, 0]);
  assert.deepEqual([pools[0]?.spec.vxlanMode, pools[0]?.spec.ipipMode], ['Always', 'Never']);
  assert.deepEqual(clusterObjects(plan({ backend: 'none' })).pools, []);
});

test('the resources of a fresh cluster', () => {
  const objects = clusterObjects(plan({ dualStack: true }));
  assert.deepEqual(
    objects.pools.map((p) => `${p.metadata.name} ${p.spec.cidr}/${p.spec.blockSize}`),
    ['default-ipv4-ippool 192.168.0.0/16/26', 'default-ipv6-ippool fd00:192:168::/48/122'],
  );
  assert.deepEqual(
    clusterObjects(plan()).peers.map((p) => `${p.spec.nodeSelector} ${p.spec.peerIP} ${p.spec.asNumber}`),
    ["rack == 'rack-1' 10.0.0.254 65001", "rack == 'rack-2' 30.0.0.254 65002"],
  );
  assert.deepEqual(clusterObjects(plan({ fabricBgp: false })).peers, []);
});

test("a router's plan has its neighbours and passes everything on", () => {
  const spine = plan().machines.find((m) => m.name === 'spine');
  assert.ok(spine !== undefined);
  const text = routerPlan(spine);
  assert.match(text, /10\.255\.0\.1/);
  assert.match(text, /65002/);
});
