import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemsOf, type Send, startTestServer } from '../testing.ts';

const base = '/apis/projectcalico.org/v3';
const pool = (name: string, cidr: string, spec: object = {}): unknown => ({
  metadata: { name },
  spec: { cidr, ...spec },
});
const message = (reply: { readonly body: { readonly [field: string]: unknown } }): string =>
  String(reply.body['message']);

async function create(send: Send, path: string, body: unknown): Promise<void> {
  const reply = await send('POST', `${base}/${path}`, body);
  assert.equal(reply.code, 201, JSON.stringify(reply.body));
}

const block = (cidr: string, allocations: readonly (number | null)[]): unknown => ({
  metadata: { name: cidr.replaceAll(/[./]/g, '-') },
  spec: { cidr, affinity: 'host:n1', allocations, unallocated: [], attributes: [] },
});

test('RS-020: a pool must not overlap another one when it is created', async (t) => {
  const { send } = await startTestServer(t);
  await create(send, 'ippools', pool('a', '10.1.0.0/16'));
  const refused = await send('POST', `${base}/ippools`, pool('b', '10.1.128.0/24'));
  assert.equal(refused.code, 422);
  assert.match(message(refused), /spec\.cidr.*"10\.1\.128\.0\/24".*overlaps.*10\.1\.0\.0\/16 of IPPool a/);
  await create(send, 'ippools', pool('c', '10.2.0.0/16'));
  await create(send, 'ippools', pool('d', 'fd00:1::/64'));
  assert.equal((await send('POST', `${base}/ippools`, pool('a', '10.1.0.0/16'))).code, 409);
});

test('RS-021: a pool is refused where blocks of another size are', async (t) => {
  const { send } = await startTestServer(t);
  await create(send, 'ipamblocks', block('10.1.0.0/28', [null]));
  const refused = await send('POST', `${base}/ippools`, pool('a', '10.1.0.0/16'));
  assert.match(message(refused), /spec\.blockSize.*10\.1\.0\.0\/28/);
  await create(send, 'ippools', pool('b', '10.1.0.0/16', { blockSize: 28 }));
});

test('RS-010, RS-126: the built-in tiers are there and stay', async (t) => {
  const { send } = await startTestServer(t);
  const tiers = itemsOf((await send('GET', `${base}/tiers`)).body['items']);
  assert.deepEqual(
    tiers.map((one) => [String(one['metadata']?.['name']), one['spec']]),
    [
      ['default', { order: 1_000_000, defaultAction: 'Deny' }],
      ['kube-admin', { order: 1_000, defaultAction: 'Pass' }],
      ['kube-baseline', { order: 10_000_000, defaultAction: 'Pass' }],
    ],
  );
  const refused = await send('DELETE', `${base}/tiers/default`);
  assert.equal(refused.code, 403);
  assert.match(message(refused), /built in and cannot be deleted/);
});

test('RS-112, RS-113, RS-127: policies name a tier that exists, and keep it', async (t) => {
  const { send } = await startTestServer(t);
  const policy = { metadata: { name: 'p' }, spec: { tier: 'ops', egress: [{ action: 'Allow' }] } };
  const refused = await send('POST', `${base}/globalnetworkpolicies`, policy);
  assert.equal(refused.code, 422);
  assert.match(message(refused), /spec\.tier.*tier "ops" does not exist/);
  await create(send, 'tiers', { metadata: { name: 'ops' }, spec: { order: 10 } });
  await create(send, 'globalnetworkpolicies', policy);
  await create(send, 'namespaces/default/networkpolicies', { metadata: { name: 'q' }, spec: {} });
  const made = (await send('GET', `${base}/globalnetworkpolicies/p`)).body;
  assert.equal(String(made['metadata']?.['labels']?.['projectcalico.org/tier']), 'ops');
  assert.deepEqual(made['spec']?.['types'], ['Egress']);
  const inTier = await send('GET', `${base}/globalnetworkpolicies?fieldSelector=spec.tier%3Dops`);
  assert.equal(itemsOf(inTier.body['items']).length, 1);
  assert.equal(
    itemsOf((await send('GET', `${base}/networkpolicies?fieldSelector=spec.tier%3Dops`)).body['items'])
      .length,
    0,
  );
  const kept = await send('DELETE', `${base}/tiers/ops`);
  assert.equal(kept.code, 403);
  assert.match(message(kept), /non-empty tier cannot be deleted: it has GlobalNetworkPolicy p/);
  await send('DELETE', `${base}/globalnetworkpolicies/p`);
  assert.equal((await send('DELETE', `${base}/tiers/ops`)).code, 200);
});

test('RS-030: a deleted pool waits for its addresses; its empty blocks go with their affinities', async (t) => {
  const { send } = await startTestServer(t);
  await create(send, 'ippools', pool('a', '10.1.0.0/16'));
  await create(send, 'ipamblocks', block('10.1.0.0/26', [0]));
  await create(send, 'ipamblocks', block('10.1.0.64/26', [null]));
  await create(send, 'blockaffinities', {
    metadata: { name: 'n1-10-1-0-64-26' },
    spec: { cidr: '10.1.0.64/26', node: 'n1', state: 'confirmed', type: 'host', deleted: false },
  });
  assert.equal((await send('DELETE', `${base}/ippools/a`)).code, 200);
  await eventually(async () => (await send('GET', `${base}/ipamblocks/10-1-0-64-26`)).code === 404);
  assert.equal((await send('GET', `${base}/blockaffinities/n1-10-1-0-64-26`)).code, 404);
  const waiting = await send('GET', `${base}/ippools/a`);
  assert.notEqual(waiting.body['metadata']?.['deletionTimestamp'], undefined);
  assert.equal((await send('DELETE', `${base}/ipamblocks/10-1-0-0-26`)).code, 200);
  await eventually(async () => (await send('GET', `${base}/ippools/a`)).code === 404);
});

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail('did not come about');
}

test('RS-085: profiles of namespaces and service accounts cannot be written', async (t) => {
  const { send } = await startTestServer(t);
  await create(send, 'profiles', { metadata: { name: 'own' }, spec: { ingress: [{ action: 'Allow' }] } });
  for (const name of ['kns.default', 'ksa.default.default']) {
    const refused = await send('POST', `${base}/profiles`, { metadata: { name }, spec: {} });
    assert.equal(refused.code, 422);
    assert.match(message(refused), /metadata\.name.*read-only/);
  }
});
