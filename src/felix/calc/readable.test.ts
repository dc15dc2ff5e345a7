// FX-002, the first stage: whatever is stored under a kind, the calculation goes on as if what it cannot read were not there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindDefinition } from '../../model/mod.ts';
import { CalculationGraph } from './graph.ts';
import { policyKinds } from './policy/types.ts';
import { calcKinds, type CalcUpdate } from './types.ts';

const good: Readonly<Record<string, object>> = {
  IPPool: { cidr: '10.0.0.0/16', natOutgoing: true },
  BlockAffinity: { cidr: '10.0.0.0/26', node: 'n1', state: 'confirmed' },
  WorkloadEndpoint: { node: 'n1', interfaceName: 'calia', ipNetworks: ['10.0.0.1/32'] },
  IPAMBlock: { cidr: '10.0.0.0/26', affinity: 'host:n1', allocations: [0], attributes: [{}] },
  HostEndpoint: { node: 'n1', interfaceName: 'eth0' },
  NetworkPolicy: { selector: 'all()' },
  GlobalNetworkPolicy: { selector: 'all()' },
  KubernetesNetworkPolicy: { podSelector: {} },
  ClusterNetworkPolicy: { tier: 'Admin', priority: 1, subject: { namespaces: {} } },
};
const junk: readonly unknown[] = [undefined, null, 3, 'x', true, [3], [null], ['x'], {}, [{}], { x: 3 }];

const put = (kind: string, rest: object): CalcUpdate =>
  ({
    type: 'set',
    kind,
    object: {
      apiVersion: 'projectcalico.org/v3',
      kind,
      metadata: { name: 'default', namespace: 'here' },
      ...rest,
    },
  }) as unknown as CalcUpdate;
const workload = put('WorkloadEndpoint', {
  metadata: { name: 'w', namespace: 'here' },
  spec: { node: 'n1', interfaceName: 'caliw', ipNetworks: ['10.0.0.9/32'] },
});

const kinds = [...new Set<string>([...calcKinds, ...policyKinds])];
for (const kind of kinds)
  test(`FX-002: a ${kind} with any field of any type harms nobody else`, () => {
    const properties = kindDefinition(kind as 'IPPool').schema.properties ?? {};
    const fields = Object.keys(properties['spec']?.properties ?? {});
    const bodies = [
      ...junk.map((value) => ({ spec: value })),
      ...fields.flatMap((field) => junk.map((value) => ({ spec: { ...good[kind], [field]: value } }))),
      ...Object.keys(properties).flatMap((field) =>
        junk.map((value) => ({ spec: good[kind] ?? {}, [field]: value })),
      ),
    ];
    for (const body of bodies) {
      const graph = new CalculationGraph({ nodeName: 'n1', policy: true });
      graph.update(workload);
      assert.doesNotThrow(() => {
        graph.update(put(kind, body));
        graph.flush();
      }, JSON.stringify(body));
      assert.ok(graph.state().tables.routes.has('10.0.0.9/32'), JSON.stringify(body));
    }
  });

test('FX-002: an object that became unreadable is as if it had gone, is named, and is back when it can be read', () => {
  const graph = new CalculationGraph({ nodeName: 'n1', policy: true });
  const whole = put('IPPool', { metadata: { name: 'p' }, spec: good['IPPool'] });
  const rows = (): number => {
    graph.flush();
    return graph.state().tables.members.size;
  };
  assert.equal(rows(), 0);
  graph.update(whole);
  const withPool = rows();
  assert.ok(withPool > 0);
  graph.update(put('IPPool', { metadata: { name: 'p' }, spec: { cidr: 7 } }));
  assert.equal(rows(), 0);
  assert.deepEqual([...graph.unreadable], [['IPPool p', 'spec.cidr: must be a text']]);
  graph.update(whole);
  assert.equal(rows(), withPool);
  assert.equal(graph.unreadable.size, 0);
  // Null is not given.
  graph.update(put('IPPool', { metadata: { name: 'p' }, spec: { ...good['IPPool'], ipipMode: null } }));
  assert.equal(rows(), withPool);
});

test('FX-002: a policy whose selector means nothing is not absent: it denies', () => {
  const graph = new CalculationGraph({ nodeName: 'n1', policy: true });
  graph.update(workload);
  graph.update(
    put('GlobalNetworkPolicy', { metadata: { name: 'p' }, spec: { selector: '((', ingress: null } }),
  );
  const told = graph.flush().policy;
  assert.ok(told.some((change) => change.type === 'policy'));
  assert.equal(graph.unreadable.size, 0);
});
