import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPrivateKey } from '../../lib/certificates.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { Api } from '../api.ts';
import { createAccess } from '../auth/access.ts';
import { at, listAt } from '../json.ts';
import { createRegistry } from '../kinds/registry.ts';
import { Store } from '../store/store.ts';
import { defaultLimits } from '../types.ts';
import { NamespaceController } from './namespaces.ts';
import { publishService } from './own-service.ts';

test('a server that others can reach is the service kubernetes; its address may change', async (t) => {
  const clock = systemClock;
  const logger = silentLogger;
  const { historyEvents, historyBytes } = defaultLimits;
  const options = {
    data: ':memory:',
    durability: 'process',
    historyEvents,
    historyBytes,
    clock,
    logger,
  } as const;
  const opened = Store.open(options);
  assert.ok(opened.ok);
  const store = opened.value;
  const stopping = new AbortController();
  const api: Api = {
    store,
    registry: createRegistry(),
    clock,
    logger,
    limits: defaultLimits,
    access: createAccess(newPrivateKey(), store, clock),
    cutTrialMs: 0,
    stopping: stopping.signal,
  };
  const namespaces = new NamespaceController(api);
  await namespaces.start();
  await namespaces.idle();
  t.after(async () => {
    stopping.abort();
    await namespaces.idle();
    await store.close();
  });
  const find = (resource: string): object | undefined =>
    store.get({ resource, namespace: 'default', name: 'kubernetes' })?.object;
  await publishService(api, ['https://127.0.0.1:6443', 'https://[::1]:6443']);
  assert.equal(find('services'), undefined);
  await publishService(api, ['https://127.0.0.1:6443', 'https://10.0.0.11:6443']);
  assert.equal(at(find('services'), 'spec', 'clusterIP'), '10.96.0.1');
  const leadsTo = (): unknown =>
    listAt(find('endpointslices.discovery.k8s.io'), 'endpoints').map((one) => at(one, 'addresses'));
  assert.deepEqual(leadsTo(), [['10.0.0.11']]);
  const { revision } = store;
  await publishService(api, ['https://10.0.0.11:6443']);
  assert.equal(store.revision, revision, 'nothing is written when nothing changed');
  await publishService(api, ['https://10.0.0.12:6443']);
  assert.deepEqual(leadsTo(), [['10.0.0.12']]);
  assert.match(JSON.stringify(find('endpoints')), /10\.0\.0\.12/);
});
