import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isObject } from '../json.ts';
import { itemsOf, type Json, type Reply, type Send, startTestServer } from '../testing.ts';
import { pathOf, printPath, readFieldSet, writeFieldSet } from './field-set.ts';

const deployments = '/apis/apps/v1/namespaces/default/deployments';
const maps = '/api/v1/namespaces/default/configmaps';

const apply = (send: Send, path: string, manager: string, body: unknown, more = ''): Promise<Reply> =>
  send('PATCH', `${path}?fieldManager=${manager}${more}`, body, {
    'content-type': 'application/apply-patch+yaml',
  });

const map = (data: Record<string, string>): unknown => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'm' },
  data,
});
const web = (spec: object, container: object = {}): unknown => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'web', image: 'web:1', ...container }] },
    },
    ...spec,
  },
});
const managersOf = (body: Json): readonly string[] =>
  itemsOf(body['metadata']?.['managedFields']).map(
    (one) => `${String(one['manager'])} ${String(one['operation'])}`,
  );

test('apply creates, and applying again writes nothing', async (t) => {
  const { send } = await startTestServer(t);
  const made = await apply(send, `${maps}/m`, 'a', map({ x: '1' }));
  assert.equal(made.code, 201);
  assert.deepEqual(managersOf(made.body), ['a Apply']);
  const [entry] = itemsOf(made.body['metadata']?.['managedFields']);
  assert.deepEqual(entry?.['fieldsV1'], { 'f:data': { 'f:x': {} } });
  const again = await apply(send, `${maps}/m`, 'a', map({ x: '1' }));
  assert.equal(again.code, 200);
  assert.equal(again.body['metadata']?.['resourceVersion'], made.body['metadata']?.['resourceVersion']);
});

test('what an applier no longer says goes, unless somebody else owns it', async (t) => {
  const { send } = await startTestServer(t);
  await apply(send, `${maps}/m`, 'a', map({ x: '1', y: '1', z: '1' }));
  await apply(send, `${maps}/m`, 'b', map({ y: '1' }));
  const left = await apply(send, `${maps}/m`, 'a', map({ z: '1' }));
  assert.deepEqual(left.body['data'], { y: '1', z: '1' });
  assert.deepEqual(managersOf(left.body).toSorted(), ['a Apply', 'b Apply']);
});

test('a conflict names manager and field; force takes the field over', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', `${deployments}?fieldManager=kubectl-create`, web({ replicas: 2 }));
  const refused = await apply(send, `${deployments}/web`, 'a', web({ replicas: 3 }));
  assert.equal(refused.code, 409);
  assert.equal(
    String(refused.body['message']),
    'Apply failed with 1 conflict: conflict with "kubectl-create" using apps/v1: .spec.replicas',
  );
  assert.deepEqual(refused.body['details']?.['causes']?.[0], {
    reason: 'FieldManagerConflict',
    message: 'conflict with "kubectl-create" using apps/v1',
    field: '.spec.replicas',
  });
  const both = await apply(send, `${deployments}/web`, 'a', web({ replicas: 3 }, { image: 'web:2' }));
  assert.match(
    String(both.body['message']),
    /^Apply failed with 2 conflicts: conflicts with "kubectl-create" using apps\/v1:\n- \.spec\.replicas\n- \.spec\.template\.spec\.containers\[name="web"\]\.image$/,
  );
  const forced = await apply(send, `${deployments}/web`, 'a', web({ replicas: 3 }), '&force=true');
  assert.equal(forced.code, 200);
  assert.equal(Number(forced.body['spec']?.['replicas']), 3);
  assert.equal((await apply(send, `${deployments}/web`, 'a', web({ replicas: 4 }))).code, 200);
});

test('lists merge by their keys; others are one value', async (t) => {
  const { send } = await startTestServer(t);
  const item = (ports: readonly number[], env: string): object => ({
    ports: ports.map((containerPort) => ({ containerPort })),
    env: [{ name: env, value: '1' }],
  });
  await apply(send, `${deployments}/web`, 'a', web({}, item([80], 'A')));
  const merged = await apply(send, `${deployments}/web`, 'b', web({}, item([80, 81], 'B')));
  assert.equal(merged.code, 200, String(merged.body['message']));
  const container = merged.body['spec']?.['template']?.['spec']?.['containers']?.[0];
  assert.deepEqual(
    itemsOf(container?.['env']).map((one) => String(one['name'])),
    ['A', 'B'],
  );
  assert.equal(itemsOf(container?.['ports']).length, 2);
  const without = await apply(send, `${deployments}/web`, 'b', web({}, { image: 'web:1' }));
  const rest = without.body['spec']?.['template']?.['spec']?.['containers']?.[0];
  assert.deepEqual(
    itemsOf(rest?.['env']).map((one) => String(one['name'])),
    ['A'],
  );
  assert.equal(itemsOf(rest?.['ports']).length, 1);
  const policies = '/apis/projectcalico.org/v3/globalnetworkpolicies/p';
  const policy = (nets: readonly string[]): unknown => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name: 'p' },
    spec: { ingress: [{ action: 'Allow', source: { nets } }] },
  });
  assert.equal((await apply(send, policies, 'a', policy(['10.0.0.0/8']))).code, 201);
  const conflict = await apply(send, policies, 'b', policy(['10.1.0.0/16']));
  assert.match(String(conflict.body['message']), /conflict with "a": \.spec\.ingress$/);
});

