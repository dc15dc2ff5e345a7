// Which node answers for which address of its own subnet (FX-086).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address, Prefix } from '../../lib/ip/mod.ts';
import { answeringNode } from './answered.ts';
import { CalculationGraph } from './graph.ts';
import type { NodeFacts } from './network/types.ts';
import type { CalcUpdate } from './types.ts';

const set = (kind: string, name: string, spec: object, status?: object): CalcUpdate =>
  ({ type: 'set', kind, object: { kind, metadata: { name, namespace: 'default' }, spec, status } }) as never;
const endpoint = (name: string, ...ipNetworks: readonly string[]): CalcUpdate =>
  set('WorkloadEndpoint', name, { node: 'n1', interfaceName: `cali${name}`, ipNetworks, containerID: name });
const service = (type: string, ...ips: readonly string[]): CalcUpdate =>
  set(
    'Service',
    'web',
    { type, loadBalancerIP: '10.0.0.99' },
    { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } },
  );
const facts = (address: string, network: string): NodeFacts =>
  ({ v4: { address, network }, addresses: [], tunnels: [], vtep: undefined, wireguard: undefined }) as never;

function graphWith(...updates: readonly CalcUpdate[]): CalculationGraph {
  const graph = new CalculationGraph({ nodeName: 'n1' });
  graph.update(set('FelixConfiguration', 'default', { localSubnetL2Reachability: 'PodsAndLoadBalancers' }));
  graph.update(set('Node', 'n1', { bgp: { ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' } }));
  for (const update of updates) graph.update(update);
  graph.flush();
  return graph;
}
const answered = (graph: CalculationGraph): readonly string[] =>
  [...graph.state().tables.answered.keys()].toSorted();

test('FX-086: pods and load balancers of pools without an overlay, in both families', () => {
  const graph = graphWith(
    set('IPPool', 'plain', { cidr: '10.0.0.0/24', ipipMode: 'Never' }),
    set('IPPool', 'plain6', { cidr: 'fd00::/64' }),
    set('IPPool', 'tunnelled', { cidr: '10.0.1.0/24', vxlanMode: 'CrossSubnet' }),
    endpoint('a', '10.0.0.7/32', 'fd00::7/128'),
    endpoint('b', '10.0.1.7/32'),
    service('LoadBalancer', '10.0.0.80', '10.0.1.80', 'fd00::80'),
  );
  assert.deepEqual(answered(graph), ['10.0.0.7', '10.0.0.80', '10.0.0.99', 'fd00::7', 'fd00::80']);
  const loops = [...graph.state().tables.serviceLoops.values()].map(({ ranges }) => ranges.join());
  assert.deepEqual(loops, ['10.0.0.80/32,10.0.0.99/32', 'fd00::80/128'], 'FX-068 holds for them');
  graph.update(service('NodePort', '10.0.0.80'));
  graph.update(set('IPPool', 'plain6', { cidr: 'fd00::/64', vxlanMode: 'Always' }));
  graph.flush();
  assert.deepEqual(answered(graph), ['10.0.0.7']);
  assert.equal(graph.state().tables.serviceLoops.size, 0);
});

test('FX-086: all nodes agree on the one that answers for a service; of those beside the address, when there are some', () => {
  const nodes = new Map(
    Array.from({ length: 20 }, (_, i) => [
      `n${i}`,
      facts(`10.${i % 2}.0.${i + 1}`, `10.${i % 2}.0.0/24` as Prefix),
    ]),
  );
  const own = new Map<string, number>();
  for (let i = 0; i < 200; i++) {
    const address = `10.1.0.${i}` as Address;
    const node = answeringNode(address, nodes) ?? '';
    own.set(node, (own.get(node) ?? 0) + 1);
    // Another node that goes changes nothing.
    const without = new Map([...nodes].filter(([name]) => name === node || name !== `n${(i % 10) * 2 + 1}`));
    assert.equal(answeringNode(address, without), node);
  }
  assert.equal(own.size, 10, 'the ten of that subnet');
  assert.ok([...own.values()].every((count) => count > 5));
  assert.ok(
    nodes.has(answeringNode('172.16.0.1' as Address, nodes) ?? ''),
    'nobody is beside it: one of all',
  );
  assert.equal(answeringNode('fd00::1' as Address, nodes), undefined);
});
