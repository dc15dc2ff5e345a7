import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../lib/result.ts';
import { planTopology, type Topology } from '../topology/mod.ts';
import type { Findings } from './demo.ts';
import { type DemoPod, judge, type Matrix, type Probe } from './matrix.ts';
import { closing, report } from './report.ts';

const pods: DemoPod[] = ['worker1', 'worker2', 'worker3'].map((node, i) => ({
  name: `demo-${i}`,
  node,
  address: `192.168.${i}.1`,
  netns: '',
}));
const plan = (fabricBgp: boolean): Topology => expect(planTopology({ name: 'two-racks', fabricBgp }), 'plan');
const hops = (topology: Topology, from: DemoPod, to: DemoPod): Probe => {
  if (from === to) return { address: to.address, ttl: 64, status: 200, client: from.address };
  const far = from.node === 'worker3' || to.node === 'worker3';
  if (far && !topology.fabricBgp)
    return { address: to.address, problem: '10.0.0.254: Destination Net Unreachable' };
  return { address: to.address, ttl: far ? 59 : 62, status: 200, client: from.address };
};
const findings = (topology: Topology, change: (probe: Probe) => Probe = (p) => p): Findings => {
  const cells = pods.flatMap((from) =>
    pods.map((to) => {
      const probe = change(hops(topology, from, to));
      return { from, to, probe, asExpected: judge(topology, from, to, probe) };
    }),
  );
  const matrix: Matrix = { cells, asExpected: cells.every((c) => c.asExpected) };
  return {
    topology,
    mode: 'bgp',
    lab: {
      name: 'lab',
      topology: topology.name,
      dualStack: false,
      fabricBgp: topology.fabricBgp,
      design: 'mesh',
      reflectors: 'nodes',
      startedAt: '',
      machines: [],
      processes: [],
    },
    sessions: [],
    pods,
    matrix,
    nodeRows: [],
    podRoutes: { pod: pods[0] as DemoPod, text: 'default via 169.254.1.1 dev eth0\n' },
    hostRoutes: { node: 'worker1', text: 'x\n' },
    problems: matrix.asExpected ? [] : ['one'],
  };
};
const running = { paths: { kubeconfig: '/tmp/k' } } as Parameters<typeof closing>[1];

test('with BGP in the fabric every pair is to be reached, with the TTL of its way', () => {
  const found = findings(plan(true));
  assert.equal(found.matrix.asExpected, true);
  const text = report(found, 4200).join('\n');
  assert.match(text, /up after 4\.2 s/);
  assert.match(text, /62\/200/);
  assert.match(text, /59\/200/);
  assert.match(text, /no NAT between pods/);
  assert.match(
    closing(found, running, true).join('\n'),
    /every pod reaches every pod \(9 of 9\)[\s\S]*KUBECONFIG=\/tmp\/k/,
  );
});

test('without it the black hole is what is expected, and the report says why', () => {
  const found = findings(plan(false));
  assert.equal(found.matrix.asExpected, true);
  const text = report(found, 0).join('\n');
  assert.match(text, /black hole/);
  assert.match(text, /10\.0\.0\.254: Destination Net Unreachable/);
  assert.match(closing(found, running, false).join('\n'), /5 of 9 pairs/);
  assert.doesNotMatch(closing(found, running, false).join('\n'), /lab shell/);
});

test('a wrong TTL, a missing answer or a translated client address is not as expected', () => {
  for (const change of [
    (p: Probe): Probe => (p.ttl === 62 ? { ...p, ttl: 61 } : p),
    (p: Probe): Probe => (p.ttl === 59 ? { address: p.address } : p),
    (p: Probe): Probe => (p.ttl === 62 ? { ...p, client: '10.0.0.21' } : p),
    (p: Probe): Probe => (p.ttl === 62 ? { ...p, status: 500 } : p),
  ]) {
    const found = findings(plan(true), change);
    assert.equal(found.matrix.asExpected, false);
    assert.match(report(found, 0).join('\n'), / !/);
    assert.match(closing(found, running, false).join('\n'), /Not as expected/);
  }
  const open = findings(plan(false), (p) => (p.ttl === undefined ? { ...p, ttl: 59, status: 200 } : p));
  assert.equal(open.matrix.asExpected, false, 'an open black hole is a surprise, too');
});
