// Every resource that a plan is made of leads to a new plan when it comes, changes or goes; what concerns nobody leads to none.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MemoryStore, type Datastore } from '../../datastore/mod.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { KindName } from '../../model/mod.ts';
import { computePlan, type BgpPlan } from '../plan/mod.ts';
import { configFromPlan } from './config-plan.ts';
import { PlanSource } from './plan-source.ts';

let store: Datastore;
let source: PlanSource;
const plans: BgpPlan[] = [];
let passwords: ReadonlyMap<string, string> = new Map();

const coreKinds: ReadonlySet<KindName> = new Set(['Secret', 'Service']);
const resource = (kind: KindName, name: string, more: object) => ({
  apiVersion: coreKinds.has(kind)
    ? 'v1'
    : kind === 'EndpointSlice'
      ? 'discovery.k8s.io/v1'
      : 'projectcalico.org/v3',
  kind,
  metadata: { name },
  ...more,
});
const create = async (kind: KindName, name: string, more: object): Promise<void> =>
  void expect(await store.create(kind, resource(kind, name, more) as never), `create ${kind} ${name}`);
/** A change of what is there. */
async function change(kind: KindName, name: string, more: object, namespace?: string): Promise<void> {
  const key = { name, ...(namespace === undefined ? {} : { namespace }) };
  const old = expect(await store.get(kind, key), `get ${kind} ${name}`);
  expect(await store.update(kind, { ...old, ...more } as never), `update ${kind} ${name}`);
}
const namespaced = (name: string, namespace: string, labels: Record<string, string> = {}) => ({
  metadata: { name, namespace, labels },
});
async function becomes(what: string, is: (plan: BgpPlan) => boolean): Promise<BgpPlan> {
  const last = (): BgpPlan | undefined => plans.findLast((p) => p === plans.at(-1) && is(p));
  const found = await until(last, { timeoutMs: 30_000, everyMs: 5 });
  return found ?? assert.fail(`${what}: ${JSON.stringify(plans.at(-1))}`);
}
const addresses = (plan: BgpPlan): string => plan.peers.map((p) => p.address).join();
const origins = (plan: BgpPlan): string => plan.origins.map((o) => o.prefix).join();

before(async () => {
  store = new MemoryStore().open();
  await create('Node', 'a', { spec: { bgp: { ipv4Address: '10.0.0.1/24' } } });
  source = new PlanSource({
    store,
    nodeName: 'a',
    clock: systemClock,
    logger: silentLogger,
    computePlan,
    secretNamespace: 'calico-system',
    onPlan: (plan, known) => {
      plans.push(plan);
      passwords = known;
    },
  });
  source.start();
  await becomes('the first plan', (p) => p.local.routerId === '10.0.0.1');
});
after(async () => {
  await source.stop();
  await store.close();
});

test('BG-001: Node, IPPool, BlockAffinity, BGPConfiguration, BGPPeer and BGPFilter are followed', async () => {
  await create('Node', 'b', { spec: { bgp: { ipv4Address: '10.0.0.2/24' } } });
  await becomes('the mesh', (p) => addresses(p) === '10.0.0.2');
  await change('Node', 'b', { spec: { bgp: { ipv4Address: '10.0.0.3/24' } } });
  await becomes('an address that moves', (p) => addresses(p) === '10.0.0.3');
  await create('IPPool', 'pool', { spec: { cidr: '10.244.0.0/16' } });
  await becomes('a pool', (p) => p.pools.map((q) => q.prefix).join() === '10.244.0.0/16');
  await create('BlockAffinity', 'a-1', {
    spec: { state: 'confirmed', node: 'a', cidr: '10.244.1.0/26', type: 'host', deleted: false },
  });
  await becomes('a block', (p) => origins(p) === '10.244.1.0/26');
  await create('BGPConfiguration', 'default', { spec: { nodeToNodeMeshEnabled: false } });
  await becomes('no mesh', (p) => p.peers.length === 0);
  await create('BGPPeer', 'tor', { spec: { peerIP: '10.0.0.254', asNumber: 65001, filters: ['f'] } });
  const before = await becomes('a peer', (p) => addresses(p) === '10.0.0.254');
  await create('BGPFilter', 'f', { spec: { importV4: [{ action: 'Reject' }] } });
  await becomes('a filter', (p) => p.peers[0]?.importPolicy !== before.peers[0]?.importPolicy);
});

