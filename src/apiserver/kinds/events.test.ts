import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemsOf, startTestServer } from '../testing.ts';

const core = '/api/v1/namespaces/default/events';
const later = '/apis/events.k8s.io/v1/namespaces/default/events';

test('events are the same in both groups, under the names of each', async (t) => {
  const { send } = await startTestServer(t);
  const about = { kind: 'Pod', name: 'a', namespace: 'default', apiVersion: 'v1' };
  const times = { firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:00:05Z' };
  const old = await send('POST', core, {
    metadata: { name: 'one' },
    involvedObject: about,
    reason: 'Started',
    message: 'it runs',
    type: 'Normal',
    count: 2,
    ...times,
    source: { component: 'kubelet', host: 'n' },
  });
  assert.equal(old.code, 201);
  const shown = (await send('GET', `${later}/one`)).body;
  assert.equal(String(shown['apiVersion']), 'events.k8s.io/v1');
  assert.equal(String(shown['note']), 'it runs');
  assert.equal(String(shown['regarding']?.['name']), 'a');
  assert.equal(String(shown['deprecatedCount']), '2');
  assert.equal(shown['involvedObject'], undefined);
  const made = await send('POST', later, {
    metadata: { name: 'two' },
    regarding: about,
    reason: 'Killing',
    note: 'it ends',
    type: 'Normal',
    action: 'Killing',
    reportingController: 'kubelet',
    reportingInstance: 'n',
    eventTime: '2026-01-01T00:00:07.000000Z',
  });
  assert.equal(made.code, 201, JSON.stringify(made.body));
  const two = (await send('GET', `${core}/two`)).body;
  assert.equal(String(two['message']), 'it ends');
  assert.equal(String(two['source']?.['component']), 'kubelet');
  const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  for (const path of [core, later]) {
    const rows = itemsOf((await send('GET', path, undefined, accept)).body['rows']);
    assert.deepEqual(
      rows.map((row) => itemsOf(row['cells']).slice(1, 4).map(String)),
      [
        ['Normal', 'Started', 'pod/a'],
        ['Normal', 'Killing', 'pod/a'],
      ],
    );
  }
  const selected = await send('GET', `${core}?fieldSelector=involvedObject.name=a,reason=Killing`);
  assert.equal(itemsOf(selected.body['items']).length, 1);
});
