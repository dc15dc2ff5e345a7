import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { itemsOf, type Json, type Reply, type Send, startTestServer, TestWatch } from '../testing.ts';

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const boats = '/apis/ships.example.com/v1/namespaces/default/boats';

const schema = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['length'],
      properties: {
        length: { type: 'integer', minimum: 1, maximum: 400 },
        flag: { type: 'string', enum: ['red', 'green'], default: 'red' },
        port: { 'x-kubernetes-int-or-string': true },
        crew: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: { type: 'object', properties: { name: { type: 'string' }, rank: { type: 'string' } } },
        },
        cargo: { type: 'object', additionalProperties: { type: 'string', pattern: '^[a-z]+$' } },
      },
    },
    status: { type: 'object', properties: { harbour: { type: 'string' } } },
  },
};
const version = (name: string, more: object = {}): object => ({
  name,
  served: true,
  storage: true,
  schema: { openAPIV3Schema: schema },
  subresources: { status: {} },
  additionalPrinterColumns: [{ name: 'Length', type: 'integer', jsonPath: '.spec.length' }],
  ...more,
});
const definition = (...versions: readonly object[]): unknown => ({
  metadata: { name: 'boats.ships.example.com' },
  spec: {
    group: 'ships.example.com',
    scope: 'Namespaced',
    names: { plural: 'boats', kind: 'Boat', shortNames: ['bt'] },
    versions: versions.length === 0 ? [version('v1')] : versions,
  },
});
const boat = (spec: object, name = 'ada'): unknown => ({ metadata: { name }, spec });
const message = (reply: Reply): string => String(reply.body['message']);

async function define(send: Send, ...versions: readonly object[]): Promise<void> {
  const made = await send('POST', crds, definition(...versions));
  assert.equal(made.code, 201, JSON.stringify(made.body));
}
async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail('did not come about');
}

test('a definition adds a kind: discovery, defaults, columns, status, watch', async (t) => {
  const { send, url } = await startTestServer(t);
  assert.equal((await send('GET', boats)).code, 404);
  await define(send);
  const established = (await send('GET', `${crds}/boats.ships.example.com`)).body['status'];
  assert.deepEqual(
    itemsOf(established?.['conditions']).map((one) => [String(one['type']), String(one['status'])]),
    [
      ['NamesAccepted', 'True'],
      ['Established', 'True'],
    ],
  );
  const resources = itemsOf((await send('GET', '/apis/ships.example.com/v1')).body['resources']);
  assert.deepEqual(
    resources.map((one) => String(one['name'])),
    ['boats', 'boats/status'],
  );
  const made = await send('POST', boats, { ...(boat({ length: 12 }) as object), status: { harbour: 'x' } });
  assert.equal(made.code, 201, JSON.stringify(made.body));
  assert.deepEqual(made.body['spec'], { length: 12, flag: 'red' });
  assert.equal(made.body['status'], undefined);
  const watch = await TestWatch.open(t, url, `${boats}?watch=true`);
  assert.deepEqual(await watch.take(1), ['ADDED ada']);
  const patch = { 'content-type': 'application/merge-patch+json' };
  const status = await send('PATCH', `${boats}/ada/status`, { status: { harbour: 'Kiel' } }, patch);
  assert.equal(String(status.body['status']?.['harbour']), 'Kiel');
  assert.equal(Number(status.body['metadata']?.['generation']), 1);
  const table = await send('GET', boats, undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  });
  assert.deepEqual(
    itemsOf(table.body['columnDefinitions']).map((one) => String(one['name'])),
    ['Name', 'Length'],
  );
  const document = await send('GET', '/openapi/v3/apis/ships.example.com/v1');
  const described: Json | undefined = document.body['components']?.['schemas']?.['com.example.ships.v1.Boat'];
  assert.equal(String(described?.['properties']?.['spec']?.['properties']?.['length']?.['type']), 'integer');
});

test('objects are checked by the schema; unknown fields are named and not kept', async (t) => {
  const { send } = await startTestServer(t);
  await define(send);
  const refused = async (spec: object): Promise<string> => {
    const reply = await send('POST', boats, boat(spec));
    assert.equal(reply.code, 422, JSON.stringify(reply.body));
    return message(reply);
  };
  assert.match(await refused({}), /spec\.length: Required value/);
  assert.match(await refused({ length: '3' }), /spec\.length in body must be of type integer: "string"/);
  assert.match(await refused({ length: 401 }), /should be less than or equal to 400/);
  assert.match(
    await refused({ length: 1, flag: 'blue' }),
    /Unsupported value: "blue": supported values: "red", "green"/,
  );
  assert.match(await refused({ length: 1, port: true }), /integer or string/);
  assert.match(await refused({ length: 1, cargo: { a: 'B' } }), /should match/);
  assert.match(
    await refused({ length: 1, crew: [{ name: 'a' }, { name: 'a' }] }),
    /spec\.crew\[1\]: .*Duplicate value/,
  );
  const strict = await send('POST', `${boats}?fieldValidation=Strict`, boat({ length: 1, lenght: 2 }));
  assert.match(message(strict), /unknown field "spec\.lenght"/);
  const loose = await send('POST', boats, boat({ length: 1, lenght: 2 }));
  assert.equal(loose.code, 201);
  assert.match(loose.headers.get('warning') ?? '', /spec\.lenght/);
  assert.deepEqual(loose.body['spec'], { length: 1, flag: 'red' });
});

