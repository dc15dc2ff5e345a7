import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { until } from '../../lib/wait.ts';
import { podNamed, startTestServer, TestWatch, itemsOf } from '../testing.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';

test('without a revision the state comes first, then changes in order', async (t) => {
  const { send, url } = await startTestServer(t);
  for (const name of ['a', 'b']) await send('POST', maps, { metadata: { name } });
  const watch = await TestWatch.open(t, url, '/api/v1/configmaps?watch=true');
  assert.deepEqual(await watch.take(2), ['ADDED a', 'ADDED b']);
  await send('PUT', `${maps}/a`, { metadata: { name: 'a' }, data: { x: '1' } });
  await send('DELETE', `${maps}/b`);
  assert.deepEqual(await watch.take(2), ['MODIFIED a', 'DELETED b']);
});

test('RS-004: from a revision only what came after it, each change once', async (t) => {
  const { send, url } = await startTestServer(t);
  await send('POST', maps, { metadata: { name: 'a' } });
  const { body } = await send('GET', maps);
  const revision = String(body['metadata']?.['resourceVersion']);
  for (const name of ['b', 'c']) await send('POST', maps, { metadata: { name } });
  const watch = await TestWatch.open(t, url, `${maps}?watch=1&resourceVersion=${revision}`);
  await send('POST', maps, { metadata: { name: 'd' } });
  assert.deepEqual(await watch.take(3), ['ADDED b', 'ADDED c', 'ADDED d']);
});

test('objects enter and leave a selection', async (t) => {
  const { send, url } = await startTestServer(t);
  const watch = await TestWatch.open(t, url, `${pods}?watch=true&fieldSelector=spec.nodeName%3Dw1`);
  await send('POST', pods, podNamed('other', {}, { nodeName: 'w2' }));
  await send('POST', pods, podNamed('a'));
  await send('POST', `${pods}/a/binding`, { target: { name: 'w1' } });
  const added = await watch.next();
  assert.equal(`${added?.type} ${String(added?.object['metadata']?.['name'])}`, 'ADDED a');
  const labelled = await TestWatch.open(
    t,
    url,
    `${pods}?watch=true&labelSelector=in&resourceVersion=${String(added?.object['metadata']?.['resourceVersion'])}`,
  );
  const patch = (labels: unknown): Promise<unknown> =>
    send('PATCH', `${pods}/a`, { metadata: { labels } }, { 'content-type': 'application/merge-patch+json' });
  await patch({ in: 'yes' });
  await patch({ more: 'yes' });
  await patch({ in: null });
  await patch({ more: null });
  assert.deepEqual(await labelled.take(2), ['ADDED a', 'MODIFIED a']);
  const left = await labelled.next();
  assert.equal(left?.type, 'DELETED');
  // The object as it was when it still matched, at the revision of the change.
  assert.deepEqual(left?.object['metadata']?.['labels'], { in: 'yes', more: 'yes' });
});

test('a revision that is no longer kept is Expired; so is one of another database', async (t) => {
  const { send, url } = await startTestServer(t, { limits: { historyEvents: 5 } });
  for (let i = 0; i < 20; i++) await send('POST', maps, { metadata: { name: `m${i}` } });
  const watch = await TestWatch.open(t, url, `${maps}?watch=true&resourceVersion=3`);
  const line = await watch.next();
  assert.equal(line?.type, 'ERROR');
  assert.equal(line?.object['code'], 410);
  assert.equal(line?.object['reason'], 'Expired');
  assert.equal(await watch.next(), undefined);
  assert.equal((await send('GET', `${maps}?watch=true&resourceVersion=999999`)).code, 410);
});

test('sendInitialEvents: the state, then a bookmark that says so', async (t) => {
  const { send, url } = await startTestServer(t);
  await send('POST', maps, { metadata: { name: 'a' } });
  const watch = await TestWatch.open(
    t,
    url,
    `${maps}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan`,
  );
  assert.deepEqual(await watch.take(1), ['ADDED a']);
  const bookmark = await watch.next();
  assert.equal(bookmark?.type, 'BOOKMARK');
  assert.equal(bookmark?.object['metadata']?.['annotations']?.['k8s.io/initial-events-end'], 'true');
  assert.match(String(bookmark?.object['metadata']?.['resourceVersion']), /^\d+$/);
});

test('timeoutSeconds ends the stream, with a bookmark before when wanted', async (t) => {
  const { send, url } = await startTestServer(t);
  const { body } = await send('GET', maps);
  const revision = String(body['metadata']?.['resourceVersion']);
  const watch = await TestWatch.open(
    t,
    url,
    `${maps}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=${revision}`,
  );
  await send('POST', '/api/v1/namespaces/default/secrets', { metadata: { name: 'elsewhere' } });
  const bookmark = await watch.next();
  assert.equal(bookmark?.type, 'BOOKMARK');
  assert.ok(
    Number(bookmark?.object['metadata']?.['resourceVersion']) > Number(revision),
    'a bookmark moves with changes of other kinds',
  );
  assert.equal(await watch.next(), undefined);
});

test('as a table, columns come with the first event only', async (t) => {
  const { send, url } = await startTestServer(t);
  await send('POST', pods, podNamed('a'));
  const watch = await TestWatch.open(t, url, `${pods}?watch=true`, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  });
  const first = await watch.next();
  assert.equal(first?.object['kind'], 'Table');
  assert.equal(first?.object['rows']?.[0]?.['cells']?.[0], 'a');
  assert.ok(itemsOf(first?.object['columnDefinitions']).length > 5);
  await send('POST', pods, podNamed('b'));
  assert.deepEqual(itemsOf((await watch.next())?.object['columnDefinitions']), []);
});

test('a thousand watches all see a change, and all end when the server stops', async (t) => {
  const { send, url, server } = await startTestServer(t);
  const watches = await Promise.all(
    Array.from({ length: 1000 }, () => TestWatch.open(t, url, `${maps}?watch=true&resourceVersion=1`)),
  );
  await send('POST', maps, { metadata: { name: 'a' } });
  for (const watch of watches) assert.deepEqual(await watch.take(1), ['ADDED a']);
  await server.stop();
  for (const watch of watches) assert.equal(await watch.next(), undefined);
});

test('a watcher that reads nothing is cut off; the others are not held up', async (t) => {
  const { send, url } = await startTestServer(t, { limits: { stalledWatchMs: 200 } });
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  t.after(() => socket.destroy());
  let closed = false;
  socket.on('close', () => {
    closed = true;
  });
  socket.on('error', () => undefined);
  socket.write(`GET ${maps}?watch=true HTTP/1.1\r\nhost: x\r\n\r\n`);
  socket.pause();
  const reader = await TestWatch.open(t, url, `${maps}?watch=true`);
  const data = { x: 'y'.repeat(500_000) };
  for (let i = 0; i < 40; i++) await send('POST', maps, { metadata: { name: `m${i}` }, data });
  assert.equal((await reader.take(40)).length, 40);
  const gone = await until(
    () => {
      socket.resume();
      return closed ? true : undefined;
    },
    { timeoutMs: 5000, everyMs: 300 },
  );
  assert.equal(gone, true);
});
