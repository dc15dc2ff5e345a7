// `margay agent` as a process against `margay apiserver`: the whole way from a Pod to a route, the agent killed under
// traffic, the API server gone and back.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { interfaceNameFor } from '../../src/model/mod.ts';
import { type KernelEvent } from '../../src/kernel/mod.ts';
import { Cluster, killed } from './support/felix-cluster.ts';
import { TestNode, unable } from './support/felix-node.ts';

const skip = unable('curl') ?? false;
const pods = { a: '10.244.1.2', b: '10.244.1.3' } as const;

test('SR-022, FX-009, BG-082: from Pods to packets; agent killed under traffic; API server gone and back', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using cluster = new Cluster(node);
  node.ip('node', 'link set lo up');
  const links = Object.fromEntries(
    Object.keys(pods).map((name) => [name, interfaceNameFor('default', name)]),
  );
  for (const [name, address] of Object.entries(pods)) await node.pod(name, address, links[name]);

  // The agent waits for a datastore that is not there yet.
  const first = cluster.startAgent();
  await cluster.startApiServer();
  await cluster.createNode();
  for (const [name, address] of Object.entries(pods)) await cluster.createPod(name, address);
  await cluster.ready();
  assert.ok(await node.pingWorks('a', pods.b));
  assert.equal(readFileSync(join(cluster.directory, 'var/lib/calico/nodename'), 'utf8'), 'n1');
  assert.equal(readFileSync(join(cluster.directory, 'var/lib/calico/mtu'), 'utf8'), '1500');

  const events: KernelEvent[] = [];
  const subscription = node.kernel.subscribe(['routes', 'nftables'], (event) => {
    if (event.type !== 'route' && event.type !== 'route-deleted') events.push(event);
    else if (event.route.protocol !== 2) events.push(event);
  });
  const traffic = node.run('a', ['ping', '-n', '-q', '-i', '0.01', '-c', '400', pods.b]);
  await killed(first);
  const second = cluster.startAgent();
  await cluster.ready();
  assert.match((await traffic).output, /400 received, 0% packet loss/);
  assert.deepEqual(events, [], 'the restart touched nothing');

  await cluster.stopApiServer();
  assert.ok(await node.pingWorks('a', pods.b));
  assert.deepEqual(events, [], 'a lost datastore changes nothing');
  await cluster.startApiServer();
  await cluster.request('DELETE', '/api/v1/namespaces/default/pods/b?gracePeriodSeconds=0');
  const gone = await until(() => (cluster.routes().includes(pods.b) ? undefined : true), {
    timeoutMs: 60_000,
    everyMs: 100,
  });
  assert.ok(gone, 'the difference arrives');
  assert.match(cluster.routes(), new RegExp(pods.a));
  subscription.close();

  await killed(second, 'SIGTERM');
  assert.match(cluster.routes(), new RegExp(pods.a), 'the dataplane stays');
});
