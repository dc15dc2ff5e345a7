import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, podNamed, startTestServer, itemsOf } from '../testing.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const namesOf = (body: Json): readonly string[] =>
  itemsOf(body['items']).map((item) => String(item['metadata']?.['name']));

test('lists are in order, selected, and carry a resourceVersion', async (t) => {
  const { send } = await startTestServer(t);
  for (const name of ['c', 'a', 'b'])
    await send('POST', maps, { metadata: { name, labels: { even: String(name === 'b') } } });
  await send('POST', '/api/v1/namespaces/kube-system/configmaps', { metadata: { name: 'z' } });
  const all = await send('GET', '/api/v1/configmaps');
  assert.equal(all.body['kind'], 'ConfigMapList');
  assert.deepEqual(namesOf(all.body), ['a', 'b', 'c', 'z']);
  assert.match(String(all.body['metadata']?.['resourceVersion']), /^\d+$/);
  assert.deepEqual(namesOf((await send('GET', maps)).body), ['a', 'b', 'c']);
  assert.deepEqual(namesOf((await send('GET', `${maps}?labelSelector=even%3Dtrue`)).body), ['b']);
  assert.deepEqual(
    namesOf((await send('GET', '/api/v1/configmaps?fieldSelector=metadata.namespace%3Dkube-system')).body),
    ['z'],
  );
  assert.equal((await send('GET', `${maps}?labelSelector=%3D%3D`)).code, 400);
  assert.equal((await send('GET', `${maps}?limit=-1`)).code, 400);
  assert.equal((await send('GET', `${maps}?resourceVersion=x`)).code, 400);
});

test('pages show the list as it was when the first one was read', async (t) => {
  const { send } = await startTestServer(t);
  for (let i = 0; i < 7; i++) await send('POST', maps, { metadata: { name: `m${i}` } });
  const first = await send('GET', `${maps}?limit=3`);
  assert.deepEqual(namesOf(first.body), ['m0', 'm1', 'm2']);
  assert.equal(first.body['metadata']?.['remainingItemCount'], 4);
  await send('DELETE', `${maps}/m4`);
  await send('POST', maps, { metadata: { name: 'm3a' } });
  const second = await send(
    'GET',
    `${maps}?limit=3&continue=${String(first.body['metadata']?.['continue'])}`,
  );
  assert.deepEqual(namesOf(second.body), ['m3', 'm4', 'm5']);
  assert.equal(second.body['metadata']?.['resourceVersion'], first.body['metadata']?.['resourceVersion']);
  const last = await send('GET', `${maps}?limit=3&continue=${String(second.body['metadata']?.['continue'])}`);
  assert.deepEqual(namesOf(last.body), ['m6']);
  assert.equal(last.body['metadata']?.['continue'], undefined);
  assert.equal((await send('GET', `${maps}?continue=nonsense`)).code, 400);
  const exact = await send(
    'GET',
    `${maps}?resourceVersionMatch=Exact&resourceVersion=${String(first.body['metadata']?.['resourceVersion'])}`,
  );
  assert.deepEqual(namesOf(exact.body), ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6']);
});

test('a page whose revision is no longer kept is refused with a way to go on', async (t) => {
  const { send } = await startTestServer(t, { limits: { historyEvents: 5 } });
  for (let i = 0; i < 6; i++) await send('POST', maps, { metadata: { name: `m${i}` } });
  const first = await send('GET', `${maps}?limit=2`);
  for (let i = 0; i < 10; i++)
    await send('PUT', `${maps}/m5`, { metadata: { name: 'm5' }, data: { i: String(i) } });
  const late = await send('GET', `${maps}?limit=2&continue=${String(first.body['metadata']?.['continue'])}`);
  assert.equal(late.code, 410);
  assert.equal(late.body['reason'], 'Expired');
  const on = await send('GET', `${maps}?limit=9&continue=${String(late.body['metadata']?.['continue'])}`);
  assert.deepEqual(namesOf(on.body), ['m2', 'm3', 'm4', 'm5']);
});

test('a revision of the future is not there yet', async (t) => {
  const { send } = await startTestServer(t);
  const { code, body, headers } = await send('GET', `${maps}?resourceVersion=999999`);
  assert.equal(code, 504);
  assert.equal(body['reason'], 'Timeout');
  assert.equal(headers.get('retry-after'), '1');
});

test('tables: columns, cells, wide priorities, the objects of the rows', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', '/api/v1/namespaces/default/pods', podNamed('a', {}, { nodeName: 'w1' }));
  const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
  const { body } = await send('GET', '/api/v1/pods', undefined, accept);
  assert.equal(body['kind'], 'Table');
  const columns = itemsOf(body['columnDefinitions']).map(
    (one) => `${String(one['name'])}:${String(one['priority'])}`,
  );
  assert.deepEqual(columns, [
    'Name:0',
    'Ready:0',
    'Status:0',
    'Restarts:0',
    'Age:0',
    'IP:1',
    'Node:1',
    'Nominated Node:1',
    'Readiness Gates:1',
  ]);
  const row = body['rows']?.[0];
  assert.deepEqual(itemsOf(row?.['cells']).slice(0, 4), ['a', '0/1', 'Pending', '0']);
  assert.equal(row?.['cells']?.[6], 'w1');
  assert.equal(row?.['object']?.['kind'], 'PartialObjectMetadata');
  const one = await send('GET', '/api/v1/namespaces/default/pods/a?includeObject=Object', undefined, accept);
  assert.equal(one.body['rows']?.[0]?.['object']?.['kind'], 'Pod');
  const metadata = await send('GET', '/api/v1/pods', undefined, {
    accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
  });
  assert.equal(metadata.body['kind'], 'PartialObjectMetadataList');
  assert.equal(metadata.body['items']?.[0]?.['spec'], undefined);
  assert.equal(
    (await send('GET', '/api/v1/pods', undefined, { accept: 'application/vnd.kubernetes.protobuf' })).code,
    406,
  );
});

test('the columns of an IP pool are Calico’s', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', '/apis/projectcalico.org/v3/ippools', {
    metadata: { name: 'p' },
    spec: { cidr: '10.0.0.0/16', vxlanMode: 'Always', natOutgoing: true },
  });
  const { body } = await send('GET', '/apis/projectcalico.org/v3/ippools', undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  });
  assert.deepEqual(
    itemsOf(body['columnDefinitions'])
      .slice(0, 5)
      .map((one) => String(one['name'])),
    ['Name', 'CIDR', 'VXLAN', 'IPIP', 'NAT'],
  );
  assert.deepEqual(itemsOf(body['rows']?.[0]?.['cells']).slice(0, 5), [
    'p',
    '10.0.0.0/16',
    'Always',
    'Never',
    true,
  ]);
});
