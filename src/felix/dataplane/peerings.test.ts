// Addresses that workloads peer with, on the fake kernel (BG-021).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../lib/ip/mod.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { FakeHost } from '../../kernel/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../calc/mod.ts';
import { Dataplane } from './dataplane.ts';

const set = (kind: string, name: string, spec: object, labels: object = {}): CalcUpdate =>
  ({ type: 'set', kind, object: { kind, metadata: { name, namespace: 'default', labels }, spec } }) as never;
const pod = (name: string, role: string): CalcUpdate =>
  set(
    'WorkloadEndpoint',
    name,
    {
      node: 'n1',
      interfaceName: `cali${name}`,
      ipNetworks: ['10.244.0.7/32', 'fd00::7/128'],
      containerID: name,
    },
    { role },
  );

test('BG-021: the address of peering is at the interface of each pod that a BGPPeer selects, and nowhere else', async (t) => {
  const host = new FakeHost();
  const kernel = host.kernel();
  const make = async (name: string): Promise<number> =>
    expect(await kernel.links.create({ name, kind: 'veth', up: true, peer: { name: `p${name}` } }), name)
      .index;
  await make('calia');
  const other = await make('calib');
  // An earlier run's, of a peer that is no more.
  const left = { address: '169.254.8.8' as Address, length: 32, linkIndex: other };
  await kernel.addresses.apply([{ op: 'add', address: left }]);
  const graph = new CalculationGraph({ nodeName: 'n1' });
  const dataplane = new Dataplane({ kernel });
  t.after(() => dataplane.stop());
  const tell = (...updates: readonly CalcUpdate[]): void => {
    for (const update of updates) graph.update(update);
    dataplane.apply(graph.flush());
  };
  const addresses = async (): Promise<readonly string[]> => {
    const names = new Map(expect(await kernel.links.list(), 'links').map(({ index, name }) => [index, name]));
    return expect(await kernel.addresses.list(), 'addresses')
      .filter(({ linkIndex }) => names.get(linkIndex)?.startsWith('cali') === true)
      .map(({ address, length, linkIndex }) => `${names.get(linkIndex)} ${address}/${length}`)
      .toSorted();
  };
  const become = async (...wanted: readonly string[]): Promise<void> => {
    const isSo = async (): Promise<true | undefined> =>
      (await addresses()).join() === wanted.join() ? true : undefined;
    if ((await until(isSo, { timeoutMs: 10_000 })) === undefined) assert.deepEqual(await addresses(), wanted);
  };
  const bgp = { localWorkloadPeeringIPV4: '169.254.9.1', localWorkloadPeeringIPV6: 'fd00:9::1' };
  const peer = { asNumber: 65001, localWorkloadSelector: "role == 'router'" };
  tell(
    pod('a', 'router'),
    pod('b', 'web'),
    set('BGPConfiguration', 'default', bgp),
    set('BGPPeer', 'local', peer),
  );
  expect(await dataplane.start(), 'start');
  await become('calia 169.254.9.1/32', 'calia fd00:9::1/128');
  // Taken away by another hand.
  const [own] = expect(await kernel.addresses.list(), 'list').filter(
    ({ address }) => address === bgp.localWorkloadPeeringIPV4,
  );
  assert.ok(own !== undefined);
  await kernel.addresses.apply([{ op: 'delete', address: own }]);
  await become('calia 169.254.9.1/32', 'calia fd00:9::1/128');
  tell(pod('b', 'router'), set('BGPConfiguration', 'default', { localWorkloadPeeringIPV4: '169.254.9.2' }));
  await become('calia 169.254.9.2/32', 'calib 169.254.9.2/32');
  tell(set('BGPPeer', 'local', { ...peer, node: 'n2' }));
  await become();
});