test('definitions that cannot be are refused', async (t) => {
  const { send } = await startTestServer(t);
  const wrong = async (body: unknown): Promise<string> => {
    const reply = await send('POST', crds, body);
    assert.equal(reply.code, 422, JSON.stringify(reply.body));
    return message(reply);
  };
  const untyped = { openAPIV3Schema: { type: 'object', properties: { spec: { properties: {} } } } };
  assert.match(
    await wrong(definition(version('v1', { schema: untyped }))),
    /properties\[spec\]\.type: Required value/,
  );
  assert.match(await wrong(definition(version('v1', { schema: {} }))), /openAPIV3Schema: Required value/);
  assert.match(await wrong(definition(version('v1', { storage: false }))), /exactly one version/);
  const named = { ...(definition() as object), metadata: { name: 'others.ships.example.com' } };
  assert.match(await wrong(named), /metadata\.name.*spec\.names\.plural/);
});

test('several versions of one kind; the apply of lists by key', async (t) => {
  const { send } = await startTestServer(t);
  await define(send, version('v1alpha1', { storage: false }), version('v1'));
  const group = (await send('GET', '/apis/ships.example.com')).body;
  assert.equal(String(group['preferredVersion']?.['version']), 'v1');
  const old = boats.replace('/v1/', '/v1alpha1/');
  assert.equal((await send('POST', old, boat({ length: 3 }))).code, 201);
  assert.equal(String((await send('GET', `${boats}/ada`)).body['apiVersion']), 'ships.example.com/v1');
  assert.equal(String((await send('GET', `${old}/ada`)).body['apiVersion']), 'ships.example.com/v1alpha1');
  const apply = (manager: string, name: string): Promise<Reply> =>
    send(
      'PATCH',
      `${boats}/ada?fieldManager=${manager}`,
      {
        apiVersion: 'ships.example.com/v1',
        kind: 'Boat',
        metadata: { name: 'ada' },
        spec: { crew: [{ name }] },
      },
      { 'content-type': 'application/apply-patch+yaml' },
    );
  await apply('a', 'ann');
  const both = await apply('b', 'bob');
  assert.deepEqual(
    itemsOf(both.body['spec']?.['crew']).map((one) => String(one['name'])),
    ['ann', 'bob'],
  );
});

test('a deleted definition takes its objects along, and is served again after a restart', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'margay-crd-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const first = await startTestServer(t, { data, durability: 'process' });
  await define(first.send);
  await first.send('POST', boats, boat({ length: 2 }));
  await first.server.stop();
  const { send } = await startTestServer(t, { data, durability: 'process' });
  assert.equal(itemsOf((await send('GET', boats)).body['items']).length, 1);
  assert.equal((await send('DELETE', `${crds}/boats.ships.example.com`)).code, 200);
  await eventually(async () => (await send('GET', `${crds}/boats.ships.example.com`)).code === 404);
  assert.equal((await send('GET', boats)).code, 404);
  await define(send);
  assert.equal(itemsOf((await send('GET', boats)).body['items']).length, 0);
});

test('rules in CEL are applied to objects, and refused where they are none', async (t) => {
  const { send } = await startTestServer(t);
  const ruled = (rule: object): object =>
    version('v1', {
      schema: {
        openAPIV3Schema: {
          type: 'object',
          properties: {
            spec: {
              type: 'object',
              properties: { length: { type: 'integer' }, width: { type: 'integer' } },
              'x-kubernetes-validations': [rule],
            },
          },
        },
      },
    });
  const wrong = await send('POST', crds, definition(ruled({ rule: 'self.height > 1' })));
  assert.equal(wrong.code, 422);
  assert.match(
    message(wrong),
    /properties\[spec\]\.x-kubernetes-validations\[0\]\.rule: Invalid value: "self\.height > 1": compilation failed: No such key: height/,
  );
  await define(
    send,
    ruled({ rule: 'self.length >= self.width && self.length >= oldSelf.length', message: 'must not shrink' }),
  );
  await eventually(async () => (await send('GET', boats)).code === 200);
  assert.equal((await send('POST', boats, boat({ length: 5, width: 5 }))).code, 201);
  const merge = { 'content-type': 'application/merge-patch+json' };
  const grow = (length: number): Promise<Reply> => send('PATCH', `${boats}/ada`, { spec: { length } }, merge);
  const refused = await grow(4);
  assert.equal(refused.code, 422);
  assert.equal(
    message(refused),
    'Boat.ships.example.com "ada" is invalid: spec: Invalid value: "object": must not shrink',
  );
  assert.equal((await grow(6)).code, 200);
});
