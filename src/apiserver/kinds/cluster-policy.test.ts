import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestServer } from '../testing.ts';

const path = '/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies';
const policy = (spec: object, name = 'isolate'): object => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name },
  spec,
});

test('RS-135: cluster network policies are served and checked', async (t) => {
  const { send } = await startTestServer(t);
  const rule = { name: 'others', action: 'Deny', from: [{ namespaces: {} }] };
  const spec = { tier: 'Admin', priority: 10, subject: { namespaces: {} }, ingress: [rule] };
  const created = await send('POST', path, policy(spec));
  assert.equal(created.code, 201, JSON.stringify(created.body));
  assert.deepEqual(JSON.parse(JSON.stringify((await send('GET', `${path}/isolate`)).body['spec'])), spec);
  const wrong = await send('POST', path, policy({ ...spec, priority: 'ten' }, 'wrong'));
  assert.equal(wrong.code, 422, JSON.stringify(wrong.body));
  for (const [field, values, change] of [
    ['spec.tier', '"Admin", "Baseline"', { tier: 'admin' }],
    ['spec.ingress[0].action', '"Accept", "Deny", "Pass"', { ingress: [{ ...rule, action: 'Allow' }] }],
    [
      'spec.egress[0].action',
      '"Accept", "Deny", "Pass"',
      { egress: [{ action: 'Drop', to: [{ namespaces: {} }] }] },
    ],
    ['spec.priority', '1000', { priority: 1001 }],
  ] as const) {
    const refused = await send('POST', path, policy({ ...spec, ...change }, 'refused'));
    assert.equal(refused.code, 422, JSON.stringify(refused.body));
    const message = String(refused.body['message']);
    assert.ok(message.includes(field) && message.includes(values), message);
  }
  assert.equal((await send('GET', '/openapi/v3/apis/policy.networking.k8s.io/v1alpha2')).code, 200);
});

test('a network policy that names no types, or none of them, is given those of its rules', async (t) => {
  const { send } = await startTestServer(t);
  const made = async (name: string, spec: object): Promise<unknown> => {
    const reply = await send('POST', '/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', {
      metadata: { name },
      spec: { podSelector: {}, ...spec },
    });
    return (reply.body['spec'] as { policyTypes?: unknown }).policyTypes;
  };
  assert.deepEqual(await made('a', {}), ['Ingress']);
  assert.deepEqual(await made('b', { egress: [{}] }), ['Ingress', 'Egress']);
  assert.deepEqual(await made('c', { policyTypes: [], egress: [{}] }), ['Ingress', 'Egress']);
  assert.deepEqual(await made('d', { policyTypes: ['Ingress'], egress: [{}] }), ['Ingress']);
});
