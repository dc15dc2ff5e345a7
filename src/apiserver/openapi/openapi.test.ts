import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at, isObject } from '../json.ts';
import { createRegistry } from '../kinds/registry.ts';
import { startTestServer } from '../testing.ts';
import { definitionName, definitionsOf, referencePrefix } from './definitions.ts';

const references = (value: unknown): readonly string[] =>
  Array.isArray(value)
    ? value.flatMap(references)
    : isObject(value)
      ? Object.entries(value).flatMap(([key, inner]) =>
          key === '$ref' && typeof inner === 'string' ? [inner] : references(inner),
        )
      : [];

test('every kind has a definition, and every reference leads to one', () => {
  const { kinds } = createRegistry();
  const definitions = definitionsOf(kinds);
  for (const kind of kinds) assert.ok(isObject(definitions[definitionName(kind)]), kind.kind);
  for (const reference of references(definitions))
    assert.ok(definitions[reference.slice(referencePrefix.length)] !== undefined, reference);
  const rules = at(
    definitions['org.projectcalico.v3.NetworkPolicy'],
    'properties',
    'spec',
    'properties',
    'ingress',
  );
  assert.equal(at(rules, 'type'), 'array');
  const ports = at(definitions['io.k8s.api.core.v1.Container'], 'properties', 'ports');
  assert.deepEqual(at(ports, 'x-kubernetes-list-map-keys'), ['containerPort', 'protocol']);
});

test('the documents of version 2 and 3 over HTTP', async (t) => {
  const { send, url } = await startTestServer(t);
  const index = (await send('GET', '/openapi/v3')).body['paths'];
  const core = String(index?.['api/v1']?.['serverRelativeURL']);
  assert.match(core, /^\/openapi\/v3\/api\/v1\?hash=[0-9A-F]{64}$/);
  const document = (await send('GET', core)).body;
  assert.ok(document['components']?.['schemas']?.['io.k8s.api.core.v1.Pod'] !== undefined);
  const all = (await send('GET', '/openapi/v2')).body;
  assert.equal(String(all['swagger']), '2.0');
  assert.deepEqual(
    references(all).filter((one) => !one.startsWith('#/definitions/')),
    [],
  );
  const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
  const answer = await fetch(`${url}/openapi/v2`, { headers: { accept } });
  assert.match(answer.headers.get('content-type') ?? '', /protobuf/);
  assert.deepEqual(
    [...new Uint8Array(await answer.arrayBuffer()).subarray(0, 5)],
    [0x0a, 3, 0x32, 0x2e, 0x30],
  );
  assert.equal((await send('GET', '/openapi/v3/apis/nothing.io/v1')).code, 404);
});
