import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../lib/log.ts';
import { startApiServer } from '../server.ts';
import { podNamed, sender, startTestServer, itemsOf } from '../testing.ts';

const maps = '/api/v1/namespaces/default/configmaps';

test('discovery, plain and aggregated', async (t) => {
  const { send } = await startTestServer(t);
  assert.deepEqual(itemsOf((await send('GET', '/api')).body['versions']).map(String), ['v1']);
  const groups = (await send('GET', '/apis')).body;
  const names = itemsOf(groups['groups']).map((one) => String(one['name']));
  for (const name of ['apps', 'batch', 'discovery.k8s.io', 'networking.k8s.io', 'projectcalico.org'])
    assert.ok(names.includes(name), name);
  const apps = (await send('GET', '/apis/apps/v1')).body;
  const resources = itemsOf(apps['resources']).map((one) => String(one['name']));
  assert.ok(resources.includes('deployments/scale') && resources.includes('deployments/status'));
  const accept = {
    accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json',
  };
  const aggregated = await send('GET', '/apis', undefined, accept);
  assert.equal(
    aggregated.headers.get('content-type'),
    'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  );
  const calico = itemsOf(aggregated.body['items']).find(
    (one) => String(one['metadata']?.['name']) === 'projectcalico.org',
  );
  const pools = itemsOf(calico?.['versions']?.[0]?.['resources']).find(
    (one) => String(one['resource']) === 'ippools',
  );
  assert.deepEqual(pools?.['responseKind'], { group: 'projectcalico.org', version: 'v3', kind: 'IPPool' });
  assert.equal((await send('GET', '/version')).body['major'], '1');
  for (const path of ['/healthz', '/livez', '/readyz'])
    assert.equal(String((await send('GET', path)).body), 'ok');
  assert.equal((await send('GET', '/apis/nothing.io/v1')).code, 404);
  assert.equal((await send('GET', '/elsewhere')).body['reason'], 'NotFound');
  assert.equal((await send('GET', '/api/v1/namespaces/%zz')).code, 400);
  assert.equal((await send('POST', '/api/v1/namespaces/default/pods/a/exec')).code, 404);
  const parts = await send('GET', '/openapi/v3/apis/apps/v1');
  const operation =
    parts.body['paths']?.['/apis/apps/v1/namespaces/{namespace}/deployments/{name}']?.['patch'];
  assert.ok(itemsOf(operation?.['parameters']).some((one) => String(one['name']) === 'fieldValidation'));
});

test('bodies: size, nesting, encoding, form', async (t) => {
  const { send, url } = await startTestServer(t);
  const big = await send(
    'POST',
    maps,
    `{"metadata":{"name":"a"},"data":{"x":"${'y'.repeat(10 * 1024 * 1024)}"}}`,
  );
  assert.equal(big.code, 413);
  assert.equal(big.body['reason'], 'RequestEntityTooLarge');
  const deep = await send(
    'POST',
    maps,
    `{"metadata":{"name":"a"},"data":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  );
  assert.equal(deep.code, 400);
  assert.match(String(deep.body['message']), /nests deeper/);
  const broken = await send('POST', maps, '{"metadata":');
  assert.match(String(broken.body['message']), /couldn't parse the body as JSON/);
  assert.equal((await send('POST', maps, '[]')).code, 400);
  assert.equal((await send('POST', maps, '{"metadata":{"name":"a"},"__proto__":{"x":1}}')).code, 400);
  const bytes = await fetch(url + maps, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: new Uint8Array([0x22, 0xff, 0x22]),
  });
  assert.match(((await bytes.json()) as { message: string }).message, /UTF-8/);
  const zipped = await send('POST', maps, '{}', { 'content-encoding': 'gzip' });
  assert.equal(zipped.code, 415);
  assert.equal((await send('POST', maps, 'x', { 'content-type': 'text/plain' })).code, 415);
  const yaml = await send('POST', maps, 'metadata: {name: y}\ndata: {a: "1"}\n', {
    'content-type': 'application/yaml',
  });
  assert.equal(yaml.code, 201);
  const types = await send('POST', maps, { metadata: { name: 'a', labels: ['x'] } });
  assert.match(
    String(types.body['message']),
    /cannot unmarshal array into field metadata\.labels of type map/,
  );
});

test('headers that are too long, half requests and noise do no harm', async (t) => {
  const { send, url } = await startTestServer(t, { limits: { requestTimeoutMs: 300 } });
  const { port } = new URL(url);
  const raw = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(Number(port), '127.0.0.1');
      let reply = '';
      socket.on('data', (chunk) => (reply += chunk.toString()));
      socket.on('close', () => resolve(reply));
      socket.on('error', () => undefined);
      socket.write(text);
    });
  assert.match(
    await raw(`GET /api HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(64 * 1024)}\r\n\r\n`),
    /^HTTP\/1\.1 431/,
  );
  assert.match(await raw('\x16\x03\x01\x02\x00\x01'), /^HTTP\/1\.1 400/);
  // A body that never comes: the server gives up on it.
  assert.match(
    await raw(
      `POST ${maps} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{`,
    ),
    /^HTTP\/1\.1 4\d\d/,
  );
  assert.equal((await send('GET', '/healthz')).code, 200);
});

test('where it cannot listen it says why', async (t) => {
  const { url } = await startTestServer(t);
  const taken = new URL(url).host;
  const tryListen = async (address: string): Promise<string> => {
    const started = await startApiServer({ listen: [address], data: ':memory:', logger: silentLogger });
    if (started.ok) {
      await started.value.stop();
      return 'listening';
    }
    assert.ok(started.error.message.length > 10 && started.error.hint !== undefined);
    return started.error.code;
  };
  assert.equal(await tryListen(taken), 'AddressInUse');
  assert.equal(await tryListen('192.0.2.1:0'), 'AddressInvalid');
  assert.equal(await tryListen('nonsense'), 'AddressInvalid');
  assert.equal(await tryListen('127.0.0.1:99999'), 'AddressInvalid');
});

test('several addresses serve the same objects; data and watches go on after a restart', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'margay-api-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const options = { listen: ['127.0.0.1:0', '[::1]:0'], data, logger: silentLogger };
  const first = await startApiServer(options);
  if (!first.ok && first.error.code === 'AddressInvalid') return t.skip('no IPv6 on the loopback interface');
  assert.ok(first.ok);
  const [one = '', two = ''] = first.value.addresses;
  const created = await sender(one)('POST', '/api/v1/namespaces/default/pods', podNamed('a'));
  const read = await sender(two)('GET', '/api/v1/namespaces/default/pods/a');
  assert.deepEqual(read.body, created.body);
  await first.value.stop();
  const second = await startApiServer(options);
  assert.ok(second.ok);
  t.after(() => second.value.stop());
  const again = await sender(second.value.addresses[0] ?? '')('GET', '/api/v1/namespaces/default/pods/a');
  assert.deepEqual(again.body, created.body);
});