test('writes of others are recorded: an update takes a field from its applier', async (t) => {
  const { send } = await startTestServer(t);
  await apply(send, `${maps}/m`, 'a', map({ x: '1' }));
  await send(
    'PATCH',
    `${maps}/m?fieldManager=kubectl-edit`,
    { data: { x: '2' } },
    {
      'content-type': 'application/merge-patch+json',
    },
  );
  const refused = await apply(send, `${maps}/m`, 'a', map({ x: '1' }));
  assert.match(String(refused.body['message']), /conflict with "kubectl-edit" using v1: \.data\.x$/);
  await send('PUT', `${maps}/m`, map({ x: '1', y: '3' }), { 'user-agent': 'robot/1.0 (linux)' });
  const { body } = await send('GET', `${maps}/m`);
  assert.ok(managersOf(body).includes('robot Update'), managersOf(body).join());
});

test('objects without a record belong to whoever was there before; plain writes keep none', async (t) => {
  const { send } = await startTestServer(t);
  const made = await send('POST', maps, map({ x: '1' }));
  assert.equal(made.body['metadata']?.['managedFields'], undefined);
  const refused = await apply(send, `${maps}/m`, 'a', map({ x: '2' }));
  assert.match(String(refused.body['message']), /conflict with "before-first-apply" using v1: \.data\.x$/);
  assert.equal((await apply(send, `${maps}/m`, 'a', map({ x: '1', y: '2' }))).code, 200);
  const reset = await send(
    'PATCH',
    `${maps}/m`,
    [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }],
    {
      'content-type': 'application/json-patch+json',
    },
  );
  assert.equal(reset.body['metadata']?.['managedFields'], undefined);
});

test('status is applied through its subresource, with an owner of its own', async (t) => {
  const { send } = await startTestServer(t);
  await apply(send, `${deployments}/web`, 'a', web({ replicas: 1 }));
  const status = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    status: { readyReplicas: 1 },
  };
  const applied = await apply(send, `${deployments}/web/status`, 'ctl', status);
  assert.equal(Number(applied.body['status']?.['readyReplicas']), 1);
  assert.equal(Number(applied.body['spec']?.['replicas']), 1);
  const entry = itemsOf(applied.body['metadata']?.['managedFields']).find(
    (one) => String(one['manager']) === 'ctl',
  );
  assert.equal(String(entry?.['subresource']), 'status');
});

test('refusals: no manager, managedFields, another name, unknown fields, a stale version, dry run', async (t) => {
  const { send } = await startTestServer(t);
  const type = { 'content-type': 'application/apply-patch+yaml' };
  assert.match(String((await send('PATCH', `${maps}/m`, map({}), type)).body['message']), /fieldManager/);
  assert.equal((await apply(send, `${maps}/other`, 'a', map({}))).code, 400);
  assert.equal((await apply(send, `${maps}/m`, 'a', { data: {} })).code, 400);
  const strict = await apply(
    send,
    `${maps}/m`,
    'a',
    { ...(map({}) as object), dta: {} },
    '&fieldValidation=Strict',
  );
  assert.match(String(strict.body['message']), /unknown field "dta"/);
  assert.equal((await apply(send, `${maps}/m`, 'a', map({ x: '1' }), '&dryRun=All')).code, 201);
  assert.equal((await send('GET', `${maps}/m`)).code, 404);
  assert.equal(
    (await apply(send, `${maps}/m`, 'a', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n')).code,
    201,
  );
  const stale = { ...(map({ x: '2' }) as object), metadata: { name: 'm', resourceVersion: '1' } };
  assert.equal((await apply(send, `${maps}/m`, 'a', stale)).code, 409);
});

test('sets of fields survive being written and read', () => {
  const step = fc.oneof(
    fc.stringMatching(/^[a-z.]{1,4}$/).map((name) => `f:${name}`),
    fc.stringMatching(/^[a-z]{1,3}$/).map((name) => `k:{"name":"${name}"}`),
  );
  fc.assert(
    fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 8 }), (paths) => {
      // Only items are owned beside what is in them.
      const all = paths.map(pathOf);
      const set = new Set(
        all.filter(
          (path) =>
            path.split('\u0000').at(-1)?.startsWith('k:') ||
            !all.some((one) => one.startsWith(`${path}\u0000`)),
        ),
      );
      const items = new Set(
        [...set].flatMap((path) => {
          const steps = path.split('\u0000');
          return steps.flatMap((one, i) =>
            one.startsWith('k:') && i === steps.length - 1 ? [pathOf(steps.slice(0, i + 1))] : [],
          );
        }),
      );
      const read = readFieldSet(writeFieldSet(set));
      assert.deepEqual([...read].sort(), [...new Set([...set, ...items])].sort());
    }),
    { numRuns: 200 },
  );
  assert.ok(isObject(writeFieldSet(new Set())));
  assert.equal(
    printPath(pathOf(['f:spec', 'f:ports', 'k:{"port":80,"protocol":"TCP"}', 'f:name'])),
    '.spec.ports[port=80,protocol="TCP"].name',
  );
});
