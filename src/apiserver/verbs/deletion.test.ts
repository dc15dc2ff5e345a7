import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../lib/wait.ts';
import { type Json, podNamed, type Send, startTestServer, itemsOf } from '../testing.ts';

const pods = '/api/v1/namespaces/default/pods';
const maps = '/api/v1/namespaces/default/configmaps';
const mergePatch = { 'content-type': 'application/merge-patch+json' };

const gone = (send: Send, path: string): Promise<true | undefined> =>
  until(async () => ((await send('GET', path)).code === 404 ? true : undefined), { timeoutMs: 5000 });

test('a plain delete answers with a Status, or with the pod', async (t) => {
  const { send } = await startTestServer(t);
  const created = await send('POST', maps, { metadata: { name: 'a' } });
  const deleted = await send('DELETE', `${maps}/a`);
  assert.deepEqual(deleted.body, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: 'a',
      kind: 'configmaps',
      uid: String(created.body['metadata']?.['uid']),
    } as unknown as Json,
  });
  const missing = await send('DELETE', `${maps}/a`);
  assert.equal(missing.body['message'], 'configmaps "a" not found');
  await send('POST', pods, podNamed('p'));
  assert.equal((await send('DELETE', `${pods}/p`)).body['kind'], 'Pod');
});

test('a pod on a node gets its grace period and goes when the node says so', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', pods, podNamed('p', {}, { nodeName: 'w1', terminationGracePeriodSeconds: 20 }));
  const marked = await send('DELETE', `${pods}/p`);
  assert.equal(marked.body['metadata']?.['deletionGracePeriodSeconds'], 20);
  assert.ok(marked.body['metadata']?.['deletionTimestamp']);
  assert.equal((await send('GET', `${pods}/p`)).code, 200);
  const status = await send('PATCH', `${pods}/p/status`, { status: { phase: 'Running' } }, mergePatch);
  assert.equal(status.code, 200);
  assert.equal((await send('GET', `${pods}/p`)).code, 200, 'a status write does not end the grace period');
  const shorter = await send('DELETE', `${pods}/p`, { gracePeriodSeconds: 5 });
  assert.equal(shorter.body['metadata']?.['deletionGracePeriodSeconds'], 5);
  assert.equal((await send('DELETE', `${pods}/p`, { gracePeriodSeconds: 0 })).code, 200);
  assert.equal((await send('GET', `${pods}/p`)).code, 404);
});

test('preconditions: only that very object', async (t) => {
  const { send } = await startTestServer(t);
  const { body } = await send('POST', maps, { metadata: { name: 'a' } });
  const wrong = await send('DELETE', `${maps}/a`, { preconditions: { uid: 'other' } });
  assert.equal(wrong.code, 409);
  assert.match(String(wrong.body['message']), /Precondition failed: UID in precondition: other/);
  assert.equal((await send('DELETE', `${maps}/a`, { preconditions: { resourceVersion: '1' } })).code, 409);
  const right = { uid: body['metadata']?.['uid'], resourceVersion: body['metadata']?.['resourceVersion'] };
  assert.equal((await send('DELETE', `${maps}/a`, { preconditions: right })).code, 200);
});

test('finalizers keep an object until the last one is taken off', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', maps, { metadata: { name: 'a', finalizers: ['x.io/one', 'x.io/two'] } });
  const deleted = await send('DELETE', `${maps}/a`);
  assert.ok(deleted.body['metadata']?.['deletionTimestamp']);
  const more = await send(
    'PATCH',
    `${maps}/a`,
    { metadata: { finalizers: ['x.io/one', 'x.io/two', 'x.io/three'] } },
    mergePatch,
  );
  assert.match(String(more.body['message']), /no new finalizers can be added/);
  await send('PATCH', `${maps}/a`, { metadata: { finalizers: ['x.io/two'] } }, mergePatch);
  assert.equal((await send('GET', `${maps}/a`)).code, 200);
  await send('PATCH', `${maps}/a`, { metadata: { finalizers: null } }, mergePatch);
  assert.equal((await send('GET', `${maps}/a`)).code, 404);
});