test('BG-001: Services and EndpointSlices are followed from the moment on that something of them is announced', async () => {
  await create('Service', 'web', {
    ...namespaced('web', 'default'),
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.7',
      externalTrafficPolicy: 'Local',
      ports: [{ port: 80 }],
    },
  });
  await change('BGPConfiguration', 'default', {
    spec: { nodeToNodeMeshEnabled: false, serviceClusterIPs: [{ cidr: '10.96.0.0/12' }] },
  });
  await becomes('the range', (p) => origins(p) === '10.96.0.0/12,10.244.1.0/26');
  const ready = { addresses: ['10.244.1.9'], nodeName: 'a', conditions: { ready: true } };
  const labels = { 'kubernetes.io/service-name': 'web' };
  await create('EndpointSlice', 'web-1', {
    ...namespaced('web-1', 'default', labels),
    addressType: 'IPv4',
    endpoints: [ready],
    ports: [],
  });
  await becomes('an endpoint here', (p) => origins(p).includes('10.96.0.7/32'));
  await change('EndpointSlice', 'web-1', { endpoints: [{ ...ready, nodeName: 'b' }] }, 'default');
  await becomes('an endpoint elsewhere', (p) => !origins(p).includes('10.96.0.7/32'));
});

test('BG-001, BG-014: Secrets are followed: a password that changes is another plan, and the engine gets the new one', async () => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const spec = { peerIP: '10.0.0.254', asNumber: 65001 };
  const password = { secretKeyRef: { name: 'bgp', key: 'tor' } };
  await change('BGPPeer', 'tor', { spec: { ...spec, password } });
  await create('Secret', 'bgp', { ...namespaced('bgp', 'calico-system'), data: { tor: base64('one') } });
  const first = await becomes('a password', (p) => p.peers[0]?.password !== undefined);
  assert.equal(passwords.get('bgp/tor'), 'one');
  await change('Secret', 'bgp', { data: { tor: base64('two') } }, 'calico-system');
  const rotated = (p: BgpPlan): boolean =>
    p.peers[0]?.password !== undefined && p.peers[0].password.revision !== first.peers[0]?.password?.revision;
  await becomes('another password', rotated);
  assert.equal(passwords.get('bgp/tor'), 'two');
  expect(await store.delete('Secret', { name: 'bgp', namespace: 'calico-system' }), 'delete');
  await becomes('a session without', (p) => p.peers.length === 1 && p.peers[0]?.password === undefined);
});

test('BG-001, BG-021: pods of this node that a BGPPeer selects are its peers while they are there', async () => {
  const pod = (name: string, node: string, address: string, labels: Record<string, string>) =>
    create('WorkloadEndpoint', name, {
      ...namespaced(name, 'default', labels),
      spec: { orchestrator: 'k8s', node, pod: name, endpoint: 'eth0', ipNetworks: [`${address}/32`] },
    });
  await create('BGPFilter', 'pods', { spec: { importV4: [{ action: 'Accept', cidr: '172.20.0.0/16' }] } });
  await create('BGPPeer', 'pods', {
    spec: { localWorkloadSelector: "bgp == 'yes'", asNumber: 65100, filters: ['pods'] },
  });
  await pod('one', 'a', '10.244.1.5', { bgp: 'yes' });
  await pod('mute', 'a', '10.244.1.6', {});
  await pod('away', 'b', '10.244.2.5', { bgp: 'yes' });
  const isPeer = (p: BgpPlan): boolean => p.peers.some((q) => q.name === 'Local_Workload_10_244_1_5');
  const plan = await becomes('a pod', isPeer);
  assert.deepEqual(
    plan.peers.filter((p) => p.type === 'localWorkload').map((p) => p.name),
    ['Local_Workload_10_244_1_5'],
  );
  const peer = plan.peers.find((p) => p.type === 'localWorkload');
  assert.deepEqual(
    { as: peer?.as, passive: peer?.passive, source: peer?.sourceAddress, filters: peer?.importFilters },
    { as: 65100, passive: true, source: undefined, filters: ['pods'] },
  );
  const neighbour = configFromPlan(plan)?.neighbours.find((n) => n.address === '10.244.1.5');
  assert.deepEqual(
    { kind: neighbour?.kind, passive: neighbour?.passive, as: neighbour?.as },
    { kind: 'local-workload', passive: true, as: 65100 },
  );
  expect(await store.delete('WorkloadEndpoint', { name: 'one', namespace: 'default' }), 'delete');
  await becomes('no pod', (p) => !isPeer(p));
});

test('BG-001: what changes nothing of a plan leads to none', async () => {
  const count = plans.length;
  await change('Node', 'b', { status: { podCIDRs: ['10.244.2.0/24'] } });
  // A change that counts comes through after it; so the other one was looked at.
  await change('BGPConfiguration', 'default', { spec: { asNumber: 65200 } });
  await becomes('an AS number', (p) => p.local.as === 65200);
  assert.equal(plans.length, count + 1);
});
