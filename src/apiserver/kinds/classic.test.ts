import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemsOf, startTestServer, TestWatch } from '../testing.ts';

const native = '/apis/projectcalico.org/v3';
const classic = '/apis/crd.projectcalico.org/v1';
const merge = { 'content-type': 'application/merge-patch+json' };

test('SR-041, SR-042: the classic kinds are listed, two of them in namespaces', async (t) => {
  const { send } = await startTestServer(t);
  const listed =
    'bgpconfigurations bgpfilters bgppeers blockaffinities caliconodestatuses clusterinformations felixconfigurations globalnetworkpolicies globalnetworksets hostendpoints ipamblocks ipamconfigs ipamhandles ippools ipreservations kubecontrollersconfigurations networkpolicies networksets'.split(
      ' ',
    );
  const resources = itemsOf((await send('GET', classic)).body['resources']);
  const byName = new Map(resources.map((one) => [String(one['name']), one]));
  const crds = itemsOf(
    (await send('GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions')).body['items'],
  );
  const definitions = new Set(crds.map((one) => String(one['metadata']?.['name'])));
  for (const name of listed) {
    const inNamespace = name === 'networkpolicies' || name === 'networksets';
    assert.equal(String(byName.get(name)?.['namespaced']), String(inNamespace), name);
    assert.ok(definitions.has(`${name}.crd.projectcalico.org`), name);
  }
  const kept = await send(
    'DELETE',
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ippools.crd.projectcalico.org',
  );
  assert.equal(kept.code, 403);
});

test('SR-047, SR-210: one object in two groups; the metadata stands in an annotation', async (t) => {
  const { send, url } = await startTestServer(t);
  const made = await send('POST', `${native}/ippools`, {
    metadata: { name: 'p', labels: { a: 'b' } },
    spec: { cidr: '10.1.0.0/16' },
  });
  const read = (await send('GET', `${classic}/ippools/p`)).body;
  assert.equal(String(read['apiVersion']), 'crd.projectcalico.org/v1');
  const text = String(read['metadata']?.['annotations']?.['projectcalico.org/metadata']);
  const inner = JSON.parse(text) as Record<string, unknown>;
  assert.equal(inner['uid'], String(made.body['metadata']?.['uid']));
  assert.equal(inner['creationTimestamp'], String(made.body['metadata']?.['creationTimestamp']));
  assert.deepEqual(inner['labels'], { a: 'b' });
  assert.deepEqual(read['spec'], made.body['spec']);
  const watch = await TestWatch.open(
    t,
    url,
    `${classic}/ippools?watch=true&resourceVersion=${String(read['metadata']?.['resourceVersion'])}`,
  );
  const patched = await send('PATCH', `${classic}/ippools/p`, { spec: { natOutgoing: true } }, merge);
  assert.equal(patched.code, 200, JSON.stringify(patched.body));
  const line = await watch.next();
  assert.equal(String(line?.object['apiVersion']), 'crd.projectcalico.org/v1');
  const after = (await send('GET', `${native}/ippools/p`)).body;
  assert.equal(String(after['spec']?.['natOutgoing']), 'true');
  assert.equal(after['metadata']?.['annotations'], undefined);
  const labelled = await send('PATCH', `${classic}/ippools/p`, { metadata: { labels: { c: 'd' } } }, merge);
  assert.deepEqual(labelled.body['metadata']?.['labels'], { a: 'b', c: 'd' });
  const refused = await send('PATCH', `${classic}/ippools/p`, { spec: { cidr: '10.2.0.0/16' } }, merge);
  assert.equal(refused.code, 422);
  const list = (await send('GET', `${classic}/ippools?labelSelector=c%3Dd`)).body;
  assert.equal(String(list['kind']), 'IPPoolList');
  assert.equal(itemsOf(list['items']).length, 1);
  assert.equal((await send('DELETE', `${classic}/ippools/p`)).code, 200);
  assert.equal((await send('GET', `${native}/ippools/p`)).code, 404);
});

test('classic writers bring metadata in the annotation, and say "false" in words', async (t) => {
  const { send } = await startTestServer(t);
  const made = await send('POST', `${classic}/blockaffinities`, {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'BlockAffinity',
    metadata: {
      name: 'n1-10-0-0-0-26',
      annotations: { 'projectcalico.org/metadata': '{"labels":{"x":"y"},"creationTimestamp":null}' },
    },
    spec: { cidr: '10.0.0.0/26', node: 'n1', state: 'confirmed', type: 'host', deleted: 'false' },
  });
  assert.equal(made.code, 201, JSON.stringify(made.body));
  assert.equal(String(made.body['spec']?.['deleted']), 'false');
  const read = (await send('GET', `${native}/blockaffinities/n1-10-0-0-0-26`)).body;
  assert.deepEqual(read['metadata']?.['labels'], { x: 'y' });
  assert.deepEqual(read['spec']?.['deleted'], false);
  const config = await send('POST', `${classic}/ipamconfigs`, {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'IPAMConfig',
    metadata: { name: 'default' },
    spec: { strictAffinity: true, autoAllocateBlocks: true },
  });
  assert.equal(config.code, 201, JSON.stringify(config.body));
  assert.equal((await send('GET', `${native}/ipamconfigurations/default`)).code, 200);
});