test('deletecollection takes what is selected', async (t) => {
  const { send } = await startTestServer(t);
  for (const name of ['a', 'b', 'c'])
    await send('POST', maps, { metadata: { name, labels: { keep: String(name === 'b') } } });
  const deleted = await send('DELETE', `${maps}?labelSelector=keep%3Dfalse`);
  assert.equal(itemsOf(deleted.body['items']).length, 2);
  assert.equal((await send('GET', `${maps}/b`)).code, 200);
  assert.equal((await send('GET', `${maps}/a`)).code, 404);
  assert.equal((await send('DELETE', '/api/v1/configmaps')).code, 405, 'not over all namespaces');
});

const owned = (name: string, owner: Json, extra: Record<string, unknown> = {}): unknown => ({
  metadata: {
    name,
    ownerReferences: [
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        name: String(owner['metadata']?.['name']),
        uid: String(owner['metadata']?.['uid']),
        ...extra,
      },
    ],
  },
});

test('dependents: background, foreground, orphan, and an owner that never was', async (t) => {
  const { send } = await startTestServer(t);
  const make = async (name: string): Promise<Json> => (await send('POST', maps, { metadata: { name } })).body;
  const a = await make('a');
  await send('POST', maps, owned('a1', a));
  await send('DELETE', `${maps}/a`);
  assert.ok(await gone(send, `${maps}/a1`));

  const b = await make('b');
  await send('POST', maps, { ...(owned('b1', b, { blockOwnerDeletion: true }) as object) });
  await send('PATCH', `${maps}/b1`, { metadata: { finalizers: ['x.io/wait'] } }, mergePatch);
  const foreground = await send('DELETE', `${maps}/b`, { propagationPolicy: 'Foreground' });
  assert.deepEqual(foreground.body['metadata']?.['finalizers'], ['foregroundDeletion']);
  await until(
    async () =>
      (await send('GET', `${maps}/b1`)).body['metadata']?.['deletionTimestamp'] === undefined
        ? undefined
        : true,
    { timeoutMs: 5000 },
  );
  assert.equal((await send('GET', `${maps}/b`)).code, 200, 'the owner waits for its dependent');
  await send('PATCH', `${maps}/b1`, { metadata: { finalizers: null } }, mergePatch);
  assert.ok(await gone(send, `${maps}/b1`));
  assert.ok(await gone(send, `${maps}/b`));

  const c = await make('c');
  await send('POST', maps, owned('c1', c));
  await send('DELETE', `${maps}/c?propagationPolicy=Orphan`);
  assert.ok(await gone(send, `${maps}/c`));
  assert.equal((await send('GET', `${maps}/c1`)).body['metadata']?.['ownerReferences'], undefined);

  await send('POST', maps, owned('d1', { metadata: { name: 'd', uid: 'never' } } as unknown as Json));
  assert.ok(await gone(send, `${maps}/d1`));
});

test('a deleted namespace empties itself, waits for its pods, and takes nothing new', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', '/api/v1/namespaces', { metadata: { name: 'team' } });
  const there = '/api/v1/namespaces/team';
  assert.ok(
    await until(
      async () => ((await send('GET', `${there}/serviceaccounts/default`)).code === 200 ? true : undefined),
      { timeoutMs: 5000 },
    ),
  );
  await send('POST', `${there}/configmaps`, { metadata: { name: 'a' } });
  await send('POST', `${there}/pods`, podNamed('p', {}, { nodeName: 'w1' }));
  const deleted = await send('DELETE', there);
  assert.equal(deleted.body['status']?.['phase'], 'Terminating');
  assert.ok(await gone(send, `${there}/configmaps/a`));
  const refused = await send('POST', `${there}/configmaps`, { metadata: { name: 'b' } });
  assert.equal(refused.code, 403);
  assert.equal(
    refused.body['message'],
    'configmaps "b" is forbidden: unable to create new content in namespace team because it is being terminated',
  );
  assert.equal(refused.body['details']?.['causes']?.[0]?.['reason'], 'NamespaceTerminating');
  assert.equal((await send('GET', there)).code, 200, 'the pod on a node is still there');
  await send('DELETE', `${there}/pods/p`, { gracePeriodSeconds: 0 });
  assert.ok(await gone(send, there));
});
