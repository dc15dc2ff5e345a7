import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../datastore/mod.ts';
import { silentLogger } from '../lib/log.ts';
import { until } from '../lib/wait.ts';
import type { Pod } from '../model/mod.ts';
import { startPodLimits } from './mod.ts';

const pod = (name: string, limits: Readonly<Record<string, string>>): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', annotations: limits },
  spec: { containers: [{ name: 'c', image: 'i' }] },
  status: { podIP: '10.0.0.1' },
});
const limit = 'qos.projectcalico.org/ingressBandwidth';

test('RS-190: a bad limit that somebody writes to a running pod is told in an event, once', async (t) => {
  const store = new MemoryStore();
  store.put('Pod', pod('web', {}), pod('bad', { [limit]: 'old' }));
  const controller = startPodLimits({ datastore: store.open(), logger: silentLogger });
  t.after(() => controller.stop());
  const client = store.open();
  const edit = async (name: string, value: string): Promise<void> => {
    const body = { metadata: { annotations: { [limit]: value } } };
    assert.ok((await client.patch('Pod', { name, namespace: 'shop' }, { type: 'merge', body })).ok);
  };
  // Whether it has seen the pods as they were is known by what it says of the next change only.
  let round = 0;
  const first = await until(
    async () => {
      await edit('web', `fast${round++}`);
      return store.all('Event')[0];
    },
    { timeoutMs: 10_000, everyMs: 20 },
  );
  assert.match(first?.message ?? '', /ingressBandwidth is left out: "fast\d+" is not a quantity\./);
  assert.deepEqual([first?.reason, first?.type, first?.involvedObject.name], ['BadLimit', 'Warning', 'web']);
  await edit('web', '10M');
  await edit('web', 'last');
  await client.patch(
    'Pod',
    { name: 'web', namespace: 'shop' },
    { type: 'merge', body: { metadata: { labels: { a: 'b' } } } },
  );
  await edit('bad', 'new');
  const of = (text: string): number =>
    store.all('Event').filter(({ message = '' }) => message.includes(text)).length;
  await until(() => (of('"new"') > 0 ? true : undefined), { timeoutMs: 10_000, everyMs: 5 });
  assert.deepEqual([of('"last"'), of('"new"'), of('"old"')], [1, 1, 0]);
});
